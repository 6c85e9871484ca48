"""Cross-origin sharing (WHATWG Fetch, section 3.2): what a page of another origin may ask, and may read of the answer.

An origin is allowed by its exact name and never reflected: an answer names the origin that asked only when it is one of
those written down, `null` can never be one, and `Vary` keeps caches from giving one origin's answer to another. A route
may be open to all origins; then no answer names one, and no cookie counts (Fetch 3.2.5).
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, final

from gateway.routing.headers import Headers

Fields = Sequence[tuple[str, str]]

ANY = "*"
EXPOSED = "X-Gateway-Error, X-Request-Id, Retry-After, RateLimit, RateLimit-Policy, WWW-Authenticate, Gateway-Refresh"
"""Fields that a script of another origin may read beside the harmless ones."""
HEADERS = "Authorization, Content-Type, X-CSRF-Token"
"""Fields that it may send beside the harmless ones."""
VARY = "Origin"


class Cors(NamedTuple):
    """Who may share what."""

    origins: frozenset[str]
    """Exact origins: ``https://app.example.com``; or `ANY` alone."""
    methods: str = "GET, POST, DELETE"
    headers: str = HEADERS
    max_age: int = 600
    """Seconds for which a browser may remember a preflight's answer."""
    credentials: bool = True
    """Cookies come along; without them a page has its own Authorization."""
    exposed: str = EXPOSED


def is_preflight(method: str, origin: str | None, wanted: str | None) -> bool:
    """Whether a request is the browser's question before another one, and no request of its own."""
    return method == "OPTIONS" and origin is not None and wanted is not None


def shared(cors: Cors, origin: str | None) -> Fields:
    """Return the fields of an answer to a page of *origin*; none for an origin that is not allowed."""
    return [*fields, ("Access-Control-Expose-Headers", cors.exposed)] if (fields := _allowed(cors, origin)) else ()


def preflight(cors: Cors, origin: str | None) -> Fields:
    """Return the fields that answer a preflight; none when the origin is not allowed, which forbids the request."""
    if not (fields := _allowed(cors, origin)):
        return ()
    return [
        *fields,
        ("Access-Control-Allow-Methods", cors.methods),
        ("Access-Control-Allow-Headers", cors.headers),
        ("Access-Control-Max-Age", str(cors.max_age)),
    ]


def _allowed(cors: Cors, origin: str | None) -> Fields:
    if ANY in cors.origins:
        return [("Access-Control-Allow-Origin", ANY)]
    if origin is None or origin not in cors.origins:
        return ()
    fields = [("Access-Control-Allow-Origin", origin)]
    return [*fields, ("Access-Control-Allow-Credentials", "true")] if cors.credentials else fields


@final
class Sharing:
    """A route's `Cors` as header lines; those of answers are made once for each origin."""

    __slots__ = ("_answers", "_others", "cors", "trusted")

    def __init__(self, cors: Cors) -> None:
        is_open = ANY in cors.origins
        vary = [] if is_open else [("Vary", VARY)]
        named = frozenset[str]() if is_open else cors.origins
        self.cors = cors
        self._answers = {one.encode(): _lines([*shared(cors, one), *vary]) for one in named}
        self._others = _lines([*shared(cors, None), *vary])
        self.trusted = frozenset(self._answers if cors.credentials else ())
        """Origins whose pages may act with the cookies of their visitors."""

    def lines(self, origin: bytes | None) -> bytes:
        """Return the header lines of an answer to a page of *origin*; never empty."""
        return self._others if origin is None else self._answers.get(origin, self._others)

    def allows(self, origin: bytes) -> bool:
        """Whether pages of *origin* may ask."""
        return origin in self._answers or ANY in self.cors.origins

    def preflight(self, origin: bytes, method: bytes, names: Iterable[bytes] = ()) -> bytes:
        """Return the header lines that let a page of *origin*, which is allowed, ask with *method*.

        With no other method, since that might meet another route. *names* are further fields that it may send.
        """
        headers = ", ".join((self.cors.headers, *(name.decode() for name in names)))
        cors = self.cors._replace(methods=method.decode(), headers=headers)
        vary = [] if ANY in cors.origins else [("Vary", VARY)]
        return _lines([*preflight(cors, origin.decode("latin-1")), *vary])


@final
class Varying:
    """What answers say of the header fields that decide which route is met, and of sharing where that route shares.

    Else a cache in front, or a browser's own, would give the answer of one route to who asks for another one
    (RFC 9110 section 12.5.5).
    """

    __slots__ = ("_line", "_sharing")

    def __init__(self, asked: Iterable[Headers], sharing: Sharing | None = None) -> None:
        """*asked* is what all routes of a path ask for."""
        names = sorted({one.name.decode() for headers in asked for one in headers})
        self._line = _lines([("Vary", ", ".join(names))])
        self._sharing = sharing

    def lines(self, origin: bytes | None) -> bytes:
        """Return the header lines of an answer to a page of *origin*; never empty."""
        return self._line if self._sharing is None else self._line + self._sharing.lines(origin)


def of_all(sharings: Sequence[Sharing | None]) -> Sharing | None:
    """Return what routes say where none of them alone is meant: only what all would; None unless all share."""
    all_cors = [one.cors for one in sharings if one is not None]
    if not all_cors or len(all_cors) < len(sharings):
        return None
    first, *others = all_cors
    if all(one == first for one in others):
        return sharings[0]
    named = [one.origins for one in all_cors if ANY not in one.origins]
    return Sharing(
        first._replace(
            origins=frozenset.intersection(*named) if named else first.origins,
            credentials=all(one.credentials for one in all_cors),
            exposed=EXPOSED,
        )
    )


def _lines(fields: Fields) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in fields).encode("ascii")


DENIED = _lines([("Vary", VARY)])
"""The header lines that answer a preflight of an origin that may not ask."""
