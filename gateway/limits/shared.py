"""Buckets that several gateways share: each decides alone, and tells the others ten times a second what it took.

A bucket is one number, the time at which it is full again, so sharing it is: tell what was taken since the last time,
and by how much the number has to be later. With N gateways, `round` seconds from one exchange to the next and the
answer to it, no more passes in any time t than

    burst + rate * t   +   (N - 1) * (burst + rate * 2 * round)

What one gateway knows at its last exchange, and takes after it, is within `burst + rate * t` as in any bucket. It knows
all that the others have told by then; what it cannot know is what each of them took since it told last, which is at
most two rounds ago, and each of them is held to its own bucket meanwhile. The second part comes once, not again and
again: what was let through too much is owed, and nobody passes until it is paid back.

A gateway that cannot reach the store goes on with what it knows: it is then one that shares with nobody. Back again, it
tells what its buckets owe at that moment and not all that has passed meanwhile.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import islice
from math import ceil
from typing import NamedTuple

from gateway.limits.buckets import Buckets

Key = str | bytes

EVERY = 0.1
"""Seconds between two exchanges."""
PAUSE = 1.0
"""Seconds until the next one when the store did not answer."""
MOST = 2000
"""Buckets told of in one exchange, over all limits; what is left waits for the next."""


class SharedBuckets(Buckets):
    """Buckets that remember what was taken of them until it has been told."""

    __slots__ = ("_told", "name")

    taken: dict[Key, int]

    def __init__(self, name: str, rate: float, burst: int, *, entries: int = 50_000) -> None:
        """*name* is what other gateways know them by; all that have it refill at the same rate."""
        super().__init__(rate, burst, entries=entries, debt=float("inf"))
        self.name = name
        self.taken = {}
        self._told: dict[Key, float] = {}
        """When what the store was told of is over. It holds as much in the store as here, and no more."""

    def collect(self, now: float, most: int) -> "list[Spent]":
        """Return what was taken of at most so many buckets; it counts as told."""
        if len(self._told) >= self._entries:
            self._told = {key: until for key, until in self._told.items() if until > now}
        spent = []
        for key in list(islice(self.taken, most)):
            seconds = self.taken.pop(key) * self._interval
            full_at = self._full_at.get(key, now + seconds)
            if key in self._told or len(self._told) < self._entries:
                self._told[key] = full_at
                spent.append(Spent(self, key, full_at - now - seconds, seconds))
        while len(self.taken) > self._entries:
            del self.taken[next(iter(self.taken))]
        return spent

    def keep(self, spent: "Spent", now: float) -> None:
        """Note that *spent* was not told after all. What has been refilled meanwhile is nothing to tell of."""
        owed = ceil((self._full_at.get(spent.key, now) - now) / self._interval)
        kept = min(owed, self.taken.get(spent.key, 0) + round(spent.seconds / self._interval))
        if kept > 0:
            self.taken[spent.key] = kept

    def owe(self, key: Key, full_at: float) -> None:
        """Take over that, with what others took, the bucket of *key* was to be full at *full_at*."""
        known = self._full_at.get(key)
        full_at += self.taken.get(key, 0) * self._interval
        if known is not None and full_at > known:
            self._full_at[key] = full_at


class Spent(NamedTuple):
    """What was taken of one bucket; seconds of refilling."""

    buckets: SharedBuckets
    key: Key
    before: float
    """From now to when the bucket would have been full without it; in the past where that was before now."""
    seconds: float


Tell = Callable[[Sequence[Spent]], Awaitable[Sequence[float | None]]]
"""Tells others what was taken; returns for each bucket the seconds from now to when it is full, by all that is known.

None for those of which nobody could be told.
"""


class Sharing:
    """Exchanges what was taken with other gateways, for as long as it runs."""

    def __init__(
        self,
        tell: Tell,
        monotonic: Callable[[], float],
        *,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        on_change: Callable[[bool], None] = lambda _shared: None,
    ) -> None:
        """*on_change* is told when the store cannot be reached, and when it can be again."""
        self._tell = tell
        self._monotonic = monotonic
        self._sleep = sleep
        self._on_change = on_change
        self._buckets: tuple[SharedBuckets, ...] = ()
        self.is_shared = True
        """The last exchange succeeded, or there was none to make."""

    def adopt(self, buckets: Iterable[SharedBuckets]) -> None:
        """Exchange these from now on."""
        self._buckets = tuple(buckets)

    async def run(self) -> None:
        """Exchange until cancelled; trouble with the store is waited out and never raised."""
        while True:
            await self._sleep(EVERY if self.is_shared else PAUSE)
            await self.exchange()

    async def exchange(self) -> None:
        """Tell what was taken, and take over what others took of the same buckets."""
        now = self._monotonic()
        # In equal parts, so that a flood at one limit silences no other.
        busy = [buckets for buckets in self._buckets if buckets.taken]
        spent = [one for buckets in busy for one in buckets.collect(now, max(1, MOST // len(busy)))]
        if not spent:
            return
        full_in = await self._tell(spent)
        later = self._monotonic()
        for one, seconds in zip(spent, full_in, strict=True):
            if seconds is None:
                one.buckets.keep(one, later)
            else:
                # Counted from before the question: else each exchange would add the way to the store and back.
                one.buckets.owe(one.key, now + seconds)
        shared = None not in full_in
        if shared is not self.is_shared:
            self.is_shared = shared
            self._on_change(shared)
