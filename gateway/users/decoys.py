"""Decoys: hashes against which names that nobody has are checked, so that they cost what real ones cost.

Where hashes of several costs lie side by side, each name nobody has gets one of them, always the same and in the
proportion of the real ones: a name that always took the time of one kind while people's take another would say that
it is nobody's (OWASP ASVS 6.3.8).
"""

import hmac
from collections.abc import Iterable

from gateway.users.hashes import AnyCost, cost_of

_MOST_SEEN = 10_000


class Decoys:
    """The mix of costs, and a decoy for each."""

    def __init__(self, key: bytes, usual: AnyCost, stored: Iterable[str] = ()) -> None:
        """*key* is what an outsider cannot know; *usual* is the cost while no other is known; *stored* are hashes."""
        self._key = key
        self._usual = usual
        self._seen: dict[AnyCost, int] = {}
        self._decoys: dict[AnyCost, str] = {}
        for encoded in stored:
            self.saw(encoded)

    def saw(self, encoded: str) -> None:
        """A real hash was met; the mix follows what is met."""
        cost = cost_of(encoded)
        # What cannot be paid is checked against a decoy of the usual cost, so that is what it counts as.
        paid = self._usual if cost is None or cost.absurd else cost
        self._seen[paid] = self._seen.get(paid, 0) + 1
        if self._seen[paid] > _MOST_SEEN:
            self._seen = {each: -(-count // 2) for each, count in self._seen.items()}

    def usual(self) -> str:
        """Return a decoy of the usual cost."""
        return self._of(self._usual)

    def of(self, name: str) -> str:
        """Return the decoy of *name*, which nobody has."""
        if not self._seen:
            return self.usual()
        mark = hmac.digest(self._key, name.encode("utf-8", "surrogatepass"), "sha256")
        place = int.from_bytes(mark[:8], "big") * sum(self._seen.values()) >> 64
        for cost in sorted(self._seen, key=repr):
            place -= self._seen[cost]
            if place < 0:
                return self._of(cost)
        raise AssertionError("the shares make up the whole")

    def _of(self, cost: AnyCost) -> str:
        if cost not in self._decoys:
            self._decoys[cost] = cost.decoy()
        return self._decoys[cost]
