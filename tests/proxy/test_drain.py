"""Going away in good order: who is served to the end, who is let go at once, and who is cut."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from gateway.proxy.connect import tcp
from gateway.proxy.server import Server
from tests.proxy.harness import END, OK, Client, House, Step, get, house, post, settle, until


class Leaving:
    """A house with a real listener."""

    def __init__(self, made: House, server: Server) -> None:
        self.house = made
        self.server = server

    def drain(self, delay: float = 0.0, grace: float = 20.0) -> "asyncio.Task[None]":
        return asyncio.create_task(self.server.drain(delay, grace))


@pytest.fixture
async def here() -> AsyncIterator[Leaving]:
    async with house() as made:
        server = Server(made.engine, lambda: None)
        leaving = Leaving(made, server)
        made.address = ("127.0.0.1", await server.listen("127.0.0.1", 0))
        yield leaving
        server.stop()


async def begun(here: Leaving, *steps: "bytes | Step | asyncio.Event", request: bytes | None = None) -> Client:
    """Send a request whose answer consists of *steps*, and wait until the origin has it."""
    made = here.house
    before = len(made.origin.requests)
    made.origin.says(*steps)
    client = await made.client()
    await client.send(request or get())
    await until(lambda: len(made.origin.requests) > before)
    return client


async def test_a_request_in_work_is_served_and_its_connection_ends_with_it(here: Leaving) -> None:
    gate = asyncio.Event()
    client = await begun(here, gate, OK)
    draining = here.drain()
    await until(lambda: here.house.engine.draining)
    assert not draining.done()
    gate.set()
    answer = await client.answer()
    assert (answer.status, answer.closes) == (200, True)
    await client.closed()
    await draining


async def test_so_is_a_streamed_answer_whose_head_is_out(here: Leaving) -> None:
    gate = asyncio.Event()
    client = await begun(here, b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", gate, b"world")
    await client.until(b"hello")
    draining = here.drain()
    await until(lambda: here.house.engine.draining)
    gate.set()
    await client.until(b"world")
    await client.closed()
    await draining


async def test_an_upload_in_work_is_taken_to_its_end(here: Leaving) -> None:
    client = await here.house.client()
    request = post(body=b"0123456789")
    await client.send(request[:-5])
    await until(lambda: here.house.origin.received.endswith(b"01234"))
    draining = here.drain()
    await until(lambda: here.house.engine.draining)
    await client.send(request[-5:])
    assert (await client.answer()).closes
    await client.closed()
    await draining


async def test_idle_connections_are_closed_at_once(here: Leaving) -> None:
    used, fresh = await here.house.client(), await here.house.client()
    assert (await used.ask(get())).status == 200
    await until(lambda: len(here.house.engine.connections) == 2)
    await here.drain()
    await used.closed()
    await fresh.closed()


async def test_one_that_falls_idle_later_is_closed_then(here: Leaving) -> None:
    """Its head was on its way when the others were closed."""
    client = await here.house.client()
    await client.send(get()[:10])
    await until(lambda: any(connection._buffer for connection in here.house.engine.connections))
    draining = here.drain()
    await until(lambda: here.house.engine.draining)
    await client.send(get()[10:])
    answer = await client.answer()
    assert (answer.status, answer.closes) == (200, True)
    await client.closed()
    await draining


async def test_new_connections_are_refused_and_the_port_is_free(here: Leaving) -> None:
    gate = asyncio.Event()
    client = await begun(here, gate, OK)
    draining = here.drain()
    await until(lambda: here.house.engine.draining)
    await settle()
    with pytest.raises(ConnectionRefusedError):
        await here.house.client()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(here.house.address)
    gate.set()
    await client.answer()
    await draining


async def test_until_the_delay_is_over_everything_goes_on(here: Leaving) -> None:
    """Load balancers have yet to notice, and they go on sending."""
    draining = here.drain(delay=0.3)
    old, new = await here.house.client(), await here.house.client()
    for client in (old, new):
        assert not (await client.ask(get())).closes
    assert not here.house.engine.draining
    await draining
    await old.closed()
    await new.closed()


@pytest.mark.item("SIGTERM with streams")
async def test_what_does_not_end_in_time_is_cut(here: Leaving) -> None:
    client = await begun(here, b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", asyncio.Event())
    await client.until(b"hello")
    await here.drain(grace=0.1)
    assert here.house.engine.connections
    here.server.stop()
    with pytest.raises(ConnectionResetError):
        await client.rest()
    await until(lambda: not here.house.engine.connections)


async def test_an_answer_of_ours_says_goodbye_too(here: Leaving) -> None:
    client = await here.house.client()
    await client.send(get("/api/x")[:10])
    await until(lambda: any(connection._buffer for connection in here.house.engine.connections))
    draining = here.drain()
    await until(lambda: here.house.engine.draining)
    await client.send(get("/api/x")[10:])
    answer = await client.answer()
    assert (answer.status, answer.closes) == (401, True)
    await draining


async def test_of_pipelined_requests_the_one_in_work_is_the_last(here: Leaving) -> None:
    gate = asyncio.Event()
    client = await begun(here, gate, OK, request=get("/public/1") + get("/public/2"))
    draining = here.drain()
    await until(lambda: here.house.engine.draining)
    gate.set()
    assert (await client.answer()).closes
    await client.closed()
    await draining
    assert [request.target for request in here.house.origin.requests] == [b"/public/1"]


async def test_an_upstream_that_fails_meanwhile_is_told_of_as_ever(here: Leaving) -> None:
    gate = asyncio.Event()
    client = await begun(here, gate, END, request=post())
    draining = here.drain()
    await until(lambda: here.house.engine.draining)
    gate.set()
    answer = await client.answer()
    assert (answer.status, answer.closes) == (502, True)
    await draining


async def test_without_anybody_there_is_nothing_to_wait_for(here: Leaving) -> None:
    async with asyncio.timeout(5):
        await here.drain(grace=1000.0)


@pytest.mark.item("half-open connection")
async def test_half_open_connections_are_noticed_on_both_sides(here: Leaving) -> None:
    """By the kernel, since a stream or a tunnel may have no deadline at all."""
    made = here.house
    made.pools["app"].targets[0].connect = tcp(made.engine, "127.0.0.1", made.origin.port)
    client = await begun(here, asyncio.Event())
    for transport in (made.downstream.transport, made.upstream.transport):
        sock = transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
    client.close()
    made.forget(client)
