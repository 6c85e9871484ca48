"""The application below `/auth`: an ordinary aiohttp application, reached as the built-in upstream.

The gateway's own limits come first and are the tighter ones, so that every refusal is worded in `gateway.errors` and
none by aiohttp; `SERVER_LIMITS` is what its server must be told to stay out of the way.
"""

from typing import TypedDict

from aiohttp import http_parser, web

from gateway.endpoints import account
from gateway.endpoints.answers import guard
from gateway.endpoints.bodies import MAX_BODY
from gateway.endpoints.login import login, second_step
from gateway.endpoints.logout import logout
from gateway.endpoints.oauth import introspect, token
from gateway.endpoints.refresh import refresh
from gateway.endpoints.services import Services
from gateway.endpoints.session import csrf_token, session
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
        middlewares=[guard(services.facts_of, services.report)],
        client_max_size=4 * MAX_BODY,
    )
    app.router.add_post(f"{base}/login", login(services))
    app.router.add_post(f"{base}/login/mfa", second_step(services))
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
    if services.clients:
        app.router.add_post(f"{base}/introspect", introspect(services))
    app.router.add_get(JWKS_PATH, jwks(services.ring, services.jwks_max_age))
    if services.origin:
        described = metadata(services.verifier.issuer, services.origin, offer(services), services.jwks_max_age)
        app.router.add_get(METADATA_PATH, described)
    return app
