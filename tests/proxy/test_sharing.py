"""Pages of other origins on real sockets: preflights, forwarded answers, refusals, and what services say of it.

WHATWG Fetch sections 3.2 and 4.8; identity.md 4, items 70 and 145.
"""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from gateway.head import Renewal
from gateway.routing.cors import ANY, EXPOSED, Cors
from gateway.routing.headers import wanted
from gateway.routing.table import Route, RouteOptions, RouteTable, Rule, WebSocketOptions
from gateway.tokens import csrf
from tests.proxy.harness import ADMIN, OWN_ORIGIN, PUBLIC, RESET, SECRETS, USER, House, get, route, until
from tests.proxy.harness import house as a_house
from tests.proxy.strict import Answer

APP = "https://app.test"
CORS = Cors(frozenset((APP,)), max_age=60)
SHARED = {
    "access-control-allow-origin": APP,
    "access-control-allow-credentials": "true",
    "access-control-expose-headers": EXPOSED,
    "vary": "Origin",
}
PREFLIGHT = {"Origin": APP, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
GOOD = {"Authorization": "Bearer good"}


class Renewals:
    def session_of(self, refresh: str) -> str:
        return "s-1"

    async def renew(self, _refresh: str, _csrf: str | None) -> Renewal:
        return Renewal(b"good", b"Cache-Control: private\r\nVary: Cookie\r\nSet-Cookie: new\r\n")


def only(index: int, path: str, rule: Rule, options: RouteOptions, *methods: str) -> Route:
    """Return a route of some methods."""
    return replace(route(index, path, rule, options), rules={method.encode(): rule for method in methods}, allow="")


def table() -> RouteTable:
    options = RouteOptions(cors=CORS)
    two = wanted({"X-Version": "2"})
    unnamed, apart = CORS._replace(credentials=False), CORS._replace(origins=frozenset(("https://other.test",)))
    return RouteTable(
        [
            route(0, "/shared/**", USER, options),
            route(1, "/admin/**", ADMIN, options),
            route(2, "/public/**", PUBLIC, options),
            route(3, "/plain/**", USER),
            route(4, "/open/**", PUBLIC, RouteOptions(cors=Cors(frozenset((ANY,)), credentials=False))),
            route(5, "/token/**", USER, RouteOptions(cors=CORS._replace(credentials=False))),
            route(6, "/silent/**", USER, RouteOptions(cors=CORS, silent_refresh=True)),
            route(7, "/ws/**", USER, RouteOptions(cors=CORS, websocket=WebSocketOptions())),
            route(8, "/small/**", PUBLIC, RouteOptions(cors=CORS, body_limit=3)),
            only(9, "/parts", USER, options, "GET", "PUT"),
            only(10, "/parts", USER, RouteOptions(), "DELETE"),
            only(11, "/asked", USER, options, "GET"),
            only(12, "/asked", PUBLIC, RouteOptions(), "OPTIONS"),
            route(13, "/versions", USER, options),
            replace(route(14, "/versions", USER, options), headers=two),
            route(15, "/versions-token", USER, options),
            replace(route(16, "/versions-token", USER, RouteOptions(cors=unnamed)), headers=two),
            route(17, "/versions-apart", USER, options),
            replace(route(18, "/versions-apart", USER, RouteOptions(cors=apart)), headers=two),
            route(19, "/versions-half", USER, options),
            replace(route(20, "/versions-half", USER), headers=two),
            replace(route(21, "/versions-only", USER, options), headers=two),
            only(22, "/few", USER, options, "GET"),
            only(23, "/few", USER, options, "POST"),
            only(24, "/few-open", USER, RouteOptions(cors=CORS._replace(exposed="X-Own")), "GET"),
            only(25, "/few-open", PUBLIC, RouteOptions(cors=Cors(frozenset((ANY,)), credentials=False)), "POST"),
            only(26, "/few-apart", USER, options, "GET"),
            only(27, "/few-apart", USER, RouteOptions(cors=apart), "POST"),
            only(28, "/few-public", PUBLIC, RouteOptions(cors=Cors(frozenset((ANY,)), credentials=False)), "POST"),
        ]
    )


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with a_house() as made:
        made.load(table=table(), settings={"renewals": Renewals()})
        yield made


def said(answer: Answer) -> dict[str, str]:
    """Return what an answer says about sharing; every field once, but for Vary, which is one list."""
    names = [name.lower().decode() for name, _ in answer.fields]
    chosen = [name for name in names if name.startswith("access-control-")]
    vary = {"vary": b", ".join(answer.values("vary")).decode()} if "vary" in names else {}
    return {name: (answer.value(name) or b"").decode() for name in chosen} | vary


def options(target: str, headers: dict[str, str]) -> bytes:
    return get(target, headers, method="OPTIONS")


def post(target: str, headers: dict[str, str], body: bytes = b"hello") -> bytes:
    return get(target, {**headers, "Content-Length": str(len(body))}, method="POST") + body


# --- preflights ---


@pytest.mark.item(70)
@pytest.mark.parametrize("target", ["/shared/x", "/admin/x", "/public/x", "/shared/x?q=" + "y" * 400])
async def test_a_preflight_needs_no_token_and_reaches_no_service(house: House, target: str) -> None:
    answer = await house.ask(options(target, PREFLIGHT))
    assert (answer.status, answer.body) == (204, b"")
    assert said(answer) == {
        "access-control-allow-origin": APP,
        "access-control-allow-credentials": "true",
        "access-control-allow-methods": "POST",
        "access-control-allow-headers": "Authorization, Content-Type, X-CSRF-Token",
        "access-control-max-age": "60",
        "vary": "Origin",
    }
    assert house.origin.requests == []
    assert (house.record.route, house.record.code) == (target.split("/")[1], "")


async def test_a_preflight_that_carries_a_bad_token_is_still_a_preflight(house: House) -> None:
    answer = await house.ask(options("/shared/x", {**PREFLIGHT, "Authorization": "Bearer forged"}))
    assert (answer.status, house.failures.left, house.tokens.asked) == (204, 1 << 60, [])


@pytest.mark.parametrize("origin", ["null", "https://evil.test", "https://app.test.evil.test", "http://app.test"])
async def test_a_preflight_of_another_origin_is_told_nothing(house: House, origin: str) -> None:
    answer = await house.ask(options("/shared/x", {**PREFLIGHT, "Origin": origin}))
    assert (answer.status, said(answer)) == (204, {"vary": "Origin"})
    assert (house.record.code, house.record.reason, house.record.route) == ("origin_denied", "preflight", "shared")


async def test_a_preflight_is_answered_by_the_route_of_the_request_that_it_announces(house: House) -> None:
    answer = await house.ask(options("/parts", {**PREFLIGHT, "Access-Control-Request-Method": "PUT"}))
    assert said(answer)["access-control-allow-methods"] == "PUT"
    for method in ("DELETE", "PATCH", "TRACE", "x"):
        answer = await house.ask(options("/parts", {**PREFLIGHT, "Access-Control-Request-Method": method}))
        assert (answer.status, answer.code, said(answer)) == (405, "method_not_allowed", {})


async def test_where_headers_decide_all_routes_must_share_since_a_preflight_does_not_tell_them(house: House) -> None:
    asked = {**PREFLIGHT, "Access-Control-Request-Headers": "x-version"}
    answer = await house.ask(options("/versions", asked))
    assert said(answer)["access-control-allow-headers"].endswith("X-CSRF-Token, x-version")
    both = {**SHARED, "vary": "x-version, Origin"}
    assert said(await house.ask(get("/versions", {**GOOD, "Origin": APP, "X-Version": "2"}))) == both
    assert said(await house.refusal(get("/versions", {"Origin": APP, "X-Version": "2"}))) == both
    assert "access-control-allow-credentials" not in said(await house.ask(options("/versions-token", asked)))
    assert said(await house.ask(options("/versions-apart", asked))) == {"vary": "Origin"}
    assert house.record.code == "origin_denied"
    answer = await house.refusal(options("/versions-half", asked))
    assert (answer.code, said(answer)) == ("token_missing", both)
    answer = await house.ask(options("/versions-only", asked))
    assert (answer.status, said(answer)["access-control-allow-methods"]) == (204, "POST")


async def test_the_connection_goes_on_behind_a_preflight(house: House) -> None:
    client = await house.client()
    assert (await client.ask(options("/shared/x", PREFLIGHT))).status == 204
    assert (await client.ask(get("/shared/x", {**GOOD, "Origin": APP}))).status == 200


async def test_a_preflight_of_a_route_that_shares_nothing_is_an_ordinary_request(house: House) -> None:
    answer = await house.refusal(options("/plain/x", PREFLIGHT))
    assert (answer.code, said(answer)) == ("token_missing", {})


@pytest.mark.item(70)
@pytest.mark.parametrize("missing", ["Origin", "Access-Control-Request-Method"])
async def test_an_options_that_is_no_preflight_is_an_ordinary_request(house: House, missing: str) -> None:
    half = {name: value for name, value in PREFLIGHT.items() if name != missing}
    assert (await house.refusal(options("/shared/x", half))).code == "token_missing"
    assert (await house.ask(options("/shared/x", {**half, **GOOD}))).status == 200
    assert house.origin.only.method == b"OPTIONS"


async def test_a_service_that_was_given_options_gets_all_but_the_preflights_of_shared_methods(house: House) -> None:
    assert (await house.ask(options("/asked", {"Origin": APP}))).status == 200
    assert house.origin.only.method == b"OPTIONS"
    answer = await house.ask(options("/asked", {**PREFLIGHT, "Access-Control-Request-Method": "GET"}))
    assert answer.status == 200  # its author said who answers OPTIONS there


# --- answers ---


async def test_a_forwarded_answer_may_be_read_by_the_page_that_asked(house: House) -> None:
    answer = await house.ask(get("/shared/x", {**GOOD, "Origin": APP}))
    assert (answer.status, answer.body, said(answer)) == (200, b"ok", SHARED)


@pytest.mark.parametrize("origin", [None, "null", "https://evil.test"])
async def test_any_other_page_learns_nothing_but_caches_are_told(house: House, origin: str | None) -> None:
    asked = GOOD if origin is None else {**GOOD, "Origin": origin}
    answer = await house.ask(get("/shared/x", asked))
    assert (answer.status, said(answer)) == (200, {"vary": "Origin"})


@pytest.mark.parametrize("origin", [APP, "https://evil.test"])
async def test_what_the_service_says_of_sharing_is_replaced(house: House, origin: str) -> None:
    house.origin.says(
        b"HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\naccess-control-allow-credentials: true\r\n"
        b"ACCESS-CONTROL-ALLOW-PRIVATE-NETWORK: true\r\nAccess-Control-Expose-Headers: X-All\r\nX-A: b\r\n"
        b"Content-Length: 2\r\n\r\nok"
    )
    answer = await house.ask(get("/shared/x", {**GOOD, "Origin": origin}))
    assert said(answer) == (SHARED if origin == APP else {"vary": "Origin"})
    assert answer.value("x-a") == b"b"


async def test_a_streamed_answer_carries_it_too(house: House) -> None:
    house.origin.says(b"HTTP/1.1 200 OK\r\nVary: Accept\r\nTransfer-Encoding: chunked\r\n\r\n", b"2\r\nok\r\n0\r\n\r\n")
    answer = await house.ask(get("/shared/x", {**GOOD, "Origin": APP}))
    assert (answer.body, answer.values("vary")) == (b"ok", [b"Accept", b"Origin"])
    assert answer.value("access-control-allow-origin") == APP.encode()


async def test_a_route_that_shares_nothing_passes_on_what_the_service_says(house: House) -> None:
    house.origin.says(b"HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: 2\r\n\r\nok")
    answer = await house.ask(get("/plain/x", {**GOOD, "Origin": APP}))
    assert said(answer) == {"access-control-allow-origin": "*"}


async def test_a_route_for_everybody_names_nobody(house: House) -> None:
    answer = await house.ask(get("/open/x", {"Origin": "https://anybody.test"}))
    assert said(answer) == {"access-control-allow-origin": "*", "access-control-expose-headers": EXPOSED}
    answer = await house.ask(options("/open/x", {**PREFLIGHT, "Origin": "https://anybody.test"}))
    assert said(answer)["access-control-allow-origin"] == "*"


async def test_head_carries_it_too(house: House) -> None:
    answer = await house.ask(get("/shared/x", {**GOOD, "Origin": APP}, method="HEAD"))
    assert said(answer) == SHARED


# --- refusals ---


@pytest.mark.parametrize(
    ("target", "headers", "code"),
    [
        ("/shared/x", {}, "token_missing"),
        ("/shared/x", {"Authorization": "Bearer expired"}, "token_expired"),
        ("/shared/x", {"Authorization": "Bearer a b"}, "bad_request"),
        ("/admin/x", GOOD, "role_missing"),
        ("/shared/a%2fb", GOOD, "path_ambiguous"),
    ],
)
async def test_a_refusal_may_be_read_by_the_page_that_asked(
    house: House, target: str, headers: dict[str, str], code: str
) -> None:
    answer = await house.refusal(get(target, {**headers, "Origin": APP}))
    assert answer.code == code
    assert said(answer) == ({} if code == "path_ambiguous" else SHARED)
    answer = await house.refusal(get(target, {**headers, "Origin": "https://evil.test"}))
    assert "access-control-allow-origin" not in said(answer)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "OPTIONS"])
async def test_a_405_may_be_read_by_whom_all_routes_of_the_path_share_with(house: House, method: str) -> None:
    async def told(target: str, headers: dict[str, str]) -> dict[str, str]:
        answer = await house.refusal(get(target, headers, method=method))
        assert (answer.status, answer.code) == (405, "method_not_allowed")
        return said(answer)

    asked = {"Origin": APP}
    assert await told("/few", asked) == SHARED
    assert await told("/few", {}) == await told("/few", {"Origin": "https://evil.test"}) == {"vary": "Origin"}
    once = {name: value for name, value in SHARED.items() if name != "access-control-allow-credentials"}
    assert await told("/few-open", asked) == once
    assert await told("/few-open", {"Origin": "https://evil.test"}) == {"vary": "Origin"}
    assert await told("/few-apart", asked) == {"vary": "Origin"}
    anybody = {"access-control-allow-origin": "*", "access-control-expose-headers": EXPOSED}
    assert await told("/few-public", {"Origin": "https://anybody.test"}) == anybody
    if method == "PATCH":
        assert await told("/parts", asked) == {}  # DELETE there is nobody else's business


async def test_a_preflight_for_a_method_that_no_route_has_is_a_405_that_may_be_read(house: House) -> None:
    answer = await house.refusal(options("/few", {**PREFLIGHT, "Access-Control-Request-Method": "PUT"}))
    assert (answer.status, answer.value("allow"), said(answer)) == (405, b"GET, HEAD, POST", SHARED)


async def test_where_there_is_no_route_nobody_shares(house: House) -> None:
    for target, code in (("/nowhere", "no_route"), ("/shared//x", "path_ambiguous")):
        answer = await house.refusal(get(target, {"Origin": APP}))
        assert (answer.code, said(answer)) == (code, {})


async def test_too_many_bad_tokens_may_be_read(house: House) -> None:
    house.failures.left = 0
    answer = await house.refusal(get("/shared/x", {"Authorization": "Bearer forged", "Origin": APP}))
    assert (answer.status, said(answer)) == (429, SHARED)


async def test_a_body_that_is_too_large_may_be_read_before_and_behind_its_beginning(house: House) -> None:
    answer = await house.ask(post("/small/x", {"Origin": APP}))
    assert (answer.status, said(answer)) == (413, SHARED)
    in_chunks = {"Origin": APP, "Transfer-Encoding": "chunked"}
    answer = await house.ask(get("/small/x", in_chunks, method="POST") + b"5\r\nhello\r\n0\r\n\r\n")
    assert (answer.status, said(answer)) == (413, SHARED)


async def test_a_502_may_be_read(house: House) -> None:
    house.origin.says(RESET)
    answer = await house.ask(post("/public/x", {"Origin": APP}))
    assert (answer.status, said(answer)) == (502, SHARED)


async def test_a_504_may_be_read(house: House) -> None:
    house.origin.says()
    client = await house.client()
    await client.send(get("/public/x", {"Origin": APP}))
    await until(lambda: house.origin.requests)
    house.turn(31)
    answer = await client.answer()
    assert (answer.status, said(answer)) == (504, SHARED)


# --- cookies ---


async def test_pages_with_credentials_may_change_things_and_others_may_not(house: House) -> None:
    cookie = {"Cookie": "__Host-Http-gw-at=good", "Sec-Fetch-Site": "same-site"}
    assert (await house.ask(post("/shared/x", {**cookie, "Origin": APP}))).status == 200
    for target, origin in (("/shared/x", "https://evil.test"), ("/token/x", APP), ("/plain/x", APP)):
        answer = await house.refusal(post(target, {**cookie, "Origin": origin}))
        assert answer.code == "csrf_failed"
    own = {**cookie, "Origin": OWN_ORIGIN.decode(), "Sec-Fetch-Site": "same-origin"}
    assert (await house.ask(post("/shared/x", own))).status == 200


async def test_a_page_of_another_site_cannot_act_by_cookie_whatever_its_name(house: House) -> None:
    asked = {"Cookie": "__Host-Http-gw-at=good", "Sec-Fetch-Site": "cross-site", "Origin": APP}
    asked["X-CSRF-Token"] = csrf.mint(SECRETS, "s-1")
    answer = await house.refusal(post("/shared/x", asked))
    assert (answer.code, said(answer)) == ("csrf_failed", SHARED)


async def test_the_cookies_of_a_silent_refresh_and_the_word_of_sharing_ride_together(house: House) -> None:
    asked = {"Cookie": "__Host-Http-gw-at=expired; __Host-Http-gw-rt=r", "Origin": APP, "Sec-Fetch-Site": "same-site"}
    for request in (get("/silent/x", asked), post("/silent/x", asked)):
        answer = await house.ask(request)
        assert (answer.status, answer.value("set-cookie")) == (200, b"new")
        assert answer.value("access-control-allow-origin") == APP.encode()
        assert answer.values("vary") == [b"Cookie", b"Origin"]


# --- WebSockets ---


async def test_a_websocket_is_no_sharing(house: House) -> None:
    """Its own check of the origin stands."""
    shake = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    answer = await house.refusal(get("/ws/x", {**shake, **GOOD, "Origin": APP}))
    assert answer.code == "origin_denied"
