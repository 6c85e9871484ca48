"""Limits of a whole gateway: what a client is told, and what a reload leaves of what was counted."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.app.home import Home, home

TEXT = """\
login: {verify: {file: users.yaml}}
roles: {user: {}, admin: {includes: [user]}}
upstreams: {one: ONE, two: TWO}
limits:
  ip: {by: address, rate: IP}
  user: {by: claim.sub, rate: 3/h, headers: TOLD}
  part: {by: route, rate: 2/h}
  slow: {by: claim.sub, max_inflight: SLOW}
routes:
  - {path: /open/**, to: one, auth: public, limit: ip}
  - {path: /any/**, to: one, limit: user}
  - {path: /held/**, to: one, limit: slow}
  - {path: /free/**, to: one}
  - {path: /parts, methods: [GET], to: one, auth: public, limit: part}
  - {path: /parts, methods: [POST], to: one, auth: public, limit: part}
"""
USERS = (
    "users:\n  ana: {password: demo, roles: [user], demo: true}\n  bob: {password: demo, roles: [user], demo: true}\n"
)


def text(*, ip: str = "2/h", slow: int = 1, told: str = "true") -> str:
    return TEXT.replace("IP", ip).replace("SLOW", str(slow)).replace("TOLD", told)


@pytest.fixture
async def at(tmp_path: Path) -> AsyncIterator[Home]:
    async with home(tmp_path, text(), users=USERS) as made:
        yield made


async def test_one_request_too_many_is_told_when_to_come_back(at: Home) -> None:
    assert [await at.status("/open/x") for _ in range(3)] == [200, 200, 429]
    refused = await at.client.get("/open/x")
    assert refused.headers["X-Gateway-Error"] == "rate_limited"
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert 0 < int(refused.headers["Retry-After"]) <= 1800
    assert refused.json()["code"] == "rate_limited"
    assert refused.headers["RateLimit-Policy"] == '"ip";q=2;w=3600'
    assert refused.headers["RateLimit"] == f'"ip";r=0;t={refused.headers["Retry-After"]}'
    assert await at.status("/free/x") == 401
    assert at.metric('gateway_refusals_total{code="rate_limited",reason="ip",route="/open/**"}') == 2


async def test_a_user_has_one_limit_over_all_logins_and_another_user_another(at: Home) -> None:
    ana, again, bob = await at.login(), await at.login(), await at.login("bob")
    assert [await at.status("/any/x", who) for who in (ana, again, ana, again)] == [200, 200, 200, 429]
    assert await at.status("/any/x", bob) == 200
    assert await at.status("/free/x", ana) == 200


async def test_answers_say_what_is_left_where_the_limit_says_so(at: Home) -> None:
    ana = await at.login()
    answers = [await at.client.get("/any/x", headers=ana) for _ in range(4)]
    assert [answer.headers["RateLimit"].partition(";t=")[0] for answer in answers] == [
        f'"user";r={left}' for left in (2, 1, 0, 0)
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert "RateLimit" not in (await at.client.get("/open/x")).headers


async def test_a_reload_that_leaves_a_limit_as_it_is_gives_nobody_a_new_one(at: Home) -> None:
    assert [await at.status("/open/x") for _ in range(3)] == [200, 200, 429]
    at.write(text(slow=2), users=USERS)
    await at.taken_up()
    assert await at.status("/open/x") == 429
    at.write(text(ip="5/h"), users=USERS)
    await at.taken_up()
    assert [await at.status("/open/x") for _ in range(6)] == [200] * 5 + [429]


async def test_to_tell_what_is_left_or_not_gives_nobody_a_new_limit(at: Home) -> None:
    ana = await at.login()
    assert "RateLimit" in (await at.client.get("/any/x", headers=ana)).headers
    at.write(text(told="false"), users=USERS)
    await at.taken_up()
    assert "RateLimit" not in (await at.client.get("/any/x", headers=ana)).headers
    at.write(text(), users=USERS)
    await at.taken_up()
    answers = [await at.client.get("/any/x", headers=ana) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert answers[0].headers["RateLimit"].startswith('"user";r=0')


async def test_two_routes_of_one_path_are_limited_each_by_itself(at: Home) -> None:
    assert [await at.status("/parts") for _ in range(3)] == [200, 200, 429]
    assert [(await at.client.post("/parts")).status_code for _ in range(3)] == [200, 200, 429]


async def test_what_is_under_way_counts_over_a_reload(at: Home) -> None:
    ana = await at.login()
    slow = asyncio.ensure_future(at.status("/held/slow", ana))
    await at.one.held.wait()
    assert await at.status("/held/x", ana) == 429
    at.write(text(slow=2), users=USERS)
    await at.taken_up()
    at.one.held.clear()
    other = asyncio.ensure_future(at.status("/held/slow", ana))
    await at.one.held.wait()
    assert await at.status("/held/x", ana) == 429
    at.one.go_on.set()
    assert [await slow, await other] == [200, 200]
    assert await at.status("/held/x", ana) == 200
