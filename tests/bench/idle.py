"""Many quiet connections: each has had one good answer and is then left alone."""

import contextlib
import resource
import socket
import struct
from collections.abc import Iterator

_SPARE_FILES = 500
# Closing with a reset leaves no port in TIME_WAIT for the next proxy (socket(7), SO_LINGER).
_RESET = struct.pack("ii", 1, 0)


def raise_file_limit() -> int:
    """Allow this process, and all it starts, as many open files as it may have; returns that number."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def affordable(wanted: int) -> int:
    """How many connections one process can hold here."""
    return min(wanted, raise_file_limit() - _SPARE_FILES)


@contextlib.contextmanager
def quiet_connections(port: int, path: str, token: str, count: int) -> Iterator[list[socket.socket]]:
    """Hold *count* keep-alive connections to *port*, each after one answered request.

    Raises:
        ConnectionError: an answer was not 200, or a connection was closed.
    """
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    held: list[socket.socket] = []
    try:
        for _ in range(count):
            one = socket.create_connection(("127.0.0.1", port), timeout=10)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            held.append(one)
            ask_on(one, request)
        yield held
        for one in held[:: max(1, count // 100)]:
            ask_on(one, request)  # they are still alive
    finally:
        for one in held:
            one.close()


def ask_on(one: socket.socket, request: bytes) -> None:
    """Send *request* on an open connection and read its answer to the end."""
    one.sendall(request)
    received = b""
    while b"\r\n\r\n" not in received:
        received += _some(one)
    head, _, body = received.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise ConnectionError(f"answered {head.splitlines()[0].decode(errors='replace')}")
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    missing = length - len(body)
    while missing > 0:
        missing -= len(_some(one))


def _some(one: socket.socket) -> bytes:
    if not (received := one.recv(65536)):
        raise ConnectionError("the proxy closed an idle connection")
    return received
