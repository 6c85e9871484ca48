"""The two clocks, given to whoever needs one so that a test can move time instead of waiting for it."""

import time
from typing import Protocol


class Clock(Protocol):
    """What time is it, and how long has it been."""

    def wall(self) -> float:
        """Unix time in seconds; may jump when the machine's clock is set."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back."""
        ...


class SystemClock:
    """The machine's own clocks."""

    # Bound once: the gate reads the time for every request, and a Python frame would double its price.
    wall = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)
