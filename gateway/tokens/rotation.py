"""When keys turn: a pure plan of the steps that are due.

    next       published and not signing, for at least `publish_ahead`, so that everyone who verifies has fetched it
    current    signs, for `rotate`
    retired    verifies, for `keep`, which is longer than the last token it signed can live
    gone

When another algorithm is asked for than that of the current key, its first key goes the same way, without waiting for
the turn: published at once, and signing when everyone can know it.

Times are those of the kept set itself, so that replicas which share the set come to the same plan, and none invents a
key of its own. A clock that was set back delays a step; one that was set forward brings it on, but a key is never
promoted before it was published for long enough.
"""

from dataclasses import dataclass
from typing import NamedTuple

from gateway.tokens.algorithms import is_symmetric
from gateway.tokens.kept import Kept, KeptKeys, current_of, forgotten, made, oldest_next, promoted
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
    current = current_of(kept)
    turn = None if current is None else turn_of(current, schedule)
    if turn is None:
        return tuple(steps)
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


def turn_of(current: Kept, schedule: Schedule) -> float | None:
    """Return the time from which *current* has signed for long enough; None when it is to sign on."""
    if current.alg == schedule.alg:
        return None if schedule.rotate is None else current.since + schedule.rotate
    # A secret and a public key are never published beside each other; `kept.fitted` changes between them, at a start.
    return None if is_symmetric(current.alg) is not is_symmetric(schedule.alg) else current.since


def published_at(waiting: Kept, schedule: Schedule) -> float:
    """Return the time from which everyone has fetched *waiting*, so that it may sign."""
    return waiting.created + schedule.publish_ahead
