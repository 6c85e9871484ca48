"""The two clocks, given to whoever needs one so that a test can move time instead of waiting for it."""

import time
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """What time is it, and how long has it been."""

    def wall(self) -> float:
        """Unix time in seconds; may jump when the machine's clock is set."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back."""
        ...


class ShiftedClock:
    """A clock whose wall time is another's, as well as its distance is known."""

    def __init__(self, clock: Clock, offset: Callable[[], float]) -> None:
        """*offset* is how many seconds the other's wall time is ahead of *clock*'s."""
        self._clock = clock
        self._offset = offset
        self.monotonic = clock.monotonic

    def wall(self) -> float:
        """Unix time in seconds as the other has it."""
        return self._clock.wall() + self._offset()


class SystemClock:
    """The machine's own clocks."""

    # Bound once: the gate reads the time for every request, and a Python frame would double its price.
    wall = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)
