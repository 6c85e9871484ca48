"""Real processes for the journeys: the gateway as its users start it, and whatever stands behind it.

Everything listens on the loopback at a free port, works in a directory of its own, and ends with the test that started
it; should the test run itself be killed, the kernel ends its processes (`setpriv --pdeathsig`, where there is one).
"""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from tests.redaction import leaks

ROOT = Path(__file__).parent.parent.parent

START_WITHIN = 30.0
"""Seconds; far above anything a start takes, because a busy machine must not fail a test that is not about time."""
STOP_WITHIN = 15.0

_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Nothing here speaks TLS, and httpx would load all certificates of the machine for each client, which takes 20 ms."""

_FAULT = re.compile(r'"msg": ?"fault"')


class Failed(Exception):
    """A program did not start, did not end, or did not say in time what was waited for."""


def free_port() -> int:
    """Return a TCP port of the loopback that nobody holds just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until(holds: Callable[[], bool], within: float = 10.0, *, what: str = "it did not happen") -> None:
    """Return once *holds* does.

    Raises:
        Failed: it did not within so many seconds.
    """
    end = time.monotonic() + within
    while not holds():
        if time.monotonic() > end:
            raise Failed(f"{what} within {within:g} s")
        time.sleep(0.02)


class _Stat(NamedTuple):
    alive: bool
    parent: int
    since: int
    """Ticks since boot; with the id it names one process for good."""


def _stat(pid: int) -> _Stat | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()  # the command name may hold spaces and parentheses
    return _Stat(fields[0] not in "ZX", int(fields[1]), int(fields[19]))


class Family(NamedTuple):
    """A process and its descendants as they were at one moment, each by id and time of birth."""

    members: Mapping[int, int]
    commands: Mapping[int, str]

    @classmethod
    def of(cls, pid: int) -> "Family":
        """Return the living family of *pid*."""
        stats = {
            int(entry.name): stat
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and (stat := _stat(int(entry.name))) is not None and stat.alive
        }
        found: dict[int, int] = {}
        waiting = [pid]
        while waiting:
            parent = waiting.pop()
            if parent in stats:
                found[parent] = stats[parent].since
                waiting += [child for child, stat in stats.items() if stat.parent == parent]
        return cls(found, {member: _command(member) for member in found})

    def alive(self) -> list[str]:
        """Return the commands of those that still live."""
        return [
            self.commands[pid]
            for pid, since in self.members.items()
            if (stat := _stat(pid)) is not None and stat.alive and stat.since == since
        ]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


class Program:
    """One started program, with what it says in two files."""

    def __init__(
        self, name: str, command: Sequence[str | Path], folder: Path, *, environ: Mapping[str, str], cwd: Path
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.folder = folder
        self._out, self._err = folder / f"{name}.out", folder / f"{name}.err"
        guard = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
        with self._out.open("ab") as out, self._err.open("ab") as err:
            self._heard, self._complained = out.tell(), err.tell()
            self.process = subprocess.Popen(
                [*guard, *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=dict(environ),
                cwd=cwd,
                start_new_session=True,  # its own group, as a shell gives each job, so that it can get its own Ctrl-C
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def output(self) -> str:
        """What it wrote to standard output since this start."""
        return self._out.read_bytes()[self._heard :].decode()

    @property
    def errors(self) -> str:
        """What it wrote to standard error since this start."""
        return self._err.read_bytes()[self._complained :].decode()

    def await_ready(self, is_ready: Callable[[], bool], within: float = START_WITHIN) -> None:
        """Return once *is_ready* says so.

        Raises:
            Failed: the program ended, or was not ready in time; the text has the end of what it said.
        """
        end = time.monotonic() + within
        while not is_ready():
            if self.process.poll() is not None:
                raise Failed(f"{self.name} ended with status {self.process.returncode}: {self._last_words()}")
            if time.monotonic() > end:
                raise Failed(f"{self.name} was not ready within {within:g} s: {self._last_words()}")
            time.sleep(0.02)

    def await_end(self, within: float = STOP_WITHIN) -> int:
        """Return the exit status once the program has ended.

        Raises:
            Failed: it did not within so many seconds.
        """
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} did not end within {within:g} s: {self._last_words()}") from None

    def press_ctrl_c(self) -> None:
        """Do what a terminal does: send SIGINT to the program's whole group."""
        os.killpg(self.pid, signal.SIGINT)

    def kill(self) -> None:
        """End this one process without a chance to tidy up."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """End the program with SIGTERM, which may be the second one it gets, and whatever of its family is left."""
        family = Family.of(self.pid)
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.await_end()
        finally:
            if self.process.poll() is None:
                self.kill()
            with contextlib.suppress(Failed):
                until(lambda: not family.alive(), 2.0)
            for pid, since in family.members.items():
                if (stat := _stat(pid)) is not None and stat.alive and stat.since == since:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)

    def _last_words(self) -> str:
        return f"{self.errors[-2000:]}{self.output[-500:]}".strip() or "(it said nothing)"


class Gateway(Program):
    """A started gateway: `gateway run -c gateway.yaml`, in *folder* or, for the demo, in the checkout."""

    def __init__(
        self,
        folder: Path,
        text: str | None = None,
        *,
        demo: bool = False,
        port: int | None = None,
        admin_port: int | None = None,
        config: str = "gateway.yaml",
        environ: Mapping[str, str] | None = None,
        command: Sequence[str] | None = None,
        checkout: Path = ROOT,
    ) -> None:
        """*text* is the configuration, to be written to gateway.yaml; None takes that of the *checkout*.

        *command* is another way to start it, as `make run`.
        """
        folder.mkdir(parents=True, exist_ok=True)
        if text is not None:
            (folder / "gateway.yaml").write_text(text)
        self.port = port or free_port()
        self.admin_port = admin_port or free_port()
        super().__init__(
            "gateway",
            command or [sys.executable, "-m", "gateway", "run", *(["--demo"] if demo else []), "-c", config],
            folder,
            environ={
                **outside(),
                "PYTHONPATH": str(checkout),
                "GATEWAY_DATA_DIR": str(folder / "data"),
                "GATEWAY_LISTEN": f"127.0.0.1:{self.port}",
                "GATEWAY_ADMIN_LISTEN": f"127.0.0.1:{self.admin_port}",
                **(environ or {}),
            },
            cwd=checkout if text is None else folder,
        )

    def stop(self) -> int:
        """End as any program; whatever the test is about, nothing secret may be in the logs."""
        status = super().stop()
        assert leaks(self.output + self.errors) == []
        return status

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def admin_url(self) -> str:
        return f"http://127.0.0.1:{self.admin_port}"

    def readiness(self) -> int:
        """Return the status of /readyz; 0 while nobody answers there."""
        try:
            return httpx.get(f"{self.admin_url}/readyz", trust_env=False, timeout=5, verify=_NO_TLS).status_code
        except httpx.TransportError:
            return 0

    def client(self, **settings: Any) -> httpx.Client:
        """Return a client of the public listener that keeps no cookies of its own."""
        return httpx.Client(base_url=self.url, trust_env=False, timeout=20, verify=_NO_TLS, **settings)

    def login(self, username: str = "alice", password: str = "demo") -> "Tokens":
        """Log a demo user in by JSON."""
        with self.client() as client:
            answer = client.post("/auth/login", json={"username": username, "password": password})
        assert answer.status_code == 200, answer.text
        return Tokens(answer.json())

    def log(self) -> list[dict[str, Any]]:
        """Return the access log so far; its last line may still be under way."""
        return [json.loads(line) for line in self.output.splitlines(keepends=True) if line.endswith("\n")]

    def logged(self, answer: httpx.Response) -> dict[str, Any]:
        """Return the access log's line about *answer*, once it is written."""
        name = answer.headers["X-Request-Id"]
        found: list[dict[str, Any]] = []

        def written() -> bool:
            found[:] = [line for line in self.log() if line["request_id"] == name]
            return bool(found)

        until(written, what=f"{answer.request.method} {answer.request.url} was not logged")
        assert len(found) == 1, found
        return found[0]

    def faults(self) -> list[str]:
        """Return what it, or its demo upstream, reported as its own mistakes: exceptions that nobody expected."""
        blocks = re.split(r"(?m)^(?=Traceback|\{)", self.errors)
        return [block for block in blocks if block.startswith("Traceback") or _FAULT.search(block)]

    def hurry(self) -> None:
        """Send the first signal: by default SIGTERM waits five seconds for load balancers, and a second one ends it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)

    def memory(self) -> int:
        """Return the resident bytes of the gateway's own process."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise Failed(f"{self.name} has no memory any more")


class Tokens:
    """What a login or refresh gave."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        self.access: str = answer["access_token"]
        self.refresh: str = answer["refresh_token"]
        self.session: str = answer["session_id"]

    @property
    def bearer(self) -> dict[str, str]:
        """The Authorization header."""
        return {"Authorization": f"Bearer {self.access}"}


def outside() -> dict[str, str]:
    """Return this process's environment without what would configure a gateway or send a client to a proxy."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GATEWAY_") and not name.lower().endswith("_proxy")
    }


@contextlib.contextmanager
def running(
    folder: Path, text: str | None = None, *, demo: bool = False, port: int | None = None, **environ: str
) -> Iterator[Gateway]:
    """Run a gateway that is ready, and stop it at the end.

    Raises:
        Failed: it ended, or did not become ready.
    """
    gateway = Gateway(folder, text, demo=demo, port=port, environ=environ)
    try:
        gateway.await_ready(lambda: gateway.readiness() == 200)
        yield gateway
    finally:
        if text is None or "drain:" not in text:
            gateway.hurry()
        gateway.stop()


USERS = """\
users:
  alice: {password: demo, roles: [user], demo: true}
  admin: {password: demo, roles: [admin], demo: true}
"""


def configuration(folder: Path, *, upstreams: Mapping[str, str], routes: str, server: str = "", store: str = "") -> str:
    """Return a gateway.yaml of the test's own: demo users, two roles, no waiting at the end; writes its users file.

    *routes* are the lines below `routes:`; *server* and *store* are further lines of these sections, indented by two.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "users.yaml").write_text(USERS)
    return "\n".join(
        (
            "version: 1",
            "server:",
            "  drain: {delay: 0s, timeout: 2s}",
            *server.splitlines(),
            *(["store:", *store.splitlines()] if store else []),
            "login: {verify: {file: users.yaml}}",
            "roles: {user: {}, admin: {includes: [user]}}",
            "upstreams:",
            *(f"  {name}: {url}" for name, url in upstreams.items()),
            "routes:",
            *routes.splitlines(),
            "",
        )
    )
