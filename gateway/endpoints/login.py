"""POST /auth/login and POST /auth/login/mfa: credentials in, a session out.

Order: a foreign page is refused before its body is read; the body must be readable in one way; the brake on guessing
gives a turn; only then is the password looked at. Whatever session the browser had before plays no part (fixation),
and ends when the browser is given another.
"""

import re
from contextlib import suppress

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.endpoints import bodies, cookies
from gateway.endpoints.answers import refusal_answer
from gateway.endpoints.facts import FACTS
from gateway.endpoints.forgery import refuse_foreign_login
from gateway.endpoints.granted import bearer_answer, cookie_answer
from gateway.endpoints.services import Services
from gateway.endpoints.signing_in import CodeNeeded, Credentials, Place, SignedIn, SigningIn
from gateway.errors import Refused, StoreUnavailable, refuse
from gateway.tokens import csrf
from gateway.users.passwords import MAX_PASSWORD_BYTES

_MAX_NAME = 1024
_MAX_CODE = 128
_MAX_LABEL = 128
"""Longest device name or user agent that is kept for the person's own list of sessions."""

# RFC 6749 section 3.3.
SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*")


def login(services: Services) -> Handler:
    """Return the handler of the first step."""
    signing_in = SigningIn(services)

    async def handle(request: web.Request) -> web.StreamResponse:
        refuse_foreign_login(request, services.own_origins, services.friends)
        fields = await bodies.fields(request)
        check_page_token(request, fields, services)
        asked = credentials(fields)
        if asked.by_cookie and not services.cookies.allowed:
            raise Refused(refuse("bad_request", "cookies_off", detail="Logins by cookie are switched off here."))
        match await signing_in.by_password(asked, place_of(request, services)):
            case SignedIn() as signed_in:
                return await _granted(request, signed_in, services)
            case CodeNeeded() as needed:
                return code_needed_answer(request, needed)

    return handle


def second_step(services: Services) -> Handler:
    """Return the handler of the second step."""
    signing_in = SigningIn(services)

    async def handle(request: web.Request) -> web.StreamResponse:
        refuse_foreign_login(request, services.own_origins, services.friends)
        fields = await bodies.fields(request)
        token = bodies.needed(fields, "mfa_token")
        signed_in = await signing_in.by_code(token, code_in(fields), place_of(request, services))
        response = await _granted(request, signed_in, services)
        if signed_in.by_cookie:
            cookies.set_login(response, "", 0)
        return response

    return handle


def code_in(fields: bodies.Fields) -> str:
    """Return the code of a body, without the spaces that apps show in it; raises as `bodies.needed`."""
    bodies.text(fields, "code", longest=_MAX_CODE)
    return bodies.needed(fields, "code").replace(" ", "")


def code_needed_answer(request: web.Request, needed: CodeNeeded) -> web.Response:
    """Return the 403 that asks for the second step."""
    more = {"mfa_token": needed.token, "methods": needed.methods, "expires_in": needed.expires_in}
    response = refusal_answer(refuse("mfa_required"), request[FACTS], more)
    if needed.by_cookie:
        cookies.set_login(response, needed.cookie, needed.expires_in)
    return response


async def _granted(request: web.Request, signed_in: SignedIn, services: Services) -> web.Response:
    request[FACTS].subject = signed_in.login.subject.sub
    if signed_in.by_cookie:
        return await in_cookies(request, signed_in, services)
    return bearer_answer(request, signed_in.login)


async def in_cookies(request: web.Request, signed_in: SignedIn, services: Services) -> web.Response:
    """Return the answer of a login by cookie; raises Refused (internal_error) when a browser would drop one."""
    outcome = signed_in.login
    try:
        response = cookie_answer(outcome, csrf.mint(services.secrets, outcome.session), services.cookies)
    except Refused:
        # A browser would drop a cookie, so nobody could use this session: end it, and fail loudly.
        await services.sessions.logout(outcome.session, subject=outcome.subject.sub, tenant=outcome.subject.tenant)
        raise
    cookies.set_device(response, signed_in.device_mark)
    before = cookies.read(request, services.cookies).refresh
    if before is not None:
        # This browser holds it no longer, and nobody else should (OWASP ASVS 7.2.4).
        with suppress(StoreUnavailable):
            await services.sessions.logout_by_refresh(before)
    return response


def place_of(request: web.Request, services: Services) -> Place:
    """Return where *request* comes from."""
    carried = cookies.read(request, services.cookies)
    agent = _label(request.headers.get("User-Agent", ""))
    return Place(request[FACTS].client_address, agent, carried.login, carried.device)


def check_page_token(request: web.Request, fields: bodies.Fields, services: Services) -> None:
    """Check the token of `GET /auth/csrf` that a login page's form carries: it must be this browser's own."""
    token = bodies.text(fields, "csrf_token")
    if token is None:
        return
    if token != cookies.read(request, services.cookies).csrf or not csrf.check(services.secrets, "", token):
        raise Refused(refuse("csrf_failed", "login_page_token"))


def credentials(fields: bodies.Fields) -> Credentials:
    """Return what a login asks for; raises Refused (bad_request)."""
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
