"""The application below `/auth`: an ordinary aiohttp application, reached as the built-in upstream.

The gateway's own limits come first and are the tighter ones, so that every refusal is worded in `gateway.errors` and
none by aiohttp; `SERVER_LIMITS` is what its server must be told to stay out of the way.
"""

from typing import TypedDict

from aiohttp import http_parser, web
from aiohttp.typedefs import Handler

from gateway.endpoints import account
from gateway.endpoints.account_page import AccountPage
from gateway.endpoints.answers import guard
from gateway.endpoints.bodies import MAX_BODY
from gateway.endpoints.login import login, second_step
from gateway.endpoints.logout import logout
from gateway.endpoints.look import Look, static
from gateway.endpoints.oauth import introspect, token
from gateway.endpoints.pages import LoginPages, by_form
from gateway.endpoints.refresh import refresh
from gateway.endpoints.rendering import Renderer, file_answer
from gateway.endpoints.revoke import revoke
from gateway.endpoints.services import Services
from gateway.endpoints.session import csrf_token, session
from gateway.endpoints.sessions import end_session, sessions
from gateway.endpoints.sharing import sharing
from gateway.endpoints.wellknown import JWKS_PATH, METADATA_PATH, jwks, metadata, offer
from gateway.errors import ConfigError


class ServerLimits(TypedDict):
    """Keyword arguments of `web.AppRunner` and `web.Server`."""

    max_line_size: int
    max_field_size: int
    max_headers: int


# Far above anything the downstream connection lets pass, whatever the operator configures there.
SERVER_LIMITS = ServerLimits(max_line_size=1024 * 1024, max_field_size=1024 * 1024, max_headers=10_000)


def require_compiled_parser() -> None:
    """Make sure that aiohttp reads HTTP with its compiled parser (safety.md A17).

    The one in Python reads some chunk extensions as a second request (CVE-2024-52304 and its kind).

    Raises:
        ConfigError: it does not; AIOHTTP_NO_EXTENSIONS is set, or aiohttp was built without it.
    """
    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        raise ConfigError(
            "aiohttp has loaded its HTTP parser in Python, which is not safe: unset AIOHTTP_NO_EXTENSIONS, "
            "or install aiohttp from a wheel"
        )


def application(services: Services) -> web.Application:
    """Return the application with everything under `services.base_path`, the public keys and the metadata."""
    base = services.base_path.rstrip("/")
    app = web.Application(
        middlewares=[
            *([] if services.cors is None else [sharing(services.cors, base)]),
            guard(services.facts_of, services.report, services.audit),
        ],
        client_max_size=4 * MAX_BODY,
    )
    first, second = login(services), second_step(services)
    if services.look is not None and services.cookies.allowed:
        first, second = _pages(app, base, services, services.look, first, second)
    if services.cookies.allowed:
        # Public, and fetched as a module by pages of other origins too.
        shared = {"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"}
        script = file_answer(static("client.js").encode(), "text/javascript; charset=utf-8", shared)
        app.router.add_get(f"{base}/client.js", script)
    app.router.add_post(f"{base}/login", first)
    app.router.add_post(f"{base}/login/mfa", second)
    app.router.add_post(f"{base}/password", account.password(services))
    app.router.add_get(f"{base}/second-factor", account.factor_state(services))
    app.router.add_post(f"{base}/second-factor/enrol", account.enrol(services))
    app.router.add_post(f"{base}/second-factor/confirm", account.confirm(services))
    app.router.add_post(f"{base}/second-factor/recovery-codes", account.recovery_codes(services))
    app.router.add_post(f"{base}/second-factor/disable", account.disable(services))
    app.router.add_post(f"{base}/refresh", refresh(services))
    app.router.add_post(f"{base}/logout", logout(services))
    app.router.add_get(f"{base}/session", session(services))
    app.router.add_get(f"{base}/csrf", csrf_token(services))
    app.router.add_post(f"{base}/token", token(services))
    app.router.add_get(f"{base}/sessions", sessions(services))
    app.router.add_delete(f"{base}/sessions/{{id}}", end_session(services))
    app.router.add_post(f"{base}/revoke", revoke(services))
    if services.clients:
        app.router.add_post(f"{base}/introspect", introspect(services))
    app.router.add_get(JWKS_PATH, jwks(services.ring, services.jwks_max_age))
    if services.origin:
        described = metadata(services.verifier.issuer, services.origin, offer(services), services.jwks_max_age)
        app.router.add_get(METADATA_PATH, described)
    return app


def _pages(
    app: web.Application, base: str, services: Services, look: Look, first: Handler, second: Handler
) -> tuple[Handler, Handler]:
    """Add the pages; return the two steps of a login with the pages' forms in front."""
    renderer = Renderer(look, base)
    logins, own = LoginPages(services, renderer), AccountPage(services, renderer)
    shown = {"login": logins.show, "signed-out": logins.signed_out, "account": own.show}
    for name, page in shown.items():
        app.router.add_get(f"{base}/{name}", renderer.guarded(page))
    app.router.add_post(f"{base}/continue", renderer.guarded(logins.go_on))
    for name, form in own.routes().items():
        app.router.add_post(f"{base}/account/{name}", renderer.guarded(form))
    app.router.add_get(f"{base}/pages.css", file_answer(look.stylesheet.encode(), "text/css; charset=utf-8"))
    if look.logo is not None:
        # An image of SVG is a document too, when somebody opens it.
        guarded = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox"}
        app.router.add_get(f"{base}/logo", file_answer(look.logo.content, look.logo.kind, guarded))
    return by_form(renderer.guarded(logins.log_in), first), by_form(renderer.guarded(logins.log_in_by_code), second)
