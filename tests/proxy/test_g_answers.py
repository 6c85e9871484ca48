"""Answers from an upstream: statements G1 to G9 of the safety chapter, and the shapes an answer may have.

An upstream can be confused, or hostile: what cannot be read in one way is 502, what stops in the middle breaks the
client's connection, and what nobody asked for reaches nobody.
"""

import asyncio
import gzip

import pytest

from tests.proxy.harness import END, OK, RESET, House, get, post, until

OTHER = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen"


async def is_502(house: House, *steps: object, reason: str | None = None) -> None:
    """The client is told, its connection goes on, and the upstream's does not. (A POST is never sent twice.)"""
    house.origin.says(*steps)  # type: ignore[arg-type]
    client = await house.client()
    answer = await client.ask(post())
    assert answer.status == 502, answer.raw
    assert answer.code in ("upstream_protocol", "upstream_unreachable")
    assert house.record.status == 502
    if reason is not None:
        assert house.record.reason == reason
    await until(lambda: house.origin.lines[0].ended)
    assert (await client.ask(get())).status == 200
    assert len(house.origin.lines) == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\ncontent-length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2x\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2 \r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokay\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 16 + b"\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX\x00: a\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\n: a\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 O\x00K\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 2OO OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/2 200\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1  200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"http/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"ICY 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x00\r\n\r\n",
    ],
)
@pytest.mark.item("G1", "upstream sends a bad head")
async def test_an_answer_that_cannot_be_read_is_502(house: House, answer: bytes) -> None:
    await is_502(house, answer)


@pytest.mark.item("G1")
@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000,
        b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 201 + b"Content-Length: 2\r\n\r\nok",
    ],
    ids=["long", "endless", "many"],
)
async def test_a_head_beyond_the_bounds_is_502(house: House, head: bytes) -> None:
    await is_502(house, head)


@pytest.mark.item("G1")
@pytest.mark.parametrize("steps", [(END,), (RESET,)], ids=["end", "reset"])
async def test_an_upstream_that_leaves_without_a_word_is_502(house: House, steps: tuple[object, ...]) -> None:
    await is_502(house, *steps)


@pytest.mark.item("G1")
@pytest.mark.parametrize("steps", [(b"HTTP/1.1 200 OK\r\nContent-Le", END), (b"HTTP/1.1 200 OK\r\n", RESET)])
async def test_an_upstream_that_leaves_in_the_middle_of_a_head_is_502(house: House, steps: tuple[object, ...]) -> None:
    await is_502(house, *steps)


@pytest.mark.item("G1")
async def test_an_upstream_that_is_not_there_is_502(house: House) -> None:
    house.origin.shut()
    client = await house.client()
    answer = await client.ask(get())
    assert (answer.status, answer.code) == (502, "upstream_unreachable")
    assert house.record.reason == "connect_refused"
    assert (await client.ask(get("/second/x"))).status == 200


@pytest.mark.item("G2")
@pytest.mark.parametrize("minor", [0, 1])
@pytest.mark.parametrize("how", [END, RESET], ids=["end", "reset"])
@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
    ids=["counted", "in a chunk", "between chunks", "before a chunk"],
)
async def test_an_answer_that_stops_breaks_the_clients_connection(
    house: House, head: bytes, how: object, minor: int
) -> None:
    """A clean end would make half an answer a whole one: where HTTP/1.0 has no length, the end is the end."""
    body = b"" if head.endswith(b"chunked\r\n\r\n") else b"hello"
    tail = b"\r\n" if head.endswith(b"5\r\n") else b""
    more = asyncio.Event()
    house.origin.says(head + body + tail, more, how)  # type: ignore[arg-type]
    client = await house.client()
    await client.send(get(version=f"1.{minor}"))
    await client.until(b"\r\n\r\n")
    more.set()
    with pytest.raises(ConnectionResetError):
        await client.rest()
    assert b"0\r\n\r\n" not in client.unread
    assert house.record.status == 200
    assert house.record.reason in ("reset", "closed")


@pytest.mark.item("G2")
@pytest.mark.parametrize("how", [END, RESET], ids=["end", "reset"])
async def test_an_answer_without_framing_ends_with_its_connection_or_breaks_with_it(house: House, how: object) -> None:
    more = asyncio.Event()
    house.origin.says(b"HTTP/1.1 200 OK\r\n\r\nhello", more, how)  # type: ignore[arg-type]
    client = await house.client()
    await client.send(get())
    await client.until(b"hello\r\n")
    more.set()
    if how is END:
        assert await client.until(b"0\r\n\r\n") == b"0\r\n\r\n"
        assert (await client.ask(get())).status == 200
    else:
        with pytest.raises(ConnectionResetError):
            await client.rest()


@pytest.mark.item("G2")
async def test_a_body_that_breaks_the_coding_later_breaks_the_clients_connection(house: House) -> None:
    more = asyncio.Event()
    house.origin.says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", more, b"zz\r\n")
    client = await house.client()
    await client.send(get())
    await client.until(b"hello\r\n")
    more.set()
    with pytest.raises(ConnectionResetError):
        await client.rest()
    assert house.record.reason == "body"


@pytest.mark.item("G3")
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + OTHER,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + OTHER,
        b"HTTP/1.1 204 No Content\r\n\r\n" + OTHER,
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\nstolen",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" + OTHER,
    ],
    ids=["counted", "chunked", "204", "304", "empty"],
)
async def test_bytes_behind_an_answer_reach_nobody(house: House, answer: bytes) -> None:
    house.origin.says(answer)
    client = await house.client()
    first = await client.ask(get())
    assert b"stolen" not in first.raw
    assert (await client.ask(get())).body == b"ok"
    assert (await house.ask(get())).body == b"ok"
    assert len(house.origin.lines) == 2
    assert house.origin.lines[0].ended


@pytest.mark.item("G3")
async def test_a_body_behind_the_answer_to_head_reaches_nobody(house: House) -> None:
    house.origin.says(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen")
    client = await house.client()
    answer = await client.ask(get(method="HEAD"))
    assert (answer.status, answer.value("content-length"), answer.body) == (200, b"6", b"")
    assert (await client.ask(get())).body == b"ok"
    assert len(house.origin.lines) == 2


@pytest.mark.item("G3")
async def test_an_upstream_that_speaks_unasked_is_hung_up_on(house: House) -> None:
    client = await house.client()
    assert (await client.ask(get())).body == b"ok"
    house.origin.lines[0].transport.write(OTHER)
    await until(lambda: house.origin.lines[0].ended)
    assert (await client.ask(get())).body == b"ok"
    assert len(house.origin.lines) == 2


@pytest.mark.item("G3")
async def test_a_connection_that_spoke_unasked_is_not_handed_out_in_the_moment_before_it_closes(
    house: House,
) -> None:
    client = await house.client()
    await client.ask(get())
    (up,) = house.pools["app"].targets[0].idle
    up.data_received(OTHER)
    house.downstream.data_received(post())
    assert (await client.answer()).status == 200


@pytest.mark.item("G4")
@pytest.mark.parametrize(
    "coding", [b"xchunked", b"gzip, chunked", b"identity", b"chunked, chunked", b",chunked", b"gzip", b"", b"chunked;x"]
)
async def test_a_coding_that_is_not_chunked_is_502(house: House, coding: bytes) -> None:
    await is_502(house, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: %b\r\n\r\n2\r\nok\r\n0\r\n\r\n" % coding)


@pytest.mark.item("G4")
async def test_two_codings_are_502(house: House) -> None:
    lines = b"Transfer-Encoding: chunked\r\ntransfer-encoding: chunked\r\n"
    await is_502(house, b"HTTP/1.1 200 OK\r\n%b\r\n2\r\nok\r\n0\r\n\r\n" % lines)


@pytest.mark.item("G4")
async def test_a_coding_on_http_1_0_is_502(house: House) -> None:
    await is_502(house, b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")


@pytest.mark.item("G5")
@pytest.mark.parametrize(
    "lines",
    [
        b"Connection: close\r\n",
        b"Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n",
        b"Connection: X-Hop\r\nX-Hop: 1\r\n",
        b"X-Hop: 1\r\nConnection: close, x-hop\r\n",
        b"Proxy-Authenticate: Basic\r\nProxy-Connection: close\r\n",
        b"Trailer: X\r\nUpgrade: h2c\r\nTE: trailers\r\n",
        b"Proxy-Authentication-Info: x\r\nHTTP2-Settings: x\r\n",
    ],
)
async def test_what_is_for_this_hop_ends_here(house: House, lines: bytes) -> None:
    house.origin.says(b"HTTP/1.1 200 OK\r\nX-Keep: 1\r\n%bContent-Length: 2\r\n\r\nok" % lines)
    answer = await house.ask(get())
    assert sorted(name for name, _ in answer.fields) == [b"Content-Length", b"X-Keep", b"X-Request-Id"]


@pytest.mark.item("G5")
async def test_an_upstream_that_closes_does_not_close_the_client(house: House) -> None:
    house.origin.says(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
    client = await house.client()
    assert not (await client.ask(get())).closes
    assert (await client.ask(get())).status == 200
    assert len(house.origin.lines) == 2


@pytest.mark.item("G6", "upstream floods with 1xx")
async def test_interim_answers_are_few(house: House) -> None:
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    house.origin.says(hint * 8 + OK)
    answer = await house.ask(get())
    assert (answer.status, answer.interim) == (200, (103,) * 8)
    house.origin.says(hint * 9 + OK)
    client = await house.client()
    await client.send(post())
    assert (await client.answer()).status == 502
    assert house.record.reason == "informational"


@pytest.mark.item("G6")
async def test_interim_answers_are_counted_per_request(house: House) -> None:
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    for _ in range(3):
        house.origin.says(hint * 8 + OK)
        assert (await house.ask(get())).status == 200
    assert len(house.origin.lines) == 1


@pytest.mark.item("G7")
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        b"HTTP/1.1 200 OK\r\nX: a\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\nX: a\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX: a\r\n\tb\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\n X: a\r\nContent-Length: 2\r\n\r\nok",
    ],
)
async def test_bare_line_feeds_and_folded_lines_are_502(house: House, answer: bytes) -> None:
    await is_502(house, answer, reason="head")


@pytest.mark.item("G8")
@pytest.mark.parametrize("status", [b"0", b"00", b"000", b"099", b"600", b"999", b"-20", b"1000"])
async def test_a_status_outside_100_to_599_is_502(house: House, status: bytes) -> None:
    await is_502(house, b"HTTP/1.1 %b X\r\nContent-Length: 2\r\n\r\nok" % status)


@pytest.mark.item("G8")
@pytest.mark.parametrize("status", [200, 201, 299, 300, 399, 400, 404, 418, 451, 499, 500, 503, 599])
async def test_a_status_between_is_relayed_with_its_words(house: House, status: int) -> None:
    house.origin.says(b"HTTP/1.1 %d Some Words\r\nContent-Length: 2\r\n\r\nok" % status)
    answer = await house.ask(get())
    assert answer.raw.startswith(b"HTTP/1.1 %d Some Words\r\n" % status)
    assert (answer.body, answer.code) == (b"ok", "")


@pytest.mark.item("G9")
async def test_a_body_is_not_decompressed(house: House) -> None:
    body = gzip.compress(b"hello" * 100)
    house.origin.says(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    answer = await house.ask(get())
    assert (answer.body, answer.value("content-encoding")) == (body, b"gzip")


# --- the shapes of answers ---


async def test_an_answer_goes_out_as_it_came_plus_a_request_id(house: House) -> None:
    house.origin.says(b"HTTP/1.1 201 Made\r\nDate: x\r\nContent-Length: 2\r\nX-A: 1\r\n\r\nok")
    answer = await house.ask(get())
    assert answer.raw == b"HTTP/1.1 201 Made\r\nDate: x\r\nX-A: 1\r\nContent-Length: 2\r\nX-Request-Id: id-0\r\n\r\nok"


async def test_a_status_line_without_words_is_whole(house: House) -> None:
    for line in (b"HTTP/1.1 200", b"HTTP/1.1 200 "):
        house.origin.says(line + b"\r\nContent-Length: 2\r\n\r\nok")
        assert (await house.ask(get())).raw.startswith(b"HTTP/1.1 200 \r\n")


async def test_a_chunked_answer_is_chunked_anew_without_its_trailers(house: House) -> None:
    house.origin.says(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"
        b"5;ext=1\r\nhello\r\n1\r\n!\r\n0\r\nX-Trailer: 1\r\nContent-Length: 9\r\n\r\n"
    )
    answer = await house.ask(get())
    assert answer.body == b"hello!"
    assert answer.raw.endswith(b"\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n")
    assert (await house.ask(get())).status == 200
    assert len(house.origin.lines) == 1


async def test_an_answer_may_come_byte_by_byte(house: House) -> None:
    whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    house.origin.says(*(whole[at : at + 1] for at in range(len(whole))))
    assert (await house.ask(get())).body == b"hello"
    assert (await house.ask(get())).status == 200
    assert len(house.origin.lines) == 1


@pytest.mark.parametrize("cut", range(0, 60, 7))
async def test_an_answer_may_come_in_two_parts(house: House, cut: int) -> None:
    whole = b"HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 5\r\n\r\nhello"
    house.origin.says(whole[:cut], whole[cut:])
    assert (await house.ask(get())).body == b"hello"


@pytest.mark.parametrize(
    ("answer", "method"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HEAD"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "HEAD"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "GET"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "DELETE"),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "GET"),
        (b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", "GET"),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "GET"),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", "GET"),
        (b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", "HEAD"),
    ],
)
async def test_an_answer_without_a_body_by_definition_ends_with_its_head(
    house: House, answer: bytes, method: str
) -> None:
    house.origin.says(answer)
    client = await house.client()
    got = await client.ask(get(method=method))
    assert got.body == b""
    assert not got.closes
    assert (await client.ask(get())).body == b"ok"
    assert len(house.origin.lines) == 1


async def test_head_and_get_of_one_head_differ_in_their_bodies_only(house: House) -> None:
    client = await house.client()
    head = await client.ask(get(method="HEAD"))
    whole = await client.ask(get())
    assert head.fields[:-1] == whole.fields[:-1]
    assert (head.body, whole.body) == (b"", b"ok")


async def test_an_answer_without_framing_is_chunked_for_the_client(house: House) -> None:
    house.origin.says(b"HTTP/1.1 200 OK\r\n\r\nhello", END)
    client = await house.client()
    answer = await client.ask(get())
    assert (answer.body, answer.value("transfer-encoding")) == (b"hello", b"chunked")
    assert (await client.ask(get())).status == 200


async def test_http_1_0_gets_what_it_can_read(house: House) -> None:
    """No chunks, no interim answers; without a length the connection's end is the body's."""
    for answer in (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    ):
        house.origin.says(answer)
        client = await house.client()
        got = await client.ask(get(version="1.0"))
        assert (got.body, got.closes, got.interim) == (b"hello", True, ())
        assert got.value("transfer-encoding") is None
        await client.closed()


@pytest.mark.parametrize("fields", ["", "Connection: keep-alive\r\n"])
async def test_http_1_0_ends_with_its_answer(house: House, fields: str) -> None:
    client = await house.client()
    assert (await client.ask(get(headers=fields, version="1.0"))).closes
    await client.closed()


async def test_an_answer_of_http_1_0_is_read_and_its_connection_not_used_again(house: House) -> None:
    house.origin.says(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok")
    house.origin.says(b"HTTP/1.0 200 OK\r\n\r\nhello", END)
    client = await house.client()
    assert (await client.ask(get())).body == b"ok"
    assert (await client.ask(get())).body == b"hello"
    assert len(house.origin.lines) == 2


async def test_an_interim_100_or_102_is_between_the_upstream_and_us(house: House) -> None:
    house.origin.says(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 102 Processing\r\n\r\n", OK)
    answer = await house.ask(get())
    assert (answer.status, answer.interim) == (200, ())


async def test_a_103_is_passed_on_at_once_and_clean(house: House) -> None:
    more = asyncio.Event()
    house.origin.says(
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: X-Hop\r\nX-Hop: 1\r\nContent-Length: 5\r\n"
        b"X-Request-Id: evil\r\n\r\n",
        more,
        OK,
    )
    client = await house.client()
    await client.send(get())
    assert await client.until(b"\r\n\r\n") == b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    more.set()
    assert (await client.answer()).body == b"ok"


async def test_an_unasked_101_is_502(house: House) -> None:
    await is_502(
        house,
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        reason="unasked_101",
    )


async def test_events_are_passed_on_as_they_come(house: House) -> None:
    """Server-sent events: each is at the client before the next is made."""
    turns = [asyncio.Event() for _ in range(3)]
    steps: list[bytes | asyncio.Event] = [b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"]
    for number, turn in enumerate(turns):
        steps += [turn, b"data: %d\n\n" % number]
    house.origin.says(*steps, END)
    client = await house.client()
    await client.send(get())
    assert b"text/event-stream" in await client.until(b"\r\n\r\n")
    for number, turn in enumerate(turns):
        turn.set()
        assert await client.until(b"\n\n\r\n") == b"9\r\ndata: %d\n\n\r\n" % number
    assert await client.until(b"0\r\n\r\n") == b"0\r\n\r\n"
    assert (await client.ask(get())).status == 200


async def test_a_head_goes_out_before_its_body_has_come(house: House) -> None:
    more = asyncio.Event()
    house.origin.says(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", more, b"hello")
    client = await house.client()
    await client.send(get())
    assert b"Content-Length: 5" in await client.until(b"\r\n\r\n")
    more.set()
    assert await client.until(b"hello") == b"hello"
