"""HTTP/1 framing: statements A1 to A24 of the safety chapter, each a sentence that is true or false.

Refused means: an answer of 4xx, the connection closed where framing is in doubt, and not a byte at the origin.
"""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.proxy.engine import Limits
from gateway.proxy.framing import MAX_FRAMING, MAX_TRAILERS, Chunked
from tests.proxy.harness import OK, House, chunked, get, house, post, settle, until

ROOT = Path(__file__).parents[2]
SMUGGLED = get("/api/smuggled", token="good")


def framed(fields: str, body: bytes = b"0\r\n\r\n", *, version: str = "1.1") -> bytes:
    return get("/public/x", fields, method="POST", version=version) + body


async def is_refused_and_closed(house: House, request: bytes, reason: str | None = None) -> None:
    """Nothing of *request*, nor of the request that is hidden behind it, may be taken for a request."""
    client = await house.client()
    await client.send(request + SMUGGLED)
    answer = await client.answer()
    assert answer.status == 400, answer.raw
    assert answer.closes
    await client.closed()
    assert house.origin.received == b""
    if reason is not None:
        assert house.record.reason == reason


@pytest.mark.item("A1")
@pytest.mark.parametrize(
    "fields",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
        "content-length: 5\r\nTRANSFER-ENCODING: Chunked\r\n",
    ],
)
async def test_length_and_coding_together_are_refused(house: House, fields: str) -> None:
    await is_refused_and_closed(house, framed(fields))


@pytest.mark.item("A2")
@pytest.mark.parametrize(
    "fields",
    [
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\ncontent-length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 0\r\nContent-Length: 0\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: 5,6\r\n",
    ],
)
async def test_a_repeated_length_is_refused_even_when_equal(house: House, fields: str) -> None:
    await is_refused_and_closed(house, framed(fields, b"hello"))


@pytest.mark.item("A3")
@pytest.mark.parametrize(
    "value",
    ["+5", "-1", "1_0", "0x10", "", " ", "5 ", "5\t", "5 5", "5.0", "5e0", "\u00b2", "\u0665", "five", "9" * 19, "1;0"],
)
async def test_a_length_is_digits_and_nothing_else(house: House, value: str) -> None:
    raw = b"/public/x"
    head = b"POST %b HTTP/1.1\r\nHost: gw.test\r\nContent-Length: %b\r\n\r\n" % (raw, value.encode())
    await is_refused_and_closed(house, head + b"hello")


@pytest.mark.item("A3")
async def test_leading_zeros_are_digits_and_are_not_sent_on(house: House) -> None:
    await house.ask(framed("Content-Length: 0005\r\n", b"hello"))
    assert house.origin.only.values("content-length") == [b"5"]
    assert house.origin.only.body == b"hello"


@pytest.mark.item("A4")
@pytest.mark.parametrize(
    "fields",
    [
        "Transfer-Encoding: ,chunked\r\n",
        "Transfer-Encoding: chunked,\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: chunked;q=1\r\n",
        'Transfer-Encoding: "chunked"\r\n',
        "Transfer-Encoding: chunked \r\n",
        "Transfer-Encoding: \x0bchunked\r\n",
        "Transfer-Encoding:\r\n",
        "Transfer-Encoding: \r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "X: a\r\n Transfer-Encoding: chunked\r\n",
    ],
)
async def test_the_only_coding_is_chunked_once(house: House, fields: str) -> None:
    await is_refused_and_closed(house, framed(fields))


@pytest.mark.item("A4")
async def test_chunked_may_be_written_in_any_case(house: House) -> None:
    answer = await house.ask(framed("transfer-encoding: CHUNKED\r\n", b"5\r\nhello\r\n0\r\n\r\n"))
    assert answer.status == 200
    assert house.origin.only.body == b"hello"


@pytest.mark.item("A5")
@pytest.mark.parametrize("fields", ["", "Connection: keep-alive\r\n"])
async def test_a_coding_on_http_1_0_is_refused(house: House, fields: str) -> None:
    await is_refused_and_closed(house, framed(f"Transfer-Encoding: chunked\r\n{fields}", version="1.0"))


@pytest.mark.item("A6")
@pytest.mark.parametrize(
    "size",
    [
        b"0x5",
        b"5_0",
        b"+5",
        b"-5",
        b" 5",
        b"5 ",
        b"\t5",
        b"",
        b"g",
        b"5 5",
        b"0" * 16 + b"5",
        b"f" * 16,
        b"10000000000000005",
        b"5\x00",
        b"\xb2",
    ],
)
async def test_a_chunk_size_is_at_most_fifteen_hex_digits(house: House, size: bytes) -> None:
    client = await house.client()
    await client.send(framed("Transfer-Encoding: chunked\r\n", size + b"\r\nhello\r\n0\r\n\r\n") + SMUGGLED)
    answer = await client.answer()
    assert (answer.status, answer.closes) == (400, True)
    await client.closed()
    assert house.record.reason == "body_framing"
    assert house.origin.requests == []
    assert b"smuggled" not in house.origin.received


@pytest.mark.item("A6")
async def test_hex_digits_may_be_of_either_case_and_have_leading_zeros(house: House) -> None:
    body = b"000A\r\n0123456789\r\n0b\r\n0123456789a\r\n000\r\n\r\n"
    await house.ask(framed("Transfer-Encoding: chunked\r\n", body))
    assert house.origin.only.body == b"01234567890123456789a"


@pytest.mark.item("A7")
@pytest.mark.parametrize(
    "line",
    [b"5;a=b\r\rX", b"5;a\nb", b"5;a\n", b"5\n", b"5;a=\rb", b'5;a="\r"', b'5;a="\n"', b"5;\x00", b"5\r", b"5;a\x7f"],
)
async def test_a_chunk_extension_holds_no_line_break(house: House, line: bytes) -> None:
    client = await house.client()
    await client.send(framed("Transfer-Encoding: chunked\r\n", line + b"\r\nhello\r\n0\r\n\r\n") + SMUGGLED)
    answer = await client.answer()
    assert (answer.status, answer.closes) == (400, True)
    await client.closed()
    assert house.origin.requests == []
    assert b"smuggled" not in house.origin.received


@pytest.mark.item("A7")
async def test_chunk_extensions_end_here(house: House) -> None:
    body = b'5;name=value\r\nhello\r\n5 ;q="a;b"\r\nworld\r\n0;last\r\n\r\n'
    await house.ask(framed("Transfer-Encoding: chunked\r\n", body))
    assert house.origin.only.raw.endswith(b"\r\n\r\n5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n")


@pytest.mark.item("A8")
async def test_one_long_chunk_extension_is_refused(house: House) -> None:
    client = await house.client()
    await client.send(framed("Transfer-Encoding: chunked\r\n", b"5;" + b"x" * 300))
    answer = await client.answer()
    assert (answer.status, answer.closes) == (400, True)


@pytest.mark.item("A8")
async def test_many_tiny_chunks_at_once_are_refused(house: House) -> None:
    client = await house.client()
    await client.send(chunked(*[b"x"] * (MAX_FRAMING // 2), path="/big/x"))
    answer = await client.answer()
    assert (answer.status, house.record.reason) == (400, "body_framing")
    assert house.origin.requests == []


@pytest.mark.item("A8")
async def test_a_sender_of_a_few_tiny_chunks_at_a_time_may_go_on_for_ever(house: House) -> None:
    """Progress dots and key strokes: each segment has cost its sender more than its chunks cost us."""
    framing = Chunked()
    for _ in range(MAX_FRAMING):
        pieces, rest = framing.feed(b"1\r\nx\r\n" * 3)
        assert (pieces, rest) == ([b"x"] * 3, None)


@pytest.mark.item("A9")
async def test_trailers_are_read_bounded_and_dropped(house: House) -> None:
    trailers = b"0\r\nX-User-Id: root\r\nContent-Length: 7\r\nHost: evil\r\n\r\n"
    client = await house.client()
    answer = await client.ask(chunked(b"hello", end=trailers, path="/api/x", token="good"))
    assert answer.status == 200
    assert house.origin.only.values("x-user-id") == [b"alice"]
    assert house.origin.only.raw.endswith(b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    assert (await client.ask(get())).status == 200


@pytest.mark.item("A9")
@pytest.mark.parametrize(
    "trailers",
    [
        b"X: " + b"a" * MAX_TRAILERS + b"\r\n",
        b"X: a\r\n" * (MAX_TRAILERS // 6 + 1),
        b"X: " + b"a" * 2 * MAX_TRAILERS,
        b"X: a\n",
        b"X: \x00\r\n",
        b" folded\r\n",
        b"no colon\r\n",
        b": no name\r\n",
        b"X : a\r\n",
    ],
    ids=["long", "many", "endless", "bare lf", "nul", "folded", "no colon", "no name", "space before colon"],
)
async def test_trailers_beyond_the_bounds_are_refused(house: House, trailers: bytes) -> None:
    client = await house.client()
    await client.send(chunked(b"hello", end=b"0\r\n" + trailers + b"\r\n"))
    answer = await client.answer()
    assert (answer.status, answer.closes) == (400, True)
    assert house.origin.requests == []


@pytest.mark.item("A10")
@pytest.mark.parametrize(
    "head",
    [
        b"GET /public/x HTTP/1.1\nHost: gw.test\n\n",
        b"GET /public/x HTTP/1.1\r\nHost: gw.test\n\r\n",
        b"GET /public/x HTTP/1.1\nHost: gw.test\r\n\r\n",
        b"GET /public/x HTTP/1.1\r\nHost: gw.test\nX: y\r\n\r\n",
        b"GET /public/x HTTP/1.1\r\nHost: gw.test\r\n\n",
        b"GET /public/x HTTP/1.1\rHost: gw.test\r\r\n\r\n",
        b"GET /public/x HTTP/1.1\r\nHost: gw.test\rX: y\r\n\r\n",
        b"GET /public/x HTTP/1.1\r\nHost: gw.test\r\r\n\r\n",
        b"GET /public/x HTTP/1.1\r\r\nHost: gw.test\r\n\r\n",
        b"GET /public/x HTTP/1.1\r\nHost: gw.test\r\nX: a\x00b\r\n\r\n",
        b"GET /public/x\x00 HTTP/1.1\r\nHost: gw.test\r\n\r\n",
        b"GET /public/x HTTP/1.1\r\nHost: gw.test\r\nX\x00: a\r\n\r\n",
        b"GET /public/x HTTP/1.1\r\nHost: gw.test\r\nX: a\r\n b\r\n\r\n",
        b"GET /public/x HTTP/1.1\r\nHost: gw.test\r\nX: a\r\n\tb\r\n\r\n",
        b"GET /public/x HTTP/1.1\r\nHost: gw.test\r\nX:\r\n b\r\n\r\n",
        b"GET /public/x HTTP/1.1\r\n Host: gw.test\r\n\r\n",
        b"GET /public/x HTTP/1.1\r\nHost: gw.test\r\nX : a\r\n\r\n",
        b"GET /public/x HTTP/1.1\r\nHost : gw.test\r\n\r\n",
        b"GET /public/x HTTP/1.1\r\nHost: gw.test\r\nX\t: a\r\n\r\n",
        b"GET /public/x HTTP/1.1\r\nHost: gw.test\r\n: a\r\n\r\n",
        b"GET /public/x HTTP/1.1\r\nHost: gw.test\r\nno colon\r\n\r\n",
        b"GET /public/x HTTP/1.1\r\nHost: gw.test\r\nX\xff: a\r\n\r\n",
        b"GET /public/x HTTP/1.1\r\nHost: gw.test\r\nX: a\x1bb\r\n\r\n",
        b"GET /public/x HTTP/1.1\r\nHost: gw.test\r\nX: a\x7fb\r\n\r\n",
    ],
)
async def test_line_breaks_and_names_are_read_one_way_only(house: House, head: bytes) -> None:
    await is_refused_and_closed(house, head)


@pytest.mark.item("A11")
@pytest.mark.parametrize(
    "line",
    [
        b"GET /public/x",
        b"GET /public/x ",
        b"GET /public/x HTTP/0.9",
        b"GET /public/x HTTP/1.2",
        b"GET /public/x HTTP/2.0",
        b"GET /public/x HTTP/2",
        b"GET /public/x HTTP/3.0",
        b"GET /public/x HTTP/1.10",
        b"GET /public/x HTTP/01.1",
        b"GET /public/x HTTP/1.1 ",
        b"GET /public/x HTTP/1.1 extra",
        b"GET /public/x http/1.1",
        b"GET /public/x HTTP/1,1",
        b"GET /public/x HTTP 1.1",
        b"GET /public/x RTSP/1.0",
        b"GET /public/x ICE/1.0",
        b"SOURCE /public/x ICE/1.0",
        b"DESCRIBE /public/x RTSP/1.0",
        b"GET  /public/x HTTP/1.1",
        b"GET /public/x  HTTP/1.1",
        b"GET\t/public/x HTTP/1.1",
        b"GET /public/x\tHTTP/1.1",
        b" GET /public/x HTTP/1.1",
        b"GET HTTP/1.1",
        b"GET  HTTP/1.1",
        b"get /public/x HTTP/1.1",
        b"G\xc3\x8bT /public/x HTTP/1.1",
        b"GET/public/x HTTP/1.1",
        b"(GET) /public/x HTTP/1.1",
        b"GET /public/x\x0bHTTP/1.1",
        b"",
    ],
)
async def test_a_request_line_is_three_words_and_the_version_1_0_or_1_1(house: House, line: bytes) -> None:
    await is_refused_and_closed(house, line + b"\r\nHost: gw.test\r\n\r\n")


@pytest.mark.item("A12")
async def test_the_http_2_preface_is_refused(house: House) -> None:
    client = await house.client()
    await client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00")
    answer = await client.answer()
    assert (answer.status, answer.closes) == (400, True)
    await client.closed()
    assert house.origin.received == b""


@pytest.mark.item("A12")
async def test_the_method_of_the_preface_is_no_method(house: House) -> None:
    await is_refused_and_closed(house, b"PRI * HTTP/1.1\r\nHost: gw.test\r\n\r\n")


@pytest.mark.item("A13")
async def test_after_a_framing_error_nothing_more_is_read(house: House) -> None:
    client = await house.client()
    assert (await client.ask(get("/api/x", token="good"))).status == 200
    await client.send(framed("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b""))
    assert (await client.answer()).status == 400
    await client.send(SMUGGLED * 3)
    await client.closed()
    assert len(house.origin.requests) == 1


@pytest.mark.item("A13")
@pytest.mark.parametrize("known", [False, True], ids=["first request", "fields already known"])
@pytest.mark.parametrize(
    "target",
    [b"/public/x\nHost:evil", b"/public/\rx", b"/public/\x00", b"/public/\xff", b"/public/\x7f", b"/public/\x1b[0m"],
)
async def test_a_byte_that_no_target_has_puts_the_framing_in_doubt(house: House, target: bytes, known: bool) -> None:
    client = await house.client()
    block = b"Host: gw.test\r\n\r\n"
    if known:
        assert (await client.ask(b"GET /public/x HTTP/1.1\r\n" + block)).status == 200
    seen = len(house.origin.requests)
    await client.send(b"GET " + target + b" HTTP/1.1\r\n" + block + SMUGGLED)
    answer = await client.answer()
    assert (answer.status, answer.closes) == (400, True)
    await client.closed()
    assert len(house.origin.requests) == seen


@pytest.mark.item("A14")
async def test_pipelined_requests_wait_unread_beyond_a_bound(house: House) -> None:
    """The first request stays in work; of the thousands behind it only so many bytes are taken in."""
    gate = asyncio.Event()
    house.origin.says(gate, OK)
    client = await house.client()
    await client.send(get())
    await until(lambda: house.origin.requests)
    flood = asyncio.create_task(client.send(get() * 100_000))
    await until(lambda: house.downstream._paused)
    held = len(house.downstream._buffer)
    await settle(50)
    assert len(house.downstream._buffer) == held < 1024 * 1024
    assert len(house.origin.requests) == 1
    flood.cancel()
    gate.set()


@pytest.mark.item("A14")
async def test_answers_that_the_client_does_not_read_stop_its_pipeline(house: House) -> None:
    """Refusals need no upstream, so only the client's own reading can pace them."""
    client = await house.client(receive_buffer=4096)
    flood = asyncio.create_task(client.send(get("/nowhere") * 400_000))
    await until(lambda: house.client_is_full)
    await settle(200)
    waiting = house.downstream.transport.get_write_buffer_size()
    assert waiting < 256 * 1024
    flood.cancel()


@pytest.mark.item("A15")
async def test_limits_hold_when_every_byte_is_a_segment(house: House) -> None:
    client = await house.client()
    await client.dribble(get("/api/x", token="good"))
    assert (await client.answer()).status == 200
    assert house.origin.only.target == b"/api/x"


@pytest.mark.item("A15")
async def test_a_line_that_never_ends_is_refused_at_the_limit() -> None:
    async with house(limits=Limits(url=100, head=1000)) as made:
        client = await made.client()
        await client.send(b"GET /")
        for _ in range(14):
            await client.send(b"x" * 10)
            await settle(3)
        answer = await client.answer()
        assert (answer.status, answer.closes) == (414, True)


@pytest.mark.item("A15")
async def test_an_empty_line_before_a_request_is_forgiven_in_pieces_too(house: House) -> None:
    client = await house.client()
    await client.dribble(b"\r\n" + get())
    assert (await client.answer()).status == 200
    await client.dribble(b"\r\n" + get())
    assert (await client.answer()).status == 200


@pytest.mark.item("A15")
async def test_a_flood_of_empty_lines_is_no_request(house: House) -> None:
    client = await house.client()
    await client.send(b"\r\n" * 60_000)
    answer = await client.answer()
    assert (answer.status, answer.closes) == (400, True)


@pytest.mark.item("A16")
@pytest.mark.parametrize("pieces", [1, 7], ids=["at once", "in pieces"])
async def test_header_bytes_are_bounded(pieces: int) -> None:
    async with house(limits=Limits(head=2000)) as made:
        client = await made.client()
        request = get(headers={"X": "a" * 2000})
        size = len(request) // pieces + 1
        for at in range(0, len(request), size):
            await client.send(request[at : at + size])
            await settle(4)
        answer = await client.answer()
        assert (answer.status, answer.code, answer.closes) == (431, "head_too_large", True)
        await client.closed()
        assert made.origin.received == b""


@pytest.mark.item("A16")
async def test_a_head_that_never_ends_is_refused_at_the_limit_without_waiting_for_its_end() -> None:
    async with house(limits=Limits(head=2000)) as made:
        client = await made.client()
        await client.send(get()[:-2] + b"X: " + b"a" * 2000)
        assert (await client.answer()).status == 431


@pytest.mark.item("A16")
async def test_header_count_is_bounded(house: House) -> None:
    allowed = "".join(f"X-{n}: {n}\r\n" for n in range(99))
    assert (await house.ask(get(headers=allowed))).status == 200
    answer = await house.ask(get(headers=allowed + "One-More: 1\r\n"))
    assert (answer.status, answer.closes) == (431, True)
    assert house.record.reason == "count"


@pytest.mark.item("A16")
async def test_repeated_names_count_each_time(house: House) -> None:
    assert (await house.ask(get(headers="X: 1\r\n" * 99))).status == 200
    assert (await house.ask(get(headers="X: 1\r\n" * 100))).status == 431


@pytest.mark.item("A16")
async def test_a_head_of_exactly_the_limit_passes() -> None:
    request = get(headers={"X": "a" * 500})
    async with house(limits=Limits(head=len(request))) as made:
        assert (await made.ask(request)).status == 200
    async with house(limits=Limits(head=len(request) - 1)) as made:
        assert (await made.ask(request)).status == 431


@pytest.mark.item("A16")
async def test_the_target_is_bounded_by_itself(house: House) -> None:
    assert (await house.ask(get("/public/" + "x" * (8192 - 8)))).status == 200
    answer = await house.refusal(get("/public/" + "x" * (8193 - 8)), closes=True)
    assert (answer.status, answer.code) == (414, "url_too_long")


@pytest.mark.item("A17")
def test_without_aiohttps_c_parser_the_gateway_does_not_start(tmp_path: Path) -> None:
    """The pure-Python one reads a chunk extension as a second request (CVE-2024-52304 is its kind)."""
    environ = {**os.environ, "AIOHTTP_NO_EXTENSIONS": "1", "GATEWAY_DATA_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "run", "--demo", "-c", "gateway.yaml"],
        env=environ,
        cwd=ROOT,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert b"aiohttp" in done.stdout + done.stderr


@pytest.mark.item("A18")
@pytest.mark.parametrize(
    "request_bytes",
    [
        post(body=b"hello"),
        post(body=b""),
        post(body=b"", headers="", method="PUT"),
        chunked(b"he", b"llo"),
        chunked(),
        get(),
        get(method="HEAD"),
        get(method="POST"),
        get(method="DELETE"),
        post(method="GET"),
        get(headers="Content-Length: 0\r\n"),
        post(headers="Trailer: X\r\nTE: trailers\r\nConnection: TE\r\n"),
    ],
)
async def test_exactly_one_framing_field_goes_to_the_origin(house: House, request_bytes: bytes) -> None:
    """Ours, made from what was read: none where there is no body, and a zero where the method asks for one."""
    await house.ask(request_bytes)
    seen = house.origin.only
    lengths, codings = seen.values("content-length"), seen.values("transfer-encoding")
    if b"chunked" in request_bytes:
        assert (lengths, codings) == ([], [b"chunked"])
    elif seen.body or seen.method in (b"POST", b"PUT", b"PATCH"):
        assert (lengths, codings) == ([b"%d" % len(seen.body)], [])
    else:
        assert (lengths, codings) == ([], [])


@pytest.mark.item("A19")
async def test_a_connection_with_an_unfinished_request_is_not_used_again(house: House) -> None:
    client = await house.client()
    await client.send(post(body=b"0123456789")[:-5])
    await until(lambda: house.origin.lines and house.origin.lines[0].received.endswith(b"01234"))
    client.close()
    await until(lambda: house.origin.lines[0].ended)
    assert (await house.ask(get())).status == 200
    assert len(house.origin.lines) == 2


@pytest.mark.item("A19")
async def test_a_connection_with_an_unfinished_answer_is_not_used_again(house: House) -> None:
    house.origin.says(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234", asyncio.Event())
    client = await house.client()
    await client.send(get())
    await client.until(b"01234")
    client.reset()
    await until(lambda: house.origin.lines[0].ended)
    assert (await house.ask(get())).status == 200
    assert len(house.origin.lines) == 2


@pytest.mark.item("A19")
async def test_a_connection_whose_request_broke_the_framing_is_not_used_again(house: House) -> None:
    client = await house.client()
    await client.send(chunked(b"hello", end=b""))
    await until(lambda: house.origin.lines and house.origin.lines[0].received.endswith(b"5\r\nhello\r\n"))
    await client.send(b"zz\r\n")
    assert (await client.answer()).status == 400
    await until(lambda: house.origin.lines[0].ended)
    assert house.origin.requests == []
    assert (await house.ask(get())).status == 200
    assert len(house.origin.lines) == 2


@pytest.mark.item(73, "A20")
@pytest.mark.parametrize("token", [None, "bad", "expired", "nobody"])
async def test_who_may_not_pass_is_told_so_instead_of_100(house: House, token: str | None) -> None:
    client = await house.client()
    await client.send(get("/api/x", "Expect: 100-continue\r\nContent-Length: 5\r\n", method="POST", token=token))
    answer = await client.answer()
    assert answer.status == (403 if token == "nobody" else 401)
    assert answer.interim == ()
    assert answer.closes
    await client.closed()
    assert house.origin.received == b""


@pytest.mark.item("A20")
async def test_a_body_that_is_too_large_is_told_so_instead_of_100(house: House) -> None:
    answer = await house.refusal(
        get("/small/x", "Expect: 100-continue\r\nContent-Length: 11\r\n", method="POST"), closes=True
    )
    assert (answer.status, answer.interim) == (413, ())


@pytest.mark.item("A20")
async def test_who_may_pass_is_asked_for_the_body(house: House) -> None:
    client = await house.client()
    await client.send(get("/api/x", "Expect: 100-continue\r\nContent-Length: 5\r\n", method="POST", token="good"))
    assert await client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    await client.send(b"hello")
    assert (await client.answer()).status == 200
    assert house.origin.only.body == b"hello"
    assert house.origin.only.values("expect") == []


@pytest.mark.item("A20")
async def test_a_client_that_does_not_wait_is_not_asked(house: House) -> None:
    answer = await house.ask(post("/api/x", headers="Expect: 100-continue\r\n", token="good"))
    assert (answer.status, answer.interim) == (200, ())


@pytest.mark.item("A20")
async def test_http_1_0_knows_no_100(house: House) -> None:
    client = await house.client()
    await client.send(get(headers="Expect: 100-continue\r\nContent-Length: 5\r\n", method="POST", version="1.0"))
    await until(lambda: house.origin.received)
    await client.send(b"hello")
    assert (await client.answer()).interim == ()


@pytest.mark.item("A21")
@pytest.mark.parametrize(
    "value", ["100-continu", "100-continue, x", "100-continue;q=1", "200-ok", "x", "", "100-continue 100-continue"]
)
async def test_another_expectation_is_refused(house: House, value: str) -> None:
    answer = await house.refusal(post(headers=f"Expect: {value}\r\n"), closes=True)
    assert (answer.status, answer.code) == (417, "expectation_failed")


@pytest.mark.item("A21")
@pytest.mark.parametrize("token", ["100-continue", "100-Continue", "100-CONTINUE"])
async def test_an_expectation_is_never_sent_on(house: House, token: str) -> None:
    await house.ask(post(headers=f"expect: {token}\r\n"))
    assert house.origin.only.values("expect") == []


@pytest.mark.item("A22")
async def test_an_early_answer_ends_the_upload_and_both_connections(house: House) -> None:
    house.origin.interrupts(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
    client = await house.client()
    await client.send(get("/big/x", "Content-Length: 1000000\r\n", method="POST") + b"x" * 1000)
    answer = await client.answer()
    assert (answer.status, answer.body, answer.closes) == (403, b"no", True)
    await client.closed()
    await until(lambda: house.origin.lines[0].ended)
    assert house.record.status == 403
    assert (await house.ask(get())).status == 200
    assert len(house.origin.lines) == 2


@pytest.mark.item("A23")
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS"])
async def test_a_body_where_none_is_usual_is_a_body_all_the_same(house: House, method: str) -> None:
    client = await house.client()
    body = SMUGGLED
    answer = await client.ask(post("/public/x", body, method=method))
    assert answer.status == 200
    assert house.origin.only.body == body
    assert (await client.ask(get("/public/next"))).status == 200
    assert [request.target for request in house.origin.requests] == [b"/public/x", b"/public/next"]


@pytest.mark.item("A23")
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "POST"])
@pytest.mark.parametrize("make", [lambda body, method: post("/api/x", body, method=method)], ids=["counted"])
async def test_the_body_of_a_refused_request_is_passed_over(house: House, method: str, make: object) -> None:
    client = await house.client()
    await client.send(post("/api/x", SMUGGLED, method=method) + get("/public/next"))
    assert (await client.answer(method.encode())).status == 401
    assert (await client.answer()).status == 200
    assert house.origin.only.target == b"/public/next"


@pytest.mark.item("A23")
async def test_the_chunked_body_of_a_refused_request_is_passed_over(house: House) -> None:
    client = await house.client()
    await client.send(chunked(SMUGGLED, path="/api/x") + get("/public/next"))
    assert (await client.answer()).status == 401
    assert (await client.answer()).status == 200
    assert house.origin.only.target == b"/public/next"


@pytest.mark.item(73, "A23")
async def test_a_refused_body_that_has_not_come_whole_ends_the_connection(house: House) -> None:
    client = await house.client()
    await client.send(post("/api/x", b"x" * 100)[:-50])
    answer = await client.answer()
    assert (answer.status, answer.closes) == (401, True)
    await client.send(b"x" * 50 + SMUGGLED)
    await client.closed()
    assert house.origin.received == b""


MARK = "<script>alert(1)</script>"


@pytest.mark.item("A24")
@pytest.mark.parametrize(
    "request_bytes",
    [
        get(f"/{MARK}"),
        get(f"/public/%00{MARK}"),
        get("/public/x", {"Host": MARK}),
        get("/public/x", {"Expect": MARK}),
        get("/public/x", {"Connection": MARK}),
        get("/public/x", {"Content-Length": MARK}),
        get("/api/x", {"Authorization": f"Bearer {MARK}"}),
        get("/api/x", {"Authorization": f'Bearer "{MARK}'}),
        get("/api/x", {"Cookie": f"__Host-Http-gw-at={MARK}"}),
        get("/public/x", method="<SCRIPT>"),
        get("/public/x", version=MARK),
        f"{MARK}\r\n\r\n".encode(),
    ],
)
async def test_hostile_input_is_the_clients_fault_and_is_never_reflected(house: House, request_bytes: bytes) -> None:
    answer = await house.ask(request_bytes)
    assert 400 <= answer.status < 500
    assert b"alert" not in answer.raw.lower()


@pytest.mark.item("A24")
async def test_nothing_but_a_closed_connection_answers_nothing(house: House) -> None:
    client = await house.client()
    client.shutdown()
    await client.closed()
    assert house.records == []


async def test_a_client_that_ends_in_the_middle_of_a_head_is_left_alone(house: House) -> None:
    client = await house.client()
    await client.send(get()[:20])
    client.shutdown()
    await client.closed()
    assert house.origin.received == b""


async def test_a_client_that_ends_in_the_middle_of_a_body_gets_nothing_done(house: House) -> None:
    client = await house.client()
    await client.send(post(body=b"x" * 100)[:-1])
    await until(lambda: house.origin.lines)
    client.shutdown()
    await client.closed()
    await until(lambda: house.origin.lines[0].ended)
    assert house.origin.requests == []
    assert house.record.status == 499
