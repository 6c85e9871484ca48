"""How late the event loop is: everything that is served waits for what holds it up."""

from collections import deque
from collections.abc import Callable

from gateway.app.sight import Sight

WINDOW = 60.0
"""Seconds over which the worst lateness is shown."""
STALL = 1.0
"""Seconds of lateness that are told as an event."""


class Lag:
    """Told of every turn of a clockwork that should come every *period* seconds."""

    def __init__(self, sight: Sight, monotonic: Callable[[], float], period: float) -> None:
        self._sight = sight
        self._monotonic = monotonic
        self._period = period
        self._last: float | None = None
        self._worst: deque[tuple[float, float]] = deque()
        """(when, how late), later ones less late: the first is the worst of the window."""
        text = f"The longest that the event loop was held up within {WINDOW:.0f} s."
        sight.gauge("gateway_event_loop_lag_seconds", text, self._shown)

    def turn(self) -> None:
        """It has come."""
        now = self._monotonic()
        if self._last is not None:
            late = max(0.0, now - self._last - self._period)
            while self._worst and self._worst[-1][1] <= late:
                self._worst.pop()
            self._worst.append((now, late))
            if late >= STALL:
                self._sight.events.warning("loop_stalled", {"seconds": round(late, 3)})
        self._last = now

    def _shown(self) -> float:
        oldest = self._monotonic() - WINDOW
        while self._worst and self._worst[0][0] < oldest:
            self._worst.popleft()
        return self._worst[0][1] if self._worst else 0.0
