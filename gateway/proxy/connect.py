"""How a connection to a target is opened: TCP, TLS, unix socket, or the built-in application."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from gateway.proxy.engine import Engine
from gateway.proxy.pool import Connect, Link, Target
from gateway.proxy.upstream import Upstream

L = TypeVar("L", bound=Link)

# A write buffer of 64 KiB would pause and resume the other side with every read of a fast peer.
WRITE_HIGH = 256 * 1024


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS towards a target."""

    context: ssl.SSLContext
    server_name: str


def tcp(engine: Engine, host: str, port: int, tls: Tls | None = None) -> Connect:
    """Return a way to connect to *host*:*port*; the name is resolved anew at each connection."""

    async def connect(target: Target) -> Upstream:
        transport, up = await asyncio.get_running_loop().create_connection(
            lambda: Upstream(engine, target),
            host,
            port,
            ssl=None if tls is None else tls.context,
            server_hostname=None if tls is None else tls.server_name,
        )
        transport.set_write_buffer_limits(high=WRITE_HIGH)
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
