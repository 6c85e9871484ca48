"""One limit at work: who has taken how much of it, and who has how many requests under way.

Decided in this process's memory alone. Whose request it is, is a key: the client's address, a header's value, the
route itself, or the value of a claim together with who issued it. A token without the claim counts as its owner, and a
request without what it would be counted by counts as its address, so that nobody goes uncounted for leaving it out.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from functools import lru_cache
from typing import NamedTuple, Protocol, final

from gateway.head import Fields, RequestHead
from gateway.limits.buckets import Buckets
from gateway.limits.failures import network
from gateway.limits.limit import Allowance, Kind, Limit
from gateway.limits.words import Words, words
from gateway.paths import Path, steps

Key = str | bytes

MAX_KEY = 64
"""Characters of a key that is kept as it is; of a longer one, which a client may have chosen, a digest is."""


class Owner(Protocol):
    """Whose token it is."""

    @property
    def subject(self) -> str: ...
    @property
    def issuer(self) -> str: ...


class Token(Protocol):
    """A verified token, with room for what limits have once read of it."""

    limits: "dict[str, Share] | None"

    @property
    def identity(self) -> Owner: ...


Find = Callable[[RequestHead, Token | None], "Share"]
"""Returns what a request counts against, by what was once read of its token and its fields."""

Stated = Callable[[Owner, Path], object]
"""Returns the claim of a token that a path leads to; None when there is none."""


@final
class Share:
    """What one request counts against."""

    __slots__ = ("allowed", "buckets", "counter", "key", "most", "words")

    def __init__(self, counter: "Counter", key: Key, plan: "Plan") -> None:
        self.counter = counter
        self.key = key
        self.buckets, self.allowed, self.words = plan
        self.most = self.allowed.inflight
        """How many may be under way."""

    @property
    def is_full(self) -> bool:
        """So many are under way that there is no room for one more."""
        return self.most is not None and self.counter.inflight.get(self.key, 0) >= self.most


class Plan(NamedTuple):
    """What somebody with a plan, or with none, may have, and the buckets of those who have it."""

    buckets: Buckets | None
    """None where the rate is unlimited."""
    allowed: Allowance
    words: Words


class Counter:
    """One limit's buckets and counts; for one thread."""

    __slots__ = ("_of_address", "_path", "_plans", "_stated", "_usual", "buckets", "inflight", "kind", "limit", "name")

    def __init__(
        self, limit: Limit, stated: Stated, make: Callable[[Allowance, str], Buckets | None], inflight: dict[Key, int]
    ) -> None:
        """*stated* reads claims, *make* makes the buckets of a plan, "" for none; *inflight* is under way already."""
        self.limit = limit
        self.name = limit.name
        self.kind = limit.by.kind
        self.inflight = inflight
        """How many requests are under way, by key; whoever has none is not in it."""
        self._stated = stated
        self._path = steps(limit.by.name) if limit.by.kind is Kind.CLAIM else ()
        self.buckets = make(limit.allowed, "")
        """Those of whoever has no plan."""
        self._usual = Plan(self.buckets, limit.allowed, words(limit.name, limit.allowed))
        self._plans: Mapping[str, Plan] = {
            plan: Plan(make(allowed, plan), allowed, words(limit.name, allowed))
            for plan, allowed in limit.plans.items()
        }
        self._of_address = lru_cache(maxsize=4096)(self._address_share)

    def told_by(self, limit: Limit) -> "Counter":
        """Return this counter for *limit*, which counts the same and tells it otherwise."""
        made = copy(self)
        made.limit = limit
        made._of_address = lru_cache(maxsize=4096)(made._address_share)
        return made

    def all_buckets(self) -> Iterator[Buckets]:
        """Yield the buckets of every plan."""
        yield from (one.buckets for one in (self._usual, *self._plans.values()) if one.buckets is not None)

    def finder(self, route: str) -> Find:
        """Return `share` for requests of *route*, made for being asked with each of them."""
        kind, name, share = self.kind, self.name, self.share
        if kind is Kind.ROUTE:
            whole = Share(self, route, self._usual)
            return lambda _head, _token: whole
        if kind is Kind.ADDRESS:
            of_address = self._of_address
            return lambda head, _token: of_address(head[4][0])

        def by_claim(head: RequestHead, token: Token | None) -> Share:
            known = None if token is None else token.limits
            found = None if known is None else known.get(name)
            return share(head, token, route) if found is None or found.counter is not self else found

        def by_header(head: RequestHead, _token: Token | None) -> Share:
            known: dict[str, Share] | None = head[3].limits
            found = None if known is None else known.get(name)
            return share(head, None, route) if found is None or found.counter is not self else found

        return by_claim if kind is Kind.CLAIM else by_header

    def share(self, head: RequestHead, token: Token | None, route: str) -> Share:
        """Return what a request by the owner of *token*, if there is one, counts against."""
        kind = self.kind
        if kind is Kind.CLAIM and token is not None:
            return self._of_token(token)
        if kind is Kind.ROUTE:
            return Share(self, route, self._usual)
        if kind is Kind.HEADER and (value := head.fields.field(self.limit.by.name.encode())) is not None:
            return self._of_header(head.fields, value)
        return self._of_address(head.peer.address)

    def _address_share(self, address: str) -> Share:
        key = network_of(address)
        if self.kind is not Kind.ADDRESS:
            # Behind a character that no claim and no header begins with.
            key = b"\0" + key if isinstance(key, bytes) else "\0" + key
        return Share(self, key, self._usual)

    def _of_header(self, fields: Fields, value: bytes) -> Share:
        """As `share`; a block of fields never changes, so its value is read once."""
        if fields.limits is None:
            fields.limits = {}
        made = fields.limits[self.name] = Share(self, short(value.decode("latin-1")), self._usual)
        return made

    def _of_token(self, token: Token) -> Share:
        """As `share`; what is in a token never changes, so it is read once."""
        known = token.limits
        if known is None:
            known = token.limits = {}
        found = known.get(self.name)
        if found is not None and found.counter is self:
            return found
        owner = token.identity
        value = text_of(self._stated(owner, self._path))
        own = f"{owner.issuer}\n{'' if value is None else 'c'}\n{owner.subject if value is None else value}"
        plan = text_of(self._stated(owner, self.limit.plan)) if self.limit.plan else None
        chosen = self._usual if plan is None else self._plans.get(plan, self._usual)
        made = known[self.name] = Share(self, short(own), chosen)
        return made


def text_of(value: object) -> str | None:
    """Return a claim as a key can hold it; None for what says nothing."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value or None
    if isinstance(value, int | float):
        return str(value)
    return "\n".join(sorted(str(item) for item in value)) or None if isinstance(value, list | tuple) else None


def short(text: str) -> Key:
    """Return *text*, or a digest of a long one: no two keys meet, and none takes much room."""
    if len(text) <= MAX_KEY:
        return text
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


network_of = lru_cache(maxsize=4096)(network)
"""`failures.network`, for addresses that come again and again."""
