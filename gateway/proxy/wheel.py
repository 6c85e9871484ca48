"""Deadlines on a coarse wheel: one timer for all connections instead of one timer per request.

A watched thing has a `deadline` (a tick) that it may move at will by plain assignment. The wheel looks at it when the
bucket it sits in comes up; if the deadline has moved away meanwhile, the thing is put where it now belongs. So moving a
deadline later, which happens with every request, costs nothing.
"""

import math
from collections import deque
from typing import Protocol

TICK = 0.25
"""Seconds per tick: the coarseness of every timeout of a connection."""
NEVER = 1 << 62
EXPIRING = 8
"""What an expiry costs (a refusal, a record, a close), in moves to a later tick."""
EFFORT = EXPIRING
"""What `expire` does in one go: about 0.1 ms, which every request that comes meanwhile waits twice."""


class Watched(Protocol):
    deadline: int
    """The tick at which `expire` is due; NEVER for none."""
    bucket: int
    """The tick of the bucket this sits in; the wheel's own."""

    def expire(self) -> None:
        """Called once when the deadline has passed."""
        ...


def ticks(seconds: float | None) -> int:
    """Return *seconds* in ticks; None is for ever.

    Never too few: the running tick has begun up to TICK ago and does not count.
    """
    return NEVER if seconds is None else math.ceil(seconds / TICK) + 1


class Wheel:
    """Buckets of watched things by tick.

    `advance` is to be called once per TICK, and `expire` after it until nothing is due any more, with requests served
    in between: thousands of slow clients may be due in one tick.
    """

    def __init__(self) -> None:
        self.now = 0
        self._buckets: dict[int, set[Watched]] = {}
        self._due: deque[Watched] = deque()

    def watch(self, thing: Watched, deadline: int) -> None:
        """Let *thing* expire at tick *deadline* (replacing its earlier deadline)."""
        thing.deadline = deadline
        if deadline < thing.bucket:
            self._put(thing, deadline)

    def forget(self, thing: Watched) -> None:
        """Drop *thing*; it never expires."""
        thing.deadline = NEVER
        bucket = self._buckets.get(thing.bucket)
        if bucket is not None:
            bucket.discard(thing)
        thing.bucket = NEVER

    def turn(self) -> None:
        """Advance one tick and expire all that is due."""
        self.advance()
        while self.expire():
            pass

    def advance(self) -> None:
        """Begin the next tick."""
        self.now += 1
        self._due.extend(self._buckets.pop(self.now, ()))

    def expire(self) -> bool:
        """Expire some of what is due; return whether there is more."""
        now, due, left = self.now, self._due, EFFORT
        while due and left > 0:
            thing = due.popleft()
            if thing.bucket > now:
                continue  # it has been put elsewhere since
            thing.bucket = NEVER
            if thing.deadline <= now:
                thing.deadline = NEVER
                thing.expire()
                left -= EXPIRING
            elif thing.deadline < NEVER:
                self._put(thing, thing.deadline)
                left -= 1
        return bool(due)

    def _put(self, thing: Watched, tick: int) -> None:
        if thing.bucket < NEVER:
            bucket = self._buckets.get(thing.bucket)
            if bucket is not None:
                bucket.discard(thing)
        thing.bucket = tick = max(tick, self.now + 1)
        self._buckets.setdefault(tick, set()).add(thing)
