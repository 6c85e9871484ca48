"""A browser in which somebody has logged in before: known by its mark, and not held up by what strangers guess."""

import asyncio

import pytest

from gateway.tokens.device import DEVICE_TTL, mint, read
from tests.endpoints.house import House
from tests.endpoints.test_account import enrolled, first_step, second_step
from tests.endpoints.test_pages import Visit

MARK = "__Host-Http-gw-dv"
OWN = {"Sec-Fetch-Site": "same-origin"}


async def log_in(house: House, mark: str = "", password: str = "wonderland", username: str = "alice") -> int:
    """Try to log in with *mark*; return the status."""
    response = await house.client.post(
        "/auth/login",
        json={"username": username, "password": password},
        headers={**OWN, "Cookie": f"{MARK}={mark}"} if mark else OWN,
    )
    return response.status


async def attack(house: House, username: str = "alice") -> None:
    """Guess until guesses are throttled: from the one address that all have here, so the pair counts."""
    assert [await log_in(house, password="guess", username=username) for _ in range(6)] == [401] * 5 + [429]


@pytest.mark.item(124)
async def test_who_attacks_an_account_does_not_lock_out_a_browser_its_owner_uses(house: House) -> None:
    mark = (await house.cookies()).device
    await attack(house)
    assert await log_in(house) == 429
    assert await log_in(house, mark) == 200
    assert await log_in(house) == 429, "and that gave the strangers nothing"


@pytest.mark.item(123)
async def test_nor_while_a_hundred_guesses_are_under_way(house: House) -> None:
    mark = (await house.cookies()).device
    guesses = [asyncio.ensure_future(log_in(house, password="guess")) for _ in range(100)]
    assert await log_in(house, mark) == 200
    statuses = await asyncio.gather(*guesses)
    assert (statuses.count(401), statuses.count(429)) == (5, 95)


async def test_the_owner_can_change_the_password_meanwhile(house: House) -> None:
    browser = await house.cookies()
    await attack(house)
    body = {"current_password": "wonderland", "new_password": "looking-glass"}
    refused = await house.client.post("/auth/password", json=body, headers=browser.own)
    assert refused.status == 429
    own = {**browser.own, "Cookie": f"{browser.cookie['Cookie']}; {MARK}={browser.device}"}
    assert (await house.client.post("/auth/password", json=body, headers=own)).status == 204


@pytest.mark.item(124)
async def test_a_stolen_mark_buys_five_tries_and_takes_none_from_others(house: House) -> None:
    mark = (await house.cookies()).device
    assert [await log_in(house, mark, "guess") for _ in range(6)] == [401] * 5 + [429]
    assert await log_in(house, mark) == 429
    assert await log_in(house) == 200


@pytest.mark.item(123)
async def test_who_once_knew_the_password_and_kept_many_marks_has_no_five_tries_for_each(house: House) -> None:
    marks = [(await house.cookies()).device for _ in range(10)]
    statuses = [await log_in(house, mark, "guess") for mark in marks for _ in range(5)]
    assert (statuses.count(401), statuses.count(429)) == (30, 20)
    house.clock.now += 1
    assert await log_in(house, marks[-1]) == 200
    assert await log_in(house, marks[-2], "guess") == 401, "whoever knows the password starts afresh"


async def test_a_mark_counts_for_one_account_only(house: House) -> None:
    mark = (await house.cookies("bob", "demo")).device
    await attack(house)
    assert await log_in(house, mark) == 429


async def test_a_mark_counts_however_the_name_is_spelt(house: House) -> None:
    mark = (await house.cookies("alice")).device
    await attack(house)
    assert await log_in(house, mark, username="ALICE") == 200


async def test_a_mark_that_is_forged_or_too_old_or_comes_twice_counts_for_nothing(house: House) -> None:
    mark = (await house.cookies()).device
    await attack(house)
    old = mint(house.secrets, "alice", house.clock.wall() - DEVICE_TTL)
    for bad in (mark[:-2] + "xx", old, f"{mark}; {MARK}={mark}", "x"):
        assert await log_in(house, bad) == 429, bad
    assert await log_in(house, mark) == 200


async def test_a_login_without_cookies_marks_nobody(house: House) -> None:
    response = await house.client.post("/auth/login", json={"username": "alice", "password": "wonderland"})
    assert "Set-Cookie" not in response.headers


async def test_a_login_renews_the_mark_and_the_browser_stays_the_same(house: House) -> None:
    first = (await house.cookies()).device
    house.clock.now += 1000
    response = await house.client.post(
        "/auth/login",
        json={"username": "alice", "password": "wonderland", "mode": "cookie"},
        headers={**OWN, "Cookie": f"{MARK}={first}"},
    )
    second = response.cookies[MARK].value
    now = house.clock.wall()
    assert first != second
    assert read(house.secrets, "alice", first, now) == read(house.secrets, "alice", second, now) != ""


async def test_a_wrong_password_neither_marks_nor_unmarks(house: House) -> None:
    response = await house.client.post(
        "/auth/login", json={"username": "alice", "password": "guess", "mode": "cookie"}, headers=OWN
    )
    assert response.status == 401
    assert "Set-Cookie" not in response.headers


async def test_the_mark_outlives_the_logout_and_the_end_of_the_session(house: House) -> None:
    browser = await house.cookies()
    response = await house.client.post("/auth/logout", headers=browser.own)
    assert response.status == 204
    assert MARK not in response.cookies
    refused = await house.client.post("/auth/refresh", headers=browser.own)
    assert refused.status == 401
    assert "__Host-Http-gw-rt" in refused.cookies
    assert MARK not in refused.cookies


async def test_a_browser_is_marked_when_it_has_shown_the_second_factor_too(house: House) -> None:
    phone, _ = await enrolled(house)
    asked = {"username": "alice", "password": "wonderland", "mode": "cookie"}
    first = await house.client.post("/auth/login", json=asked, headers=OWN)
    assert set(first.cookies) == {"__Host-Http-gw-mfa"}
    step = {"mfa_token": (await first.json())["mfa_token"], "code": phone.code()}
    cookie = {"Cookie": f"__Host-Http-gw-mfa={first.cookies['__Host-Http-gw-mfa'].value}"}
    second = await house.client.post("/auth/login/mfa", json=step, headers={**OWN, **cookie})
    assert read(house.secrets, "alice", second.cookies[MARK].value, house.clock.wall())


@pytest.mark.item(124)
async def test_who_knows_the_password_and_guesses_codes_does_not_lock_out_a_browser_its_owner_uses(
    house: House,
) -> None:
    mark = (await house.cookies()).device
    phone, recovery = await enrolled(house)
    codes = [await second_step(house, (await first_step(house))["mfa_token"], f"{n:06}") for n in range(9)]
    assert [status for status, _ in codes] == [401] * 5 + [429] * 4
    strangers, own = [(await first_step(house))["mfa_token"] for _ in range(2)]
    assert (await second_step(house, strangers, phone.code()))[0] == 429
    assert (await second_step(house, own, phone.code(), Cookie=f"{MARK}={mark}"))[0] == 200
    assert (await second_step(house, strangers, recovery[0]))[0] == 429, "and that gave the strangers nothing"


async def test_a_person_with_a_form_is_known_from_then_on(house: House) -> None:
    visit = Visit(house)
    await visit.log_in()
    await visit.open("/auth/account")
    await visit.send(visit.form("/auth/account/sign-out"))
    await attack(house)
    await visit.log_in()
    assert visit.status == 303
    stranger = Visit(house)
    await stranger.log_in()
    assert stranger.status == 429
