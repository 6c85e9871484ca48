"""Cross-origin sharing (WHATWG Fetch, section 3.2): what a page of another origin may ask, and may read of the answer.

An origin is allowed by its exact name and never reflected: an answer names the origin that asked only when it is one of
those written down, `null` can never be one, and `Vary` keeps caches from giving one origin's answer to another.
"""

from collections.abc import Sequence
from typing import NamedTuple

Fields = Sequence[tuple[str, str]]

EXPOSED = "X-Gateway-Error, X-Request-Id, Retry-After, WWW-Authenticate, Gateway-Refresh"
"""Fields that a script of another origin may read beside the harmless ones."""
VARY = "Origin"


class Cors(NamedTuple):
    """Who may share what."""

    origins: frozenset[str]
    """Exact origins: ``https://app.example.com``."""
    methods: str = "GET, POST, DELETE"
    headers: str = "Authorization, Content-Type, X-CSRF-Token"
    max_age: int = 600
    """Seconds for which a browser may remember a preflight's answer."""
    credentials: bool = True
    """Cookies come along; without them a page has its own Authorization."""


def is_preflight(method: str, origin: str | None, wanted: str | None) -> bool:
    """Whether a request is the browser's question before another one, and no request of its own."""
    return method == "OPTIONS" and origin is not None and wanted is not None


def shared(cors: Cors, origin: str | None) -> Fields:
    """Return the fields of an answer to a page of *origin*; none for an origin that is not allowed."""
    if origin is None or origin not in cors.origins:
        return ()
    fields = [("Access-Control-Allow-Origin", origin), ("Access-Control-Expose-Headers", EXPOSED)]
    if cors.credentials:
        fields.append(("Access-Control-Allow-Credentials", "true"))
    return fields


def preflight(cors: Cors, origin: str | None) -> Fields:
    """Return the fields that answer a preflight; none when the origin is not allowed, which forbids the request."""
    if origin is None or origin not in cors.origins:
        return ()
    fields = [
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Allow-Methods", cors.methods),
        ("Access-Control-Allow-Headers", cors.headers),
        ("Access-Control-Max-Age", str(cors.max_age)),
    ]
    if cors.credentials:
        fields.append(("Access-Control-Allow-Credentials", "true"))
    return fields
