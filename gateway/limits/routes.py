"""The limits of a route, as the gate asks them: before anything is verified, and once more when all else is well.

 before  limits by address are spent, so that whoever is over them costs nothing but the look; the others that need no
         token are only looked at: what a stranger without a token does takes nothing from those who have one
 admit   limits by claim, then by header, then of the route, are spent all together or not at all, and the request is
         one more under way

Nearly every route has one limit by address or by claim, or one of each, so these go a way of their own.
"""

from collections.abc import Callable, Sequence
from math import ceil

from gateway.errors import Refusal, refuse
from gateway.head import RequestHead
from gateway.limits import fields
from gateway.limits.counter import Counter, Share, Token, network_of
from gateway.limits.limit import Kind

_ORDER = (Kind.CLAIM, Kind.HEADER, Kind.ROUTE)


class Counted:
    """A request that passed, and what it has to give back."""

    __slots__ = ("_shares", "lines")

    def __init__(self, shares: Sequence[Share], shown: Sequence[Share], now: float) -> None:
        """It is one more under way of *shares*, and its answer tells of those *shown*."""
        self._shares = shares
        for share in shares:
            inflight = share.counter.inflight
            inflight[share.key] = inflight.get(share.key, 0) + 1
        self.lines = fields.lines(shown, now) if shown else b""
        """Header lines for the answer, each ended by CRLF."""

    def release(self) -> None:
        """It is under way no longer; saying so twice does no harm."""
        shares, self._shares = self._shares, ()
        for share in shares:
            inflight = share.counter.inflight
            left = inflight[share.key] - 1
            if left:
                inflight[share.key] = left
            else:
                del inflight[share.key]


Before = Callable[[RequestHead], Refusal | None]
Admit = Callable[[RequestHead, Token | None], Refusal | Counted | None]


class RouteLimits:
    """What requests of one route count against; for one thread."""

    __slots__ = ("_by_address", "_holding", "_later", "_looked_at", "_monotonic", "_route", "_shown", "admit", "before")

    before: Before | None
    """Returns why a request is not to be looked at any further; to be asked once for each. None where nobody is."""
    admit: Admit | None
    """Returns why a request that may do what it asks has to wait, or what it gives back; to be asked once for each."""

    def __init__(self, route: str, counters: Sequence[Counter], monotonic: Callable[[], float]) -> None:
        """*route* is what no other route has, and gateways of one configuration agree on."""
        self._route = route
        self._monotonic = monotonic
        self._by_address = tuple(one for one in counters if one.kind is Kind.ADDRESS)
        self._later = tuple(
            sorted((one for one in counters if one.kind is not Kind.ADDRESS), key=lambda one: _ORDER.index(one.kind))
        )
        self._looked_at = tuple(one for one in self._later if one.kind is not Kind.CLAIM)
        self._holding = tuple(one for one in counters if one.limit.holds)
        self._shown = tuple(one for one in counters if one.limit.headers)
        early, late = bool(self._by_address or self._looked_at), bool(self._later or self._holding or self._shown)
        is_plain = not self._holding and not self._shown
        one_address = is_plain and len(self._by_address) == 1 and not self._looked_at
        one_claim = is_plain and len(self._later) == 1 and not self._looked_at
        self.before = self._before if early else None
        self.admit = self._admit if late else None
        if one_address:
            self.before = _one_address(self._by_address[0], monotonic)
        if one_claim:
            self.admit = _one_claim(self._later[0], monotonic)

    def _before(self, head: RequestHead) -> Refusal | None:
        now = self._monotonic()
        for counter in self._looked_at:
            if (refusal := _over(counter.share(head, None, self._route), now)) is not None:
                return refusal
        for counter in self._by_address:
            share = counter.share(head, None, self._route)
            if share.is_full:
                return crowded(share, now)
            if share.buckets is not None and (wait := share.buckets.take(share.key, now)):
                return refused(share, wait, now)
        return None

    def _admit(self, head: RequestHead, token: Token | None) -> Refusal | Counted | None:
        now = self._monotonic()
        shares = [counter.share(head, token, self._route) for counter in self._later]
        for share in shares:
            if (refusal := _over(share, now)) is not None:
                return refusal
        held = [share for share in shares if share.most is not None]
        for counter in self._holding:
            if counter.kind is Kind.ADDRESS:
                share = counter.share(head, token, self._route)
                # While something was waited for, others may have come.
                if share.is_full:
                    return crowded(share, now)
                held.append(share)
        for share in shares:
            if share.buckets is not None:
                share.buckets.take(share.key, now)
        shown = [counter.share(head, token, self._route) for counter in self._shown]
        return Counted(held, shown, now) if held or shown else None


def _one_address(counter: Counter, monotonic: Callable[[], float]) -> Before:
    """Return `before` for a route with one limit by address and nothing else to look at."""
    assert counter.buckets is not None
    take = counter.buckets.take

    def before(head: RequestHead) -> Refusal | None:
        address, now = head[4][0], monotonic()
        wait = take(network_of(address) if ":" in address else address, now)
        return refused(counter.share(head, None, ""), wait, now) if wait else None

    return before


def _one_claim(counter: Counter, monotonic: Callable[[], float]) -> Admit:
    """Return `admit` for a route with one limit that needs a token, and nothing else to count in the end."""
    name = counter.name

    def admit(head: RequestHead, token: Token | None) -> Refusal | None:
        known = None if token is None else token.limits
        share = None if known is None else known.get(name)
        if share is None or share.counter is not counter:
            share = counter.share(head, token, "")
        buckets = share.buckets
        if buckets is None:
            return None
        now = monotonic()
        wait = buckets.take(share.key, now)
        return refused(share, wait, now) if wait else None

    return admit


def _over(share: Share, now: float) -> Refusal | None:
    """Return the refusal of one more request of *share*; takes nothing."""
    if share.is_full:
        return crowded(share, now)
    if share.buckets is not None and (wait := share.buckets.wait(share.key, now)):
        return refused(share, wait, now)
    return None


def refused(share: Share, wait: float, now: float) -> Refusal:
    """Return the refusal of a request that has to wait so many seconds."""
    refusal = refuse("rate_limited", share.counter.name, retry_after=max(1, ceil(wait)))
    return refusal._replace(fields=fields.told([share], now))


def crowded(share: Share, now: float) -> Refusal:
    """Return the refusal of a request while too many are under way."""
    refusal = refuse("rate_limited", f"{share.counter.name} in flight", retry_after=1)
    return refusal._replace(fields=fields.told([share], now))
