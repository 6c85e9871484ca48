"""Token buckets, with the time given by hand."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.limits.buckets import Buckets


def taken(buckets: Buckets, tries: int, now: float, key: str = "ana") -> int:
    return sum(buckets.take(key, now) == 0 for _ in range(tries))


def test_a_burst_passes_at_once_and_no_more() -> None:
    assert taken(Buckets(rate=10, burst=60), 100, now=123_456.7) == 60


def test_an_empty_bucket_says_how_long_to_wait() -> None:
    buckets = Buckets(rate=2, burst=3)
    taken(buckets, 3, now=0)

    assert buckets.take("ana", 0) == pytest.approx(0.5)
    assert buckets.take("ana", 0.3) == pytest.approx(0.2)


def test_after_that_wait_exactly_one_passes() -> None:
    buckets = Buckets(rate=2, burst=3)
    taken(buckets, 3, now=0)

    assert taken(buckets, 5, now=0.5) == 1


def test_refused_tries_cost_nothing() -> None:
    buckets = Buckets(rate=1, burst=1)
    taken(buckets, 1000, now=0)

    assert buckets.take("ana", 1.0) == 0


def test_a_pause_fills_the_bucket_but_never_over_its_brim() -> None:
    buckets = Buckets(rate=1, burst=5)
    taken(buckets, 5, now=0)

    assert taken(buckets, 10, now=3) == 3
    assert taken(buckets, 10, now=1_000_000) == 5


def test_keys_do_not_know_each_other() -> None:
    buckets = Buckets(rate=1, burst=2)
    taken(buckets, 2, now=0, key="ana")

    assert buckets.take("ana", 0) > 0
    assert buckets.take("bob", 0) == 0


def test_a_clock_that_is_set_back_locks_nobody_out() -> None:
    buckets = Buckets(rate=1, burst=5)
    taken(buckets, 5, now=1_000_000)

    assert buckets.wait("ana", 0) == pytest.approx(1)
    assert buckets.take("ana", 0) == pytest.approx(1)
    assert taken(buckets, 5, now=3) == 3


def test_asking_how_long_to_wait_takes_nothing() -> None:
    buckets = Buckets(rate=1, burst=1)

    assert [buckets.wait("ana", 0) for _ in range(3)] == [0, 0, 0]
    assert len(buckets) == 0
    assert buckets.take("ana", 0) == 0
    assert buckets.wait("ana", 0.25) == pytest.approx(0.75)


def test_who_did_nothing_for_long_is_forgotten() -> None:
    buckets = Buckets(rate=1, burst=1)
    for number in range(100):
        buckets.take(f"old{number}", 0)

    for number in range(100):
        buckets.take(f"new{number}", 10)

    assert len(buckets) == 100


def test_forgetting_loses_no_spent_token() -> None:
    """An entry goes only when its bucket is full, which is the same as having none."""
    buckets = Buckets(rate=1, burst=10)
    taken(buckets, 10, now=0)
    for number in range(1000):
        buckets.take(f"other{number}", 5)

    assert taken(buckets, 10, now=5) == 5


def test_memory_is_bounded_and_the_longest_unused_goes_first() -> None:
    buckets = Buckets(rate=0.001, burst=1, entries=100)
    for number in range(1000):
        buckets.take(f"key{number}", now=number / 1000)

    assert len(buckets) == 100
    assert buckets.take("key950", 1) > 0
    assert buckets.take("key800", 1) == 0


@pytest.mark.parametrize(
    ("rate", "burst", "entries"),
    [
        pytest.param(0, 1, 1, id="no rate"),
        pytest.param(-1, 1, 1, id="negative rate"),
        pytest.param(1, 0, 1, id="no burst"),
        pytest.param(1, 1, 0, id="no room"),
    ],
)
def test_a_bucket_that_lets_nothing_pass_cannot_be_made(rate: float, burst: int, entries: int) -> None:
    with pytest.raises(ValueError, match="a bucket needs"):
        Buckets(rate, burst, entries=entries)


@settings(max_examples=50, deadline=None)
@given(
    rate=st.floats(0.1, 1000),
    burst=st.integers(1, 50),
    pauses=st.lists(st.floats(0, 2), min_size=1, max_size=80),
)
def test_no_window_ever_sees_more_than_burst_plus_rate(rate: float, burst: int, pauses: list[float]) -> None:
    buckets = Buckets(rate, burst)
    now, passed = 1000.0, []
    for pause in pauses:
        now += pause
        if buckets.take("ana", now) == 0:
            passed.append(now)

    for first, start in enumerate(passed):
        for last in range(first, len(passed)):
            assert last - first + 1 <= burst + rate * (passed[last] - start) + 0.01
