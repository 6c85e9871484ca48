"""Whole gateways while the store is slow, frozen, full or gone; and many clients who refresh at once through two."""

import asyncio
import base64
import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.journeys.house import Gateway, Tokens, until
from tests.journeys.pair import Pair, Redis, pair, shared
from tests.sessions.linear import Call, What, is_linearizable
from tests.sessions.middle import middle

CREDENTIALS = {"username": "alice", "password": "demo"}
TIMEOUT = 2.0
"""Seconds; `store.timeout` of the gateways here."""


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    server = Redis(tmp_path_factory.mktemp("redis"), None, "--appendonly", "yes", "--appendfsync", "always")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, upstream: str, redis: Redis) -> Iterator[Pair]:
    with pair(tmp_path_factory.mktemp("pair"), upstream, redis.url) as made:
        yield made


def unavailable(answer: httpx.Response) -> None:
    """Check the failure rule: 503 that says when to come back, no 401, no cookie touched."""
    assert answer.status_code == 503, answer.text
    assert answer.json()["code"] == "store_unavailable"
    assert int(answer.headers["Retry-After"]) >= 1
    assert "Set-Cookie" not in answer.headers
    assert "WWW-Authenticate" not in answer.headers


def refresh(gateway: Gateway, token: str) -> httpx.Response:
    with gateway.client() as client:
        return client.post("/auth/refresh", json={"refresh_token": token})


def get(gateway: Gateway, tokens: Tokens, path: str = "/api/x") -> int:
    with gateway.client() as client:
        return client.get(path, headers=tokens.bearer).status_code


# --- many at once ---


async def _storm(two: Pair, clients: int) -> dict[str, float]:
    """Let each of *clients* present one token five times at once, three times here and twice there."""
    figures = {"requests": 0.0, "seconds": 0.0}
    limits, patience = httpx.Limits(max_connections=100), httpx.Timeout(60, pool=None)
    async with (
        httpx.AsyncClient(base_url=two.one.url, limits=limits, timeout=patience, trust_env=False) as one,
        httpx.AsyncClient(base_url=two.two.url, limits=limits, timeout=patience, trust_env=False) as other,
    ):
        gate = asyncio.Semaphore(4)

        async def login() -> str:
            async with gate:
                answer = await one.post("/auth/login", json=CREDENTIALS)
            assert answer.status_code == 200, answer.text
            return str(answer.json()["refresh_token"])

        async def present(client: httpx.AsyncClient, token: str) -> tuple[float, float, httpx.Response]:
            start = time.monotonic()
            answer = await client.post("/auth/refresh", json={"refresh_token": token})
            return start, time.monotonic(), answer

        tokens = await asyncio.gather(*(login() for _ in range(clients)))
        began = time.monotonic()
        # The five of a client at once, and no more clients than there are connections: waiting for one is not part of
        # the story, and longer than the grace it would be a leak.
        room = asyncio.Semaphore(30)

        async def presented(token: str) -> list[tuple[float, float, httpx.Response]]:
            async with room:
                return await asyncio.gather(*(present(client, token) for client in (one, other, one, other, one)))

        heard = [call for calls in await asyncio.gather(*map(presented, tokens)) for call in calls]
        figures["seconds"] = time.monotonic() - began
        figures["requests"] = len(heard)
        successors: set[str] = set()
        for at, token in enumerate(tokens):
            mine = heard[5 * at : 5 * at + 5]
            assert {answer.status_code for _, _, answer in mine} == {200}, [answer.text for _, _, answer in mine]
            (successor,) = {answer.json()["refresh_token"] for _, _, answer in mine}
            assert successor != token
            assert len({answer.json()["session_id"] for _, _, answer in mine}) == 1
            history = [
                Call(a, b, What.REFRESH, counter(token), counter(answer.json()["refresh_token"]))
                for a, b, answer in mine
            ]
            start, end, again = await present(other, successor)
            assert again.status_code == 200, again.text
            history.append(Call(start, end, What.REFRESH, counter(successor), counter(again.json()["refresh_token"])))
            assert is_linearizable(history), history
            successors.add(successor)
        assert len(successors) == clients
    return figures


def counter(token: str) -> int:
    """Read the counter out of a refresh token; its form is in tokens/refresh.py."""
    return int.from_bytes(base64.urlsafe_b64decode(token.removeprefix("gwr_"))[46:50])


@pytest.mark.item("F1", 77)
async def test_clients_who_refresh_five_times_at_once_each_get_one_successor(two: Pair) -> None:
    await _storm(two, 25)


@pytest.mark.long
async def test_500_clients_who_refresh_five_times_at_once_each_get_one_successor(two: Pair) -> None:
    figures = await _storm(two, 500)
    sys.stdout.write(f"{figures}\n")


# --- what requests ask of the store ---


@pytest.mark.item(165)
def test_requests_with_a_token_ask_the_store_nothing(two: Pair, redis: Redis) -> None:
    alice = two.one.login()
    with two.one.client() as client:
        assert client.get("/api/x", headers=alice.bearer).status_code == 200
        with redis.monitored() as seen:
            for path in ("/api/x", "/strict/x", "/public/x") * 150:
                assert client.get(path, headers=alice.bearer).status_code == 200
    # What is left is the feed's: it reads on, and writes a canary every two seconds; and a look at the settings.
    others = [said for said in seen if '"XREAD"' not in said and '"gw:{rev}"' not in said and '"INFO"' not in said]
    assert others == []
    with redis.monitored() as seen:
        two.one.login()
    assert seen, "what is asked is seen"


# --- trouble ---


@pytest.mark.item("F12", 92, 93, "store is frozen")
def test_a_frozen_store_is_503_for_logins_and_nothing_for_the_others(two: Pair, redis: Redis) -> None:
    alice = two.one.login()
    with redis.frozen():
        began = time.monotonic()
        with two.one.client() as client:
            unavailable(client.post("/auth/login", json=CREDENTIALS))
        unavailable(refresh(two.one, alice.refresh))
        assert time.monotonic() - began < 10 * TIMEOUT  # never for ever; the figure is in the benchmarks
        for _ in range(20):
            assert get(two.one, alice) == 200
        assert two.one.readiness() == 200
    until(lambda: refresh(two.one, alice.refresh).status_code == 200, what="the gateway does not come back")
    assert two.one.login().access


@pytest.mark.item(164, "store is slow")
async def test_a_slow_store_delays_logins_and_nobody_else(tmp_path: Path, upstream: str, redis: Redis) -> None:
    async with middle(f"redis://127.0.0.1:{redis.port}") as wire:
        text = shared(tmp_path, upstream, wire.url).replace("timeout: 2s", "timeout: 500ms")
        gateway = Gateway(tmp_path / "slow", text)
        try:
            await asyncio.to_thread(gateway.await_ready, lambda: gateway.readiness() == 200)
            alice = await asyncio.to_thread(gateway.login)
            wire.delay = 0.2
            assert (await asyncio.to_thread(refresh, gateway, alice.refresh)).status_code == 200
            assert await asyncio.to_thread(get, gateway, alice) == 200
            wire.delay = 1.5
            unavailable(await asyncio.to_thread(refresh, gateway, alice.refresh))
            assert await asyncio.to_thread(get, gateway, alice) == 200
        finally:
            wire.delay = 0.0
            gateway.hurry()
            await asyncio.to_thread(gateway.stop)


@pytest.mark.item("store is full", "F3")
def test_a_full_store_refuses_and_burns_no_token(two: Pair, redis: Redis) -> None:
    alice = two.one.login()
    redis.ask("CONFIG", "SET", "maxmemory", "1")
    try:
        unavailable(refresh(two.one, alice.refresh))
        with two.one.client() as client:
            unavailable(client.post("/auth/logout", headers=alice.bearer))
    finally:
        redis.ask("CONFIG", "SET", "maxmemory", "0")
    # The logout that failed is in force where it was tried, and the session was not touched.
    assert get(two.one, alice) == 401
    bob = two.one.login()
    assert refresh(two.one, bob.refresh).status_code == 200


@pytest.mark.item("F2", 95, "store dies")
def test_a_store_that_is_killed_and_comes_back_knows_every_session(tmp_path: Path, upstream: str) -> None:
    durable = ("--appendonly", "yes", "--appendfsync", "always")
    store = Redis(tmp_path / "redis", None, *durable)
    try:
        with pair(tmp_path / "pair", upstream, store.url) as two:
            alice = two.one.login()
            spent = alice.refresh
            rotated = refresh(two.one, spent).json()["refresh_token"]
            store.kill()
            unavailable(refresh(two.one, rotated))
            assert get(two.one, alice) == 200
            store = Redis(tmp_path / "redis", store.port, *durable)
            until(lambda: refresh(two.one, rotated).status_code == 200, what="the gateway does not come back")
            assert refresh(two.two, spent).json()["refresh_token"] == rotated  # rotated before, and once
            assert get(two.two, alice) == 200
    finally:
        store.stop()


@pytest.mark.item("store refuses the password")
def test_a_wrong_password_is_not_ready_and_named(tmp_path: Path, upstream: str) -> None:
    server = Redis(tmp_path / "redis")
    gateway: Gateway | None = None
    try:
        server.ask("CONFIG", "SET", "requirepass", "right")
        text = shared(tmp_path, upstream, server.url.replace("redis://", "redis://:wrong@"))
        gateway = Gateway(tmp_path / "wrong", text)
        gateway.await_ready(lambda: gateway is not None and gateway.readiness() != 0)
        assert gateway.readiness() == 503
        with gateway.client() as client:
            unavailable(client.post("/auth/login", json=CREDENTIALS))
            assert client.get("/public/x").status_code == 200
        trouble = [line for line in gateway.errors.splitlines() if '"store_trouble"' in line]
        assert len([line for line in trouble if '"kind":"auth"' in line.replace(": ", ":")]) == 1  # no storm
    finally:
        if gateway is not None:
            gateway.hurry()
            gateway.stop()
        server.stop()


def mistimed(seconds: int) -> list[str]:
    """Return the command that starts a gateway on a machine whose clock is so many seconds ahead."""
    code = (
        "import sys, time\n"
        "from gateway.clock import SystemClock\n"
        f"SystemClock.wall = staticmethod(lambda: time.time() + {seconds})\n"
        "from gateway.__main__ import main\n"
        "main()\n"
    )
    return [sys.executable, "-c", code, "run", "-c", "gateway.yaml"]


def checks(gateway: Gateway) -> str:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"{gateway.admin_url}/readyz?verbose", trust_env=False).text
    return ""


@pytest.mark.item(96, "clock is wrong")
def test_a_gateway_whose_clock_is_wrong_serves_all_the_same(tmp_path: Path, upstream: str, redis: Redis) -> None:
    """Ten minutes ahead, longer than a token lives: what one issues the other takes, and nobody refreshes in vain."""
    text = shared(tmp_path, upstream, redis.url)
    right, wrong = Gateway(tmp_path / "right", text), Gateway(tmp_path / "wrong", text, command=mistimed(600))
    try:
        right.await_ready(lambda: right.readiness() == 200)
        wrong.await_ready(lambda: "[+]feed ok" in checks(wrong))
        here, there = right.login(), wrong.login()
        for gateway in (right, wrong):
            assert [get(gateway, tokens) for tokens in (here, there)] == [200, 200]
        first = refresh(wrong, here.refresh).json()
        assert refresh(right, here.refresh).json()["refresh_token"] == first["refresh_token"]
        assert get(right, Tokens(first)) == 200
    finally:
        for gateway in (right, wrong):
            gateway.hurry()
            gateway.stop()


def test_a_clock_that_is_a_minute_off_is_not_ready(tmp_path: Path, upstream: str, redis: Redis) -> None:
    text = shared(tmp_path, upstream, redis.url)
    gateway = Gateway(tmp_path / "late", text, command=mistimed(-600))
    try:
        gateway.await_ready(lambda: "[+]feed ok" in checks(gateway))
        assert gateway.readiness() == 503
        assert "[-]clock failed" in checks(gateway)
        tokens = gateway.login()
        assert get(gateway, tokens) == 200  # whoever asks all the same is served rightly
    finally:
        gateway.hurry()
        gateway.stop()
