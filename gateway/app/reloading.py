"""Taking up a changed configuration: read, checked and compared in a thread, put in force whole or not at all."""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from gateway.app.model import Digests, Model, digests_of, modelled
from gateway.app.sight import Sight
from gateway.clock import Clock
from gateway.config.faults import FaultyFile
from gateway.config.fixed import fixed_changes
from gateway.config.leaves import difference
from gateway.config.load import load
from gateway.presence import Answer

LOOK = 1.0
"""Seconds between two looks at the files."""
_TRIES = 5
"""So often a configuration is read that changes while it is read."""


@dataclass(frozen=True, slots=True)
class Reloaded:
    """The new configuration is in force."""

    digests: Digests
    changes: tuple[str, ...]
    """One line each, for people."""


@dataclass(frozen=True, slots=True)
class Unchanged:
    """Every file is as it was."""

    digests: Digests


@dataclass(frozen=True, slots=True)
class Kept:
    """What is written cannot be used; what was in force stays so."""

    digests: Digests
    """Of all files that were, or should have been, read."""
    reason: str
    """Every fault with its line."""


Outcome = Reloaded | Unchanged | Kept


def as_answer(outcome: Outcome) -> Answer:
    """Return *outcome* for who has asked for the reload from another process."""
    match outcome:
        case Reloaded(changes=lines):
            return Answer("reloaded", lines)
        case Unchanged():
            return Answer("unchanged")
        case Kept(reason=reason):
            return Answer("refused", (), reason)


def reread(path: Path, environ: Mapping[str, str], before: Model, found: dict[Path, bytes]) -> Model:
    """Return the model of what is at *path* now; *found* gets a digest of every file that was, or should be, read.

    Raises:
        ConfigError: it cannot be used, or not without a restart.
    """
    seen = {*before.digests, path}
    try:
        for _ in range(_TRIES):
            found |= digests_of(seen)
            model = modelled(load(path, environ, seen), before)
            if all(found.get(file) == digest for file, digest in model.digests.items()):
                break
            seen |= model.digests.keys()
    finally:
        found |= digests_of(seen.difference(found))
    document = model.config.document
    for loc, reason in fixed_changes(before.config, model.config):
        document.fault(loc, reason, "restart the gateway for it, or put the old value back", at_key=True)
    if document.faults:
        raise FaultyFile(document.faults)
    return model


def changes(before: Model, after: Model) -> Iterator[str]:
    """Yield what is different, one line each: values first, then files whose content counts."""
    yield from difference(before.config, after.config)
    own = before.config.source
    for path, digest in after.digests.items():
        if path != own and before.digests.get(path, digest) != digest:
            yield f"{path}: changed"


class Reloads:
    """Lets one reload happen at a time, and tells of each; an asynchronous context."""

    def __init__(self, sight: Sight, clock: Clock) -> None:
        self._sight = sight
        self._wall = clock.wall
        self._turn = asyncio.Lock()
        self.succeeded_at = clock.wall()
        """Unix time at which what is in force was taken up."""
        self.successful = True
        sight.gauge(
            "gateway_config_last_reload_successful",
            "1 while what is written is in force.",
            lambda: self.successful,
        )
        sight.gauge(
            "gateway_config_last_reload_success_timestamp_seconds",
            "When what is in force was taken up.",
            lambda: self.succeeded_at,
        )

    async def __aenter__(self) -> None:
        await self._turn.acquire()

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._turn.release()

    def note(self, outcome: Outcome) -> Outcome:
        """Log and count *outcome*."""
        self._sight.metrics.count("config_reloads", as_answer(outcome).outcome)
        self.successful = not isinstance(outcome, Kept)
        match outcome:
            case Reloaded(changes=lines):
                self.succeeded_at = self._wall()
                self._sight.audit("config_reloaded", {"changes": list(lines)})
            case Kept(reason=reason):
                self._sight.events.error("config_refused", {"reason": reason})
            case Unchanged():
                pass
        return outcome


class Watch:
    """Looks at the files again and again, and reloads when what is in them has changed.

    Content counts, not names and times: it makes no difference whether a file was written, renamed into its place,
    reached by another symbolic link, or lies on a mount that tells of nothing. What is still being written is waited
    for: two looks in a row must see the same.
    """

    def __init__(self, digests: Digests) -> None:
        """Begin with *digests*, which are in force."""
        self._known = self._seen = digests
        self._stamps: Mapping[Path, object] = {}

    def took(self, outcome: Outcome) -> None:
        """Somebody has reloaded."""
        self._known = self._seen = outcome.digests

    async def look(self) -> bool:
        """Say whether something has changed, and has settled."""
        paths = tuple(self._known)
        stamps = await asyncio.to_thread(_stamps, paths)
        if stamps == self._stamps and self._seen == self._known:
            return False
        found = await asyncio.to_thread(digests_of, paths)
        settled = found == self._seen
        self._stamps, self._seen = stamps, found
        return settled and found != self._known


def _stamps(paths: tuple[Path, ...]) -> dict[Path, object]:
    """Return what changes with every change of a file, at the price of one call."""
    found: dict[Path, object] = {}
    for path in paths:
        with contextlib.suppress(OSError):
            status = path.stat()
            found[path] = (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_dev)
    return found
