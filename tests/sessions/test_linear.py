"""The search itself: what it must accept, and above all what it must not."""

import math

import pytest

from .linear import Call, Heard, What, is_linearizable


def refresh(start: float, end: float, presented: int, answer: int | Heard) -> Call:
    return Call(start, end, What.REFRESH, presented, answer)


def lost(start: float, presented: int) -> Call:
    return Call(start, math.inf, What.REFRESH, presented, Heard.NOTHING)


END = Call(4, 5, What.END, 0, Heard.DONE)


@pytest.mark.parametrize(
    "history",
    [
        pytest.param([refresh(0, 1, 0, 1)], id="one rotation"),
        pytest.param([refresh(0, 9, 0, 1) for _ in range(5)], id="five at once, one successor"),
        pytest.param([refresh(0, 1, 0, 1), refresh(2, 3, 1, 1), refresh(4, 5, 0, 1)], id="all inside the grace"),
        pytest.param([refresh(0, 1, 0, 1), refresh(2, 3, 1, 2)], id="one after the other"),
        pytest.param([lost(0, 0), refresh(1, 2, 0, 1)], id="a lost answer, asked again"),
        pytest.param([lost(0, 0), refresh(1, 2, 1, 2)], id="a lost call that happened"),
        pytest.param([refresh(0, 1, 0, 1), END, refresh(6, 7, 1, Heard.REFUSED)], id="refused after the end"),
        pytest.param([refresh(3, 6, 0, 1), END], id="overlapping the end"),
        pytest.param(
            [
                refresh(0, 1, 0, 1),
                refresh(2, 3, 1, 2),
                refresh(4, 5, 0, Heard.REFUSED),
                refresh(6, 7, 2, Heard.REFUSED),
            ],
            id="a grandparent kills",
        ),
    ],
)
def test_possible(history: list[Call]) -> None:
    assert is_linearizable(history)


@pytest.mark.parametrize(
    "history",
    [
        pytest.param([refresh(0, 9, 0, 1), refresh(0, 9, 0, 2)], id="a fork: two successors of one token"),
        pytest.param([refresh(0, 1, 0, Heard.REFUSED)], id="a family lost"),
        pytest.param([refresh(0, 1, 0, 1), END, refresh(6, 7, 1, 2)], id="a token after the end"),
        pytest.param([refresh(0, 1, 0, 1), refresh(2, 3, 1, 2), refresh(4, 5, 0, 2)], id="a grandparent that passes"),
        pytest.param([refresh(0, 1, 0, 1), refresh(2, 3, 1, Heard.REFUSED)], id="a head that is refused"),
        pytest.param([refresh(0, 1, 1, 2), refresh(2, 3, 0, 1)], id="against the order of time"),
        pytest.param([refresh(0, 1, 0, 1), refresh(2, 3, 1, 2), lost(4, 0), refresh(5, 6, 2, 4)], id="a skipped one"),
    ],
)
def test_impossible(history: list[Call]) -> None:
    assert not is_linearizable(history)
