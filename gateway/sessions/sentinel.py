"""The primary that Sentinels name, found again whenever it is not the primary any more.

The answer of more than half of the Sentinels counts, or the commonest one when fewer answer, and the server must itself
say that it is a primary: a Sentinel that was cut off goes on naming the old one.

Source: the guidelines for Sentinel clients in the Redis documentation.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence

from gateway.errors import StoreUnavailable
from gateway.sessions.address import HostPort
from gateway.sessions.replies import Reply, items, number, text
from gateway.sessions.server import Command, Server
from gateway.sessions.trouble import SILENT

# Whoever answers so is no primary, and has done nothing: the new one may be asked in the same call.
_DEMOTED = frozenset({"readonly", "masterdown"})
_DOUBTFUL = SILENT | _DEMOTED | {"open", "loading"}


class Sentinels:
    """Sends to whichever server is the primary."""

    def __init__(self, name: str, sentinels: Sequence[Server], connect: Callable[[HostPort], Server]) -> None:
        """*name* is the primary's name; *connect* makes the link to a server, which is kept."""
        self._name = name
        self._sentinels = sentinels
        self._connect = connect
        self._servers: dict[HostPort, Server] = {}
        self._primary: Server | None = None
        self._search: asyncio.Task[Server] | None = None
        self._asked: set[asyncio.Task[HostPort | None]] = set()

    async def send(self, commands: Sequence[Command]) -> list[Reply]:
        """Send *commands* to the primary, and once more to the next one when the first says it is none."""
        primary = await self._find()
        try:
            return await primary.send(commands)
        except StoreUnavailable as error:
            if error.kind in _DOUBTFUL and self._primary is primary:
                self._primary = None
                await primary.drop()
            if error.kind not in _DEMOTED:
                raise
        return await (await self._find()).send(commands)

    async def each(self, command: Command) -> list[Reply]:
        """Send *command* to every primary: there is one."""
        return await self.send([command])

    async def drop(self) -> None:
        """Close idle connections and find the primary anew."""
        self._primary = None
        for server in self._servers.values():
            await server.drop()

    async def close(self) -> None:
        """Close every connection."""
        for task in (*self._asked, *([self._search] if self._search else ())):
            task.cancel()
        await asyncio.gather(*self._asked, return_exceptions=True)
        for server in (*self._sentinels, *self._servers.values()):
            await server.close()

    async def _find(self) -> Server:
        if self._primary is not None:
            return self._primary
        # One search for all who wait; it goes on when one of them leaves.
        if self._search is None:
            self._search = asyncio.ensure_future(self._searched())
            self._search.add_done_callback(self._found)
        return await asyncio.shield(self._search)

    def _found(self, search: asyncio.Task[Server]) -> None:
        self._search = None
        if not search.cancelled() and search.exception() is None:
            self._primary = search.result()

    async def _searched(self) -> Server:
        for where in await self._named():
            server = self._servers.get(where)
            if server is None:
                server = self._servers[where] = self._connect(where)
            try:
                role = items((await server.send([("ROLE",)]))[0])
            except StoreUnavailable:
                continue
            if role and role[0] == b"master":
                return server
        raise StoreUnavailable(f"no Sentinel names a primary {self._name} that is one", "sentinel")

    async def _named(self) -> list[HostPort]:
        """Return the addresses that were named, the commonest first."""
        tasks = [asyncio.ensure_future(self._ask(sentinel)) for sentinel in self._sentinels]
        for task in tasks:
            self._asked.add(task)
            task.add_done_callback(self._asked.discard)
        votes: Counter[HostPort] = Counter()
        for answer in asyncio.as_completed(tasks):
            where = await answer
            if where is not None:
                votes[where] += 1
                if votes[where] * 2 > len(tasks):
                    break  # the others cannot change it, and one of them may be frozen
        return [where for where, _ in votes.most_common()]

    async def _ask(self, sentinel: Server) -> HostPort | None:
        try:
            (reply,) = await sentinel.send([("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._name)])
            host, port = items(reply)
        except (StoreUnavailable, ValueError):
            return None
        return HostPort(text(host), number(port))
