"""The pages around a login: signing in with a password and a code, going on as who one is, and being signed out.

They are the JSON endpoints' steps with a form in front: `POST /auth/login` is a page's when its query says where to
go from there (`return_to`), which only a path of this site can be. No page leads on by itself to one that could lead
back, so that a cookie which a browser withholds never makes a circle.
"""

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.endpoints import bodies, cookies
from gateway.endpoints.bodies import Fields
from gateway.endpoints.cookies import Carried
from gateway.endpoints.facts import FACTS
from gateway.endpoints.forgery import refuse_foreign_login
from gateway.endpoints.login import code_in, credentials, in_cookies, place_of
from gateway.endpoints.rendering import Renderer, cookies_of, redirect, sentence, with_cookies
from gateway.endpoints.services import Services
from gateway.endpoints.signing_in import CodeNeeded, SignedIn, SigningIn
from gateway.endpoints.visitors import Nobody, by_access, check_form, session_in, visitor
from gateway.errors import Refused, refuse
from gateway.navigation import RETURN, Ask, safe_return
from gateway.tokens import csrf

_AGAIN = frozenset(("invalid_credentials", "rate_limited", "bad_request"))
"""Refusals after which the form is shown once more."""


class LoginPages:
    """Handlers of the pages for people who are not signed in, or not yet."""

    def __init__(self, services: Services, renderer: Renderer) -> None:
        self._services = services
        self._renderer = renderer
        self._base = renderer.base
        self._signing_in = SigningIn(services)

    async def show(self, request: web.Request) -> web.StreamResponse:
        """GET /auth/login."""
        carried = cookies.read(request, self._services.cookies)
        return await self._form(request, carried)

    async def log_in(self, request: web.Request) -> web.StreamResponse:
        """POST /auth/login?return_to=…."""
        carried, fields = await self._checked(request)
        username = bodies.text(fields, "username") or ""
        try:
            asked = credentials({**fields, "mode": "cookie"})
            outcome = await self._signing_in.by_password(asked, place_of(request, self._services))
        except Refused as error:
            return await self._again(request, carried, error, username)
        if isinstance(outcome, CodeNeeded):
            response = self._code(request, fields, outcome.token)
            cookies.set_login(response, outcome.cookie, outcome.expires_in)
            return response
        return await self._in(request, outcome)

    async def log_in_by_code(self, request: web.Request) -> web.StreamResponse:
        """POST /auth/login/mfa?return_to=…."""
        carried, fields = await self._checked(request)
        token = bodies.needed(fields, "mfa_token")
        try:
            signed_in = await self._signing_in.by_code(token, code_in(fields), place_of(request, self._services))
        except Refused as error:
            if error.refusal.code.name == "invalid_grant":
                return await self._again(request, carried, error, "")
            if error.refusal.code.name not in _AGAIN:
                raise
            wrong = error.refusal.code.name == "invalid_credentials"
            problem = "This code is wrong, or was used already." if wrong else sentence(error.refusal)
            return self._code(request, fields, token, error, problem)
        response = await self._in(request, signed_in)
        cookies.set_login(response, "", 0)
        return response

    async def go_on(self, request: web.Request) -> web.StreamResponse:
        """POST /auth/continue?return_to=…: go on as who one is, with fresh cookies when they are needed."""
        services = self._services
        carried = cookies.read(request, services.cookies)
        fields = await bodies.fields(request)
        check_form(request, bodies.text(fields, "csrf_token"), session_in(carried, services), services)
        who = await visitor(request, services)
        if isinstance(who, Nobody):
            return redirect(f"{self._base}/login?{RETURN}={self._way_back(request)}", who.cookies)
        return redirect(self._way_back(request), who.cookies)

    async def signed_out(self, _request: web.Request) -> web.StreamResponse:
        """GET /auth/signed-out."""
        return self._renderer.page("signed-out")

    def _way_back(self, request: web.Request) -> str:
        asked = safe_return(request.query.get(RETURN, ""))
        if asked is None or asked.startswith((f"{self._base}/login", f"{self._base}/continue")):
            return self._renderer.look.home
        return asked

    async def _checked(self, request: web.Request) -> tuple[Carried, Fields]:
        """Return what a form of ours brought; no other is looked at."""
        services = self._services
        refuse_foreign_login(request, services.own_origins)
        carried = cookies.read(request, services.cookies)
        fields = await bodies.fields(request)
        token = bodies.text(fields, "csrf_token")
        own = token is not None and token == carried.csrf
        if not own or not any(csrf.check(services.secrets, session, token or "") for session in self._bound(carried)):
            raise Refused(
                refuse("csrf_failed", "login_page_token", detail="This page was open too long, or cookies are blocked.")
            )
        return carried, fields

    def _bound(self, carried: Carried) -> tuple[str, str]:
        """Return what the token of a login page may be bound to: nothing yet, or the session there is already."""
        return "", session_in(carried, self._services)

    async def _form(
        self, request: web.Request, carried: Carried, *, status: int = 200, problem: str = "", username: str = ""
    ) -> web.Response:
        services = self._services
        identity = by_access(carried, services)
        session = session_in(carried, services)
        token = csrf.kept(services.secrets, session, carried.csrf)
        # A link from another site brings no SameSite=Strict cookies; the same page asked for from here does.
        elsewhere = request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site")
        ask = Ask.read(request.query)
        needs_factor = ask is Ask.SECOND_FACTOR
        response = self._renderer.page(
            "login",
            status,
            problem=problem,
            username=username,
            csrf=token,
            return_to=self._way_back(request),
            asked=ask.value,
            factor=await services.second_factor.state(identity.subject) if identity and needs_factor else None,
            known_as=identity.subject if identity is not None else ("" if session else None),
            may_be_known=elsewhere and bool(request.query.get(RETURN)),
        )
        if token != carried.csrf:
            with_cookies(response, (cookies.csrf_line(token),))
        return response

    async def _again(self, request: web.Request, carried: Carried, error: Refused, username: str) -> web.Response:
        refusal = error.refusal
        if refusal.code.name not in _AGAIN and refusal.code.name != "invalid_grant":
            raise error
        facts = request[FACTS]
        facts.code, facts.reason = refusal.code.name, refusal.reason
        wrong = refusal.code.name == "invalid_credentials"
        problem = "User name or password is wrong." if wrong else sentence(refusal)
        response = await self._form(request, carried, status=refusal.status, problem=problem, username=username)
        if refusal.retry_after is not None:
            response.headers["Retry-After"] = str(refusal.retry_after)
        return response

    def _code(
        self, request: web.Request, fields: Fields, token: str, error: Refused | None = None, problem: str = ""
    ) -> web.Response:
        if error is not None:
            facts = request[FACTS]
            facts.code, facts.reason = error.refusal.code.name, error.refusal.reason
        return self._renderer.page(
            "code",
            200 if error is None else error.refusal.status,
            problem=problem,
            csrf=fields["csrf_token"],
            mfa_token=token,
            return_to=self._way_back(request),
            asked=Ask.read(request.query).value,
        )

    async def _in(self, request: web.Request, signed_in: SignedIn) -> web.Response:
        request[FACTS].subject = signed_in.login.subject.sub
        granted = await in_cookies(request, signed_in, self._services)
        return redirect(self._way_back(request), cookies_of(granted))


def by_form(page: Handler, api: Handler) -> Handler:
    """Return *page* for a form whose query says where to go from there, *api* for everything else."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return await (page if RETURN in request.query else api)(request)

    return handle
