"""The hazards of performance.md 3.6 that no statement of the safety chapter names: bugs, floods, and who is let in.

The other rows of that table: smuggling, names and values (test_a_framing, test_b_target, test_c_headers), ambiguous
paths (test_b_target), trailers (A9, test_g_answers), upgrades, CONNECT and TRACE (test_d_upgrade, B23), pipelining and
early parsing (test_pipelining), Expect (A20, A21), 1xx, HEAD, 204, 304, bodies until close and split answers
(test_g_answers), early answers, half-close and back-pressure (test_bodies, test_pipelining), slow clients
(test_deadlines), reuse after an error and upstreams that speak unasked (A19, G3, test_reuse).
"""

import ast
import asyncio
from ipaddress import ip_network
from pathlib import Path

import pytest

import gateway.proxy
from gateway.proxy.engine import Limits
from gateway.telemetry.record import Record
from tests.proxy.harness import OK, RESET, House, get, house, post, settle, until


def faults(house: House) -> list[str]:
    """Return the bugs that were reported, and forget them."""
    found = [str(fault) for fault in house.faults]
    house.faults.clear()
    return found


class Bug:
    """Raises when it is looked at, once or always."""

    def __init__(self, times: int = 1) -> None:
        self.left = times

    def __call__(self, *_: object, **__: object) -> None:
        if self.left:
            self.left -= 1
            raise RuntimeError("bug")


# --- exceptions in callbacks: one connection ends, it is reported, and nobody else notices ---


async def test_a_bug_while_taking_a_request_ends_its_connection_only(house: House) -> None:
    other, victim = await house.client(), await house.client()
    await other.ask(get())
    plans = dict(house.engine.snapshot.plans)
    house.engine.snapshot.plans.clear()  # type: ignore[attr-defined]
    await victim.send(get())
    with pytest.raises(ConnectionResetError):
        await victim.rest()
    assert faults(house)
    house.engine.snapshot.plans.update(plans)  # type: ignore[attr-defined]
    assert (await other.ask(get())).status == 200


async def test_a_bug_while_reading_an_answer_is_502_and_its_connection_is_dropped(house: House) -> None:
    client = await house.client()
    await client.ask(get("/once/x"))
    house.engine.answers.clear()
    kinds, house.engine.answer_kinds = house.engine.answer_kinds, None  # type: ignore[assignment]
    answer = await client.ask(get("/once/x"))
    house.engine.answer_kinds = kinds
    assert (answer.status, answer.code) == (502, "upstream_protocol")
    assert len(faults(house)) == 1
    assert (await client.ask(get("/once/x"))).status == 200
    assert len(house.origin.lines) == 2


async def test_a_bug_in_the_middle_of_an_answer_breaks_it(house: House) -> None:
    more = asyncio.Event()
    house.origin.says(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", more, b"more")
    client = await house.client()
    await client.send(get("/once/x"))
    await client.until(b"hello")
    house.upstream._body = Bug()  # type: ignore[assignment]
    more.set()
    with pytest.raises(ConnectionResetError):
        await client.rest()
    assert len(faults(house)) == 1


async def test_a_record_that_cannot_be_written_does_not_stop_the_engine(house: House) -> None:
    client = await house.client()
    await client.ask(get())
    record, bug = house.engine.record, Bug()

    def recorded(entry: Record) -> None:
        bug()
        record(entry)

    house.engine.record = recorded
    await client.send(get())
    with pytest.raises(ConnectionResetError):
        await client.rest()
    assert faults(house) == ["bug"]
    assert (await house.ask(get())).status == 200


async def test_a_bug_at_a_deadline_does_not_take_the_deadlines_of_others_along(house: House) -> None:
    clients = [await house.client() for _ in range(5)]
    for client in clients:
        await client.send(get()[:10])
    await until(lambda: sum(bool(connection._buffer) for connection in house.engine.connections) == 5)
    record = house.engine.record
    house.engine.record = Bug(2)
    house.turn(10.0)
    house.engine.record = record
    answers = 0
    for client in clients:
        try:
            await client.rest()
        except ConnectionResetError:
            continue
        answers += 1
    assert answers == 3
    assert faults(house) == ["bug", "bug"]
    house.turn(2.0)
    await until(lambda: not house.engine.connections)


async def test_a_connection_may_be_broken_twice(house: House) -> None:
    """By the exchange, and by who stops the gateway, before the loop has told us that it is gone."""
    await house.client()
    await until(lambda: house.engine.connections)
    down = house.downstream
    down.abort()
    down.abort()
    await until(lambda: not house.engine.connections)
    down.abort()


# --- the parser's leniencies ---


def test_the_parser_is_never_told_to_be_lenient() -> None:
    """httptools' `set_dangerous_leniencies` opens every door that part A closes."""
    (folder,) = gateway.proxy.__path__
    for path in Path(folder).glob("*.py"):
        names = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
        assert "set_dangerous_leniencies" not in names


# --- who is let in ---


async def test_connections_are_bounded() -> None:
    async with house(limits=Limits(connections=2)) as made:
        clients = [await made.client() for _ in range(2)]
        for client in clients:
            assert (await client.ask(get())).status == 200
        surplus = await made.client()
        answer = await surplus.answer()
        assert (answer.status, answer.code, answer.closes) == (503, "overloaded", True)
        assert answer.value("retry-after") == b"1"
        await surplus.closed()
        surplus.close()
        clients[0].close()
        await until(lambda: len(made.engine.connections) == 1)
        assert (await made.ask(get())).status == 200
        assert (await clients[1].ask(get())).status == 200


async def test_connections_of_one_address_are_bounded() -> None:
    async with house(limits=Limits(connections_per_address=2)) as made:
        clients = [await made.client() for _ in range(2)]
        await until(lambda: made.engine.by_address == {"127.0.0.1": 2})
        assert (await (await made.client()).answer()).status == 503
        for client in clients:
            client.close()
        await until(lambda: made.engine.by_address.get("127.0.0.1", 0) <= 1)
        assert (await made.ask(get())).status == 200


async def test_but_not_those_of_a_trusted_proxy() -> None:
    async with house(limits=Limits(connections_per_address=2)) as made:
        made.load(trusted_proxies=(ip_network("127.0.0.0/8"),))
        clients = [await made.client() for _ in range(4)]
        for client in clients:
            assert (await client.ask(get())).status == 200


async def test_addresses_are_forgotten_with_their_last_connection(house: House) -> None:
    clients = [await house.client() for _ in range(3)]
    await until(lambda: house.engine.by_address == {"127.0.0.1": 3})
    for client in clients:
        client.reset()
    await until(lambda: not house.engine.by_address)
    assert house.engine.connections == set()


# --- nothing is left behind ---


async def test_after_every_kind_of_end_nothing_is_left(house: House) -> None:
    """Connections, exchanges, tasks, deadlines and counts: what comes goes."""
    tasks = len(asyncio.all_tasks())
    house.origin.says(RESET)
    house.origin.says(b"nonsense\r\n\r\n")
    house.origin.says(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", RESET)
    house.origin.says(asyncio.Event())
    house.origin.says(asyncio.Event())
    for request in (post("/once/1"), post("/once/2"), post("/once/3"), get("/once/4"), get("/once/5"), get("/api/x")):
        client = await house.client()
        await client.send(request)
        await settle(20)
        client.reset()
    for odd in (b"nonsense\r\n\r\n", get()[:10], post("/big/x", bytes(100))[:-1], b"\r\n", b""):
        client = await house.client()
        await client.send(odd)
        await settle(20)
        client.reset()
    await until(lambda: not house.engine.connections)
    await until(lambda: all(line.ended for line in house.origin.lines))
    await settle(30)
    target = house.pools["app"].targets[0]
    assert (target.inflight, target.open, target.idle) == (0, 0, [])
    assert (house.pools["app"]._open, house.pools["app"]._tasks, house.pools["app"]._queue) == (0, {}, {})
    assert house.engine.by_address == {}
    house.turn(100.0)
    assert house.wheel._buckets == {}
    assert len(asyncio.all_tasks()) <= tasks
    house.origin.answer = OK
    assert (await house.ask(get())).status == 200
