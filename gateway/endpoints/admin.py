"""The admin listener: is this process alive, is it ready, its metrics, and operations behind a token.

`/livez`, `/readyz`, `/healthz` and `/metrics` need no credential; every other path does, known or not, so that a new
one can never be open by mistake. A browser on the operator's machine must not be steered at it either (DNS rebinding),
so the Host must be one of ours. A user's token is not the admin token and is refused like any other text.

Sources: the health endpoints of the Kubernetes API server, whose verbose form this is; OWASP ASVS 8.4.2.
"""

import asyncio
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from gateway.endpoints.answers import Report
from gateway.endpoints.operations import Operations, add_operations
from gateway.errors import Refusal, Refused, extra_headers, problem, refuse
from gateway.routing.host import normal_host, without_port
from gateway.telemetry.events import asked_by
from gateway.tokens.carriers import bearer

LOOPBACK_NAMES = frozenset((b"localhost", b"127.0.0.1", b"[::1]"))
OPEN = frozenset(("/livez", "/readyz", "/healthz", "/metrics"))

_CHECK_TIMEOUT = 2.0
"""Seconds; a prober gives up about then as well."""

Check = Callable[[], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class AdminServices:
    """What the admin application asks, and whom."""

    checks: Mapping[str, Check]
    """What must hold for this process to get traffic, by name: config, keys, store, feed, running."""
    metrics: Callable[[], tuple[bytes, str]]
    """The exposition and its content type."""
    report: Report
    request_id: Callable[[], str]
    token: Callable[[], str | None] = lambda: None
    """The admin token; without one, operations are refused to everybody."""
    hosts: frozenset[bytes] = LOOPBACK_NAMES
    """Hosts, without ports, under which operations may be asked for."""
    operations: Callable[[], Operations] | None = None
    """What an operator may do about sessions."""
    revoked: Callable[[int], dict[str, object]] = lambda _most: {}
    """Tells what this process knows to be revoked, at most so many."""


def admin(services: AdminServices) -> web.Application:
    """Return the application of the admin listener."""
    app = web.Application(middlewares=[_guard(services)])

    async def livez(_request: web.Request) -> web.StreamResponse:
        return _plain("ok", 200)

    async def readyz(request: web.Request) -> web.StreamResponse:
        return _readiness(request, await _ask_all(services.checks))

    async def metrics(_request: web.Request) -> web.StreamResponse:
        body, content_type = services.metrics()
        return web.Response(body=body, headers={"Content-Type": content_type})

    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/healthz", readyz)
    app.router.add_get("/metrics", metrics)
    if services.operations is not None:
        add_operations(app, services.operations, services.revoked)
    return app


def _guard(services: AdminServices) -> Middleware:
    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        request_id = services.request_id()
        asked_by(request_id, request.remote or "")
        try:
            if request.path not in OPEN:
                _authorise(request, services)
            response = await handler(request)
        except web.HTTPException as error:
            code = {404: "no_route", 405: "method_not_allowed"}.get(error.status, "bad_request")
            response = _refused(refuse(code, allow=error.headers.get("Allow", "")), request_id)
        except Refused as error:
            response = _refused(error.refusal, request_id)
        except Exception as error:  # whatever broke, the answer is a refusal and never the exception's text
            services.report(request_id, error)
            response = _refused(refuse("internal_error"), request_id)
        response.headers["X-Request-Id"] = request_id
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Server"] = "gateway"
        return response

    return guarded


def _authorise(request: web.Request, services: AdminServices) -> None:
    """Raise Refused unless the request carries the admin token and names a Host of ours."""
    hosts = request.headers.getall("Host", [])
    host = normal_host(hosts[0].encode("utf-8", "surrogateescape")) if len(hosts) == 1 else None
    if host is None or without_port(host) not in services.hosts:
        raise Refused(refuse("origin_denied", "admin_host", detail="This host name is not allowed here."))
    given = request.headers.getall("Authorization", [])
    token = bearer(given[0].encode("utf-8", "surrogateescape")) if len(given) == 1 else None
    own = services.token()
    if own is None or not isinstance(token, bytes) or not _same(token, own.encode("utf-8", "surrogateescape")):
        raise Refused(refuse("rule_failed", "admin_token", detail="The admin token is required."))


def _same(given: bytes, expected: bytes) -> bool:
    # Digests first: comparing texts of different lengths in constant time tells their length.
    return hmac.compare_digest(hashlib.sha256(given).digest(), hashlib.sha256(expected).digest())


async def _ask_all(checks: Mapping[str, Check]) -> dict[str, bool]:
    answers = await asyncio.gather(*(_ask(check) for check in checks.values()))
    return dict(zip(checks, answers, strict=True))


async def _ask(check: Check) -> bool:
    try:
        async with asyncio.timeout(_CHECK_TIMEOUT):
            return await check()
    except Exception:  # whatever keeps a check from answering, the answer is "not ready"
        return False


def _readiness(request: web.Request, checks: Mapping[str, bool]) -> web.Response:
    ready = all(checks.values())
    status = 200 if ready else 503
    if "application/json" in request.headers.get("Accept", ""):
        members = {"ready": ready, "checks": {name: "ok" if good else "failed" for name, good in checks.items()}}
        return web.Response(status=status, body=json.dumps(members).encode(), content_type="application/json")
    if ready and "verbose" not in request.query:
        return _plain("ok", status)
    lines = [f"[+]{name} ok" if good else f"[-]{name} failed" for name, good in checks.items()]
    lines.append(f"{request.path.strip('/')} check {'passed' if ready else 'failed'}")
    return _plain("\n".join(lines) + "\n", status)


def _plain(text: str, status: int) -> web.Response:
    return web.Response(status=status, text=text, content_type="text/plain", charset="utf-8")


def _refused(refusal: Refusal, request_id: str) -> web.Response:
    response = web.Response(
        status=refusal.status,
        body=problem(refusal, request_id),
        headers={"Content-Type": "application/problem+json"},
    )
    response.headers.extend(extra_headers(refusal))
    return response
