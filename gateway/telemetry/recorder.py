"""Takes finished requests from the engine, counts them and writes the access log in small batches.

The engine only appends to a list. Every BATCH records, and on each turn of the wheel, a batch is counted and
formatted (8,000 lines in one go would stall the loop for 10 ms), then handed to a thread that does nothing but write,
so a blocked reader of the log never blocks a request: lines are dropped and counted instead.
"""

import os
import threading
from collections import deque
from typing import Protocol

from gateway.telemetry.metrics import Metrics, Series
from gateway.telemetry.record import Record

BATCH = 64
REMEMBERED = 4096
"""Combinations of client, path, route, user and status whose rendering is kept."""
PUSH = 256 * 1024
"""Bytes of formatted lines that are written without waiting for the next turn of the wheel."""
MAX_WAITING = 4 * 1024 * 1024
"""Bytes of formatted lines that may wait for a slow reader."""


class Lines(Protocol):
    """One form of the access log."""

    def common(self, record: Record) -> bytes:
        """Render what *record* has in common with others like it, once."""
        ...

    def line(self, record: Record, common: bytes) -> bytes:
        """Render a whole line, given what `common` made."""
        ...


class Sink:
    """A file descriptor with a writing thread of its own; bounded, lossy, never blocking."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._wake = threading.Condition()
        self._closed = False
        self.dropped = 0
        """Batches given up because the reader was too slow or the disk full."""
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def write(self, data: bytes) -> None:
        """Take *data*; it is on its way with the next `push`, or when much has gathered.

        Waking the thread for every batch would cost more than the writing: the two contend for the interpreter.
        """
        with self._wake:
            if self._size + len(data) > MAX_WAITING or self._closed:
                self.dropped += 1
                return
            self._waiting.append(data)
            self._size += len(data)
            if self._size >= PUSH:
                self._wake.notify()

    def push(self) -> None:
        """Have the thread write what waits."""
        if self._waiting:
            with self._wake:
                self._wake.notify()

    def close(self, timeout: float = 1.0) -> None:
        """Write what waits, for at most *timeout* seconds."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            with self._wake:
                if not self._closed:
                    self._wake.wait()
                if not self._waiting and self._closed:
                    return
                data = b"".join(self._waiting)
                self._waiting.clear()
                self._size = 0
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(self._descriptor, view) :]
            except OSError:
                self.dropped += 1


class Recorder:
    """Callable with a Record; must be pushed now and then (the engine's wheel does)."""

    def __init__(self, metrics: Metrics, lines: Lines | None, sink: Sink | None) -> None:
        self._metrics = metrics
        self._lines = lines
        self._sink = sink
        self._records: list[Record] = []
        self._known: dict[tuple[object, ...], tuple[Series, bytes]] = {}

    def __call__(self, record: Record) -> None:
        records = self._records
        records.append(record)
        if len(records) >= BATCH:
            self.flush()

    def write_as(self, lines: Lines | None, sink: Sink | None) -> None:
        """Write in another form, or elsewhere, from now on."""
        self.flush()
        self._lines, self._sink = lines, sink
        self._known.clear()

    def push(self) -> None:
        """Count and write what has been recorded, at once."""
        self.flush()
        if self._sink is not None:
            self._sink.push()

    def flush(self) -> None:
        """Count and format what has been recorded."""
        records = self._records
        if not records:
            return
        self._records = []
        known, lines = self._known, self._lines
        out: list[bytes] = []
        for record in records:
            key = record[6:]
            entry = known.get(key)
            if entry is None:
                if len(known) >= REMEMBERED:
                    known.clear()
                common = b"" if lines is None else lines.common(record)
                entry = known[key] = (self._metrics.series(record), common)
            series, common = entry
            series.observe(record[2], record[3], record[4], record[5])
            if lines is not None:
                out.append(lines.line(record, common))
        if self._sink is not None and out:
            self._sink.write(b"".join(out))
