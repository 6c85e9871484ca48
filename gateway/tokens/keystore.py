"""Signing keys kept in a directory: made at the first start, found again at every later one.

All of them are in one file, `signing-keys.json` (mode 0600), which is only ever replaced as a whole: written beside,
flushed to disk, renamed. So a crash leaves the old set or the new one, and the states in it always fit together. A
lock file lets one of several processes make the first key. No function here but `forget` leaves a key out.
"""

import contextlib
import fcntl
import json
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from gateway.errors import ConfigError
from gateway.tokens.algorithms import SCHEMES
from gateway.tokens.ring import KeyRing
from gateway.tokens.signing import STATES, SigningKey, State, generate_key, load_key
from gateway.tokens.strict import strict_json_object

FILE = "signing-keys.json"
_LOCK = ".signing-keys.lock"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Kept:
    """One key as the file has it."""

    kid: str
    alg: str
    state: State
    created: int
    """Unix time."""
    since: int
    """Unix time at which the key got its state: a retired key may go when its last token has expired."""
    key: str


def keyring_in(directory: Path, alg: str, now: float) -> KeyRing:
    """Return the ring kept in *directory*, whose current key is one for *alg*.

    An empty directory gets a key. When the current key is for another algorithm, a next key for *alg* becomes
    current, or a new one; the old ones go on verifying as retired. Needs no right to write when there is nothing to
    change.

    Raises:
        ConfigError: the directory or the file cannot be used; a file that cannot be read is never overwritten.
    """
    if alg not in SCHEMES:
        raise ConfigError(f"algorithm {alg!r} is not one of {', '.join(SCHEMES)}")
    warnings = _guarded(directory)
    kept = _read(directory)
    if _current(kept, alg):
        return _ring(directory, kept, warnings)
    with _locked(directory):
        kept = _read(directory)  # another process may have been first
        if _current(kept, alg):
            return _ring(directory, kept, warnings)
        kept = _turned_to(kept, alg, int(now))
        ring = _ring(directory, kept, warnings)
        _write(directory, kept)
        return ring


def stage(directory: Path, alg: str, now: float) -> str:
    """Add a next key for *alg*, so that everyone has fetched it before it signs; returns its `kid`."""
    made = _kept(generate_key(alg, "next"), int(now))
    with _locked(directory):
        kept = (*_read(directory), made)
        _ring(directory, kept)
        _write(directory, kept)
    return made.kid


def promote(directory: Path, kid: str, now: float) -> None:
    """Make the next key *kid* current; the one before it is retired and goes on verifying.

    Raises:
        ConfigError: there is no such next key.
    """
    with _locked(directory):
        kept = _read(directory)
        if not any(one.kid == kid and one.state == "next" for one in kept):
            raise ConfigError(f"{directory / FILE} has no key {kid!r} with state next; stage one first")
        states: dict[str, State] = {one.kid: "retired" for one in kept if one.state == "current"}
        states[kid] = "current"
        kept = tuple(replace(one, state=states[one.kid], since=int(now)) if one.kid in states else one for one in kept)
        _ring(directory, kept)
        _write(directory, kept)


def forget(directory: Path, kid: str) -> None:
    """Leave out the retired key *kid*: no token signed with it is accepted any more.

    Raises:
        ConfigError: there is no such retired key.
    """
    with _locked(directory):
        kept = _read(directory)
        left = tuple(one for one in kept if one.kid != kid or one.state != "retired")
        if left == kept:
            raise ConfigError(f"{directory / FILE} has no key {kid!r} with state retired")
        _write(directory, left)


def _current(kept: tuple[Kept, ...], alg: str) -> bool:
    return any(one.state == "current" and one.alg == alg for one in kept)


def _turned_to(kept: tuple[Kept, ...], alg: str, now: int) -> tuple[Kept, ...]:
    """Return *kept* with a current key for *alg*; what was in force for another algorithm is retired."""
    waiting = next((one for one in kept if one.state == "next" and one.alg == alg), None)
    turned = [
        replace(one, state="retired", since=now)
        if one.state == "current" or (one.state == "next" and one.alg != alg)
        else one
        for one in kept
        if one is not waiting
    ]
    first = replace(waiting, state="current", since=now) if waiting else _kept(generate_key(alg), now)
    return (first, *turned)


def _kept(key: SigningKey, now: int) -> Kept:
    return Kept(key.kid, key.alg, key.state, now, now, key.serialised().decode("ascii"))


def _ring(directory: Path, kept: tuple[Kept, ...], warnings: Iterable[str] = ()) -> KeyRing:
    """Make a ring of *kept*; nothing is written that would not make one."""
    try:
        return KeyRing((load_key(one.key.encode(), one.alg, one.kid, one.state) for one in kept), warnings)
    except ConfigError as error:
        raise ConfigError(f"{directory / FILE}: {error}") from error


def _read(directory: Path) -> tuple[Kept, ...]:
    path = directory / FILE
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    try:
        found = strict_json_object(text)
        entries = found["keys"]
        if found["version"] != _VERSION or not isinstance(entries, list):
            raise ValueError("of another version")
        return tuple(_entry(entry) for entry in entries)
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path} is damaged or was written by another version; it is left as it is. Restore it from a backup, or "
            f"move it away to start with a new key (access tokens in use then end; people stay logged in)"
        ) from error


def _entry(entry: object) -> Kept:
    if not isinstance(entry, dict):
        raise ValueError("an entry is not an object")
    kept = Kept(**entry)
    for text in (kept.kid, kept.alg, kept.key):
        if not isinstance(text, str):
            raise ValueError("a member is not text")
    for second in (kept.created, kept.since):
        if type(second) is not int:
            raise ValueError("a member is not a time")
    if kept.state not in STATES:
        raise ValueError("no such state")
    return kept


def _write(directory: Path, kept: tuple[Kept, ...]) -> None:
    """Replace the file by *kept*, whole or not at all."""
    path = directory / FILE
    beside = directory / f"{FILE}.tmp"
    entries = [asdict(one) for one in kept]
    text = json.dumps({"version": _VERSION, "keys": entries}, indent=1).encode()
    try:
        beside.unlink(missing_ok=True)  # left by a crash; the lock is ours
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(text)
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
