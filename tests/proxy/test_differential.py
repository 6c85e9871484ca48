"""Random and mutated requests: what reaches the origin is whole, well formed, authorised and what was sent, or nothing.

Three readers look at the same bytes. The gateway reads the client's stream; h11 reads it too, and where the gateway
forwarded a request, h11 must have seen that very request at that place; the origin's own narrow reader (`strict`) reads
what the gateway sent on. Input may be answered with anything below 500, or with a closed connection.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

import h11
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.proxy.harness import END, RESET, Step
from tests.proxy.stage import Stage
from tests.proxy.strict import NotStrict, Request, read_answer

SMUGGLED = b"GET /admin/smuggled HTTP/1.1\r\nHost: gw.test\r\nAuthorization: Bearer admin\r\n\r\n"
_PATH = re.compile(rb"/(public|api|admin)(/[A-Za-z0-9_.~!$&'()*+,=:@%-]*)*(\?[!-~]*)?")
USERS = {b"public": [], b"api": [b"alice", b"root"], b"admin": [b"root"]}


# --- requests that are all right ---


class Sent(NamedTuple):
    """A well-formed request, and what the origin must get when it is allowed."""

    raw: bytes
    method: bytes
    status: int
    target: bytes
    passed: list[tuple[bytes, bytes]]
    user: bytes | None
    body: bytes
    closes: bool


TARGETS = {
    b"/public/x": b"/public/x",
    b"/public/%78?a=b&c=/../d": b"/public/x?a=b&c=/../d",
    b"/public/%c3%a9": b"/public/%C3%A9",
    b"/public": b"/public",
    b"/api/x?y": b"/api/x?y",
    b"/api/deep/er/%20": b"/api/deep/er/%20",
    b"/admin/x": b"/admin/x",
    b"http://gw.test/api/z": b"/api/z",
}
TOKENS: dict[bytes | None, bytes | None] = {None: None, b"good": b"alice", b"admin": b"root"}
PASSED = st.sampled_from(
    [
        (b"Accept", b"*/*"),
        (b"accept", b"text/html"),
        (b"X-A", b"1"),
        (b"X-A", b"2"),
        (b"X-B", b"\xff\x80 odd"),
        (b"X-Empty", b""),
        (b"X-Long", b"y" * 300),
        (b"User-Agent", b"test/1 (x; y)"),
        (b"Sec-Fetch-Site", b"same-origin"),
    ]
)
DROPPED = st.sampled_from(
    [
        (b"X-User-Id", b"evil"),
        (b"x_user_id", b"evil"),
        (b"X-Forwarded-For", b"6.6.6.6"),
        (b"Keep-Alive", b"timeout=5"),
        (b"Connection", b"keep-alive"),
        (b"Connection", b"X-User-Id, X-Request-Id"),
        (b"TE", b"trailers"),
        (b"X-HTTP-Method-Override", b"DELETE"),
        (b"Proxy-Authorization", b"Basic eA=="),
        (b"X-Original-URL", b"/admin/x"),
    ]
)
BODIES = st.one_of(st.binary(max_size=40), st.just(SMUGGLED), st.just(b"0\r\n\r\n" + SMUGGLED), st.just(b"x" * 5000))


def _lawful(target: bytes, user: bytes | None) -> int:
    path = target.removeprefix(b"http://gw.test")
    if path.startswith(b"/public"):
        return 200
    if user is None:
        return 401
    return 403 if path.startswith(b"/admin") and user != b"root" else 200


@st.composite
def requests(draw: st.DrawFn) -> Sent:
    method = draw(st.sampled_from([b"GET", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"HEAD"]))
    target = draw(st.sampled_from(list(TARGETS)))
    token = draw(st.sampled_from(list(TOKENS)))
    passed = draw(st.lists(PASSED, max_size=5))
    lines = [*passed, *draw(st.lists(DROPPED, max_size=3, unique=True))]
    lines.insert(draw(st.integers(0, len(lines))), (b"Host", draw(st.sampled_from([b"gw.test", b"GW.test:80"]))))
    if token is not None:
        lines.append((b"Authorization", b"Bearer " + token))
    closes = draw(st.integers(0, 9)) == 0
    if closes:
        lines.append((b"connection", b"close"))
    body, framed = b"", b""
    framing = draw(st.sampled_from(["none", "none", "length", "chunked"]))
    if framing != "none":
        body = framed = draw(BODIES)
        if framing == "length":
            lines.append((b"Content-Length", b"%d" % len(body)))
        else:
            lines.append((b"Transfer-Encoding", b"chunked"))
            cut = draw(st.integers(0, len(body)))
            chunks = [chunk for chunk in (body[:cut], body[cut:]) if chunk]
            extension = draw(st.sampled_from([b"", b";a=b", b';q="x"']))
            framed = b"".join(b"%X%b\r\n%b\r\n" % (len(chunk), extension, chunk) for chunk in chunks)
            framed += b"0\r\n" + draw(st.sampled_from([b"", b"X-User-Id: evil\r\n"])) + b"\r\n"
    head = b"%b %b HTTP/1.1\r\n%b\r\n" % (method, target, b"".join(b"%b: %b\r\n" % line for line in lines))
    user = TOKENS[token]
    status = _lawful(target, user)
    public = TARGETS[target].startswith(b"/public")
    return Sent(head + framed, method, status, TARGETS[target], passed, None if public else user, body, closes)


STREAMS = st.lists(requests(), min_size=1, max_size=4)


# --- and what may happen to them on the way ---

WORDS = [
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b"\x00",
    b":",
    b",",
    b";",
    b"\xff",
    b"0",
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"content-length : 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: ,chunked\r\n",
    b"transfer-encoding: gzip, chunked\r\n",
    b"\r\n\r\n",
    b"0\r\n\r\n",
    b"5;x\r\nhello\r\n",
    b"ffffffffffffffff\r\n",
    SMUGGLED,
    b"Host: evil.test\r\n",
    b"Connection: close\r\n",
    b"Connection: Content-Length, Host\r\n",
    b"Expect: 100-continue\r\n",
    b"Expect: x\r\n",
    b"Upgrade: websocket\r\nConnection: upgrade\r\n",
    b"HTTP/1.0",
    b"HTTP/2.0",
    b" HTTP/1.1",
    b"%00",
    b"%2e%2e",
    b"/../",
    b"//",
    b"%2f",
    b"#",
    b"X-User-Id: evil\r\n",
    b"X-User-Id:\r\n evil\r\n",
    b"Authorization: Bearer admin\r\n",
    b"Cookie: __Host-Http-gw-at=good\r\n",
    b"GET ",
    b"CONNECT ",
    b"OPTIONS * HTTP/1.1\r\n",
]
MUTATION = st.tuples(
    st.sampled_from(["insert", "insert", "delete", "double", "replace", "word for word", "bare"]),
    st.floats(0, 1, exclude_max=True),
    st.integers(1, 40),
    st.sampled_from(WORDS),
)


def mutated(stream: bytes, mutation: tuple[str, float, int, bytes]) -> bytes:
    kind, where, length, word = mutation
    at = int(where * len(stream))
    if kind == "insert":
        # Half of the words make sense only at the start of a line.
        line = stream.rfind(b"\n", 0, at) + 1
        at = line if word.endswith(b"\r\n") else at
        return stream[:at] + word + stream[at:]
    if kind == "delete":
        return stream[:at] + stream[at + length :]
    if kind == "double":
        return stream[: at + length] + stream[at:]
    if kind == "replace":
        return stream[:at] + word[:1] + stream[at + 1 :]
    if kind == "word for word":
        end = stream.find(b"\r\n", at)
        return stream[:at] + word + stream[max(end, at) :]
    return stream[:at] + stream[at:].replace(b"\r\n", b"\n", 1)


SPOILT = st.builds(
    lambda sent, mutations: _all(b"".join(one.raw for one in sent), mutations),
    STREAMS,
    st.lists(MUTATION, min_size=1, max_size=4),
)
CUTS = st.lists(st.floats(0, 1), max_size=4)


def _all(stream: bytes, mutations: list[tuple[str, float, int, bytes]]) -> bytes:
    for mutation in mutations:
        stream = mutated(stream, mutation)
    return stream


# --- the second reader ---


class Read(NamedTuple):
    method: bytes
    target: bytes
    body: bytes


class Reading(NamedTuple):
    """The requests at the beginning of a stream."""

    requests: list[Read]
    stopped_at_trailers: bool
    """h11 judges trailers as if they were headers; we drop them unread, so from there on it is no witness."""


def read_by_h11(stream: bytes) -> Reading:
    """Return what h11 finds in *stream*; an empty line before each request is forgiven."""
    found: list[Read] = []
    in_body = False
    try:
        while stream:
            in_body = False
            connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
            connection.receive_data(stream.removeprefix(b"\r\n"))
            event = connection.next_event()
            if not isinstance(event, h11.Request):
                break
            method, target, body, in_body = event.method, event.target, b"", True
            while isinstance(event := connection.next_event(), h11.Data):
                body += event.data
            if not isinstance(event, h11.EndOfMessage):
                break
            found.append(Read(method, target, body))
            if connection.their_state in (h11.MUST_CLOSE, h11.CLOSED):
                break
            stream = connection.trailing_data[0]
    except h11.RemoteProtocolError as error:
        return Reading(found, in_body and ("Encoding" in str(error) or "Content-Length" in str(error)))
    return Reading(found, False)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    made.close()


def check_request(request: Request) -> None:
    """What must hold for whatever reaches the origin."""
    match = _PATH.fullmatch(request.target)
    assert match, request.target
    assert not re.search(rb"(^|/)\.\.?(/|$)|//|%2[fF]|%00|\\|;", request.target.partition(b"?")[0]), request.target
    assert request.values("host") == [b"app.internal"]
    users = request.values("x-user-id")
    allowed = USERS[match[1]]
    assert (len(users) == 1 and users[0] in allowed) if allowed else users == [], request.raw
    for name in ("x-user-roles", "x-session-id", "connection", "upgrade", "expect", "te", "trailer", "authorization"):
        assert len(request.values(name)) == (len(users) if name in ("x-user-roles", "x-session-id") else 0), request.raw
    for name in ("x-request-id", "x-forwarded-for", "x-forwarded-proto"):
        assert len(request.values(name)) == 1, request.raw
    assert not any(b"_" in name for name in request.names())


def check_well_formed(stage: Stage, sent: list[Sent], cuts: list[float]) -> None:
    upto = next((place + 1 for place, one in enumerate(sent) if one.closes), len(sent))
    expected = sent[:upto]
    outcome = stage.play(b"".join(one.raw for one in sent), cuts, [one.method for one in expected])
    answers = outcome.answers
    if len(answers) < len(expected):
        # Refused before its body had come whole: then, and only then, the connection ends early.
        last = expected[len(answers) - 1]
        assert answers
        assert answers[-1].closes
        assert last.status >= 400
        assert last.body
        expected = expected[: len(answers)]
    assert [answer.status for answer in answers] == [one.status for one in expected]
    assert outcome.rest == b""
    arrived = stage.house.origin.requests
    allowed = [one for one in expected if one.status == 200]
    assert len(arrived) == len(allowed)
    for request, one in zip(arrived, allowed, strict=True):
        check_request(request)
        assert (request.method, request.target, request.body) == (one.method, one.target, one.body)
        names = {name for name, _ in one.passed}
        assert [field for field in request.fields if field[0] in names] == one.passed
        assert request.values("x-user-id") == ([] if one.user is None else [one.user])
        assert b"evil" not in request.raw.replace(one.body, b"") if one.body else b"evil" not in request.raw


def check_spoilt(stage: Stage, stream: bytes, cuts: list[float]) -> None:
    reference = read_by_h11(stream)
    outcome = stage.play(stream, cuts, [read.method for read in reference.requests])
    assert all(answer.status < 500 for answer in outcome.answers), outcome.answers
    arrived = stage.house.origin.requests
    for request in arrived:
        check_request(request)
    for line in stage.house.origin.lines:
        assert line.fault is None, line.received
    forwarded = [place for place, answer in enumerate(outcome.answers) if answer.status == 200]
    # A request is whole at the origin exactly when it was answered from there.
    assert len(arrived) == len(forwarded), (arrived, outcome)
    for request, place in zip(arrived, forwarded, strict=True):
        if place >= len(reference.requests) and reference.stopped_at_trailers:
            break
        assert place < len(reference.requests), f"h11 did not see {request.raw!r} in {stream!r}"
        read = reference.requests[place]
        assert (request.method, request.body) == (read.method, read.body), (request.raw, read)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sent=STREAMS, cuts=CUTS)
def test_a_well_formed_request_arrives_whole_and_as_it_was_meant(
    stage: Stage, sent: list[Sent], cuts: list[float]
) -> None:
    check_well_formed(stage, sent, cuts)


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(stream=SPOILT, cuts=CUTS)
def test_of_a_spoilt_request_the_origin_sees_a_good_one_or_nothing(
    stage: Stage, stream: bytes, cuts: list[float]
) -> None:
    check_spoilt(stage, stream, cuts)


@pytest.mark.long
@settings(max_examples=20_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(stream=SPOILT, cuts=CUTS)
def test_of_very_many_spoilt_requests_the_origin_sees_good_ones_or_nothing(
    stage: Stage, stream: bytes, cuts: list[float]
) -> None:
    check_spoilt(stage, stream, cuts)


@pytest.mark.long
@settings(max_examples=5_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(sent=STREAMS, cuts=CUTS)
def test_very_many_well_formed_requests_arrive_as_they_were_meant(
    stage: Stage, sent: list[Sent], cuts: list[float]
) -> None:
    check_well_formed(stage, sent, cuts)


# --- answers ---

ANSWERS = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\n\r\n5\r\nhello\r\n3;x=y\r\nhey\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Trailer: 1\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
        b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno",
        b"HTTP/1.1 500 Oops\r\nConnection: close\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 2\r\n\r\nno",
    ]
)
SPOILT_ANSWERS = st.builds(_all, ANSWERS, st.lists(MUTATION, max_size=4))
MINE = re.compile(rb"(?m)^HTTP/1\.1 ")


def answer_by_h11(stream: bytes, method: bytes) -> tuple[int, bytes] | None:
    """Return the final status and the body h11 finds, or None where it finds no whole answer."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    connection.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(stream)
    try:
        while isinstance(event := connection.next_event(), h11.InformationalResponse):
            if event.status_code == 101:
                return None
        if not isinstance(event, h11.Response):
            return None
        status, body, closed = event.status_code, b"", False
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Data):
                body += event.data
            elif event is h11.NEED_DATA and not closed:
                connection.receive_data(b"")
                closed = True
            else:
                return None
    except (h11.ProtocolError, ValueError):
        return None
    return status, body


def check_answer(stage: Stage, stream: bytes, cuts: list[float], method: bytes, minor: int, end: Step) -> None:
    received, clean = stage.relay(stream, cuts, method, minor, end)
    try:
        found = read_answer(received, method, ended=clean)
    except NotStrict as error:
        raise AssertionError(f"the client got {received!r} for {stream!r}") from error
    if found is None:
        # Broken off: then the client can tell that it is not whole.
        assert not clean or b"\r\n\r\n" not in received, (stream, received)
        return
    answer, size = found
    assert received[size:] == b"", f"behind the answer to {stream!r} came {received[size:]!r}"
    if answer.code:
        assert answer.status == 502, answer.raw
        return
    reference = answer_by_h11(stream, method)
    if reference is None and b"chunked" in stream.lower() and answer.value("x-gateway-error") is None:
        return  # h11 judges trailers, which we drop unread
    assert reference is not None, f"h11 found no answer in {stream!r}, the client got {received!r}"
    assert (answer.status, answer.body) == reference, stream


ENDS = st.sampled_from([END, RESET])
METHODS = st.sampled_from([b"GET", b"GET", b"HEAD"])


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(stream=SPOILT_ANSWERS, cuts=CUTS, method=METHODS, minor=st.sampled_from([1, 1, 0]), end=ENDS)
def test_of_a_spoilt_answer_the_client_gets_a_good_one_a_502_or_a_broken_connection(
    stage: Stage, stream: bytes, cuts: list[float], method: bytes, minor: int, end: Step
) -> None:
    check_answer(stage, stream, cuts, method, minor, end)


@pytest.mark.long
@settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(stream=SPOILT_ANSWERS, cuts=CUTS, method=METHODS, minor=st.sampled_from([1, 1, 0]), end=ENDS)
def test_of_very_many_spoilt_answers_the_client_gets_good_ones_502_or_broken_connections(
    stage: Stage, stream: bytes, cuts: list[float], method: bytes, minor: int, end: Step
) -> None:
    check_answer(stage, stream, cuts, method, minor, end)
