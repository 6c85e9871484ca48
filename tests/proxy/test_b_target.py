"""Target, host, path: statements B1 to B25 of the safety chapter, as far as the gate and the engine decide them.

The pure readings are in `tests/routing`; here each is a whole request, and the question is what the origin gets.
"""

import pytest

from gateway.proxy.engine import Limits
from gateway.routing.table import RouteOptions, RouteTable
from gateway.routing.template import parse
from tests.proxy.harness import ADMIN, House, get, house, post, route


async def refused(house: House, target: str, code: str, **how: str) -> None:
    answer = await house.refusal(get(target, token="admin", **how))
    assert (answer.status, answer.code) == (400, code), house.record


@pytest.mark.item(67, "B1")
@pytest.mark.parametrize(
    ("target", "canonical"),
    [
        ("/public/x", b"/public/x"),
        ("/public/%78", b"/public/x"),
        ("/%70ublic/x", b"/public/x"),
        ("/public/%c3%a9", b"/public/%C3%A9"),
        ("/public/x?a=%2e%2e/b&c=%zz", b"/public/x?a=%2e%2e/b&c=%zz"),
        ("/public/{x}", b"/public/%7Bx%7D"),
        ("/public/x?", b"/public/x?"),
        ("/public/", b"/public/"),
        ("/public", b"/public"),
    ],
)
async def test_one_path_is_judged_logged_and_sent_on(house: House, target: str, canonical: bytes) -> None:
    assert (await house.ask(get(target))).status == 200
    assert house.origin.only.target == canonical
    assert house.record.path == canonical.partition(b"?")[0]
    assert house.record.route == "public"


@pytest.mark.item("B2")
@pytest.mark.parametrize(
    "target",
    [
        "/public/../admin/x",
        "/public/..",
        "/public/./x",
        "/public/.",
        "/./public/x",
        "/../public/x",
        "/public/%2e%2e/admin/x",
        "/public/.%2E/admin/x",
        "/public/%2e/x",
        "/..",
        "/.",
    ],
)
async def test_dot_segments_are_refused_before_any_route_is_looked_up(house: House, target: str) -> None:
    await refused(house, target, "path_ambiguous")


@pytest.mark.item("B3")
@pytest.mark.parametrize("target", ["/public/a%2fb", "/public/a%2Fb", "/admin%2fx", "/public%2f..%2fadmin"])
async def test_an_encoded_slash_is_refused(house: House, target: str) -> None:
    answer = await house.ask(get(target, token="admin"))
    assert answer.status in (400, 404)
    assert house.origin.received == b""


@pytest.mark.item("B3")
async def test_an_encoded_slash_passes_where_a_route_allows_it_and_stays_data(house: House) -> None:
    await house.ask(get("/slashes/a%2fb"))
    assert house.origin.only.target == b"/slashes/a%2Fb"


@pytest.mark.item("B3")
@pytest.mark.parametrize("target", ["/slashes/a%2f..%2fb", "/slashes/..%2fadmin", "/slashes/%2e%2e%2fadmin"])
async def test_where_it_is_allowed_it_does_not_hide_dot_segments(house: House, target: str) -> None:
    await refused(house, target, "path_ambiguous")


@pytest.mark.item("B3")
@pytest.mark.parametrize("target", ["/public/a%5cb", "/public/a%5Cb"])
async def test_an_encoded_backslash_is_always_refused(house: House, target: str) -> None:
    await refused(house, target, "path_ambiguous")
    await refused(house, target.replace("public", "slashes"), "path_ambiguous")


@pytest.mark.item("B4")
@pytest.mark.parametrize("escape", ["%00", "%0d", "%0a", "%0A", "%09", "%1f", "%7f"])
async def test_control_bytes_are_refused_when_escaped(house: House, escape: str) -> None:
    await refused(house, f"/public/a{escape}b", "path_ambiguous")
    await refused(house, f"/admin{escape}/b", "path_ambiguous")


@pytest.mark.item("B4")
@pytest.mark.parametrize("byte", ["\x00", "\x01", "\t", "\x0b", "\x1f", "\x7f", "\x80", "\xff", "\n", "\r"])
async def test_control_bytes_are_refused_when_raw(house: House, byte: str) -> None:
    answer = await house.refusal(get(f"/public/a{byte}b"), closes=True)
    assert answer.status == 400


@pytest.mark.item("B5")
@pytest.mark.parametrize("target", ["/public//x", "//public/x", "/public/x//", "//", "/public//../admin"])
async def test_empty_segments_are_refused(house: House, target: str) -> None:
    await refused(house, target, "path_ambiguous")


@pytest.mark.item("B6")
async def test_two_slashes_do_not_make_an_authority(house: House) -> None:
    await refused(house, "//gw.test/public/x", "path_ambiguous")
    await refused(house, "//evil.test/public/x", "path_ambiguous")


@pytest.mark.item("B7")
@pytest.mark.parametrize("target", ["/public\\x", "/public\\..\\admin", "\\public", "/public/x\\"])
async def test_a_backslash_is_refused(house: House, target: str) -> None:
    answer = await house.refusal(get(target))
    assert answer.status == 400


@pytest.mark.item("B8")
@pytest.mark.parametrize("target", ["/public/..;/admin", "/public/x;v=1", "/public;/x", "/public/x%3bv=1", "/admin;x"])
async def test_parameters_are_refused(house: House, target: str) -> None:
    await refused(house, target, "path_ambiguous")


@pytest.mark.item("B9")
@pytest.mark.parametrize("target", ["/public/%252e%252e/admin", "/public/%2561", "/%2561dmin", "/public/%252f"])
async def test_a_double_encoding_is_refused(house: House, target: str) -> None:
    await refused(house, target, "path_ambiguous")


@pytest.mark.item("B9")
async def test_nothing_is_decoded_twice(house: House) -> None:
    await house.ask(get("/public/100%25"))
    assert house.origin.only.target == b"/public/100%25"


@pytest.mark.item("B10")
async def test_an_escaped_letter_is_the_letter(house: House) -> None:
    answer = await house.refusal(get("/%61dmin/x", token="good"))
    assert (answer.status, answer.code) == (403, "role_missing")
    await house.ask(get("/%61dm%69n/x", token="admin"))
    assert house.origin.only.target == b"/admin/x"


@pytest.mark.item("B11")
@pytest.mark.parametrize("escape", ["%zz", "%", "%4", "%c0%af", "%c3", "%ed%a0%80", "%ff", "%u0041", "% 41"])
async def test_what_is_no_escape_and_no_utf_8_is_refused(house: House, escape: str) -> None:
    answer = await house.refusal(get(f"/public/a{escape}"))
    assert answer.status == 400


@pytest.mark.item("B12")
@pytest.mark.parametrize("target", ["/public/x#y", "/public/x?q#y", "#", "/public#/../admin"])
async def test_a_fragment_is_refused(house: House, target: str) -> None:
    answer = await house.refusal(get(target))
    assert answer.status == 400


@pytest.mark.item("B12")
async def test_an_escaped_question_mark_and_hash_are_data(house: House) -> None:
    await house.ask(get("/public/a%3fb%23c"))
    assert house.origin.only.target == b"/public/a%3Fb%23C".replace(b"C", b"c")


@pytest.mark.item("B13")
@pytest.mark.parametrize("target", ["/admin/x?/public/", "/admin/x?x=/public/x", "/admin?/public"])
async def test_the_query_is_not_part_of_the_path(house: House, target: str) -> None:
    answer = await house.refusal(get(target))
    assert answer.status == 401


@pytest.mark.item("B14")
@pytest.mark.parametrize("target", ["/Admin/x", "/ADMIN/x", "/aDmin"])
async def test_letters_are_compared_as_they_are(house: House, target: str) -> None:
    """Another case is another path; without a route of its own it is not served at all."""
    assert (await house.refusal(get(target, token="admin"))).status == 404


@pytest.mark.item("B15")
@pytest.mark.parametrize("target", ["/admin", "/admin/", "/admin/x", "/admin/x/"])
async def test_a_slash_at_the_end_escapes_no_rule(house: House, target: str) -> None:
    assert (await house.refusal(get(target))).status == 401
    assert (await house.refusal(get(target, token="good"))).status == 403
    assert (await house.ask(get(target, token="admin"))).status == 200


@pytest.mark.item("B15")
@pytest.mark.parametrize("target", ["/publicx", "/public-x", "/publi", "/public.x/y"])
async def test_a_prefix_ends_with_a_segment(house: House, target: str) -> None:
    assert (await house.refusal(get(target))).status == 404


@pytest.mark.item("B16")
@pytest.mark.parametrize("pattern", ["^/api/.*$", "/api/.*", "/api/a*", "/api/{id:a|b}"])
def test_a_path_is_no_regular_expression(pattern: str) -> None:
    """What has no anchors to forget needs none."""
    with pytest.raises(ValueError):  # noqa: PT011 - the message is tests/routing/test_template.py's
        parse(pattern)


@pytest.mark.item("B16")
async def test_a_route_is_the_whole_path(house: House) -> None:
    for target in ("/x/public/x", "/publicx/x", "/short/x/y/../../../public"):
        assert (await house.refusal(get(target))).status in (400, 404)


@pytest.mark.item("B17")
@pytest.mark.parametrize(
    ("target", "sent"),
    [
        ("/stripped/x", b"/x"),
        ("/stripped/a%20b?c=/stripped", b"/a%20b?c=/stripped"),
        ("/stripped/stripped/x", b"/stripped/x"),
        ("/stripped", b"/"),
        ("/%73tripped/x", b"/x"),
    ],
)
async def test_a_prefix_is_stripped_from_the_canonical_path(house: House, target: str, sent: bytes) -> None:
    await house.ask(get(target))
    assert house.origin.only.target == sent


@pytest.mark.item("B18")
async def test_an_absolute_target_must_name_the_host(house: House) -> None:
    await house.ask(get("http://gw.test/public/x?y"))
    assert house.origin.only.target == b"/public/x?y"
    assert house.record.path == b"/public/x"
    for other in ("http://evil.test/public/x", "http://gw.test:81/public/x", "http://gw.test.evil.test/public/x"):
        await refused(house, other, "bad_request")


@pytest.mark.item("B18")
@pytest.mark.parametrize(
    "target", ["http://GW.test./public/x", "HTTP://gw.test:80/public/x", "https://gw.test/public/x"]
)
async def test_the_same_host_in_another_spelling_is_the_same_host(house: House, target: str) -> None:
    assert (await house.ask(get(target))).status == 200


@pytest.mark.item("B18")
@pytest.mark.parametrize(
    "target", ["ftp://gw.test/public/x", "http:/public/x", "http:///public/x", "gw.test/public", "x"]
)
async def test_other_forms_of_target_are_refused(house: House, target: str) -> None:
    assert (await house.refusal(get(target))).status == 400


@pytest.mark.item("B19")
@pytest.mark.parametrize(
    "target", ["http://user@gw.test/public/x", "http://user:pw@gw.test/public/x", "http://@gw.test/"]
)
async def test_userinfo_in_the_target_is_refused(house: House, target: str) -> None:
    await refused(house, target, "bad_request")


def hosted(*values: bytes, version: bytes = b"1.1") -> bytes:
    fields = b"".join(b"Host: %b\r\n" % value for value in values)
    return b"GET /public/x HTTP/%b\r\n%b\r\n" % (version, fields)


@pytest.mark.item("B19")
@pytest.mark.parametrize("value", [b"user@gw.test", b"user:pw@gw.test", b"@gw.test"])
async def test_userinfo_in_host_is_refused(house: House, value: bytes) -> None:
    assert (await house.refusal(hosted(value), closes=True)).status == 400


@pytest.mark.item("B20")
@pytest.mark.parametrize(
    "values",
    [
        (),
        (b"",),
        (b" ",),
        (b"gw.test", b"gw.test"),
        (b"gw.test", b"evil.test"),
        (b"", b"gw.test"),
        (b"gw.test,evil.test",),
        (b"gw.test evil.test",),
        (b"gw.test/x",),
        (b"gw.test\\x",),
        (b"gw.test?x",),
        (b"gw.test#x",),
        (b"gw.test ",),
        (b"gw.test\t",),
    ],
)
async def test_host_comes_once_and_is_a_host(house: House, values: tuple[bytes, ...]) -> None:
    assert (await house.refusal(hosted(*values), closes=True)).status == 400


@pytest.mark.item("B20")
@pytest.mark.parametrize("name", [b"host", b"HOST", b"hOsT"])
async def test_a_second_host_in_another_spelling_is_a_second_host(house: House, name: bytes) -> None:
    request = b"GET /public/x HTTP/1.1\r\nHost: gw.test\r\n%b: evil.test\r\n\r\n" % name
    assert (await house.refusal(request, closes=True)).status == 400


@pytest.mark.item("B20")
async def test_http_1_0_may_do_without_a_host_but_not_with_two(house: House) -> None:
    assert (await house.ask(hosted(version=b"1.0"))).status == 200
    assert house.origin.only.values("x-forwarded-host") == []
    assert (await house.refusal(hosted(b"gw.test", b"gw.test", version=b"1.0"), closes=True)).status == 400


@pytest.mark.item("B21")
@pytest.mark.parametrize("value", [b"only.test", b"ONLY.test", b"only.test.", b"only.test:80", b"Only.Test.:443"])
async def test_one_host_has_many_spellings_and_one_route(house: House, value: bytes) -> None:
    request = b"GET /only/x HTTP/1.1\r\nHost: %b\r\n\r\n" % value
    assert (await house.ask(request)).status == 200
    assert house.origin.only.values("x-forwarded-host") == [b"only.test"]
    assert (await house.refusal(get("/only/x"))).status == 404


@pytest.mark.item("B22")
@pytest.mark.parametrize(
    "value",
    [
        b"gw.test:99999",
        b"gw.test:-1",
        b"gw.test:",
        b"gw.test:0",
        b"gw.test:80a",
        b"gw.test:8 0",
        b"[::1",
        b"::1",
        b"[::1]x",
        b"[::g]",
        b"[gw.test]",
        b"gw.t\xc3\xa9st",
        b"gw.test\xff",
        b".",
        b"gw..test",
        b"gw.test..",
        b"%67w.test",
        b"gw.test%00",
        b"a" * 64 + b".test",
        b"a." * 127 + b"test",
    ],
)
async def test_what_is_no_host_is_refused(house: House, value: bytes) -> None:
    assert (await house.refusal(hosted(value), closes=True)).status == 400


@pytest.mark.item(71, "B23")
async def test_trace_and_connect_are_never_served(house: House) -> None:
    for method, target in (("TRACE", "/public/x"), ("CONNECT", "/public/x")):
        answer = await house.refusal(get(target, method=method))
        assert (answer.status, answer.code) == (405, "method_not_allowed")
    assert (await house.refusal(get("gw.test:443", method="CONNECT"))).status in (400, 405)
    assert (await house.refusal(get("*", method="TRACE"))).status == 400


@pytest.mark.item("B23")
@pytest.mark.parametrize("method", ["TRACE", "CONNECT"])
async def test_a_405_says_what_is_allowed(house: House, method: str) -> None:
    """RFC 9110 section 15.5.6 demands it of every 405."""
    answer = await house.refusal(get("/public/x", method=method))
    assert answer.value("allow") == b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"


@pytest.mark.item("B23")
async def test_the_asterisk_is_for_options_and_is_answered_here(house: House) -> None:
    client = await house.client()
    answer = await client.ask(get("*", method="OPTIONS"))
    assert (answer.status, answer.body) == (204, b"")
    assert (await client.ask(get())).status == 200
    assert house.origin.only.method == b"GET"
    for method in ("GET", "HEAD", "POST", "DELETE"):
        assert (await house.ask(get("*", method=method))).status == 400


@pytest.mark.item(71, "B24")
@pytest.mark.parametrize("method", ["get", "Get", "gET", "post"])
async def test_a_method_in_another_case_is_no_method(house: House, method: str) -> None:
    assert (await house.refusal(get(method=method), closes=True)).status == 400


@pytest.mark.item(68, "B24")
@pytest.mark.parametrize(
    "name", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "x_http_method_override"]
)
async def test_a_method_override_counts_for_nothing_and_ends_here(house: House, name: str) -> None:
    await house.ask(get(headers={name: "DELETE"}))
    seen = house.origin.only
    assert seen.method == b"GET"
    assert b"override" not in seen.raw.lower()
    assert b"DELETE" not in seen.raw


@pytest.mark.item("B24")
async def test_a_method_no_route_lists_is_405_with_those_it_does(house: House) -> None:
    for method in ("PROPFIND", "MKCOL", "PURGE", "REPORT"):
        answer = await house.refusal(get(method=method))
        assert answer.status == 405
        assert answer.value("allow") == b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"


@pytest.mark.item("B25")
@pytest.mark.parametrize(
    "target",
    [
        "/public/http://evil.test/",
        "/public/x?url=http://169.254.169.254/",
        "/public/@evil.test",
        "/public/x:80",
        "/public/%40evil.test:80",
    ],
)
async def test_nothing_in_the_request_chooses_where_it_goes(house: House, target: str) -> None:
    """Two spellings are refused for their empty segments; the others go to the one origin, under its own name."""
    answer = await house.ask(get(target, {"X-Forwarded-Host": "evil.test", "Forwarded": "host=evil.test"}))
    if answer.status == 200:
        assert house.origin.only.values("host") == [b"app.internal"]
    else:
        assert (answer.status, house.origin.received) == (400, b"")
    assert house.second.received == b""


@pytest.mark.item("B25")
async def test_the_clients_host_is_passed_only_where_a_route_says_so(house: House) -> None:
    await house.ask(get("/keep/x"))
    assert house.origin.only.values("host") == [b"gw.test"]


@pytest.mark.item(71)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_every_method_obeys_the_rule_of_its_route(house: House, method: str) -> None:
    """identity.md 71: OPTIONS and HEAD are no way around."""
    assert (await house.refusal(get("/admin/x", method=method))).status == 401
    assert (await house.refusal(get("/admin/x", method=method, token="good"))).status == 403
    assert (await house.ask(post("/admin/x", b"", method=method, token="admin"))).status == 200


async def test_a_route_below_another_keeps_its_own_rule() -> None:
    routes = [route(0, "/**"), route(1, "/admin/**", ADMIN), route(2, "/admin/open", options=RouteOptions())]
    async with house(routes=routes, limits=Limits()) as made:
        assert made.table.routes == RouteTable(routes).routes
        assert (await made.ask(get("/x"))).status == 200
        assert (await made.ask(get("/admin/open"))).status == 200
        assert (await made.ask(get("/admin/open/x"))).status == 401
        assert (await made.ask(get("/admin/closed"))).status == 401
