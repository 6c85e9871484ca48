"""POST /auth/refresh."""

import asyncio

import pytest

from gateway.errors import StoreUnavailable
from gateway.tokens.csrf import mint
from tests.endpoints.house import ACCESS_TTL, REFRESH_TTL, Browser, House

CLEARED = [
    "__Host-Http-gw-at=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0",
    "__Host-Http-gw-rt=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0",
    "__Host-gw-csrf=; Path=/; Secure; SameSite=Strict; Max-Age=0",
]


def forged(token: str) -> str:
    """Return *token* with one character changed."""
    return token[:50] + ("A" if token[50] != "A" else "B") + token[51:]


async def test_a_refresh_token_in_the_body_brings_its_successor_in_the_shape_of_a_login(house: House) -> None:
    before = await house.login()
    response = await house.client.post("/auth/refresh", json={"refresh_token": before["refresh_token"]})
    assert response.status == 200
    after = await response.json()
    assert set(after) == set(before)
    assert after["session_id"] == before["session_id"]
    assert after["refresh_token"] != before["refresh_token"]
    assert after["access_token"] != before["access_token"]
    assert response.headers["Gateway-Refresh"] == "rotated"
    assert response.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in response.headers
    assert house.facts[-1].subject == "alice"


async def test_a_replay_inside_the_window_gets_the_same_successor_and_says_so(house: House) -> None:
    token = (await house.login())["refresh_token"]
    first = await house.client.post("/auth/refresh", json={"refresh_token": token})
    second = await house.client.post("/auth/refresh", json={"refresh_token": token})
    assert second.headers["Gateway-Refresh"] == "replayed"
    assert (await first.json())["refresh_token"] == (await second.json())["refresh_token"]


async def test_a_form_works_too(house: House) -> None:
    token = (await house.login())["refresh_token"]
    assert (await house.client.post("/auth/refresh", data={"refresh_token": token})).status == 200


@pytest.mark.parametrize("kind", ["garbage", "forged", "ended"])
async def test_a_token_that_does_not_count_is_401_and_nobody_learns_why(house: House, kind: str) -> None:
    members = await house.login()
    token = members["refresh_token"]
    if kind == "ended":
        await house.sessions.logout(members["session_id"], subject="alice")
    body = {"garbage": "gwr_x", "forged": forged(token), "ended": token}
    response = await house.client.post("/auth/refresh", json={"refresh_token": body[kind]})
    assert response.status == 401
    assert await response.json() == {
        "error": "invalid_grant",
        "error_description": "The refresh token is invalid, expired or revoked.",
        "code": "invalid_grant",
        "request_id": house.facts[-1].request_id,
    }
    assert "Set-Cookie" not in response.headers


@pytest.mark.item(136, 137)
async def test_cookie_mode_takes_the_cookie_and_an_empty_body_and_answers_in_cookies(house: House) -> None:
    browser = await house.cookies()
    response = await house.client.post("/auth/refresh", headers=browser.own)
    assert response.status == 200
    members = await response.json()
    assert set(members) == {"authenticated", "expires_in", "refresh_expires_in", "session_id", "csrf_token"}
    lines = response.headers.getall("Set-Cookie")
    after = Browser.of(lines, members)
    assert lines == [
        f"__Host-Http-gw-at={after.access}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={ACCESS_TTL}",
        f"__Host-Http-gw-rt={after.refresh}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={REFRESH_TTL}",
        f"__Host-gw-csrf={browser.csrf}; Path=/; Secure; SameSite=Strict; Max-Age={REFRESH_TTL}",
    ]
    assert after.refresh != browser.refresh
    text = await response.text()
    assert after.access not in text
    assert "gwr_" not in text
    assert response.headers["Gateway-Refresh"] == "rotated"


async def test_an_empty_json_body_is_cookie_mode_as_well(house: House) -> None:
    browser = await house.cookies()
    assert (await house.client.post("/auth/refresh", headers=browser.own, json={})).status == 200


@pytest.mark.item(142, 143)
async def test_the_csrf_token_stays_the_same_over_a_refresh_and_a_foreign_one_is_replaced(house: House) -> None:
    browser = await house.cookies()
    first = await (await house.client.post("/auth/refresh", headers=browser.own)).json()
    assert first["csrf_token"] == browser.csrf
    planted = Browser(browser.access, browser.refresh, mint(house.secrets, "another-session"), browser.session)
    second = await (await house.client.post("/auth/refresh", headers=planted.own)).json()
    assert second["csrf_token"] not in (planted.csrf, browser.csrf)


@pytest.mark.item(147)
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({"Sec-Fetch-Site": "same-origin"}, 200, id="our own page"),
        pytest.param({"Origin": "https://gw.example"}, 200, id="our own origin"),
        pytest.param({"X-CSRF-Token": "own"}, 200, id="the session's token"),
        pytest.param({}, 403, id="nothing at all"),
        pytest.param({"X-CSRF-Token": "other"}, 403, id="another session's token"),
        pytest.param({"Sec-Fetch-Site": "cross-site", "X-CSRF-Token": "own"}, 403, id="cross-site"),
        pytest.param({"Sec-Fetch-Site": "none"}, 403, id="none, which no script can be"),
        pytest.param({"Origin": "null", "X-CSRF-Token": "own"}, 403, id="a sandboxed page"),
        pytest.param({"Origin": "https://evil.example"}, 403, id="a foreign origin"),
    ],
)
async def test_cookie_mode_needs_proof_that_our_own_page_asks(
    house: House, headers: dict[str, str], status: int
) -> None:
    browser, other = await house.cookies(), await house.cookies()
    tokens = {"own": browser.csrf, "other": other.csrf}
    sent = {name: tokens.get(value, value) for name, value in headers.items()}
    response = await house.client.post("/auth/refresh", headers={**browser.cookie, **sent})
    assert response.status == status
    if status == 403:
        assert (await response.json())["error"] == "csrf_failed"
        assert "Set-Cookie" not in response.headers
        assert house.sessions.refreshes == 0


async def test_the_body_counts_before_the_cookie_and_leaves_the_cookies_alone(house: House) -> None:
    browser, other = await house.cookies(), await house.login("bob", "demo")
    response = await house.client.post(
        "/auth/refresh", headers=browser.cookie, json={"refresh_token": other["refresh_token"]}
    )
    assert (await response.json())["session_id"] == other["session_id"]
    assert "Set-Cookie" not in response.headers


@pytest.mark.item(154)
async def test_a_dead_cookie_is_401_and_cleared_with_its_exact_attributes(house: House) -> None:
    browser = await house.cookies()
    await house.sessions.logout(browser.session, subject="alice")
    response = await house.client.post("/auth/refresh", headers=browser.own)
    assert response.status == 401
    assert (await response.json())["error"] == "invalid_grant"
    assert response.headers.getall("Set-Cookie") == CLEARED
    assert "Clear-Site-Data" not in response.headers


async def test_a_refusal_that_may_pass_leaves_the_cookies(house: House) -> None:
    browser = await house.cookies()
    house.sessions.live.clear()
    house.sessions.grant_is_over = False
    response = await house.client.post("/auth/refresh", headers=browser.own)
    assert response.status == 401
    assert "Set-Cookie" not in response.headers


@pytest.mark.item(93)
@pytest.mark.parametrize("error", [StoreUnavailable("down"), TimeoutError("bug")], ids=["store down", "bug"])
async def test_a_transient_error_never_clears_a_cookie(house: House, error: Exception) -> None:
    browser = await house.cookies()
    house.sessions.fails = error
    response = await house.client.post("/auth/refresh", headers=browser.own)
    assert response.status in (500, 503)
    assert "Set-Cookie" not in response.headers
    if response.status == 503:
        assert response.headers["Retry-After"] == "2"
        assert (await response.json())["error"] == "temporarily_unavailable"
    house.sessions.fails = None
    assert (await house.client.post("/auth/refresh", headers=browser.own)).status == 200


async def test_a_cookie_that_comes_twice_counts_as_none_and_is_cleared(house: House) -> None:
    one, two = await house.cookies(), await house.cookies()
    both = {"Cookie": f"__Host-Http-gw-rt={one.refresh}; __Host-Http-gw-rt={two.refresh}"}
    response = await house.client.post("/auth/refresh", headers={**both, "Sec-Fetch-Site": "same-origin"})
    assert response.status == 401
    assert response.headers.getall("Set-Cookie")[:3] == CLEARED
    assert len(response.headers.getall("Set-Cookie")) == 5
    assert house.sessions.refreshes == 0


async def test_without_any_token_it_is_401_as_a_page_expects(house: House) -> None:
    response = await house.client.post("/auth/refresh")
    assert response.status == 401
    assert (await response.json())["error"] == "invalid_grant"


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        pytest.param("application/json", '{"token":"x"}', 400, id="another member"),
        pytest.param("application/json", '{"refresh_token":7}', 400, id="a number"),
        pytest.param("application/json", '{"refresh_token":"a","refresh_token":"b"}', 400, id="twice"),
        pytest.param("text/plain", '{"refresh_token":"a"}', 415, id="JSON as text"),
        pytest.param("", '{"refresh_token":"a"}', 415, id="a body without a type"),
        pytest.param("application/json", " " * 17_000, 413, id="too large"),
    ],
)
async def test_a_body_is_read_in_one_way_or_refused(house: House, content_type: str, body: str, status: int) -> None:
    response = await house.client.post(
        "/auth/refresh",
        data=body.encode(),
        headers={"Content-Type": content_type} if content_type else {},
        skip_auto_headers=("Content-Type",),
    )
    assert response.status == status
    assert house.sessions.refreshes == 0


@pytest.mark.item(144)
async def test_get_does_not_refresh(house: House) -> None:
    browser = await house.cookies()
    assert (await house.client.get("/auth/refresh", headers=browser.own)).status == 405


@pytest.mark.item(77)
async def test_fifty_tabs_at_once_all_get_an_answer(house: House) -> None:
    token = (await house.login())["refresh_token"]
    answers = await asyncio.gather(
        *(house.client.post("/auth/refresh", json={"refresh_token": token}) for _ in range(50))
    )
    assert {answer.status for answer in answers} == {200}
    assert len({(await answer.json())["refresh_token"] for answer in answers}) == 1
