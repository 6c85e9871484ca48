"""What a client is told of limits: the fields RateLimit and RateLimit-Policy, as lists of structured fields.

    RateLimit-Policy: "per_user";q=300;w=60      300 in 60 seconds
    RateLimit: "per_user";r=12;t=5               12 are left; in 5 seconds all are again
    RateLimit: "per_user";r=0;t=3                none is left; in 3 seconds there is one

Source: draft-ietf-httpapi-ratelimit-headers-10, with `qu="concurrent-requests"` for what is under way.
"""

from collections.abc import Iterable, Sequence
from math import ceil

from gateway.limits.counter import Share

Fields = tuple[tuple[str, str], ...]


def told(shares: Iterable[Share], now: float) -> Fields:
    """Return the fields about *shares*; none when nothing of them is limited."""
    policies: list[str] = []
    states: list[str] = []
    for share in shares:
        name, allowed, buckets = share.counter.name, share.allowed, share.buckets
        if allowed.rate is not None and buckets is not None:
            left, full_in = buckets.left(share.key, now)
            policies.append(f'"{name}";q={allowed.rate.requests};w={allowed.rate.seconds}')
            states.append(f'"{name}";r={left};t={ceil(full_in if left else buckets.wait(share.key, now))}')
        if allowed.inflight is not None:
            left = max(0, allowed.inflight - share.counter.inflight.get(share.key, 0))
            policies.append(f'"{name}";q={allowed.inflight};qu="concurrent-requests"')
            states.append(f'"{name}";r={left}')
    return (("RateLimit-Policy", ", ".join(policies)), ("RateLimit", ", ".join(states))) if policies else ()


def lines(shares: Sequence[Share], now: float) -> bytes:
    """Return the same as header lines, each ended by CRLF."""
    return "".join(f"{name}: {value}\r\n" for name, value in told(shares, now)).encode()
