"""The budget of retries: a share of the requests, so that repeating what failed cannot multiply an outage."""

from collections import deque


class RetryBudget:
    """Retries as a share of requests over the last 10 s.

    Add 1 to `requests` for every first try. `turn` is to be called about once a second; if it is called less often,
    what came in between counts as having come at once.
    """

    WINDOW = 10
    """Seconds, as slots of one second each."""
    LEAST = 3
    """Retries in a window that are allowed whatever the share, so that a quiet service is retried too."""

    __slots__ = ("_least", "_percent", "_retries", "_second", "_slots", "requests")

    def __init__(self, percent: int = 20) -> None:
        """Allow *percent* retries per hundred requests; 0 allows none at all."""
        self.requests = 0
        """First tries of the running second."""
        self._percent = percent
        self._least = self.LEAST if percent else 0
        self._retries = 0
        self._second = 0
        # The running second is the tenth.
        self._slots: deque[tuple[int, int]] = deque(maxlen=self.WINDOW - 1)

    def turn(self, now: float) -> None:
        """Let the window slide to *now*."""
        passed = int(now) - self._second
        if passed <= 0:
            return
        self._second += passed
        self._slots.append((self.requests, self._retries))
        self._slots.extend([(0, 0)] * min(passed - 1, self.WINDOW))
        self.requests = self._retries = 0

    def spend(self, now: float) -> bool:
        """Count one retry and return True if the budget has room for it."""
        self.turn(now)
        requests = self.requests + sum(count for count, _ in self._slots)
        retries = self._retries + sum(count for _, count in self._slots)
        if retries >= max(self._least, requests * self._percent / 100):
            return False
        self._retries += 1
        return True
