"""GET /auth/sessions and DELETE /auth/sessions/{id}: a person looks at their own sessions and ends one (ASVS 7.5.2).

Nothing in the list could be used to refresh. A session of somebody else is answered as one that does not exist.
"""

import re

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.endpoints import cookies
from gateway.endpoints.answers import answer
from gateway.endpoints.credentials import caller
from gateway.endpoints.facts import FACTS
from gateway.endpoints.forgery import refuse_foreign
from gateway.endpoints.services import Services
from gateway.errors import Refused, refuse
from gateway.sessions.outcomes import SessionView

SESSION = re.compile(r"[A-Za-z0-9_-]{22}")
"""Sixteen bytes in base64url, as a login makes them."""


def sessions(services: Services) -> Handler:
    """Return the handler of GET /auth/sessions."""

    async def handle(request: web.Request) -> web.StreamResponse:
        identity = caller(request, cookies.read(request, services.cookies), services).identity
        request[FACTS].subject = identity.subject
        views = await services.sessions.sessions(subject=identity.subject, tenant=identity.tenant)
        return answer(
            {
                "sessions": [
                    {**described(view), "current": view.session == identity.session}
                    for view in sorted(views, key=lambda view: view.used_ms, reverse=True)
                ]
            }
        )

    return handle


def end_session(services: Services) -> Handler:
    """Return the handler of DELETE /auth/sessions/{id}."""

    async def handle(request: web.Request) -> web.StreamResponse:
        identity, by_cookie = caller(request, cookies.read(request, services.cookies), services)
        if by_cookie:
            refuse_foreign(request, (identity.session,), services.secrets, services.origins)
        request[FACTS].subject = identity.subject
        session = request.match_info["id"]
        if SESSION.fullmatch(session) is None or not await services.sessions.end(
            session, subject=identity.subject, tenant=identity.tenant
        ):
            raise Refused(refuse("no_route", "session", detail="You have no such session."))
        response = web.Response(status=204)
        if by_cookie and session == identity.session:
            cookies.clear_all(response, services.cookies)
        return response

    return handle


def described(view: SessionView) -> dict[str, object]:
    """Return the members of *view*; times are Unix time in seconds."""
    return {
        "session_id": view.session,
        "created_at": view.created_ms // 1000,
        "last_used_at": view.used_ms // 1000,
        "expires_at": view.ends_ms // 1000,
        "idle_expires_at": view.idle_ends_ms // 1000,
        "client_id": view.client,
        "device": view.device,
        "user_agent": view.user_agent,
        "ip": view.address,
        "amr": list(view.amr),
    }
