"""Several requests on one connection: in order, each judged by itself, and never more than one at the origin."""

import asyncio

import pytest

from tests.proxy.harness import OK, House, chunked, get, post, settle, until


def said(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


async def test_answers_come_in_the_order_of_the_requests(house: House) -> None:
    for number in range(5):
        house.origin.says(said(b"%d" % number))
    client = await house.client()
    await client.send(b"".join(get(f"/public/{number}") for number in range(5)))
    assert [(await client.answer()).body for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]
    assert [request.target for request in house.origin.requests] == [b"/public/%d" % number for number in range(5)]
    assert len(house.origin.lines) == 1


async def test_a_request_is_not_touched_before_the_one_in_front_is_answered(house: House) -> None:
    gate = asyncio.Event()
    house.origin.says(gate, said(b"first"))
    client = await house.client()
    await client.send(get("/public/1") + get("/public/2"))
    await until(lambda: house.origin.requests)
    await settle(50)
    assert len(house.origin.requests) == 1
    assert b"/public/2" not in house.origin.received
    gate.set()
    assert (await client.answer()).body == b"first"
    assert (await client.answer()).body == b"ok"


async def test_refusals_keep_their_place(house: House) -> None:
    gate = asyncio.Event()
    house.origin.says(gate, OK)
    client = await house.client()
    paths = ["/public/1", "/api/2", "/nowhere", "/public//4", "/public/5"]
    await client.send(b"".join(get(path) for path in paths) + get(method="TRACE") + get("/public/7"))
    await settle(30)
    assert client.unread == b""
    gate.set()
    assert [(await client.answer()).status for _ in range(7)] == [200, 401, 404, 400, 200, 405, 200]


async def test_each_request_is_judged_by_its_own_credentials(house: House) -> None:
    client = await house.client()
    tokens = ["good", None, "admin", "expired", "good", "nobody"]
    await client.send(b"".join(get("/api/x", token=token) for token in tokens))
    assert [(await client.answer()).status for _ in tokens] == [200, 401, 200, 401, 200, 403]
    users = [request.values("x-user-id") for request in house.origin.requests]
    assert users == [[b"alice"], [b"root"], [b"alice"]]


async def test_bodies_are_counted_to_the_byte(house: House) -> None:
    client = await house.client()
    inner = get("/admin/inner", token="admin")
    await client.send(
        post(body=inner) + chunked(inner, inner) + post(body=b"") + post(body=inner, method="PUT") + get()
    )
    assert [(await client.answer()).status for _ in range(5)] == [200] * 5
    assert [request.body for request in house.origin.requests] == [inner, inner * 2, b"", inner, b""]
    assert all(request.target == b"/public/x" for request in house.origin.requests)


@pytest.mark.parametrize("size", [1, 2, 7, 61, 1000])
async def test_the_cut_into_segments_does_not_matter(house: House, size: int) -> None:
    client = await house.client()
    stream = (
        get("/public/1") + post("/public/2", b"hello") + chunked(b"he", b"llo", path="/public/3") + get("/public/4")
    )
    for at in range(0, len(stream), size):
        await client.send(stream[at : at + size])
        await settle(2)
    assert [(await client.answer()).status for _ in range(4)] == [200] * 4
    assert [(request.target[-1:], request.body) for request in house.origin.requests] == [
        (b"1", b""),
        (b"2", b"hello"),
        (b"3", b"hello"),
        (b"4", b""),
    ]


async def test_nothing_behind_a_request_to_close_is_served(house: House) -> None:
    client = await house.client()
    await client.send(get("/public/1") + get("/public/2", "Connection: close\r\n") + get("/public/3"))
    assert not (await client.answer()).closes
    assert (await client.answer()).closes
    await client.closed()
    assert len(house.origin.requests) == 2


async def test_a_client_that_has_said_everything_gets_every_answer(house: House) -> None:
    """`printf … | nc -N`: the sending side is closed behind the last request."""
    client = await house.client()
    await client.send(get("/public/1") + get("/api/2") + get("/public/3"))
    await until(lambda: house.origin.requests)
    client.shutdown()
    assert [(await client.answer()).status for _ in range(3)] == [200, 401, 200]
    await client.closed()
    assert len(house.origin.requests) == 2


async def test_the_last_answer_to_such_a_client_says_that_it_is_the_last(house: House) -> None:
    gate = asyncio.Event()
    house.origin.says(gate, OK)
    house.origin.says(gate, OK)
    client = await house.client()
    await client.send(get("/public/1") + get("/public/2"))
    await until(lambda: house.origin.requests)
    client.shutdown()
    await until(lambda: house.downstream._ended)
    gate.set()
    assert not (await client.answer()).closes
    assert (await client.answer()).closes
    await client.closed()


@pytest.mark.parametrize("rest", [get()[:10], post(body=b"hello")[:-1], chunked(b"hello", end=b"")])
async def test_a_request_that_such_a_client_did_not_finish_is_given_up(house: House, rest: bytes) -> None:
    gate = asyncio.Event()
    house.origin.says(gate, OK)
    client = await house.client()
    await client.send(get("/public/1") + rest)
    await until(lambda: house.origin.requests)
    client.shutdown()
    await until(lambda: house.downstream._ended)
    gate.set()
    assert (await client.answer()).status == 200
    await client.closed()
    await until(lambda: not house.engine.connections)
    assert len(house.origin.requests) == 1


async def test_what_waits_behind_a_verdict_that_takes_time_keeps_its_place(house: House) -> None:
    house.feed.cold = True
    client = await house.client()
    await client.send(get("/api/1", token="good") + get("/public/2") + get("/api/3"))
    await settle(30)
    assert house.origin.received == b""
    house.feed.cold = False
    house.feed.warm.set()
    assert [(await client.answer()).status for _ in range(3)] == [200, 200, 401]
    assert [request.target for request in house.origin.requests] == [b"/api/1", b"/public/2"]


async def test_a_verdict_that_took_time_is_asked_for_once_more_and_no_more(house: House) -> None:
    house.feed.cold = True
    house.feed.warm.set()
    client = await house.client()
    await client.send(get("/api/1", token="good") + get("/public/2"))
    first = await client.answer()
    assert (first.status, first.code, first.value("retry-after")) == (503, "store_unavailable", b"2")
    assert (await client.answer()).status == 200


async def test_a_body_waits_for_such_a_verdict_and_then_arrives_whole(house: House) -> None:
    """More than is held: the reading stops, and goes on once the verdict is there, with a connection at hand."""
    await house.ask(get("/api/0", token="good"))
    house.feed.cold = True
    client = await house.client()
    body = bytes(range(256)) * 4000
    request = post("/api/1", body, token="good")
    sending = asyncio.create_task(client.send(request))
    await until(lambda: house.engine.connections)
    await until(lambda: any(connection._paused for connection in house.engine.connections))
    assert len(house.origin.requests) == 1
    house.feed.cold = False
    house.feed.warm.set()
    assert (await client.answer()).status == 200
    await sending
    assert house.origin.requests[1].body == body


async def test_a_client_that_leaves_during_such_a_verdict_is_forgotten(house: House) -> None:
    house.feed.cold = True
    client = await house.client()
    await client.send(get("/api/1", token="good"))
    await until(lambda: house.engine.connections)
    await settle()
    client.reset()
    await until(lambda: not house.engine.connections)
    house.feed.warm.set()
    await settle()
    assert house.origin.received == b""


async def test_a_bug_during_such_a_verdict_ends_the_connection_and_is_reported(house: House) -> None:
    async def breaks() -> None:
        raise RuntimeError("bug")

    house.feed.cold = True
    house.feed.synced = breaks  # type: ignore[method-assign]
    answer = await house.ask(get("/api/1", token="good"))
    assert answer.status == 503
    assert [str(fault) for fault in house.faults] == ["bug"]
    house.faults.clear()


@pytest.mark.item(171)
async def test_a_bug_in_the_gate_is_a_refusal(house: House) -> None:
    """identity.md 171: whatever breaks in a decision, the decision is no."""

    def breaks(token: bytes, now: float) -> None:
        raise RuntimeError("bug")

    house.engine.snapshot.gate._check = breaks  # type: ignore[assignment]
    answer = await house.ask(get("/api/1", token="good"))
    assert (answer.status, answer.code) == (500, "internal_error")
    assert house.origin.received == b""
    assert [str(fault) for fault in house.faults] == ["bug"]
    house.faults.clear()
