"""A circuit breaker: a server that was silent several times in a row is not waited for again and again.

While it is open a call fails at once, and one call a second is let through to see whether the server is back. What
closes it is any answer, an error too: the breaker is about time spent waiting, not about what the answer says.
"""

from collections.abc import Callable


class Breaker:
    """Counts silences of one server."""

    __slots__ = ("_clock", "_failures", "_limit", "_next", "_pause")

    def __init__(self, clock: Callable[[], float], *, limit: int = 5, pause: float = 1.0) -> None:
        """*clock* is monotonic; after *limit* silences in a row it opens, and lets a call through each *pause*."""
        self._clock = clock
        self._limit = limit
        self._pause = pause
        self._failures = 0
        self._next = 0.0

    @property
    def is_open(self) -> bool:
        """Calls fail at once, but for a trial now and then."""
        return self._failures >= self._limit

    def admits(self) -> bool:
        """Say whether a call may be made now; when open, a True is the one trial until the next pause is over."""
        if self._failures < self._limit:
            return True
        now = self._clock()
        if now < self._next:
            return False
        self._next = now + self._pause
        return True

    def answered(self) -> None:
        """The server said something."""
        self._failures = 0

    def silent(self) -> None:
        """The server was not heard."""
        self._failures += 1
        if self._failures >= self._limit:
            self._next = self._clock() + self._pause
