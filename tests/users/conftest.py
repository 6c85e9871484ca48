"""Fakes of the users' tests: a clock that is moved, and hashes that cost next to nothing."""

from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

import pytest

from gateway.users.passwords import Cost, Hasher, HashPool

P = ParamSpec("P")
R = TypeVar("R")

CHEAP = Cost(memory_kib=8, passes=1, lanes=1)


class MovedClock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def wall(self) -> float:
        return 1_800_000_000.0 + self.now

    def monotonic(self) -> float:
        return self.now


class CountingHasher(Hasher):
    """Remembers the cost of every hash it was asked to compute."""

    def __init__(self, cost: Cost = CHEAP) -> None:
        super().__init__(cost)
        self.verified: list[str] = []
        self.hashed: list[str] = []

    def verify(self, encoded: str, password: str) -> bool:
        self.verified.append(encoded)
        return super().verify(encoded, password)

    def hash(self, password: str) -> str:
        self.hashed.append(password)
        return super().hash(password)

    @property
    def spent(self) -> int:
        """Hashes computed so far."""
        return len(self.verified) + len(self.hashed)


class Inline:
    """A pool without threads: the work is done before `run` returns."""

    async def run(self, work: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        return work(*args, **kwargs)


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock()


@pytest.fixture
def hasher() -> CountingHasher:
    return CountingHasher()


@pytest.fixture
def pool() -> Iterator[HashPool]:
    pool = HashPool(2)
    yield pool
    pool.close()
