"""The limits of a route, as the gate asks them: before anything is verified, and once more when all else is well.

before  limits by address are spent, so that whoever is over them costs nothing but the look; the others that need no
        token are only looked at: what a stranger without a token does takes nothing from those who have one
admit   limits by claim, then by header, then of the route, are spent all together or not at all, and the request is
        one more under way
"""

from collections.abc import Callable, Sequence

from gateway.errors import Refusal
from gateway.head import RequestHead
from gateway.limits.counter import Counter, Share, Token, crowded, refused
from gateway.limits.limit import Kind

_ORDER = (Kind.CLAIM, Kind.HEADER, Kind.ROUTE)


class RouteLimits:
    """What requests of one route count against; for one thread."""

    __slots__ = ("_by_address", "_holding", "_later", "_looked_at", "_monotonic", "_route")

    def __init__(self, route: str, counters: Sequence[Counter], monotonic: Callable[[], float]) -> None:
        """*route* is its name."""
        self._route = route
        self._monotonic = monotonic
        self._by_address = tuple(one for one in counters if one.limit.by.kind is Kind.ADDRESS)
        later = sorted(
            (one for one in counters if one.limit.by.kind is not Kind.ADDRESS),
            key=lambda one: _ORDER.index(one.limit.by.kind),
        )
        self._later = tuple(later)
        self._looked_at = tuple(one for one in later if one.limit.by.kind is not Kind.CLAIM)
        self._holding = tuple(one for one in counters if one.limit.holds)

    @property
    def holds(self) -> bool:
        """What `admit` lets pass has to be given back with `release`."""
        return bool(self._holding)

    def before(self, head: RequestHead) -> Refusal | None:
        """Return why *head* is not to be looked at any further; ask once for each request."""
        now = self._monotonic()
        for counter in self._looked_at:
            share = counter.share(head, None, self._route)
            if (refusal := _over(share, now)) is not None:
                return refusal
        for counter in self._by_address:
            share = counter.share(head, None, self._route)
            _, key, buckets, most = share
            if most is not None and counter.inflight.get(key, 0) >= most:
                return crowded(share)
            if buckets is not None and (wait := buckets.take(key, now)):
                return refused(share, wait)
        return None

    def admit(self, head: RequestHead, token: Token | None) -> Refusal | None:
        """Return why *head*, which may do what it asks, has to wait; ask once for each request.

        Otherwise it is one more under way until `release`.
        """
        later = self._later
        now = self._monotonic()
        shares = [counter.share(head, token, self._route) for counter in later]
        if self._holding or len(shares) > 1:
            held = self._held(head, token)
            for share in (*shares, *held):
                if (refusal := _over(share, now, rate=share.counter.limit.by.kind is not Kind.ADDRESS)) is not None:
                    return refusal
            for counter, key, _, _ in held:
                counter.inflight[key] = counter.inflight.get(key, 0) + 1
        for share in shares:
            _, key, buckets, _ = share
            if buckets is not None and (wait := buckets.take(key, now)):
                return refused(share, wait)
        return None

    def release(self, head: RequestHead, token: Token | None) -> None:
        """Count a request no longer that `admit` let pass; *head* and *token* are those it was asked with."""
        for counter, key, _, _ in self._held(head, token):
            left = counter.inflight[key] - 1
            if left:
                counter.inflight[key] = left
            else:
                del counter.inflight[key]

    def _held(self, head: RequestHead, token: Token | None) -> list[Share]:
        shares = [counter.share(head, token, self._route) for counter in self._holding]
        return [share for share in shares if share.most is not None]


def _over(share: Share, now: float, *, rate: bool = True) -> Refusal | None:
    """Return the refusal of one more request of *share*; takes nothing."""
    counter, key, buckets, most = share
    if most is not None and counter.inflight.get(key, 0) >= most:
        return crowded(share)
    if rate and buckets is not None and (wait := buckets.wait(key, now)):
        return refused(share, wait)
    return None
