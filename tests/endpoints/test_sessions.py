"""GET /auth/sessions and DELETE /auth/sessions/{id}; checklist 88 and 89 of the identity chapter."""

import pytest

from gateway.errors import StoreUnavailable
from tests.endpoints.house import House
from tests.endpoints.test_logout import bearing


async def listed(house: House, token: str) -> list[dict[str, object]]:
    answer = await house.client.get("/auth/sessions", headers=bearing(token))
    assert answer.status == 200, await answer.text()
    sessions: list[dict[str, object]] = (await answer.json())["sessions"]
    return sessions


@pytest.mark.item(88)
async def test_a_person_sees_their_own_sessions_and_nobody_elses(house: House) -> None:
    mine = [await house.login() for _ in range(2)]
    theirs = await house.login("bob", "demo")
    assert {one["session_id"] for one in await listed(house, mine[0]["access_token"])} == {
        one["session_id"] for one in mine
    }
    assert [one["session_id"] for one in await listed(house, theirs["access_token"])] == [theirs["session_id"]]


@pytest.mark.item(89)
async def test_the_list_says_which_one_is_this_and_holds_no_token(house: House) -> None:
    first, second = await house.login(), await house.login()
    sessions = await listed(house, first["access_token"])
    assert {one["session_id"]: one["current"] for one in sessions} == {
        first["session_id"]: True,
        second["session_id"]: False,
    }
    assert sessions[0].keys() == {
        "session_id",
        "current",
        "created_at",
        "last_used_at",
        "expires_at",
        "idle_expires_at",
        "client_id",
        "device",
        "user_agent",
        "ip",
        "amr",
    }
    assert not any(token in str(sessions) for token in (first["access_token"], first["refresh_token"], "gwr_"))


@pytest.mark.item(88)
async def test_a_person_ends_one_of_their_sessions(house: House) -> None:
    here, there = await house.login(), await house.login()
    answer = await house.client.delete(f"/auth/sessions/{there['session_id']}", headers=bearing(here["access_token"]))
    assert (answer.status, await answer.text()) == (204, "")
    assert list(house.sessions.live) == [here["session_id"]]
    assert house.facts[-1].subject == "alice"


@pytest.mark.item(88)
@pytest.mark.parametrize("session", ["A" * 22, "short", "A" * 23, "%2e%2e", "*" * 22])
async def test_a_session_that_is_not_theirs_does_not_exist(house: House, session: str) -> None:
    here, other = await house.login(), await house.login("bob", "demo")
    for name in (session, other["session_id"]):
        answer = await house.client.delete(f"/auth/sessions/{name}", headers=bearing(here["access_token"]))
        assert (answer.status, (await answer.json())["code"]) == (404, "no_route")
    assert len(house.sessions.live) == 2


async def test_a_browser_needs_proof_to_end_a_session_and_none_to_look(house: House) -> None:
    browser = await house.cookies()
    assert (await house.client.get("/auth/sessions", headers=browser.cookie)).status == 200
    path = f"/auth/sessions/{browser.session}"
    assert (await house.client.delete(path, headers=browser.cookie)).status == 403
    answer = await house.client.delete(path, headers=browser.own)
    assert answer.status == 204
    assert len(answer.headers.getall("Set-Cookie")) == 3  # its own session: the cookies mean nothing any more


async def test_ending_another_session_keeps_the_cookies(house: House) -> None:
    browser, other = await house.cookies(), await house.login()
    answer = await house.client.delete(f"/auth/sessions/{other['session_id']}", headers=browser.own)
    assert (answer.status, answer.headers.getall("Set-Cookie", [])) == (204, [])


async def test_who_is_not_logged_in_is_401_and_a_silent_store_503(house: House) -> None:
    assert (await house.client.get("/auth/sessions")).status == 401
    assert (await house.client.delete(f"/auth/sessions/{'A' * 22}")).status == 401
    members = await house.login()
    house.sessions.fails = StoreUnavailable("down")
    for answer in (
        await house.client.get("/auth/sessions", headers=bearing(members["access_token"])),
        await house.client.delete(f"/auth/sessions/{'A' * 22}", headers=bearing(members["access_token"])),
    ):
        assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
