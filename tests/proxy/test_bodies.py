"""Bodies in both directions: whole, bounded, at the pace of the slower side, and gone when one side is gone."""

import asyncio

import pytest

from gateway.routing.table import Retry, RouteOptions
from tests.proxy.harness import END, OK, Client, House, chunked, get, house, post, route, settle, until

MIB = 1 << 20
HELD = 2 * MIB
"""What one slow connection may cost at most: write buffers of 64 and 256 KiB, and reads of 256 KiB on top."""


def sized(size: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size


async def drained(client: Client, size: int) -> bytes:
    body = bytearray(client.unread)
    client.unread = b""
    while len(body) < size:
        data = await client.read(1 << 18)
        assert data
        body += data
    return bytes(body)


# --- requests ---


async def test_an_upload_arrives_whole_and_unchanged(house: House) -> None:
    body = bytes(range(256)) * 8000
    client = await house.client()
    assert (await client.ask(post("/big/x", body))).status == 200
    assert (
        await client.ask(chunked(body[:100_000], body[100_000:100_001], body[100_001:], path="/big/x"))
    ).status == 200
    assert [request.body for request in house.origin.requests] == [body, body]
    assert house.record.bytes_in == len(body)


async def test_very_many_small_pieces_arrive_in_both_directions(house: House) -> None:
    """More than one system call may take at once."""
    pieces = [b"%09d" % number for number in range(4000)]
    encoded = b"".join(b"9\r\n%b\r\n" % piece for piece in pieces) + b"0\r\n\r\n"
    house.origin.says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + encoded)
    client = await house.client()
    sending = asyncio.create_task(client.send(get("/big/x", "Transfer-Encoding: chunked\r\n", method="POST") + encoded))
    answer = await client.answer()
    await sending
    assert house.origin.only.body == answer.body == b"".join(pieces)


async def test_pieces_go_on_as_they_come(house: House) -> None:
    client = await house.client()
    await client.send(get("/big/x", "Content-Length: 10\r\n", method="POST"))
    await until(lambda: house.origin.received.endswith(b"\r\n\r\n"))
    await client.send(b"01234")
    await until(lambda: house.origin.received.endswith(b"01234"))
    await client.send(b"56789")
    assert (await client.answer()).status == 200


@pytest.mark.parametrize("size", [0, 1, 9, 10])
async def test_a_body_up_to_the_limit_passes(house: House, size: int) -> None:
    assert (await house.ask(post("/small/x", b"x" * size))).status == 200
    assert (await house.ask(chunked(*[b"x"] * size, path="/small/x"))).status == 200


async def test_a_longer_body_is_refused_by_its_length_before_anything_is_asked_of_the_origin(house: House) -> None:
    answer = await house.refusal(post("/small/x", b"x" * 11))
    assert (answer.status, answer.code) == (413, "body_too_large")
    client = await house.client()
    await client.send(get("/small/x", "Content-Length: 999999999999999999\r\n", method="POST"))
    answer = await client.answer()
    assert (answer.status, answer.closes) == (413, True)
    assert house.origin.received == b""


async def test_a_longer_body_without_a_length_is_refused_at_the_byte_too_much(house: House) -> None:
    client = await house.client()
    await client.send(get("/small/x", "Transfer-Encoding: chunked\r\n", method="POST") + b"5\r\nhello\r\n")
    await until(lambda: house.origin.received.endswith(b"5\r\nhello\r\n"))
    await client.send(b"6\r\nworld!\r\n")
    answer = await client.answer()
    assert (answer.status, answer.code, answer.closes) == (413, "body_too_large", True)
    await until(lambda: house.origin.lines[0].ended)
    assert house.origin.requests == []
    assert b"world" not in house.origin.received


async def test_a_body_is_invited_once_and_before_the_origin_has_said_anything(house: House) -> None:
    house.connecting.clear()
    client = await house.client()
    await client.send(get("/big/x", "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n", method="POST"))
    assert await client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    await client.send(b"5\r\nhello\r\n0\r\n\r\n")
    house.connecting.set()
    answer = await client.answer()
    assert (answer.status, answer.interim) == (200, ())
    assert house.origin.only.body == b"hello"


async def test_a_client_that_was_invited_may_still_be_told_off(house: House) -> None:
    house.origin.interrupts(b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno")
    client = await house.client()
    await client.send(get("/big/x", "Expect: 100-continue\r\nContent-Length: 5\r\n", method="POST"))
    answer = await client.answer()
    assert (answer.status, answer.interim, answer.closes) == (417, (100,), True)
    await client.closed()


# --- early answers ---


@pytest.mark.item("upstream answers early")
async def test_an_early_answer_is_relayed_whole_while_the_client_still_sends(house: House) -> None:
    body = bytes(range(256)) * 2000
    more = asyncio.Event()
    house.origin.interrupts(sized(len(body)) + body[:1000], more, body[1000:])
    client = await house.client()
    await client.send(get("/big/x", "Content-Length: 10000000\r\n", method="POST") + b"x" * 1000)
    await client.until(b"\r\n\r\n")
    await client.send(b"x" * 1000)
    more.set()
    assert await drained(client, len(body)) == body
    await client.closed()
    await until(lambda: house.origin.lines[0].ended)


async def test_behind_an_early_answer_the_upload_is_read_off_for_a_while(house: House) -> None:
    """Closing with unread bytes would destroy the answer; reading for ever would serve an attacker."""
    house.origin.interrupts(sized(2) + b"no")
    client = await house.client()
    await client.send(get("/big/x", "Content-Length: 10000000\r\n", method="POST"))
    assert (await client.answer()).closes
    flood = asyncio.create_task(client.send(b"x" * 9_000_000))
    await until(lambda: house.downstream._paused)
    assert house.downstream._discarded < MIB
    assert house.origin.received.count(b"x") < 10
    house.turn(2.0)
    await until(lambda: not house.engine.connections)
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        await flood


async def test_a_client_that_closes_behind_an_early_answer_is_let_go_at_once(house: House) -> None:
    house.origin.interrupts(sized(2) + b"no")
    client = await house.client()
    await client.send(get("/big/x", "Content-Length: 100\r\n", method="POST"))
    assert (await client.answer()).closes
    await client.closed()
    client.close()
    await until(lambda: not house.engine.connections)


async def test_a_connection_with_an_early_answer_is_not_used_again_even_if_the_body_ends_meanwhile(
    house: House,
) -> None:
    more = asyncio.Event()
    house.origin.interrupts(sized(4) + b"no", more, b"no")
    client = await house.client()
    await client.send(get("/big/x", "Content-Length: 5\r\n", method="POST"))
    await client.until(b"no")
    await client.send(b"hello")
    await until(lambda: house.origin.received.endswith(b"hello"))
    more.set()
    assert await client.until(b"no") == b"no"
    await client.closed()


# --- back-pressure ---


async def test_a_client_that_does_not_read_stops_its_origin(house: House) -> None:
    size = 24 * MIB
    house.origin.says(sized(size) + bytes(size))
    client = await house.client(receive_buffer=4096)
    await client.send(get("/big/x"))
    await until(lambda: house.client_is_full)
    await settle(100)
    assert house.upstream._paused
    assert house.downstream.transport.get_write_buffer_size() < HELD
    head = await client.until(b"\r\n\r\n")
    assert b"Content-Length: %d" % size in head
    assert await drained(client, size) == bytes(size)
    await until(lambda: house.records)
    assert house.record.bytes_out == size + len(head)
    assert (await client.ask(get())).status == 200
    assert len(house.origin.lines) == 1


async def test_an_answer_that_has_not_been_read_keeps_the_next_one_away(house: House) -> None:
    """Otherwise a client could ask for one large answer after another, and leave them all with us."""
    first, second = 2 * MIB, 24 * MIB
    house.origin.says(sized(first) + bytes(first))
    house.origin.says(sized(second) + bytes(second))
    client = await house.client(receive_buffer=4096)
    await client.send(get("/big/1") + get("/big/2"))
    await until(lambda: house.client_is_full)
    for _ in range(20):
        await settle(30)
        assert house.downstream.transport.get_write_buffer_size() < HELD
    await client.until(b"\r\n\r\n")
    assert await drained(client, first) >= bytes(first)
    await until(lambda: len(house.origin.requests) == 2)


async def test_an_origin_that_does_not_read_stops_its_client() -> None:
    size = 6 * MIB
    async with house(origin_buffer=4096) as made:
        made.origin.deaf = True
        client = await made.client()
        flood = asyncio.create_task(client.send(post("/big/x", bytes(size))))
        await until(lambda: made.client_is_held)
        await settle(100)
        assert not made.upstream.writable
        assert made.upstream.transport.get_write_buffer_size() < HELD
        made.origin.listen_up()
        await flood
        assert (await client.answer()).status == 200
        assert made.origin.only.body == bytes(size)


async def test_a_body_is_held_in_bounds_while_the_connection_is_being_made(house: House) -> None:
    house.connecting.clear()
    client = await house.client()
    flood = asyncio.create_task(client.send(post("/big/x", bytes(24 * MIB))))
    await until(lambda: house.client_is_held)
    exchange = house.downstream.exchange
    assert exchange is not None
    assert exchange._held_size < HELD
    house.connecting.set()
    await flood
    assert (await client.answer()).status == 200
    assert len(house.origin.only.body) == 24 * MIB


async def test_a_body_that_was_held_does_not_open_the_gates() -> None:
    """The held pieces fill the upstream's buffer; that it is full must count for more than that it is there."""
    async with house(origin_buffer=4096) as made:
        made.origin.deaf = True
        made.connecting.clear()
        client = await made.client()
        flood = asyncio.create_task(client.send(post("/big/x", bytes(24 * MIB))))
        await until(lambda: made.client_is_held)
        exchange = made.downstream.exchange
        assert exchange is not None
        # As much as a slow connect may have gathered, for a socket that takes little and a peer that takes nothing.
        exchange._held += (bytes(4 * MIB),)
        made.connecting.set()
        await until(lambda: exchange.up is not None and not exchange.up.writable)
        await settle(50)
        assert made.downstream._paused
        flood.cancel()


# --- leaving ---


@pytest.mark.item("client leaves in its upload")
async def test_a_client_that_leaves_during_its_upload_takes_the_origins_request_along(house: House) -> None:
    client = await house.client()
    await client.send(post("/big/x", bytes(100_000))[:-1])
    await until(lambda: house.origin.lines and len(house.origin.received) > 100_000)
    client.reset()
    await until(lambda: house.origin.lines[0].ended)
    assert house.origin.requests == []
    assert (house.record.status, house.record.reason, house.record.code) == (499, "client_gone", "")


@pytest.mark.parametrize("how", ["reset", "close"])
async def test_a_client_that_leaves_before_the_answer_is_499(house: House, how: str) -> None:
    gate = asyncio.Event()
    house.origin.says(gate, b"HTTP/1.1 200 OK\r\n\r\n", b"x", b"x", gate)
    client = await house.client()
    await client.send(get())
    await until(lambda: house.origin.requests)
    getattr(client, how)()
    if how == "close":
        # Its end could be a half-close, after which it still wants the answer; the first write tells.
        await settle()
        gate.set()
    await until(lambda: house.origin.lines[0].ended)
    await until(lambda: house.records)
    assert (house.record.status, house.record.reason) == (499, "client_gone")


@pytest.mark.parametrize("how", ["reset", "close"])
@pytest.mark.item("client leaves in its download")
async def test_a_client_that_leaves_during_the_answer_takes_the_origins_answer_along(house: House, how: str) -> None:
    more = asyncio.Event()
    house.origin.says(b"HTTP/1.1 200 OK\r\n\r\nhello", more, *[b"x" * 1000] * 5, asyncio.Event())
    client = await house.client()
    await client.send(get("/big/x"))
    await client.until(b"hello")
    getattr(client, how)()
    await settle()
    more.set()
    await until(lambda: house.origin.lines[0].ended)
    await until(lambda: house.records)
    assert (house.record.status, house.record.reason, house.record.code) == (499, "client_gone", "")


async def test_a_client_that_leaves_while_the_connection_is_made_asks_nothing(house: House) -> None:
    house.connecting.clear()
    client = await house.client()
    await client.send(get())
    await until(lambda: house.engine.connections and house.downstream.exchange)
    client.reset()
    await until(lambda: house.records)
    house.connecting.set()
    await settle()
    assert house.origin.received == b""
    assert house.record.status == 499
    assert house.pools["app"].targets[0].open == 0


async def test_an_upload_whose_origin_leaves_is_told_so(house: House) -> None:
    house.origin.interrupts(END)
    client = await house.client()
    await client.send(get("/once/x", "Content-Length: 1000\r\n", method="POST") + b"x" * 10)
    answer = await client.answer()
    assert (answer.status, answer.code, answer.closes) == (502, "upstream_unreachable", True)
    await client.closed()


async def test_a_target_that_fails_in_the_middle_of_an_upload_is_not_asked_twice() -> None:
    routes = [route(0, "/**", options=RouteOptions(retry=Retry(3)))]
    async with house(routes=routes) as made:
        made.origin.interrupts(END)
        made.origin.says(OK)
        answer = await made.ask(post(body=b"x" * 10))
        assert answer.status in (200, 502)
        assert len(made.origin.lines) == 1
