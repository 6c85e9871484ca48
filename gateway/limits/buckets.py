"""Token buckets for many keys: each may act `rate` times a second, and `burst` times at once after a pause.

A bucket is one number, the time at which it will be full again (the generic cell rate algorithm, ITU-T I.371, turned
round). A key without an entry has a full bucket, so nothing is kept for those who do nothing.

Memory is bounded without losing anything that counts: entries stand in the order of their last use, and one that was
not used for `burst / rate` seconds is full and goes. Only when more than `entries` keys are busy within that time does
the longest unused one get its bucket filled early.
"""

from collections import OrderedDict
from collections.abc import Collection

# Sums of floats stray: a wait shorter than this is rounding, not a reason to refuse.
_ROUNDING = 1e-6


class Buckets:
    """Buckets by key, for one thread; *now* is any clock, in seconds.

    If the clock is set back, nobody waits longer for it than an empty bucket takes to fill.
    """

    __slots__ = ("_entries", "_full_at", "_interval", "_slack", "_span", "taken")

    def __init__(self, rate: float, burst: int, *, entries: int = 50_000, debt: float = 0.0) -> None:
        """Refill *rate* tokens a second up to *burst*; 50,000 entries take about 10 MiB.

        A bucket may be told of tokens that others have taken (`owe`): up to *debt* seconds of refilling more than it
        holds are remembered.

        Raises:
            ValueError: nothing could ever pass.
        """
        if rate <= 0 or burst < 1 or entries < 1:
            raise ValueError(
                f"a bucket needs a rate above 0, a burst and entries of at least 1: {rate, burst, entries}"
            )
        self._interval = 1 / rate
        self._slack = (burst - 1) / rate
        self._span = burst / rate + debt
        self._entries = entries
        self._full_at: OrderedDict[str | bytes, float] = OrderedDict()
        self.taken: dict[str | bytes, int] | None = None
        """How many tokens were taken since somebody looked; None where nobody does."""

    @property
    def used(self) -> Collection[str | bytes]:
        """Keys with an entry, as a live view: a key that is not among them has a full bucket."""
        return self._full_at

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, key: str | bytes, now: float) -> float:
        """Take one token and return 0, or take nothing and return the seconds until there is one."""
        table = self._full_at
        full_at = table.get(key)
        if full_at is None:
            table[key] = now + self._interval
            self._forget(now)
        else:
            if full_at < now:
                full_at = now
            else:
                wait = full_at - now - self._slack
                if wait > _ROUNDING:
                    if full_at <= now + self._span:
                        return wait
                    table[key] = now + self._span
                    return self._span - self._slack
            table[key] = full_at + self._interval
            table.move_to_end(key)
        taken = self.taken
        if taken is not None:
            try:
                taken[key] += 1
            except KeyError:
                taken[key] = 1
        return 0.0

    def wait(self, key: str | bytes, now: float) -> float:
        """Return the seconds until *key* may take a token, 0 for at once; takes nothing."""
        full_at = self._full_at.get(key)
        if full_at is None:
            return 0.0
        wait = full_at - now - self._slack
        return min(wait, self._span - self._slack) if wait > _ROUNDING else 0.0

    def left(self, key: str | bytes, now: float) -> tuple[int, float]:
        """Return how many tokens *key* could take at *now*, and the seconds until its bucket is full."""
        full_at = self._full_at.get(key)
        full_in = 0.0 if full_at is None or full_at < now else full_at - now
        left = int((self._slack - full_in + _ROUNDING) // self._interval) + 1
        return max(0, left), full_in

    def _forget(self, now: float) -> None:
        """Make room for a new key: of the longest unused, drop two that are full, and one if there are too many."""
        table = self._full_at
        for _ in range(2):
            key = next(iter(table))
            if table[key] > now:
                break
            del table[key]
        if len(table) > self._entries:
            table.popitem(last=False)
