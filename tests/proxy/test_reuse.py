"""Connections to an upstream: which are used again, which are not, and what happens when one was dead after all."""

import asyncio

import pytest

from gateway.proxy.pool import PoolLimits
from tests.proxy.harness import END, OK, RESET, House, chunked, get, house, post, settle, until


async def test_a_connection_serves_one_request_after_another(house: House) -> None:
    for request in (get(), post(), chunked(b"x"), get(method="HEAD"), get("/api/x", token="good")):
        assert (await house.ask(request)).status == 200
    assert len(house.origin.lines) == 1


async def test_requests_at_the_same_time_have_a_connection_each(house: House) -> None:
    gate = asyncio.Event()
    clients = [await house.client() for _ in range(3)]
    for client in clients:
        house.origin.says(gate, OK)
        await client.send(get())
    await until(lambda: len(house.origin.requests) == 3)
    gate.set()
    for client in clients:
        assert (await client.answer()).status == 200
    assert len(house.origin.lines) == 3
    (await house.ask(get()))
    assert len(house.origin.lines) == 3


async def test_each_upstream_has_its_own_connections(house: House) -> None:
    await house.ask(get("/public/x"))
    await house.ask(get("/second/x"))
    assert [request.target for request in house.origin.requests] == [b"/public/x"]
    assert [request.target for request in house.second.requests] == [b"/second/x"]


async def test_an_idle_connection_is_given_up_before_the_upstream_would(house: House) -> None:
    await house.ask(get())
    house.turn(49.0)
    await house.ask(get())
    assert len(house.origin.lines) == 1
    house.turn(51.0)
    await house.ask(get())
    assert len(house.origin.lines) == 2
    await until(lambda: house.origin.lines[0].ended)


async def test_idle_connections_are_swept(house: House) -> None:
    await house.ask(get())
    house.turn(51.0)
    house.pools["app"].sweep()
    await until(lambda: house.origin.lines[0].ended)
    assert house.pools["app"].targets[0].open == 0


async def test_a_connection_the_upstream_has_closed_is_not_taken(house: House) -> None:
    await house.ask(get())
    house.origin.lines[0].transport.close()
    await until(lambda: not house.pools["app"].targets[0].idle)
    assert (await house.ask(post())).status == 200
    assert len(house.origin.lines) == 2


@pytest.mark.parametrize("how", [END, RESET], ids=["end", "reset"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
async def test_a_request_that_met_a_dead_connection_is_sent_again_when_that_is_harmless(
    house: House, method: str, how: object
) -> None:
    await house.ask(get("/once/x"))
    house.origin.says(how)  # type: ignore[arg-type]
    assert (await house.ask(get("/once/x", method=method))).status == 200
    assert [request.method for request in house.origin.requests] == [b"GET", method.encode(), method.encode()]
    assert len(house.origin.lines) == 2


@pytest.mark.parametrize(
    "request_bytes",
    [
        post("/once/x"),
        post("/once/x", b""),
        post("/once/x", b"", method="PATCH"),
        post("/once/x", method="PUT"),
        post("/once/x", method="GET"),
        chunked(b"x", path="/once/x"),
    ],
    ids=["POST", "POST without body", "PATCH", "PUT with body", "GET with body", "chunked"],
)
async def test_a_request_that_could_do_something_twice_is_not(house: House, request_bytes: bytes) -> None:
    await house.ask(get("/once/x"))
    house.origin.says(END)
    answer = await house.ask(request_bytes)
    assert (answer.status, answer.code) == (502, "upstream_unreachable")
    assert len(house.origin.requests) == 2


async def test_a_dead_connection_is_met_once(house: House) -> None:
    await house.ask(get("/once/x"))
    house.origin.says(END)
    house.origin.says(END)
    answer = await house.ask(get("/once/x"))
    assert (answer.status, answer.code) == (502, "upstream_unreachable")
    assert len(house.origin.requests) == 3


async def test_a_connection_that_has_begun_to_answer_is_not_a_dead_one(house: House) -> None:
    await house.ask(get("/once/x"))
    house.origin.says(b"HTTP/1.1 2", END)
    answer = await house.ask(get("/once/x"))
    assert (answer.status, answer.code) == (502, "upstream_protocol")
    assert len(house.origin.requests) == 2


async def test_a_new_connection_that_dies_is_no_dead_one(house: House) -> None:
    house.origin.says(END)
    answer = await house.ask(get("/once/x"))
    assert answer.status == 502
    assert len(house.origin.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", b"nonsense\r\n\r\n"],
    ids=["two lengths", "nonsense"],
)
async def test_an_answer_that_cannot_be_read_is_no_reason_to_ask_again(house: House, answer: bytes) -> None:
    """The upstream has seen the request and has answered; asking once more asks for the same nonsense."""
    house.origin.says(answer)
    await house.ask(get())
    assert len(house.origin.requests) == 1


async def test_the_number_of_connections_is_bounded_and_the_rest_wait() -> None:
    async with house(pool=PoolLimits(connections=1)) as made:
        gate = asyncio.Event()
        made.origin.says(gate, OK)
        first, second = await made.client(), await made.client()
        await first.send(get("/public/1"))
        await until(lambda: made.origin.requests)
        await second.send(get("/public/2"))
        await settle(30)
        assert len(made.origin.lines) == 1
        gate.set()
        assert (await first.answer()).status == 200
        assert (await second.answer()).status == 200
        assert len(made.origin.lines) == 1


async def test_the_number_of_waiting_requests_is_bounded_too() -> None:
    async with house(pool=PoolLimits(connections=1, queue=1)) as made:
        gate = asyncio.Event()
        made.origin.says(gate, OK)
        first, second = await made.client(), await made.client()
        await first.send(get("/public/1"))
        await until(lambda: made.origin.requests)
        await second.send(get("/public/2"))
        await settle(30)
        answer = await made.ask(get("/public/3"))
        assert (answer.status, answer.code, answer.value("retry-after")) == (503, "overloaded", b"1")
        gate.set()
        assert (await first.answer()).status == 200
        assert (await second.answer()).status == 200


async def test_a_waiting_request_whose_client_leaves_is_forgotten() -> None:
    async with house(pool=PoolLimits(connections=1)) as made:
        gate = asyncio.Event()
        made.origin.says(gate, OK)
        first, second = await made.client(), await made.client()
        await first.send(get("/public/1"))
        await until(lambda: made.origin.requests)
        await second.send(get("/public/2"))
        await until(lambda: made.pools["app"]._queue)
        second.reset()
        await until(lambda: made.records)
        assert made.record.status == 499
        gate.set()
        assert (await first.answer()).status == 200
        await settle(30)
        assert [request.target for request in made.origin.requests] == [b"/public/1"]


@pytest.mark.parametrize("how", ["refused", "given up"])
async def test_a_connection_that_was_not_made_makes_room_for_who_waits(how: str) -> None:
    async with house(pool=PoolLimits(connections=1)) as made:
        made.connecting.clear()
        first, second = await made.client(), await made.client()
        await first.send(get("/once/1"))
        await until(lambda: made.pools["app"].targets[0].open)
        await second.send(get("/once/2"))
        await until(lambda: made.pools["app"]._queue)
        if how == "refused":
            made.origin.shut()
            made.connecting.set()
            assert (await first.answer()).status == 502
            await made.origin.open()
        else:
            first.reset()
            made.connecting.set()
        await settle(50)
        assert not made.pools["app"]._queue


async def test_no_more_than_so_many_connections_lie_idle() -> None:
    async with house(pool=PoolLimits(idle=2)) as made:
        gate = asyncio.Event()
        clients = [await made.client() for _ in range(4)]
        for client in clients:
            made.origin.says(gate, OK)
            await client.send(get())
        await until(lambda: len(made.origin.requests) == 4)
        gate.set()
        for client in clients:
            await client.answer()
        await until(lambda: sum(line.ended for line in made.origin.lines) == 2)
        assert made.pools["app"].targets[0].open == 2


async def test_the_last_to_come_back_is_the_first_to_go(house: House) -> None:
    gates = [asyncio.Event(), asyncio.Event()]
    clients = [await house.client(), await house.client()]
    for client, gate in zip(clients, gates, strict=True):
        house.origin.says(gate, OK)
        await client.send(get())
        await settle()
    await until(lambda: len(house.origin.requests) == 2)
    for client, gate in zip(clients, gates, strict=True):
        gate.set()
        await client.answer()
    await house.ask(get("/public/third"))
    assert house.origin.lines[1].requests[-1].target == b"/public/third"


async def test_while_draining_nothing_is_kept(house: House) -> None:
    client = await house.client()
    await client.ask(get())
    house.engine.draining = True
    answer = await client.ask(get())
    assert (answer.status, answer.closes) == (200, True)
    await client.closed()
    await until(lambda: all(line.ended for line in house.origin.lines))


async def test_counts_return_to_zero(house: House) -> None:
    """Whatever happens to a request, its place in the counts is given back."""
    target = house.pools["app"].targets[0]
    house.origin.says(b"nonsense\r\n\r\n")
    house.origin.says(END)
    house.origin.says(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", RESET)
    await house.ask(post("/once/x"))
    await house.ask(post("/once/x"))
    client = await house.client()
    await client.send(post("/once/x"))
    with pytest.raises(ConnectionResetError):
        await client.rest()
    assert (await house.ask(post("/once/x"))).status == 200
    assert (target.inflight, target.open, len(target.idle)) == (0, 1, 1)
    assert house.pools["app"]._open == 1
