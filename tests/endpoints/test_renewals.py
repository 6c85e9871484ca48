"""The silent refresh itself: the session service asked as `POST /auth/refresh` does, the answer as header lines."""

import pytest

from gateway.endpoints.cookies import CookieSettings
from gateway.endpoints.renewals import SilentRefresh
from gateway.errors import Refused, StoreUnavailable, refuse
from gateway.tokens import csrf
from gateway.tokens.cache import Verified
from tests.endpoints.house import House


def silent(house: House) -> SilentRefresh:
    return SilentRefresh(house.sessions, house.secrets, CookieSettings("Lax", "Lax"))


async def test_a_live_refresh_cookie_gives_a_token_and_all_three_cookies(house: House) -> None:
    browser = await house.cookies()
    renewal = await silent(house).renew(browser.refresh, browser.csrf)
    assert renewal.token is not None
    checked = house.services.tokens.check(renewal.token, house.clock.wall())
    assert isinstance(checked, Verified)
    assert checked.identity.session == browser.session
    lines = renewal.lines.decode().splitlines()
    assert lines[:2] == ["Cache-Control: private", "Vary: Cookie"]
    cookies = [line.removeprefix("Set-Cookie: ") for line in lines[2:]]
    assert [one.partition("=")[0] for one in cookies] == ["__Host-Http-gw-at", "__Host-Http-gw-rt", "__Host-gw-csrf"]
    assert [one.split("; ")[-2] for one in cookies] == ["SameSite=Lax", "SameSite=Lax", "SameSite=Strict"]
    assert cookies[2].startswith(f"__Host-gw-csrf={browser.csrf};"), "143: the other tabs keep theirs"


async def test_a_csrf_cookie_of_another_session_is_replaced(house: House) -> None:
    browser = await house.cookies()
    renewal = await silent(house).renew(browser.refresh, csrf.mint(house.secrets, "another"))
    given = renewal.lines.decode().rpartition("__Host-gw-csrf=")[2].partition(";")[0]
    assert csrf.check(house.secrets, browser.session, given)


async def test_a_session_that_is_over_clears_them(house: House) -> None:
    browser = await house.cookies()
    await house.sessions.logout(browser.session, subject="alice")
    renewal = await silent(house).renew(browser.refresh, None)
    assert (renewal.token, renewal.unavailable) == (None, None)
    assert renewal.lines.count(b"Max-Age=0") == 3


async def test_what_may_pass_clears_nothing(house: House) -> None:
    browser = await house.cookies()
    await house.sessions.logout(browser.session, subject="alice")
    house.sessions.grant_is_over = False
    assert (await silent(house).renew(browser.refresh, None)).lines == b""


@pytest.mark.parametrize("error", [StoreUnavailable("down"), Refused(refuse("overloaded", "hash_queue_full"))])
async def test_an_outage_is_told_and_loses_nothing(house: House, error: Exception) -> None:
    browser = await house.cookies()
    house.sessions.fails = error
    renewal = await silent(house).renew(browser.refresh, None)
    assert (renewal.token, renewal.lines) == (None, b"")
    assert renewal.unavailable is not None
    assert renewal.unavailable.status == 503


async def test_a_refresh_cookie_names_its_session_and_a_forged_one_none(house: House) -> None:
    browser = await house.cookies()
    asked = silent(house)
    assert asked.session_of(browser.refresh) == browser.session
    assert asked.session_of(browser.refresh[:-1] + "A") == "" or browser.refresh.endswith("A")
    assert asked.session_of("gwr_nonsense") == ""
