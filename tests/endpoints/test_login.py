"""POST /auth/login."""

import asyncio
import json
import logging
import threading

import pytest
from aiohttp import FormData, web
from multidict import CIMultiDict

from gateway.endpoints.application import SERVER_LIMITS, application
from gateway.endpoints.cookies import CookieSettings
from gateway.errors import Refused, StoreUnavailable, refuse
from gateway.limits.guesses import ThrottleLimits
from gateway.tokens.device import DEVICE_TTL
from gateway.tokens.verify import Identity
from gateway.users.file import UserRecord
from gateway.users.turnstile import Turnstile
from tests.endpoints.house import ACCESS_TTL, REFRESH_TTL, Browser, House
from tests.limits.brake import MemoryThrottle

ALICE = {"username": "alice", "password": "wonderland"}


async def test_the_right_password_brings_tokens_in_the_shape_of_the_design(house: House) -> None:
    response = await house.client.post("/auth/login", json=ALICE)
    assert response.status == 200
    members = await response.json()
    assert set(members) == {
        "access_token",
        "token_type",
        "expires_in",
        "refresh_token",
        "refresh_expires_in",
        "scope",
        "session_id",
    }
    assert members["token_type"] == "Bearer"
    assert members["expires_in"] == ACCESS_TTL
    assert members["refresh_expires_in"] == REFRESH_TTL
    assert members["scope"] == "docs mail"
    assert members["refresh_token"].startswith("gwr_")
    assert len(members["session_id"]) == 22
    assert "Set-Cookie" not in response.headers


async def test_the_access_token_is_the_persons(house: House) -> None:
    token = (await house.login())["access_token"].encode()
    identity = house.services.verifier.verify(token, house.clock.wall())
    assert isinstance(identity, Identity)
    assert identity.subject == "alice"
    assert identity.roles == {"user", "admin"}


@pytest.mark.item(152)
async def test_every_answer_forbids_caching_and_carries_the_request_id(house: House) -> None:
    for body in (ALICE, {"username": "alice", "password": "x"}, {}):
        response = await house.client.post("/auth/login", json=body)
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Pragma"] == "no-cache"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["Server"] == "gateway"
        assert response.headers["Content-Type"] == "application/json; charset=utf-8"
        assert response.headers["X-Request-Id"] == house.facts[-1].request_id


async def test_a_form_works_like_json(house: House) -> None:
    response = await house.client.post("/auth/login", data={**ALICE, "scope": "docs"})
    assert response.status == 200
    assert (await response.json())["scope"] == "docs"


async def test_curl_without_json_tools_can_ask_for_the_bare_token(house: House) -> None:
    response = await house.client.post("/auth/login", data=ALICE, headers={"Accept": "application/jwt"})
    assert response.headers["Content-Type"] == "application/jwt"
    assert (await response.text()).count(".") == 2


@pytest.mark.item(136, 137)
async def test_cookie_mode_sets_cookies_and_puts_no_token_into_the_body(house: House) -> None:
    response = await house.client.post("/auth/login", json={**ALICE, "mode": "cookie"})
    text = await response.text()
    members = json.loads(text)
    assert set(members) == {"authenticated", "expires_in", "refresh_expires_in", "session_id", "csrf_token"}
    assert members["authenticated"] is True
    lines = response.headers.getall("Set-Cookie")
    browser = Browser.of(lines, members)
    assert lines == [
        f"__Host-Http-gw-at={browser.access}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={ACCESS_TTL}",
        f"__Host-Http-gw-rt={browser.refresh}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={REFRESH_TTL}",
        f"__Host-gw-csrf={members['csrf_token']}; Path=/; Secure; SameSite=Strict; Max-Age={REFRESH_TTL}",
        f"__Host-Http-gw-dv={browser.device}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={DEVICE_TTL}",
    ]
    assert browser.access not in text
    assert browser.refresh not in text
    assert "gwr_" not in text


@pytest.mark.item(138)
async def test_a_cookie_that_a_browser_would_drop_fails_loudly_and_leaves_no_session(house: House) -> None:
    roles = tuple(f"role-{i:04}" for i in range(400))
    house.users.replace({"alice": UserRecord(password="wonderland", roles=roles, demo=True)})
    response = await house.client.post("/auth/login", json={**ALICE, "mode": "cookie"})
    assert response.status == 500
    assert "Set-Cookie" not in response.headers
    assert house.facts[-1].reason == "cookie_too_large"
    assert house.sessions.live == {}


async def test_scope_device_agent_and_address_reach_the_session(house: House) -> None:
    await house.client.post(
        "/auth/login",
        json={**ALICE, "scope": "docs", "device": "Alice's\nlaptop\u2028"},
        headers={"User-Agent": "curl/8 \u2028x"},
    )
    assert house.sessions.logins == [
        {
            "scope": "docs",
            "device": "Alice's\ufffdlaptop\ufffd",
            "user_agent": "curl/8 \ufffdx",
            "address": "192.0.2.7",
        }
    ]


async def test_the_access_log_learns_who_it_was(house: House) -> None:
    await house.login()
    assert house.facts[-1].subject == "alice"
    await house.client.post("/auth/login", json={**ALICE, "password": "x"})
    facts = house.facts[-1]
    assert facts.subject is None
    assert (facts.code, facts.reason) == ("invalid_credentials", "wrong_password")


WRONG = [
    pytest.param("nobody", "x", id="unknown user"),
    pytest.param("alice", "x", id="wrong password"),
    pytest.param("eve", "apple", id="disabled user"),
]


@pytest.mark.item(115, "F13")
@pytest.mark.parametrize(("username", "password"), WRONG)
async def test_unknown_wrong_and_disabled_get_the_same_answer(house: House, username: str, password: str) -> None:
    response = await house.client.post("/auth/login", json={"username": username, "password": password})
    assert response.status == 401
    assert await response.json() == {
        "error": "invalid_credentials",
        "error_description": "Username or password is incorrect.",
        "code": "invalid_credentials",
        "request_id": "req-0",
    }
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="gateway"'
    assert {name.lower() for name in response.headers} == {
        "content-type",
        "content-length",
        "www-authenticate",
        "x-gateway-error",
        "x-request-id",
        "x-content-type-options",
        "referrer-policy",
        "cache-control",
        "pragma",
        "date",
        "server",
    }


@pytest.mark.item(135)
async def test_a_name_in_another_spelling_logs_in_under_the_stored_name(house: House) -> None:
    members = await house.login("ALICE")
    identity = house.services.verifier.verify(members["access_token"].encode(), house.clock.wall())
    assert isinstance(identity, Identity)
    assert identity.subject == "alice"


@pytest.mark.item(85, 143, "F11")
async def test_a_login_always_makes_a_new_session_whatever_cookies_were_set_before(house: House) -> None:
    browser = await house.cookies()
    response = await house.client.post("/auth/login", json={**ALICE, "mode": "cookie"}, headers=browser.own)
    again = Browser.of(response.headers.getall("Set-Cookie"), await response.json())
    assert again.session != browser.session
    assert again.csrf != browser.csrf
    assert again.refresh != browser.refresh


@pytest.mark.item(86)
async def test_the_session_a_browser_had_ends_when_it_is_given_another_and_only_then(house: House) -> None:
    browser, elsewhere = await house.cookies(), await house.cookies()
    await house.client.post("/auth/login", json={**ALICE, "password": "x", "mode": "cookie"}, headers=browser.own)
    await house.client.post("/auth/login", json=ALICE, headers=browser.own)
    assert browser.session in house.sessions.live
    await house.client.post("/auth/login", json={**ALICE, "mode": "cookie"}, headers=browser.own)
    assert browser.session not in house.sessions.live
    assert elsewhere.session in house.sessions.live


async def test_a_login_stands_though_the_old_session_cannot_be_ended(house: House) -> None:
    browser = await house.cookies()
    house.sessions.fails_to_end = StoreUnavailable("down")
    response = await house.client.post("/auth/login", json={**ALICE, "mode": "cookie"}, headers=browser.own)
    assert response.status == 200


@pytest.mark.item(132)
@pytest.mark.parametrize(
    ("body", "member"),
    [
        pytest.param({"password": "x"}, "username", id="no user"),
        pytest.param({"username": "alice"}, "password", id="no password"),
        pytest.param({"username": "", "password": "x"}, "username", id="empty user"),
        pytest.param({"username": "alice", "password": ""}, "password", id="empty password"),
        pytest.param({"username": None, "password": "x"}, "username", id="null"),
        pytest.param({"username": ["alice"], "password": "x"}, "username", id="a list"),
        pytest.param({"username": "alice", "password": 1}, "password", id="a number"),
        pytest.param({**ALICE, "mode": "both"}, "mode", id="unknown mode"),
        pytest.param({**ALICE, "scope": 'a "b'}, "scope", id="scope with a quote"),
        pytest.param({**ALICE, "device": 7}, "device", id="device is a number"),
        pytest.param({**ALICE, "username": "a" * 1025}, "username", id="endless name"),
    ],
)
async def test_what_is_missing_or_of_the_wrong_kind_is_400_and_nobody_is_asked(
    house: House, body: dict[str, object], member: str
) -> None:
    response = await house.client.post("/auth/login", json=body)
    assert response.status == 400
    members = await response.json()
    assert (members["error"], members["code"]) == ("invalid_request", "bad_request")
    assert member in house.facts[-1].reason
    assert house.sessions.asked == 0


@pytest.mark.item(120)
@pytest.mark.parametrize(
    ("size", "status"), [(1024, 401), (1025, 400)], ids=["1024 bytes are checked", "1025 bytes are refused"]
)
async def test_a_password_may_have_1024_bytes(house: House, size: int, status: int) -> None:
    response = await house.client.post("/auth/login", json={"username": "alice", "password": "x" * size})
    assert response.status == status
    assert house.sessions.asked == (status == 401)


@pytest.mark.item(130, 131)
@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        pytest.param("text/plain", json.dumps(ALICE), 415, id="JSON as text"),
        pytest.param("application/jsonp", json.dumps(ALICE), 415, id="nearly JSON"),
        pytest.param("application/octet-stream", json.dumps(ALICE), 415, id="bytes"),
        pytest.param("multipart/form-data; boundary=x", "--x--", 415, id="multipart"),
        pytest.param("", json.dumps(ALICE), 415, id="none at all"),
        pytest.param("application/json; charset=utf-16", json.dumps(ALICE), 415, id="another charset"),
        pytest.param("application/json; charset=UTF-8", json.dumps(ALICE), 200, id="UTF-8 said loudly"),
        pytest.param(
            "application/json", '{"username":"bob","username":"alice","password":"x"}', 400, id="twice in JSON"
        ),
        pytest.param("application/json", '{"username":"alice","password":"wonderland"} x', 400, id="something behind"),
        pytest.param("application/json", '["alice","wonderland"]', 400, id="a list"),
        pytest.param("application/json", "\ufeff" + json.dumps(ALICE), 400, id="byte order mark"),
        pytest.param("application/json", '{"username":"alice","password":"\\ud800"}', 400, id="lone surrogate"),
        pytest.param("application/json", "", 400, id="empty JSON"),
        pytest.param("application/json", "[" * 10_000, 400, id="deep nesting"),
        pytest.param(
            "application/x-www-form-urlencoded", "username=a&username=b&password=x", 400, id="twice in a form"
        ),
        pytest.param("application/x-www-form-urlencoded", "username=alice&password=%ff", 400, id="form not UTF-8"),
        pytest.param("application/x-www-form-urlencoded", "username=alice&password", 400, id="form without ="),
        pytest.param("application/x-www-form-urlencoded", "&".join(f"a{i}=1" for i in range(40)), 400, id="40 fields"),
        pytest.param("application/x-www-form-urlencoded", "", 400, id="empty form"),
    ],
)
async def test_a_body_is_read_in_one_way_or_refused(house: House, content_type: str, body: str, status: int) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    response = await house.client.post(
        "/auth/login",
        data=body.encode(),
        headers=headers,
        skip_auto_headers=() if content_type else ("Content-Type",),
    )
    assert response.status == status
    assert (house.sessions.live == {}) == (status != 200)


async def test_a_client_who_leaves_in_the_middle_of_the_body_is_no_bug(house: House) -> None:
    # The test server cancels handlers when a client leaves; the server that is used in earnest does not.
    runner = web.AppRunner(application(house.services), **SERVER_LIMITS)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        _, writer = await asyncio.open_connection(*runner.addresses[0])
        writer.write(
            b"POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
        )
        async with asyncio.timeout(10):
            while not house.facts:
                await asyncio.sleep(0.001)
            writer.close()
            while not house.facts[0].code:
                await asyncio.sleep(0.001)
        await writer.wait_closed()
    finally:
        await runner.cleanup()
    assert house.facts[0].reason == "body_broken_off"
    assert house.reported == []


async def test_two_content_types_are_refused(house: House) -> None:
    headers = CIMultiDict([("Content-Type", "application/json"), ("Content-Type", "text/plain")])
    response = await house.client.post("/auth/login", data=json.dumps(ALICE), headers=headers)
    assert response.status == 400


async def test_a_compressed_body_is_refused_because_it_may_inflate_without_end(house: House) -> None:
    response = await house.client.post("/auth/login", json=ALICE, compress="gzip")
    assert response.status == 415
    assert house.sessions.asked == 0


@pytest.mark.item(131)
@pytest.mark.parametrize("chunked", [None, True], ids=["declared", "chunked"])
async def test_a_body_beyond_16_kib_is_413(house: House, chunked: bool | None) -> None:
    body = json.dumps({**ALICE, "padding": "x" * 16_384}).encode()
    response = await house.client.post(
        "/auth/login", data=body, headers={"Content-Type": "application/json"}, chunked=chunked
    )
    assert response.status == 413
    assert (await response.json())["code"] == "body_too_large"
    assert house.sessions.asked == 0


async def test_a_body_of_16_kib_passes(house: House) -> None:
    empty = json.dumps({**ALICE, "padding": ""})
    body = json.dumps({**ALICE, "padding": "x" * (16_384 - len(empty))}).encode()
    response = await house.client.post("/auth/login", data=body, headers={"Content-Type": "application/json"})
    assert response.status == 200


@pytest.mark.item(129)
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({}, 401, id="no browser"),
        pytest.param({"Sec-Fetch-Site": "same-origin"}, 401, id="our own page"),
        pytest.param({"Sec-Fetch-Site": "none"}, 401, id="an extension"),
        pytest.param({"Origin": "https://gw.example"}, 401, id="our own origin"),
        pytest.param({"Sec-Fetch-Site": "cross-site"}, 403, id="cross-site"),
        pytest.param({"Sec-Fetch-Site": "same-site"}, 403, id="a sibling host"),
        pytest.param({"Sec-Fetch-Site": "SAME-ORIGIN"}, 403, id="no value of the standard"),
        pytest.param(
            {"Sec-Fetch-Site": "cross-site", "Origin": "https://gw.example"}, 403, id="the browser knows best"
        ),
        pytest.param({"Origin": "https://evil.example"}, 403, id="a foreign origin"),
        pytest.param({"Origin": "null"}, 403, id="a sandboxed page"),
        pytest.param({"Origin": "http://gw.example"}, 403, id="our host without TLS"),
        pytest.param({"Origin": "https://evil.example", "Host": "evil.example"}, 403, id="Host does not count"),
    ],
)
async def test_a_foreign_page_is_refused_before_the_credentials_are_looked_at(
    house: House, headers: dict[str, str], status: int
) -> None:
    response = await house.client.post("/auth/login", json={**ALICE, "password": "x"}, headers=headers)
    assert response.status == status
    assert house.sessions.asked == (status == 401)
    if status == 403:
        assert (await response.json())["error"] == "csrf_failed"


@pytest.mark.item(129)
async def test_a_foreign_page_is_refused_before_its_body_is_read(house: House) -> None:
    response = await house.client.post(
        "/auth/login", data=b"x" * 100_000, headers={"Sec-Fetch-Site": "cross-site", "Content-Type": "text/plain"}
    )
    assert response.status == 403


async def test_the_token_of_a_login_page_must_be_the_browsers_own(house: House) -> None:
    first = await house.client.get("/auth/csrf")
    token = (await first.json())["csrf_token"]
    cookie = {"Cookie": f"__Host-gw-csrf={token}"}
    form = {**ALICE, "csrf_token": token}
    assert (await house.client.post("/auth/login", data=form, headers=cookie)).status == 200
    assert (await house.client.post("/auth/login", data=form)).status == 403
    other = {"Cookie": f"__Host-gw-csrf={(await (await house.client.get('/auth/csrf')).json())['csrf_token']}"}
    assert (await house.client.post("/auth/login", data=form, headers=other)).status == 403
    forged = {"Cookie": "__Host-gw-csrf=" + "A" * 64}
    assert (
        await house.client.post("/auth/login", data={**ALICE, "csrf_token": "A" * 64}, headers=forged)
    ).status == 403


@pytest.mark.item(125)
@pytest.mark.parametrize("username", ["alice", "nobody"])
async def test_throttling_answers_alike_for_accounts_that_exist_and_that_do_not(house: House, username: str) -> None:
    guess = {"username": username, "password": "guess"}
    statuses = [(await house.client.post("/auth/login", json=guess)).status for _ in range(6)]
    assert statuses == [401] * 5 + [429]
    response = await house.client.post("/auth/login", json=guess)
    assert response.headers["Retry-After"] == "1"
    members = await response.json()
    assert (members["error"], members["code"]) == ("slow_down", "rate_limited")
    assert house.sessions.asked == 5


async def test_after_the_delay_the_right_password_passes(house: House) -> None:
    for _ in range(6):
        await house.client.post("/auth/login", json={**ALICE, "password": "guess"})
    assert (await house.client.post("/auth/login", json=ALICE)).status == 429
    house.clock.now += 1
    assert (await house.client.post("/auth/login", json=ALICE)).status == 200


async def test_a_hundred_guesses_at_once_do_not_pass_the_count_together(house: House) -> None:
    guess = {**ALICE, "password": "guess"}
    responses = await asyncio.gather(*(house.client.post("/auth/login", json=guess) for _ in range(100)))
    statuses = [response.status for response in responses]
    assert (statuses.count(401), statuses.count(429)) == (5, 95)
    assert house.sessions.asked == 5


async def test_twenty_logins_at_once_with_the_right_password_all_pass(house: House) -> None:
    answers = await asyncio.gather(*(house.login() for _ in range(20)))
    assert len({members["session_id"] for members in answers}) == 20


async def test_an_address_that_failed_too_often_never_blocks_a_right_password(house: House) -> None:
    turnstile = Turnstile(MemoryThrottle(house.clock, ThrottleLimits(address_burst=3)))
    object.__setattr__(house.services, "turnstile", turnstile)
    for i in range(3):
        await house.client.post("/auth/login", json={"username": f"user{i}", "password": "x"})
    answers = [
        await house.client.post("/auth/login", json={"username": name, "password": "x"}) for name in ("alice", "nobody")
    ]
    assert [answer.status for answer in answers] == [429, 429]
    assert [answer.headers["Retry-After"] for answer in answers] == ["10", "10"]
    assert (await house.client.post("/auth/login", json=ALICE)).status == 200


@pytest.mark.item(132)
async def test_a_store_that_is_down_is_503_with_retry_after_and_counts_as_no_guess(house: House) -> None:
    house.sessions.fails = StoreUnavailable("redis at 10.0.0.1 timed out")
    for _ in range(10):
        response = await house.client.post("/auth/login", json=ALICE)
        assert response.status == 503
        assert response.headers["Retry-After"] == "2"
        assert "Set-Cookie" not in response.headers
        assert "10.0.0.1" not in await response.text()
        assert (await response.json())["error"] == "temporarily_unavailable"
    house.sessions.fails = None
    assert (await house.client.post("/auth/login", json=ALICE)).status == 200


@pytest.mark.item(118)
async def test_a_full_hash_queue_is_503_with_retry_after(house: House) -> None:
    house.sessions.fails = Refused(refuse("overloaded", "hash_queue_full", retry_after=1))
    response = await house.client.post("/auth/login", json=ALICE)
    assert (response.status, response.headers["Retry-After"]) == (503, "1")
    assert (await response.json())["code"] == "overloaded"


@pytest.mark.item(117)
async def test_while_twenty_people_wait_for_their_hashes_everybody_else_is_answered(house: House) -> None:
    held = threading.Event()
    hashing = asyncio.ensure_future(house.users._pool.run(held.wait))  # its one thread
    wrong = ({"username": f"user{number}", "password": "x"} for number in range(20))
    twenty = [asyncio.ensure_future(house.client.post("/auth/login", json=body)) for body in wrong]
    try:
        async with asyncio.timeout(30):
            while house.sessions.asked < 20:
                await asyncio.sleep(0.001)
            for path in ("/auth/csrf", "/.well-known/jwks.json"):
                assert (await house.client.get(path)).status == 200
        assert not any(login.done() for login in twenty)
    finally:
        held.set()
    assert await hashing
    assert {(await login).status for login in twenty} == {401}


@pytest.mark.item(171)
async def test_a_bug_ends_in_500_and_is_reported_and_not_told(house: House) -> None:
    house.sessions.fails = ZeroDivisionError("at /srv/secret/path with password wonderland")
    response = await house.client.post("/auth/login", json=ALICE)
    assert response.status == 500
    assert await response.json() == {
        "error": "server_error",
        "error_description": "The gateway failed.",
        "code": "internal_error",
        "request_id": "req-0",
    }
    assert [type(error) for error in house.reported] == [ZeroDivisionError]


@pytest.mark.item(156)
async def test_no_answer_echoes_what_the_client_sent(house: House) -> None:
    mark = "mark-7f3a"
    for body in ({"username": mark, "password": mark}, {"username": mark, "password": mark, "mode": mark}):
        response = await house.client.post("/auth/login", json=body, headers={"X-Request-Id": mark})
        assert mark not in await response.text()
        assert mark not in str(response.headers)
    response = await house.client.post("/auth/login", data=FormData({mark: mark}))
    assert mark not in await response.text()


async def test_nothing_that_is_logged_holds_a_password_or_a_token(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    members = await house.login()
    browser = await house.cookies()
    await house.client.post("/auth/refresh", headers=browser.own)
    await house.client.post("/auth/login", json={**ALICE, "password": "wonderland-mistyped"})
    house.sessions.fails = RuntimeError("bug")
    await house.client.post("/auth/login", json=ALICE)
    logged = caplog.text + repr([(f.code, f.reason, f.subject) for f in house.facts]) + repr(house.reported)
    secrets = ["wonderland", members["access_token"], members["refresh_token"], browser.refresh, browser.csrf]
    assert not [secret for secret in secrets if secret in logged]


@pytest.mark.item(144)
async def test_get_is_405_with_allow(house: House) -> None:
    response = await house.client.get("/auth/login/mfa")
    assert (response.status, response.headers["Allow"]) == (405, "POST")
    assert (await response.json())["code"] == "method_not_allowed"


async def test_an_unknown_path_is_404_in_our_own_words(house: House) -> None:
    response = await house.client.get("/auth/nothing")
    assert response.status == 404
    assert (await response.json())["code"] == "no_route"


async def test_where_cookies_are_not_read_none_is_given_and_none_counts(house: House) -> None:
    browser = await house.cookies()
    object.__setattr__(house.services, "cookies", CookieSettings(allowed=False))
    asked = {"username": "alice", "password": "wonderland", "mode": "cookie"}
    answer = await house.client.post("/auth/login", json=asked)
    assert (answer.status, "Set-Cookie" in answer.headers) == (400, False)
    assert (await house.client.get("/auth/session", headers=browser.own)).status == 401
    assert (await house.client.post("/auth/refresh", headers=browser.own)).status == 401
    assert await house.login()
