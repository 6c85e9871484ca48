"""The wire to the store: a call with a deadline, over one server, Sentinels or a cluster.

The deadline holds for the whole of a call, whatever it takes: a free connection, finding the primary, following a slot
that has moved. Nothing is retried but what was certainly not done.
"""

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Sequence
from importlib.resources import files
from typing import Any, NamedTuple, Protocol, TypeVar

from gateway.errors import StoreUnavailable
from gateway.sessions.address import Address, HostPort, Topology
from gateway.sessions.cluster import Cluster
from gateway.sessions.replies import Reply, number
from gateway.sessions.sentinel import Sentinels
from gateway.sessions.server import Command, Server, server

Argument = bytes | str | int

T = TypeVar("T")

# Enough for hundreds of refreshes a second at the store's 0.2 ms a script; each waits `timeout` at most for its turn.
_CONNECTIONS = 16
_WAIT = 0.05
"""Seconds for which a write waits for replicas (identity.md 2.7)."""


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


class Route(Protocol):
    """The way to the server that a call is for."""

    async def send(self, commands: Sequence[Command]) -> list[Reply]: ...
    async def each(self, command: Command) -> list[Reply]: ...
    async def drop(self) -> None: ...
    async def close(self) -> None: ...


class Link:
    """Calls to the store."""

    def __init__(
        self,
        route: Route,
        deadline: float,
        *,
        replicas: int = 0,
        on_trouble: Callable[[StoreUnavailable], None] = lambda trouble: None,
    ) -> None:
        """*replicas* a durable write waits for; *on_trouble* is told of every call that fails."""
        self._route = route
        self._deadline = deadline
        self._replicas = replicas
        self._on_trouble = on_trouble
        self._abandoned: set[asyncio.Future[Any]] = set()
        self.unreplicated = 0
        """Durable writes that too few replicas had in time."""

    async def command(self, *arguments: Argument) -> Reply:
        """Send one command and return the reply.

        Raises:
            StoreUnavailable: no answer in time, no connection, or an error reply.
        """
        return (await self._call(self._route.send([arguments]), str(arguments[0])))[0]

    async def many(self, commands: Sequence[Command]) -> list[Reply]:
        """Send *commands* in one go and return their replies in order; they are not a transaction.

        Raises:
            StoreUnavailable: as `command`, also when only one of them failed.
        """
        return await self._call(self._route.send(commands), "pipeline") if commands else []

    async def each(self, *arguments: Argument) -> list[Reply]:
        """Send one command to every primary and return their replies.

        Raises:
            StoreUnavailable: as `command`, also when only one of them failed.
        """
        return await self._call(self._route.each(arguments), str(arguments[0]))

    async def run(
        self, script: Script, keys: Sequence[str], arguments: Sequence[Argument] = (), *, is_durable: bool = False
    ) -> list[Reply]:
        """Run *script*; a server that lost its script cache is given the text again, in the same call.

        *is_durable*: replicas should have it before it counts, where the address says how many.

        Raises:
            StoreUnavailable: as `command`.
        """
        reply = await self._call(self._run(script, (len(keys), *keys, *arguments), is_durable), "EVALSHA")
        return reply if isinstance(reply, list) else [reply]

    async def _run(self, script: Script, rest: Command, is_durable: bool) -> Reply:
        # On the same connection, as WAIT is about the writes of its own.
        wait = [("WAIT", self._replicas, round(_WAIT * 1000))] if is_durable and self._replicas else []
        try:
            reply, *waited = await self._route.send([("EVALSHA", script.sha, *rest), *wait])
        except StoreUnavailable as error:
            if error.kind != "noscript":
                raise
            reply, *waited = await self._route.send([("EVAL", script.text, *rest), *wait])
        if waited and number(waited[0]) < self._replicas:
            self.unreplicated += 1
        return reply

    async def _call(self, work: Coroutine[object, object, T], name: str) -> T:
        try:
            return await self._bounded(work, name)
        except StoreUnavailable as error:
            self._on_trouble(error)
            raise

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
            raise StoreUnavailable(f"{name}: no answer within {self._deadline:g} s", "timeout")
        try:
            return call.result()
        except StoreUnavailable as error:
            if error.kind == "readonly":
                # Without its connections the next call resolves the name anew, and may find the primary.
                await self._route.drop()
            raise

    async def close(self) -> None:
        """Close every connection."""
        for call in tuple(self._abandoned):
            call.cancel()
        if self._abandoned:
            await asyncio.wait(tuple(self._abandoned))
        await self._route.close()

    def _abandon(self, call: asyncio.Future[Any]) -> None:
        self._abandoned.add(call)
        call.add_done_callback(self._forget)

    def _forget(self, call: asyncio.Future[Any]) -> None:
        self._abandoned.discard(call)
        if not call.cancelled():
            call.exception()  # looked at, or asyncio reports it as lost


def open_link(
    address: Address,
    *,
    connections: int = _CONNECTIONS,
    block: float = 0.0,
    on_trouble: Callable[[StoreUnavailable], None] = lambda trouble: None,
) -> Link:
    """Return a link to *address* that is not connected yet.

    *block* is how long one of its commands may block in the server.
    """
    place = address.place
    password = place.password if address.password is None else address.password

    def connect(where: HostPort | None) -> Server:
        return server(
            place,
            where,
            username=place.username,
            password=password,
            database=place.database,
            connections=connections,
            timeout=address.timeout,
            block=block,
        )

    def sentinel(where: HostPort) -> Server:
        secret = address.sentinel_password
        return server(
            place, where, username=None, password=secret, database=0, connections=1, timeout=address.timeout, block=0.0
        )

    route: Route
    match place.topology:
        case Topology.SENTINEL:
            route = Sentinels(place.primary, [sentinel(where) for where in place.hosts], connect)
        case Topology.CLUSTER:
            route = Cluster(place.hosts, connect, address.timeout)
        case Topology.SINGLE:
            route = connect(place.hosts[0] if place.hosts else None)
    return Link(route, address.timeout + block, replicas=address.replicas, on_trouble=on_trouble)
