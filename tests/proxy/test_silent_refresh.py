"""Silent refresh: an access cookie that is over is renewed on the way, and what it gave reaches the browser.

Identity chapter 5 (silent refresh at the gateway), checklist 151, ARCHITECTURE 8.16.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest

from gateway.errors import refuse
from gateway.head import Renewal
from gateway.tokens import csrf
from tests.proxy.harness import RESET, SECRETS, House, get, identity, post, verified
from tests.proxy.harness import house as a_house
from tests.proxy.strict import Answer, Request

AT, RT = "__Host-Http-gw-at", "__Host-Http-gw-rt"
LINES = b"Cache-Control: private\r\nVary: Cookie\r\nSet-Cookie: new\r\n"


class Renewals:
    """Gives what a test wants; a refresh cookie that begins with rt- is of the session behind it."""

    def __init__(self) -> None:
        self.gives = Renewal(b"good", LINES)
        self.asked: list[tuple[str, str | None]] = []

    def session_of(self, refresh: str) -> str:
        return refresh.removeprefix("rt-") if refresh.startswith("rt-") else ""

    async def renew(self, refresh: str, csrf_cookie: str | None) -> Renewal:
        self.asked.append((refresh, csrf_cookie))
        await asyncio.sleep(0)
        assert self.gives is not None
        return self.gives


@pytest.fixture
def renewals() -> Renewals:
    return Renewals()


@pytest.fixture
async def house(renewals: Renewals) -> AsyncIterator[House]:
    async with a_house() as made:
        made.tokens.known[b"ending"] = verified(identity("alice", "user")._replace(expires=int(made.clock.wall()) + 20))
        made.load(settings={"renewals": renewals})
        yield made


def cookies(access: str = "", refresh: str = "rt-s-1", more: Mapping[str, str] | None = None) -> dict[str, str]:
    pairs = [f"{AT}={access}"] if access else []
    pairs += [f"{RT}={refresh}"] if refresh else []
    return {"Cookie": "; ".join(["theme=dark", *pairs]), **(more or {})}


def said(message: Answer | Request, name: str) -> str:
    """Return the one value of a field; "" without it."""
    return b", ".join(value for key, value in message.fields if key.lower() == name.encode()).decode()


@pytest.mark.parametrize("access", ["", "expired", "revoked", "nonsense", "ending"])
async def test_a_cookie_that_is_missing_over_or_nearly_so_is_renewed(
    house: House, renewals: Renewals, access: str
) -> None:
    answer = await house.ask(get("/silent/x", cookies(access)))
    assert (answer.status, said(answer, "set-cookie")) == (200, "new")
    assert renewals.asked == [("rt-s-1", None)]
    assert said(house.origin.only, "x-user-id") == "alice"
    assert said(house.origin.only, "cookie") == "theme=dark"


async def test_a_good_cookie_is_left_alone(house: House, renewals: Renewals) -> None:
    answer = await house.ask(get("/silent/x", cookies("good")))
    assert (answer.status, said(answer, "set-cookie"), renewals.asked) == (200, "", [])


async def test_other_routes_do_not_refresh(house: House, renewals: Renewals) -> None:
    answer = await house.refusal(get("/api/x", cookies("expired")))
    assert (answer.code, renewals.asked) == ("token_expired", [])


@pytest.mark.item(151)
async def test_the_answer_is_private_whatever_the_service_says_of_caching(house: House) -> None:
    house.origin.says(b"HTTP/1.1 200 OK\r\nCache-Control: public, max-age=60\r\nX-A: b\r\nContent-Length: 2\r\n\r\nok")
    answer = await house.ask(get("/silent/x", cookies()))
    assert (said(answer, "cache-control"), said(answer, "vary")) == ("private", "Cookie")
    assert said(answer, "x-a") == "b"


async def test_a_service_that_forbids_storing_is_not_overruled(house: House) -> None:
    house.origin.says(b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 2\r\n\r\nok")
    answer = await house.ask(get("/silent/x", cookies()))
    assert b"Cache-Control: no-store\r\n" in answer.raw


async def test_the_cookies_ride_on_a_streamed_answer(house: House) -> None:
    house.origin.says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"2\r\nok\r\n0\r\n\r\n")
    answer = await house.ask(get("/silent/x", cookies()))
    assert (said(answer, "set-cookie"), answer.body) == ("new", b"ok")


async def test_the_cookies_ride_on_a_502(house: House) -> None:
    house.origin.says(RESET)
    answer = await house.ask(post("/silent/x", headers=_lines(cookies(more={"Sec-Fetch-Site": "same-origin"}))))
    assert (answer.status, said(answer, "set-cookie")) == (502, "new")


async def test_the_cookies_ride_on_a_403(house: House) -> None:
    answer = await house.ask(get("/silent-admin/x", cookies()))
    assert (answer.status, answer.code, said(answer, "set-cookie")) == (403, "role_missing", "new")


async def test_the_next_request_on_the_connection_is_judged_anew(house: House, renewals: Renewals) -> None:
    client = await house.client()
    for count in (1, 2):
        answer = await client.ask(get("/silent/x", cookies()))
        assert (said(answer, "set-cookie"), len(renewals.asked)) == ("new", count)
    assert said(await client.ask(get("/silent/x", cookies("good"))), "set-cookie") == ""


async def test_a_body_waits_for_the_refresh(house: House) -> None:
    headers = _lines(cookies(more={"Sec-Fetch-Site": "same-origin"}))
    answer = await house.ask(post("/silent/x", b"hello", headers))
    assert (answer.status, house.origin.only.body) == (200, b"hello")


async def test_a_changing_request_is_renewed_only_for_our_own_page(house: House, renewals: Renewals) -> None:
    token = csrf.mint(SECRETS, "s-1")
    for more in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.test"}, {}):
        answer = await house.ask(post("/silent/x", headers=_lines(cookies(more=more))))
        assert answer.code == "token_missing"
    assert renewals.asked == []
    for more in ({"Sec-Fetch-Site": "same-origin"}, {"Origin": "https://gw.test"}, {"X-CSRF-Token": token}):
        assert (await house.ask(post("/silent/x", headers=_lines(cookies(more=more))))).status == 200


@pytest.mark.parametrize(
    "more",
    [
        {"Sec-Purpose": "prefetch;prerender"},
        {"Purpose": "prefetch"},
        {"X-Moz": "prefetch"},
        {"Authorization": "Basic eDp5"},
    ],
    ids=lambda more: next(iter(more)),
)
async def test_an_answer_that_would_not_reach_the_cookie_jar_is_no_occasion(
    house: House, renewals: Renewals, more: dict[str, str]
) -> None:
    answer = await house.ask(get("/silent/x", cookies(more=more)))
    assert (answer.code, renewals.asked) == ("token_missing", [])


async def test_a_websocket_is_no_occasion(house: House, renewals: Renewals) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Origin": "https://gw.test",
    }
    answer = await house.ask(get("/silent-ws/x", cookies("expired", more=upgrade)))
    assert (answer.code, renewals.asked) == ("token_expired", [])


async def test_a_bearer_token_never_falls_back_to_the_refresh_cookie(house: House, renewals: Renewals) -> None:
    answer = await house.ask(get("/silent/x", cookies(), token="expired"))
    assert (answer.code, renewals.asked) == ("token_expired", [])


async def test_a_refresh_cookie_that_is_not_ours_ends_here(house: House, renewals: Renewals) -> None:
    answer = await house.ask(get("/silent/x", cookies(refresh="gwr_forged")))
    assert (answer.code, renewals.asked) == ("token_missing", [])


async def test_a_session_that_is_over_is_401_and_its_cookies_are_cleared(house: House, renewals: Renewals) -> None:
    renewals.gives = Renewal(lines=b"Set-Cookie: gone\r\n")
    answer = await house.ask(get("/silent/x", cookies("expired")))
    assert (answer.code, said(answer, "set-cookie")) == ("token_expired", "gone")
    assert len(renewals.asked) == 1


async def test_an_outage_is_503_and_leaves_the_cookies(house: House, renewals: Renewals) -> None:
    renewals.gives = Renewal(unavailable=refuse("store_unavailable", "silent_refresh", retry_after=2))
    answer = await house.ask(get("/silent/x", cookies("expired")))
    assert (answer.status, answer.code, said(answer, "set-cookie")) == (503, "store_unavailable", "")


async def test_an_outage_does_not_hurt_while_the_access_token_is_good(house: House, renewals: Renewals) -> None:
    renewals.gives = Renewal(unavailable=refuse("store_unavailable", "silent_refresh", retry_after=2))
    answer = await house.ask(get("/silent/x", cookies("ending")))
    assert (answer.status, len(renewals.asked)) == (200, 1)


@pytest.mark.item(171)
async def test_a_bug_in_the_refresh_is_a_refusal(house: House, renewals: Renewals) -> None:
    renewals.gives = None  # type: ignore[assignment]
    answer = await house.ask(get("/silent/x", cookies("expired")))
    assert (answer.status, answer.code, len(renewals.asked)) == (401, "token_expired", 1)
    house.faults.clear()


async def test_an_optional_route_knows_its_visitor_again(house: House) -> None:
    assert (await house.ask(get("/silent-optional/x", cookies()))).status == 200
    assert said(house.origin.only, "x-user-id") == "alice"


async def test_an_optional_route_goes_on_without_a_visitor_whose_session_is_over(
    house: House, renewals: Renewals
) -> None:
    renewals.gives = Renewal(lines=b"Set-Cookie: gone\r\n")
    answer = await house.ask(get("/silent-optional/x", cookies()))
    assert (answer.status, said(answer, "set-cookie")) == (200, "gone")
    assert said(house.origin.only, "x-user-id") == ""


async def test_the_csrf_cookie_goes_along_so_that_every_tab_keeps_it(house: House, renewals: Renewals) -> None:
    await house.ask(get("/silent/x", {"Cookie": f"{RT}=rt-s-1; __Host-gw-csrf=mine"}))
    assert renewals.asked == [("rt-s-1", "mine")]


@pytest.mark.item(62)
async def test_cookies_of_ours_that_come_twice_are_cleared(house: House) -> None:
    house.load(clearing=b"Set-Cookie: gone\r\n")
    answer = await house.ask(get("/api/x", {"Cookie": f"{AT}=good; {AT}=good"}))
    assert (answer.code, said(answer, "set-cookie")) == ("bad_request", "gone")


@pytest.mark.item(74)
async def test_more_than_16_kib_of_cookies_are_431(house: House) -> None:
    answer = await house.ask(get("/api/x", {"Cookie": f"{AT}=good; a={'b' * 16384}"}))
    assert (answer.status, answer.code) == (431, "head_too_large")
    assert (await house.ask(get("/api/x", {"Cookie": f"{AT}=good; a={'b' * 16000}"}))).status == 200


def _lines(headers: Mapping[str, str]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items())
