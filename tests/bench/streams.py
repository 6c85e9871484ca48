"""Long bodies through a proxy: ten clients at once, first up, then down.

Clients and the sink are threads with blocking sockets in the benchmark's own process, on the load's core: they only
move bytes, which happens outside the interpreter's lock.
"""

import contextlib
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from tests.bench import measure
from tests.bench.loaded import Closed, counted, observed
from tests.bench.peers import Peer
from tests.bench.processes import Failed, Program, family
from tests.bench.samples import Flow, Streams
from tests.bench.stage import Stage, say
from tests.bench.upstream import STREAM_BYTES

_BLOCK = 1 << 18
_PATIENCE = 60.0
_OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"


class Sink:
    """An upstream that reads each request's body to its end and only then answers.

    nginx as an upstream would answer at once and drop what comes after, which is not what an upload is.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._received = 0
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A shutdown, not a close, wakes the threads that wait in accept and recv.
        with self._lock:
            for one in (self._listener, *self._open):
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5.0)
        self._listener.close()

    @property
    def received(self) -> int:
        """Bytes of request body so far."""
        with self._lock:
            return self._received

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
                with self._lock:
                    self._open.add(connection)
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        buffer = bytearray(_BLOCK)
        with connection, contextlib.suppress(OSError):
            while True:
                head, begun = read_head(connection)
                missing = content_length(head) - len(begun)
                self._count(len(begun))
                while missing > 0:
                    if not (count := connection.recv_into(buffer, min(missing, _BLOCK))):
                        return
                    missing -= count
                    self._count(count)
                connection.sendall(_OK)
        with self._lock:
            self._open.discard(connection)

    def _count(self, number: int) -> None:
        with self._lock:
            self._received += number


def read_head(connection: socket.socket) -> tuple[bytes, bytes]:
    """A message's head, and what came of its body with it.

    Raises:
        ConnectionError: the peer closed before the head was complete.
    """
    received = b""
    while b"\r\n\r\n" not in received:
        if not (more := connection.recv(65536)):
            raise ConnectionError("closed before a complete head")
        received += more
    head, _, begun = received.partition(b"\r\n\r\n")
    return head, begun


def content_length(head: bytes) -> int:
    """The length a head announces.

    Raises:
        ConnectionError: it announces none.
    """
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise ConnectionError("a message without Content-Length")


def upload(port: int, token: str, size: int) -> int:
    """Send a body of *size* bytes and await its answer; return *size*.

    Raises:
        ConnectionError: the answer was not a good one.
    """
    block = memoryview(bytes(_BLOCK))
    head = f"POST /api/sink HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE) as connection:
        connection.sendall(f"{head}Content-Length: {size}\r\n\r\n".encode())
        missing = size
        while missing > 0:
            connection.sendall(block[: min(missing, _BLOCK)])
            missing -= _BLOCK
        _good(read_head(connection)[0])
    return size


def download(port: int, token: str, size: int) -> int:
    """Fetch the long answer and return how long it was.

    Raises:
        ConnectionError: the answer was not a good one, or it ended early.
    """
    head = f"GET /api/stream HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n\r\n"
    buffer = bytearray(_BLOCK)
    with socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE) as connection:
        connection.sendall(head.encode())
        answer, begun = read_head(connection)
        _good(answer)
        got = len(begun)
        while got < size:
            if not (count := connection.recv_into(buffer)):
                raise ConnectionError(f"the answer ended after {got:,} bytes")
            got += count
    return got


def _good(head: bytes) -> None:
    if not head.startswith(b"HTTP/1.1 200"):
        raise ConnectionError(f"answered {head.splitlines()[0].decode(errors='replace')}")


class StreamsPlay:
    """Both directions through one process of the proxy, so that its growth is that of both."""

    def __init__(self, stage: Stage, sink: Sink) -> None:
        self._stage = stage
        self._sink = sink
        self._closed = Closed(stage)
        self._token = stage.mint.token()

    def __call__(self, number: int, peer: Peer, program: Program, port: int) -> Streams:
        self._closed.warm_up(port)
        before = self._sink.received
        up = self._flow(peer, program, lambda: upload(port, self._token, STREAM_BYTES))
        if (arrived := self._sink.received - before) != up.sent:
            raise Failed(f"{arrived:,} of {up.sent:,} bytes sent up arrived")
        down = self._flow(peer, program, lambda: download(port, self._token, STREAM_BYTES))
        for name, flow in (("up", up), ("down", down)):
            say(
                f"  round {number} {peer.name:14} {name:4} {flow.rate / 1e6:6,.0f} MB/s "
                f"{flow.per_gigabyte:.2f} s/GB grew {flow.growth / 2**20:.1f} MiB"
            )
        return Streams(peer.name, number, up, down)

    def _flow(self, peer: Peer, program: Program, one: Callable[[], int]) -> Flow:
        clients = self._stage.scenario.connections
        pids = counted(peer, family(program.pid))
        measure.forget_peak(pids)
        before = measure.memory(pids)

        def all_at_once() -> int:
            with ThreadPoolExecutor(clients) as pool:
                return sum(job.result() for job in [pool.submit(one) for _ in range(clients)])

        sent, used = observed(self._stage, peer, program, all_at_once)
        if sent != clients * STREAM_BYTES:
            raise Failed(f"{sent:,} bytes came, {clients * STREAM_BYTES:,} were due")
        after = measure.memory(pids)
        return Flow(sent, used, before.resident, after.resident, after.peak)
