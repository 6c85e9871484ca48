"""Operations on the admin listener: the shapes, and that every one asks for exactly what was meant; checklist 161."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gateway.endpoints.admin import AdminServices, admin
from gateway.errors import StoreUnavailable
from gateway.sessions.operations import KINDS, Done, Order
from gateway.sessions.outcomes import SessionView
from gateway.sessions.revocations import Kind

TOKEN = "admin-token-of-the-tests"
MINE = {"Authorization": f"Bearer {TOKEN}"}
VIEW = SessionView("s" * 22, 1000, 2000, 9000, 8000, "gateway", ("pwd",), "laptop", "curl", "192.0.2.7")

Client = TestClient[web.Request, web.Application]


class Operations:
    """Takes orders and writes them down."""

    def __init__(self) -> None:
        self.orders: list[Order] = []
        self.users: list[tuple[str, str, str | None]] = []
        self.is_up = True

    async def revoke(self, order: Order) -> Done:
        if not self.is_up:
            raise StoreUnavailable("down")
        self.orders.append(order)
        return Done(1234, 3)

    async def sessions(self, sub: str, tenant: str | None = None) -> tuple[SessionView, ...]:
        self.users.append(("sessions", sub, tenant))
        return (VIEW, VIEW._replace(session="t" * 22, used_ms=3000))

    async def disable(self, sub: str, actor: str, tenant: str | None = None) -> int:
        self.users.append(("disable", sub, tenant))
        return 2

    async def enable(self, sub: str, actor: str, tenant: str | None = None) -> bool:
        self.users.append(("enable", sub, tenant))
        return True


class Desk:
    """The listener, and who takes the orders."""

    def __init__(self, client: Client, operations: Operations) -> None:
        self.client = client
        self.operations = operations

    async def ask(self, method: str, path: str, status: int = 200, **how: Any) -> dict[str, Any]:
        answer = await self.client.request(method, path, headers=MINE, **how)
        assert answer.status == status, await answer.text()
        assert answer.headers["X-Request-Id"] == "req-7"
        members: dict[str, Any] = await answer.json()
        return members


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async def good() -> bool:
        return True

    operations = Operations()
    services = AdminServices(
        checks={"config": good},
        metrics=lambda: (b"", "text/plain"),
        report=lambda _id, error: None,
        request_id=lambda: "req-7",
        token=lambda: TOKEN,
        operations=lambda: operations,
        revoked=lambda most: {"state": "fresh", "revocations": [], "most": most},
    )
    async with TestClient(TestServer(admin(services))) as client:
        yield Desk(client, operations)


@pytest.mark.item(161)
@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_can_be_revoked(desk: Desk, kind: str) -> None:
    value = {} if kind == "all" else {"value": "x-1"}
    got = await desk.ask("POST", "/admin/revocations", json={"kind": kind, "reason": "leaked", **value})
    assert got == {
        "kind": kind,
        "value": value.get("value", ""),
        "before_ms": 1234,
        "sessions_ended": 3,
        "effective_within_ms": 3000,
    }
    assert desk.operations.orders == [Order(KINDS[kind], value.get("value", ""), "leaked", "admin")]


async def test_a_user_may_be_named_with_tenant_issuer_time_or_a_session_to_keep(desk: Desk) -> None:
    user = {"kind": "user", "value": "ana"}
    await desk.ask(
        "POST", "/admin/revocations", json={**user, "tenant": "acme", "issuer": "https://x", "before": "now"}
    )
    await desk.ask("POST", "/admin/revocations", json={**user, "before": "2026-11-28T12:00:00Z"})
    await desk.ask("POST", "/admin/revocations", json={**user, "keep_session": "s"})
    assert desk.operations.orders == [
        Order(Kind.SUBJECT, "ana", "admin", "admin", None, "acme", "https://x"),
        Order(Kind.SUBJECT, "ana", "admin", "admin", 1_795_867_200_000),
        Order(Kind.SUBJECT, "ana", "admin", "admin", keep="s"),
    ]


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"kind": "user"},
        {"kind": "user", "value": ""},
        {"kind": "grants", "value": "x"},
        {"kind": "sub", "value": "x"},
        {"kind": "user", "value": "x", "before": "yesterday"},
        {"kind": "user", "value": "x", "before": "2026-11-28T12:00:00"},
        {"kind": "token", "value": "x", "before": "2026-11-28T12:00:00Z"},
        {"kind": "session", "value": "x", "before": "2026-11-28T12:00:00Z"},
        {"kind": "user", "value": "x", "before": "2026-11-28T12:00:00Z", "keep_session": "s"},
        {"kind": "client", "value": "x", "keep_session": "s"},
        {"kind": "user", "value": "a" * 256},
        {"kind": "user", "value": "a\u0000b"},
        {"kind": "user", "value": 7},
        {"kind": "user", "value": "x", "reason": "r" * 129},
    ],
)
async def test_what_cannot_be_meant_is_400_and_ends_nothing(desk: Desk, members: dict[str, object]) -> None:
    got = await desk.ask("POST", "/admin/revocations", 400, json=members)
    assert got["code"] == "bad_request"
    assert desk.operations.orders == []


async def test_a_users_sessions_are_listed_and_ended(desk: Desk) -> None:
    got = await desk.ask("GET", "/admin/users/ana%40example.com/sessions?tenant=acme")
    assert [(one["session_id"], one["last_used_at"]) for one in got["sessions"]] == [("t" * 22, 3), ("s" * 22, 2)]
    assert desk.operations.users == [("sessions", "ana@example.com", "acme")]
    assert (await desk.ask("DELETE", "/admin/users/ana/sessions"))["sessions_ended"] == 3
    assert desk.operations.orders == [Order(Kind.SUBJECT, "ana", "admin", "admin")]


async def test_a_user_is_disabled_and_enabled(desk: Desk) -> None:
    got = await desk.ask("POST", "/admin/users/ana/disable")
    assert got == {"disabled": True, "sessions_ended": 2, "effective_within_ms": 3000}
    got = await desk.ask("POST", "/admin/users/ana/enable?tenant=acme")
    assert got == {"disabled": False, "was_disabled": True}
    assert desk.operations.users == [("disable", "ana", None), ("enable", "ana", "acme")]


async def test_what_is_known_here_can_be_looked_at(desk: Desk) -> None:
    assert await desk.ask("GET", "/admin/revocations") == {"state": "fresh", "revocations": [], "most": 1000}


async def test_a_silent_store_is_503_and_says_when_to_ask_again(desk: Desk) -> None:
    desk.operations.is_up = False
    answer = await desk.client.post("/admin/revocations", headers=MINE, json={"kind": "all"})
    assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
    assert (await answer.json())["code"] == "store_unavailable"


@pytest.mark.item(160)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/admin/revocations"),
        ("POST", "/admin/revocations"),
        ("GET", "/admin/users/ana/sessions"),
        ("DELETE", "/admin/users/ana/sessions"),
        ("POST", "/admin/users/ana/disable"),
        ("POST", "/admin/users/ana/enable"),
    ],
)
async def test_nothing_is_done_without_the_admin_token(desk: Desk, method: str, path: str) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        answer = await desk.client.request(method, path, headers=headers, json={"kind": "all"})
        assert answer.status == 403
    assert (desk.operations.orders, desk.operations.users) == ([], [])
