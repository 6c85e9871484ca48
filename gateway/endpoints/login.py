"""POST /auth/login: credentials in, a session out.

Order: a foreign page is refused before its body is read; the body must be readable in one way; the brake on guessing
gives a turn; only then is the password looked at. Whatever session the browser had before plays no part (fixation).
"""

import re
from typing import NamedTuple

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.endpoints import bodies, cookies
from gateway.endpoints.answers import refusal_answer
from gateway.endpoints.facts import FACTS
from gateway.endpoints.forgery import refuse_foreign_login
from gateway.endpoints.granted import bearer_answer, cookie_answer
from gateway.endpoints.services import Services
from gateway.errors import Refused, refuse
from gateway.sessions.answers import BadCredentials, Login
from gateway.tokens import csrf
from gateway.users.passwords import MAX_PASSWORD_BYTES

_MAX_NAME = 1024
_MAX_LABEL = 128
"""Longest device name or user agent that is kept for the person's own list of sessions."""

# RFC 6749 section 3.3.
SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*")


class Credentials(NamedTuple):
    """What a login asks for."""

    username: str
    password: str
    by_cookie: bool
    scope: str | None
    device: str | None

    def __repr__(self) -> str:
        return "Credentials(...)"


def login(services: Services) -> Handler:
    """Return the handler."""

    async def handle(request: web.Request) -> web.StreamResponse:
        facts = request[FACTS]
        refuse_foreign_login(request, services.own_origins)
        fields = await bodies.fields(request)
        _check_page_token(request, fields, services)
        asked = _credentials(fields)
        async with services.turnstile.attempt(asked.username, facts.client_address) as attempt:
            outcome = await services.sessions.login(
                username=asked.username,
                password=asked.password,
                scope=asked.scope,
                device=asked.device,
                user_agent=_label(request.headers.get("User-Agent", "")),
                address=facts.client_address,
            )
            if isinstance(outcome, BadCredentials):
                attempt.failed()
                return refusal_answer(refuse("invalid_credentials", outcome.reason), facts)
            attempt.succeeded()
        facts.subject = outcome.subject.sub
        if asked.by_cookie:
            return await _in_cookies(outcome, services)
        return bearer_answer(request, outcome)

    return handle


async def _in_cookies(outcome: Login, services: Services) -> web.Response:
    try:
        return cookie_answer(outcome, csrf.mint(services.secrets, outcome.session), services.cookies)
    except Refused:
        # A browser would drop a cookie, so nobody could use this session: end it, and fail loudly.
        await services.sessions.logout(outcome.session, subject=outcome.subject.sub, tenant=outcome.subject.tenant)
        raise


def _check_page_token(request: web.Request, fields: bodies.Fields, services: Services) -> None:
    """Check the token of `GET /auth/csrf` that a login page's form carries: it must be this browser's own."""
    token = bodies.text(fields, "csrf_token")
    if token is None:
        return
    if token != cookies.read(request).csrf or not csrf.check(services.secrets, "", token):
        raise Refused(refuse("csrf_failed", "login_page_token"))


def _credentials(fields: bodies.Fields) -> Credentials:
    username = bodies.needed(fields, "username")
    if len(username) > _MAX_NAME:
        raise Refused(refuse("bad_request", "username_too_long", detail="The user name is too long."))
    password = bodies.needed(fields, "password")
    if len(password.encode()) > MAX_PASSWORD_BYTES:
        raise Refused(refuse("bad_request", "password_too_long", detail="The password is too long."))
    mode = bodies.text(fields, "mode") or "bearer"
    if mode not in ("bearer", "cookie"):
        raise Refused(refuse("bad_request", "member_mode", detail="The mode must be bearer or cookie."))
    scope = bodies.text(fields, "scope") or None
    if scope is not None and SCOPE.fullmatch(scope) is None:
        raise Refused(refuse("bad_request", "member_scope", detail="The scope is malformed."))
    device = bodies.text(fields, "device")
    return Credentials(username, password, mode == "cookie", scope, None if device is None else _label(device))


def _label(text: str) -> str:
    """Return *text* cut short, and without what could break a line or hide itself in a log."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text[:_MAX_LABEL])
