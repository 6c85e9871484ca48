"""POST /auth/refresh: a refresh token in, its successor and a new access token out.

The token comes in the body, or in the gateway's cookie with an empty body; the answer goes back the same way. Only a
token that can never work again clears the cookies: an outage is 503 and leaves them alone, because a user must not be
logged out by a restart of the store.
"""

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.endpoints import bodies, cookies
from gateway.endpoints.answers import refusal_answer
from gateway.endpoints.cookies import Carried
from gateway.endpoints.facts import FACTS
from gateway.endpoints.forgery import refuse_foreign
from gateway.endpoints.granted import bearer_answer, cookie_answer
from gateway.endpoints.services import Services
from gateway.errors import refuse
from gateway.sessions.answers import InvalidGrant, Refreshed
from gateway.tokens import csrf
from gateway.tokens.base64url import encode
from gateway.tokens.refresh import parse

OUTCOME = "Gateway-Refresh"
"""Tells how the refresh went: rotated, replayed, coalesced, forked or healed."""


def refresh(services: Services) -> Handler:
    """Return the handler."""

    async def handle(request: web.Request) -> web.StreamResponse:
        fields = await bodies.fields(request, may_be_empty=True)
        if fields:
            return await _from_body(request, bodies.needed(fields, "refresh_token"), services)
        return await _from_cookie(request, cookies.read(request, services.cookies), services)

    return handle


async def _from_body(request: web.Request, token: str, services: Services) -> web.StreamResponse:
    facts = request[FACTS]
    outcome = await services.sessions.refresh(token)
    if isinstance(outcome, InvalidGrant):
        return refusal_answer(refuse("invalid_grant", outcome.reason), facts)
    facts.subject = outcome.subject.sub
    return _told(bearer_answer(request, outcome), outcome)


async def _from_cookie(request: web.Request, carried: Carried, services: Services) -> web.StreamResponse:
    facts = request[FACTS]
    if carried.refresh is None:
        refused = refusal_answer(refuse("invalid_grant", "cookie_repeated" if carried.repeated else "missing"), facts)
        if carried.repeated:
            for line in cookies.clearing_repeated(services.cookies):
                refused.headers.add("Set-Cookie", line)
        return refused
    refuse_foreign(request, (session_of(carried.refresh, services),), services.secrets, services.origins)
    outcome = await services.sessions.refresh(carried.refresh)
    if isinstance(outcome, InvalidGrant):
        refused = refusal_answer(refuse("invalid_grant", outcome.reason), facts)
        if outcome.is_over:
            cookies.clear_all(refused, services.cookies)
        return refused
    facts.subject = outcome.subject.sub
    # The page's own token stays good as long as the session does, so that a refresh in one tab breaks no other.
    token = csrf.kept(services.secrets, outcome.session, carried.csrf)
    return _told(cookie_answer(outcome, token, services.cookies), outcome)


def session_of(refresh_token: str, services: Services) -> str:
    """Return the session a refresh token names, for the forgery check; "" when it is not ours."""
    token = parse(services.secrets, refresh_token)
    return "" if token is None else encode(token.session)


def _told(response: web.Response, outcome: Refreshed) -> web.Response:
    response.headers[OUTCOME] = outcome.outcome
    return response
