"""Waiting for a turn: the brake as a login meets it."""

import asyncio

import pytest

from gateway.errors import Refused
from gateway.users.throttle import Throttle, ThrottleLimits
from gateway.users.turnstile import Turnstile
from tests.users.conftest import MovedClock

HERE = "192.0.2.1"


@pytest.fixture
def turnstile(clock: MovedClock) -> Turnstile:
    return Turnstile(Throttle(clock, ThrottleLimits(address_burst=3)))


async def guess(turnstile: Turnstile, account: str = "alice", *, right: bool = False) -> bool:
    """One try; a step of the event loop stands for the hashing."""
    async with turnstile.attempt(account, HERE) as attempt:
        await asyncio.sleep(0)
        if right:
            attempt.succeeded()
        else:
            attempt.failed()
    return right


async def outcomes(*tries: object) -> list[str]:
    """Return how many of the tries ended in which way."""
    results = await asyncio.gather(*tries, return_exceptions=True)  # type: ignore[call-overload]
    return [r.refusal.code.name if isinstance(r, Refused) else str(r) for r in results]


async def test_of_a_hundred_guesses_at_once_only_the_free_ones_are_checked(clock: MovedClock) -> None:
    turnstile = Turnstile(Throttle(clock))
    results = await outcomes(*(guess(turnstile) for _ in range(100)))
    assert results.count("False") == 5
    assert results.count("rate_limited") == 95


async def test_a_hundred_right_passwords_at_once_all_pass(turnstile: Turnstile) -> None:
    assert await outcomes(*(guess(turnstile, right=True) for _ in range(100))) == ["True"] * 100


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


async def test_a_client_who_leaves_while_waiting_leaves_no_trace(turnstile: Turnstile) -> None:
    hold = asyncio.Event()

    async def holding() -> None:
        async with turnstile.attempt("alice", HERE):
            await hold.wait()

    first = [asyncio.ensure_future(holding()) for _ in range(5)]
    late = asyncio.ensure_future(guess(turnstile, right=True))
    await asyncio.sleep(0)
    late.cancel()
    await asyncio.gather(late, return_exceptions=True)
    hold.set()
    await asyncio.gather(*first)
    assert await outcomes(guess(turnstile, right=True)) == ["True"]


async def test_the_queue_of_those_who_wait_is_bounded(clock: MovedClock) -> None:
    turnstile = Turnstile(Throttle(clock), queue=2)
    hold = asyncio.Event()

    async def holding() -> str:
        async with turnstile.attempt("alice", HERE) as attempt:
            await hold.wait()
            attempt.succeeded()
        return "through"

    tasks = [asyncio.ensure_future(holding()) for _ in range(8)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    hold.set()
    assert sorted(await outcomes(*tasks)) == ["overloaded"] + ["through"] * 7
