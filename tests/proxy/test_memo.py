"""What is remembered must never be believed too long: blocks of fields, heads of answers, names, hosts.

Blocks of fields are kept by their bytes under the configuration in force, and so are heads of answers by the engine;
fields are gathered in a dictionary, which forgets repeated names, so lines are counted. Each of these is attacked here.
"""

from ipaddress import ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.head import Fields
from gateway.proxy.blocks import GENERATION, MAX_BLOCK, Blocks
from gateway.proxy.names import AnswerKinds, FieldKinds, HostForms
from gateway.proxy.pairs import answer_pairs, request_pairs
from gateway.routing.host import normal_host
from gateway.routing.table import RouteTable
from tests.proxy.harness import ADMIN, PUBLIC, House, get, house, post, route, settle
from tests.proxy.loops import run
from tests.proxy.strict import Answer, Request

BLOCK = b"Host: gw.test\r\nAuthorization: Bearer good\r\nX-A: 1\r\n\r\n"


def seen(request: Request) -> tuple[bytes, bytes, tuple[tuple[bytes, bytes], ...], bytes]:
    """A request less its id."""
    fields = tuple(field for field in request.fields if field[0] != b"X-Request-Id")
    return request.method, request.target, fields, request.body


# --- the blocks that are remembered ---


async def test_equal_fields_below_another_line_are_another_request(house: House) -> None:
    client = await house.client()
    for line, status in (
        (b"GET /api/1 HTTP/1.1", 200),
        (b"GET /admin/2 HTTP/1.1", 403),
        (b"DELETE /api/3?x HTTP/1.1", 200),
        (b"GET /nowhere HTTP/1.1", 404),
        (b"TRACE /api/4 HTTP/1.1", 405),
        (b"GET /api//5 HTTP/1.1", 400),
        (b"BREW /api/6 HTTP/1.1", 405),
        (b"GET /api/7 HTTP/1.1", 200),
    ):
        assert (await client.ask(line + b"\r\n" + BLOCK)).status == status
    assert [request.target for request in house.origin.requests] == [b"/api/1", b"/api/3?x", b"/api/7"]


@pytest.mark.parametrize(
    "line",
    [
        b"GET /api/x HTTP/2.0",
        b"GET /api/x",
        b"GET  /api/x HTTP/1.1",
        b"GET /api/x HTTP/1.1 ",
        b"GET /api/x RTSP/1.0",
        b"get /api/x HTTP/1.1",
        b"PRI * HTTP/2.0",
        b"GET /api/x\nX: y HTTP/1.1",
        b"GET /api/x HTTP/1.1\r",
        b"\x00GET /api/x HTTP/1.1",
    ],
)
async def test_known_fields_do_not_vouch_for_the_line(house: House, line: bytes) -> None:
    client = await house.client()
    assert (await client.ask(b"GET /api/1 HTTP/1.1\r\n" + BLOCK)).status == 200
    await client.send(line + b"\r\n" + BLOCK + b"GET /api/2 HTTP/1.1\r\n" + BLOCK)
    answer = await client.answer()
    assert (answer.status, answer.closes) == (400, True)
    await client.closed()
    assert len(house.origin.requests) == 1


async def test_known_fields_do_not_make_http_1_0_http_1_1(house: House) -> None:
    house.origin.says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
    house.origin.says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
    client = await house.client()
    first = await client.ask(b"GET /api/1 HTTP/1.1\r\n" + BLOCK)
    assert first.value("transfer-encoding") == b"chunked"
    second = await client.ask(b"GET /api/2 HTTP/1.0\r\n" + BLOCK)
    assert (second.body, second.value("transfer-encoding"), second.closes) == (b"ok", None, True)
    await client.closed()


async def test_fields_of_http_1_0_are_read_anew_for_http_1_1(house: House) -> None:
    """A coding is refused on 1.0; whatever was learned there must not stand in for a reading as 1.1."""
    client = await house.client()
    await client.send(b"POST /api/1 HTTP/1.0\r\nHost: gw.test\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert (await client.answer()).status == 400
    client = await house.client()
    assert (await client.ask(b"GET /public/1 HTTP/1.0\r\n\r\n")).status == 200
    assert (await house.ask(b"GET /public/1 HTTP/1.1\r\n\r\n")).status == 400


@pytest.mark.parametrize(
    "lines",
    [
        "X: 1\r\nX: 2\r\n",
        "X: 1\r\nX: 1\r\n",
        "X: 1\r\nx: 2\r\nX: 3\r\n",
        "X: \r\nX:\r\nX: 3\r\n",
        "A: 1\r\nX: 1\r\nB: 2\r\nX: 2\r\nC: 3\r\n",
        "X-Empty:\r\nY: 1\r\n",
        "Accept: a\r\nAccept: b\r\nCookie: a=1\r\nCookie: b=2\r\n",
    ],
)
async def test_repeated_names_all_arrive_each_time(house: House, lines: str) -> None:
    client = await house.client()
    for _ in range(3):
        await client.ask(get(headers=lines))
    once, again, third = (seen(request) for request in house.origin.requests)
    assert once == again == third
    sent = [line.partition(":") for line in lines.split("\r\n") if line and not line.startswith("Cookie")]
    expected = [(name.encode(), value.strip().encode()) for name, _, value in sent]
    assert [field for field in once[2] if field[0] in {name for name, _ in expected}] == expected


@pytest.mark.parametrize(
    "lines",
    [
        "Authorization: Bearer good\r\nAuthorization: Bearer good\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Host: gw.test\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Upgrade: a\r\nUpgrade: b\r\nConnection: upgrade\r\n",
    ],
)
async def test_a_repeated_name_that_decides_is_refused_each_time(house: House, lines: str) -> None:
    for _ in range(2):
        client = await house.client()
        await client.ask(get("/api/x", token="good"))
        answer = await client.ask(get("/api/x", lines))
        assert answer.status in (400, 401)
    assert len(house.origin.requests) == 2


async def test_a_body_request_between_changes_nothing(house: House) -> None:
    client = await house.client()
    with_body = post("/api/2", b"hello", "X-B: 2\r\n", token="admin")
    for _ in range(3):
        await client.ask(b"GET /api/1 HTTP/1.1\r\n" + BLOCK)
        await client.ask(with_body)
        await client.ask(with_body)
    requests = [seen(request) for request in house.origin.requests]
    assert requests[0] == requests[3] == requests[6]
    assert requests[1] == requests[2] == requests[4] == requests[5]
    assert requests[1][3] == b"hello"
    assert (b"X-User-Id", b"alice") in requests[0][2]
    assert (b"X-User-Id", b"root") in requests[1][2]


async def test_the_same_length_belongs_to_each_body(house: House) -> None:
    client = await house.client()
    for body in (b"first", b"other", b"third"):
        await client.ask(post("/api/x", body, token="good"))
    await client.send(post("/api/x", b"early", token="good")[:-2])
    await settle(30)
    await client.send(b"ly")
    assert (await client.answer()).status == 200
    assert [request.body for request in house.origin.requests] == [b"first", b"other", b"third", b"early"]


async def test_a_refusal_is_not_remembered(house: House) -> None:
    client = await house.client()
    assert (await client.ask(get("/api/x", token="later"))).status == 401
    house.tokens.known[b"later"] = house.tokens.known[b"good"]
    assert (await client.ask(get("/api/x", token="later"))).status == 200
    del house.tokens.known[b"later"]
    assert (await client.ask(get("/api/x", token="later"))).status == 401
    assert house.tokens.asked == [b"later"] * 3


async def test_two_clients_do_not_share_what_was_read(house: House) -> None:
    one, other = await house.client(), await house.client()
    await one.ask(get("/api/x", token="good"))
    assert (await other.ask(get("/api/x"))).status == 401
    await one.ask(get("/api/x", token="good"))
    assert (await other.ask(get("/api/x", token="admin"))).status == 200
    users = [request.values("x-user-id") for request in house.origin.requests]
    assert users == [[b"alice"], [b"alice"], [b"root"]]


async def test_a_reload_is_seen_by_the_next_request(house: House) -> None:
    client = await house.client()
    request = get("/public/x", {"X-Tenant": "evil", "X-Forwarded-For": "198.51.100.7"})
    await client.ask(request)
    house.load(identity=(b"X-User-Id", b"X-Tenant"))
    await client.ask(request)
    house.load(trusted_proxies=(ip_network("127.0.0.0/8"),))
    await client.ask(request)
    house.load(table=RouteTable([route(0, "/public/**", ADMIN)]))
    assert (await client.ask(request)).status == 401
    first, second, third = house.origin.requests
    assert (first.values("x-tenant"), second.values("x-tenant"), third.values("x-tenant")) == ([b"evil"], [], [b"evil"])
    assert third.values("x-forwarded-for") == [b"198.51.100.7, 127.0.0.1"]


async def test_what_connection_named_is_named_each_time(house: House) -> None:
    client = await house.client()
    for _ in range(3):
        await client.ask(get(headers="X-Hop: 1\r\nConnection: keep-alive, X-Hop\r\nX-Keep: 1\r\n"))
    assert all(request.values("x-hop") == [] for request in house.origin.requests)
    assert all(request.values("x-keep") == [b"1"] for request in house.origin.requests)


async def test_a_request_to_close_closes_however_often_it_was_seen(house: House) -> None:
    for _ in range(2):
        client = await house.client()
        assert (await client.ask(get())).status == 200
        assert (await client.ask(get(headers="Connection: close\r\n"))).closes
        await client.closed()


async def test_an_expectation_is_met_each_time(house: House) -> None:
    client = await house.client()
    for _ in range(3):
        await client.send(get(headers="Expect: 100-continue\r\nContent-Length: 2\r\n", method="POST"))
        await client.until(b"100 Continue\r\n\r\n")
        await client.send(b"hi")
        assert (await client.answer()).status == 200
    for _ in range(3):
        answer = await client.ask(get(headers="Expect: 100-continue\r\n"))
        assert (answer.status, answer.interim) == (200, ())


@pytest.mark.parametrize("size", [100, 4000, 4096, 5000, 30_000])
async def test_a_block_of_any_size_is_read_the_same_twice(house: House, size: int) -> None:
    client = await house.client()
    request = get(headers={"X": "a" * size})
    await client.ask(request)
    await client.ask(request)
    one, other = house.origin.requests
    assert seen(one) == seen(other)


async def test_after_a_rest_a_connection_knows_what_it_must(house: House) -> None:
    client = await house.client()
    for _ in range(3):
        assert (await client.ask(get("/api/x", token="good"))).status == 200
        house.turn(20.0)
    assert len({seen(request) for request in house.origin.requests}) == 1


async def test_who_the_client_is_is_asked_anew_whatever_came_before(house: House) -> None:
    """A proxy mixes clients on one connection, with and without forwarding fields, and each comes again."""
    house.load(trusted_proxies=(ip_network("127.0.0.0/8"),))
    client = await house.client()
    plain, one, other = (
        get(),
        get(headers={"X-Forwarded-For": "198.51.100.7"}),
        get(headers={"X-Forwarded-For": "198.51.100.8", "X-Forwarded-Proto": "https"}),
    )
    for request in (plain, one, other, plain, other, one, plain):
        await client.ask(request)
    told = [b", ".join(request.values("x-forwarded-for")) for request in house.origin.requests]
    first, second = b"198.51.100.7, 127.0.0.1", b"198.51.100.8, 127.0.0.1"
    assert told == [b"127.0.0.1", first, second, b"127.0.0.1", second, first, b"127.0.0.1"]
    protocols = [request.values("x-forwarded-proto") for request in house.origin.requests]
    assert [found == [b"https"] for found in protocols] == [told_of == second for told_of in told]


def test_blocks_take_bounded_room_and_those_in_use_stay() -> None:
    blocks = Blocks()
    used, fields = b"used" + bytes(1000), Fields()
    for _ in range(2):
        blocks.keep(used, fields)
    for number in range(3 * GENERATION // 1000):
        for _ in range(2):
            blocks.keep(b"%08d" % number + bytes(1000), Fields())
        if number % 1000 == 0:
            assert blocks.young.get(used, blocks.aged(used)) is fields
    assert len(blocks) <= 2 * GENERATION // 1000
    assert blocks.aged(b"%08d" % 0 + bytes(1000)) is None


def test_a_long_block_takes_no_room() -> None:
    blocks = Blocks()
    for _ in range(3):
        blocks.keep(bytes(MAX_BLOCK + 1), Fields())
    assert len(blocks) == 0


def test_blocks_that_never_come_again_take_no_room() -> None:
    blocks = Blocks()
    for number in range(20_000):
        blocks.keep(b"%d" % number, Fields())
    assert len(blocks) == 0


# Lines and blocks of which any sequence may come on one connection. The outcome of each must not depend on the rest.
LINES = (
    b"GET /api/x HTTP/1.1",
    b"GET /public/y?z HTTP/1.1",
    b"POST /api/x HTTP/1.1",
    b"HEAD /public/y HTTP/1.1",
    b"DELETE /admin/x HTTP/1.1",
    b"OPTIONS * HTTP/1.1",
    b"GET /public//x HTTP/1.1",
)
BLOCKS = (
    b"Host: gw.test\r\n\r\n",
    b"Host: gw.test\r\nAuthorization: Bearer good\r\n\r\n",
    b"Host: gw.test\r\nAuthorization: Bearer admin\r\nX: 1\r\nX: 2\r\n\r\n",
    b"Host: gw.test\r\nContent-Length: 5\r\n\r\nhello",
    b"Host: gw.test\r\nContent-Length: 5\r\nAuthorization: Bearer good\r\n\r\nhello",
    b"Host: gw.test\r\nContent-Length: 5\r\nAuthorization: Bearer good\r\n\r\nworld",
    b"Host: gw.test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    b"Host: gw.test\r\nCookie: __Host-Http-gw-at=good; a=1\r\nSec-Fetch-Site: same-origin\r\n\r\n",
    b"Host: gw.test\r\nConnection: X-Hop\r\nX-Hop: 1\r\nx_hop: 2\r\n\r\n",
    b"host: GW.test:80\r\nContent-Length: 0\r\nX-User-Id: evil\r\n\r\n",
)
SEQUENCES = st.lists(st.tuples(st.sampled_from(LINES), st.sampled_from(BLOCKS)), min_size=2, max_size=12)


@settings(max_examples=60, deadline=None)
@given(SEQUENCES)
def test_the_outcome_of_a_request_does_not_depend_on_those_before_it(requests: list[tuple[bytes, bytes]]) -> None:
    async def outcomes(*, together: bool) -> list[tuple[object, ...]]:
        results: list[tuple[object, ...]] = []
        closed = False
        async with house() as made:
            client = await made.client()
            for line, block in requests:
                if not together or closed:
                    client = await made.client()
                before = len(made.origin.requests)
                answer = await client.ask(line + b"\r\n" + block)
                got = [seen(request) for request in made.origin.requests[before:]]
                fields = [field for field in answer.fields if field[0] != b"X-Request-Id"]
                closed = answer.closes
                body = b"" if answer.code else answer.body
                results.append((answer.status, fields if not answer.code else [], answer.closes, body, got))
        return results

    assert run(outcomes(together=True)) == run(outcomes(together=False))


# --- the heads of answers the engine remembers ---


def outcome(answer: Answer) -> tuple[object, ...]:
    return answer.status, tuple(field for field in answer.fields if field[0] != b"X-Request-Id"), answer.body


async def test_one_head_frames_get_and_head_differently(house: House) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
    client = await house.client()
    for method, body in (("GET", b"hello"), ("HEAD", b""), ("GET", b"world"), ("HEAD", b"")):
        house.origin.says(head + body)
        answer = await client.ask(get(method=method))
        assert (answer.body, answer.value("content-length")) == (body, b"5")
    assert len(house.origin.lines) == 1


async def test_one_chunked_head_frames_get_head_and_http_1_0_differently(house: House) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = b"2\r\nok\r\n0\r\n\r\n"
    for _ in range(2):
        house.origin.says(head + body)
        assert (await house.ask(get())).body == b"ok"
        house.origin.says(head)
        assert (await house.ask(get(method="HEAD"))).body == b""
        house.origin.says(head + body)
        client = await house.client()
        answer = await client.ask(get(version="1.0"))
        assert (answer.body, answer.value("transfer-encoding")) == (b"ok", None)
        await client.closed()
    assert len(house.origin.lines) == 1


async def test_the_length_in_a_known_head_is_counted_each_time(house: House) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
    house.origin.says(head + b"hello")
    assert (await house.ask(get())).body == b"hello"
    house.origin.says(head, b"wo", b"rld")
    assert (await house.ask(get())).body == b"world"
    house.origin.says(head + b"again and more")
    assert (await house.ask(get())).body == b"again"
    assert (await house.ask(get())).body == b"ok"
    assert len(house.origin.lines) == 2


async def test_a_known_head_that_closes_closes_each_time(house: House) -> None:
    for number in range(3):
        house.origin.says(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
        assert not (await house.ask(get())).closes
        assert len(house.origin.lines) == number + 1


async def test_known_interim_heads_are_counted(house: House) -> None:
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n"
    house.origin.says(hint + house.origin.answer)
    await house.ask(get())
    house.origin.says(hint * 9 + house.origin.answer)
    assert (await house.ask(post())).status == 502


async def test_repeated_names_in_answers_all_arrive_each_time(house: House) -> None:
    lines = b"Set-Cookie: a=1\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nX:\r\nX:\r\n"
    head = b"HTTP/1.1 200 OK\r\n" + lines + b"Content-Length: 0\r\n\r\n"
    for _ in range(3):
        house.origin.says(head)
        answer = await house.ask(get())
        assert answer.values("set-cookie") == [b"a=1", b"a=1", b"b=2"]
        assert answer.values("x") == [b"", b""]


async def test_more_heads_than_are_remembered_are_read_all_the_same(house: House) -> None:
    client = await house.client()
    for number in range(600):
        house.origin.says(b"HTTP/1.1 200 OK\r\nX-N: %d\r\nContent-Length: 2\r\n\r\nok" % number)
        answer = await client.ask(get())
        assert (answer.value("x-n"), answer.body) == (b"%d" % number, b"ok")
    assert len(house.engine.answers) <= 256


async def test_an_unreadable_head_is_not_remembered_as_readable(house: House) -> None:
    bad = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\ncontent-length: 2\r\n\r\nok"
    for _ in range(3):
        house.origin.says(bad)
        assert (await house.ask(post())).status == 502


async def test_what_an_upstream_may_not_say_the_built_in_application_may(house: House) -> None:
    """An upstream that guesses the application's answer must not get it read as if it were its own."""
    head = (
        b"HTTP/1.1 401 X\r\nX-Gateway-Error: token_missing\r\nSet-Cookie: __Host-gw-csrf=x\r\nContent-Length: 0\r\n\r\n"
    )
    house.origin.says(head)
    answer = await house.ask(get())
    assert (answer.code, answer.values("set-cookie")) == ("", [])
    house.inside.says(head)
    answer = await house.ask(get("/auth/session"))
    assert (answer.code, answer.values("set-cookie")) == ("token_missing", [b"__Host-gw-csrf=x"])


async def test_what_the_built_in_application_may_say_an_upstream_may_not(house: House) -> None:
    head = (
        b"HTTP/1.1 401 X\r\nX-Gateway-Error: token_missing\r\nSet-Cookie: __Host-gw-csrf=x\r\nContent-Length: 0\r\n\r\n"
    )
    house.inside.says(head)
    assert (await house.ask(get("/auth/session"))).code == "token_missing"
    house.origin.says(head)
    answer = await house.ask(get())
    assert (answer.code, answer.values("set-cookie")) == ("", [])


ANSWERS = (
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", b"ok"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", b"no"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"2\r\nhi\r\n0\r\n\r\n"),
    (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n", b""),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n", b""),
    (b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", b"ok"),
    (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n", b"ok"),
)
EXCHANGES = st.lists(
    st.tuples(st.sampled_from(ANSWERS), st.sampled_from(("GET", "HEAD")), st.sampled_from(("1.0", "1.1"))),
    min_size=2,
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(EXCHANGES)
def test_the_reading_of_an_answer_does_not_depend_on_those_before_it(
    exchanges: list[tuple[tuple[bytes, bytes], str, str]],
) -> None:
    async def outcomes(*, remembering: bool) -> list[tuple[object, ...]]:
        results = []
        async with house() as made:
            for (head, body), method, version in exchanges:
                if not remembering:
                    made.engine.answers.clear()
                made.origin.says(head + (b"" if method == "HEAD" else body))
                results.append(outcome(await made.ask(get(method=method, version=version))))
        return results

    assert run(outcomes(remembering=True)) == run(outcomes(remembering=False))


# --- names, hosts, pairs ---


def test_names_are_judged_once_and_remembered_in_bounds() -> None:
    kinds = FieldKinds((b"X-User-Id",))
    answers = AnswerKinds()
    hosts = HostForms(normal_host)
    for number in range(5000):
        name = b"X-%d" % number
        assert kinds[name] == answers[name]
        assert hosts[b"%d.test" % number] == b"%d.test" % number
    for table in (kinds, answers, hosts):
        assert len(table) <= 1024


def test_long_spellings_take_no_room() -> None:
    kinds, answers, hosts = FieldKinds(), AnswerKinds(), HostForms(normal_host)
    for number in range(100):
        long = b"%d-" % number + b"x" * 1000
        assert kinds[long] == answers[long]
        assert hosts[long] is None
    assert (len(kinds), len(answers), len(hosts)) == (0, 0, 0)


def test_names_dropped_for_an_underscore_are_counted() -> None:
    kinds = FieldKinds((b"X-User-Id",))
    _ = kinds[b"x_y"], kinds[b"x_y"], kinds[b"a_b"], kinds[b"X_User_Id"], kinds[b"ok"]
    assert kinds.underscored == 2


NAMES = st.sampled_from((b"X", b"x", b"X-A", b"A", b"Host"))
VALUES = st.sampled_from((b"", b"1", b"a b", b"\xff", b"1"))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(NAMES, VALUES), max_size=12))
def test_pairs_are_all_pairs_in_their_order(pairs: list[tuple[bytes, bytes]]) -> None:
    block = b"".join(b"%b: %b\r\n" % pair for pair in pairs) + b"\r\n"
    assert request_pairs(b"GET / HTTP/1.1\r\n" + block) == pairs
    assert answer_pairs(b"HTTP/1.1 200 OK\r\n" + block) == pairs


def test_pairs_of_an_upgrade_are_whole() -> None:
    head = b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\nX: 1\r\n\r\n"
    assert request_pairs(head) == [(b"Upgrade", b"websocket"), (b"Connection", b"upgrade"), (b"X", b"1")]


async def test_a_host_no_route_knows_takes_no_room_in_the_table(house: House) -> None:
    house.load(table=RouteTable([route(0, "/public/**", PUBLIC)]))
    for number in range(50):
        request = b"GET /public/x HTTP/1.1\r\nHost: %d.test\r\n\r\n" % number
        assert (await house.ask(request)).status == 200
    assert len(house.table._memo) == 1
