"""Answers that go on end with the session they belong to (ARCHITECTURE 8.15); checklist 111 of the identity chapter.

What counts is that an answer has not come whole, not what it calls itself: events, a long download, a slow report.
"""

import pytest

from gateway.tokens.verify import Invalid
from tests.proxy.harness import Client, House, chunked, get, settle, until

EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n"
DOWNLOAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1000
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nline 1\n"


async def begun(house: House, answer: bytes = EVENTS, token: str = "good", path: str = "/api/events") -> Client:
    """Let a client ask for a stream; return it when the beginning has come."""
    house.origin.says(answer)
    client = await house.client()
    await client.send(get(path, token=token))
    await client.until(b"\r\n\r\n")
    await client.until({EVENTS: b"data: 1\n\n\r\n", DOWNLOAD: b"x" * 1000, UNTIL_CLOSE: b"line 1\n"}[answer])
    return client


@pytest.mark.item(111)
@pytest.mark.parametrize("answer", [EVENTS, DOWNLOAD, UNTIL_CLOSE], ids=["events", "download", "until close"])
async def test_the_end_of_a_session_cuts_its_answers_and_no_others(house: House, answer: bytes) -> None:
    mine = await begun(house, answer)
    other = await begun(house, answer, token="elsewhere")
    house.engine.streams.end_session("s-1")
    with pytest.raises(ConnectionError):  # nothing injected, and no clean end that could pass for a whole answer
        await mine.rest()
    assert (house.record.status, house.record.reason, house.record.subject) == (200, "session ended", "alice")
    await until(lambda: house.origin.lines[0].ended)
    house.origin.lines[1].transport.write(b"5\r\nabcde\r\n" if answer is EVENTS else b"abcde")
    await other.until(b"abcde")
    assert house.engine.streams.sessions == {"s-2"}


async def test_an_answer_of_http_1_0_is_cut_too(house: House) -> None:
    house.origin.says(UNTIL_CLOSE)
    client = await house.client()
    await client.send(get("/api/x", token="good").replace(b"HTTP/1.1", b"HTTP/1.0"))
    await client.until(b"line 1\n")
    house.engine.streams.end_session("s-1")
    with pytest.raises(ConnectionError):
        await client.rest()


async def test_what_a_dead_token_opened_is_cut_whatever_revoked_it(house: House) -> None:
    client = await begun(house)
    house.engine.streams.end_dead(lambda identity: identity.subject == "alice")
    with pytest.raises(ConnectionError):
        await client.rest()


async def test_an_answer_that_begins_after_its_session_ended_does_not_go_on(house: House) -> None:
    """Whoever ended the session found nothing to cut yet."""
    house.origin.deaf = True
    client = await house.client()
    house.origin.says(EVENTS)
    await client.send(get("/api/events", token="good"))
    await until(lambda: house.pools["app"].targets[0].inflight)
    house.engine.streams.lives = lambda _verified: False
    house.origin.listen_up()
    with pytest.raises(ConnectionError):
        await client.rest()
    assert len(house.engine.streams) == 0


async def test_what_came_whole_is_no_stream_and_passes(house: House) -> None:
    house.engine.streams.lives = lambda _verified: False
    client = await house.client()
    assert (await client.ask(get("/api/x", token="good"))).body == b"ok"
    house.origin.says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
    assert (await client.ask(get("/api/x", token="good"))).body == b"ok"


async def test_a_stream_without_an_owner_has_no_session_to_end(house: House) -> None:
    client = await begun(house, path="/public/events", token="good")
    house.engine.streams.end_session("")
    house.engine.streams.end_session("s-1")
    house.engine.streams.end_dead(lambda _identity: True)
    house.origin.lines[0].transport.write(b"5\r\nabcde\r\n0\r\n\r\n")
    assert (await client.until(b"0\r\n\r\n")).startswith(b"5\r\nabcde")


async def test_a_session_may_end_while_the_client_still_sends(house: House) -> None:
    house.origin.interrupts(EVENTS)
    client = await house.client()
    await client.send(chunked(b"a" * 10, path="/api/talk", end=b"", token="good"))
    await client.until(b"data: 1\n\n\r\n")
    house.engine.streams.end_session("s-1")
    with pytest.raises(ConnectionError):
        await client.rest()


async def test_the_next_request_is_refused_and_says_why(house: House) -> None:
    client = await begun(house)
    house.engine.streams.end_session("s-1")
    with pytest.raises(ConnectionError):
        await client.rest()
    house.tokens.known[b"good"] = Invalid("token_revoked", "revoked")
    again = await house.client()
    answer = await again.ask(get("/api/events", token="good"))
    assert (answer.status, answer.code) == (401, "token_revoked")


async def test_after_every_end_nothing_is_left(house: House) -> None:
    for end in ("whole", "client", "upstream", "session"):
        client = await begun(house)
        line = house.origin.lines[-1]
        if end == "whole":
            line.transport.write(b"0\r\n\r\n")
            await client.until(b"0\r\n\r\n")
        elif end == "client":
            client.reset()
            house.forget(client)
        elif end == "upstream":
            line.transport.abort()
        else:
            house.engine.streams.end_session("s-1")
        await until(lambda: not len(house.engine.streams), end)
        await settle()
    assert house.engine.streams.sessions == frozenset()
    assert house.pools["app"].targets[0].inflight == 0


# --- strict routes ---


async def test_a_strict_route_waits_for_the_stores_word(house: House) -> None:
    house.feed.fresh = False
    client = await house.client()
    await client.send(get("/strict/x", token="good"))
    await settle()
    assert house.origin.requests == []
    house.feed.warm.set()
    assert (await client.answer()).status == 200


@pytest.mark.parametrize(("status", "code"), [(401, "token_revoked"), (503, "store_unavailable")])
async def test_a_strict_route_passes_on_what_the_store_says(house: House, status: int, code: str) -> None:
    house.feed.fresh = False
    house.feed.refuses(code)
    client = await house.client()
    answer = await client.ask(get("/strict/x", token="good"))
    assert (answer.status, answer.code) == (status, code)
    assert house.record.route == "strict"
    assert (await client.ask(get("/api/x", token="good"))).status == 200  # the others do not ask


async def test_a_mistake_in_asking_refuses(house: House) -> None:
    house.feed.fresh = False
    house.feed.breaks()
    client = await house.client()
    answer = await client.ask(get("/strict/x", token="good"))
    assert (answer.status, answer.code) == (500, "internal_error")
    assert len(house.faults) == 1
    house.faults.clear()
