"""Gateways that share buckets, as a model: time is moved by hand, and the store is the script's arithmetic."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.limits.buckets import Buckets
from gateway.limits.shared import MOST, SharedBuckets, Sharing, Spent

ROUND = 0.1


@dataclass
class World:
    """One time for all, and a store that answers after `way` seconds, or not at all."""

    now: float = 1000.0
    way: float = 0.0
    away: bool = False
    full_at: dict[object, float] = field(default_factory=dict)
    asked: int = 0

    async def tell(self, spent: Sequence[Spent]) -> Sequence[float | None]:
        self.asked += 1
        if self.away:
            return [None] * len(spent)
        self.now += self.way / 2
        replies = []
        for one in spent:
            full_at = max(self.full_at.get(one.key, 0.0), self.now + one.before) + one.seconds
            self.full_at[one.key] = full_at
            replies.append(full_at - self.now)
        self.now += self.way / 2
        return replies


class Over(Exception):
    """Enough was seen."""


class Gateway:
    """One gateway's buckets and their sharing."""

    def __init__(self, world: World, rate: float, burst: int, entries: int = 50_000) -> None:
        self.world = world
        self.buckets = SharedBuckets("limit", rate, burst, entries=entries)
        self.heard: list[bool] = []
        self.sharing = Sharing(world.tell, lambda: world.now, on_change=self.heard.append)
        self.sharing.adopt([self.buckets])

    def passed(self, tries: int, key: str = "ana") -> int:
        return sum(self.buckets.take(key, self.world.now) == 0 for _ in range(tries))

    async def exchange(self) -> None:
        await self.sharing.exchange()


def gateways(world: World, number: int, rate: float = 10, burst: int = 20) -> list[Gateway]:
    return [Gateway(world, rate, burst) for _ in range(number)]


async def test_what_one_has_taken_another_has_not_after_its_next_exchange() -> None:
    one, two = gateways(World(), 2)
    assert one.passed(15) == 15
    await one.exchange()
    assert two.passed(1) == 1
    await two.exchange()
    assert two.passed(20) == 4


async def test_what_was_let_through_too_much_is_paid_back() -> None:
    world = World()
    one, two = gateways(world, 2)
    assert (one.passed(50), two.passed(50)) == (20, 20)
    for gateway in (one, two, one):
        await gateway.exchange()
    world.now += 1.9
    assert two.passed(1) == 0
    world.now += 0.2
    assert two.passed(5) == 1


async def test_what_is_taken_during_an_exchange_is_neither_lost_nor_counted_twice() -> None:
    world = World()
    one, two = gateways(world, 2)
    told = world.tell

    async def slowly(spent: Sequence[Spent]) -> Sequence[float | None]:
        replies = await told(spent)
        assert one.passed(3) == 3
        return replies

    assert two.passed(10) == 10
    await two.exchange()
    one.sharing._tell = slowly
    assert one.passed(2) == 2
    await one.exchange()
    assert one.passed(50) == 5
    one.sharing._tell = told
    await one.exchange()
    two.passed(1)
    await two.exchange()
    assert two.passed(50) == 0


async def test_nothing_is_asked_when_nothing_was_taken() -> None:
    world = World()
    (one,) = gateways(world, 1)
    await one.exchange()
    one.passed(1)
    await one.exchange()
    await one.exchange()
    assert world.asked == 1


async def test_a_store_that_is_away_leaves_each_to_itself_and_is_told_what_is_owed_when_it_is_back() -> None:
    world = World(away=True)
    one, two = gateways(world, 2)
    for _ in range(600):
        one.passed(1), two.passed(1)
        await one.exchange()
        await two.exchange()
        world.now += 0.1
    assert one.heard == two.heard == [False]
    world.away = False
    one.passed(1), two.passed(1)
    await one.exchange()
    await two.exchange()
    assert one.heard == two.heard == [False, True]
    world.now += 2.5
    assert two.passed(1) == 1, "a minute alone is no debt of a minute"


async def test_a_bucket_that_is_full_again_is_not_kept_for_a_store_that_is_away() -> None:
    world = World(away=True)
    (one,) = gateways(world, 1)
    one.passed(3)
    await one.exchange()
    assert one.buckets.taken == {"ana": 3}
    world.now += 10
    await one.exchange()
    assert one.buckets.taken == {}


async def test_so_many_are_told_of_at_once_and_the_others_next_time() -> None:
    world = World()
    (one,) = gateways(world, 1)
    for number in range(MOST + 5):
        one.passed(1, f"key{number}")
    await one.exchange()
    assert len(world.full_at) == MOST
    await one.exchange()
    assert len(world.full_at) == MOST + 5


async def test_a_flood_at_one_limit_silences_no_other() -> None:
    world = World()
    (one,) = gateways(world, 1)
    other = SharedBuckets("other", 10, 20)
    one.sharing.adopt([one.buckets, other])
    for number in range(2 * MOST):
        one.passed(1, f"key{number}")
    other.take("bob", world.now)
    await one.exchange()
    assert "bob" in world.full_at
    assert len(world.full_at) == MOST // 2 + 1


async def test_a_slow_store_is_told_of_everything() -> None:
    """However long an exchange takes, what was taken meanwhile is told by the next one."""
    world = World(way=3.0)
    one, two = gateways(world, 2, rate=10, burst=5)
    count = 0
    for _ in range(100):
        for gateway in (one, two):
            count += gateway.passed(40)
            await gateway.exchange()
    seconds = world.now - 1000
    assert count <= 5 + 10 * seconds + (5 + 10 * 2 * 6.0)


async def test_a_flood_of_keys_takes_no_more_room_in_the_store_than_here() -> None:
    world = World()
    one = Gateway(world, rate=0.001, burst=1, entries=100)
    for number in range(1000):
        one.passed(1, f"key{number}")
        if number % 50 == 0:
            await one.exchange()
    await one.exchange()
    assert len(world.full_at) <= 100
    assert len(one.buckets) <= 100
    world.now += 2000
    one.passed(1, "late")
    await one.exchange()
    assert "late" in world.full_at


async def test_buckets_that_are_not_in_force_any_more_are_not_told_of() -> None:
    world = World()
    (one,) = gateways(world, 1)
    one.passed(1)
    one.sharing.adopt([])
    await one.exchange()
    assert world.asked == 0


async def test_it_exchanges_again_and_again_and_more_rarely_while_the_store_is_away() -> None:
    world = World(away=True)
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        buckets.take("ana", world.now)
        if len(waited) == 3:
            world.away = False
        if len(waited) == 5:
            raise Over

    buckets = SharedBuckets("limit", 10, 20)
    sharing = Sharing(world.tell, lambda: world.now, sleep=sleep)
    sharing.adopt([buckets])
    with pytest.raises(Over):
        await sharing.run()
    assert waited == [0.1, 1.0, 1.0, 0.1, 0.1]


@settings(max_examples=60, deadline=None)
@given(
    rate=st.floats(0.5, 200),
    burst=st.integers(1, 40),
    pauses=st.lists(st.floats(0, 0.3), min_size=1, max_size=100),
    way=st.floats(0, 0.05),
)
async def test_a_gateway_alone_is_no_stricter_and_no_laxer_for_sharing(
    rate: float, burst: int, pauses: list[float], way: float
) -> None:
    world = World(way=way)
    shared, alone = Gateway(world, rate, burst), Buckets(rate, burst)
    since = 0.0
    for pause in pauses:
        world.now += pause
        since += pause
        if since >= ROUND:
            await shared.exchange()
            since = 0.0
        wait = alone.wait("ana", world.now)
        mine = shared.buckets.wait("ana", world.now)
        assert mine == pytest.approx(wait, abs=way + 1e-4)
        if wait == 0 and mine == 0:
            assert shared.passed(1) == 1
            assert alone.take("ana", world.now) == 0


@settings(max_examples=150, deadline=None)
@given(
    number=st.integers(2, 5),
    rate=st.floats(0.5, 100),
    burst=st.integers(1, 30),
    way=st.sampled_from([0.0, 0.01, 0.1]),
    steps=st.lists(st.tuples(st.floats(0, 0.1), st.integers(0, 4), st.integers(1, 40)), min_size=5, max_size=150),
    offsets=st.lists(st.floats(0, ROUND), min_size=5, max_size=5),
)
async def test_together_they_never_let_more_through_than_is_said(
    number: int,
    rate: float,
    burst: int,
    way: float,
    steps: list[tuple[float, int, int]],
    offsets: list[float],
) -> None:
    """In any stretch of time, however clients choose among gateways and moments."""
    world = World(way=way)
    here = gateways(world, number, rate, burst)
    due = [world.now + offset for offset in offsets[:number]]
    longest = 0.0
    last = [world.now] * number
    passed: list[float] = []
    for pause, which, tries in steps:
        end = world.now + pause
        while min(due) <= end:
            at = due.index(min(due))
            world.now = max(world.now, due[at])
            await here[at].exchange()
            longest = max(longest, world.now - last[at])
            last[at] = world.now
            due[at] = world.now + ROUND
        world.now = max(world.now, end)
        passed += [world.now] * here[which % number].passed(tries)
    round_ = max(longest, ROUND + way)
    more = (number - 1) * (burst + rate * 2 * round_)
    for first in range(0, len(passed), max(1, len(passed) // 20)):
        for last_one in range(first, len(passed), max(1, len(passed) // 20)):
            seconds = passed[last_one] - passed[first]
            assert last_one - first + 1 <= burst + rate * seconds + more + 0.01


async def test_over_a_long_time_the_rate_is_kept_by_however_many() -> None:
    """Hammered without a pause, three gateways let through what one may, and what they owe is paid back."""
    world = World(way=0.01)
    here = gateways(world, 3, rate=10, burst=5)
    count = 0
    for _ in range(1200):
        world.now += 0.05
        for gateway in here:
            count += gateway.passed(20)
        for gateway in here:
            await gateway.exchange()
    seconds = world.now - 1000
    assert count / seconds == pytest.approx(10, rel=0.05)
