"""Everything the gateway may refuse, why, and the words the client gets.

One table, `CODES`, holds each stable `code` with its HTTP status, whose fault it is, and the fixed sentence a client
may read. A `Refusal` is a value: one code plus the finer `reason`, which goes to the log and never to the client.
`Refused` is the same value as an exception, for code that stands in the middle of an I/O conversation.

Sources: RFC 9457 (problem details), RFC 6750 section 3 (bearer challenges), RFC 6749 section 5.2 (OAuth errors).
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from typing import NamedTuple, Protocol, final


class Source(Enum):
    """Whose doing a refusal is; decides the level at which it is logged."""

    CLIENT = "client"
    GATEWAY = "gateway"
    UPSTREAM = "upstream"
    STORE = "store"


class Code(NamedTuple):
    """One stable refusal code: what the client may rely on."""

    name: str
    status: int
    title: str
    detail: str
    source: Source = Source.CLIENT
    oauth: str = "invalid_request"
    """The `error` of the OAuth form used below `/auth`."""
    bearer: str | None = None
    """The `error` of the `WWW-Authenticate: Bearer` challenge; "" asks for a challenge without error (RFC 6750 3.1)."""
    headers: tuple[tuple[str, str], ...] = ()
    """Fields that always come with it."""


_C, _G, _U, _S = Source.CLIENT, Source.GATEWAY, Source.UPSTREAM, Source.STORE
_LATER = "temporarily_unavailable"

CODES: dict[str, Code] = {
    code.name: code
    for code in (
        Code("token_missing", 401, "Unauthorized", "No access token was sent.", _C, "unauthorized", ""),
        Code("token_invalid", 401, "Unauthorized", "The token is invalid.", _C, "invalid_token", "invalid_token"),
        Code("token_expired", 401, "Unauthorized", "The token expired.", _C, "invalid_token", "invalid_token"),
        Code("token_revoked", 401, "Unauthorized", "The token was revoked.", _C, "invalid_token", "invalid_token"),
        Code(
            "login_too_old",
            401,
            "Unauthorized",
            "A more recent login is required.",
            _C,
            "insufficient_user_authentication",
            "insufficient_user_authentication",
        ),
        Code(
            "invalid_credentials",
            401,
            "Unauthorized",
            "Username or password is incorrect.",
            _C,
            "invalid_credentials",
            "",
        ),
        Code(
            "invalid_grant",
            401,
            "Unauthorized",
            "The refresh token is invalid, expired or revoked.",
            _C,
            "invalid_grant",
        ),
        Code(
            "invalid_client",
            401,
            "Unauthorized",
            "The client could not be authenticated.",
            _C,
            "invalid_client",
        ),
        Code(
            "unauthorized_client",
            400,
            "Bad Request",
            "This client may not use this grant.",
            _C,
            "unauthorized_client",
        ),
        Code(
            "unsupported_grant_type",
            400,
            "Bad Request",
            "The grant type is not supported.",
            _C,
            "unsupported_grant_type",
        ),
        Code("invalid_scope", 400, "Bad Request", "A scope may not be granted.", _C, "invalid_scope"),
        Code(
            "role_missing",
            403,
            "Forbidden",
            "A required role is missing.",
            _C,
            "insufficient_scope",
            "insufficient_scope",
        ),
        Code(
            "permission_missing",
            403,
            "Forbidden",
            "A required permission is missing.",
            _C,
            "insufficient_scope",
            "insufficient_scope",
        ),
        Code(
            "scope_missing",
            403,
            "Forbidden",
            "A required scope is missing.",
            _C,
            "insufficient_scope",
            "insufficient_scope",
        ),
        Code("rule_failed", 403, "Forbidden", "A rule of this route is not met.", _C, "access_denied"),
        Code("mfa_required", 403, "Forbidden", "A second factor is required.", _C, "mfa_required"),
        Code(
            "csrf_failed",
            403,
            "Forbidden",
            "The request could not be told from a cross-site forgery.",
            _C,
            "csrf_failed",
        ),
        Code("origin_denied", 403, "Forbidden", "This origin is not allowed.", _C, "access_denied"),
        Code("address_denied", 403, "Forbidden", "This address is not allowed.", _C, "access_denied"),
        Code("no_route", 404, "Not Found", "Nothing is served at this path.", _C),
        Code("method_not_allowed", 405, "Method Not Allowed", "The method is not allowed at this path.", _C),
        Code("bad_request", 400, "Bad Request", "The request is malformed.", _C),
        Code("path_ambiguous", 400, "Bad Request", "The path can be read in more than one way.", _C),
        Code("request_timeout", 408, "Request Timeout", "The request did not arrive in time.", _C),
        Code("body_too_large", 413, "Content Too Large", "The request body is too large.", _C),
        Code("url_too_long", 414, "URI Too Long", "The request target is too long.", _C),
        Code("unsupported_media_type", 415, "Unsupported Media Type", "The content type is not supported here.", _C),
        Code("expectation_failed", 417, "Expectation Failed", "The expectation cannot be met.", _C),
        Code(
            "upgrade_required",
            426,
            "Upgrade Required",
            "WebSocket version 13 is required.",
            _C,
            # RFC 9110 sections 15.5.22 and 7.8, RFC 6455 section 4.4.
            headers=(("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")),
        ),
        Code("rate_limited", 429, "Too Many Requests", "Too many requests; try again later.", _C, "slow_down"),
        Code("head_too_large", 431, "Request Header Fields Too Large", "The request head is too large.", _C),
        Code("internal_error", 500, "Internal Server Error", "The gateway failed.", _G, "server_error"),
        Code(
            "upstream_unreachable", 502, "Bad Gateway", "The service behind the gateway cannot be reached.", _U, _LATER
        ),
        Code(
            "upstream_protocol",
            502,
            "Bad Gateway",
            "The service behind the gateway sent an invalid answer.",
            _U,
            _LATER,
        ),
        Code("no_healthy_target", 503, "Service Unavailable", "No healthy service is available.", _U, _LATER),
        Code("overloaded", 503, "Service Unavailable", "The gateway is overloaded; try again later.", _G, _LATER),
        Code(
            "store_unavailable", 503, "Service Unavailable", "A dependency is unavailable; try again later.", _S, _LATER
        ),
        Code(
            "upstream_timeout",
            504,
            "Gateway Timeout",
            "The service behind the gateway did not answer in time.",
            _U,
            _LATER,
        ),
    )
}

SECOND_FACTOR = CODES["mfa_required"]._replace(
    status=401, title="Unauthorized", bearer="insufficient_user_authentication"
)
"""`mfa_required` as a route says it: a challenge (RFC 9470 section 3). At the login it is a step of the way, 403."""


class Explained(Protocol):
    """Says why a request was refused: what was compared with what (`routing.explained`)."""

    def members(self) -> Mapping[str, object]:
        """Return all of it, for the audit; made when it is asked for."""
        ...


@final
class Refusal(NamedTuple):
    """A request that did not pass: the code, and what the log alone may know."""

    code: Code
    reason: str = ""
    """Finer cause for log, audit and metrics only: a word from a fixed vocabulary, never client input."""
    detail: str | None = None
    """Replaces the code's fixed sentence; must be a sentence of ours, never an echo of input."""
    retry_after: int | None = None
    """Seconds, sent as `Retry-After`."""
    allow: str = ""
    """Sent as `Allow` with `method_not_allowed` (RFC 9110 section 15.5.6)."""
    scope: str = ""
    """Sent as `scope` of an insufficient_scope challenge (RFC 6750 section 3)."""
    route: str = ""
    """Name of the route that was matched, for the log."""
    subject: str = ""
    """Verified subject, for the log."""
    challenge: str = ""
    """Sent as `WWW-Authenticate` in place of the code's own."""
    step_up: str = ""
    """What the challenge asks of a new login: ``max_age="300"`` or ``acr_values="mfa"`` (RFC 9470 section 3)."""
    why: Explained | None = None
    """How the rule of a route, or a limit, came to this; None for what neither decided."""
    decision: str = ""
    """Sent as `X-Gateway-Decision`, to callers who may see it."""
    fields: tuple[tuple[str, str], ...] = ()
    """Further header fields, sent as they are."""
    compared: tuple[str, str] = ("", "")
    """What a limit allows, and who asked for more; for the audit."""

    @property
    def status(self) -> int:
        return self.code.status


def refuse(
    code: str,
    reason: str = "",
    *,
    detail: str | None = None,
    retry_after: int | None = None,
    allow: str = "",
    scope: str = "",
) -> Refusal:
    """Return the refusal named *code*; an unknown name is a bug and raises KeyError."""
    return Refusal(CODES[code], reason, detail, retry_after, allow, scope)


class GatewayError(Exception):
    """Root of every error the gateway raises itself."""


class ConfigError(GatewayError):
    """The configuration cannot be used; the message says where and what to do."""


class StoreUnavailable(GatewayError):
    """The session store did not answer in time, or refused: always 503, never 401."""

    def __init__(self, text: str, kind: str = "answer") -> None:
        """*kind* is a word from a fixed vocabulary (sessions/trouble.py), for logs and metrics."""
        super().__init__(text)
        self.kind = kind


class Refused(GatewayError):
    """A refusal raised where a value cannot be returned."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.code.name, refusal.reason)
        self.refusal = refusal


class KeyUnknown(Refused):
    """A refusal for a key that is not known here; await `wait` once and judge again, it may be a new one."""

    def __init__(self, refusal: Refusal, wait: Callable[[], Awaitable[None]]) -> None:
        super().__init__(refusal)
        self.wait = wait


def problem(refusal: Refusal, request_id: str) -> bytes:
    """Return the RFC 9457 body of *refusal*."""
    code = refusal.code
    return json.dumps(
        {
            "type": f"urn:gateway:error:{code.name}",
            "title": code.title,
            "status": code.status,
            "detail": refusal.detail or code.detail,
            "code": code.name,
            "request_id": request_id,
        }
    ).encode()


def oauth_error(refusal: Refusal, request_id: str, more: Mapping[str, object] | None = None) -> bytes:
    """Return the OAuth-style body used below the login base path, with *more* members."""
    code = refusal.code
    return json.dumps(
        {
            "error": code.oauth,
            "error_description": refusal.detail or code.detail,
            "code": code.name,
            "request_id": request_id,
            **(more or {}),
        }
    ).encode()


def extra_headers(refusal: Refusal, realm: str = "gateway") -> list[tuple[str, str]]:
    """Return the headers a refusal carries beside its body: challenge, Allow, Retry-After and the code itself."""
    code = refusal.code
    headers = [("X-Gateway-Error", code.name), *code.headers]
    if refusal.decision:
        headers.append(("X-Gateway-Decision", refusal.decision))
    if refusal.challenge:
        headers.append(("WWW-Authenticate", refusal.challenge))
    elif code.bearer is not None:
        challenge = f'Bearer realm="{realm}"'
        if code.bearer:
            challenge += f', error="{code.bearer}", error_description="{refusal.detail or code.detail}"'
        if refusal.scope:
            challenge += f', scope="{refusal.scope}"'
        if refusal.step_up:
            challenge += f", {refusal.step_up}"
        headers.append(("WWW-Authenticate", challenge))
    if refusal.allow:
        headers.append(("Allow", refusal.allow))
    if refusal.retry_after is not None:
        headers.append(("Retry-After", str(refusal.retry_after)))
    headers += refusal.fields
    return headers
