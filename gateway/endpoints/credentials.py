"""Whose request is it: the access token of a request to the gateway's own endpoints.

The rules are the gate's: an Authorization field counts before the cookie, an invalid one never falls back to it, two
that name different sessions are refused, and what can be read in two ways is read in none.
"""

from typing import NamedTuple

from aiohttp import web

from gateway.endpoints.answers import STORE_RETRY
from gateway.endpoints.cookies import Carried
from gateway.endpoints.services import Services
from gateway.errors import KeyUnknown, Refused, refuse
from gateway.tokens.cache import Verified
from gateway.tokens.carriers import Unreadable, bearer
from gateway.tokens.verify import Identity, Invalid


class Caller(NamedTuple):
    """Who asks."""

    identity: Identity
    by_cookie: bool


def bearer_token(request: web.Request) -> bytes | None:
    """Return the token of the Authorization field; None without one or with another scheme.

    Raises:
        Refused: (bad_request) two fields, or one that is no single token (RFC 6750 section 2.1).
    """
    values = request.headers.getall("Authorization", [])
    if not values:
        return None
    if len(values) > 1:
        raise Refused(refuse("bad_request", "authorization_repeated"))
    found = bearer(values[0].encode("utf-8", "surrogateescape"))
    if isinstance(found, Unreadable):
        raise Refused(refuse("bad_request", found.reason))
    return found


def caller(request: web.Request, carried: Carried, services: Services) -> Caller:
    """Return whose access token this request carries.

    Raises:
        Refused: (token_missing, token_invalid, token_expired, token_revoked, bad_request, store_unavailable)
    """
    token = bearer_token(request)
    cookie = carried.access.encode("latin-1") if carried.access is not None else None
    if token is None and cookie is None:
        raise Refused(refuse("token_missing"))
    if services.cold():
        raise Refused(refuse("store_unavailable", "feed_cold", retry_after=STORE_RETRY))
    now = services.clock.wall()
    if token is None:
        assert cookie is not None
        return Caller(_valid(services.tokens.check(cookie, now)), True)
    identity = _valid(services.tokens.check(token, now))
    if cookie is not None:
        other = services.tokens.check(cookie, now)
        if isinstance(other, Verified) and other.identity.session != identity.session:
            raise Refused(refuse("bad_request", "two_tokens"))
    return Caller(identity, False)


def refused(invalid: Invalid) -> Refused:
    """Return the refusal of a token."""
    retry_after = STORE_RETRY if invalid.code == "store_unavailable" else None
    refusal = refuse(invalid.code, invalid.reason, retry_after=retry_after)
    return Refused(refusal) if invalid.wait is None else KeyUnknown(refusal, invalid.wait)


def _valid(checked: Verified | Invalid) -> Identity:
    if isinstance(checked, Invalid):
        raise refused(checked)
    return checked.identity
