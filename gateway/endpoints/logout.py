"""POST /auth/logout: end this session, the person's others (`?scope=others`) or all (`?scope=global`).

Ending one's own session works with whatever is at hand: a refresh token in the body, an access token (it may have
expired), or the cookies. It is the same done twice as once. Ending other sessions too takes a valid access token.
"""

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.endpoints import bodies, cookies
from gateway.endpoints.cookies import Carried
from gateway.endpoints.credentials import bearer_token, caller, refused
from gateway.endpoints.facts import ASKED, FACTS
from gateway.endpoints.forgery import refuse_foreign
from gateway.endpoints.refresh import session_of
from gateway.endpoints.services import Services
from gateway.errors import Refused, refuse
from gateway.tokens.verify import Identity, Invalid


def logout(services: Services) -> Handler:
    """Return the handler."""

    async def handle(request: web.Request) -> web.StreamResponse:
        match request.query.getall("scope", ["local"]):
            case ["local"]:
                return await _local(request, services)
            case [("others" | "global") as scope]:
                return await _wider(request, services, everywhere=scope == "global")
            case _:
                raise Refused(refuse("bad_request", "logout_scope", detail="The scope is local, others or global."))

    return handle


async def _local(request: web.Request, services: Services) -> web.StreamResponse:
    fields = await bodies.fields(request, may_be_empty=True)
    if (token := bodies.text(fields, "refresh_token")) is not None:
        # As RFC 7009 section 2.2 has it: a token that means nothing is already as good as revoked.
        await services.sessions.logout_by_refresh(token)
        return _done()
    if (bearer := bearer_token(request)) is not None:
        identity = _once_valid(bearer, request, services)
        if identity is None:
            raise Refused(refuse("token_invalid", "logout"))
        await _end(identity, request, services)
        return _done()
    carried = cookies.read(request, services.cookies)
    if carried.any:
        return await _by_cookies(request, carried, services)
    return _done()


async def _by_cookies(request: web.Request, carried: Carried, services: Services) -> web.StreamResponse:
    identity = None if carried.access is None else _once_valid(carried.access.encode("latin-1"), request, services)
    by_refresh = "" if carried.refresh is None else session_of(carried.refresh, services)
    by_access = "" if identity is None else identity.session
    refuse_foreign(request, {by_access, by_refresh}, services.secrets, services.origins)
    if carried.refresh is not None:
        await services.sessions.logout_by_refresh(carried.refresh)
    if identity is not None and by_access != by_refresh:
        await _end(identity, request, services)
    elif identity is not None:
        request[FACTS].subject = identity.subject
    return _done(services)


async def _wider(request: web.Request, services: Services, *, everywhere: bool) -> web.StreamResponse:
    carried = cookies.read(request, services.cookies)
    identity, by_cookie = caller(request, carried, services)
    if by_cookie:
        refuse_foreign(request, (identity.session,), services.secrets, services.origins)
    request[FACTS].subject = identity.subject
    if not everywhere:
        await services.sessions.logout_others(identity.session, subject=identity.subject, tenant=identity.tenant)
        return _done()
    await services.sessions.logout_everywhere(subject=identity.subject, tenant=identity.tenant)
    return _done(services if by_cookie else None)


def _once_valid(token: bytes, request: web.Request, services: Services) -> Identity | None:
    """Return who a token of ours spoke for, also after it has expired; None when it never was ours."""
    identity = services.verifier.verify(token, services.clock.wall(), even_expired=True)
    if isinstance(identity, Invalid):
        if identity.wait is not None and ASKED not in request:
            raise refused(identity)
        return None
    return identity


async def _end(identity: Identity, request: web.Request, services: Services) -> None:
    request[FACTS].subject = identity.subject
    await services.sessions.logout(identity.session, subject=identity.subject, tenant=identity.tenant)


def _done(clearing: Services | None = None) -> web.Response:
    response = web.Response(status=204)
    if clearing is not None:
        cookies.clear_all(response, clearing.cookies)
    return response
