"""What a client is told of limits: the fields RateLimit and RateLimit-Policy, as lists of structured fields.

    RateLimit-Policy: "per_user";q=300;w=60      300 in 60 seconds
    RateLimit: "per_user";r=12;t=5               12 are left; in 5 seconds all are again
    RateLimit: "per_user";r=0;t=3                none is left; in 3 seconds there is one

Source: draft-ietf-httpapi-ratelimit-headers-10, with `qu="concurrent-requests"` for what is under way.
"""

from collections.abc import Iterable, Sequence
from math import ceil

from gateway.limits.buckets import Buckets
from gateway.limits.counter import Share

Fields = tuple[tuple[str, str], ...]


def told(shares: Iterable[Share], now: float) -> Fields:
    """Return the fields about *shares*; none when nothing of them is limited."""
    policies: list[str] = []
    states: list[str] = []
    for share in shares:
        buckets, words = share.buckets, share.words
        policies += words.policies
        if buckets is not None:
            states.append(words.rate % _left(share, buckets, now))
        if share.most is not None:
            states.append(words.inflight % max(0, share.most - share.counter.inflight.get(share.key, 0)))
    return (("RateLimit-Policy", ", ".join(policies)), ("RateLimit", ", ".join(states))) if policies else ()


def lines(shares: Sequence[Share], now: float) -> bytes:
    """Return the same as header lines, each ended by CRLF."""
    if len(shares) == 1 and (usual := shares[0].words.lines) and (buckets := shares[0].buckets) is not None:
        return usual % _left(shares[0], buckets, now)
    return "".join(f"{name}: {value}\r\n" for name, value in told(shares, now)).encode()


def _left(share: Share, buckets: Buckets, now: float) -> tuple[int, int]:
    """Return how many are left, and the seconds to when all are again; or to when there is one, where none is."""
    left, full_in = buckets.left(share.key, now)
    return left, ceil(full_in if left else buckets.wait(share.key, now))
