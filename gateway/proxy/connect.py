"""How a connection to a target is opened: TCP, TLS, unix socket, or the built-in application."""

import asyncio
import contextlib
import math
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Protocol, TypeVar

from gateway.proxy.engine import Engine
from gateway.proxy.keepalive import stay_alive
from gateway.proxy.pool import OURS, Connect, Link, Target
from gateway.proxy.upstream import Upstream

L = TypeVar("L", bound=Link)

# A write buffer of 64 KiB would pause and resume the other side with every read of a fast peer.
WRITE_HIGH = 256 * 1024


FRESH = 5.0
"""Seconds an answer of the name server is good for; `getaddrinfo` does not tell how long it really is."""
PATIENCE = 0.5
"""Seconds to wait for a new answer while there is an old one."""
SHARE = 1.0
"""Seconds for one address of a name while there is another to try."""


class Lookup(Protocol):
    """How a name is resolved: as `loop.getaddrinfo` does it."""

    async def __call__(self, _host: str, _port: int, /, *, type: int) -> Sequence[tuple[Any, ...]]:  # noqa: A002
        ...


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS towards a target."""

    context: ssl.SSLContext
    server_name: str


class Addresses:
    """The addresses of one name: looked up every few seconds at most, the last good ones kept when that fails.

    One question is out at a time, whoever waits for it, so a name server that does not answer occupies one thread.
    """

    def __init__(self, host: str, port: int, *, lookup: Lookup | None, monotonic: Callable[[], float]) -> None:
        """*lookup* is `loop.getaddrinfo` unless something else is given."""
        self._host = host
        self._port = port
        self._lookup = lookup
        self._monotonic = monotonic
        self._asked_at = -FRESH
        self._task: asyncio.Task[None] | None = None
        self._error: OSError | None = None
        self._known: tuple[str, ...] = ()
        """The last good answer; what failed to connect is at its end."""
        with contextlib.suppress(ValueError):
            self._known = (str(ip_address(host)),)
            self._asked_at = math.inf

    async def known(self) -> tuple[str, ...]:
        """Return the addresses, the best first, never none.

        Raises:
            OSError: the name has never been resolved.
        """
        if self._monotonic() - self._asked_at >= FRESH:
            if self._task is None:
                self._task = asyncio.get_running_loop().create_task(self._ask())
            # Whoever knows an address from before does not wait long for a better one.
            await asyncio.wait((self._task,), timeout=PATIENCE if self._known else None)
        if not self._known:
            raise self._error or OSError("no address")
        return self._known

    def failed(self, address: str) -> None:
        """Put *address* behind the others until the next answer: it could not be connected to."""
        if address in self._known and self._known[-1] != address:
            self._known = (*(each for each in self._known if each != address), address)

    async def _ask(self) -> None:
        lookup = self._lookup or asyncio.get_running_loop().getaddrinfo
        try:
            found = await lookup(self._host, self._port, type=socket.SOCK_STREAM)
            addresses = tuple(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
            if set(addresses) != set(self._known):
                self._known = addresses or self._known
            self._error = None if addresses else OSError("the name has no address")
        except (OSError, UnicodeError) as error:  # UnicodeError: a name that cannot be one
            self._error = error if isinstance(error, OSError) else OSError(f"{self._host}: {error}")
        finally:
            self._asked_at = self._monotonic()
            self._task = None


def tcp(engine: Engine, host: str, port: int, tls: Tls | None = None, *, lookup: Lookup | None = None) -> Connect:
    """Return a way to connect to *host*:*port*; all addresses of the name are tried, one after the other."""
    addresses = Addresses(host, port, lookup=lookup, monotonic=engine.monotonic)

    async def connect(target: Target) -> Upstream:
        left = list(await addresses.known())
        while True:
            address = left.pop(0)
            try:
                async with asyncio.timeout(SHARE if left else None):
                    return await reach(address, target)
            except OSError as error:
                if not left or error.errno in OURS:
                    raise
                addresses.failed(address)

    async def reach(address: str, target: Target) -> Upstream:
        transport, up = await asyncio.get_running_loop().create_connection(
            lambda: Upstream(engine, target),
            address,
            port,
            ssl=None if tls is None else tls.context,
            server_hostname=None if tls is None else tls.server_name,
        )
        transport.set_write_buffer_limits(high=WRITE_HIGH)
        stay_alive(transport.get_extra_info("socket"))
        return up

    return connect


def unix(engine: Engine, path: str) -> Connect:
    """Return a way to connect to the unix socket at *path*."""

    async def connect(target: Target) -> Upstream:
        transport, up = await asyncio.get_running_loop().create_unix_connection(lambda: Upstream(engine, target), path)
        transport.set_write_buffer_limits(high=WRITE_HIGH)
        return up

    return connect


def builtin(engine: Engine, serve: Callable[[L], asyncio.Protocol], make_link: Callable[[], L]) -> Connect:
    """Return a way to connect to the application inside this process.

    *serve* makes a server protocol that knows its *link*. A socket pair stands between the two, so the application sees
    ordinary HTTP that went through the gate, and there is no address at which it could be reached around it.
    """

    async def connect(target: Target) -> Upstream:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        link = make_link()
        await loop.connect_accepted_socket(lambda: serve(link), theirs)
        _, up = await loop.create_connection(lambda: Upstream(engine, target, link), sock=ours)
        return up

    return connect
