"""Two real gateways over one real store: what ends on one has ended on the other, whatever becomes of the store."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import httpx
import pytest

from tests.journeys.house import Gateway, Tokens, until
from tests.journeys.pair import Pair, Redis, pair

PATIENCE = 20.0


@pytest.fixture(scope="module")
def two_gateways(tmp_path_factory: pytest.TempPathFactory, upstream: str, redis: Redis) -> Iterator[Pair]:
    """Two gateways for tests that upset neither of them."""
    with pair(tmp_path_factory.mktemp("pair"), upstream, redis.url) as made:
        yield made


def status(gateway: Gateway, tokens: Tokens, path: str = "/api/x") -> int:
    with gateway.client() as client:
        return client.get(path, headers=tokens.bearer).status_code


def is_refused(gateway: Gateway, tokens: Tokens) -> Callable[[], bool]:
    return lambda: status(gateway, tokens) == 401


def logout(gateway: Gateway, tokens: Tokens, scope: str = "local") -> None:
    with gateway.client() as client:
        answer = client.post("/auth/logout", params={"scope": scope}, headers=tokens.bearer)
    assert answer.status_code == 204, answer.text


@asynccontextmanager
async def streaming(gateway: Gateway, tokens: Tokens) -> AsyncIterator["Lines"]:
    """Hold a WebSocket and a stream of events open, and both have said something."""
    async with aiohttp.ClientSession(headers=tokens.bearer) as session:
        socket = await session.ws_connect(f"{gateway.url}/live/ws")
        await socket.send_str("hello")
        assert await socket.receive_str(timeout=PATIENCE) == "hello"
        events = await session.get(f"{gateway.url}/live/sse?ms=50")
        await events.content.readuntil(b"\n\n")
        async with socket, events:
            yield Lines(socket, events)


class Lines:
    """What one person holds open."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, events: aiohttp.ClientResponse) -> None:
        self.socket = socket
        self.events = events

    async def ended(self) -> int:
        """Return the close code of the WebSocket once both have ended; the events end without a clean end."""
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(aiohttp.ClientError):
                await self.events.read()
            message = await self.socket.receive()
        assert message.type is aiohttp.WSMsgType.CLOSE, message
        assert isinstance(message.data, int)
        return message.data

    async def go_on(self) -> None:
        """Return when both have said something more."""
        async with asyncio.timeout(PATIENCE):
            await self.socket.send_str("still")
            assert await self.socket.receive_str() == "still"
            await self.events.content.readuntil(b"\n\n")


@pytest.mark.item(99, "F8")
async def test_what_one_gateway_ends_the_other_refuses(two_gateways: Pair) -> None:
    tokens = two_gateways.one.login()
    assert status(two_gateways.two, tokens) == 200
    logout(two_gateways.one, tokens)
    until(is_refused(two_gateways.two, tokens), PATIENCE)


@pytest.mark.item(111)
async def test_a_socket_and_a_stream_of_one_gateway_end_with_a_logout_on_the_other(two_gateways: Pair) -> None:
    tokens, others = two_gateways.one.login(), two_gateways.one.login("admin")
    async with streaming(two_gateways.two, tokens) as mine, streaming(two_gateways.two, others) as theirs:
        logout(two_gateways.one, tokens)
        assert await mine.ended() == 1008
        await theirs.go_on()


async def test_logging_out_everywhere_else_ends_the_streams_of_the_others(two_gateways: Pair) -> None:
    here, there = two_gateways.one.login(), two_gateways.two.login()
    async with streaming(two_gateways.two, here) as kept, streaming(two_gateways.two, there) as lost:
        logout(two_gateways.one, here, "others")
        assert await lost.ended() == 1008
        await kept.go_on()


@pytest.mark.item(161)
def test_an_operator_ends_and_disables_on_one_and_the_other_obeys(two_gateways: Pair) -> None:
    one, two = two_gateways.one, two_gateways.two
    first, second = one.login(), two.login()
    with httpx.Client(base_url=one.admin_url, headers=two_gateways.admin, trust_env=False) as desk:
        listed = desk.get("/admin/users/alice/sessions").json()["sessions"]
        assert {first.session, second.session} <= {view["session_id"] for view in listed}
        for _ in range(2):
            answer = desk.post("/admin/revocations", json={"kind": "session", "value": first.session})
            assert answer.status_code == 200
        until(is_refused(two, first), PATIENCE)
        assert status(two, second) == 200
        assert desk.post("/admin/users/alice/disable").json()["disabled"] is True
        until(is_refused(two, second), PATIENCE)
        with two.client() as client:
            login = client.post("/auth/login", json={"username": "alice", "password": "demo"})
            refresh = client.post("/auth/refresh", json={"refresh_token": second.refresh})
        assert (login.status_code, refresh.status_code) == (401, 401)
        assert desk.post("/admin/users/alice/enable").json() == {"disabled": False, "was_disabled": True}
        assert status(two, two.login()) == 200
        known = desk.get("/admin/revocations").json()
    assert known["state"] == "fresh"
    assert {"session", "user"} <= {entry["kind"] for entry in known["revocations"]}
    audited = [json.loads(line) for line in one.errors.splitlines() if '"revoked"' in line]
    assert {(line["kind"], line["value"], line["actor"]) for line in audited} >= {
        ("session", first.session, "admin"),
        ("user", "alice", "admin"),
    }
    assert all(line["request_id"] and line["client_ip"] == "127.0.0.1" for line in audited)


@pytest.mark.item(111)
async def test_a_stream_outlives_its_token_while_the_session_is_refreshed_elsewhere(
    tmp_path: Path, upstream: str, redis: Redis
) -> None:
    with pair(tmp_path, upstream, redis.url, tokens=", access_ttl: 2s, leeway: 0s, refresh: {idle: 4s}") as made:
        tokens = made.one.login()
        async with streaming(made.two, tokens) as lines:
            until(is_refused(made.two, tokens), PATIENCE)  # the token is over
            with made.one.client() as client:
                answer = client.post("/auth/refresh", json={"refresh_token": tokens.refresh})
            assert answer.status_code == 200
            await lines.go_on()
            # Nobody refreshes any more: the session idles away, and nobody is told.
            assert await lines.ended() == 1008
        assert httpx.get(f"{made.two.url}/public/x", trust_env=False).status_code == 200
