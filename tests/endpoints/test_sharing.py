"""Front ends of other origins: those that are named, and nobody else (checklist 145)."""

from collections.abc import AsyncIterator

import pytest

from gateway.routing.cors import Cors
from gateway.tokens.signing import SigningKey
from tests.endpoints.house import House, build

APP = "https://app.gw.example"
SAME_SITE = {"Origin": APP, "Sec-Fetch-Site": "same-site"}
ASKED = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-csrf-token"}


@pytest.fixture
async def house(key: SigningKey) -> AsyncIterator[House]:
    house = await build(key, cors=Cors(frozenset((APP,))))
    yield house
    await house.client.close()
    house.users._pool.close()  # type: ignore[attr-defined]


@pytest.mark.item(70, 145)
async def test_a_preflight_of_a_named_origin_is_answered(house: House) -> None:
    answer = await house.client.options("/auth/login", headers={**SAME_SITE, **ASKED})
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (204, APP)
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert "X-CSRF-Token" in answer.headers["Access-Control-Allow-Headers"]
    assert answer.headers["Vary"] == "Origin"


@pytest.mark.item(145)
@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", f"{APP}.evil.example", "http://app.gw.example", "*"]
)
async def test_no_other_origin_is_reflected(house: House, origin: str) -> None:
    asked = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
    answer = await house.client.options("/auth/login", headers={**asked, **ASKED})
    assert not [name for name in answer.headers if name.startswith("Access-Control-")]
    answer = await house.client.get("/auth/session", headers=asked)
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert answer.headers["Vary"] == "Origin"


async def test_a_named_front_end_of_the_same_site_logs_in_refreshes_and_logs_out(house: House) -> None:
    form = {"username": "alice", "password": "wonderland", "mode": "cookie"}
    answer = await house.client.post("/auth/login", json=form, headers=SAME_SITE)
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (200, APP)
    jar = "; ".join(line.partition(";")[0] for line in answer.headers.getall("Set-Cookie"))
    with_cookies = {**SAME_SITE, "Cookie": jar}
    told = await (await house.client.get("/auth/session", headers=with_cookies)).json()
    csrf = await (await house.client.get("/auth/csrf", headers=with_cookies)).json()
    assert told["csrf_token"] == csrf["csrf_token"]
    assert (await house.client.post("/auth/refresh", headers=with_cookies)).status == 200
    other = {**with_cookies, "Origin": "https://other.gw.example"}
    assert (await house.client.post("/auth/logout", headers=other)).status == 403
    assert (await house.client.post("/auth/logout", headers=with_cookies)).status == 204


async def test_the_forms_of_the_pages_are_not_for_them(house: House) -> None:
    browser = await house.cookies()
    answer = await house.client.post("/auth/account/sign-out", data={}, headers={**SAME_SITE, **browser.cookie})
    assert (answer.status, "Access-Control-Allow-Origin" in answer.headers) == (403, False)


async def test_the_public_keys_are_for_everybody(house: House) -> None:
    answer = await house.client.get("/.well-known/jwks.json", headers={"Origin": "https://anybody.example"})
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in answer.headers
