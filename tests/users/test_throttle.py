"""The brake on guessing, with a clock that is moved by hand."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.users.throttle import Busy, Reserved, Throttle, Throttled, ThrottleLimits, network
from tests.users.conftest import MovedClock

HOME, OFFICE, ATTACKER = "192.0.2.1", "192.0.2.2", "203.0.113.9"


@pytest.fixture
def throttle(clock: MovedClock) -> Throttle:
    return Throttle(clock)


def reserved(throttle: Throttle, account: str = "alice", address: str = ATTACKER) -> Reserved:
    turn = throttle.reserve(account, address)
    assert isinstance(turn, Reserved), turn
    return turn


def fail(throttle: Throttle, times: int, account: str = "alice", address: str = ATTACKER) -> None:
    for _ in range(times):
        throttle.failed(reserved(throttle, account, address))


def test_a_few_mistakes_cost_nothing(throttle: Throttle) -> None:
    fail(throttle, 4)
    assert isinstance(throttle.reserve("alice", ATTACKER), Reserved)


def test_after_the_free_tries_the_delay_doubles_up_to_fifteen_minutes(throttle: Throttle, clock: MovedClock) -> None:
    fail(throttle, 5)
    delays = []
    for _ in range(14):
        wait = throttle.reserve("alice", ATTACKER)
        assert isinstance(wait, Throttled)
        delays.append(wait.retry_after)
        clock.now += wait.retry_after
        fail(throttle, 1)
    assert delays == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900, 900]


def test_no_delay_is_permanent(throttle: Throttle, clock: MovedClock) -> None:
    for _ in range(40):
        turn = throttle.reserve("alice", ATTACKER)
        if isinstance(turn, Reserved):
            throttle.failed(turn)
        clock.now += 900
    clock.now += 1
    assert isinstance(throttle.reserve("alice", ATTACKER), Reserved)


def test_the_time_to_wait_runs_down(throttle: Throttle, clock: MovedClock) -> None:
    fail(throttle, 5)
    clock.now += 1
    fail(throttle, 1)
    assert throttle.reserve("alice", ATTACKER) == Throttled(2)
    clock.now += 1.5
    assert throttle.reserve("alice", ATTACKER) == Throttled(1)
    clock.now += 0.5
    assert isinstance(throttle.reserve("alice", ATTACKER), Reserved)


def test_a_hundred_guesses_at_once_do_not_pass_the_count_together(throttle: Throttle) -> None:
    turns = [throttle.reserve("alice", ATTACKER) for _ in range(100)]
    assert sum(isinstance(turn, Reserved) for turn in turns) == 5
    assert sum(isinstance(turn, Busy) for turn in turns) == 95


def test_beyond_the_free_tries_they_are_checked_one_at_a_time(throttle: Throttle, clock: MovedClock) -> None:
    fail(throttle, 5)
    clock.now += 1
    assert isinstance(throttle.reserve("alice", ATTACKER), Reserved)
    assert isinstance(throttle.reserve("alice", ATTACKER), Busy)


def test_a_success_gives_the_free_tries_back(throttle: Throttle) -> None:
    fail(throttle, 4)
    throttle.succeeded(reserved(throttle))
    fail(throttle, 4)
    assert isinstance(throttle.reserve("alice", ATTACKER), Reserved)


def test_a_try_that_could_not_be_checked_never_happened(throttle: Throttle) -> None:
    for _ in range(50):
        throttle.released(reserved(throttle))
    fail(throttle, 4)
    assert isinstance(throttle.reserve("alice", ATTACKER), Reserved)


def test_many_addresses_together_climb_the_accounts_ladder(throttle: Throttle) -> None:
    for i in range(10):
        fail(throttle, 1, address=f"203.0.113.{i}")
    assert isinstance(throttle.reserve("alice", "198.51.100.1"), Throttled)
    assert isinstance(throttle.reserve("bob", "198.51.100.1"), Reserved)


def test_strangers_cannot_lock_out_a_person_at_an_address_they_use(throttle: Throttle) -> None:
    throttle.succeeded(reserved(throttle, address=HOME))
    for i in range(10):
        fail(throttle, 1, address=f"203.0.113.{i}")
    assert isinstance(throttle.reserve("alice", OFFICE), Throttled)
    assert isinstance(throttle.reserve("alice", HOME), Reserved)


def test_a_success_at_home_does_not_give_strangers_new_tries(throttle: Throttle, clock: MovedClock) -> None:
    throttle.succeeded(reserved(throttle, address=HOME))
    for i in range(10):
        fail(throttle, 1, address=f"203.0.113.{i}")
    throttle.succeeded(reserved(throttle, address=HOME))
    assert isinstance(throttle.reserve("alice", "198.51.100.1"), Throttled)


def test_a_known_address_still_has_the_pairs_own_ladder(throttle: Throttle) -> None:
    throttle.succeeded(reserved(throttle, address=HOME))
    fail(throttle, 5, address=HOME)
    assert isinstance(throttle.reserve("alice", HOME), Throttled)


def test_an_address_is_known_for_a_month(throttle: Throttle, clock: MovedClock) -> None:
    throttle.succeeded(reserved(throttle, address=HOME))
    clock.now += 30 * 86_400 - 1
    assert reserved(throttle, address=HOME).known
    clock.now += 1
    assert not reserved(throttle, address=HOME).known


def test_an_address_that_failed_too_often_is_slow_but_never_refused(throttle: Throttle) -> None:
    for i in range(60):
        fail(throttle, 1, account=f"user{i}")
    turn = reserved(throttle, account="somebody else")
    assert turn.slow
    assert not reserved(throttle, account="somebody else", address=HOME).slow


def test_a_slow_address_recovers(throttle: Throttle, clock: MovedClock) -> None:
    for i in range(500):
        fail(throttle, 1, account=f"user{i}")
    clock.now += 10 * 60
    assert not reserved(throttle, account="x").slow


def test_a_count_without_failures_for_a_day_is_gone(throttle: Throttle, clock: MovedClock) -> None:
    fail(throttle, 5)
    clock.now += 86_400
    fail(throttle, 4)
    assert isinstance(throttle.reserve("alice", ATTACKER), Reserved)


def test_memory_is_bounded_whatever_names_and_addresses_are_tried(clock: MovedClock) -> None:
    throttle = Throttle(clock, ThrottleLimits(entries=100))
    for i in range(1000):
        fail(throttle, 1, account=f"user{i}" * 50, address=f"10.0.{i // 250}.{i % 250}")
        throttle.succeeded(reserved(throttle, account=f"other{i}", address=f"10.1.{i // 250}.{i % 250}"))
    tables = (throttle._pairs, throttle._accounts, throttle._addresses._levels, throttle._known)
    assert all(99 <= len(table) <= 100 for table in tables)


def test_success_leaves_nothing_but_the_known_address_behind(throttle: Throttle) -> None:
    throttle.succeeded(reserved(throttle))
    assert (len(throttle._pairs), len(throttle._accounts), len(throttle._known)) == (0, 0, 1)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        pytest.param("192.0.2.1", "192.0.2.2", False, id="two IPv4 addresses"),
        pytest.param("2001:db8::1", "2001:db8::ffff:2", True, id="one /64"),
        pytest.param("2001:db8::1", "2001:db8:0:1::1", False, id="two /64"),
        pytest.param("::ffff:192.0.2.1", "192.0.2.1", True, id="IPv4 in IPv6"),
        pytest.param("fe80::1%eth0", "fe80::1", True, id="with a zone"),
        pytest.param("", "", True, id="a unix socket"),
        pytest.param("", "192.0.2.1", False, id="a unix socket and an address"),
    ],
)
def test_an_address_stands_for_one_customers_network(one: str, other: str, same: bool) -> None:
    assert (network(one) == network(other)) is same


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["reserve", "succeeded", "failed", "released", "wait"]),
            st.sampled_from(["alice", "bob"]),
            st.sampled_from([HOME, ATTACKER]),
        ),
        max_size=80,
    )
)
def test_whatever_happens_everybody_may_try_again_a_quarter_of_an_hour_after_all_tries_ended(
    steps: list[tuple[str, str, str]],
) -> None:
    clock = MovedClock()
    throttle = Throttle(clock)
    held: list[Reserved] = []
    for step, account, address in steps:
        match step:
            case "reserve":
                turn = throttle.reserve(account, address)
                if isinstance(turn, Reserved):
                    held.append(turn)
                elif isinstance(turn, Throttled):
                    assert 1 <= turn.retry_after <= 900
            case "wait":
                clock.now += 7
            case _ if held:
                getattr(throttle, step)(held.pop())
    for turn in held:
        throttle.failed(turn)
    clock.now += 900
    for account in ("alice", "bob"):
        for address in (HOME, ATTACKER):
            throttle.released(reserved(throttle, account, address))
