"""GET /auth/session, GET /auth/csrf, the public keys, and how a request says whose it is."""

import pytest
from multidict import CIMultiDict

from gateway.endpoints.application import SERVER_LIMITS
from gateway.tokens.csrf import check
from tests.endpoints.house import ACCESS_TTL, House
from tests.endpoints.test_logout import bearing
from tests.endpoints.test_refresh import forged


async def test_session_tells_a_bearer_who_they_are_and_for_how_long(house: House) -> None:
    login = await house.login()
    house.clock.now += 10
    response = await house.client.get("/auth/session", headers=bearing(login["access_token"]))
    assert response.status == 200
    assert await response.json() == {
        "authenticated": True,
        "sub": "alice",
        "session_id": login["session_id"],
        "client_id": "gateway",
        "roles": ["admin", "user"],
        "permissions": ["docs:write"],
        "scope": "docs mail",
        "tenant": "acme",
        "auth_time": 1_800_000_000,
        "expires_in": ACCESS_TTL - 10,
    }
    assert response.headers["Cache-Control"] == "no-store"
    assert house.facts[-1].subject == "alice"


async def test_session_gives_a_browser_its_csrf_token_too(house: House) -> None:
    browser = await house.cookies()
    members = await (await house.client.get("/auth/session", headers=browser.cookie)).json()
    assert members["csrf_token"] == browser.csrf
    lost = {"Cookie": f"__Host-Http-gw-at={browser.access}"}
    again = await (await house.client.get("/auth/session", headers=lost)).json()
    assert check(house.secrets, browser.session, again["csrf_token"])


async def test_without_a_credential_it_is_401_with_a_challenge_and_no_error(house: House) -> None:
    response = await house.client.get("/auth/session")
    assert response.status == 401
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="gateway"'
    assert (await response.json())["error"] == "unauthorized"
    assert response.headers["X-Gateway-Error"] == "token_missing"


async def test_a_client_learns_expired_revoked_or_invalid_and_nothing_finer(house: House) -> None:
    login = await house.login()
    token = login["access_token"]
    said = []
    response = await house.client.get("/auth/session", headers=bearing(forged(token)))
    said.append((await response.json())["error_description"])
    house.sessions.dead.add(login["session_id"])
    response = await house.client.get("/auth/session", headers=bearing(token))
    said.append((await response.json())["error_description"])
    house.clock.now += ACCESS_TTL + 60
    response = await house.client.get("/auth/session", headers=bearing(token))
    said.append((await response.json())["error_description"])
    assert said == ["The token is invalid.", "The token was revoked.", "The token expired."]
    assert response.status == 401
    assert (
        response.headers["WWW-Authenticate"]
        == 'Bearer realm="gateway", error="invalid_token", error_description="The token expired."'
    )


@pytest.mark.parametrize(
    ("value", "status"),
    [
        pytest.param("bearer {token}", 200, id="scheme in lower case"),
        pytest.param("BEARER {token}", 200, id="scheme in upper case"),
        pytest.param("Bearer  {token}", 400, id="two spaces"),
        pytest.param("Bearer\t{token}", 400, id="tab"),
        pytest.param("Bearer {token}, Bearer {token}", 400, id="two tokens"),
        pytest.param('Bearer "{token}"', 400, id="quotes"),
        pytest.param("Bearer", 400, id="no token"),
        pytest.param("Bearer é", 401, id="not ASCII"),
        pytest.param("Basic YWxpY2U6eA==", 401, id="another scheme"),
    ],
)
async def test_an_authorization_field_is_read_in_one_way(house: House, value: str, status: int) -> None:
    token = (await house.login())["access_token"]
    response = await house.client.get("/auth/session", headers={"Authorization": value.format(token=token)})
    assert response.status == status


async def test_two_authorization_fields_are_400(house: House) -> None:
    token = (await house.login())["access_token"]
    headers = CIMultiDict([("Authorization", f"Bearer {token}"), ("Authorization", f"Bearer {token}")])
    assert (await house.client.get("/auth/session", headers=headers)).status == 400


@pytest.mark.item(60)
async def test_an_invalid_header_never_falls_back_to_a_valid_cookie(house: House) -> None:
    browser = await house.cookies()
    response = await house.client.get("/auth/session", headers={**browser.cookie, **bearing(forged(browser.access))})
    assert response.status == 401


async def test_header_and_cookie_of_two_sessions_are_400_and_of_one_are_fine(house: House) -> None:
    browser, other = await house.cookies(), await house.login()
    both = {**browser.cookie, **bearing(other["access_token"])}
    assert (await house.client.get("/auth/session", headers=both)).status == 400
    same = {**browser.cookie, **bearing(browser.access)}
    members = await (await house.client.get("/auth/session", headers=same)).json()
    assert "csrf_token" not in members


@pytest.mark.item(61)
async def test_a_token_in_the_query_is_never_read(house: House) -> None:
    token = (await house.login())["access_token"]
    assert (await house.client.get(f"/auth/session?access_token={token}")).status == 401


async def test_a_cookie_that_comes_twice_counts_as_none(house: House) -> None:
    one, two = await house.cookies(), await house.cookies()
    headers = CIMultiDict(
        [("Cookie", f"__Host-Http-gw-at={one.access}"), ("Cookie", f"__Host-Http-gw-at={two.access}")]
    )
    assert (await house.client.get("/auth/session", headers=headers)).status == 401


async def test_a_cookie_whose_name_only_resembles_ours_counts_for_nothing(house: House) -> None:
    browser = await house.cookies()
    headers = {"Cookie": f"__host-http-GW-at={browser.access}"}
    assert (await house.client.get("/auth/session", headers=headers)).status == 401


async def test_while_revocations_are_not_complete_nobody_is_told_that_a_token_is_good(house: House) -> None:
    token = (await house.login())["access_token"]
    house.turned["cold"] = True
    response = await house.client.get("/auth/session", headers=bearing(token))
    assert (response.status, response.headers["Retry-After"]) == (503, "2")


async def test_csrf_gives_a_browser_the_token_it_has_while_that_is_good(house: House) -> None:
    browser = await house.cookies()
    response = await house.client.get("/auth/csrf", headers=browser.cookie)
    assert await response.json() == {"csrf_token": browser.csrf}
    assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize("name", ["__Host-Http-gw-at", "__Host-Http-gw-rt"])
async def test_csrf_gives_a_new_token_bound_to_the_session_when_the_old_one_is_lost(house: House, name: str) -> None:
    browser = await house.cookies()
    value = browser.access if name.endswith("at") else browser.refresh
    response = await house.client.get("/auth/csrf", headers={"Cookie": f"{name}={value}"})
    token = (await response.json())["csrf_token"]
    assert check(house.secrets, browser.session, token)
    assert response.headers["Set-Cookie"] == f"__Host-gw-csrf={token}; Path=/; Secure; SameSite=Strict"


async def test_csrf_before_a_login_gives_a_token_that_is_bound_to_no_session(house: House) -> None:
    browser = await house.cookies()
    response = await house.client.get("/auth/csrf")
    token = (await response.json())["csrf_token"]
    assert response.status == 200
    refused = await house.client.post("/auth/refresh", headers={**browser.cookie, "X-CSRF-Token": token})
    assert refused.status == 403


async def test_the_public_keys_may_be_cached_and_hold_nothing_secret(house: House) -> None:
    response = await house.client.get("/.well-known/jwks.json")
    assert response.status == 200
    assert response.headers["Cache-Control"] == "public, max-age=300"
    assert "Pragma" not in response.headers
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    keys = (await response.json())["keys"]
    assert [key["alg"] for key in keys] == ["ES256"]
    assert not {"d", "p", "q", "k"} & {member for key in keys for member in key}


@pytest.mark.parametrize(
    ("tags", "status"),
    [
        pytest.param("{etag}", 304, id="the same"),
        pytest.param('"other", W/{etag}', 304, id="among others, weak"),
        pytest.param("*", 304, id="any"),
        pytest.param('"other"', 200, id="another"),
    ],
)
async def test_unchanged_keys_are_304(house: House, tags: str, status: int) -> None:
    etag = (await house.client.get("/.well-known/jwks.json")).headers["ETag"]
    response = await house.client.get("/.well-known/jwks.json", headers={"If-None-Match": tags.format(etag=etag)})
    assert response.status == status
    assert response.headers["ETag"] == etag
    assert response.headers["Cache-Control"] == "public, max-age=300"
    if status == 304:
        assert await response.read() == b""


async def test_head_tells_the_headers_alone(house: House) -> None:
    response = await house.client.head("/.well-known/jwks.json")
    assert response.status == 200
    assert response.headers["ETag"]


async def test_aiohttps_own_limits_stay_out_of_the_way(house: House) -> None:
    headers = {"X-Long": "x" * 200_000, **{f"X-{i}": "1" for i in range(500)}}
    response = await house.client.get("/auth/session?" + "q" * 100_000, headers=headers)
    assert response.status == 401
    assert SERVER_LIMITS["max_line_size"] > 200_000


async def test_a_handler_that_breaks_tells_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_token: bytes, _now: float) -> None:
        raise RuntimeError("internal detail")

    monkeypatch.setattr(type(house.services.tokens), "check", lambda _self, token, now: broken(token, now))
    response = await house.client.get("/auth/session", headers=bearing("x.y.z"))
    assert response.status == 500
    assert "internal detail" not in await response.text()
    assert isinstance(house.reported[0], RuntimeError)
    assert response.headers["X-Gateway-Error"] == "internal_error"
