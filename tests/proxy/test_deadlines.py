"""Every wait has an end. The wheel is turned by hand: `turn(s)` lets s seconds and a tick pass."""

import asyncio

import pytest

from gateway.proxy.engine import Limits
from gateway.proxy.wheel import EFFORT, EXPIRING, NEVER, TICK, Wheel, ticks
from gateway.routing.table import Retry, RouteOptions, Timeouts
from tests.proxy.harness import OK, House, chunked, get, house, post, route, settle, until

SHORT = Timeouts(connect=5.0, first_byte=2.0, idle=4.0, total=20.0)


@pytest.mark.item("client sends its head slowly")
async def test_a_head_has_ten_seconds_from_its_first_byte(house: House) -> None:
    client = await house.client()
    await client.send(get()[:20])
    await until(lambda: house.engine.connections and house.downstream._buffer)
    house.turn(9.5)
    await client.send(get()[20:25])
    await settle()
    house.turn(0.5)
    answer = await client.answer()
    assert (answer.status, answer.code, answer.closes) == (408, "request_timeout", True)
    await client.closed()
    assert house.record.reason == "head"


async def test_a_head_in_time_is_not_late_later(house: House) -> None:
    client = await house.client()
    await client.send(get()[:20])
    await until(lambda: house.engine.connections and house.downstream._buffer)
    house.turn(5.0)
    await client.send(get()[20:])
    assert (await client.answer()).status == 200
    house.turn(60.0)
    assert (await client.ask(get())).status == 200


async def test_a_connection_that_says_nothing_is_closed_without_a_word(house: House) -> None:
    client = await house.client()
    await until(lambda: house.engine.connections)
    house.turn(74.0)
    await settle()
    assert house.engine.connections
    house.turn(1.0)
    await client.closed()
    assert house.records == []


async def test_an_idle_connection_is_closed_without_a_word(house: House) -> None:
    client = await house.client()
    for _ in range(3):
        assert (await client.ask(get())).status == 200
        house.turn(70.0)
    house.turn(5.0)
    await client.closed()


@pytest.mark.parametrize(
    "request_bytes",
    [
        get(),
        post(),
        post(headers="Expect: 100-continue\r\n"),
        chunked(b"x", headers="Expect: 100-continue\r\n"),
        get(headers={"X": "a" * 5000}),
        get(headers={"Connection": "upgrade", "Upgrade": "h2c"}),
    ],
    ids=["GET", "POST", "expecting", "expecting, chunked", "long head", "upgrade"],
)
async def test_whatever_was_asked_last_a_connection_may_be_idle_for_as_long(house: House, request_bytes: bytes) -> None:
    client = await house.client()
    for _ in range(3):
        assert (await client.ask(request_bytes)).status == 200
        house.turn(70.0)
        await settle()
    house.turn(5.0)
    await client.closed()


async def test_empty_lines_keep_no_connection_alive(house: House) -> None:
    client = await house.client()
    for _ in range(14):
        await client.send(b"\r\n")
        await settle()
        house.turn(5.0)
    house.turn(2.0)
    await client.closed()


@pytest.mark.item("client sends its body slowly")
async def test_a_body_that_stops_coming_is_408(house: House) -> None:
    client = await house.client()
    await client.send(get("/short/x", "Content-Length: 100\r\n", method="POST") + b"x" * 10)
    await until(lambda: house.origin.received.endswith(b"x" * 10))
    house.turn(house.engine.limits.body_idle)
    answer = await client.answer()
    assert (answer.status, answer.code, answer.closes) == (408, "request_timeout", True)
    await client.closed()
    await until(lambda: house.origin.lines[0].ended)
    assert (house.record.reason, house.origin.requests) == ("body", [])


async def test_a_body_that_keeps_coming_may_take_long(house: House) -> None:
    client = await house.client()
    await client.send(get("/big/x", "Content-Length: 20\r\n", method="POST"))
    await until(lambda: house.origin.lines)
    for _ in range(20):
        house.turn(25.0)
        await client.send(b"x")
        await settle()
    assert (await client.answer()).status == 200


async def test_how_long_a_body_may_pause_is_the_servers_limit() -> None:
    async with house(limits=Limits(body_idle=3.0)) as made:
        client = await made.client()
        await client.send(get("/big/x", "Content-Length: 100\r\n", method="POST") + b"x")
        await until(lambda: made.origin.received.endswith(b"x"))
        made.turn(3.0)
        await settle()
        assert made.records
        assert (await client.answer()).status == 408


@pytest.mark.item("upstream is slow or frozen")
async def test_an_origin_that_does_not_begin_is_504(house: House) -> None:
    house.origin.says(asyncio.Event())
    client = await house.client()
    await client.send(get("/short/x"))
    await until(lambda: house.origin.requests)
    house.turn(1.0)
    await settle()
    assert house.records == []
    house.turn(1.0)
    answer = await client.answer()
    assert (answer.status, answer.code, answer.closes) == (504, "upstream_timeout", False)
    assert house.record.reason == "first_byte"
    await until(lambda: house.origin.lines[0].ended)
    assert (await client.ask(get())).status == 200


async def test_an_origin_that_does_not_finish_its_head_is_504(house: House) -> None:
    house.origin.says(b"HTTP/1.1 200 OK\r\n", asyncio.Event())
    client = await house.client()
    await client.send(get("/short/x"))
    await until(lambda: house.origin.requests)
    await settle()
    house.turn(2.0)
    assert (await client.answer()).status == 504


async def test_the_first_byte_is_waited_for_from_the_end_of_the_request(house: House) -> None:
    house.origin.says(asyncio.Event())
    client = await house.client()
    await client.send(get("/short/x", "Content-Length: 5\r\n", method="POST"))
    await until(lambda: house.origin.lines)
    await client.send(b"hello")
    await until(lambda: house.origin.requests)
    house.turn(2.0)
    await settle()
    assert house.records
    assert (await client.answer()).status == 504


async def test_an_upload_does_not_use_up_the_time_for_the_first_byte(house: House) -> None:
    client = await house.client()
    await client.send(get("/short/x", "Content-Length: 5\r\n", method="POST"))
    await until(lambda: house.origin.lines)
    for byte in (b"h", b"e", b"l", b"l", b"o"):
        house.turn(1.5)
        await client.send(byte)
        await settle()
    assert (await client.answer()).status == 200


async def test_a_connection_that_is_not_made_is_504(house: House) -> None:
    house.connecting.clear()
    client = await house.client()
    await client.send(get("/short/x"))
    await until(lambda: house.engine.connections and house.downstream.exchange)
    house.turn(2.0)
    answer = await client.answer()
    assert (answer.status, answer.code) == (504, "upstream_timeout")
    assert house.record.reason == "connect_timeout"
    house.connecting.set()
    await settle()
    assert house.origin.received == b""


async def test_an_answer_that_stops_in_the_middle_is_cut(house: House) -> None:
    house.origin.says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello", asyncio.Event())
    client = await house.client()
    await client.send(get("/short/x"))
    await client.until(b"hello")
    house.turn(3.0)
    await settle()
    assert house.records == []
    house.turn(1.0)
    with pytest.raises(ConnectionResetError):
        await client.rest()
    assert (house.record.status, house.record.reason, house.record.code) == (200, "idle", "upstream_timeout")


@pytest.mark.item("upstream trickles")
async def test_an_answer_that_keeps_coming_may_take_until_the_total(house: House) -> None:
    turns = [asyncio.Event() for _ in range(5)]
    steps = [step for turn in turns for step in (turn, b"x")]
    house.origin.says(b"HTTP/1.1 200 OK\r\n\r\n", *steps, asyncio.Event())
    client = await house.client()
    await client.send(get("/short/x"))
    await client.until(b"\r\n\r\n")
    for turn in turns:
        house.turn(3.0)
        turn.set()
        await client.until(b"x\r\n")
    house.turn(3.0)
    await settle()
    assert house.records == []
    house.turn(1.0)
    with pytest.raises(ConnectionResetError):
        await client.rest()
    assert house.record.reason == "total"


@pytest.mark.item("upstream trickles")
async def test_a_stream_has_no_total() -> None:
    routes = [route(0, "/**", options=RouteOptions(stream=True, timeouts=SHORT))]
    async with house(routes=routes) as made:
        turns = [asyncio.Event() for _ in range(20)]
        made.origin.says(b"HTTP/1.1 200 OK\r\n\r\n", *[step for turn in turns for step in (turn, b"x")])
        client = await made.client()
        await client.send(get())
        await client.until(b"\r\n\r\n")
        for turn in turns:
            made.turn(3.0)
            turn.set()
            await client.until(b"x\r\n")


async def test_a_retry_does_not_begin_the_total_anew() -> None:
    options = RouteOptions(timeouts=Timeouts(5.0, None, None, 10.0), retry=Retry(1, frozenset({"503"})))
    async with house(routes=[route(0, "/**", options=options)]) as made:
        gate = asyncio.Event()
        made.origin.says(gate, b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n")
        made.origin.says(asyncio.Event())
        client = await made.client()
        await client.send(get())
        await until(lambda: made.origin.requests)
        made.turn(8.0)
        gate.set()
        await until(lambda: len(made.origin.requests) == 2)
        made.turn(3.0)
        await settle()
        assert made.records
        assert (await client.answer()).status == 504


async def test_the_time_for_one_try_is_not_the_time_for_the_only_try() -> None:
    options = RouteOptions(timeouts=Timeouts(5.0, 10.0, None, None), retry=Retry(1, per_try=1.0))
    async with house(routes=[route(0, "/**", options=options)]) as made:
        gate = asyncio.Event()
        made.origin.says(gate, OK)
        client = await made.client()
        await client.send(post(body=b""))
        await until(lambda: made.origin.requests)
        made.turn(5.0)
        await settle()
        gate.set()
        assert (await client.answer()).status == 200


@pytest.mark.item("client reads slowly")
async def test_a_client_that_stops_reading_is_cut() -> None:
    async with house(limits=Limits(write_idle=5.0)) as made:
        size = 24 << 20
        made.origin.says(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (size, bytes(size)))
        client = await made.client(receive_buffer=4096)
        await client.send(get("/big/x"))
        await until(lambda: made.client_is_full)
        await settle(50)
        made.turn(4.0)
        await settle()
        assert made.engine.connections
        made.turn(6.0)
        await until(lambda: not made.engine.connections)
        await until(lambda: made.origin.lines[0].ended)
        assert made.record.reason == "client_gone"


async def test_a_client_that_reads_slowly_is_not() -> None:
    async with house(limits=Limits(write_idle=5.0)) as made:
        size = 24 << 20
        made.origin.says(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (size, bytes(size)))
        client = await made.client(receive_buffer=1 << 16)
        await client.send(get("/big/x"))
        await until(lambda: made.client_is_full)
        for _ in range(6):
            # What the kernel has taken must be read before it takes more: so much that the gateway notices.
            left = 3 << 20
            while left > 0:
                left -= len(await client.read(1 << 16))
            await settle()
            made.turn(4.0)
            await settle()
        assert made.engine.connections


@pytest.mark.parametrize("ending", ["", "Connection: close\r\n"], ids=["kept alive", "closing"])
async def test_a_client_that_never_reads_the_end_of_its_answer_is_cut(ending: str) -> None:
    """The answer is whole and ours no more to worry about, except for the memory it takes."""
    async with house(limits=Limits(write_idle=5.0, keep_alive=20.0)) as made:
        size = 3 << 20
        made.origin.says(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (size, bytes(size)))
        client = await made.client(receive_buffer=4096)
        await client.send(get("/big/x", ending))
        await until(lambda: made.engine.connections and made.downstream.transport.get_write_buffer_size())
        for _ in range(8):
            made.turn(5.0)
            await settle(30)
        await until(lambda: not made.engine.connections)


async def test_behind_its_last_word_the_gateway_stays_two_seconds(house: House) -> None:
    client = await house.client()
    await client.send(b"nonsense\r\n\r\n")
    assert (await client.answer()).status == 400
    await client.closed()
    house.turn(1.5)
    await settle()
    assert house.engine.connections
    house.turn(0.5)
    await until(lambda: not house.engine.connections)


async def test_a_verdict_that_takes_too_long_ends_the_connection(house: House) -> None:
    house.feed.cold = True
    client = await house.client()
    await client.send(get("/api/x", token="good"))
    await until(lambda: house.engine.connections)
    await settle()
    house.turn(10.0)
    with pytest.raises(ConnectionResetError):
        await client.rest()


async def test_a_deadline_of_one_request_is_not_the_next_ones(house: House) -> None:
    client = await house.client()
    for _ in range(12):
        assert (await client.ask(get("/short/x"))).status == 200
        assert (await client.ask(chunked(b"x", path="/short/x"))).status == 200
        house.turn(1.75)
    house.turn(60.0)
    assert (await client.ask(get("/short/x"))).status == 200


async def test_the_last_piece_of_an_answer_does_not_set_the_deadline_of_what_follows(house: House) -> None:
    house.origin.says(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nin", b"to")
    house.origin.says(asyncio.Event())
    client = await house.client()
    await client.send(get("/public/x") + get("/short/y"))
    assert (await client.answer()).body == b"into"
    await until(lambda: len(house.origin.requests) == 2)
    house.turn(2.0)
    await settle()
    assert len(house.records) == 2
    assert (await client.answer()).status == 504


async def test_the_last_piece_of_an_answer_does_not_prolong_the_idle_time(house: House) -> None:
    house.origin.says(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nin", b"to")
    client = await house.client()
    assert (await client.ask(get("/public/x"))).body == b"into"
    house.turn(76.0)
    await settle()
    assert not house.engine.connections


# --- the wheel itself ---


class Thing:
    """Something with a deadline."""

    def __init__(self) -> None:
        self.deadline = NEVER
        self.bucket = NEVER
        self.expired: list[int] = []
        self.wheel = Wheel()

    def expire(self) -> None:
        self.expired.append(self.wheel.now)


@pytest.fixture
def thing() -> Thing:
    return Thing()


def turned(wheel: Wheel, times: int) -> None:
    for _ in range(times):
        wheel.turn()


def test_a_thing_expires_once_at_its_deadline(thing: Thing) -> None:
    thing.wheel.watch(thing, 5)
    turned(thing.wheel, 20)
    assert thing.expired == [5]


def test_a_deadline_may_be_moved_later_by_assignment(thing: Thing) -> None:
    thing.wheel.watch(thing, 5)
    thing.deadline = 8
    turned(thing.wheel, 7)
    assert thing.expired == []
    thing.deadline = 12
    turned(thing.wheel, 20)
    assert thing.expired == [12]


def test_a_deadline_may_be_moved_earlier_by_watching(thing: Thing) -> None:
    thing.wheel.watch(thing, 50)
    thing.wheel.watch(thing, 5)
    turned(thing.wheel, 60)
    assert thing.expired == [5]


def test_a_deadline_in_the_past_is_the_next_turn(thing: Thing) -> None:
    turned(thing.wheel, 10)
    thing.wheel.watch(thing, 3)
    thing.wheel.turn()
    assert thing.expired == [11]


def test_what_is_forgotten_never_expires(thing: Thing) -> None:
    thing.wheel.watch(thing, 5)
    thing.wheel.forget(thing)
    turned(thing.wheel, 20)
    assert thing.expired == []
    thing.wheel.watch(thing, 25)
    turned(thing.wheel, 20)
    assert thing.expired == [25]


def test_never_is_never(thing: Thing) -> None:
    thing.wheel.watch(thing, 5)
    thing.deadline = NEVER
    turned(thing.wheel, 20)
    assert thing.expired == []
    assert thing.bucket == NEVER


def test_what_expires_may_be_watched_again_at_once(thing: Thing) -> None:
    def again() -> None:
        thing.expired.append(thing.wheel.now)
        thing.wheel.watch(thing, thing.wheel.now + 3)

    thing.expire = again  # type: ignore[method-assign]
    thing.wheel.watch(thing, 2)
    turned(thing.wheel, 9)
    assert thing.expired == [2, 5, 8]


def test_one_may_forget_another_in_the_same_turn() -> None:
    wheel = Wheel()
    one, other = Thing(), Thing()
    one.expire = lambda: wheel.forget(other)  # type: ignore[method-assign]
    other.expire = lambda: wheel.forget(one)  # type: ignore[method-assign]
    wheel.watch(one, 3)
    wheel.watch(other, 3)
    turned(wheel, 5)
    assert (one.bucket, other.bucket) == (NEVER, NEVER)


@pytest.mark.parametrize(
    ("seconds", "expected"), [(None, NEVER), (0.0, 1), (0.01, 2), (TICK, 2), (1.0, 5), (10.0, 41), (0.6, 4)]
)
def test_no_deadline_comes_early_though_the_running_tick_is_nearly_over(seconds: float | None, expected: int) -> None:
    assert ticks(seconds) == expected


def test_many_that_are_due_at_once_are_ended_a_few_at_a_time() -> None:
    wheel = Wheel()
    things = [Thing() for _ in range(100)]
    for thing in things:
        wheel.watch(thing, 1)
    wheel.advance()
    pending = len(things)
    while wheel.expire():
        left = sum(not thing.expired for thing in things)
        assert pending - EFFORT // EXPIRING <= left < pending
        pending = left
    assert all(len(thing.expired) == 1 for thing in things)


def test_what_happens_while_others_are_ended_counts() -> None:
    wheel = Wheel()
    things = [Thing() for _ in range(40)]
    for thing in things:
        wheel.watch(thing, 1)
    wheel.advance()
    for _ in range(5):
        assert wheel.expire()
    forgotten, moved, *others = [thing for thing in things if not thing.expired]
    wheel.forget(forgotten)
    moved.deadline = 7  # by a request that came meanwhile
    while wheel.expire():
        pass
    assert (forgotten.expired, moved.expired) == ([], [])
    assert all(thing.expired for thing in others)
    moved.wheel = wheel
    turned(wheel, 10)
    assert (forgotten.expired, moved.expired) == ([], [7])
