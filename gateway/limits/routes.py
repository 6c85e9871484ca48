"""The limits of a route, as the gate asks them: before anything is verified, and once more when all else is well.

 before  limits by address are spent, so that whoever is over them costs nothing but the look; the others that need no
         token are only looked at: what a stranger without a token does takes nothing from those who have one
 admit   limits by claim, then by header, then of the route, are spent all together or not at all, and the request is
         one more under way

Nearly every route has one limit at most that is asked at either moment, so these go a way of their own.
"""

from collections.abc import Callable, Sequence
from math import ceil

from gateway.errors import Refusal, refuse
from gateway.head import RequestHead
from gateway.limits import fields
from gateway.limits.counter import Counter, Find, Share, Token, network_of
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


class _Lone(Counted):
    """One that is under way of one share, or of none."""

    __slots__ = ("_share",)

    def __init__(self, share: Share | None) -> None:  # its parent's would look for more
        self._share = share
        self.lines = b""
        if share is not None:
            inflight, key = share.counter.inflight, share.key
            inflight[key] = inflight.get(key, 0) + 1

    def release(self) -> None:
        share, self._share = self._share, None
        if share is not None:
            inflight, key = share.counter.inflight, share.key
            left = inflight[key] - 1
            if left:
                inflight[key] = left
            else:
                del inflight[key]


Before = Callable[[RequestHead], Refusal | None]
Admit = Callable[[RequestHead, Token | None], Refusal | Counted | None]


class RouteLimits:
    """What requests of one route count against; for one thread."""

    __slots__ = ("_by_address", "_holding", "_later", "_looked_at", "_monotonic", "_shown", "admit", "before")

    before: Before | None
    """Returns why a request is not to be looked at any further; to be asked once for each. None where nobody is."""
    admit: Admit | None
    """Returns why a request that may do what it asks has to wait, or what it gives back; to be asked once for each."""

    def __init__(self, route: str, counters: Sequence[Counter], monotonic: Callable[[], float]) -> None:
        """*route* is what no other route has, and gateways of one configuration agree on."""
        self._monotonic = monotonic
        found = [(one, one.finder(route)) for one in counters]
        first = [(one, find) for one, find in found if one.kind is Kind.ADDRESS]
        later = [(one, find) for one, find in found if one.kind is not Kind.ADDRESS]
        later.sort(key=lambda pair: _ORDER.index(pair[0].kind))
        looked_at = [(one, find) for one, find in later if one.kind is not Kind.CLAIM]
        self._by_address = tuple(find for _, find in first)
        self._later = tuple(find for _, find in later)
        self._looked_at = tuple(find for _, find in looked_at)
        self._holding = tuple(find for one, find in first if one.limit.holds)
        self._shown = tuple(find for one, find in found if one.limit.headers)
        late = [*later, *((one, find) for one, find in first if one.limit.holds or one.limit.headers)]
        self.before = self._before if first or looked_at else None
        self.admit = self._admit if late else None
        if len(first) == 1 and not looked_at:
            self.before = _one_address(*first[0], monotonic)
        if len(looked_at) == 1 and not first:
            self.before = _one_look(looked_at[0][1], monotonic)
        if len(late) == 1:
            limit = late[0][0].limit
            is_plain = limit.by.kind is Kind.CLAIM and not limit.holds and not limit.headers
            self.admit = (_one_claim if is_plain else _one)(*late[0], monotonic)

    def _before(self, head: RequestHead) -> Refusal | None:
        now = self._monotonic()
        for find in self._looked_at:
            if (refusal := _over(find(head, None), now)) is not None:
                return refusal
        for find in self._by_address:
            share = find(head, None)
            if share.is_full:
                return crowded(share, now)
            if share.buckets is not None and (wait := share.buckets.take(share.key, now)):
                return refused(share, wait, now)
        return None

    def _admit(self, head: RequestHead, token: Token | None) -> Refusal | Counted | None:
        now = self._monotonic()
        shares = [find(head, token) for find in self._later]
        for share in shares:
            if (refusal := _over(share, now)) is not None:
                return refusal
        held = [share for share in shares if share.most is not None]
        for find in self._holding:
            share = find(head, token)
            # While something was waited for, others may have come.
            if share.is_full:
                return crowded(share, now)
            held.append(share)
        for share in shares:
            if share.buckets is not None:
                share.buckets.take(share.key, now)
        shown = [find(head, token) for find in self._shown]
        return Counted(held, shown, now) if held or shown else None


def _one_address(counter: Counter, find: Find, monotonic: Callable[[], float]) -> Before:
    """Return `before` for a route with one limit by address and nothing else to look at."""
    buckets, most, inflight = counter.buckets, counter.limit.allowed.inflight, counter.inflight

    def rate_alone(head: RequestHead) -> Refusal | None:
        address, now = head[4][0], monotonic()
        wait = take(network_of(address) if ":" in address else address, now)
        return refused(find(head, None), wait, now) if wait else None

    def before(head: RequestHead) -> Refusal | None:
        share = find(head, None)
        if most is not None and inflight.get(share.key, 0) >= most:
            return crowded(share, monotonic())
        if buckets is None:
            return None
        now = monotonic()
        wait = buckets.take(share.key, now)
        return refused(share, wait, now) if wait else None

    if buckets is None or most is not None:
        return before
    take = buckets.take
    return rate_alone


def _one_look(find: Find, monotonic: Callable[[], float]) -> Before:
    """Return `before` for a route with one limit by header or of the route, and none by address."""

    def before(head: RequestHead) -> Refusal | None:
        share = find(head, None)
        if share.most is not None and share.is_full:
            return crowded(share, monotonic())
        buckets = share.buckets
        if buckets is None:
            return None
        now = monotonic()
        wait = buckets.wait(share.key, now)
        return refused(share, wait, now) if wait else None

    return before


def _one(counter: Counter, find: Find, monotonic: Callable[[], float]) -> Admit:
    """Return `admit` for a route with one limit that has anything to do there."""
    spends, shows = counter.kind is not Kind.ADDRESS, counter.limit.headers

    def admit(head: RequestHead, token: Token | None) -> Refusal | Counted | None:
        share = find(head, token)
        most, buckets = share.most, share.buckets
        if most is not None and share.counter.inflight.get(share.key, 0) >= most:
            return crowded(share, monotonic())
        if spends and buckets is not None:
            now = monotonic()
            wait = buckets.take(share.key, now)
            if wait:
                return refused(share, wait, now)
        if most is None and not shows:
            return None
        made = _Lone(None if most is None else share)
        if shows:
            made.lines = fields.lines((share,), monotonic())
        return made

    return admit


def _one_claim(counter: Counter, find: Find, monotonic: Callable[[], float]) -> Admit:
    """Return the same for a limit by claim that is a rate alone, which is the usual one."""
    name = counter.name

    def admit(head: RequestHead, token: Token | None) -> Refusal | None:
        known = None if token is None else token.limits
        share = None if known is None else known.get(name)
        if share is None or share.counter is not counter:
            share = find(head, token)
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
    return refusal._replace(fields=fields.told([share], now), compared=_compared(share))


def crowded(share: Share, now: float) -> Refusal:
    """Return the refusal of a request while too many are under way."""
    refusal = refuse("rate_limited", f"{share.counter.name} in flight", retry_after=1)
    return refusal._replace(fields=fields.told([share], now), compared=_compared(share))


def _compared(share: Share) -> tuple[str, str]:
    """Return what a limit allows whoever has this *share*, and who that is; a header's value may be a secret."""
    limit, key = share.counter.limit, share.key
    whose = ""
    if isinstance(key, str) and limit.by.kind in (Kind.ADDRESS, Kind.CLAIM):
        whose = " by " + key.split("\n", 2)[-1].lstrip("\0")
    return f"{limit.name}: {share.allowed} by {limit.by}", f"more{whose}"
