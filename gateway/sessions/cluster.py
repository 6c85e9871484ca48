"""A cluster: each call goes to the node that owns the slot of its keys, found again when a slot moves.

Every script of ours names keys of one slot (the hash tags of the key table see to that), so a call is one node's
affair, and one dead node is an outage for its own users alone. A node that says MOVED or ASK has done nothing, so the
other node is asked in the same call; but never by a reader of the feed, for whom another node means other ids, and who
has to read all of it again. While the keys of a script are on both sides of a move, or some are new, neither node does
anything (TRYAGAIN): then it waits for the move, as long as a call may take.

Source: the Redis Cluster specification, sections "Redirection and resharding" and "Hash tags".
"""

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Sequence

from redis.crc import key_slot

from gateway.errors import StoreUnavailable
from gateway.sessions.address import HostPort
from gateway.sessions.replies import Reply, items, number, text
from gateway.sessions.server import Argument, Command, Server
from gateway.sessions.trouble import SILENT, Elsewhere

_REDIRECTIONS = 5
_BETWEEN_TRIES = 0.02
"""Seconds until keys that are under way between two nodes are asked for again."""
_PATIENCE = 0.8
"""The part of a call's time for which they are: what is left is for the answer, and for saying why there is none."""
_DOUBTFUL = SILENT | {"readonly", "masterdown", "clusterdown", "open", "loading"}
_EVERYWHERE = frozenset({"PING", "INFO", "SCRIPT", "CONFIG", "FLUSHALL", "KEYS"})


def key_of(command: Command) -> Argument | None:
    """Return the first key of *command*; None when it has none and concerns every node."""
    match command:
        case ("EVAL" | "EVALSHA", _, _, key, *_):
            return key
        case ("XREAD", *rest):
            return rest[rest.index("STREAMS") + 1]
        case (str(name), *_) if name in _EVERYWHERE:
            return None
        case (_, key, *_):
            return key
        case _:
            return None


def slot_of(command: Command) -> int | None:
    """Return the slot of *command*'s keys."""
    key = key_of(command)
    return None if key is None else key_slot(key if isinstance(key, bytes) else str(key).encode())


class Cluster:
    """Sends to the node that owns what a call is about."""

    def __init__(self, seeds: Sequence[HostPort], connect: Callable[[HostPort], Server], deadline: float) -> None:
        """*seeds*: nodes to begin with; *connect* makes the link to a node, which is kept.

        *deadline*: seconds that a call may take.
        """
        self._patience = deadline * _PATIENCE
        self._seeds = seeds
        self._connect = connect
        self._nodes: dict[HostPort, Server] = {}
        # First slots of the ranges, and who owns what begins there.
        self._starts: list[int] = []
        self._owners: list[HostPort] = []
        self._search: asyncio.Task[None] | None = None
        self._asked: set[asyncio.Task[list[tuple[int, HostPort]]]] = set()

    async def send(self, commands: Sequence[Command]) -> list[Reply]:
        """Send *commands*, each to its node, and return their replies in order.

        What follows a command without naming a key (WAIT) belongs to it.
        """
        if slot_of(commands[0]) is None:
            return (await self.each(commands[0]))[:1]
        groups: dict[int, list[int]] = {}
        slot = 0
        for at, command in enumerate(commands):
            slot = slot if command[0] == "WAIT" else slot_of(command) or 0
            groups.setdefault(slot, []).append(at)
        answers = await asyncio.gather(
            *(self._at(slot, [commands[at] for at in members]) for slot, members in groups.items())
        )
        replies: list[Reply] = [None] * len(commands)
        for members, answered in zip(groups.values(), answers, strict=True):
            for at, reply in zip(members, answered, strict=True):
                replies[at] = reply
        return replies

    async def each(self, command: Command) -> list[Reply]:
        """Send *command* to every primary."""
        if not self._owners:
            await self._learn()
        try:
            answers = await asyncio.gather(
                *(self._node(where).send([command]) for where in dict.fromkeys(self._owners))
            )
        except StoreUnavailable as error:
            if error.kind in _DOUBTFUL:
                self._owners = []
            raise
        return [reply for (reply,) in answers]

    async def drop(self) -> None:
        """Close idle connections and learn anew who owns what."""
        self._owners = []
        for node in self._nodes.values():
            await node.drop()

    async def close(self) -> None:
        """Close every connection."""
        for task in (*self._asked, *([self._search] if self._search else ())):
            task.cancel()
        await asyncio.gather(*self._asked, return_exceptions=True)
        for node in self._nodes.values():
            await node.close()

    async def _at(self, slot: int, commands: Sequence[Command]) -> list[Reply]:
        if not self._owners:
            await self._learn()
        owner = node = self._node(self._owners[bisect_right(self._starts, slot) - 1])
        is_asking = False
        now = asyncio.get_running_loop().time
        until = now() + self._patience
        redirections = 0
        while redirections < _REDIRECTIONS:
            try:
                if not is_asking:
                    return await node.send(commands)
                # ASKING holds for the one command after it.
                return (await node.send([part for command in commands for part in (("ASKING",), command)]))[1::2]
            except Elsewhere as error:
                is_asking = error.kind == "ask"
                if not is_asking:
                    self._owners = []
                if commands[0][0] == "XREAD":
                    raise
                redirections += 1
                node = self._node(error.node)
            except StoreUnavailable as error:
                if error.kind in _DOUBTFUL:
                    self._owners = []
                if error.kind != "tryagain" or now() >= until:
                    raise
                await asyncio.sleep(_BETWEEN_TRIES)
                node, is_asking, redirections = owner, False, 0  # by now the keys may be together, wherever that is
        raise StoreUnavailable(f"{commands[0][0]!s}: the keys of slot {slot} are between two nodes", "tryagain")

    def _node(self, where: HostPort) -> Server:
        node = self._nodes.get(where)
        if node is None:
            node = self._nodes[where] = self._connect(where)
        return node

    async def _learn(self) -> None:
        # One search for all who wait; it goes on when one of them leaves.
        if self._search is None:
            self._search = asyncio.ensure_future(self._learned())
            self._search.add_done_callback(self._ended)
        await asyncio.shield(self._search)

    def _ended(self, search: asyncio.Task[None]) -> None:
        self._search = None
        if not search.cancelled():
            search.exception()  # looked at, or asyncio reports it as lost when all who waited have left

    async def _learned(self) -> None:
        """Ask every node that is known who owns which slots; the first answer counts, as one of them may be frozen."""
        tasks = [asyncio.ensure_future(self._ask(where)) for where in dict.fromkeys((*self._nodes, *self._seeds))]
        for task in tasks:
            self._asked.add(task)
            task.add_done_callback(self._asked.discard)
        for answer in asyncio.as_completed(tasks):
            if ranges := await answer:
                # A slot before the first range has no owner: whoever is asked says CLUSTERDOWN.
                self._starts = [0, *(start for start, _ in ranges[1:])]
                self._owners = [owner for _, owner in ranges]
                return
        raise StoreUnavailable("no node of the cluster answers", "connection")

    async def _ask(self, where: HostPort) -> list[tuple[int, HostPort]]:
        try:
            (reply,) = await self._node(where).send([("CLUSTER", "SLOTS")])
        except StoreUnavailable:
            return []
        return sorted(_range(row, where) for row in items(reply))


def _range(row: Reply, asked: HostPort) -> tuple[int, HostPort]:
    """Read one row of CLUSTER SLOTS: first slot, last slot, primary, replicas."""
    start, _, primary, *_ = items(row)
    host, port, *_ = items(primary)
    # No host: the node does not know how others call it, so it is called as we called it.
    return number(start), HostPort(text(host) or asked.host, number(port))
