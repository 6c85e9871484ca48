"""Who looks at a page: the person of the browser's cookies, renewed on the way when only the refresh cookie is good."""

from typing import NamedTuple

from aiohttp import web

from gateway.endpoints import cookies
from gateway.endpoints.answers import STORE_RETRY
from gateway.endpoints.cookies import Carried, clearing, clearing_repeated
from gateway.endpoints.facts import FACTS
from gateway.endpoints.granted import jar_of
from gateway.endpoints.refresh import session_of
from gateway.endpoints.services import Services
from gateway.errors import Refused, refuse
from gateway.sessions.answers import InvalidGrant
from gateway.tokens import csrf
from gateway.tokens.cache import Verified
from gateway.tokens.verify import Identity


class Visitor(NamedTuple):
    """Somebody who is signed in."""

    identity: Identity
    csrf: str
    """For the forms of the page."""
    cookies: tuple[str, ...] = ()
    """`Set-Cookie` lines that must be in the answer."""


class Nobody(NamedTuple):
    """Nobody is signed in."""

    cookies: tuple[str, ...] = ()


def by_access(carried: Carried, services: Services) -> Identity | None:
    """Return whose access cookie this is; None when it does not count.

    Raises:
        Refused: (store_unavailable) nobody can say, since revocations may be missing.
    """
    if carried.access is None:
        return None
    if services.cold():
        raise Refused(refuse("store_unavailable", "feed_cold", retry_after=STORE_RETRY))
    checked = services.tokens.check(carried.access.encode("latin-1"), services.clock.wall())
    return checked.identity if isinstance(checked, Verified) else None


def session_in(carried: Carried, services: Services) -> str:
    """Return the session that the cookies name; "" for none."""
    if carried.refresh is not None and (found := session_of(carried.refresh, services)):
        return found
    identity = by_access(carried, services)
    return "" if identity is None else identity.session


def check_form(request: web.Request, token: str | None, session: str, services: Services) -> None:
    """Refuse (csrf_failed) a form that a page of ours did not send: the browser's word first, then the token's."""
    header = request.headers.get
    site, origin = header("Sec-Fetch-Site"), header("Origin")
    if not csrf.judge(
        fetch_site=None if site is None else site.encode("utf-8", "surrogateescape"),
        origin=None if origin is None else origin.encode("utf-8", "surrogateescape"),
        token=token,
        session=session,
        secrets=services.secrets,
        own_origins=services.own_origins,
    ):
        raise Refused(refuse("csrf_failed", "form"))


async def visitor(request: web.Request, services: Services) -> Visitor | Nobody:
    """Return who looks at a page.

    Raises:
        Refused, StoreUnavailable: nobody can say just now.
    """
    carried = cookies.read(request, services.cookies)
    identity = by_access(carried, services)
    if identity is not None:
        request[FACTS].subject = identity.subject
        token = csrf.kept(services.secrets, identity.session, carried.csrf)
        fresh = () if token == carried.csrf else (cookies.csrf_line(token),)
        return Visitor(identity, token, fresh)
    if carried.refresh is None:
        return Nobody(clearing_repeated(services.cookies) if carried.repeated else ())
    outcome = await services.sessions.refresh(carried.refresh)
    if isinstance(outcome, InvalidGrant):
        return Nobody(clearing(services.cookies) if outcome.is_over else ())
    checked = services.tokens.check(outcome.access.token.encode(), services.clock.wall())
    if not isinstance(checked, Verified):
        return Nobody()
    request[FACTS].subject = checked.identity.subject
    token = csrf.kept(services.secrets, outcome.session, carried.csrf)
    return Visitor(checked.identity, token, cookies.setting(jar_of(outcome, token), services.cookies))
