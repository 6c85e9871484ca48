"""The whole story over a real store: users, hash pool, sessions, tokens and endpoints, as the gateway joins them."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import DummyCookieJar
from aiohttp.test_utils import TestClient, TestServer

from gateway.clock import SystemClock
from gateway.endpoints.application import SERVER_LIMITS, application
from gateway.sessions.embedded import EmbeddedStore
from gateway.sessions.ending import Ending
from gateway.sessions.feed import Feed
from gateway.sessions.revocations import Revocations
from gateway.sessions.service import SessionService
from gateway.sessions.store import Policy, connect
from gateway.tokens.cache import VerifiedTokens
from gateway.tokens.issue import Issuer
from gateway.tokens.secrets import subject_tag
from gateway.users.passwords import HashPool
from tests.endpoints.house import ACCESS_TTL, ISSUER, Browser, House, HttpClient
from tests.endpoints.test_logout import bearing


@pytest.fixture
async def real(house: House, tmp_path: Path) -> AsyncIterator[HttpClient]:
    embedded = EmbeddedStore()
    store = connect(await embedded.start(tmp_path), timeout=5.0)
    clock, secrets, pool = SystemClock(), house.secrets, HashPool(1)
    table = Revocations(lambda issuer, tenant, sub: subject_tag(secrets, issuer, tenant, sub).hex())
    feed = Feed(store, table, clock, replica="test", retention=ACCESS_TTL + 65)
    ending = Ending(store, feed, Policy)
    service = SessionService(
        people=house.users,
        store=store,
        issuer=Issuer(house.ring, ISSUER, (ISSUER,), "gateway", ACCESS_TTL),
        issuer_name=ISSUER,
        client_id="gateway",
        secrets=secrets,
        table=table,
        ending=ending,
        pool=pool.finishing,
        policy=Policy,
    )
    tokens = VerifiedTokens(house.services.verifier, table, lambda _identity: b"", house.ring)
    services = replace(house.services, sessions=service, tokens=tokens, clock=clock)
    server = TestServer(application(services))
    await server.start_server(**SERVER_LIMITS)
    client: HttpClient = TestClient(server, cookie_jar=DummyCookieJar())
    await client.start_server()
    yield client
    await client.close()
    await store.close()
    await embedded.stop()
    pool.close()


async def test_a_session_lives_from_login_over_refresh_to_logout(real: HttpClient) -> None:
    wrong = await real.post("/auth/login", json={"username": "alice", "password": "x"})
    assert wrong.status == 401
    login = await real.post("/auth/login", json={"username": "ALICE", "password": "wonderland", "scope": "mail"})
    first = await login.json()
    assert first["scope"] == "mail"

    refreshed = await real.post("/auth/refresh", json={"refresh_token": first["refresh_token"]})
    second = await refreshed.json()
    assert refreshed.headers["Gateway-Refresh"] == "rotated"
    replayed = await real.post("/auth/refresh", json={"refresh_token": first["refresh_token"]})
    assert replayed.headers["Gateway-Refresh"] == "replayed"
    assert (await replayed.json())["refresh_token"] == second["refresh_token"]

    told = await (await real.get("/auth/session", headers=bearing(second["access_token"]))).json()
    assert (told["sub"], told["session_id"]) == ("alice", first["session_id"])

    for _ in range(2):
        assert (await real.post("/auth/logout", headers=bearing(first["access_token"]))).status == 204
    after = await real.get("/auth/session", headers=bearing(second["access_token"]))
    assert (await after.json())["code"] == "token_revoked"
    gone = await real.post("/auth/refresh", json={"refresh_token": second["refresh_token"]})
    assert (gone.status, (await gone.json())["error"]) == (401, "invalid_grant")


async def test_a_browsers_session_lives_in_cookies_alone(real: HttpClient) -> None:
    body = {"username": "bob", "password": "demo", "mode": "cookie"}
    login = await real.post("/auth/login", data=body, headers={"Sec-Fetch-Site": "same-origin"})
    browser = Browser.of(login.headers.getall("Set-Cookie"), await login.json())
    refreshed = await real.post("/auth/refresh", headers={**browser.cookie, "X-CSRF-Token": browser.csrf})
    after = Browser.of(refreshed.headers.getall("Set-Cookie"), await refreshed.json())
    assert (after.session, after.csrf) == (browser.session, browser.csrf)
    assert after.refresh != browser.refresh
    assert (await real.post("/auth/logout?scope=global", headers=after.own)).status == 204
    dead = await real.post("/auth/refresh", headers=after.own)
    assert dead.status == 401
    assert len(dead.headers.getall("Set-Cookie")) == 3


@pytest.mark.item(32)
async def test_an_access_token_does_not_refresh(real: HttpClient) -> None:
    login = await (await real.post("/auth/login", json={"username": "alice", "password": "wonderland"})).json()
    answer = await real.post("/auth/refresh", json={"refresh_token": login["access_token"]})
    assert (answer.status, (await answer.json())["error"]) == (401, "invalid_grant")
    # And nobody's session ended by that.
    assert (await real.post("/auth/refresh", json={"refresh_token": login["refresh_token"]})).status == 200
