"""POST /auth/logout."""

import pytest

from gateway.errors import StoreUnavailable
from tests.endpoints.house import ACCESS_TTL, Browser, House
from tests.endpoints.test_refresh import CLEARED, forged


def bearing(token: str) -> dict[str, str]:
    """Return the Authorization header."""
    return {"Authorization": f"Bearer {token}"}


async def test_an_access_token_ends_its_session(house: House) -> None:
    members = await house.login()
    response = await house.client.post("/auth/logout", headers=bearing(members["access_token"]))
    assert (response.status, await response.text()) == (204, "")
    assert house.sessions.live == {}
    assert house.facts[-1].subject == "alice"
    assert "Set-Cookie" not in response.headers
    after = await house.client.get("/auth/session", headers=bearing(members["access_token"]))
    assert after.status == 401


@pytest.mark.item(91)
async def test_logging_out_twice_is_the_same_as_once(house: House) -> None:
    members = await house.login()
    for _ in range(2):
        response = await house.client.post("/auth/logout?scope=local", headers=bearing(members["access_token"]))
        assert response.status == 204


@pytest.mark.item(91)
async def test_an_expired_access_token_still_ends_its_session(house: House) -> None:
    members = await house.login()
    house.clock.now += ACCESS_TTL + 3600
    assert (await house.client.get("/auth/session", headers=bearing(members["access_token"]))).status == 401
    assert (await house.client.post("/auth/logout", headers=bearing(members["access_token"]))).status == 204
    assert house.sessions.live == {}


async def test_a_refresh_token_in_the_body_ends_its_session(house: House) -> None:
    members = await house.login()
    response = await house.client.post("/auth/logout", json={"refresh_token": members["refresh_token"]})
    assert response.status == 204
    assert house.sessions.live == {}


async def test_a_refresh_token_that_means_nothing_is_204_and_ends_nothing(house: House) -> None:
    members = await house.login()
    response = await house.client.post("/auth/logout", json={"refresh_token": forged(members["refresh_token"])})
    assert response.status == 204
    assert list(house.sessions.live) == [members["session_id"]]


async def test_an_access_token_that_never_was_ours_is_401_and_ends_nothing(house: House) -> None:
    members = await house.login()
    response = await house.client.post("/auth/logout", headers=bearing(forged(members["access_token"])))
    assert response.status == 401
    assert list(house.sessions.live) == [members["session_id"]]


@pytest.mark.item(153, 154)
async def test_cookies_end_their_session_and_are_cleared_with_their_exact_attributes(house: House) -> None:
    browser = await house.cookies()
    response = await house.client.post("/auth/logout", headers=browser.own)
    assert response.status == 204
    assert response.headers.getall("Set-Cookie") == CLEARED
    assert "Clear-Site-Data" not in response.headers
    assert response.headers["Cache-Control"] == "no-store"
    assert house.sessions.live == {}


@pytest.mark.parametrize("name", ["__Host-Http-gw-at", "__Host-Http-gw-rt"])
async def test_either_cookie_alone_is_enough(house: House, name: str) -> None:
    browser = await house.cookies()
    value = browser.access if name.endswith("at") else browser.refresh
    headers = {"Cookie": f"{name}={value}", "X-CSRF-Token": browser.csrf}
    assert (await house.client.post("/auth/logout", headers=headers)).status == 204
    assert house.sessions.live == {}


async def test_cookies_of_two_sessions_end_both(house: House) -> None:
    one, two = await house.cookies(), await house.cookies("bob", "demo")
    mixed = Browser(one.access, two.refresh, one.csrf, one.session)
    assert (await house.client.post("/auth/logout", headers=mixed.own)).status == 204
    assert house.sessions.live == {}


async def test_without_any_credential_there_is_nothing_to_end(house: House) -> None:
    response = await house.client.post("/auth/logout")
    assert response.status == 204
    assert "Set-Cookie" not in response.headers


async def test_cookies_that_mean_nothing_any_more_are_cleared(house: House) -> None:
    headers = {"Cookie": "__Host-Http-gw-at=x; __Host-Http-gw-rt=y", "Sec-Fetch-Site": "same-origin"}
    response = await house.client.post("/auth/logout", headers=headers)
    assert response.status == 204
    assert response.headers.getall("Set-Cookie") == CLEARED


@pytest.mark.item(147)
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="nothing at all"),
        pytest.param({"Sec-Fetch-Site": "cross-site"}, id="cross-site"),
        pytest.param({"Origin": "https://evil.example"}, id="a foreign origin"),
    ],
)
@pytest.mark.parametrize("scope", ["local", "others", "global"])
async def test_a_foreign_page_cannot_log_anybody_out(house: House, scope: str, headers: dict[str, str]) -> None:
    browser = await house.cookies()
    response = await house.client.post(f"/auth/logout?scope={scope}", headers={**browser.cookie, **headers})
    assert response.status == 403
    assert "Set-Cookie" not in response.headers
    assert list(house.sessions.live) == [browser.session]


@pytest.mark.item(91, 144)
async def test_get_does_not_log_out(house: House) -> None:
    browser = await house.cookies()
    assert (await house.client.get("/auth/logout", headers=browser.own)).status == 405
    assert list(house.sessions.live) == [browser.session]


async def test_others_ends_every_session_of_the_person_but_this_one(house: House) -> None:
    mine, others, bob = await house.login(), await house.login(), await house.login("bob", "demo")
    response = await house.client.post("/auth/logout?scope=others", headers=bearing(mine["access_token"]))
    assert response.status == 204
    assert set(house.sessions.live) == {mine["session_id"], bob["session_id"]}
    assert others["session_id"] not in house.sessions.live


async def test_global_ends_every_session_of_the_person_and_clears_the_cookies(house: House) -> None:
    browser, _, bob = await house.cookies(), await house.login(), await house.login("bob", "demo")
    response = await house.client.post("/auth/logout?scope=global", headers=browser.own)
    assert response.status == 204
    assert response.headers.getall("Set-Cookie") == CLEARED
    assert set(house.sessions.live) == {bob["session_id"]}


@pytest.mark.parametrize("scope", ["others", "global"])
async def test_ending_other_sessions_takes_a_token_that_is_still_valid(house: House, scope: str) -> None:
    members, _ = await house.login(), await house.login()
    house.clock.now += ACCESS_TTL + 60
    response = await house.client.post(f"/auth/logout?scope={scope}", headers=bearing(members["access_token"]))
    assert response.status == 401
    assert len(house.sessions.live) == 2
    assert (await house.client.post(f"/auth/logout?scope={scope}")).status == 401


@pytest.mark.parametrize("query", ["scope=all", "scope=", "scope=local&scope=global"])
async def test_an_unknown_scope_is_400_and_ends_nothing(house: House, query: str) -> None:
    members = await house.login()
    response = await house.client.post(f"/auth/logout?{query}", headers=bearing(members["access_token"]))
    assert response.status == 400
    assert len(house.sessions.live) == 1


async def test_when_the_store_is_down_it_is_503_and_the_cookies_stay_for_another_try(house: House) -> None:
    browser = await house.cookies()
    house.sessions.fails = StoreUnavailable("down")
    response = await house.client.post("/auth/logout", headers=browser.own)
    assert response.status == 503
    assert "Set-Cookie" not in response.headers
