"""Refusals by the rules of routes, told to the audit with everything that was compared."""

from gateway.app.sight import Sight
from gateway.clock import Clock
from gateway.errors import Refusal
from gateway.head import RequestHead
from gateway.limits.buckets import Buckets
from gateway.telemetry.masking import without_tokens

RATE = 1.0
"""Lines a second per caller, and `BURST` at once: who asks in vain again and again must not fill the log."""
BURST = 20
STRANGERS_RATE = 20.0
"""Lines a second for all callers together whom no token names, and `STRANGERS_BURST` at once."""
STRANGERS_BURST = 200
_STRANGERS = b"strangers"


class Denials:
    """Told by the engine; returns at once. What is left out is counted, and is in the access log as every request."""

    def __init__(self, sight: Sight, clock: Clock) -> None:
        self._sight = sight
        self._clock = clock
        self._lines = Buckets(RATE, BURST)
        self._strangers = Buckets(STRANGERS_RATE, STRANGERS_BURST)

    def __call__(self, refusal: Refusal, head: RequestHead, request_id: bytes) -> None:
        """Tell of *head*, which was answered with *refusal* under *request_id*."""
        now, address = self._clock.monotonic(), head.peer.address
        spent = self._lines.take(refusal.subject or address, now) > 0
        if spent or (not refusal.subject and self._strangers.take(_STRANGERS, now) > 0):
            self._sight.metrics.count("audit_events", "refusal_left_out")
            return
        facts: dict[str, object] = {
            "request_id": request_id.decode("ascii"),
            "client_ip": address,
            "method": head.method.decode("latin-1"),
            "host": head.fields.host.decode("latin-1"),
            "path": without_tokens(head.target.partition(b"?")[0].decode("latin-1")),
            "status": refusal.status,
        }
        if refusal.subject:
            facts["sub"] = refusal.subject
        if refusal.why is not None:
            facts |= refusal.why.members()
        self._sight.audit("refusal", facts)
