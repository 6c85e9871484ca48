"""One Valkey and one Redis server for the whole run, emptied before each test; and ways to move the store's time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Protocol

import pytest
import pytest_asyncio

from gateway.sessions.embedded import EmbeddedStore
from gateway.sessions.store import SessionStore, connect
from tests.programs import require

from .servers import Nodes, cluster, oldest

# Far above anything a healthy store needs: a busy machine must not fail a test that is not about time.
PATIENCE = 5.0


class Reachable(Protocol):
    """Whatever a store can be at."""

    @property
    def url(self) -> str: ...


class Server:
    """A running server, as tests need it."""

    def __init__(self, url: str, pid: int) -> None:
        self.url = url
        self.pid = pid


async def _running(program: Path | None, folder: Path) -> AsyncIterator[Server]:
    embedded = EmbeddedStore(program=program)
    url = await embedded.start(folder)
    assert embedded.pid is not None
    yield Server(url, embedded.pid)
    await embedded.stop()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def valkey(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """The embedded Valkey."""
    async for server in _running(None, tmp_path_factory.mktemp("valkey")):
        yield server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def redis(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """A Redis server of this machine."""
    program = require("redis-server")
    async for server in _running(Path(program), tmp_path_factory.mktemp("redis")):
        yield server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def oldest_redis(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """Redis 6.2."""
    async for server in _running(oldest(), tmp_path_factory.mktemp("oldest")):
        yield server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def nodes(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Nodes]:
    """A cluster of three nodes; a test that upsets it makes its own."""
    async with cluster(tmp_path_factory.mktemp("cluster")) as nodes:
        yield nodes


@pytest.fixture
async def store(valkey: Server) -> AsyncIterator[SessionStore]:
    """An empty store on Valkey."""
    async for store in emptied(valkey):
        yield store


async def emptied(server: Reachable) -> AsyncIterator[SessionStore]:
    """Yield a store on *server* with nothing in it."""
    store = connect(server.url, timeout=PATIENCE)
    await store.link.command("FLUSHALL")
    yield store
    await store.close()


async def eventually(holds: Callable[[], bool]) -> None:
    """Return once *holds* does; fail when that takes absurdly long."""
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.005)


async def pass_time(store: SessionStore, tag: bytes, session: str, seconds: float) -> None:
    """Make it so that *seconds* passed for a session: everything the store remembers of it happened earlier."""
    keys = store.keys.of(tag)
    shift = round(seconds * 1000)
    for key, fields in ((keys.session(session), ("ra", "ca", "ea", "lu")), (keys.user, ("cut", "last"))):
        reply = await store.link.command("HMGET", key, *fields)
        assert isinstance(reply, list)
        for field, value in zip(fields, reply, strict=True):
            if isinstance(value, bytes) and int(value) > 0:
                await store.link.command("HSET", key, field, int(value) - shift)
    if await store.link.command("ZSCORE", keys.index, session) is not None:
        await store.link.command("ZINCRBY", keys.index, -shift, session)
