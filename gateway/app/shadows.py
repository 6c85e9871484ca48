"""What candidates of rules would refuse: every one is counted, and a few a second are logged."""

from gateway.app.sight import Sight
from gateway.clock import Clock
from gateway.errors import Refusal
from gateway.head import RequestHead
from gateway.limits.buckets import Buckets

RATE = 1.0
"""Lines a second per route, and `BURST` at once: a candidate that would refuse everybody must not fill the log."""
BURST = 20


class Shadows:
    """Told by the gate; returns at once."""

    def __init__(self, sight: Sight, clock: Clock) -> None:
        self._sight = sight
        self._clock = clock
        self._lines = Buckets(RATE, BURST)

    def __call__(self, refusal: Refusal, head: RequestHead) -> None:
        """Tell of *head*, which passes, and of the *refusal* it would have got."""
        code = refusal.code.name
        self._sight.metrics.count("shadow_denials", f"{refusal.route}: {code}")
        if self._lines.take(refusal.route, self._clock.monotonic()) > 0:
            return
        facts = {
            "route": refusal.route,
            "method": head.method.decode("latin-1"),
            "code": code,
            "reason": refusal.reason,
            "sub": refusal.subject,
            "client": head.peer.address,
        }
        self._sight.events.info("shadow_denial", facts)
