"""A client that is no client at all: a socket, any bytes one likes, and a strict reading of what comes back."""

import contextlib
import select
import socket
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Self


class Said(NamedTuple):
    """One answer."""

    status: int
    fields: dict[str, str]
    """By lower-case name; a field that came twice is joined by a line end, which no value can hold."""
    body: bytes

    @property
    def closes(self) -> bool:
        """The answer announces that the connection ends with it."""
        return self.fields.get("connection", "").lower() == "close"


class Cut(Exception):
    """The connection ended in the middle of an answer, or before one."""


class Wire:
    """One connection."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._read = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Send *data*; that the other side has closed meanwhile is noticed when its answer is read."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(data)

    def send_while_silent(self, pieces: Iterable[bytes]) -> int:
        """Send *pieces* until something comes back; return how many bytes went out."""
        sent = 0
        for piece in pieces:
            if select.select([self._socket], [], [], 0)[0]:
                break
            self._socket.sendall(piece)
            sent += len(piece)
        return sent

    def say_no_more(self) -> None:
        """Close our direction."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def answer(self, *, to_head: bool = False) -> Said:
        """Return the next answer.

        Raises:
            Cut: there is none, or only a part of one.
        """
        head = self._until(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").split("\r\n")
        version, status = line.split(" ")[:2]
        assert version == "HTTP/1.1", line
        fields: dict[str, str] = {}
        for name, _, value in (field.partition(":") for field in lines):
            key = name.lower()
            fields[key] = f"{fields[key]}\n{value.strip()}" if key in fields else value.strip()
        if to_head or status in ("204", "304"):
            return Said(int(status), fields, b"")
        if "transfer-encoding" in fields:
            return Said(int(status), fields, b"".join(self._chunks()))
        return Said(int(status), fields, self._take(int(fields["content-length"])))

    def is_closed(self) -> bool:
        """Wait for more; tell whether the other side ended the connection in good order instead of sending it.

        Raises:
            ConnectionResetError: it was torn down.
        """
        return not self._read and self._socket.recv(1) == b""

    def answers_until_closed(self) -> Iterator[Said]:
        """Yield all answers until the other side ends the connection in good order."""
        while self._read or self._more():
            yield self.answer()

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self._until(b"\r\n"), 16):
            yield self._take(size)
            assert self._take(2) == b"\r\n"
        assert self._until(b"\r\n") == b""

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._read:
            self._need()
        found, _, self._read = self._read.partition(mark)
        return found

    def _take(self, size: int) -> bytes:
        while len(self._read) < size:
            self._need()
        taken, self._read = self._read[:size], self._read[size:]
        return taken

    def _need(self) -> None:
        if not self._more():
            raise Cut(f"the connection ended after {self._read!r}")

    def _more(self) -> bool:
        piece = self._socket.recv(65536)
        self._read += piece
        return piece != b""
