"""Programs the benchmark starts: pinned to a core, awaited, and always ended by their id.

Each one asks the kernel to be sent SIGTERM when the benchmark dies (`setpriv --pdeathsig`), so that even a killed
benchmark leaves nothing behind.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

_START_WITHIN = 30.0
_STOP_WITHIN = 8.0


class Failed(Exception):
    """A program of the benchmark did not start, or ended by itself."""


class Stat(NamedTuple):
    """The part of /proc/PID/stat the benchmark reads; times in seconds (proc_pid_stat(5))."""

    alive: bool
    parent: int
    user: float
    system: float
    since: int
    """Start of the process in ticks since boot: with the id it names one process for good."""


_TICK = os.sysconf("SC_CLK_TCK")


def stat(pid: int) -> Stat | None:
    """What the kernel counts for all threads of *pid*; None once it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()  # the command name may hold spaces and parentheses
    return Stat(
        alive=fields[0] not in "ZX",
        parent=int(fields[1]),
        user=int(fields[11]) / _TICK,
        system=int(fields[12]) / _TICK,
        since=int(fields[19]),
    )


def family(pid: int) -> list[int]:
    """*pid* and its living descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (facts := stat(int(entry.name))) is not None:
            children.setdefault(facts.parent, []).append(int(entry.name))
    found, waiting = [], [pid]
    while waiting:
        current = waiting.pop()
        found.append(current)
        waiting.extend(children.get(current, ()))
    return found


class Program:
    """One started program; a context manager that ends it and everything it started."""

    def __init__(
        self, name: str, argv: Sequence[str], *, cpu: int, directory: Path, env: Mapping[str, str] | None = None
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.output = directory / f"{name}.out"
        self.errors = directory / f"{name}.err"
        with self.output.open("wb") as out, self.errors.open("wb") as err:
            self._process = subprocess.Popen(
                pinned(argv, cpu),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def await_ready(self, is_ready: Callable[[], bool], within: float = _START_WITHIN) -> None:
        """Return once *is_ready* says so.

        Raises:
            Failed: the program ended, or was not ready in time; the text has the end of its output.
        """
        until = time.monotonic() + within
        while time.monotonic() < until:
            if self._process.poll() is not None:
                raise Failed(f"{self.name} ended with status {self._process.returncode}: {self._last_words()}")
            with contextlib.suppress(OSError):
                if is_ready():
                    return
            time.sleep(0.05)
        raise Failed(f"{self.name} was not ready within {within:g} s: {self._last_words()}")

    def stop(self) -> None:
        """End the program and what it started, politely first."""
        running = self._process.poll() is None
        started = {pid: facts.since for pid in family(self.pid)[1:] if (facts := stat(pid))} if running else {}
        if running:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_WITHIN)
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for pid, since in started.items():
            _end(pid, since)

    def _last_words(self) -> str:
        said = self.errors.read_bytes()[-1500:] + self.output.read_bytes()[-500:]
        return said.decode(errors="replace").strip() or "(no output)"


def _end(pid: int, since: int) -> None:
    """Give a descendant that outlived its parent two seconds, then end it and see it gone."""
    for end, within in ((None, 2.0), (signal.SIGKILL, 1.0)):
        if end is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, end)
        until = time.monotonic() + within
        while time.monotonic() < until:
            if (facts := stat(pid)) is None or not facts.alive or facts.since != since:
                return
            time.sleep(0.02)


def pinned(argv: Sequence[str], cpu: int) -> list[str]:
    """*argv*, kept on one core and told to end with the benchmark; both wrappers exec, so the id stays."""
    return ["setpriv", "--pdeathsig", "TERM", "taskset", "-c", str(cpu), *argv]


MISSED = 3
"""Exit status of a program that measured everything and did not reach its target."""


def run(argv: Sequence[str], *, cpu: int | None, within: float) -> str:
    """Run a load generator, on one core or on all, to its end and return what it printed, also when it `MISSED`.

    Raises:
        Failed: it failed or took longer than *within* seconds.
    """
    try:
        done = subprocess.run(
            argv if cpu is None else pinned(argv, cpu), capture_output=True, text=True, timeout=within, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{argv[0]} took longer than {within:g} s") from error
    if done.returncode not in (0, MISSED):
        raise Failed(f"{argv[0]} failed with status {done.returncode}: {(done.stderr or done.stdout)[-800:]}")
    return done.stdout


def free_port() -> int:
    """A TCP port of the loopback that nobody holds just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(port: int) -> bool:
    """Whether something accepts connections at *port*."""
    with socket.create_connection(("127.0.0.1", port), timeout=1.0):
        return True


def missing(*programs: str) -> str | None:
    """The Debian command that installs what *programs* lack, or None when all are here."""
    packages = {"h2load": "nghttp2-client", "taskset": "util-linux", "setpriv": "util-linux"}
    lacking = sorted({packages.get(name, name) for name in programs if shutil.which(name) is None})
    return f"apt-get install {' '.join(lacking)}" if lacking else None


@contextlib.contextmanager
def ended_on_signals() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into SystemExit, so that every `with` above ends what it started."""

    def leave(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
