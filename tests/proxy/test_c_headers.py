"""Headers and identity: statements C1 to C18 of the safety chapter."""

from ipaddress import ip_network

import pytest

from gateway.routing.table import RouteTable
from gateway.tokens.cache import Verified
from gateway.tokens.headers import renderer
from tests.proxy.harness import ADMIN, PUBLIC, USER, House, get, identity, post, route

IDENTITY = ("X-User-Id", "X-User-Roles", "X-Session-Id")
SPELLINGS = (
    str,
    str.lower,
    str.upper,
    lambda n: n.replace("-", "_"),
    lambda n: n.replace("-", "."),
    lambda n: n.replace("-", "_", 1),
)


@pytest.mark.item(63, "C1")
@pytest.mark.parametrize("path", ["/public/x", "/optional/x", "/api/x", "/stripped/x"])
@pytest.mark.parametrize("name", IDENTITY)
async def test_a_clients_copy_of_an_identity_header_never_arrives(house: House, name: str, path: str) -> None:
    await house.ask(get(path, {name: "mallory"}, token="good"))
    seen = house.origin.only
    assert b"mallory" not in seen.raw
    assert len(seen.values(name.lower())) == (1 if path in ("/api/x", "/optional/x") else 0)


@pytest.mark.item(63, "C2")
@pytest.mark.parametrize("spelling", range(len(SPELLINGS)))
@pytest.mark.parametrize("name", [*IDENTITY, "X-Request-Id", "X-Forwarded-For", "X-Gateway-Decision"])
async def test_no_spelling_of_such_a_name_arrives(house: House, name: str, spelling: int) -> None:
    await house.ask(get("/public/x", {SPELLINGS[spelling](name): "mallory"}))
    assert b"mallory" not in house.origin.only.raw


@pytest.mark.item("C2")
@pytest.mark.parametrize("name", ["X_Anything", "_", "a_b", "Content_Length", "Transfer_Encoding", "HOST_"])
async def test_a_name_with_an_underscore_does_not_arrive(house: House, name: str) -> None:
    await house.ask(get(headers={name: "mallory"}))
    assert b"mallory" not in house.origin.only.raw


@pytest.mark.item("C2")
@pytest.mark.parametrize("name", ["Content.Length", "Transfer.Encoding", "Proxy.Connection", "X.Http.Method.Override"])
async def test_a_dot_does_not_disguise_a_name_that_means_something(house: House, name: str) -> None:
    await house.ask(get(headers={name: "mallory"}))
    assert b"mallory" not in house.origin.only.raw


@pytest.mark.item("C2")
async def test_a_name_with_a_dot_that_means_nothing_to_us_arrives(house: House) -> None:
    await house.ask(get(headers={"X.Trace": "1"}))
    assert house.origin.only.values("x.trace") == [b"1"]


@pytest.mark.item(64, "C3")
@pytest.mark.parametrize("option", ["X-User-Id", "x-user-id, X-User-Roles", "close, X-Session-Id", "X-Forwarded-For"])
async def test_connection_cannot_remove_what_the_gateway_adds(house: House, option: str) -> None:
    await house.ask(get("/api/x", {"Connection": option}, token="good"))
    seen = house.origin.only
    assert seen.values("x-user-id") == [b"alice"]
    assert seen.values("x-user-roles") == [b"user"]
    assert seen.values("x-session-id") == [b"s-1"]
    assert seen.values("x-forwarded-for") == [b"127.0.0.1"]


@pytest.mark.item("C3")
@pytest.mark.parametrize("connection", ["X-Hop", "x-hop", "close, X-HOP", "X-Other, x-hop", ",,X-Hop,", "X-Hop\t,\tx"])
async def test_what_connection_names_was_for_this_hop(house: House, connection: str) -> None:
    await house.ask(get(headers=f"X-Hop: 1\r\nConnection: {connection}\r\nX-Keep: 2\r\nx-hop: 3\r\n"))
    seen = house.origin.only
    assert seen.values("x-hop") == []
    assert seen.values("x-keep") == [b"2"]
    assert seen.values("connection") == []


@pytest.mark.item("C3")
async def test_several_connection_fields_are_one_list(house: House) -> None:
    await house.ask(get(headers="X-A: 1\r\nX-B: 2\r\nConnection: X-A\r\nconnection: X-B\r\nX-C: 3\r\n"))
    seen = house.origin.only
    assert (seen.values("x-a"), seen.values("x-b"), seen.values("x-c")) == ([], [], [b"3"])


@pytest.mark.item("C3")
async def test_what_connection_names_is_bounded(house: House) -> None:
    """Each name costs a look at every field: thousands of them would make one request as dear as a thousand."""
    names = [f"X-{number}" for number in range(63)]
    assert (await house.ask(get(headers={"Connection": ", ".join(names)}))).status == 200
    assert (await house.refusal(get(headers={"Connection": "a," * 10_000}), closes=True)).status == 400
    several = "".join(f"Connection: {name}\r\n" for name in (*names, "X-64", "X-65"))
    assert (await house.refusal(get(headers=several), closes=True)).status == 400


@pytest.mark.item("C3")
@pytest.mark.parametrize("option", ["Content-Length", "Host", "Authorization", "Cookie", "Transfer-Encoding"])
async def test_connection_does_not_change_what_has_been_understood(house: House, option: str) -> None:
    await house.ask(post("/token/x", headers=f"Connection: {option}\r\nCookie: a=b\r\n", token="good"))
    seen = house.origin.only
    assert seen.body == b"hello"
    assert seen.values("authorization") == [b"Bearer good"]
    assert seen.values("cookie") == [b"a=b"]


@pytest.mark.item("C3")
@pytest.mark.parametrize("value", ["X-Hop X-Other", 'X-Hop, "x"', "X-Hop; a", "a/b", "\xe9", "x\x80"])
async def test_a_connection_field_that_is_no_list_of_names_is_refused(house: House, value: str) -> None:
    assert (await house.refusal(get(headers={"Connection": value}), closes=True)).status == 400


@pytest.mark.item("C4")
@pytest.mark.parametrize(
    "name",
    [
        "Keep-Alive",
        "Proxy-Connection",
        "Proxy-Authorization",
        "Proxy-Authenticate",
        "TE",
        "Trailer",
        "HTTP2-Settings",
        "Upgrade",
        "keep-alive",
        "tE",
    ],
)
async def test_hop_by_hop_fields_end_here(house: House, name: str) -> None:
    await house.ask(get(headers={name: "mallory", "X-Keep": "1"}))
    assert b"mallory" not in house.origin.only.raw
    assert house.origin.only.values("x-keep") == [b"1"]


@pytest.mark.item("C4")
async def test_connection_close_of_the_client_is_not_the_upstreams(house: House) -> None:
    for option in ("close", "keep-alive", "Keep-Alive, TE"):
        await house.ask(get(headers={"Connection": option}))
    assert len(house.origin.lines) == 1
    assert b"connection" not in house.origin.received.lower()


FORWARDED = (
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Uri",
    "X-Forwarded-Method",
    "X-Forwarded-Server",
    "X-Forwarded-Scheme",
    "X-Forwarded-Ssl",
    "X-Forwarded-User",
    "X-Forwarded-Groups",
    "Forwarded",
    "X-Real-IP",
    "X-Client-IP",
    "True-Client-IP",
)


@pytest.mark.item(66, "C5")
@pytest.mark.parametrize("name", FORWARDED)
async def test_a_strangers_word_about_the_way_of_a_request_does_not_arrive(house: House, name: str) -> None:
    await house.ask(get(headers={name: "203.0.113.66"}))
    seen = house.origin.only
    assert b"203.0.113.66" not in seen.raw
    assert seen.values("x-forwarded-for") == [b"127.0.0.1"]
    assert seen.values("x-forwarded-proto") == [b"http"]
    assert seen.values("x-forwarded-host") == [b"gw.test"]
    assert house.record.address == "127.0.0.1"


@pytest.mark.item(66, "C5")
@pytest.mark.parametrize(
    ("given", "client", "sent"),
    [
        ("198.51.100.7", "198.51.100.7", b"198.51.100.7, 127.0.0.1"),
        ("6.6.6.6, 198.51.100.7", "198.51.100.7", b"198.51.100.7, 127.0.0.1"),
        ("6.6.6.6, 198.51.100.7, 10.1.2.3", "198.51.100.7", b"198.51.100.7, 10.1.2.3, 127.0.0.1"),
        ("10.9.9.9, 10.1.2.3", "10.9.9.9", b"10.9.9.9, 10.1.2.3, 127.0.0.1"),
        ("198.51.100.7, unknown", "127.0.0.1", b"127.0.0.1"),
        ("198.51.100.7, , 10.1.2.3", "10.1.2.3", b"10.1.2.3, 127.0.0.1"),
        ("2001:db8::7", "2001:db8::7", b"2001:db8::7, 127.0.0.1"),
        ("198.51.100.7:1234", "198.51.100.7", b"198.51.100.7, 127.0.0.1"),
        ("[2001:db8::7]:1234, 10.1.2.3:80", "2001:db8::7", b"2001:db8::7, 10.1.2.3, 127.0.0.1"),
        ("[2001:db8::7]", "2001:db8::7", b"2001:db8::7, 127.0.0.1"),
        ("198.51.100.7:1234:5, 10.1.2.3", "10.1.2.3", b"10.1.2.3, 127.0.0.1"),
        ("[198.51.100.7", "127.0.0.1", b"127.0.0.1"),
        ("", "127.0.0.1", b"127.0.0.1"),
    ],
)
async def test_a_trusted_proxy_is_believed_up_to_the_first_stranger(
    house: House, given: str, client: str, sent: bytes
) -> None:
    house.load(trusted_proxies=(ip_network("127.0.0.0/8"), ip_network("10.0.0.0/8")))
    await house.ask(get(headers={"X-Forwarded-For": given, "X-Forwarded-Proto": "https"}))
    seen = house.origin.only
    assert seen.values("x-forwarded-for") == [sent]
    assert seen.values("x-forwarded-proto") == [b"https"]
    assert house.record.address == client


@pytest.mark.item("C5")
async def test_several_fields_of_a_trusted_proxy_are_one_list(house: House) -> None:
    house.load(trusted_proxies=(ip_network("127.0.0.0/8"),))
    await house.ask(get(headers="X-Forwarded-For: 6.6.6.6\r\nx-forwarded-for: 198.51.100.7\r\n"))
    assert house.origin.only.values("x-forwarded-for") == [b"198.51.100.7, 127.0.0.1"]


@pytest.mark.item(68, "C6")
@pytest.mark.parametrize(
    "name", ["X-Forwarded-Uri", "X-Original-URL", "X-Rewrite-URL", "X-Original-URI", "X-Original-Method"]
)
async def test_another_url_in_a_header_counts_for_nothing_and_ends_here(house: House, name: str) -> None:
    assert (await house.refusal(get("/admin/x", {name: "/public/x"}))).status == 401
    await house.ask(get("/public/x", {name: "/admin/x"}))
    assert b"/admin" not in house.origin.only.raw


@pytest.mark.item(69, "C7")
@pytest.mark.parametrize("agent", ["kube-probe/1.30", "GoogleHC/1.0", "ELB-HealthChecker/2.0", "curl"])
async def test_a_user_agent_opens_no_door(house: House, agent: str) -> None:
    assert (await house.refusal(get("/api/x", {"User-Agent": agent}))).status == 401


@pytest.mark.item("C8")
@pytest.mark.parametrize(
    "headers",
    [
        "Authorization: Bearer good\r\nAuthorization: Bearer good\r\n",
        "Authorization: Bearer good\r\nauthorization: Bearer admin\r\n",
        "Authorization: Basic eA==\r\nAuthorization: Bearer good\r\n",
        "Authorization: Bearer good, Bearer admin\r\n",
        "Authorization: Bearer good,admin\r\n",
    ],
)
@pytest.mark.parametrize("path", ["/api/x", "/public/x"])
async def test_two_authorizations_are_refused(house: House, headers: str, path: str) -> None:
    answer = await house.refusal(get(path, headers))
    assert (answer.status, answer.code) == (400, "bad_request")


@pytest.mark.item("C8")
async def test_two_tokens_of_two_sessions_are_refused(house: House) -> None:
    answer = await house.refusal(get("/api/x", {"Cookie": "__Host-Http-gw-at=elsewhere"}, token="good"))
    assert (answer.status, answer.code) == (400, "bad_request")
    assert house.record.reason == "two_tokens"


@pytest.mark.item("C8")
@pytest.mark.parametrize("cookie", ["again", "expired", "garbage"])
async def test_two_tokens_that_agree_or_of_which_one_is_dead_are_one(house: House, cookie: str) -> None:
    assert (await house.ask(get("/api/x", {"Cookie": f"__Host-Http-gw-at={cookie}"}, token="good"))).status == 200


@pytest.mark.item("C9")
async def test_a_field_that_decides_is_seen_with_all_its_values(house: House) -> None:
    """Sec-Fetch-Site is the forgery check's word; said twice, it is neither."""
    cookie = "Cookie: __Host-Http-gw-at=good\r\n"
    assert (await house.ask(post("/api/x", headers=cookie + "Sec-Fetch-Site: same-origin\r\n"))).status == 200
    twice = cookie + "Sec-Fetch-Site: same-origin\r\nsec-fetch-site: cross-site\r\n"
    assert (await house.refusal(post("/api/x", headers=twice))).code == "csrf_failed"
    twice = cookie + "Origin: https://gw.test\r\nOrigin: https://evil.test\r\n"
    assert (await house.refusal(post("/api/x", headers=twice))).code == "csrf_failed"


@pytest.mark.item("C10")
@pytest.mark.parametrize(
    "value", [b"\x85admin\xa0\xff", b"\xc3\xa9", b"a\tb", b" ", b"\x80", b"%00", b'"', b"=?utf-8?q?x?="]
)
async def test_a_value_arrives_byte_for_byte(house: House, value: bytes) -> None:
    request = b"GET /public/x HTTP/1.1\r\nHost: gw.test\r\nX-Value: %b\r\nX-Next: 1\r\n\r\n" % value
    await house.ask(request)
    assert house.origin.only.values("x-value") == [value.lstrip(b" ")]
    assert house.origin.only.values("x-next") == [b"1"]


@pytest.mark.item(65, "C11")
@pytest.mark.parametrize(
    "subject",
    [
        "a\r\nX-Admin: 1",
        "a\x00b",
        "\u00e9\u2603",
        "a\nb",
        "a%0d%0ab",
        " a ",
        "\ud800x".encode("utf-8", "replace").decode(),
    ],
)
async def test_a_claim_cannot_break_out_of_its_header(house: House, subject: str) -> None:
    who = identity(subject, "user", "a,b")
    render = renderer({"X-User-Id": "sub", "X-User-Roles": "roles", "X-Session-Id": "sid"})
    house.tokens.known[b"odd"] = Verified(who, render(who), 0, 2e9, 0)
    await house.ask(get("/api/x", token="odd"))
    seen = house.origin.only
    assert len(seen.values("x-user-id")) == 1
    assert seen.values("x-user-roles") == [b"a%2Cb,user"]
    assert seen.values("x-admin") == []
    assert seen.raw.isascii()


OURS = "__Host-Http-gw-at=good; __Host-Http-gw-rt=refresh; __Host-gw-csrf=csrf"


@pytest.mark.item(63, "C12")
@pytest.mark.parametrize(
    ("cookie", "left"),
    [
        (OURS, []),
        (f"a=1; {OURS}; b=2", [b"a=1; b=2"]),
        (f"{OURS};a=1", [b"a=1"]),
        ("a=1;  b=2", [b"a=1;  b=2"]),
        ("__HOST-HTTP-GW-AT=good; a=1", [b"a=1"]),
        ("__Host-gw-csrf=x;", []),
        ("a=1; __Host-gw-csrf=x;", [b"a=1"]),
    ],
)
@pytest.mark.parametrize("path", ["/public/x", "/optional/x"])
async def test_our_cookies_end_here_and_theirs_do_not(house: House, cookie: str, left: list[bytes], path: str) -> None:
    await house.ask(get(path, {"Cookie": cookie}))
    assert house.origin.only.values("cookie") == left


@pytest.mark.item("C12")
async def test_cookies_in_several_fields_are_one_jar(house: House) -> None:
    await house.ask(get("/api/x", "Cookie: a=1\r\nCookie: __Host-Http-gw-at=good\r\ncookie: b=2\r\n"))
    assert house.origin.only.values("cookie") == [b"a=1; b=2"]


@pytest.mark.item(63, "C12")
@pytest.mark.parametrize("path", ["/public/x", "/optional/x", "/api/x"])
async def test_the_token_ends_here(house: House, path: str) -> None:
    await house.ask(get(path, token="good"))
    assert b"good" not in house.origin.only.raw


@pytest.mark.item("C12")
async def test_the_token_goes_on_where_a_route_says_so(house: House) -> None:
    await house.ask(get("/token/x", token="good"))
    assert house.origin.only.values("authorization") == [b"Bearer good"]


@pytest.mark.item("C12")
async def test_the_built_in_application_alone_sees_credentials(house: House) -> None:
    await house.ask(get("/auth/session", {"Cookie": OURS}, token="good"))
    seen = house.inside.only
    assert seen.values("authorization") == [b"Bearer good"]
    assert seen.values("cookie") == [OURS.encode()]
    assert house.link.introduced == [("id-0", "127.0.0.1", False)]


@pytest.mark.item("C13")
@pytest.mark.parametrize(
    "line",
    [
        "__Host-Http-gw-at=evil; Path=/; Secure",
        "__Host-Http-gw-rt=evil",
        "__host-http-gw-at=evil",
        "  __Host-gw-csrf=evil",
        "\t__Host-gw-csrf=evil",
        "=__Host-Http-gw-at=evil",
        " = __Host-gw-csrf=evil",
        "__Host-gw-anything=evil",
    ],
)
async def test_an_upstream_cannot_set_our_cookies(house: House, line: str) -> None:
    """A browser keeps a nameless cookie by its value, and would send the fifth back as if it were ours."""
    house.origin.says(f"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nset-cookie: {line}\r\nContent-Length: 0\r\n\r\n".encode())
    answer = await house.ask(get())
    assert answer.values("set-cookie") == [b"a=1"]
    assert b"evil" not in answer.raw


@pytest.mark.item("C13")
@pytest.mark.parametrize("name", ["X-Gateway-Error", "X-Gateway-Decision", "X-Request-Id", "x-request-id"])
async def test_an_upstream_cannot_speak_for_the_gateway(house: House, name: str) -> None:
    house.origin.says(f"HTTP/1.1 200 OK\r\n{name}: evil\r\nContent-Length: 0\r\n\r\n".encode())
    answer = await house.ask(get())
    assert b"evil" not in answer.raw
    assert answer.value("x-request-id") == b"id-0"


@pytest.mark.item("C13")
@pytest.mark.parametrize("name", ["Server", "server", "X-Powered-By"])
async def test_what_an_upstream_runs_on_is_its_own_affair(house: House, name: str) -> None:
    house.origin.says(f"HTTP/1.1 200 OK\r\n{name}: inside/1.2.3\r\nContent-Length: 0\r\n\r\n".encode())
    assert b"inside" not in (await house.ask(get())).raw


@pytest.mark.item("C14")
async def test_nothing_is_said_that_the_client_did_not_say(house: House) -> None:
    await house.ask(get("/api/x", token="good"))
    assert house.origin.only.raw == (
        b"GET /api/x HTTP/1.1\r\n"
        b"Host: app.internal\r\n"
        b"X-User-Id: alice\r\n"
        b"X-User-Roles: user\r\n"
        b"X-Session-Id: s-1\r\n"
        b"X-Forwarded-For: 127.0.0.1\r\n"
        b"X-Forwarded-Proto: http\r\n"
        b"X-Forwarded-Host: gw.test\r\n"
        b"X-Request-Id: id-0\r\n"
        b"\r\n"
    )


@pytest.mark.item("C14")
async def test_what_the_client_said_arrives_in_its_order_and_spelling(house: House) -> None:
    lines = "aCCept: */*\r\nX-B: 2\r\nX-A: 1\r\nX-B: 3\r\nUser-Agent:  x y \r\nEmpty:\r\n"
    await house.ask(get(headers=lines))
    assert house.origin.only.raw.startswith(
        b"GET /public/x HTTP/1.1\r\nHost: app.internal\r\n"
        b"aCCept: */*\r\nX-B: 2\r\nX-A: 1\r\nX-B: 3\r\nUser-Agent: x y \r\nEmpty: \r\nX-Forwarded-For:"
    )


@pytest.mark.item("C15")
async def test_repeated_fields_of_an_answer_keep_their_order(house: House) -> None:
    house.origin.says(
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nVary: x\r\nset-cookie: b=2\r\nSet-Cookie: a=3\r\nVary: x\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    answer = await house.ask(get())
    assert [field for field in answer.fields if field[0].lower() in (b"set-cookie", b"vary")] == [
        (b"Set-Cookie", b"a=1"),
        (b"Vary", b"x"),
        (b"set-cookie", b"b=2"),
        (b"Set-Cookie", b"a=3"),
        (b"Vary", b"x"),
    ]


@pytest.mark.item("C16")
async def test_no_cookie_is_kept_for_anybody(house: House) -> None:
    house.origin.says(b"HTTP/1.1 200 OK\r\nSet-Cookie: session=alice\r\nContent-Length: 0\r\n\r\n")
    await house.ask(get())
    await house.ask(get())
    assert len(house.origin.lines) == 1
    assert b"cookie" not in house.origin.received.lower()


@pytest.mark.item("C17")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_the_clients_to_follow(house: House, status: int) -> None:
    house.origin.says(b"HTTP/1.1 %d X\r\nLocation: /public/elsewhere\r\nContent-Length: 0\r\n\r\n" % status)
    answer = await house.ask(get())
    assert (answer.status, answer.value("location")) == (status, b"/public/elsewhere")
    assert len(house.origin.requests) == 1


@pytest.mark.item("C18")
async def test_one_tokens_verdicts_are_one_per_route(house: House) -> None:
    """The same bytes of fields, on one connection: what was decided for one path says nothing about another."""
    client = await house.client()
    for path, status in (("/api/x", 200), ("/admin/x", 403), ("/public/x", 200), ("/admin/x", 403), ("/api/x", 200)):
        assert (await client.ask(get(path, token="good"))).status == status
    assert [request.target for request in house.origin.requests] == [b"/api/x", b"/public/x", b"/api/x"]
    assert house.origin.requests[1].values("x-user-id") == []


@pytest.mark.item("C18")
async def test_a_verdict_does_not_outlive_the_rules(house: House) -> None:
    client = await house.client()
    assert (await client.ask(get("/api/x", token="good"))).status == 200
    house.load(table=RouteTable([route(0, "/api/**", ADMIN), route(1, "/public/**", PUBLIC)]))
    assert (await client.ask(get("/api/x", token="good"))).status == 403
    house.load(table=RouteTable([route(0, "/api/**", USER)]))
    assert (await client.ask(get("/api/x", token="good"))).status == 200


@pytest.mark.item("C18")
async def test_a_verdict_does_not_outlive_the_token(house: House) -> None:
    client = await house.client()
    assert (await client.ask(get("/api/x", token="good"))).status == 200
    house.tokens.known[b"good"] = house.tokens.known[b"revoked"]
    answer = await client.ask(get("/api/x", token="good"))
    assert (answer.status, answer.code) == (401, "token_revoked")
    assert len(house.origin.requests) == 1
