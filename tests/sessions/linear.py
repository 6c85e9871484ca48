"""Is there an order in which this could have happened? A Wing-Gong search over the history of one session.

A history is what clients saw: when each asked and heard, which token it presented, and the token it got, a refusal, or
nothing. It is linearizable when the calls can be put in one order that respects "heard before the other asked", in
which the state table, called one after the other, answers the same. Time is left out: a presented head may rotate or
not, as the grace may be over or not, and a call that heard nothing may have happened or not.

Sessions are independent, so histories stay short and the search is quick.

Source: J. Wing and C. Gong, Testing and Verifying Concurrent Objects (1993).
"""

from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple


class What(Enum):
    """What was asked."""

    REFRESH = "refresh"
    END = "end"


class Heard(Enum):
    """Answers that are no token."""

    REFUSED = "refused"
    DONE = "done"
    NOTHING = "nothing"


class Call(NamedTuple):
    """One call, as its client saw it."""

    start: float
    end: float
    """Infinite for one that heard nothing: it may still happen."""
    what: What
    presented: int
    """The counter of the token presented."""
    answer: int | Heard
    """The counter of the token that came, or what else."""


class State(NamedTuple):
    """A session, as far as the order of calls decides."""

    current: int = 0
    parent: int = -1
    is_alive: bool = True


def steps(state: State, call: Call) -> Iterator[tuple[State, int | Heard]]:
    """Yield everything that *call* may do to *state*, and what its client would hear."""
    if call.what is What.END:
        yield state._replace(is_alive=False), Heard.DONE
    elif not state.is_alive:
        yield state, Heard.REFUSED
    elif call.presented == state.current:
        yield State(state.current + 1, state.current), state.current + 1
        if state.parent >= 0:
            yield state, state.current
    elif call.presented == state.parent:
        yield state, state.current
    else:
        yield state._replace(is_alive=False), Heard.REFUSED


def is_linearizable(history: list[Call], state: State = State()) -> bool:  # noqa: B008 - frozen
    """Say whether *history* of a session that began as *state* has an order."""
    seen: set[tuple[State, frozenset[int]]] = set()
    stack = [(state, frozenset(range(len(history))))]
    while stack:
        here = stack.pop()
        if here in seen:
            continue
        seen.add(here)
        now, left = here
        if all(history[at].answer is Heard.NOTHING for at in left):
            return True
        # Whoever asked after another had heard cannot come before it.
        first_end = min(history[at].end for at in left)
        for at in left:
            call = history[at]
            if call.start > first_end:
                continue
            rest = left - {at}
            for after, answer in steps(now, call):
                if call.answer in (answer, Heard.NOTHING):
                    stack.append((after, rest))
    return False
