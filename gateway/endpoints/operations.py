"""Operations on the admin listener: what is revoked, revoking, and the sessions of a user.

    GET    /admin/revocations                what this process knows to be revoked
    POST   /admin/revocations                revoke a token, session, user, client, tenant, key, or everything
    GET    /admin/users/{sub}/sessions       a user's live sessions
    DELETE /admin/users/{sub}/sessions       end them all
    POST   /admin/users/{sub}/disable        end them all and refuse new ones
    POST   /admin/users/{sub}/enable         let the user log in again

Each is the same done twice as once, and is told to the audit. `?tenant=` names a tenant that the user store does not.
"""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.endpoints import bodies
from gateway.endpoints.sessions import described
from gateway.errors import Refused, StoreUnavailable, refuse
from gateway.sessions.operations import KINDS, Done, Order
from gateway.sessions.outcomes import SessionView
from gateway.sessions.revocations import FOREVER, Entry, Kind

ACTOR = "admin"
EFFECTIVE_WITHIN_MS = 3000
"""Within this every process whose feed is fresh enforces what was acknowledged (identity.md 3.8, G1)."""
_LISTED = 1000
_RETRY = 2
_LONGEST = 255
"""Characters; nothing of ours has a longer name, and the feed would not take one."""


class Operations(Protocol):
    """Carries out what an operator orders; each call may raise Refused or StoreUnavailable."""

    async def revoke(self, order: Order) -> Done: ...

    async def sessions(self, sub: str, tenant: str | None = None) -> tuple[SessionView, ...]: ...

    async def disable(self, sub: str, actor: str, tenant: str | None = None) -> int: ...

    async def enable(self, sub: str, actor: str, tenant: str | None = None) -> bool: ...


def add_operations(
    app: web.Application, operations: Callable[[], Operations], revoked: Callable[[int], dict[str, object]]
) -> None:
    """Add the routes to *app*, whose guard has let in whoever asks.

    *operations* are those of the configuration in force; *revoked* tells of at most so many entries.
    """

    async def listed(_request: web.Request) -> web.StreamResponse:
        return _answer(revoked(_LISTED))

    async def revoke(request: web.Request) -> web.StreamResponse:
        order = _order(await bodies.fields(request))
        done = await operations().revoke(order)
        return _answer(
            {
                "kind": order.kind.word,
                "value": order.value,
                "before_ms": done.cut_ms,
                "sessions_ended": done.sessions,
                "effective_within_ms": EFFECTIVE_WITHIN_MS,
            }
        )

    async def sessions(request: web.Request) -> web.StreamResponse:
        views = await operations().sessions(*_user(request))
        newest_first = sorted(views, key=lambda view: view.used_ms, reverse=True)
        return _answer({"sessions": [described(view) for view in newest_first]})

    async def end_all(request: web.Request) -> web.StreamResponse:
        sub, tenant = _user(request)
        done = await operations().revoke(Order(Kind.SUBJECT, sub, "admin", ACTOR, tenant=tenant))
        return _answer({"sessions_ended": done.sessions, "effective_within_ms": EFFECTIVE_WITHIN_MS})

    async def disable(request: web.Request) -> web.StreamResponse:
        sub, tenant = _user(request)
        ended = await operations().disable(sub, ACTOR, tenant)
        return _answer({"disabled": True, "sessions_ended": ended, "effective_within_ms": EFFECTIVE_WITHIN_MS})

    async def enable(request: web.Request) -> web.StreamResponse:
        sub, tenant = _user(request)
        return _answer({"disabled": False, "was_disabled": await operations().enable(sub, ACTOR, tenant)})

    for method, path, handler in (
        ("GET", "/admin/revocations", listed),
        ("POST", "/admin/revocations", revoke),
        ("GET", "/admin/users/{sub}/sessions", sessions),
        ("DELETE", "/admin/users/{sub}/sessions", end_all),
        ("POST", "/admin/users/{sub}/disable", disable),
        ("POST", "/admin/users/{sub}/enable", enable),
    ):
        app.router.add_route(method, path, _with_a_store(handler))


def entry_members(entry: Entry) -> dict[str, object]:
    """Return *entry* as the list shows it; a user is named by their tag, which is all that is known here."""
    return {
        "kind": entry.kind.word,
        "value": entry.value,
        "before_ms": None if entry.cut_ms == FOREVER else entry.cut_ms,
        "forgotten_at_ms": entry.expires_ms,
    }


def _with_a_store(handler: Handler) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except StoreUnavailable as error:
            raise Refused(refuse("store_unavailable", "store", retry_after=_RETRY)) from error

    return handle


def _user(request: web.Request) -> tuple[str, str | None]:
    return request.match_info["sub"], request.query.get("tenant")


def _order(fields: bodies.Fields) -> Order:
    kind = KINDS.get(bodies.needed(fields, "kind"))
    if kind is None:
        raise _wrong("kind", f"The kind is one of {', '.join(KINDS)}.")
    value = "" if kind is Kind.ALL else bodies.needed(fields, "value")
    before = _before(bodies.text(fields, "before"))
    keep = bodies.text(fields, "keep_session")
    if before is not None and (kind in (Kind.TOKEN, Kind.SESSION) or keep is not None):
        raise _wrong("before", "A time is for users, clients, tenants, keys and all.")
    if keep is not None and kind is not Kind.SUBJECT:
        raise _wrong("keep_session", "A session can be kept of a user only.")
    if len(value) > _LONGEST or not value.isprintable():
        raise _wrong("value", "The value is too long, or has characters that nobody can see.")
    return Order(
        kind,
        value,
        (bodies.text(fields, "reason", longest=128) or "admin"),
        ACTOR,
        before,
        bodies.text(fields, "tenant"),
        bodies.text(fields, "issuer"),
        keep,
    )


def _before(text: str | None) -> int | None:
    """Return the milliseconds of an RFC 3339 time; None for now."""
    if text in (None, "now"):
        return None
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise _wrong("before", "The time is now, or as in 2026-11-28T12:00:00Z.")
    return int(moment.timestamp() * 1000)


def _wrong(member: str, detail: str) -> Refused:
    return Refused(refuse("bad_request", f"member_{member}", detail=detail))


def _answer(members: dict[str, object]) -> web.Response:
    return web.Response(body=json.dumps(members).encode(), content_type="application/json", charset="utf-8")
