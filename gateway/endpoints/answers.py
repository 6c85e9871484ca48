"""How answers below `/auth` look, the good ones and the refusals (identity.md section 5, RFC 6749 sections 5.1, 5.2).

Every answer forbids caching and sniffing; a handler that wants otherwise (the public keys) says so itself. A refusal
is the OAuth form of `gateway.errors`, and nothing that a client sent or an exception said is ever part of it.
"""

import json
from collections.abc import Callable, Mapping

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from gateway.endpoints.facts import ASKED, FACTS, Facts, FactsOf
from gateway.errors import KeyUnknown, Refusal, Refused, StoreUnavailable, extra_headers, oauth_error, refuse
from gateway.telemetry.events import asked_by

Report = Callable[[str, BaseException], None]
"""Told the request id and an exception that nobody expected; a bug, to be logged with its traceback."""

JSON = "application/json; charset=utf-8"

STORE_RETRY = 2
"""Seconds after which a client may ask again when the store did not answer."""

# aiohttp would name itself and Python with their versions.
_ALWAYS = (("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer"), ("Server", "gateway"))
# Pragma speaks to HTTP/1.0 caches; RFC 6749 section 5.1 asks for both.
_UNCACHED = (("Cache-Control", "no-store"), ("Pragma", "no-cache"))

# What aiohttp's own router and reader may refuse, in our words.
_OF_STATUS = {404: "no_route", 405: "method_not_allowed", 413: "body_too_large", 415: "unsupported_media_type"}


def answer(members: Mapping[str, object]) -> web.Response:
    """Return a 200 with *members* as its JSON object."""
    return web.Response(body=json.dumps(members).encode(), headers={"Content-Type": JSON})


def refusal_answer(refusal: Refusal, facts: Facts, more: Mapping[str, object] | None = None) -> web.Response:
    """Return *refusal* in the OAuth form, with *more* members, and note it for the access log."""
    facts.code = refusal.code.name
    facts.reason = refusal.reason
    response = web.Response(
        status=refusal.status,
        body=oauth_error(refusal, facts.request_id, more),
        headers={"Content-Type": JSON},
    )
    response.headers.extend(extra_headers(refusal))
    return response


Audit = Callable[[str, Mapping[str, object]], None]
"""Told an event and its facts."""


def guard(facts_of: FactsOf, report: Report, audit: Audit = lambda event, facts: None) -> Middleware:
    """Return the middleware around every handler: finds the facts, translates what is raised, adds the headers.

    What has changed, or was meant to change, is told to *audit*, whatever came of it (ASVS 16.3).
    """

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        facts = request[FACTS] = facts_of(request)
        asked_by(facts.request_id, facts.client_address)
        try:
            response = await _handled(handler, request)
        except web.HTTPException as error:
            response = refusal_answer(_of_http(error), facts)
        except Refused as error:
            response = refusal_answer(error.refusal, facts)
        except StoreUnavailable as error:
            refusal = refuse("store_unavailable", f"store:{error.kind}", retry_after=STORE_RETRY)
            response = refusal_answer(refusal, facts)
        except Exception as error:  # a bug must end in a refusal, never in an answer that could pass for success
            report(facts.request_id, error)
            response = refusal_answer(refuse("internal_error", type(error).__name__), facts)
        _finish(response, facts)
        if request.method not in _READING:
            audit("authentication", _for_audit(request, response, facts))
        return response

    return guarded


_READING = frozenset(("GET", "HEAD", "OPTIONS"))


def _for_audit(request: web.Request, response: web.StreamResponse, facts: Facts) -> dict[str, object]:
    """Return who did what, from where, and what came of it: names of ours only, nothing that a client wrote."""
    route = request.match_info.route.resource
    members = {
        "action": "unknown" if route is None else f"{request.method} {route.canonical}",
        "status": response.status,
        "code": facts.code,
        "reason": facts.reason,
        "sub": facts.subject or "",
        "client_ip": facts.client_address,
        "request_id": facts.request_id,
    }
    return {name: value for name, value in members.items() if value != ""}


async def _handled(handler: Handler, request: web.Request) -> web.StreamResponse:
    """Ask *handler*; once more when a token named a key that another gateway may have made a moment ago."""
    try:
        return await handler(request)
    except KeyUnknown as error:
        await error.wait()
        request[ASKED] = True
    return await handler(request)


def _of_http(error: web.HTTPException) -> Refusal:
    allow = error.headers.get("Allow", "") if error.status == 405 else ""
    return refuse(_OF_STATUS.get(error.status, "bad_request"), f"http_{error.status}", allow=allow)


def _finish(response: web.StreamResponse, facts: Facts) -> None:
    headers = response.headers
    headers["X-Request-Id"] = facts.request_id
    for name, value in _ALWAYS:
        headers.setdefault(name, value)
    if "Cache-Control" not in headers:
        for name, value in _UNCACHED:
            headers[name] = value
