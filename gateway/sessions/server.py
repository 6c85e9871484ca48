"""One Redis or Valkey server: explicit deadlines, no hidden retries, a bounded pool, one kind of error.

redis-py's defaults do not suit a gateway (measured: a stopped server costs 3.6 s a call in retries, a frozen one
hangs), so everything that bounds a call is said here. Replies arrive as the wire has them, not reshaped.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway.errors import StoreUnavailable
from gateway.sessions.address import HostPort, Place
from gateway.sessions.breaker import Breaker
from gateway.sessions.replies import Reply
from gateway.sessions.trouble import SILENT, unavailable

Argument = bytes | str | int
Command = Sequence[Argument]


class Server:
    """A bounded set of connections to one server, and the breaker before it."""

    def __init__(self, pool: BlockingConnectionPool, breaker: Breaker) -> None:
        self._client = Redis(connection_pool=pool)
        self._client.response_callbacks.clear()
        self.breaker = breaker

    async def send(self, commands: Sequence[Command]) -> list[Reply]:
        """Send *commands* in one go on one connection and return their replies in order; no transaction.

        Raises:
            StoreUnavailable: no answer in time, no connection, or an error reply to any of them.
        """
        name = str(commands[0][0])
        if not self.breaker.admits():
            raise StoreUnavailable(f"{name}: not asked, the server was silent just now", "open")
        try:
            replies = await self._exchange(commands)
        except (RedisError, OSError, TimeoutError) as error:
            trouble = unavailable(name, error)
            if trouble.kind in SILENT:
                self.breaker.silent()
            elif trouble.kind != "pool":
                self.breaker.answered()
            raise trouble from error
        self.breaker.answered()
        return replies

    async def _exchange(self, commands: Sequence[Command]) -> list[Reply]:
        if len(commands) == 1:
            reply = await self._client.execute_command(*commands[0])  # type: ignore[no-untyped-call]
            return [cast("Reply", reply)]
        async with self._client.pipeline(transaction=False) as pipe:
            for arguments in commands:
                pipe.execute_command(*arguments)
            replies = await pipe.execute(raise_on_error=False)
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return cast("list[Reply]", replies)

    async def each(self, command: Command) -> list[Reply]:
        """Send *command* to every server there is: this one."""
        return await self.send([command])

    async def drop(self) -> None:
        """Close every idle connection, so that the next call resolves the address anew."""
        with suppress(RedisError, OSError):
            await self._client.connection_pool.disconnect(inuse_connections=False)

    async def close(self) -> None:
        """Close every connection."""
        with suppress(RedisError, OSError):
            await self._client.aclose(close_connection_pool=True)


def server(
    place: Place,
    where: HostPort | None,
    *,
    username: str | None,
    password: str | None,
    database: int,
    connections: int,
    timeout: float,
    block: float,
    clock: Callable[[], float] | None = None,
) -> Server:
    """Return the server at *where*, or at the socket of *place*; not connected yet.

    *timeout* bounds connecting, an answer, and the wait for a free connection; *block* is added for an answer that the
    server may hold back on purpose.
    """
    settings: dict[str, Any] = {
        "username": username,
        "password": password,
        "db": database,
        "socket_connect_timeout": timeout,
        "socket_timeout": timeout + block,
        "health_check_interval": 0,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        "client_name": "gateway",
    }
    if where is None:
        kind: type = UnixDomainSocketConnection
        settings["path"] = place.socket
    else:
        kind = SSLConnection if place.is_tls else Connection
        settings |= {"host": where.host, "port": where.port, "socket_keepalive": True}
        if place.is_tls:
            settings |= _tls(place)
    pool = BlockingConnectionPool(connection_class=kind, max_connections=connections, timeout=timeout, **settings)
    return Server(pool, Breaker(clock or _loop_time))


def _tls(place: Place) -> dict[str, Any]:
    options = {name: value for name, value in place.options.items() if name.startswith("ssl_")}
    required = options.get("ssl_cert_reqs", "required").lower()
    checks = options.get("ssl_check_hostname", "true").lower() == "true" and required != "none"
    return {**options, "ssl_cert_reqs": required, "ssl_check_hostname": checks}


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
