"""Which target gets the next request: pure choices over the targets that are fit to be asked."""

import hashlib
import math
import random
from collections.abc import Callable, Sequence
from typing import Protocol


class Candidate(Protocol):
    """What a choice may depend on."""

    @property
    def name(self) -> str: ...
    @property
    def weight(self) -> int: ...
    @property
    def inflight(self) -> int: ...


class Balancer(Protocol):
    def pick(self, fit: Sequence[Candidate], key: bytes) -> int:
        """Return the index of the chosen one of *fit* (never empty); *key* is what a hash goes by."""
        ...


class RoundRobin:
    """Smooth weighted round robin, as nginx does it: heavy targets come often, but not in a row."""

    def __init__(self) -> None:
        self._current: dict[str, int] = {}

    def pick(self, fit: Sequence[Candidate], key: bytes) -> int:
        current = self._current
        best, best_score, total = 0, None, 0
        for index, target in enumerate(fit):
            total += target.weight
            score = current[target.name] = current.get(target.name, 0) + target.weight
            if best_score is None or score > best_score:
                best, best_score = index, score
        current[fit[best].name] -= total
        return best


class LeastInflight:
    """The target with the fewest requests in work for its weight; the first of equals."""

    def pick(self, fit: Sequence[Candidate], key: bytes) -> int:
        return min(range(len(fit)), key=lambda index: (fit[index].inflight + 1) / fit[index].weight)


class PowerOfTwo:
    """The less loaded of two drawn at random: nearly as good as looking at all, and no herd (Mitzenmacher 2001)."""

    def __init__(self, draw: Callable[[int], int] = random.randrange) -> None:
        self._draw = draw

    def pick(self, fit: Sequence[Candidate], key: bytes) -> int:
        if len(fit) == 1:
            return 0
        one = self._draw(len(fit))
        other = self._draw(len(fit) - 1)
        other += other >= one
        load = [(fit[index].inflight + 1) / fit[index].weight for index in (one, other)]
        return one if load[0] <= load[1] else other


class Hash:
    """Rendezvous hashing: the same key goes to the same target, and losing a target moves only its own keys."""

    def pick(self, fit: Sequence[Candidate], key: bytes) -> int:
        def score(target: Candidate) -> float:
            # The whole name: two that differ only at their ends are two targets all the same.
            digest = hashlib.blake2b(target.name.encode() + b"\0" + key, digest_size=8).digest()
            # Weighted rendezvous: -weight / ln(u), with u uniform in (0, 1).
            return -target.weight / math.log((int.from_bytes(digest, "big") + 1) / (2**64 + 2))

        return max(range(len(fit)), key=lambda index: score(fit[index]))


BALANCERS: dict[str, Callable[[], Balancer]] = {
    "round_robin": RoundRobin,
    "least_inflight": LeastInflight,
    "p2c": PowerOfTwo,
    "hash": Hash,
}
