"""The account page: where a person is signed in, their password, their second factor. Every change is a form."""

import re
from base64 import b64encode
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.endpoints import account, bodies, cookies
from gateway.endpoints.bodies import Fields
from gateway.endpoints.facts import FACTS
from gateway.endpoints.login import code_in, place_of
from gateway.endpoints.rendering import Renderer, redirect, sentence, with_cookies
from gateway.endpoints.services import Services
from gateway.endpoints.visitors import Nobody, Visitor, check_form, session_in, visitor
from gateway.errors import Refused, refuse
from gateway.sessions.outcomes import SessionView

_DONE = {
    "ended": "That session was ended.",
    "others": "All other sessions were ended.",
    "password": "Your password was changed, and all other sessions were ended.",
    "off": "Your second factor is off.",
}
"""What the page says after a change; the address names only the word."""
_AGAIN = frozenset(("invalid_credentials", "bad_request", "rate_limited"))

Action = Callable[[web.Request, Visitor, Fields], Awaitable[web.Response]]


class AccountPage:
    """Handlers of the page and of its forms."""

    def __init__(self, services: Services, renderer: Renderer) -> None:
        self._services = services
        self._renderer = renderer
        self._base = renderer.base
        self._actions: dict[str, Action] = {
            "sign-out": self._sign_out,
            "sign-out-everywhere": self._sign_out_everywhere,
            "end": self._end,
            "end-others": self._end_others,
            "password": self._password,
            "enrol": self._enrol,
            "confirm": self._confirm,
            "recovery-codes": self._recovery_codes,
            "disable-second-factor": self._disable,
        }

    def routes(self) -> dict[str, Handler]:
        """Return the handler of every form, by the last part of its path."""
        return {name: self._form(action) for name, action in self._actions.items()}

    async def show(self, request: web.Request) -> web.StreamResponse:
        """GET /auth/account."""
        who = await visitor(request, self._services)
        if isinstance(who, Nobody):
            return self._to_login(who)
        return await self._page(who, done=_DONE.get(request.query.get("done", ""), ""))

    def _to_login(self, nobody: Nobody) -> web.Response:
        return redirect(f"{self._base}/login?return_to={self._base}/account", nobody.cookies)

    def _form(self, action: Action) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            services = self._services
            session = session_in(cookies.read(request, services.cookies), services)
            fields = await bodies.fields(request)
            check_form(request, bodies.text(fields, "csrf_token"), session, services)
            who = await visitor(request, services)
            if isinstance(who, Nobody):
                return self._to_login(who)
            try:
                response = await action(request, who, fields)
            except Refused as error:
                if error.refusal.code.name not in _AGAIN:
                    raise
                facts = request[FACTS]
                facts.code, facts.reason = error.refusal.code.name, error.refusal.reason
                return await self._page(who, status=error.refusal.status, problem=_problem(error))
            if "Set-Cookie" not in response.headers:  # the end of a session brings its own
                with_cookies(response, who.cookies)
            return response

        return handle

    async def _page(self, who: Visitor, *, status: int = 200, problem: str = "", done: str = "") -> web.Response:
        services, identity = self._services, who.identity
        now = services.clock.wall()
        views = await services.sessions.sessions(subject=identity.subject, tenant=identity.tenant)
        person = await account.person(identity, services)
        response = self._renderer.page(
            "account",
            status,
            name=person.username or identity.subject,
            roles=sorted(identity.roles),
            problem=problem,
            done=done,
            csrf=who.csrf,
            sessions=[_line(view, identity.session, now) for view in reversed(views)],
            can_change_password=services.passwords.possible,
            factor=await services.second_factor.state(identity.subject),
        )
        with_cookies(response, who.cookies)
        return response

    # --- what its forms do ---

    async def _sign_out(self, _request: web.Request, who: Visitor, _fields: Fields) -> web.Response:
        identity = who.identity
        await self._services.sessions.logout(identity.session, subject=identity.subject, tenant=identity.tenant)
        return redirect(f"{self._base}/signed-out", cookies.clearing(self._services.cookies))

    async def _sign_out_everywhere(self, _request: web.Request, who: Visitor, _fields: Fields) -> web.Response:
        await self._services.sessions.logout_everywhere(subject=who.identity.subject, tenant=who.identity.tenant)
        return redirect(f"{self._base}/signed-out", cookies.clearing(self._services.cookies))

    async def _end(self, _request: web.Request, who: Visitor, fields: Fields) -> web.Response:
        session, identity = bodies.needed(fields, "session"), who.identity
        # Somebody else's session is as unknown here as one that never was.
        await self._services.sessions.end(session, subject=identity.subject, tenant=identity.tenant)
        return self._done("ended")

    async def _end_others(self, _request: web.Request, who: Visitor, _fields: Fields) -> web.Response:
        identity = who.identity
        await self._services.sessions.logout_others(identity.session, subject=identity.subject, tenant=identity.tenant)
        return self._done("others")

    async def _password(self, request: web.Request, who: Visitor, fields: Fields) -> web.Response:
        current, new = bodies.needed(fields, "current_password"), bodies.needed(fields, "new_password")
        if bodies.text(fields, "again") != new:
            raise Refused(refuse("bad_request", "password_again", detail="The new passwords are not the same."))
        await account.change_password(who.identity, current, new, place_of(request, self._services), self._services)
        return self._done("password")

    async def _enrol(self, _request: web.Request, who: Visitor, _fields: Fields) -> web.Response:
        self._needs_fresh_login(who)
        person = await account.person(who.identity, self._services)
        made = self._services.second_factor.enrol(person.sub, person.username)
        picture = "data:image/svg+xml;base64," + b64encode(made.qr_svg.encode()).decode()
        return self._renderer.page(
            "enrol", problem="", qr=picture, secret=made.secret, enrolment=made.token, csrf=who.csrf
        )

    async def _confirm(self, request: web.Request, who: Visitor, fields: Fields) -> web.Response:
        self._needs_fresh_login(who)
        enrolment, address = bodies.needed(fields, "enrolment"), request[FACTS].client_address
        try:
            codes = await self._services.second_factor.confirm(
                who.identity.subject, enrolment, code_in(fields), address
            )
        except Refused as error:
            if error.refusal.code.name != "invalid_credentials":
                raise
            return self._renderer.page(
                "enrol",
                error.refusal.status,
                problem="This code is wrong. Type the one that the app shows now.",
                qr="",
                secret="",
                enrolment=enrolment,
                csrf=who.csrf,
            )
        return self._renderer.page("codes", codes=codes)

    async def _recovery_codes(self, request: web.Request, who: Visitor, fields: Fields) -> web.Response:
        self._needs_fresh_login(who)
        codes = await self._services.second_factor.renew(
            who.identity.subject, code_in(fields), request[FACTS].client_address
        )
        return self._renderer.page("codes", codes=codes)

    async def _disable(self, request: web.Request, who: Visitor, fields: Fields) -> web.Response:
        self._needs_fresh_login(who)
        await self._services.second_factor.disable(who.identity.subject, code_in(fields), request[FACTS].client_address)
        return self._done("off")

    def _needs_fresh_login(self, who: Visitor) -> None:
        if self._services.clock.wall() - who.identity.auth_time > account.FRESH:
            raise Refused(refuse("login_too_old", "account"))

    def _done(self, what: str) -> web.Response:
        return redirect(f"{self._base}/account?done={what}")


def _problem(error: Refused) -> str:
    if error.refusal.code.name == "invalid_credentials":
        return "That is not right. Nothing was changed."
    return sentence(error.refusal)


def _line(view: SessionView, current: str, now: float) -> dict[str, object]:
    return {
        "session": view.session,
        "current": view.session == current,
        "device": view.device or device_of(view.user_agent),
        "used": ago(view.used_ms, now),
        "created": ago(view.created_ms, now),
        "address": view.address,
    }


_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR", "Opera"),
    ("Firefox", "Firefox"),
    ("HeadlessChrome", "Chrome"),
    ("Chrome", "Chrome"),
    ("CriOS", "Chrome"),
    ("FxiOS", "Firefox"),
    ("Safari", "Safari"),
    ("Version/", "Safari"),  # on a phone it names itself behind the part that is kept
    ("curl", "curl"),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


def device_of(user_agent: str) -> str:
    """Return what a person would call the device of *user_agent*: a browser and a system, as far as it tells."""
    browser = next((name for mark, name in _BROWSERS if mark in user_agent), "")
    system = next((name for mark, name in _SYSTEMS if mark in user_agent), "")
    if browser and system:
        return f"{browser} on {system}"
    first = re.match(r"[A-Za-z][\w.-]{0,30}", user_agent)
    return browser or system or (first[0] if first else "Unknown device")


def ago(milliseconds: int, now: float) -> str:
    """Return how long before *now* a Unix time was, in words; the day once it is more than a week."""
    then = milliseconds / 1000
    seconds = max(0, int(now - then))
    if seconds < 60:
        return "just now"
    for length, word in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= length:
            count = seconds // length
            if word == "day" and count > 7:
                return f"on {datetime.fromtimestamp(then, UTC):%-d %B %Y}"
            return f"{count} {word}{'' if count == 1 else 's'} ago"
    return "just now"
