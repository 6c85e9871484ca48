"""The gate: one request head in, one verdict out. The product on one screen.

`Gate.admit` is synchronous and does no I/O. A `Permit` can be made here only, and the forwarding engine accepts nothing
else, so there is no way to an upstream around these steps:

 1. one reading of the target, or 400
 2. the most specific route, or 404 / 405; the preflight of a page of another origin is answered here
 3. the client's address, where the route asks for one, or 403
 4. limits that need no token: by address, header or route, or 429
 5. credentials: bearer or cookie, exactly one reading, or 400 / 401
 6. the token: signature, claims, expiry, revocation, or 401
 7. the route's rule: roles, permissions, scopes, claims, the login's age, or 403 / 401
 8. cross-site forgery check when a cookie was the credential, or 403
 9. all limits, those by claim too, or 429
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import NamedTuple, Protocol, final

from gateway.errors import Refusal, refuse
from gateway.head import Credentials, Fields, Renewal, RequestHead
from gateway.navigation import is_navigation, login_query
from gateway.routing.conditions import Asked
from gateway.routing.cors import DENIED, Sharing, Varying
from gateway.routing.explained import Explanation
from gateway.routing.headers import Field, Headers, fit
from gateway.routing.rules import NOTHING_ASKED, denied, judge, wanted
from gateway.routing.table import Access, Fork, Match, MethodNotAllowed, NoRoute, Route, Rule, rewritten
from gateway.routing.target import BadTarget, Target, read
from gateway.telemetry.masking import masked
from gateway.tokens import csrf
from gateway.tokens.cache import Verified
from gateway.tokens.carriers import ACCESS_COOKIE, CSRF_COOKIE, REFRESH_COOKIE, Unreadable, bearer, cookies
from gateway.tokens.secrets import Secrets
from gateway.tokens.verify import Identity, Invalid
from gateway.websocket import Handshake, read_handshake

SAFE = frozenset((b"GET", b"HEAD", b"OPTIONS"))
"""Methods that change nothing and so need no forgery check (RFC 9110 section 9.2.1)."""
EARLY = 30.0
"""Seconds before its end at which a silent refresh replaces an access token, so that no upstream gets a dead one."""
MAX_COOKIES = 16 << 10
"""Bytes of all cookies of a request (OWASP ASVS 4.2.5)."""
_LOGIN_HELPS = frozenset(("token_missing", "token_expired", "token_revoked", "token_invalid"))
_PURPOSE = (b"sec-purpose", b"purpose", b"x-moz")
_MAX_KEPT = 4096
"""Targets whose way is remembered; a few MiB at most, with _MAX_KEPT_TARGET bytes each."""
_MAX_KEPT_TARGET = 256
_new = tuple.__new__
"""Makes a named tuple at a third of the price of calling its class."""
_NEVER = frozenset((b"TRACE", b"CONNECT"))
"""TRACE would echo credentials, CONNECT would make an open proxy."""


class Permit(NamedTuple):
    """Proof that a request passed, and all that forwarding needs to know."""

    route: Route
    rule: Rule
    path: bytes
    """Path and query for the upstream, in canonical form."""
    log_path: bytes
    """Canonical path as it was matched; with the masked query where the log wants it."""
    verified: Verified | None
    """Whose request it is; None for an anonymous one."""
    cookie: bytes
    """The client's cookies without the gateway's own; b"" when none are left."""
    handshake: Handshake | None = None
    """A WebSocket is to be opened; only on routes that allow it."""
    lines: bytes = b""
    """Header lines for the answer, whatever it will be, each ended by CRLF; see `Gate.lines`."""
    counted: "Counted | None" = None
    """Who has to be told of the request's end."""


@final
class Way(NamedTuple):
    """Where a target leads."""

    route: Route
    rule: Rule
    upstream_path: bytes
    log_path: bytes
    params: Mapping[str, bytes]
    before: "Before | None"
    """What limits ask before all else, and what they ask in the end; None where nothing is counted."""
    admit: "Admit | None"
    told: Sharing | Varying | None
    """What answers carry; None where that is nothing."""


@final
class Unserved(NamedTuple):
    """Where a target leads that has routes, but none for this method."""

    refusal: Refusal
    sharing: Sharing | None


@final
class Crossing(NamedTuple):
    """Where a target leads when header fields decide."""

    branches: tuple[tuple[Headers, Way | Refusal], ...]
    """The most specific first."""
    otherwise: Way | Refusal
    vary: Varying
    """What answers carry that no way leads to."""

    def taken(self, field: Field) -> Way | Refusal:
        """Return where a request with these *field*s goes."""
        for headers, way in self.branches:
            if fit(headers, field):
                return way
        return self.otherwise


def _varied(way: Way | Refusal, asked: Iterable[Headers]) -> Way | Refusal:
    return way if isinstance(way, Refusal) else way._replace(told=Varying(asked, way.route.sharing))


class Pending(NamedTuple):
    """The verdict needs something that takes time: await `wait`, then ask `admit` once more."""

    wait: Callable[[], Awaitable[Refusal | RequestHead | None]]
    """Returns the verdict where there is nothing left to ask, or the head to ask with when it is another one now."""
    confirms: bool = False
    """The store itself was asked about the token."""
    route: str = ""


class Answered(NamedTuple):
    """A request that the gateway answers itself, without a body."""

    status: int
    location: bytes = b""
    """Where a browser goes instead (RFC 9110 section 10.2.2)."""
    lines: bytes = b""
    """Further header lines, each ended by CRLF."""
    route: str = ""
    refusal: Refusal | None = None
    """What it would have been for anybody else; for the log."""


class Tokens(Protocol):
    """The gate's question about a token."""

    def check(self, token: bytes, now: float) -> Verified | Invalid: ...
    def remembers(self, token: bytes) -> bool: ...


class Failures(Protocol):
    """The gate's question about an address: has it sent too many bad tokens."""

    def is_spent(self, _address: str, _now: float, /) -> bool: ...
    def spend(self, _address: str, _now: float, /) -> None: ...
    def retry_after(self, _address: str, _now: float, /) -> int: ...


class Counted(Protocol):
    """A request that limits let pass, to be told when it is over."""

    @property
    def lines(self) -> bytes:
        """Header lines for the answer, each ended by CRLF."""
        ...

    def release(self) -> None: ...


Before = Callable[[RequestHead], Refusal | None]
Admit = Callable[[RequestHead, Verified | None], Refusal | Counted | None]


class Limits(Protocol):
    """The gate's question about a route's limits: who has had enough."""

    @property
    def before(self) -> Before | None:
        """Says why a request is not looked at any further; asked once for each."""
        ...

    @property
    def admit(self) -> Admit | None:
        """Says why a request that may do what it asks has to wait, or who is told of its end; asked once for each."""
        ...


class Routes(Protocol):
    """The gate's question about a path."""

    def match(self, method: bytes, host: bytes, path: bytes) -> Match | Fork | NoRoute | MethodNotAllowed: ...


class Feed(Protocol):
    """The gate's question about revocations: can the table be trusted."""

    @property
    def cold(self) -> bool:
        """The table has never been complete, or not for too long."""
        ...

    @property
    def fresh(self) -> bool:
        """Nothing can be missing but what came in the last few seconds."""
        ...

    @property
    def offset(self) -> float:
        """Seconds the clock by which tokens are stamped is ahead of this process's."""
        ...

    async def synced(self) -> None:
        """Return when the table is complete, or after a short while in vain."""
        ...

    def doubt(self, _identity: Identity, /) -> Refusal | Pending:
        """Say what becomes of a token on a strict route while the table is not fresh."""
        ...


class Renewals(Protocol):
    """The gate's question about an access cookie that is over: does its refresh cookie give a new one."""

    def session_of(self, _refresh: str, /) -> str:
        """Return the session a refresh cookie of ours names; "" for any other text."""
        ...

    async def renew(self, _refresh: str, _csrf: str | None, /) -> Renewal: ...


class _Unlimited:
    """No budget at all."""

    def is_spent(self, _address: str, _now: float) -> bool:
        return False

    def spend(self, _address: str, _now: float) -> None:
        """Nothing is counted."""

    def retry_after(self, _address: str, _now: float) -> int:
        return 1


class Gate:
    """Decides about requests by one consistent set of routes, keys and rules."""

    def __init__(
        self,
        *,
        routes: Routes,
        tokens: Tokens,
        feed: Feed,
        wall: Callable[[], float],
        secrets: Secrets,
        own_origins: frozenset[bytes],
        read_from: frozenset[str] = frozenset({"bearer", "cookie"}),
        log_query: bool = False,
        failures: Failures | None = None,
        renewals: Renewals | None = None,
        login_page: bytes = b"",
        shadowed: Callable[[Refusal, RequestHead], None] = lambda _refusal, _head: None,
        limits: Callable[[Route, Rule], Limits | None] = lambda _route, _rule: None,
    ) -> None:
        """*read_from*: where tokens are looked for; *log_query*: queries are fit for the log, secrets masked.

        *login_page* is the path that browsers are sent to when a page needs a login; b"" for none.
        *shadowed* is told what candidates of rules would refuse; it must return at once. *limits* gives what requests
        of a route by a rule count against.
        """
        self._match = routes.match
        self._check = tokens.check
        self._remembers = tokens.remembers
        self._feed = feed
        self._wall = wall
        self._secrets = secrets
        self._own_origins = own_origins
        self._ways: dict[tuple[bytes, bytes, bytes], Way | Crossing] = {}
        self._by_bearer = "bearer" in read_from
        self._by_cookie = "cookie" in read_from
        self._log_query = log_query
        self._failures = _Unlimited() if failures is None else failures
        self._renewals = renewals
        self._login_page = login_page
        self._shadowed = shadowed
        self._limits = limits

    def admit(
        self, head: RequestHead, *, waited: bool = False, confirmed: bool = False, counted: bool = False
    ) -> Permit | Refusal | Pending | Answered:
        """Return the verdict about *head*.

        *waited* says that a Pending of this request has been awaited; *confirmed*, that it was one that `confirms`;
        *counted*, that it had its permit already and only that is asked whether it would get it still.
        """
        method, raw, _, fields, _ = head
        key = (method, fields.host, raw)
        way = self._ways.get(key) or self._way(key)
        if type(way) is not Way:
            if type(way) is Crossing:
                way = way.taken(fields.field)
            if type(way) is not Way:
                refusal = way.refusal if type(way) is Unserved else way
                return (method == b"OPTIONS" and self._preflight(head)) or refusal
        route, rule, upstream_path, log_path, _, before, admit, told_by = way
        if told_by is not None and method == b"OPTIONS" and (answered := self._preflight(head)) is not None:
            return answered

        if rule.addresses is not None and not rule.addresses.has(head.peer.address):
            denial = refuse("address_denied", rule.addresses.wanted)
            return self._explained(denial, head, way, None)._replace(route=route.name)
        if before is not None and not waited and (over := before(head)) is not None:
            return self._explained(over, head, way, None)._replace(route=route.name)
        credentials = fields.credentials or self._credentials(fields)
        handshake: Handshake | None = None
        if type(credentials) is Refusal:
            return credentials._replace(route=route.name)
        if fields.upgrade is not None:
            shaken = self._handshake(head, route, credentials)
            if isinstance(shaken, Refusal):
                return shaken._replace(route=route.name)
            credentials, handshake = shaken
        token, by_cookie, _, cookie = credentials
        verified: Verified | None = None
        if rule.access is not Access.PUBLIC:
            if token is not None:
                judged = self._judge(head, credentials, way, waited)
                if type(judged) is not Verified:
                    judged = judged._replace(route=route.name)
                    return (
                        self._without(head, route, credentials, judged, waited)
                        if isinstance(judged, Refusal)
                        else judged
                    )
                if by_cookie and route.options.silent_refresh and not waited:
                    early = judged.identity.expires - self._wall() < EARLY and self._renewing(head, route)
                    if early:
                        return early
                if rule.strict and not confirmed and not self._feed.fresh:
                    return self._feed.doubt(judged.identity)._replace(route=route.name)
                verified = judged
            elif rule.access is Access.REQUIRED:
                refusal = self._explained(refuse("token_missing"), head, way, None)._replace(route=route.name)
                return self._without(head, route, credentials, refusal, waited)
            elif route.options.silent_refresh and not waited and (renewing := self._renewing(head, route)) is not None:
                return renewing
        entered: Counted | None = None
        if admit is not None and not counted:
            told = admit(head, verified)
            if told is not None:
                if isinstance(told, Refusal):
                    who = None if verified is None else verified.identity
                    return self._explained(told, head, way, who)._replace(route=route.name)
                entered = told
        if rule.shadow is not None and not counted and verified is not None:
            self._try_candidate(rule.shadow, head, way, verified.identity)
        lines = b"" if told_by is None and not waited else self._lines(head, told_by)
        if entered is not None:
            lines += entered.lines
        return _new(Permit, (route, rule, upstream_path, log_path, verified, cookie, handshake, lines, entered))

    def _try_candidate(self, candidate: Rule, head: RequestHead, way: Way, who: Identity) -> None:
        """Tell what *candidate* would say to a request that passes; once, however often the verdict was asked for."""
        would = denied(candidate, who, self._asked(head, way))
        if would is not None:
            self._shadowed(would._replace(route=way.route.name, subject=who.subject), head)

    def lines(self, head: RequestHead) -> bytes:
        """Return the header lines of every answer to *head*, a refusal too, each ended by CRLF."""
        key = (head.method, head.fields.host, head.target)
        way = self._ways.get(key) or self._way(key)
        otherwise: Sharing | Varying | None = None
        if type(way) is Crossing:
            otherwise = way.vary
            way = way.taken(head.fields.field)
        elif type(way) is Unserved:
            otherwise = way.sharing
        return self._lines(head, way.told if type(way) is Way else otherwise)

    @staticmethod
    def _lines(head: RequestHead, told: Sharing | Varying | None) -> bytes:
        renewal = head.fields.renewal
        lines = b"" if renewal is None else renewal.lines
        return lines if told is None else lines + told.lines(head.fields.origin)

    def _preflight(self, head: RequestHead) -> Answered | None:
        """Answer what a browser asks before a page's request (Fetch 4.8), by the route which that request would meet.

        It never has a token, and never reaches a service (identity.md 4, 70). None when it is something else, or the
        route shares nothing. It does not tell the request's header fields: where these decide, all routes must share.
        """
        fields = head.fields
        origin, wanted = fields.origin, fields.field(b"access-control-request-method")
        if origin is None or wanted is None:
            return None
        key = (wanted, fields.host, head.target)
        way = self._ways.get(key) or self._way(key)
        ways = [way]
        names: tuple[bytes, ...] = ()
        if type(way) is Crossing:
            ways = [one for one in (*(one for _, one in way.branches), way.otherwise) if not isinstance(one, Refusal)]
            names = tuple({one.name: None for headers, _ in way.branches for one in headers})
        sharings = [one.route.sharing for one in ways if type(one) is Way and one.route.sharing is not None]
        if not sharings or len(sharings) < len(ways):
            return None
        assert type(ways[0]) is Way
        route = ways[0].route.name
        if not all(one.allows(origin) for one in sharings):
            refusal = refuse("origin_denied", "preflight")._replace(route=route)
            return Answered(204, lines=DENIED, route=route, refusal=refusal)
        least = min(sharings, key=lambda one: len(one.trusted))  # without credentials where one has none
        return Answered(204, lines=least.preflight(origin, wanted, names), route=route)

    def _way(self, key: tuple[bytes, bytes, bytes]) -> Way | Crossing | Unserved | Refusal | Answered:
        """Read a target and find its route: a pure function of method, host and target, so good answers are kept."""
        method, host, raw = key
        target = read(raw)
        if isinstance(target, BadTarget):
            return refuse(target.code, target.reason)
        path, _, authority, _ = target
        if path == b"*":
            return Answered(204) if method == b"OPTIONS" else refuse("bad_request", "asterisk_form")
        if authority is not None and authority != host:
            return refuse("bad_request", "authority")
        match = self._match(method, host, path)
        if isinstance(match, MethodNotAllowed):
            refusal = refuse("method_not_allowed", "never" if method in _NEVER else "", allow=match.allow)
            return Unserved(refusal, match.sharing)
        way: Way | Crossing | Refusal
        if isinstance(match, Fork):
            asked = [one.route.headers for one in match.branches]
            ways = (_varied(self._along(one, target), asked) for one in match.branches)
            otherwise = _varied(self._along(match.otherwise, target), asked)
            way = Crossing(tuple(zip(asked, ways, strict=True)), otherwise, Varying(asked))
        else:
            way = self._along(match, target)
            if isinstance(way, Refusal):
                return way
        if len(raw) <= _MAX_KEPT_TARGET:
            if len(self._ways) >= _MAX_KEPT:
                self._ways.clear()
            self._ways[key] = way
        return way

    def _along(self, match: Match | NoRoute, target: Target) -> Way | Refusal:
        """Return the way of *target* along the route that it meets."""
        if isinstance(match, NoRoute):
            return refuse("no_route")
        path, query, _, encoded_slash = target
        route = match.route
        if encoded_slash and not route.options.allow_encoded_slash:
            return refuse("path_ambiguous", "encoded_slash")._replace(route=route.name)
        log_path = path + masked(query) if self._log_query else path
        limits = self._limits(route, match.rule)
        before, admit = (None, None) if limits is None else (limits.before, limits.admit)
        return Way(
            route, match.rule, rewritten(match, path) + query, log_path, match.params, before, admit, route.sharing
        )

    def _without(
        self, head: RequestHead, route: Route, credentials: Credentials, refusal: Refusal, waited: bool
    ) -> Refusal | Pending | Answered:
        """Say what becomes of a request whose token is missing or does not count: few get more than the refusal."""
        if credentials.token is not None and not credentials.by_cookie:
            return refusal
        if refusal.step_up:
            return self._to_login(head, refusal)  # no refresh makes a login younger, or adds a factor to it
        if refusal.code.name not in _LOGIN_HELPS:
            return refusal
        renewal = head.fields.renewal
        if renewal is not None:
            if renewal.unavailable is not None:
                return renewal.unavailable._replace(route=route.name)
        elif route.options.silent_refresh and not waited and (renewing := self._renewing(head, route)) is not None:
            return renewing
        return self._to_login(head, refusal)

    def _to_login(self, head: RequestHead, refusal: Refusal) -> Refusal | Answered:
        """Send a browser that opens a page to the login, which brings it back; anybody else gets the refusal."""
        if self._login_page and head.fields.authorization is None and is_navigation(head):
            return Answered(303, self._login_page + login_query(head.target, refusal.step_up), refusal=refusal)
        return refusal

    def _renewing(self, head: RequestHead, route: Route) -> Pending | None:
        """Return how to wait for a silent refresh; None where there must be none.

        Only a request whose answer will reach the browser's cookie jar, and that our own page may have made: what a
        prefetch is answered may be thrown away, and the spent token's successor with it.
        """
        fields, renewals = head.fields, self._renewals
        if renewals is None or fields.cookie is None or fields.authorization is not None:
            return None
        jar = cookies(fields.cookie)
        refresh = None if isinstance(jar, Unreadable) else jar.ours.get(REFRESH_COOKIE)
        if isinstance(jar, Unreadable) or not refresh or fields.upgrade is not None or not self._by_cookie:
            return None
        if any(b"prefetch" in (fields.field(name) or b"") for name in _PURPOSE):
            return None
        session = renewals.session_of(refresh)
        if not session or not (head.method in SAFE or self._is_same_site(fields, session, route)):
            return None
        token = jar.ours.get(CSRF_COOKIE)

        async def renew() -> RequestHead:
            return head._replace(fields=fields.renewed(await renewals.renew(refresh, token)))

        return Pending(renew)

    def _judge(
        self, head: RequestHead, credentials: Credentials, way: Way, waited: bool
    ) -> Verified | Refusal | Pending:
        """Verify the token, then ask what its owner may do."""
        if self._feed.cold:
            # Without one full synchronisation a revoked token could pass (identity.md 3.8, G5).
            return refuse("store_unavailable", "feed_cold", retry_after=2) if waited else Pending(self._feed.synced)
        token, by_cookie, cookie_token, _ = credentials
        address, now = head[4][0], self._wall() + self._feed.offset
        assert token is not None
        failures = self._failures
        if failures.is_spent(address, now) and not self._remembers(token):
            # Refused before any cryptography; whoever is known to us passes, also behind the same address.
            return refuse("rate_limited", "failed_tokens", retry_after=failures.retry_after(address, now))
        verified = self._check(token, now)
        if type(verified) is Invalid:
            if verified.wait is not None and not waited:
                return Pending(verified.wait)  # its issuer may have a key that is new to us
            if verified.reason == "signature":
                failures.spend(address, now)  # the one refusal that costs more than it costs to ask for
            retry_after = 2 if verified.code == "store_unavailable" else None
            bad = refuse(verified.code, verified.reason, retry_after=retry_after)
            return self._explained(bad, head, way, bad)
        assert type(verified) is Verified
        identity = verified.identity
        if cookie_token is not None and self._disagree(identity.session, cookie_token, address, now):
            return refuse("bad_request", "two_tokens")
        rule = way.rule
        if verified.passes is not rule:
            asked = Asked(way.params, address, now, head.fields.field) if rule.looks else NOTHING_ASKED
            unmet = judge(rule, identity, asked)
            if unmet is not None:
                return self._explained(unmet.refusal(identity, asked, wanted(rule)), head, way, identity)
            if not rule.looks:
                verified.passes = rule
        if (
            by_cookie
            and (head.method not in SAFE or way.route.options.csrf_always)
            and not self._is_same_site(head.fields, identity.session, way.route, navigation=is_navigation(head))
        ):
            return self._explained(refuse("csrf_failed"), head, way, identity)
        return verified

    def _explained(self, refusal: Refusal, head: RequestHead, way: Way, who: Identity | Refusal | None) -> Refusal:
        """Return *refusal* with how to say why, and whose request it was if that is known."""
        why = Explanation(way.route, way.rule, who, self._asked(head, way), refusal)
        return refusal._replace(subject=who.subject if isinstance(who, Identity) else "", why=why)

    def _asked(self, head: RequestHead, way: Way) -> Asked:
        return Asked(way.params, head.peer.address, self._wall() + self._feed.offset, head.fields.field)

    def _credentials(self, fields: Fields) -> Credentials | Refusal:
        """Find the token among *fields*, once per block of fields; an invalid header never falls back to the cookie."""
        rest = b""
        token: bytes | None = None
        cookie_token: bytes | None = None
        if fields.cookie is not None:
            if len(fields.cookie) > MAX_COOKIES:
                return refuse("head_too_large", "cookies")
            jar = cookies(fields.cookie)
            if isinstance(jar, Unreadable):
                return refuse("bad_request", jar.reason)
            rest = jar.rest
            if self._by_cookie and ACCESS_COOKIE in jar.ours:
                cookie_token = jar.ours[ACCESS_COOKIE].encode("latin-1")
        if self._by_bearer and fields.authorization is not None:
            found = bearer(fields.authorization)
            if isinstance(found, Unreadable):
                return refuse("bad_request", found.reason)
            token = found
        if token is None:
            fields.credentials = Credentials(cookie_token, cookie_token is not None, None, rest)
        else:
            fields.credentials = Credentials(token, False, cookie_token, rest)
        return fields.credentials

    def _handshake(
        self, head: RequestHead, route: Route, credentials: Credentials
    ) -> tuple[Credentials, Handshake | None] | Refusal:
        """Judge an Upgrade. One that the route does not offer is ignored, as any server may (RFC 9110 section 7.8)."""
        options = route.options.websocket
        if options is None or head.fields.upgrade != b"websocket":
            return credentials, None
        shake = read_handshake(head.fields, head.method)
        if isinstance(shake, Refusal):
            return shake
        if shake.token is not None:
            if "subprotocol" not in options.token_from or credentials.token is not None:
                return refuse("bad_request", "subprotocol_token")
            credentials = credentials._replace(token=shake.token)
        elif (
            credentials.token is not None
            and ("cookie" if credentials.by_cookie else "bearer") not in options.token_from
        ):
            credentials = credentials._replace(token=None)
        allowed = {origin.encode() for origin in options.origins}
        if shake.origin is None:
            # A cookie is sent by browsers whoever asks them to, and browsers say who asks (RFC 6455 section 10.2).
            if credentials.by_cookie and credentials.token is not None:
                return refuse("origin_denied", "origin_missing")
        elif shake.origin not in self._own_origins and shake.origin not in allowed and b"*" not in allowed:
            return refuse("origin_denied", "origin")
        return credentials, shake

    def _disagree(self, session: str, cookie_token: bytes, address: str, now: float) -> bool:
        """Header and cookie name two different sessions: nobody can say who is asking (identity.md 4, 59)."""
        failures = self._failures
        if failures.is_spent(address, now) and not self._remembers(cookie_token):
            return False  # as good as junk, which is not worth its cryptography
        other = self._check(cookie_token, now)
        if isinstance(other, Invalid):
            if other.reason == "signature":
                failures.spend(address, now)
            return False
        return other.identity.session != session

    def _is_same_site(self, fields: Fields, session: str, route: Route, *, navigation: bool = False) -> bool:
        token = fields.field(b"x-csrf-token")
        friends = frozenset() if route.sharing is None else route.sharing.trusted
        return csrf.judge(
            fetch_site=fields.field(b"sec-fetch-site"),
            origin=fields.field(b"origin"),
            token=None if token is None else token.decode("latin-1"),
            session=session,
            secrets=self._secrets,
            own_origins=self._own_origins | friends if friends else self._own_origins,
            navigation=navigation,
        )


class ExplainingGate(Gate):
    """A gate that tells some callers what was decided about their requests, by `X-Gateway-Decision`."""

    told: frozenset[str] = frozenset()
    """Roles whose owners are told."""

    def admit(
        self, head: RequestHead, *, waited: bool = False, confirmed: bool = False, counted: bool = False
    ) -> Permit | Refusal | Pending | Answered:
        verdict = super().admit(head, waited=waited, confirmed=confirmed, counted=counted)
        if isinstance(verdict, Refusal) and isinstance(verdict.why, Explanation):
            if isinstance(who := verdict.why.who, Identity) and not self.told.isdisjoint(who.roles):
                return verdict._replace(decision=verdict.why.brief())
        elif isinstance(verdict, Permit) and verdict.verified is not None:
            who = verdict.verified.identity
            if self.told.isdisjoint(who.roles):
                return verdict
            key = (head.method, head.fields.host, head.target)
            way = self._ways.get(key) or self._way(key)
            if isinstance(way, Crossing):
                way = way.taken(head.fields.field)
            if isinstance(way, Way):
                why = Explanation(way.route, way.rule, who, self._asked(head, way), None)
                return verdict._replace(lines=verdict.lines + b"X-Gateway-Decision: %b\r\n" % why.brief().encode())
        return verdict
