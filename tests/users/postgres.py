"""A PostgreSQL server of this machine, started for the tests and reached by a socket in a folder of theirs."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.programs import missing

_PLACES = ("/usr/lib/postgresql", "/usr/local/pgsql")


def _program(name: str) -> str:
    for place in _PLACES:
        for path in sorted(Path(place).glob(f"*/bin/{name}"), reverse=True):
            return str(path)
    return shutil.which(name) or missing("postgresql", f"{name} is not installed")


class Postgres:
    """A running server."""

    def __init__(self, folder: Path, process: "subprocess.Popen[bytes]", user: str) -> None:
        self.process = process
        self.url = f"postgresql://{user}@/postgres?host={folder}"

    def freeze(self) -> None:
        """Let it and all its children, each of a session of its own, answer nothing any more."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for child in children:
            os.kill(int(child), number)


@contextmanager
def running() -> Iterator[Postgres]:
    """Start a server with an empty database; it refuses to be root, and then becomes nobody."""
    initdb, server = _program("initdb"), _program("postgres")
    # The path of a socket is short, shorter than those that pytest makes.
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    other: dict[str, object] = {}
    user = pwd.getpwuid(os.getuid()).pw_name
    if os.getuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        other, user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}, "nobody"
    data = folder / "data"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": "/"}
    made = [initdb, "-D", str(data), "-U", user, "-A", "trust", "-N", "-E", "UTF8", "--locale=C"]
    subprocess.run(made, check=True, timeout=120, **quiet, **other)  # type: ignore[call-overload]
    options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={folder}", "-c", "fsync=off"]
    process = subprocess.Popen(  # type: ignore[call-overload]
        [server, "-D", str(data), *options], start_new_session=True, **quiet, **other
    )
    server_ = Postgres(folder, process, user)
    try:
        yield server_
    finally:
        server_.thaw()
        process.send_signal(signal.SIGINT)
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)
