"""The wire to a Redis or Valkey server: explicit deadlines, no hidden retries, one kind of error.

redis-py's defaults do not suit a gateway (measured: a stopped server costs 3.6 s a call in retries, a frozen one
hangs), so everything that bounds a call is said here. Replies arrive as the wire has them, not reshaped.
"""

import asyncio
import hashlib
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, NamedTuple, TypeVar, cast
from urllib.parse import parse_qs, urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from gateway.errors import ConfigError, StoreUnavailable
from gateway.sessions.replies import Reply

Argument = bytes | str | int

T = TypeVar("T")

_ALIASES = {"valkey": "redis", "valkeys": "rediss", "redis": "redis", "rediss": "rediss", "unix": "unix"}

# Anything else that redis-py reads from a URL could undo the deadlines below (`socket_timeout`, `retry_on_timeout`).
_OPTIONS = frozenset({"db", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname"})

# Enough for hundreds of refreshes a second at the store's 0.2 ms a script; each waits `timeout` at most for its turn.
_CONNECTIONS = 16


class Script(NamedTuple):
    """One Lua script and the name the server's cache knows it by."""

    text: str
    sha: str


def script(name: str) -> Script:
    """Read the script *name* from the package, with the common beginning all of them share."""
    folder = files("gateway.sessions") / "lua"
    text = (folder / "common.lua").read_text("utf-8") + (folder / f"{name}.lua").read_text("utf-8")
    # SHA-1 is the name the protocol gives to a script, not a protection.
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


@dataclass(frozen=True, slots=True)
class Address:
    """Where the store is, and how long one call to it may take."""

    url: str = field(repr=False)
    """May hold a password: never printed."""
    password: str | None = field(default=None, repr=False)
    timeout: float = 0.5

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in _ALIASES:
            raise ConfigError(
                f"store.url has the scheme {parts.scheme!r}: use redis://, rediss://, valkey://, valkeys://, unix:// "
                "or embedded"
            )
        if parts.scheme == "unix" and not parts.path:
            raise ConfigError("store.url: a unix:// address needs the path of a socket, as in unix:///run/valkey.sock")
        if unknown := sorted(set(parse_qs(parts.query, keep_blank_values=True)) - _OPTIONS):
            raise ConfigError(f"store.url has the option {unknown[0]!r}; possible are {', '.join(sorted(_OPTIONS))}")

    def open(self, *, connections: int = _CONNECTIONS, block: float = 0.0) -> "Link":
        """Return a link that is not connected yet; *block* is how long one of its commands may block in the server."""
        scheme, rest = self.url.split(":", 1)
        deadline = self.timeout + block
        extra: dict[str, object] = {} if self.password is None else {"password": self.password}
        if scheme != "unix":
            extra["socket_keepalive"] = True
        try:
            pool = BlockingConnectionPool.from_url(
                f"{_ALIASES[scheme]}:{rest}",
                max_connections=connections,
                timeout=self.timeout,
                socket_connect_timeout=self.timeout,
                socket_timeout=deadline,
                health_check_interval=0,
                retry=Retry(NoBackoff(), 0),
                protocol=2,
                client_name="gateway",
            )
        except ValueError as error:
            raise ConfigError(f"store.url: {error}") from error
        pool.connection_kwargs.update(extra)
        client = Redis(connection_pool=pool)
        client.response_callbacks.clear()
        return Link(client, deadline)


class Link:
    """A bounded set of connections to one server."""

    def __init__(self, client: Redis, deadline: float) -> None:
        self._client = client
        self._deadline = deadline
        self._abandoned: set[asyncio.Future[Any]] = set()

    async def command(self, *arguments: Argument) -> Reply:
        """Send one command and return the reply.

        Raises:
            StoreUnavailable: no answer in time, no connection, or an error reply.
        """
        return await self._bounded(_execute(self._client, arguments), str(arguments[0]))

    async def many(self, commands: Sequence[Sequence[Argument]]) -> list[Reply]:
        """Send *commands* in one go and return their replies in order; they are not a transaction.

        Raises:
            StoreUnavailable: as `command`, also when only one of them failed.
        """
        return await self._bounded(_pipeline(self._client, commands), "pipeline") if commands else []

    async def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument] = ()) -> list[Reply]:
        """Run *script*; a server that lost its script cache is given the text again, in the same call.

        Raises:
            StoreUnavailable: as `command`.
        """
        try:
            reply = await self.command("EVALSHA", script.sha, len(keys), *keys, *arguments)
        except NoScriptError:
            reply = await self.command("EVAL", script.text, len(keys), *keys, *arguments)
        return reply if isinstance(reply, list) else [reply]

    async def _bounded(self, work: Coroutine[object, object, T], name: str) -> T:
        # A task of its own: neither our deadline nor a caller who leaves may cut redis-py in the middle of a command,
        # or the reply would be read by the next one (CVE-2023-28858). It ends by its own socket timeouts.
        call = asyncio.ensure_future(work)
        try:
            done, _ = await asyncio.wait({call}, timeout=self._deadline)
        except asyncio.CancelledError:
            self._abandon(call)
            raise
        if not done:
            self._abandon(call)
            raise StoreUnavailable(f"{name}: no answer within {self._deadline:g} s")
        try:
            return call.result()
        except NoScriptError:
            raise
        except (RedisError, OSError, TimeoutError) as error:
            # Inside a script a demoted primary answers a plain error (redis-py#3443), so the text decides; without its
            # connections the next call finds the new primary.
            if "READONLY" in str(error):
                await self.drop()
            raise StoreUnavailable(f"{name}: {type(error).__name__}: {error}") from error

    async def drop(self) -> None:
        """Close every idle connection, so that the next call resolves the address anew."""
        with suppress(RedisError, OSError):
            await self._client.connection_pool.disconnect(inuse_connections=False)

    async def close(self) -> None:
        """Close every connection."""
        for call in tuple(self._abandoned):
            call.cancel()
        if self._abandoned:
            await asyncio.wait(tuple(self._abandoned))
        with suppress(RedisError, OSError):
            await self._client.aclose(close_connection_pool=True)

    def _abandon(self, call: asyncio.Future[Any]) -> None:
        self._abandoned.add(call)
        call.add_done_callback(self._forget)

    def _forget(self, call: asyncio.Future[Any]) -> None:
        self._abandoned.discard(call)
        if not call.cancelled():
            call.exception()  # looked at, or asyncio reports it as lost


async def _execute(client: Redis, arguments: Sequence[Argument]) -> Reply:
    return cast("Reply", await client.execute_command(*arguments))  # type: ignore[no-untyped-call]


async def _pipeline(client: Redis, commands: Sequence[Sequence[Argument]]) -> list[Reply]:
    async with client.pipeline(transaction=False) as pipe:
        for arguments in commands:
            pipe.execute_command(*arguments)
        return cast("list[Reply]", await pipe.execute())
