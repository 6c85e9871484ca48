"""How the commands on a machine find the gateways that run there: by files in the data directory they share.

Each running gateway holds a lock on `running/HOST.PID`, which the system lets go of when it dies, however it dies. What
it was told and what came of it is in `running/HOST.PID.json`, replaced as a whole.
"""

import contextlib
import fcntl
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

FOLDER = "running"
_POLL = 0.02


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of being told to reload."""

    outcome: Literal["reloaded", "unchanged", "refused"]
    changes: tuple[str, ...] = ()
    reason: str = ""


class Presence:
    """This process, as others see it; a context."""

    def __init__(self, data: Path) -> None:
        self._folder = data / FOLDER
        self._path = self._folder / f"{socket.gethostname()}.{os.getpid()}"
        self._lock: int | None = None
        self._told = 0

    def __enter__(self) -> Self:
        # A gateway that cannot be found serves all the same.
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, exist_ok=True)
            for path in list(self._folder.iterdir()):
                if path.suffix != ".json" and not _is_held(path):
                    _forget(path)
            self._write(None)
            self._lock = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            _forget(self._path)
            os.close(self._lock)

    def answer(self, told: int, answer: Answer) -> None:
        """Leave what came of the last *told* signals."""
        self._told += told
        with contextlib.suppress(OSError):
            self._write(answer)

    def _write(self, answer: Answer | None) -> None:
        members: dict[str, object] = {"told": self._told}
        if answer is not None:
            members |= {"outcome": answer.outcome, "changes": answer.changes, "reason": answer.reason}
        beside = _report(self._path).with_suffix(".tmp")
        beside.write_text(json.dumps(members))
        beside.replace(_report(self._path))


class Running:
    """A gateway that runs on this machine and keeps its data in a known place."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.pid = int(path.suffix[1:])

    def reload(self, patience: float) -> Answer | None:
        """Tell it to reload; return what came of it, or None when it did not say within *patience* seconds."""
        before, _ = self._report()
        os.kill(self.pid, signal.SIGHUP)
        end = time.monotonic() + patience
        while time.monotonic() < end and _is_held(self._path):
            told, answer = self._report()
            if told > before and answer is not None:
                return answer
            time.sleep(_POLL)
        return None

    def _report(self) -> tuple[int, Answer | None]:
        try:
            members = json.loads(_report(self._path).read_text())
        except (OSError, ValueError):
            return 0, None
        told = members["told"]
        if "outcome" not in members:
            return told, None
        return told, Answer(members["outcome"], tuple(members["changes"]), members["reason"])


def running(data: Path) -> Iterator[Running]:
    """Yield the gateways of this machine whose data directory is *data*."""
    host = socket.gethostname()
    folder = data / FOLDER
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        # Another container may share the directory; its process ids mean nothing here.
        if path.name.startswith(f"{host}.") and path.suffix[1:].isdigit() and _is_held(path):
            yield Running(path)


def _report(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _is_held(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def _forget(path: Path) -> None:
    for gone in (_report(path), path):
        gone.unlink(missing_ok=True)
