"""The embedded server: private, durable, alone on its directory, and never left behind."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.sessions import embedded, launch
from gateway.sessions.embedded import EmbeddedStore, answers, find_server
from gateway.sessions.store import SessionStore, connect

from .conftest import PATIENCE, eventually


class Starter:
    """Starts servers that are stopped at the end of the test."""

    def __init__(self) -> None:
        self.running: list[tuple[EmbeddedStore, SessionStore]] = []
        self.events: list[str] = []

    async def __call__(self, folder: Path) -> tuple[EmbeddedStore, SessionStore]:
        server = EmbeddedStore(on_event=lambda event, facts: self.events.append(event))
        store = connect(await server.start(folder), timeout=PATIENCE)
        self.running.append((server, store))
        return server, store


@pytest.fixture
async def start() -> AsyncIterator[Starter]:
    starter = Starter()
    yield starter
    for server, store in starter.running:
        await store.close()
        await server.stop()


async def written(store: SessionStore) -> None:
    """Return when everything is in the file: with `everysec` a write may wait for a slow fsync."""

    async def buffered() -> str:
        info = await store.link.command("INFO", "persistence")
        assert isinstance(info, bytes)
        return dict(line.split(":", 1) for line in info.decode().split() if ":" in line)["aof_buffer_length"]

    async with asyncio.timeout(20):
        while await buffered() != "0":
            await asyncio.sleep(0.01)


async def test_the_socket_is_private_and_nothing_listens_on_a_port(start: Starter, tmp_path: Path) -> None:
    _, store = await start(tmp_path)
    socket = tmp_path / "store" / "v.sock"
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
    assert not stat.S_IMODE(socket.stat().st_mode) & 0o077
    for name, value in (("port", b"0"), ("appendonly", b"yes"), ("maxmemory-policy", b"noeviction")):
        assert await store.link.command("CONFIG", "GET", name) == [name.encode(), value]


async def test_a_long_path_gets_a_short_socket(start: Starter, tmp_path: Path) -> None:
    server, store = await start(tmp_path / ("x" * 90))
    await store.ping()
    path = Path(store.address.url.removeprefix("unix://"))
    assert len(str(path)) < 104
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    await server.stop()
    assert not path.parent.exists()


async def test_data_survive_a_restart(start: Starter, tmp_path: Path) -> None:
    server, store = await start(tmp_path)
    await store.link.command("SET", "k", "v")
    await store.close()
    await server.stop()
    _, store = await start(tmp_path)
    assert await store.link.command("GET", "k") == b"v"


async def test_a_server_that_is_killed_comes_back_with_its_data(start: Starter, tmp_path: Path) -> None:
    server, store = await start(tmp_path)
    await store.link.command("SET", "k", "v")
    await written(store)
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    await eventually(lambda: "store_restarted" in start.events)
    assert start.events == ["store_died", "store_restarted"]
    assert server.restarts == 1
    assert await store.link.command("GET", "k") == b"v"  # by the same address


async def test_a_second_gateway_on_the_same_directory_is_refused(start: Starter, tmp_path: Path) -> None:
    await start(tmp_path)
    with pytest.raises(ConfigError, match=f"in use by process {os.getpid()}"):
        await EmbeddedStore().start(tmp_path)


async def test_the_directory_is_free_after_stopping(start: Starter, tmp_path: Path) -> None:
    server, store = await start(tmp_path)
    await store.close()
    await server.stop()
    await server.stop()
    assert server.pid is None
    assert await answers(tmp_path / "store" / "v.sock") is None
    await start(tmp_path)


_GATEWAY = """
import asyncio, sys
from pathlib import Path
from gateway.sessions.embedded import EmbeddedStore

async def main():
    server = EmbeddedStore()
    await server.start(Path(sys.argv[1]))
    print(server.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_the_server_dies_with_a_gateway_that_is_killed(start: Starter, tmp_path: Path) -> None:
    gateway = subprocess.Popen([sys.executable, "-c", _GATEWAY, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert gateway.stdout is not None
    with gateway, gateway.stdout as out:
        assert int(await asyncio.to_thread(out.readline)) > 0
        assert await answers(tmp_path / "store" / "v.sock") == b"+PONG"
        with pytest.raises(ConfigError, match=f"in use by process {gateway.pid}"):
            await EmbeddedStore().start(tmp_path)
        gateway.kill()
        gateway.wait()
    # The next gateway waits for the old server's last bytes and then has the directory: nothing was left behind.
    _, store = await start(tmp_path)
    await store.ping()


async def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    folder = tmp_path / "store" / "appendonlydir"
    folder.mkdir(parents=True)
    (folder / "appendonly.aof.manifest").write_text("nonsense")
    with pytest.raises(ConfigError, match=r"did not start: .*(manifest|AOF)"):
        await EmbeddedStore().start(tmp_path)
    # It has let go of the directory.
    with pytest.raises(ConfigError, match="did not start"):
        await EmbeddedStore().start(tmp_path)


async def test_a_directory_that_cannot_be_made_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file")
    with pytest.raises(ConfigError, match="cannot be used"):
        await EmbeddedStore().start(tmp_path)


def test_without_any_server_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(name: str) -> object:
        raise ImportError(name)

    monkeypatch.setattr(embedded, "import_module", gone)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigError, match=r"jwt-gateway\[embedded\].*redis-server"):
        find_server()


def test_without_the_wheel_a_server_on_path_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "redis-server"
    program.touch(mode=0o755)
    monkeypatch.setattr(embedded, "import_module", lambda name: object())
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_server() == program


@pytest.fixture
def child() -> list[str]:
    """A program that lives until it is told to stop."""
    return [sys.executable, "-S", "-c", "import time; print('up', flush=True); time.sleep(600)"]


def _launched(child: list[str], has_death_signal: bool) -> subprocess.Popen[str]:
    source = f"import sys; sys.path.insert(0, {str(Path(launch.__file__).parent)!r}); import launch; "
    source += f"sys.exit(launch.main(sys.argv[1:], has_death_signal={has_death_signal}))"
    arguments = [sys.executable, "-I", "-S", "-c", source, str(os.getpid()), *child]
    return subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)


def test_where_the_kernel_gives_no_signal_a_pipe_is_the_lifeline(child: list[str]) -> None:
    """What macOS gets, tried here: the parent's end of the pipe closes, however it died."""
    with _launched(child, has_death_signal=False) as guard:
        assert guard.stdout is not None
        assert guard.stdin is not None
        assert guard.stdout.readline() == "up\n"
        guard.stdin.close()
        assert guard.stdout.read() == ""  # the program held the other end, so it is gone
        assert guard.wait(20) != 0


def test_a_guarded_program_can_be_told_to_stop(child: list[str]) -> None:
    with _launched(child, has_death_signal=False) as guard:
        assert guard.stdout is not None
        assert guard.stdout.readline() == "up\n"
        guard.terminate()
        assert guard.wait(20) == 128 + signal.SIGTERM


@pytest.mark.skipif(sys.platform != "linux", reason="asks the Linux kernel")
def test_a_parent_that_died_before_the_launch_starts_nothing(child: list[str]) -> None:
    source = f"import sys; sys.path.insert(0, {str(Path(launch.__file__).parent)!r}); import launch; "
    source += "sys.exit(launch.main(['1', *sys.argv[1:]], has_death_signal=True))"
    if os.getpid() == 1:
        pytest.skip("this process is the one the test takes for a stranger")
    done = subprocess.run([sys.executable, "-I", "-S", "-c", source, *child], capture_output=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, b"")
