"""Signing keys kept in a directory: made at the first start, found again at every later one, turned by a schedule.

All of them are in one file, `signing-keys.json` (mode 0600), which is only ever replaced as a whole: written beside,
flushed to disk, renamed. So a crash leaves the old set or the new one, and the states in it always fit together. A
lock file lets one of several processes change it at a time; whoever uses the keys looks at the file every few seconds
(`Keystore.refresh`), so a change made by a command or by another process is in force everywhere soon.
"""

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from gateway.errors import ConfigError
from gateway.tokens.algorithms import SCHEMES
from gateway.tokens.kept import Change, KeptKeys, decoded, encoded, expelled, fitted, is_fit, keys_of, ring_of
from gateway.tokens.ring import KeyRing
from gateway.tokens.rotation import Schedule, applied, plan
from gateway.tokens.sealing import Seal

FILE = "signing-keys.json"
_LOCK = ".signing-keys.lock"

RETRY = 60
"""Seconds until a step that could not be written down is tried again."""

_Stamp = tuple[int, int, int, int] | None


class Keystore:
    """The keys of a directory in force: a ring that follows the file, and a schedule that turns the keys."""

    __slots__ = ("_directory", "_kept", "_schedule", "_seal", "_seen", "_try_at", "ring")

    def __init__(
        self, directory: Path, alg: str, now: float, *, schedule: Schedule | None = None, seal: Seal | None = None
    ) -> None:
        """Open *directory*, where keys for *alg* are wanted.

        An empty directory gets a key. When the current key is for another algorithm it signs on until *schedule* has
        published one for *alg* for long enough; only between secrets and public keys a new one signs at once, and the
        old ones go on verifying as retired. Needs no right to write when there is nothing to change. With *seal*, keys
        rest sealed; those that lie open are sealed now.

        Raises:
            ConfigError: the directory or the file cannot be used; a file that cannot be read is never overwritten.
        """
        if alg not in SCHEMES:
            raise ConfigError(f"algorithm {alg!r} is not one of {', '.join(SCHEMES)}")
        self._directory = directory
        self._schedule = schedule
        self._seal = seal
        self._try_at = 0.0
        warnings = _guarded(directory)
        self._seen = _stamp(directory)
        kept = kept_in(directory)
        if not is_fit(kept, alg, seal):
            kept = self._change(lambda found: fitted(found, alg, now, seal))
        self._kept = kept
        self.ring = _ring(directory, kept, seal, warnings)

    @property
    def kept(self) -> KeptKeys:
        """The keys in force, as they are kept."""
        return self._kept

    def renew(self, schedule: Schedule) -> None:
        """Turn the keys by another schedule from now on."""
        self._schedule = schedule

    def refresh(self, now: float) -> bool:
        """Do what the schedule asks for and take up what others have changed; say whether the ring is another.

        Costs one `stat` when there is nothing to do, so it can be called every second or two; a new RSA key takes a
        tenth of a second, so call it in a thread.

        Raises:
            ConfigError: the file cannot be used or not be changed; the keys in force stay. Said once for each state
                of the file, and each RETRY seconds of a step that is due.
        """
        seen = _stamp(self._directory)
        if seen != self._seen:
            self._seen = seen
            found = kept_in(self._directory)
            if not found:
                raise ConfigError(f"{self._directory / FILE} is gone; the keys in force are used on, restore it")
        else:
            found = self._kept
        schedule = self._schedule
        if schedule is not None and now >= self._try_at and plan(found, now, schedule):
            self._try_at = now + RETRY
            found = self._change(lambda kept: applied(kept, plan(kept, now, schedule), now, self._seal))
        if found == self._kept:
            return False
        try:
            self.ring.replace(keys_of(found, self._seal), self.ring.warnings)
        except ConfigError as error:
            raise ConfigError(f"{self._directory / FILE}: {error}") from error
        self._kept = found
        self._try_at = 0.0
        return True

    def expel(self, kid: str, now: float) -> bool:
        """Leave out *kid*, because it is no longer a secret, and say whether it was here; raises as `refresh`."""
        if all(one.kid != kid for one in self._kept):
            return False
        self._change(lambda kept: expelled(kept, kid, now, self._seal))
        self._seen = None  # so that the next look takes it up
        self.refresh(now)
        return True

    def _change(self, made: Change) -> KeptKeys:
        kept = change(self._directory, made, self._seal)
        self._seen = _stamp(self._directory)
        return kept


def keyring_in(directory: Path, alg: str, now: float, seal: Seal | None = None) -> KeyRing:
    """Return the ring kept in *directory*, where keys for *alg* are wanted; see `Keystore`."""
    return Keystore(directory, alg, now, seal=seal).ring


def change(directory: Path, change: Change, seal: Seal | None = None) -> KeptKeys:
    """Change the keys in *directory* by *change*, one process at a time; returns what is kept now.

    Raises:
        ConfigError: the directory or its file cannot be used, the change cannot be made, or its result would be no
            sound set; nothing is changed then.
    """
    with _locked(directory):
        before = kept_in(directory)  # another process may have been first
        try:
            kept = change(before)
        except ConfigError as error:
            raise ConfigError(f"{directory / FILE}: {error}") from error
        if kept != before:
            _ring(directory, kept, seal)
            _write(directory, kept)
        return kept


def kept_in(directory: Path) -> KeptKeys:
    """Return the keys kept in *directory*, sealed ones sealed; none when there is no file.

    Raises:
        ConfigError: the file cannot be read, or is damaged.
    """
    path = directory / FILE
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    try:
        return decoded(text)
    except ValueError as error:
        raise ConfigError(
            f"{path} is damaged or was written by another version; it is left as it is. Restore it from a backup, or "
            f"move it away to start with a new key (access tokens in use then end; people stay logged in)"
        ) from error


def _ring(directory: Path, kept: KeptKeys, seal: Seal | None, warnings: Iterable[str] = ()) -> KeyRing:
    try:
        return ring_of(kept, seal, warnings)
    except ConfigError as error:
        raise ConfigError(f"{directory / FILE}: {error}") from error


def _stamp(directory: Path) -> _Stamp:
    """Return what changes whenever the file is replaced; None when it is not there."""
    try:
        found = (directory / FILE).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_ctime_ns


def _write(directory: Path, kept: KeptKeys) -> None:
    """Replace the file by *kept*, whole or not at all."""
    path = directory / FILE
    beside = directory / f"{FILE}.tmp"
    try:
        beside.unlink(missing_ok=True)  # left by a crash; the lock is ours
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(encoded(kept))
            file.flush()
            os.fsync(file.fileno())
        beside.rename(path)
        _flush_names(directory)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}; let the gateway own {directory}") from error


def _flush_names(directory: Path) -> None:
    """Make the rename itself last through a power failure."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold the directory against other processes; the system lets go when this one dies."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise ConfigError(
            f"{directory} cannot keep signing keys: {error.strerror}; let the gateway own it, or set server.data_dir"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def exposure(path: Path) -> str | None:
    """Return a warning when others than the owner may read or change *path*; None when all is well or it is absent."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return None
    if not mode & (stat.S_IRWXG | stat.S_IRWXO):
        return None
    return f"{path} is open to other users (mode {stat.S_IMODE(mode):04o}); close it with: chmod 600 {path}"


def _guarded(directory: Path) -> list[str]:
    """Close an open key file, and say that it stood open: whoever read it can sign tokens until the key is gone."""
    path = directory / FILE
    warning = exposure(path)
    if warning is None:
        return []
    try:
        path.chmod(0o600)
    except OSError:
        return [warning]
    return [f"{path} was open to other users and is closed now; if anyone else uses this machine, rotate the keys"]
