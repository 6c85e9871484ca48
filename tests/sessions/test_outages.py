"""A feed that is cut while people are logged out: afterwards no process has missed a revocation that was acknowledged.

Real servers. One process revokes without a pause, the fault comes in the middle of it; who is told "later" asks again,
as a client does. What counts in the end is another process, which followed all along, and one that starts only then.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway.errors import StoreUnavailable
from gateway.sessions.cluster import slot_of
from gateway.sessions.feed import FeedState
from gateway.sessions.revocations import Entry, Kind

from .conftest import Server, eventually
from .servers import cluster, redis, watched
from .test_feed import Replica, replica

TIMEOUT = 0.5

# On a busy machine redis-py sometimes leaves the socket of a connection that was given up in the making to the garbage
# collector, which says so in whatever test runs then.
pytestmark = pytest.mark.filterwarnings("default::pytest.PytestUnraisableExceptionWarning")


class Place(NamedTuple):
    """Where a store is, as `replica` wants it."""

    url: str

    def server(self) -> Server:
        return Server(self.url, 0)


class Revoking:
    """Ends one session after the other, each until it is acknowledged."""

    def __init__(self, one: Replica) -> None:
        self._one = one
        self.acknowledged: list[str] = []
        self.failures = 0
        self._stop = False

    async def run(self) -> None:
        while not self._stop:
            name = f"s{len(self.acknowledged)}"
            try:
                await self._one.feed.publish(Entry(Kind.SESSION, name))
            except StoreUnavailable:
                assert self._one.refuses(name)  # it is enforced here whatever becomes of the rest
                self.failures += 1
                await asyncio.sleep(0.02)
            else:
                self.acknowledged.append(name)
                await asyncio.sleep(0.005)

    async def more(self, count: int = 20) -> None:
        """Return when so many more have been acknowledged."""
        goal = len(self.acknowledged) + count
        await eventually(lambda: len(self.acknowledged) >= goal)

    async def finish(self, running: "asyncio.Task[None]") -> None:
        self._stop = True
        await running


async def none_is_missed(url: str, fault: Callable[[Revoking], Awaitable[None]]) -> Revoking:
    """Let *fault* happen to the store at *url* in the middle of many revocations; then count."""
    server = Place(url).server()
    async with AsyncExitStack() as exits:
        one, two = [await exits.enter_async_context(replica(server, name, TIMEOUT)) for name in ("one", "two")]
        for each in (one, two):
            await each.follow()
        revoking = Revoking(one)
        running = asyncio.ensure_future(revoking.run())
        await revoking.more()
        await fault(revoking)
        await revoking.more()
        await revoking.finish(running)
        await eventually(lambda: all(two.refuses(name) for name in revoking.acknowledged))
        await eventually(lambda: {one.feed.state, two.feed.state} == {FeedState.FRESH})
        late = await exits.enter_async_context(replica(server, "late", 5.0))
        await late.follow()
        await eventually(lambda: all(late.refuses(name) for name in revoking.acknowledged))
    return revoking


@pytest.mark.item(106)
async def test_while_its_connections_are_cut(tmp_path: Path) -> None:
    async with redis(tmp_path) as server:

        async def cut(revoking: Revoking) -> None:
            for _ in range(3):
                await server.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                await revoking.more(5)

        await none_is_missed(server.url, cut)


@pytest.mark.item(106, 109)
async def test_while_the_server_is_frozen(tmp_path: Path) -> None:
    async with redis(tmp_path) as server:

        async def freeze(revoking: Revoking) -> None:
            before = revoking.failures
            with server.frozen():
                await eventually(lambda: revoking.failures > before)

        await none_is_missed(server.url, freeze)


@pytest.mark.parametrize("options", [("--appendonly", "yes"), ()], ids=["keeps its file", "comes back empty"])
@pytest.mark.item("F10", 106)
async def test_while_the_server_is_killed_and_started_again(tmp_path: Path, options: tuple[str, ...]) -> None:
    async with redis(tmp_path, *options) as server:

        async def kill(revoking: Revoking) -> None:
            before = revoking.failures
            server.kill()
            await eventually(lambda: revoking.failures > before)
            await server.start()

        await none_is_missed(server.url, kill)


@pytest.mark.item("F10", 107)
async def test_while_everything_is_deleted(tmp_path: Path) -> None:
    async with redis(tmp_path) as server:

        async def flush(revoking: Revoking) -> None:
            for _ in range(2):
                await server.ask("FLUSHALL")
                await revoking.more()

        await none_is_missed(server.url, flush)


@pytest.mark.item(106)
async def test_while_a_replica_is_promoted_that_has_not_heard_of_the_last_ones(tmp_path: Path) -> None:
    async with watched(tmp_path) as sentinels:

        async def lose(revoking: Revoking) -> None:
            old = await sentinels.primary()
            (other,) = [server for server in sentinels.servers if server is not old]
            with other.frozen():
                await old.ask("CLIENT", "KILL", "TYPE", "replica")
                await revoking.more()  # acknowledged, and known to nobody but the processes that run
                old.kill()
            await other.until(lambda reply: isinstance(reply, list) and reply[0] == b"master", "ROLE")

        await none_is_missed(sentinels.url, lose)


@pytest.mark.item(106)
async def test_while_the_stream_moves_to_another_node_and_back(tmp_path: Path) -> None:
    async with cluster(tmp_path) as nodes:
        slot = slot_of(("XLEN", "gw:{rev}"))
        assert slot is not None

        async def reshard(revoking: Revoking) -> None:
            first = await nodes.owner(slot)
            other = next(node for node in nodes.nodes if node is not first)
            await nodes.begin_moving(slot, first, other)
            await revoking.more(5)
            await nodes.finish_moving(slot, first, other)
            await revoking.more()
            await nodes.move(slot, other, first)

        await none_is_missed(nodes.url, reshard)
