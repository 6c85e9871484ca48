"""Where an access token travels: the Authorization field, or the gateway's own cookie.

Sources: RFC 6750 section 2.1 and RFC 9110 section 11.4 (credentials), RFC 6265 section 4.2 (Cookie), and
draft-ietf-httpbis-rfc6265bis (name prefixes). Two readings of one request are never tolerated: what is malformed is
refused rather than guessed at.
"""

import re
from typing import NamedTuple

ACCESS_COOKIE = "__Host-Http-gw-at"
REFRESH_COOKIE = "__Host-Http-gw-rt"
CSRF_COOKIE = "__Host-gw-csrf"
LOGIN_COOKIE = "__Host-Http-gw-mfa"
"""Ties the two steps of a login to one browser."""
DEVICE_COOKIE = "__Host-Http-gw-dv"
"""Tells that somebody has logged in with this browser before."""

_OURS = {
    name.encode().lower(): name for name in (ACCESS_COOKIE, REFRESH_COOKIE, CSRF_COOKIE, LOGIN_COOKIE, DEVICE_COOKIE)
}
_MARK = b"__host-"

# One space, then one run without anything that could start a second parameter. What is in the run is the strict
# parser's business: garbage is an invalid token (401), while two tokens or a quoted one are a malformed request (400).
_BEARER = re.compile(rb'bearer ([^ \t,"]+)', re.IGNORECASE)


COOKIE_REPEATED = "cookie_repeated"
"""The reason of a Cookie field that holds one of ours twice."""


class Unreadable(NamedTuple):
    """Credentials that can be read in more than one way, or not at all."""

    reason: str


class Cookies(NamedTuple):
    """A Cookie field taken apart: the gateway's own cookies by name, and what is left for the upstream."""

    ours: dict[str, str]
    rest: bytes
    """The other cookies, as sent; b"" when there are none."""


def bearer(authorization: bytes) -> bytes | Unreadable | None:
    """Return the token of an Authorization value; None for another scheme, Unreadable for a broken bearer value."""
    if authorization[:7] == b"Bearer ":
        token = authorization[7:]
        # Four scans by memchr; the expression below reads a token byte by byte, fifty times as slowly.
        if token and b" " not in token and b"," not in token and b"\t" not in token and b'"' not in token:
            return token
    if authorization[:6].lower() != b"bearer" or authorization[6:7] not in (b"", b" ", b"\t", b","):
        return None
    match = _BEARER.fullmatch(authorization)
    return match[1] if match is not None else Unreadable("bearer_syntax")


def cookies(field: bytes) -> Cookies | Unreadable:
    """Take the gateway's cookies out of a Cookie value; one of ours sent twice is Unreadable (never "first wins")."""
    if _MARK not in field.lower():
        return Cookies({}, field)
    ours: dict[str, str] = {}
    rest = []
    for pair in (piece.strip(b" \t") for piece in field.split(b";")):
        name, _, value = pair.partition(b"=")
        own = _OURS.get(name.strip(b" \t").lower())
        if own is None:
            if pair:
                rest.append(pair)
        elif own in ours:
            return Unreadable(COOKIE_REPEATED)
        elif name.decode("latin-1") == own:
            ours[own] = value.decode("latin-1")
        # A name that only resembles ours was not set by us: it counts for nothing, and no upstream sees it either.
    return Cookies(ours, b"; ".join(rest))
