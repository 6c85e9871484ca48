"""Two real gateways over one real Redis: together they hold clients to one limit, with the store or without it."""

import asyncio
import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from gateway.limits.shared import EVERY
from tests.journeys.house import Gateway, until
from tests.journeys.pair import Pair, Redis, pair

RATE, BURST = 50, 100
LATE = 0.15
"""Seconds an exchange may take longer than its turn on a machine that has other things to do."""
LIMITS = f"""\
limits:
  key: {{by: header.X-Key, rate: {RATE}/s, burst: {BURST}}}
  rare: {{by: header.X-Key, rate: 10/h}}
"""
ROUTES = """\
  - {path: /keyed/**, to: app, auth: public, limit: key}
  - {path: /rare/**, to: app, auth: public, limit: rare}
"""
PATIENCE = 20.0
_KEYS = itertools.count()


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, upstream: str, redis: Redis) -> Iterator[Pair]:
    with pair(tmp_path_factory.mktemp("two"), upstream, redis.url, routes=ROUTES, more=LIMITS) as made:
        yield made


async def hammer(gateway: Gateway, key: str, seconds: float) -> int:
    """Ask without a pause, on several connections; return how many requests passed."""
    end = time.monotonic() + seconds
    passed = 0

    async def one(client: httpx.AsyncClient) -> None:
        nonlocal passed
        while time.monotonic() < end:
            answer = await client.get("/keyed/x", headers={"X-Key": key})
            assert answer.status_code in (200, 429)
            passed += answer.status_code == 200

    async with httpx.AsyncClient(base_url=gateway.url, trust_env=False, timeout=20) as client:
        await asyncio.gather(*(one(client) for _ in range(4)))
    return passed


async def test_what_two_let_through_is_within_what_is_said(two: Pair) -> None:
    """Both are hammered with one key: the burst and the rate once, and what neither could know of the other."""
    key = f"k{next(_KEYS)}"
    begun = time.monotonic()
    one, other = await asyncio.gather(hammer(two.one, key, 4.0), hammer(two.two, key, 4.0))
    seconds = time.monotonic() - begun
    round_ = EVERY + LATE
    assert one + other <= BURST + RATE * seconds + (BURST + RATE * 2 * round_)
    assert one + other >= BURST + RATE * 3.5, "less than one gateway alone would have let through"


def test_what_was_used_up_at_one_is_used_up_at_the_other(two: Pair) -> None:
    key = {"X-Key": f"k{next(_KEYS)}"}
    with two.one.client() as one, two.two.client() as other:
        assert statuses(one, key, 11) == [200] * 10 + [429]
        # The other learns of it as soon as it has let somebody through itself.
        passed = 0
        deadline = time.monotonic() + PATIENCE
        while (status := other.get("/rare/x", headers=key).status_code) == 200 and time.monotonic() < deadline:
            passed += 1
            time.sleep(0.05)
        assert status == 429
        assert 1 <= passed < 10
        assert other.get("/rare/x", headers={"X-Key": f"k{next(_KEYS)}"}).status_code == 200


def test_without_the_store_each_goes_on_alone_and_with_it_they_share_again(tmp_path: Path, upstream: str) -> None:
    redis = Redis(tmp_path)
    try:
        with (
            pair(tmp_path / "pair", upstream, redis.url, routes=ROUTES, more=LIMITS) as made,
            made.one.client() as one,
            made.two.client() as other,
        ):
            with redis.frozen():
                for client in (one, other):
                    assert statuses(client, {"X-Key": "alone"}, 12) == [200] * 10 + [429] * 2
                until(lambda: not is_shared(made.one) and not is_shared(made.two))
            until(lambda: is_shared(made.one) and is_shared(made.two))
            assert "limits_alone" in made.one.errors
            assert "limits_shared" in made.one.errors
            assert other.get("/public/x").status_code == 200
    finally:
        redis.stop()


def statuses(client: httpx.Client, headers: dict[str, str], times: int) -> list[int]:
    return [client.get("/rare/x", headers=headers).status_code for _ in range(times)]


def is_shared(gateway: Gateway) -> bool:
    return "gateway_limits_shared 1.0" in httpx.get(f"{gateway.admin_url}/metrics", trust_env=False).text
