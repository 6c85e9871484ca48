"""The second factor and the password: what people change about themselves, and the second step of a login."""

import asyncio
import json

import pyotp
import pytest

from gateway.endpoints.account import FRESH
from gateway.sessions.begun import TRIES
from gateway.tokens.sealing import Seal
from gateway.users.second_factor import ENROLMENT_TTL
from tests.endpoints.house import Browser, House

ALICE = {"username": "alice", "password": "wonderland"}


class Phone:
    """The authenticator app of one person."""

    def __init__(self, house: House, secret: str) -> None:
        self._house = house
        self.secret = secret

    def code(self, steps: int = 0) -> str:
        """Return the code that the app shows now, or so many steps later."""
        return pyotp.TOTP(self.secret).at(int(self._house.clock.now) + 30 * steps)

    def wait(self) -> None:
        """Let a code's time pass."""
        self._house.clock.now += 30


async def enrolled(house: House) -> tuple[Phone, list[str]]:
    """Give alice a second factor; return her phone and her recovery codes."""
    bearer = {"Authorization": f"Bearer {(await house.login())['access_token']}"}
    shown = await (await house.client.post("/auth/second-factor/enrol", headers=bearer)).json()
    phone = Phone(house, shown["secret"])
    body = {"enrolment": shown["enrolment"], "code": phone.code()}
    response = await house.client.post("/auth/second-factor/confirm", json=body, headers=bearer)
    assert response.status == 200, await response.text()
    phone.wait()
    return phone, (await response.json())["recovery_codes"]


async def first_step(house: House, **more: str) -> dict[str, object]:
    response = await house.client.post("/auth/login", json={**ALICE, **more})
    assert response.status == 403, await response.text()
    members: dict[str, object] = await response.json()
    return members


async def second_step(house: House, token: object, code: str, **headers: str) -> tuple[int, dict[str, str]]:
    response = await house.client.post("/auth/login/mfa", json={"mfa_token": token, "code": code}, headers=headers)
    return response.status, await response.json()


async def test_enrolling_shows_a_secret_an_address_for_the_app_and_a_picture_of_it(house: House) -> None:
    bearer = {"Authorization": f"Bearer {(await house.login())['access_token']}"}
    shown = await (await house.client.post("/auth/second-factor/enrol", headers=bearer)).json()
    assert set(shown) == {"secret", "uri", "qr_svg", "enrolment", "expires_in"}
    assert shown["uri"].startswith("otpauth://totp/")
    assert shown["secret"] in shown["uri"]
    assert "alice" in shown["uri"]
    assert shown["qr_svg"].startswith("<svg")
    assert "script" not in shown["qr_svg"]
    state = await (await house.client.get("/auth/second-factor", headers=bearer)).json()
    assert state == {"available": True, "enabled": False, "recovery_codes_left": 0}, "nothing is kept before the code"


async def test_with_a_second_factor_a_password_is_not_enough(house: House) -> None:
    phone, _ = await enrolled(house)
    live = len(house.sessions.live)
    members = await first_step(house)
    assert members["error"] == members["code"] == "mfa_required"
    assert members["methods"] == ["totp", "recovery_code"]
    assert members["expires_in"] == 300
    assert str(members["mfa_token"]).startswith("gwm_")
    assert len(house.sessions.live) == live
    status, granted = await second_step(house, members["mfa_token"], phone.code())
    assert (status, granted["token_type"]) == (200, "Bearer")
    assert house.sessions.amr == ("pwd", "otp", "mfa")


async def test_a_login_that_was_begun_under_another_release_is_over(house: House) -> None:
    phone, _ = await enrolled(house)
    token = str((await first_step(house))["mfa_token"])
    seal, about = Seal(house.secrets.login), b"begun login"
    facts = seal.open("sealed1:" + token.removeprefix("gwm_"), about)
    assert facts is not None
    for other in (json.loads(facts)[:-1], [*json.loads(facts), "more"]):
        begun = "gwm_" + seal.close(json.dumps(other).encode(), about).removeprefix("sealed1:")
        status, members = await second_step(house, begun, phone.code())
        assert (status, members["error"]) == (401, "invalid_grant")


@pytest.mark.item(127)
async def test_one_code_counts_once_also_at_the_same_time(house: House) -> None:
    phone, _ = await enrolled(house)
    tokens = [(await first_step(house))["mfa_token"] for _ in range(4)]
    answers = await asyncio.gather(*(second_step(house, token, phone.code()) for token in tokens))
    assert sorted(status for status, _ in answers) == [200, 401, 401, 401]


@pytest.mark.item(127)
async def test_a_code_counts_one_step_early_and_late_but_no_more(house: House) -> None:
    phone, _ = await enrolled(house)
    for steps, wanted in ((2, 401), (-2, 401), (-1, 401), (1, 200)):  # -1 was used when enrolling
        token = (await first_step(house))["mfa_token"]
        assert (await second_step(house, token, phone.code(steps)))[0] == wanted, steps
    assert (await second_step(house, (await first_step(house))["mfa_token"], phone.code()))[0] == 401, "an earlier one"


@pytest.mark.item(127)
async def test_five_wrong_codes_end_the_login_they_belong_to(house: House) -> None:
    phone, _ = await enrolled(house)
    token = (await first_step(house))["mfa_token"]
    login_id = next(iter(house.begun.left))
    house.begun.left[login_id] = 1
    status, members = await second_step(house, token, "000000")
    assert (status, members["error"]) == (401, "invalid_credentials")
    status, members = await second_step(house, token, phone.code())
    assert (status, members["error"]) == (401, "invalid_grant")
    assert TRIES == 5


async def test_codes_are_guessed_no_faster_than_passwords(house: House) -> None:
    await enrolled(house)
    statuses = [(await second_step(house, (await first_step(house))["mfa_token"], f"{n:06}"))[0] for n in range(7)]
    assert statuses == [401] * 5 + [429] * 2


@pytest.mark.item(128)
async def test_the_token_between_the_steps_is_good_for_nothing_else(house: House) -> None:
    phone, _ = await enrolled(house)
    token = str((await first_step(house))["mfa_token"])
    for path in ("/auth/session", "/auth/second-factor"):
        assert (await house.client.get(path, headers={"Authorization": f"Bearer {token}"})).status == 401
    assert (await house.client.post("/auth/refresh", json={"refresh_token": token})).status == 401
    bent = token[:-2] + ("A" if token[-2] != "A" else "B") + token[-1]
    assert (await second_step(house, bent, phone.code()))[1]["error"] == "invalid_grant"
    assert (await second_step(house, token, phone.code()))[0] == 200
    phone.wait()
    assert (await second_step(house, token, phone.code()))[1]["error"] == "invalid_grant", "it counts once"


@pytest.mark.item(128)
async def test_a_browsers_login_goes_on_in_that_browser_only(house: House) -> None:
    phone, _ = await enrolled(house)
    own = {"Sec-Fetch-Site": "same-origin"}
    response = await house.client.post("/auth/login", json={**ALICE, "mode": "cookie"}, headers=own)
    (line,) = response.headers.getall("Set-Cookie")
    cookie, _, attributes = line.partition("; ")
    assert attributes == "Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=300"
    token = (await response.json())["mfa_token"]
    assert (await second_step(house, token, phone.code()))[1]["error"] == "invalid_grant"
    wrong = {"Cookie": "__Host-Http-gw-mfa=x"}
    assert (await second_step(house, token, phone.code(), **wrong))[1]["error"] == "invalid_grant"
    granted = await house.client.post(
        "/auth/login/mfa", json={"mfa_token": token, "code": phone.code()}, headers={**own, "Cookie": cookie}
    )
    assert granted.status == 200
    lines = granted.headers.getall("Set-Cookie")
    assert Browser.of(lines, await granted.json()).access
    assert "__Host-Http-gw-mfa=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0" in lines


async def test_a_foreign_page_cannot_take_the_second_step(house: House) -> None:
    phone, _ = await enrolled(house)
    token = (await first_step(house))["mfa_token"]
    status, members = await second_step(house, token, phone.code(), **{"Sec-Fetch-Site": "cross-site"})
    assert (status, members["error"]) == (403, "csrf_failed")


async def test_each_recovery_code_works_once_in_any_spelling(house: House) -> None:
    _, codes = await enrolled(house)
    assert len(set(codes)) == 10
    spelt = codes[0].upper().replace("-", " ")
    assert (await second_step(house, (await first_step(house))["mfa_token"], spelt))[0] == 200
    assert house.sessions.amr == ("pwd", "mfa")
    assert (await second_step(house, (await first_step(house))["mfa_token"], codes[0]))[0] == 401
    assert (await second_step(house, (await first_step(house))["mfa_token"], codes[1]))[0] == 200


async def test_new_recovery_codes_replace_the_old_ones_and_giving_up_takes_a_code(house: House) -> None:
    phone, codes = await enrolled(house)
    bearer = await _bearer(house, phone)
    renewed = await house.client.post("/auth/second-factor/recovery-codes", json={"code": phone.code()}, headers=bearer)
    new = (await renewed.json())["recovery_codes"]
    assert not set(new) & set(codes)
    for code, status in (("000000", 401), (codes[0], 401), (new[0], 204)):
        response = await house.client.post("/auth/second-factor/disable", json={"code": code}, headers=bearer)
        assert response.status == status
    assert (await house.client.post("/auth/login", json=ALICE)).status == 200


async def _bearer(house: House, phone: Phone) -> dict[str, str]:
    status, members = await second_step(house, (await first_step(house))["mfa_token"], phone.code())
    assert status == 200
    phone.wait()
    return {"Authorization": f"Bearer {members['access_token']}"}


async def test_a_factor_in_force_cannot_be_replaced_by_another_enrolment(house: House) -> None:
    phone, _ = await enrolled(house)
    bearer = await _bearer(house, phone)
    shown = await (await house.client.post("/auth/second-factor/enrol", headers=bearer)).json()
    body = {"enrolment": shown["enrolment"], "code": Phone(house, shown["secret"]).code()}
    assert (await house.client.post("/auth/second-factor/confirm", json=body, headers=bearer)).status == 400


async def test_an_enrolment_ends_and_is_one_persons(house: House) -> None:
    alice = {"Authorization": f"Bearer {(await house.login())['access_token']}"}
    bob = {"Authorization": f"Bearer {(await house.login('bob', 'demo'))['access_token']}"}
    shown = await (await house.client.post("/auth/second-factor/enrol", headers=alice)).json()
    body = {"enrolment": shown["enrolment"], "code": Phone(house, shown["secret"]).code()}
    assert (await house.client.post("/auth/second-factor/confirm", json=body, headers=bob)).status == 400
    house.clock.now += ENROLMENT_TTL
    alice = {"Authorization": f"Bearer {(await house.login())['access_token']}"}
    assert (await house.client.post("/auth/second-factor/confirm", json=body, headers=alice)).status == 400
    assert house.accounts.factors == {}


@pytest.mark.parametrize("path", ["enrol", "confirm", "recovery-codes", "disable"])
async def test_changing_the_second_factor_takes_a_fresh_login_and_our_own_page(house: House, path: str) -> None:
    browser = await house.cookies()
    bearer = {"Authorization": f"Bearer {(await house.login())['access_token']}"}
    foreign = {**browser.cookie, "Sec-Fetch-Site": "cross-site"}
    response = await house.client.post(f"/auth/second-factor/{path}", json={}, headers=foreign)
    assert (response.status, (await response.json())["error"]) == (403, "csrf_failed")
    house.clock.now += FRESH - 1
    assert (await house.client.post(f"/auth/second-factor/{path}", json={}, headers=bearer)).status in (200, 400, 401)
    response = await house.client.post(f"/auth/second-factor/{path}", json={})
    assert response.status == 401


async def test_what_is_kept_of_a_factor_is_sealed_and_bound_to_its_user(house: House) -> None:
    phone, codes = await enrolled(house)
    (kept,) = house.accounts.factors.values()
    assert kept is not None
    assert kept.startswith("sealed1:")
    assert phone.secret not in kept
    assert codes[0] not in kept
    house.accounts.factors["bob"] = kept
    response = await house.client.post("/auth/login", json={"username": "bob", "password": "demo"})
    assert response.status == 503, "another's factor opens nothing, and no factor at all would be worse"


async def test_an_outage_of_where_factors_are_kept_is_503_and_lets_nobody_in(house: House) -> None:
    phone, _ = await enrolled(house)
    token = (await first_step(house))["mfa_token"]
    house.accounts.down = True
    response = await house.client.post("/auth/login", json=ALICE)
    assert (response.status, (await response.json())["error"]) == (503, "temporarily_unavailable")
    assert (await second_step(house, token, phone.code()))[0] == 503


@pytest.mark.item(87)
async def test_a_new_password_takes_the_current_one_and_ends_the_other_sessions(house: House) -> None:
    other = await house.login()
    mine = await house.login()
    bearer = {"Authorization": f"Bearer {mine['access_token']}"}
    body = {"current_password": "wonderland", "new_password": "looking-glass"}
    old = house.accounts.passwords["alice"]
    assert (await house.client.post("/auth/password", json=body, headers=bearer)).status == 204
    assert house.accounts.passwords["alice"] != old
    assert set(house.sessions.live) == {mine["session_id"]}
    assert other["session_id"] not in house.sessions.live
    response = await house.client.post("/auth/password", json=body, headers=bearer)
    assert (response.status, (await response.json())["error"]) == (401, "invalid_credentials")


@pytest.mark.parametrize("new", ["short", "x" * 1025, "ALICEalice", "aaaaaaaaaa", "ab" * 5])
async def test_an_unfit_password_is_refused_with_a_sentence(house: House, new: str) -> None:
    bearer = {"Authorization": f"Bearer {(await house.login())['access_token']}"}
    body = {"current_password": "wonderland", "new_password": new}
    response = await house.client.post("/auth/password", json=body, headers=bearer)
    assert (response.status, (await response.json())["error"]) == (400, "invalid_request")


@pytest.mark.item("F13")
async def test_wrong_current_passwords_are_throttled_like_logins(house: House) -> None:
    bearer = {"Authorization": f"Bearer {(await house.login())['access_token']}"}
    body = {"current_password": "guess", "new_password": "looking-glass"}
    statuses = [(await house.client.post("/auth/password", json=body, headers=bearer)).status for _ in range(6)]
    assert statuses == [401] * 5 + [429]


async def test_an_outage_while_changing_the_password_is_503(house: House) -> None:
    bearer = {"Authorization": f"Bearer {(await house.login())['access_token']}"}
    house.accounts.down = True
    body = {"current_password": "wonderland", "new_password": "looking-glass"}
    assert (await house.client.post("/auth/password", json=body, headers=bearer)).status == 503
