"""The admin listener: open probes, closed operations."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gateway.endpoints import admin as admin_module
from gateway.endpoints.admin import LOOPBACK_NAMES, AdminServices, Check, admin

TOKEN = "admin-token-of-the-tests"
Client = TestClient[web.Request, web.Application]
Open = Callable[[AdminServices], Awaitable[Client]]


async def _good() -> bool:
    return True


async def _bad() -> bool:
    return False


async def _broken() -> bool:
    raise ConnectionError("no store at 10.0.0.1")


async def _hanging() -> bool:
    await asyncio.Event().wait()
    return True


class Probe:
    """Services whose readiness a test decides."""

    def __init__(self, **checks: Check) -> None:
        self.asked: list[str] = []
        self.reported: list[BaseException] = []
        self.checks = checks

    def services(self, *, token: str | None = TOKEN, hosts: frozenset[bytes] = LOOPBACK_NAMES) -> AdminServices:
        return AdminServices(
            checks={name: self._noted(name, check) for name, check in self.checks.items()},
            metrics=self._metrics,
            report=lambda _id, error: self.reported.append(error),
            request_id=lambda: "req-7",
            token=lambda: token,
            hosts=hosts,
        )

    def _noted(self, name: str, check: Check) -> Check:
        async def ask() -> bool:
            self.asked.append(name)
            return await check()

        return ask

    def _metrics(self) -> tuple[bytes, str]:
        return b"gateway_up 1\n", "text/plain; version=0.0.4; charset=utf-8"


@pytest.fixture
async def opened() -> AsyncIterator[Open]:
    clients: list[Client] = []

    async def open_(services: AdminServices) -> Client:
        client: Client = TestClient(TestServer(admin(services)))
        await client.start_server()
        clients.append(client)
        return client

    yield open_
    for client in clients:
        await client.close()


async def test_livez_answers_without_asking_anything(opened: Open) -> None:
    probe = Probe(store=_bad)
    client = await opened(probe.services())
    response = await client.get("/livez")
    assert (response.status, await response.text()) == (200, "ok")
    assert probe.asked == []


@pytest.mark.parametrize("path", ["/readyz", "/healthz"])
async def test_readyz_says_ok_when_everything_holds(opened: Open, path: str) -> None:
    client = await opened(Probe(config=_good, keys=_good, store=_good).services())
    response = await client.get(path)
    assert (response.status, await response.text()) == (200, "ok")
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("check", [_bad, _broken, _hanging], ids=["says no", "raises", "never answers"])
async def test_readyz_is_503_and_names_what_fails_but_not_why(
    opened: Open, monkeypatch: pytest.MonkeyPatch, check: Check
) -> None:
    monkeypatch.setattr(admin_module, "_CHECK_TIMEOUT", 0.01)
    client = await opened(Probe(config=_good, store=check).services())
    response = await client.get("/readyz")
    assert response.status == 503
    assert await response.text() == "[+]config ok\n[-]store failed\nreadyz check failed\n"


async def test_readyz_is_verbose_in_the_form_of_kubernetes(opened: Open) -> None:
    client = await opened(Probe(config=_good, feed=_good).services())
    response = await client.get("/readyz?verbose")
    assert await response.text() == "[+]config ok\n[+]feed ok\nreadyz check passed\n"


async def test_readyz_speaks_json_when_asked(opened: Open) -> None:
    client = await opened(Probe(config=_good, store=_bad).services())
    response = await client.get("/readyz", headers={"Accept": "application/json"})
    assert response.status == 503
    assert await response.json() == {"ready": False, "checks": {"config": "ok", "store": "failed"}}


async def test_metrics_are_passed_on_with_their_content_type(opened: Open) -> None:
    client = await opened(Probe().services())
    response = await client.get("/metrics")
    assert await response.read() == b"gateway_up 1\n"
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"


async def test_probes_work_under_any_host_name(opened: Open) -> None:
    client = await opened(Probe().services())
    for path in ("/livez", "/readyz", "/metrics"):
        assert (await client.get(path, headers={"Host": "10.1.2.3:9901"})).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="no credential"),
        pytest.param({"Authorization": "Bearer wrong"}, id="wrong token"),
        pytest.param({"Authorization": f"Bearer {TOKEN}x"}, id="longer token"),
        pytest.param({"Authorization": f"Basic {TOKEN}"}, id="another scheme"),
        pytest.param({"Authorization": f"Bearer {TOKEN}, Bearer {TOKEN}"}, id="two tokens"),
        pytest.param(
            {"Authorization": "Bearer eyJhbGciOiJSUzI1NiIsInR5cCI6ImF0K2p3dCJ9.e30.c2ln"}, id="a user's token"
        ),
        pytest.param({"Cookie": f"__Host-Http-gw-at={TOKEN}"}, id="cookie"),
    ],
)
@pytest.mark.parametrize(
    "path", ["/admin/revocations", "/admin", "/unknown", "/%61dmin/x", "/livez/", "/x/livez", "/metrics/x"]
)
@pytest.mark.item(160)
async def test_everything_but_the_probes_is_403_without_the_admin_token(
    opened: Open, path: str, headers: dict[str, str]
) -> None:
    client = await opened(Probe().services())
    response = await client.get(path, headers=headers)
    assert response.status == 403
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["X-Gateway-Error"] == "rule_failed"
    assert (await response.json())["request_id"] == "req-7"


async def test_without_an_admin_token_operations_are_refused_to_everybody(opened: Open) -> None:
    client = await opened(Probe().services(token=None))
    for headers in ({}, {"Authorization": "Bearer None"}, {"Authorization": "Bearer "}):
        assert (await client.get("/admin/keys", headers=headers)).status == 403


async def test_an_admin_token_may_be_any_bytes_of_a_file(opened: Open) -> None:
    client = await opened(Probe().services(token=b"\xff\xfe-token".decode("utf-8", "surrogateescape")))
    assert (await client.get("/admin/x", headers={"Authorization": f"Bearer {TOKEN}"})).status == 403


@pytest.mark.parametrize(
    ("host", "status"),
    [
        pytest.param("localhost:9901", 404, id="localhost"),
        pytest.param("127.0.0.1", 404, id="loopback"),
        pytest.param("[::1]:9901", 404, id="IPv6 loopback"),
        pytest.param("LOCALHOST.", 404, id="another spelling"),
        pytest.param("ops.internal:9901", 404, id="the configured host"),
        pytest.param("evil.example", 403, id="a rebound name"),
        pytest.param("localhost.evil.example", 403, id="a name that begins alike"),
        pytest.param("localhost@evil.example", 403, id="userinfo"),
    ],
)
async def test_operations_need_a_host_of_ours_even_with_the_token(opened: Open, host: str, status: int) -> None:
    client = await opened(Probe().services(hosts=LOOPBACK_NAMES | {b"ops.internal"}))
    response = await client.get("/admin/x", headers={"Host": host, "Authorization": f"Bearer {TOKEN}"})
    assert response.status == status


async def test_probes_take_get_only(opened: Open) -> None:
    client = await opened(Probe().services())
    response = await client.post("/livez")
    assert response.status == 405
    assert "GET" in response.headers["Allow"]
    assert (await client.head("/livez")).status == 200


async def test_a_bug_ends_in_500_without_a_word_about_it(opened: Open) -> None:
    probe = Probe()

    def broken() -> tuple[bytes, str]:
        raise ValueError("secret detail")

    services = probe.services()
    client = await opened(
        AdminServices(services.checks, broken, services.report, services.request_id, services.token, services.hosts)
    )
    response = await client.get("/metrics")
    assert response.status == 500
    assert "secret detail" not in await response.text()
    assert [str(error) for error in probe.reported] == ["secret detail"]
