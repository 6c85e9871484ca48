"""Making pages: templates, the headers that keep them safe, and errors that a person can read.

No script runs in them and none is needed, nothing of another site is loaded, no frame may hold them, and no form of
theirs can be sent elsewhere: the policy says so to the browser, so a mistake in a template stays a mistake.
"""

from collections.abc import Mapping

import jinja2
from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.endpoints.answers import STORE_RETRY
from gateway.endpoints.facts import FACTS
from gateway.endpoints.look import Look, version
from gateway.errors import Refusal, Refused, StoreUnavailable, refuse
from gateway.navigation import Ask

POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": POLICY,
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Not no-referrer: our own forms would then be sent with `Origin: null`, which proves nothing.
    "Referrer-Policy": "same-origin",
    "Vary": "Cookie",
}

_WORDS = {
    "csrf_failed": ("Please try again", "This page could not be told from a forgery. It may have been open too long."),
    "rate_limited": ("Too many tries", "Please wait a little and try again."),
    "store_unavailable": ("Not just now", "Part of this service cannot be reached. Please try again soon."),
    "overloaded": ("Not just now", "Too much is going on. Please try again soon."),
    "login_too_old": ("Sign in again", "For this, you must have signed in within the last ten minutes."),
    "no_route": ("Not found", "There is nothing here."),
    "internal_error": ("Something went wrong", "It is not your fault. Please try again."),
}
_OTHER = ("That did not work", "Please go back and try again.")


def sentence(refusal: Refusal) -> str:
    """Return what a person is told of *refusal*."""
    return refusal.detail or _WORDS.get(refusal.code.name, _OTHER)[1]


class Renderer:
    """Makes answers out of templates."""

    def __init__(self, look: Look, base: str) -> None:
        self.look = look
        self.base = base
        self._templates = jinja2.Environment(
            loader=jinja2.PackageLoader("gateway.endpoints", "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals.update(
            look=look,
            base=base,
            css_version=version(look.stylesheet),
            logo_version="" if look.logo is None else version(look.logo.content),
        )

    def page(self, template: str, status: int = 200, **values: object) -> web.Response:
        """Return *template* filled with *values*."""
        text = self._templates.get_template(f"{template}.html").render(values)
        return web.Response(status=status, text=text, headers=_HEADERS)

    def refusal(self, request: web.Request, refusal: Refusal) -> web.Response:
        """Return the page that tells of *refusal*, with a way on."""
        facts = request[FACTS]
        facts.code, facts.reason = refusal.code.name, refusal.reason
        again = refusal.code.name == "login_too_old"
        response = self.page(
            "error",
            refusal.status,
            heading=_WORDS.get(refusal.code.name, _OTHER)[0],
            problem=sentence(refusal),
            way_on=f"{self.base}/login?return_to={self.base}/account&{Ask.RECENT.value}"
            if again
            else f"{self.base}/account",
            way_on_text="Sign in" if again else "Go on",
            request_id=facts.request_id,
        )
        if refusal.retry_after is not None:
            response.headers["Retry-After"] = str(refusal.retry_after)
        response.headers["X-Gateway-Error"] = refusal.code.name
        return response

    def guarded(self, handler: Handler) -> Handler:
        """Return *handler* with its refusals as pages; a bug is the application's to report."""

        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                return await handler(request)
            except Refused as error:
                return self.refusal(request, error.refusal)
            except StoreUnavailable:
                return self.refusal(request, refuse("store_unavailable", "store", retry_after=STORE_RETRY))

        return handle


def redirect(place: str, cookies: tuple[str, ...] = ()) -> web.Response:
    """Return 303 to *place*, which a browser then asks for with GET (RFC 9110 section 15.4.4)."""
    response = web.Response(status=303, headers={"Location": place})
    with_cookies(response, cookies)
    return response


def with_cookies(response: web.StreamResponse, cookies: tuple[str, ...]) -> None:
    """Add `Set-Cookie` lines."""
    for line in cookies:
        response.headers.add("Set-Cookie", line)


def cookies_of(response: web.StreamResponse) -> tuple[str, ...]:
    """Return the `Set-Cookie` lines of another answer."""
    return tuple(response.headers.getall("Set-Cookie", []))


def file_answer(content: bytes, kind: str, headers: Mapping[str, str] | None = None) -> Handler:
    """Return the handler of a file that never changes while this application runs."""
    tag = f'"{version(content)}"'

    async def handle(request: web.Request) -> web.StreamResponse:
        fixed = {"Cache-Control": "public, max-age=3600", "ETag": tag, **(headers or {})}
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers=fixed)
        return web.Response(body=content, headers={**fixed, "Content-Type": kind})

    return handle
