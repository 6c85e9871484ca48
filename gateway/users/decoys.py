"""Decoys: hashes against which names that nobody has are checked, so that they cost what real ones cost.

Where hashes of several costs lie side by side, each name nobody has gets one of them, always the same and in the
proportion of the real ones: a name that always took the time of one kind while people's take another would say that
it is nobody's (OWASP ASVS 6.3.8).
"""

import hmac
from collections import Counter
from collections.abc import Iterable

from gateway.users.hashes import AnyCost, cost_of

_MOST_SEEN = 10_000
"""People who are counted one by one; a sample of so many is as good as all of them."""


class Decoys:
    """The mix of costs, and a decoy for each."""

    def __init__(self, key: bytes, usual: AnyCost, stored: Iterable[str] = ()) -> None:
        """*key* is what an outsider cannot know; *usual* is the cost while no other is known; *stored* are hashes."""
        self._key = key
        self._usual = usual
        self._seen = Counter(map(self._paid, stored))
        self._whose: dict[bytes, AnyCost] = {}
        self._decoys: dict[AnyCost, str] = {}

    def saw(self, sub: str, encoded: str) -> None:
        """The hash of the person *sub* was met; the mix follows what is met.

        Each person counts once, by the hash they have now: whoever logs in again and again, or changes their password
        again and again, must not move the decoys of names that nobody has, since what moves is nobody's.
        """
        whose = hmac.digest(self._key, sub.encode("utf-8", "surrogatepass"), "sha256")[:16]
        before, now = self._whose.get(whose), self._paid(encoded)
        if before == now or (before is None and len(self._whose) >= _MOST_SEEN):
            return
        if before is not None:
            self._seen[before] -= 1
        self._seen[now] += 1
        self._whose[whose] = now

    def usual(self) -> str:
        """Return a decoy of the usual cost."""
        return self._of(self._usual)

    def of(self, name: str) -> str:
        """Return the decoy of *name*, which nobody has."""
        whole = self._seen.total()
        if not whole:
            return self.usual()
        mark = hmac.digest(self._key, name.encode("utf-8", "surrogatepass"), "sha256")
        place = int.from_bytes(mark[:8], "big") * whole >> 64
        for cost in sorted(self._seen, key=repr):
            place -= self._seen[cost]
            if place < 0:
                return self._of(cost)
        raise AssertionError("the shares make up the whole")

    def _paid(self, encoded: str) -> AnyCost:
        cost = cost_of(encoded)
        # What cannot be paid is checked against a decoy of the usual cost, so that is what it counts as.
        return self._usual if cost is None or cost.absurd else cost

    def _of(self, cost: AnyCost) -> str:
        if cost not in self._decoys:
            self._decoys[cost] = cost.decoy()
        return self._decoys[cost]
