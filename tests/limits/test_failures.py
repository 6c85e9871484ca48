"""The budget of forged tokens per address, with the time given by hand."""

import pytest

from gateway.limits.failures import FailedTokens, network

ATTACKER, BYSTANDER = "203.0.113.9", "192.0.2.1"


def spend(budget: FailedTokens, address: str, times: int, now: float = 0) -> None:
    for _ in range(times):
        budget.spend(address, now)


def test_an_address_that_never_failed_is_not_spent_and_takes_no_room() -> None:
    budget = FailedTokens()
    spend(budget, ATTACKER, 1)

    assert not budget.is_spent(BYSTANDER, 0)
    assert len(budget) == 1


def test_sixty_failures_are_forgiven_at_once() -> None:
    budget = FailedTokens()
    spend(budget, ATTACKER, 59)
    assert not budget.is_spent(ATTACKER, 0)

    spend(budget, ATTACKER, 1)
    assert budget.is_spent(ATTACKER, 0)
    assert not budget.is_spent(BYSTANDER, 0)


def test_a_flood_makes_us_verify_ten_a_second() -> None:
    budget = FailedTokens()
    verified = 0
    for millisecond in range(10_000):
        now = millisecond / 1000
        if not budget.is_spent(ATTACKER, now):
            verified += 1
            budget.spend(ATTACKER, now)

    assert verified == pytest.approx(60 + 10 * 10, abs=1)


def test_the_wait_is_told_in_whole_seconds() -> None:
    budget = FailedTokens(burst=1, rate=0.1)
    budget.spend(ATTACKER, 0)

    assert budget.retry_after(ATTACKER, 0) == 10
    assert budget.retry_after(ATTACKER, 9.9) == 1
    assert budget.retry_after(BYSTANDER, 0) == 1


def test_a_spent_address_recovers_by_waiting() -> None:
    budget = FailedTokens(burst=5, rate=1)
    spend(budget, ATTACKER, 5)

    assert budget.is_spent(ATTACKER, 0.9)
    assert not budget.is_spent(ATTACKER, 1.0)


def test_all_addresses_of_one_ipv6_network_share_a_budget() -> None:
    """Who owns a /64 has 2**64 addresses to come from."""
    budget = FailedTokens(burst=10)
    for number in range(10):
        budget.spend(f"2001:db8:0:1::{number:x}", 0)

    assert budget.is_spent("2001:db8:0:1:ffff:ffff:ffff:ffff", 0)
    assert not budget.is_spent("2001:db8:0:2::1", 0)


def test_the_ipv6_form_of_an_ipv4_address_is_that_address() -> None:
    budget = FailedTokens(burst=1)
    budget.spend(f"::ffff:{ATTACKER}", 0)

    assert budget.is_spent(ATTACKER, 0)
    assert not budget.is_spent(f"::ffff:{BYSTANDER}", 0)


def test_a_flood_from_many_addresses_takes_bounded_room() -> None:
    budget = FailedTokens(entries=100)
    for number in range(1000):
        budget.spend(f"10.0.{number >> 8}.{number & 255}", 0)

    assert len(budget) == 100


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("2001:DB8::1", "2001:db8:0:0:0:0:0:2", id="spelling"),
        pytest.param("fe80::1%eth0", "fe80::2%eth1", id="scope"),
        pytest.param("::ffff:192.0.2.1", "192.0.2.1", id="mapped"),
        pytest.param("::ffff:c000:201", "192.0.2.1", id="mapped in hex"),
    ],
)
def test_the_same_network_has_one_name(one: str, other: str) -> None:
    assert network(one) == network(other)


@pytest.mark.parametrize("text", ["", "unknown", "not:an:address", "1::2::3"])
def test_what_is_no_address_stands_for_itself(text: str) -> None:
    assert network(text) == text
