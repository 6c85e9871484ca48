"""Whatever becomes of a request that is counted while it is under way, it is counted no longer when it is over."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

import pytest

from gateway.limits.counter import Counter, Owner
from gateway.limits.limit import Allowance, By, Kind, Limit
from gateway.limits.routes import RouteLimits
from gateway.proxy.engine import Limits
from gateway.proxy.pool import PoolLimits
from gateway.routing.table import Retry, Route, RouteOptions, Rule, Timeouts, WebSocketOptions
from tests.proxy.harness import (
    END,
    OK,
    PUBLIC,
    RESET,
    USER,
    Client,
    House,
    chunked,
    get,
    post,
    route,
    settle,
    until,
    usual_routes,
)

KEY = "MDEyMzQ1Njc4OWFiY2RlZg=="
ACCEPT = "BACScCJPNqyz+UBoqMH89VmURoA="
UPGRADE = f"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n"
HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"
STREAM = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"


class Counted(House):
    """A house whose routes below /held count what is under way."""

    counter: Counter

    def admitting(self, most: int = 1000) -> None:
        """Let so many requests of a user be under way."""
        limit = Limit("held", By(Kind.CLAIM, "sub"), Allowance(inflight=most))
        self.counter = Counter(limit, _subject, lambda _allowed, _plan: None, {})

        def of(made: Route, rule: Rule) -> RouteLimits | None:
            return RouteLimits(made.name, [self.counter], self.clock.monotonic) if rule.limits else None

        self.load(settings={"limits": of})

    @property
    def under_way(self) -> int:
        return sum(self.counter.inflight.values())


def _subject(owner: Owner, _path: tuple[str, ...]) -> object:
    return owner.subject


def routes() -> list[Route]:
    limited = replace(USER, limits=("held",))
    quick = RouteOptions(timeouts=Timeouts(5.0, 2.0, 4.0, 20.0), retry=Retry(0, frozenset()))
    return [
        *usual_routes(),
        route(30, "/held/**", limited, quick),
        route(31, "/held-ws/**", limited, RouteOptions(websocket=WebSocketOptions())),
        route(32, "/held-small/**", limited, RouteOptions(body_limit=3)),
        route(33, "/held-strict/**", replace(limited, strict=True)),
        route(34, "/held-open/**", replace(PUBLIC, limits=("held",)), quick),
    ]


@pytest.fixture
async def house() -> AsyncIterator[Counted]:
    made = Counted(limits=Limits(), routes=routes(), pool=PoolLimits())
    made.admitting()
    await made.open()
    try:
        yield made
    finally:
        await made.close()
    assert made.faults == []
    assert made.counter.inflight == {}


Ending = Callable[[Counted, Client], Awaitable[None]]


async def whole(house: Counted, client: Client) -> None:
    assert (await client.ask(get("/held/x", token="good"))).status == 200


async def without_a_token(house: Counted, client: Client) -> None:
    assert (await client.ask(get("/held-open/x"))).status == 200


async def refused_by_its_rule(house: Counted, client: Client) -> None:
    assert (await client.ask(get("/held/x", token="nobody"))).status == 403


async def too_large(house: Counted, client: Client) -> None:
    assert (await client.ask(post("/held-small/x", b"large", token="good"))).status == 413


async def too_large_in_pieces(house: Counted, client: Client) -> None:
    assert (await client.ask(chunked(b"large", path="/held-small/x", token="good"))).status == 413


async def the_service_breaks_off(house: Counted, client: Client) -> None:
    house.origin.says(HALF, RESET)
    await client.send(get("/held/x", token="good"))
    with suppress(ConnectionError):
        await client.rest()


async def the_service_says_nothing(house: Counted, client: Client) -> None:
    house.origin.says(RESET)
    assert (await client.ask(post("/held/x", token="good"))).status == 502


async def the_service_ends_well(house: Counted, client: Client) -> None:
    house.origin.says(b"HTTP/1.1 200 OK\r\n\r\nall", END)
    assert (await client.ask(get("/held/x", token="good", headers="Connection: close\r\n"))).status == 200


async def no_service(house: Counted, client: Client) -> None:
    house.origin.shut()
    for pool in house.pools.values():
        for target in pool.targets:
            for up in list(target.idle):
                up.transport.abort()
    await settle()
    assert (await client.ask(get("/held/x", token="good"))).status == 502
    await house.origin.open()


async def the_service_is_late(house: Counted, client: Client) -> None:
    house.origin.says(asyncio.Event())
    await client.send(get("/held/x", token="good"))
    await until(lambda: not house.origin.script)
    house.turn(3.0)
    assert (await client.answer()).status == 504


async def the_stream_goes_silent(house: Counted, client: Client) -> None:
    house.origin.says(STREAM, asyncio.Event())
    await client.send(get("/held/x", token="good"))
    await client.read()
    house.turn(6.0)
    with suppress(ConnectionError):
        await client.rest()


async def the_client_leaves(house: Counted, client: Client) -> None:
    house.origin.says(asyncio.Event())
    await client.send(get("/held/x", token="good"))
    await until(lambda: not house.origin.script)
    client.reset()


async def the_client_leaves_a_stream(house: Counted, client: Client) -> None:
    house.origin.says(STREAM, asyncio.Event())
    await client.send(get("/held/x", token="good"))
    await client.read()
    client.reset()


async def the_client_leaves_an_upload(house: Counted, client: Client) -> None:
    await client.send(get("/held/x", "Content-Length: 100\r\n", method="POST", token="good") + b"half")
    await until(lambda: house.under_way)
    client.reset()


async def the_client_leaves_while_the_store_is_asked(house: Counted, client: Client) -> None:
    house.feed.fresh = False
    await client.send(get("/held-strict/x", token="good"))
    await until(lambda: house.engine.connections and house.downstream._task is not None)
    client.reset()
    await until(lambda: not house.engine.connections)
    house.feed.fresh = True


async def a_waited_one(house: Counted, client: Client) -> None:
    house.feed.fresh = False
    house.feed.warm.set()
    assert (await client.ask(get("/held-strict/x", token="good"))).status == 200
    house.feed.fresh = True


async def a_bad_body(house: Counted, client: Client) -> None:
    await client.send(chunked(b"good", path="/held/x", token="good", end=b"zz\r\n"))
    assert (await client.answer(b"POST")).status == 400


async def its_session_ends(house: Counted, client: Client) -> None:
    house.origin.says(STREAM, asyncio.Event())
    await client.send(get("/held/x", token="good"))
    await client.read()
    assert house.downstream.exchange is not None
    house.downstream.exchange.end_session()
    with suppress(ConnectionError):
        await client.rest()


async def a_tunnel(house: Counted, client: Client) -> None:
    house.origin.says(_switched(), asyncio.Event())
    await client.send(get("/held-ws/x", UPGRADE, token="good"))
    await client.read()
    assert house.under_way == 1
    client.reset()


async def a_tunnel_whose_session_ends(house: Counted, client: Client) -> None:
    house.origin.says(_switched(), asyncio.Event())
    await client.send(get("/held-ws/x", UPGRADE, token="good"))
    await client.read()
    tunnel = house.downstream.tunnel
    assert tunnel is not None
    tunnel.end_session()
    house.turn(2.0)
    with suppress(ConnectionError):
        await client.rest()


async def a_handshake_that_fails(house: Counted, client: Client) -> None:
    house.origin.says(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", END)
    await client.send(get("/held-ws/x", UPGRADE, token="good"))
    assert (await client.answer()).status == 502


async def pipelined(house: Counted, client: Client) -> None:
    await client.send(get("/held/x", token="good") * 3)
    for _ in range(3):
        assert (await client.answer()).status == 200


def _switched() -> bytes:
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
    ).encode()


ENDINGS: list[Ending] = [
    whole,
    without_a_token,
    refused_by_its_rule,
    too_large,
    too_large_in_pieces,
    the_service_breaks_off,
    the_service_says_nothing,
    the_service_ends_well,
    no_service,
    the_service_is_late,
    the_stream_goes_silent,
    the_client_leaves,
    the_client_leaves_a_stream,
    the_client_leaves_an_upload,
    the_client_leaves_while_the_store_is_asked,
    a_waited_one,
    a_bad_body,
    its_session_ends,
    a_tunnel,
    a_tunnel_whose_session_ends,
    a_handshake_that_fails,
    pipelined,
]


async def play(house: Counted, ending: Ending) -> None:
    client = await house.client()
    await ending(house, client)
    client.close()
    house.forget(client)
    await until(lambda: not house.engine.connections, ending.__name__)
    await until(lambda: house.under_way == 0, ending.__name__)


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.__name__.replace("_", " "))
async def test_a_request_is_counted_no_longer_after(house: Counted, ending: Ending) -> None:
    await play(house, ending)


@pytest.mark.parametrize("seed", range(3))
async def test_after_any_endings_in_any_order_nothing_is_under_way(house: Counted, seed: int) -> None:
    chosen = random.Random(seed)
    for _ in range(40):
        await play(house, chosen.choice(ENDINGS))


async def test_one_more_than_may_be_under_way_is_429_and_does_not_reach_the_service(house: Counted) -> None:
    house.admitting(2)
    go_on = asyncio.Event()
    first, second, third = [await house.client() for _ in range(3)]
    for client in (first, second):
        house.origin.says(go_on, OK)
        await client.send(get("/held/x", token="good"))
    await until(lambda: len(house.origin.requests) == 2)
    refused = await third.ask(get("/held/x", token="good"))
    assert (refused.status, refused.code) == (429, "rate_limited")
    assert (await third.ask(get("/held/x", token="admin"))).status == 200
    go_on.set()
    assert (await first.answer()).status == (await second.answer()).status == 200
    assert (await third.ask(get("/held/x", token="good"))).status == 200


async def test_a_tunnel_counts_as_long_as_it_is_open(house: Counted) -> None:
    house.admitting(1)
    house.origin.says(_switched(), asyncio.Event())
    client = await house.client()
    await client.send(get("/held-ws/x", UPGRADE, token="good"))
    await client.read()
    assert (await house.ask(get("/held/x", token="good"))).status == 429
    client.reset()
    await until(lambda: house.under_way == 0)
    assert (await house.ask(get("/held/x", token="good"))).status == 200
