"""GET /auth/session and GET /auth/csrf: what a page asks when it starts. Neither changes anything on the server."""

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.endpoints import cookies
from gateway.endpoints.answers import answer
from gateway.endpoints.cookies import Carried
from gateway.endpoints.credentials import Caller, caller
from gateway.endpoints.facts import FACTS
from gateway.endpoints.refresh import session_of
from gateway.endpoints.services import Services
from gateway.tokens import csrf
from gateway.tokens.cache import Verified


def session(services: Services) -> Handler:
    """Return the handler of GET /auth/session: who am I, what may I do, for how long."""

    async def handle(request: web.Request) -> web.StreamResponse:
        carried = cookies.read(request, services.cookies)
        who = caller(request, carried, services)
        request[FACTS].subject = who.identity.subject
        return answer(_members(who, carried, services))

    return handle


def _members(who: Caller, carried: Carried, services: Services) -> dict[str, object]:
    identity = who.identity
    members: dict[str, object] = {
        "authenticated": True,
        "sub": identity.subject,
        "session_id": identity.session,
        "client_id": identity.client,
        "roles": sorted(identity.roles),
        "permissions": sorted(identity.permissions),
        "scope": " ".join(sorted(identity.scopes)),
        "auth_time": identity.auth_time,
        # Relative, because a client's clock may be wrong.
        "expires_in": max(0, int(identity.expires - services.clock.wall())),
    }
    if identity.tenant is not None:
        members["tenant"] = identity.tenant
    if who.by_cookie:
        members["csrf_token"] = csrf.kept(services.secrets, identity.session, carried.csrf)
    return members


def csrf_token(services: Services) -> Handler:
    """Return the handler of GET /auth/csrf: the token for this browser's session, or for its login page."""

    async def handle(request: web.Request) -> web.StreamResponse:
        carried = cookies.read(request, services.cookies)
        token = csrf.kept(services.secrets, _session(carried, services), carried.csrf)
        response = answer({"csrf_token": token})
        if token != carried.csrf:
            response.headers.add("Set-Cookie", cookies.csrf_line(token))
        return response

    return handle


def _session(carried: Carried, services: Services) -> str:
    """Return the session of the browser's cookies; "" before a login."""
    if carried.refresh is not None and (found := session_of(carried.refresh, services)):
        return found
    if carried.access is not None:
        checked = services.tokens.check(carried.access.encode("latin-1"), services.clock.wall())
        if isinstance(checked, Verified):
            return checked.identity.session
    return ""
