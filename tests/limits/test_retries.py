"""The budget of retries, with the time given by hand."""

from gateway.limits.retries import RetryBudget


def spent(budget: RetryBudget, tries: int, now: float) -> int:
    return sum(budget.spend(now) for _ in range(tries))


def test_a_fifth_of_the_requests_may_be_retried() -> None:
    budget = RetryBudget(percent=20)
    budget.turn(100)
    budget.requests += 500

    assert spent(budget, 1000, now=100.5) == 100


def test_a_quiet_service_has_three_retries_in_ten_seconds() -> None:
    budget = RetryBudget(percent=20)
    budget.turn(100)
    budget.requests += 1

    assert spent(budget, 5, now=100) == 3
    assert spent(budget, 5, now=109.9) == 0
    assert spent(budget, 5, now=110) == 3


def test_requests_older_than_ten_seconds_do_not_count() -> None:
    budget = RetryBudget(percent=10)
    budget.turn(100)
    budget.requests += 1000
    for second in range(101, 110):
        budget.turn(second)
    assert spent(budget, 50, now=109.9) == 50

    assert spent(budget, 50, now=110) == 0  # the requests have left the window, the retries have not


def test_the_window_slides_with_a_steady_load() -> None:
    budget = RetryBudget(percent=20)
    allowed = 0
    for second in range(100, 160):
        budget.turn(second)
        budget.requests += 50
        allowed += spent(budget, 50, now=second + 0.5)

    assert allowed <= 0.2 * 60 * 50
    assert allowed >= 0.2 * 50 * 50


def test_a_long_silence_empties_the_window() -> None:
    budget = RetryBudget(percent=20)
    budget.turn(100)
    budget.requests += 1000

    assert spent(budget, 100, now=100_000) == 3


def test_time_that_stands_still_changes_nothing() -> None:
    budget = RetryBudget(percent=20)
    budget.turn(100)
    budget.requests += 100
    for _ in range(50):
        budget.turn(100.2)

    assert spent(budget, 100, now=100.3) == 20


def test_no_percent_is_no_retry() -> None:
    budget = RetryBudget(percent=0)
    budget.turn(100)
    budget.requests += 1000

    assert spent(budget, 10, now=100) == 0
