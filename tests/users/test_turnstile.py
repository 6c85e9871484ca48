"""Waiting for a turn: the brake as a login meets it."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from gateway.config.verify import QUESTIONS
from gateway.errors import Refused, StoreUnavailable
from gateway.limits.guesses import Busy, Guess, Reserved, Throttled, ThrottleLimits
from gateway.users.turnstile import PATIENCE, Turnstile
from tests.limits.brake import MemoryThrottle
from tests.users.conftest import MovedClock

HERE = "192.0.2.1"


@pytest.fixture
def turnstile(clock: MovedClock) -> Turnstile:
    return Turnstile(MemoryThrottle(clock, ThrottleLimits(address_burst=3)))


async def guess(turnstile: Turnstile, account: str = "alice", *, right: bool = False) -> bool:
    """One try; a step of the event loop stands for the hashing."""
    async with turnstile.attempt(account, HERE) as attempt:
        await asyncio.sleep(0)
        if right:
            attempt.succeeded()
        else:
            attempt.failed()
    return right


async def outcomes(*tries: Awaitable[object]) -> list[str]:
    """Return how many of the tries ended in which way."""
    results = await asyncio.gather(*tries, return_exceptions=True)
    return [r.refusal.code.name if isinstance(r, Refused) else str(r) for r in results]


@pytest.mark.item(123)
async def test_of_a_hundred_guesses_at_once_only_the_free_ones_are_checked(clock: MovedClock) -> None:
    turnstile = Turnstile(MemoryThrottle(clock))
    results = await outcomes(*(guess(turnstile) for _ in range(100)))
    assert results.count("False") == 5
    assert results.count("rate_limited") == 95


async def test_a_hundred_right_passwords_at_once_all_pass(turnstile: Turnstile) -> None:
    assert await outcomes(*(guess(turnstile, right=True) for _ in range(100))) == ["True"] * 100


@pytest.mark.item(125)
async def test_a_refusal_says_how_long_to_wait_and_is_the_same_for_any_name(turnstile: Turnstile) -> None:
    refusals = []
    for account in ("alice", "nobody"):
        for _ in range(5):
            await outcomes(guess(turnstile, account))
        with pytest.raises(Refused) as refused:
            await guess(turnstile, account)
        refusals.append(refused.value.refusal)
    assert refusals[0] == refusals[1]
    assert refusals[0].status == 429
    assert refusals[0].retry_after == 1


async def test_spellings_of_one_name_share_one_count(turnstile: Turnstile) -> None:
    for account in ("alice", "Alice", "ALICE", "\uff41lice", "aLice"):
        await outcomes(guess(turnstile, account))
    assert await outcomes(guess(turnstile, "alicE")) == ["rate_limited"]


async def test_a_failure_from_a_slow_address_is_answered_like_a_refusal_but_a_right_password_passes(
    turnstile: Turnstile,
) -> None:
    await outcomes(*(guess(turnstile, f"user{i}") for i in range(3)))
    assert await outcomes(guess(turnstile, "user9")) == ["rate_limited"]
    assert await outcomes(guess(turnstile, "user9", right=True)) == ["True"]


async def test_tries_from_slow_addresses_go_one_at_a_time(turnstile: Turnstile) -> None:
    await outcomes(*(guess(turnstile, f"user{i}") for i in range(3)))
    inside = most = 0

    async def one(account: str) -> None:
        nonlocal inside, most
        async with turnstile.attempt(account, HERE) as attempt:
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1
            attempt.succeeded()

    await asyncio.gather(*(one(f"other{i}") for i in range(20)))
    assert most == 1


async def test_a_try_that_breaks_off_counts_for_nothing(turnstile: Turnstile) -> None:
    for _ in range(20):
        with pytest.raises(RuntimeError, match="store"):
            async with turnstile.attempt("alice", HERE):
                raise RuntimeError("store")
    assert await outcomes(guess(turnstile)) == ["False"]


async def test_nobody_waits_for_ever_in_the_slow_lane(clock: MovedClock) -> None:
    throttle = MemoryThrottle(clock, ThrottleLimits(address_burst=3))
    turnstile = Turnstile(throttle, patience=0.05)
    await outcomes(*(guess(turnstile, f"user{i}") for i in range(3)))
    first = await Holding(turnstile).entered()
    with pytest.raises(Refused) as refused:
        await guess(turnstile, "bob", right=True)
    assert (refused.value.refusal.code.name, refused.value.refusal.reason) == ("rate_limited", "login_busy")
    assert sum(len(ladder.leases) for ladder in throttle.ladders.values()) == 2, "of the one who is in"
    await first.end()
    assert await outcomes(guess(turnstile, "bob", right=True)) == ["True"]


async def test_who_leaves_the_slow_lane_leaves_no_trace(clock: MovedClock) -> None:
    throttle = MemoryThrottle(clock, ThrottleLimits(address_burst=3))
    turnstile = Turnstile(throttle)
    await outcomes(*(guess(turnstile, f"user{i}") for i in range(3)))
    first = await Holding(turnstile).entered()
    late = asyncio.ensure_future(guess(turnstile, "bob", right=True))
    await until(lambda: turnstile._slow._waiting == 1)
    late.cancel()
    await asyncio.gather(late, return_exceptions=True)
    assert turnstile._slow._waiting == 0
    assert sum(len(ladder.leases) for ladder in throttle.ladders.values()) == 2, "of the one who is in"
    await first.end()


def test_a_try_is_over_before_its_lease() -> None:
    assert ThrottleLimits().lease >= PATIENCE + QUESTIONS


class SlowThrottle(MemoryThrottle):
    """Answers when it is told to, as a store does; and may be away."""

    def __init__(self, clock: MovedClock) -> None:
        super().__init__(clock)
        self.answers = asyncio.Event()
        self.answers.set()
        self.is_away = False
        self.asked = 0

    async def reserve(self, guess: Guess) -> Reserved | Throttled | Busy:
        self.asked += 1
        turn = await super().reserve(guess)
        await self._answer()
        return turn

    async def succeeded(self, reserved: Reserved) -> None:
        await self._answer()
        await super().succeeded(reserved)

    async def failed(self, reserved: Reserved) -> None:
        await self._answer()
        await super().failed(reserved)

    async def released(self, reserved: Reserved) -> None:
        await self._answer()
        await super().released(reserved)

    async def _answer(self) -> None:
        await self.answers.wait()
        if self.is_away:
            raise StoreUnavailable("away", "timeout")

    @property
    def in_flight(self) -> int:
        return sum(len(ladder.leases) for ladder in self.ladders.values())


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0)


class Holding:
    """A try of somebody who takes their time."""

    def __init__(self, turnstile: Turnstile, end: str | None = None, address: str = HERE) -> None:
        self._go = asyncio.Event()
        self.is_in = False
        self.task = asyncio.ensure_future(self._hold(turnstile, end, address))

    async def _hold(self, turnstile: Turnstile, end: str | None, address: str) -> None:
        async with turnstile.attempt("alice", address) as attempt:
            self.is_in = True
            await self._go.wait()
            if end is not None:
                getattr(attempt, end)()

    async def entered(self) -> "Holding":
        await until(lambda: self.is_in)
        return self

    async def leave(self) -> None:
        """The client goes away."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def end(self) -> None:
        self._go.set()
        await self.task


@pytest.fixture
def slow(clock: MovedClock) -> SlowThrottle:
    return SlowThrottle(clock)


async def test_a_client_who_leaves_while_waiting_leaves_no_trace(slow: SlowThrottle) -> None:
    turnstile = Turnstile(slow)
    first = [await Holding(turnstile).entered() for _ in range(5)]
    late = asyncio.ensure_future(guess(turnstile, right=True))
    await until(lambda: slow.asked == 6)
    late.cancel()
    await asyncio.gather(late, return_exceptions=True)
    for one in first:
        await one.end()
    assert await outcomes(guess(turnstile, right=True)) == ["True"]
    assert slow.in_flight == 0


async def test_a_client_who_leaves_while_the_store_is_asked_gives_the_turn_back(slow: SlowThrottle) -> None:
    turnstile = Turnstile(slow)
    slow.answers.clear()
    one = Holding(turnstile)
    await until(lambda: slow.in_flight == 2)
    await one.leave()
    slow.answers.set()
    await turnstile.close()
    assert slow.in_flight == 0


async def test_a_client_who_leaves_while_the_end_is_written_down_cannot_stop_that(slow: SlowThrottle) -> None:
    turnstile = Turnstile(slow)
    one = await Holding(turnstile, "failed").entered()
    slow.answers.clear()
    one._go.set()
    await until(lambda: len(turnstile._works) == 1)
    await one.leave()
    slow.answers.set()
    await turnstile.close()
    assert slow.in_flight == 0
    assert {ladder.failures for ladder in slow.ladders.values()} == {1}


async def test_a_store_that_is_away_is_neither_a_success_nor_a_failure(slow: SlowThrottle) -> None:
    turnstile = Turnstile(slow)
    slow.is_away = True
    with pytest.raises(StoreUnavailable):
        await guess(turnstile, right=True)
    slow.is_away = False
    for end in ("succeeded", "failed"):
        one = await Holding(turnstile, end).entered()
        slow.is_away = True
        with pytest.raises(StoreUnavailable):
            await one.end()
        slow.is_away = False


async def test_what_broke_a_try_off_is_told_though_the_store_is_away(slow: SlowThrottle) -> None:
    async def one() -> None:
        async with Turnstile(slow).attempt("alice", HERE):
            slow.is_away = True
            raise RuntimeError("user store")

    assert await outcomes(one()) == ["user store"]


async def test_a_client_who_has_left_hears_of_no_trouble_and_nobody_else_does(slow: SlowThrottle) -> None:
    turnstile = Turnstile(slow)
    slow.answers.clear()
    one = Holding(turnstile)
    await until(lambda: slow.in_flight == 2)
    await one.leave()
    slow.is_away = True
    slow.answers.set()
    await turnstile.close()


async def test_of_those_who_wait_in_one_line_one_asks_the_store(slow: SlowThrottle) -> None:
    turnstile = Turnstile(slow)
    first = [await Holding(turnstile).entered() for _ in range(5)]
    waiting = [asyncio.ensure_future(guess(turnstile, right=True)) for _ in range(50)]
    await until(lambda: slow.asked > 5)
    before = slow.asked
    await first[0].end()
    await until(lambda: slow.asked > before)
    for one in first[1:]:
        await one.end()
    assert await outcomes(*waiting) == ["True"] * 50
    assert slow.asked < 5 + 3 * 50


async def test_a_try_that_ended_at_another_gateway_is_noticed(slow: SlowThrottle) -> None:
    there, here = Turnstile(slow), Turnstile(slow)
    first = [await Holding(there).entered() for _ in range(5)]
    late = asyncio.ensure_future(guess(here, right=True))
    await until(lambda: slow.asked > 6)
    for one in first:
        await one.end()
    assert await outcomes(late) == ["True"]


async def test_nobody_waits_for_ever_for_a_try_that_does_not_end(slow: SlowThrottle) -> None:
    turnstile = Turnstile(slow, patience=0.05)
    first = [await Holding(turnstile).entered() for _ in range(5)]
    with pytest.raises(Refused) as refused:
        await guess(turnstile)
    assert (refused.value.refusal.code.name, refused.value.refusal.retry_after) == ("rate_limited", 1)
    for one in first:
        await one.end()
    assert turnstile._lines == {}


async def test_the_queue_of_those_who_wait_is_bounded(slow: SlowThrottle) -> None:
    turnstile = Turnstile(slow, queue=2)
    # One after the other, so that none of them has to wait.
    first = [await Holding(turnstile, "succeeded").entered() for _ in range(5)]
    late = [asyncio.ensure_future(guess(turnstile, right=True)) for _ in range(3)]
    await until(lambda: any(one.done() for one in late))
    for one in first:
        await one.end()
    assert sorted(await outcomes(*late)) == ["True", "True", "overloaded"]
