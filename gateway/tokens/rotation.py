"""When keys turn: a pure plan of the steps that are due.

    next       published and not signing, for at least `publish_ahead`, so that everyone who verifies has fetched it
    current    signs, for `rotate`
    retired    verifies, for `keep`, which is longer than the last token it signed can live
    gone

Times are those of the kept set itself, so that replicas which share the set come to the same plan, and none invents a
key of its own. A clock that was set back delays a step; one that was set forward brings it on, but a key is never
promoted before it was published for long enough.
"""

from dataclasses import dataclass
from typing import NamedTuple

from gateway.tokens.kept import Kept, KeptKeys, forgotten, made, promoted
from gateway.tokens.sealing import Seal

PUBLISH_MARGIN = 60
"""Seconds a new key is published longer than its set may be cached (identity.md 3.9)."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How keys turn; seconds."""

    alg: str
    rotate: float | None
    """How long a key signs; None turns nothing by itself."""
    publish_ahead: float
    keep: float
    """How long a retired key verifies: the longest life of a token, leeway and all."""


class Stage(NamedTuple):
    """Make a next key and publish it."""

    alg: str


class Promote(NamedTuple):
    """Sign with a next key from now on; the current one retires."""

    kid: str


class Forget(NamedTuple):
    """Leave out a retired key whose last token is dead."""

    kid: str


Step = Stage | Promote | Forget


def plan(kept: KeptKeys, now: float, schedule: Schedule) -> tuple[Step, ...]:
    """Return what is due at *now*; nothing for a set without a current key, which is not for a timer to mend."""
    steps: list[Step] = [Forget(one.kid) for one in kept if one.state == "retired" and now >= one.since + schedule.keep]
    current = next((one for one in kept if one.state == "current"), None)
    if current is None or schedule.rotate is None:
        return tuple(steps)
    turn = current.since + schedule.rotate
    waiting = oldest_next(kept, schedule.alg)
    if waiting is None:
        if now >= turn - schedule.publish_ahead:
            steps.append(Stage(schedule.alg))
    elif now >= turn and now >= published_at(waiting, schedule):
        steps.append(Promote(waiting.kid))
    return tuple(steps)


def applied(kept: KeptKeys, steps: tuple[Step, ...], now: float, seal: Seal | None = None) -> KeptKeys:
    """Return *kept* after *steps*."""
    for step in steps:
        match step:
            case Stage(alg=alg):
                kept = (*kept, made(alg, "next", now, seal))
            case Promote(kid=kid):
                kept = promoted(kept, kid, now)
            case Forget(kid=kid):
                kept = forgotten(kept, kid)
    return kept


def oldest_next(kept: KeptKeys, alg: str) -> Kept | None:
    """Return the next key that was published first; None when there is none for *alg*."""
    waiting = [one for one in kept if one.state == "next" and one.alg == alg]
    return min(waiting, key=lambda one: (one.created, one.kid), default=None)


def published_at(waiting: Kept, schedule: Schedule) -> float:
    """Return the time from which everyone has fetched *waiting*, so that it may sign."""
    return waiting.created + schedule.publish_ahead
