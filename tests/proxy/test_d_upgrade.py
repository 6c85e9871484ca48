"""Upgrades: statements D1, D2, D4 and D5 of the safety chapter, and what becomes of an upgrade nobody offers."""

import pytest

from tests.proxy.harness import END, House, chunked, get, post, until

KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
ACCEPT = b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
ASKED = "Upgrade: websocket\r\nConnection: Upgrade\r\n"
WISH = f"{ASKED}{KEY}Sec-WebSocket-Version: 13\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n%b\r\n"
SMUGGLED = get("/api/smuggled", token="good")


@pytest.mark.item("D1")
@pytest.mark.parametrize("path", ["/ws/x", "/public/x"])
@pytest.mark.parametrize(
    "request_bytes",
    [
        post("{}", SMUGGLED, WISH, token="good"),
        post("{}", SMUGGLED, ASKED, token="good"),
        post("{}", SMUGGLED, WISH, method="GET", token="good"),
        chunked(SMUGGLED, path="{}", headers=WISH, token="good"),
        post("{}", SMUGGLED, "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n", token="good"),
        post("{}", SMUGGLED, "upgrade: x\r\nconnection: close, UPGRADE\r\n", token="good"),
    ],
)
async def test_an_upgrade_with_a_body_is_refused(house: House, request_bytes: bytes, path: str) -> None:
    """To one reader what follows is a body, to another the first bytes of a tunnel."""
    answer = await house.refusal(request_bytes.replace(b"{}", path.encode(), 1) + SMUGGLED, closes=True)
    assert answer.status == 400


@pytest.mark.item("D1")
@pytest.mark.parametrize("headers", ["Content-Length: 0\r\n", ""])
async def test_a_body_of_nothing_is_no_body(house: House, headers: str) -> None:
    client = await house.client()
    await client.send(get("/public/x", ASKED + headers) + get("/public/y"))
    assert (await client.answer()).status == 200
    assert (await client.answer()).status == 200
    assert [request.target for request in house.origin.requests] == [b"/public/x", b"/public/y"]


@pytest.mark.item("D2")
@pytest.mark.parametrize(
    "headers",
    [
        "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
        "Upgrade: h2c\r\nConnection: Upgrade\r\n",
        "Upgrade: h2c\r\n",
        "Upgrade: H2C, websocket\r\nConnection: upgrade\r\n",
        "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\nConnection: HTTP2-Settings\r\n",
    ],
)
@pytest.mark.parametrize("path", ["/public/x", "/ws/x"])
async def test_h2c_never_goes_on(house: House, headers: str, path: str) -> None:
    client = await house.client()
    for _ in range(2):
        assert (await client.ask(get(path, headers, token="good"))).status == 200
    assert b"h2c" not in house.origin.received.lower()
    assert b"upgrade" not in house.origin.received.lower()
    assert b"http2" not in house.origin.received.lower()


@pytest.mark.parametrize(
    "headers", [WISH, ASKED, "Upgrade: websocket\r\n", "Upgrade: TLS/1.0\r\nConnection: upgrade\r\n"]
)
async def test_an_upgrade_a_route_does_not_offer_is_a_plain_request(house: House, headers: str) -> None:
    """RFC 9110 section 7.8: a server may ignore it."""
    client = await house.client()
    for _ in range(2):
        assert (await client.ask(get(headers=headers))).status == 200
    assert (await client.ask(get())).status == 200
    assert all(request.values("upgrade") == request.values("connection") == [] for request in house.origin.requests)


async def test_http_1_0_cannot_upgrade(house: House) -> None:
    client = await house.client()
    answer = await client.ask(get("/ws/x", WISH, token="good", version="1.0"))
    assert answer.status == 200
    assert house.origin.only.values("upgrade") == []
    await client.closed()


async def test_what_follows_an_upgrade_that_is_not_made_is_the_next_request(house: House) -> None:
    client = await house.client()
    await client.send(get("/public/x", WISH) + get("/api/y", token="good") + get("/api/z"))
    assert [(await client.answer()).status for _ in range(3)] == [200, 200, 401]


@pytest.mark.item("D4")
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (f"{ASKED}{KEY}Sec-WebSocket-Version: 8\r\n", 426),
        (f"{ASKED}{KEY}", 426),
        (f"{ASKED}Sec-WebSocket-Version: 13\r\n", 400),
        (f"{ASKED}Sec-WebSocket-Key: short\r\nSec-WebSocket-Version: 13\r\n", 400),
        (f"{ASKED}{KEY}{KEY}Sec-WebSocket-Version: 13\r\n", 400),
    ],
)
async def test_a_broken_handshake_is_refused_here(house: House, headers: str, status: int) -> None:
    answer = await house.refusal(get("/ws/x", headers, token="good"))
    assert answer.status == status


@pytest.mark.item("D4")
async def test_who_speaks_another_version_is_told_ours(house: House) -> None:
    """RFC 9110 section 15.5.22 and RFC 6455 section 4.4."""
    answer = await house.refusal(get("/ws/x", f"{ASKED}{KEY}Sec-WebSocket-Version: 8\r\n", token="good"))
    assert (answer.value("upgrade"), answer.value("sec-websocket-version")) == (b"websocket", b"13")


@pytest.mark.item("D6")
@pytest.mark.parametrize("token", [None, "expired", "nobody"])
async def test_a_handshake_is_judged_like_any_request(house: House, token: str | None) -> None:
    assert (await house.refusal(get("/ws/x", WISH, token=token))).status == (403 if token == "nobody" else 401)


@pytest.mark.item("D3")
@pytest.mark.parametrize(
    "answer",
    [
        SWITCH % b"",
        SWITCH % b"Sec-WebSocket-Accept: wrong\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n" + ACCEPT + b"\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n" + ACCEPT + b"\r\n",
    ],
)
async def test_a_101_that_does_not_answer_the_handshake_is_502(house: House, answer: bytes) -> None:
    house.origin.says(answer + b"\x81\x02hi")
    client = await house.client()
    await client.send(get("/ws/x", WISH, token="good"))
    assert (await client.answer()).status == 502
    assert b"hi" not in client.unread
    await until(lambda: house.origin.lines[0].ended)


@pytest.mark.item("D3")
@pytest.mark.parametrize("status", [200, 400, 403, 426, 500])
async def test_another_answer_than_101_is_relayed_and_the_connection_goes_on(house: House, status: int) -> None:
    house.origin.says(b"HTTP/1.1 %d No\r\nContent-Length: 2\r\n\r\nno" % status)
    client = await house.client()
    answer = await client.ask(get("/ws/x", WISH, token="good"))
    assert (answer.status, answer.body) == (status, b"no")
    assert (await client.ask(get())).status == 200


@pytest.mark.parametrize("path", ["/public/x", "/ws/x"])
@pytest.mark.item("D5", "upstream switches unasked")
async def test_a_101_nobody_asked_for_is_502(house: House, path: str) -> None:
    house.origin.says(SWITCH % ACCEPT + b"\x81\x02hi")
    client = await house.client()
    answer = await client.ask(post(path, token="good"))
    assert (answer.status, house.record.reason) == (502, "unasked_101")
    assert (await client.ask(get())).status == 200


@pytest.mark.item("D3")
async def test_after_the_right_101_bytes_pass_both_ways(house: House) -> None:
    house.origin.says(SWITCH % ACCEPT, b"\x81\x02hi", END)
    client = await house.client()
    await client.send(get("/ws/x", WISH, token="good"))
    head = await client.until(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert await client.until(b"hi") == b"\x81\x02hi"
