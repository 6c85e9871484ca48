"""CONNECT is never served, and nothing behind it is read as a request."""

import pytest

from tests.proxy.harness import House


@pytest.mark.parametrize("target", [b"a:1", b"/public/x"], ids=["authority", "path"])
async def test_connect_is_refused_and_ends_the_connection(house: House, target: bytes) -> None:
    client = await house.client()
    await client.send(b"CONNECT %b HTTP/1.1\r\nHost: a\r\n\r\nGET /public/x HTTP/1.1\r\nHost: a\r\n\r\n" % target)
    answer = await client.answer()
    assert answer.status in (400, 405)
    assert answer.closes
    await client.closed()
    assert house.origin.requests == []
