"""Tunnels: statements D3, D6, D7, D8 and D9 of the safety chapter, and how a tunnel ends.

The upstream here is a socket, too: what it gets and says is written out frame by frame.
"""

import asyncio
import base64
import hashlib
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from gateway.proxy.engine import Limits
from gateway.proxy.tunnel import Tunnel
from gateway.routing.table import Route, RouteOptions, RouteTable, WebSocketOptions
from gateway.tokens.carriers import ACCESS_COOKIE
from gateway.tokens.verify import Invalid
from tests.proxy.harness import (
    ADMIN,
    OPTIONAL,
    OWN_ORIGIN,
    PATIENCE,
    PUBLIC,
    USER,
    Client,
    House,
    get,
    house,
    route,
    settle,
    until,
)
from tests.proxy.strict import Answer
from tests.proxy.test_frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frame

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
WISH = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n"
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"


class Peer:
    """The upstream's end of a tunnel."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        self._reader = reader
        self._writer = writer
        self.head = head

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def got(self, data: bytes) -> None:
        """The next bytes that arrive are *data*."""
        async with asyncio.timeout(PATIENCE):
            assert await self._reader.readexactly(len(data)) == data

    async def frame(self) -> tuple[int, bytes]:
        """Read one frame, unmasked."""
        async with asyncio.timeout(PATIENCE):
            head = await self._reader.readexactly(2)
            size = head[1] & 0x7F
            assert head[1] & 0x80
            if size == 126:
                size = struct.unpack(">H", await self._reader.readexactly(2))[0]
            mask = await self._reader.readexactly(4)
            payload = await self._reader.readexactly(size)
        return head[0] & 15, bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))

    async def ended(self) -> bytes:
        """Read until the gateway has closed or broken the connection; return what came before."""
        async with asyncio.timeout(PATIENCE):
            rest = b""
            try:
                while data := await self._reader.read(65536):
                    rest += data
            except ConnectionError:
                pass
            return rest

    async def count(self, size: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while size > 0:
                size -= len(await self._reader.read(min(size, 1 << 20)))

    def leave(self) -> None:
        self._writer.close()


class Service:
    """An upstream that takes handshakes."""

    def __init__(self) -> None:
        self.peers: asyncio.Queue[Peer] = asyncio.Queue()
        self.made: list[Peer] = []
        self.extra = b""
        """Further lines of its 101."""
        self.behind = b""
        """Bytes sent in one piece with it."""
        self.ready = asyncio.Event()
        self.ready.set()
        self.limit = 1 << 16

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        (key,) = (line[19:] for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key: "))
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        await self.ready.wait()
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n" + self.extra + b"\r\n" + self.behind
        )
        peer = Peer(reader, writer, head)
        self.made.append(peer)
        self.peers.put_nowait(peer)

    async def peer(self) -> Peer:
        async with asyncio.timeout(PATIENCE):
            return await self.peers.get()


def socket_routes(options: WebSocketOptions = WebSocketOptions()) -> list[Route]:  # noqa: B008 - frozen
    made = RouteOptions(websocket=options)
    return [
        route(0, "/ws/**", USER, made),
        route(1, "/open/**", PUBLIC, made),
        route(2, "/maybe/**", OPTIONAL, made),
        route(3, "/public/**"),
        route(4, "/plain/**", USER),
    ]


@asynccontextmanager
async def place(
    options: WebSocketOptions = WebSocketOptions(),  # noqa: B008 - frozen
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> AsyncIterator[tuple[House, Service]]:
    """A house whose upstream is a Service."""
    service = Service()
    async with house(routes=socket_routes(options), limits=limits) as made:
        server = await asyncio.start_server(service.serve, "127.0.0.1", 0)
        made.origin.port, before = server.sockets[0].getsockname()[1], made.origin.port
        try:
            yield made, service
        finally:
            made.origin.port = before
            for peer in service.made:
                peer.leave()
            server.close()
            await settle()


Place = tuple[House, Service]


@pytest.fixture
async def there() -> AsyncIterator[Place]:
    async with place() as made:
        yield made


async def opened(
    there: Place, headers: str = "", *, path: str = "/ws/x", token: str | None = "good"
) -> tuple[Client, Peer, bytes]:
    """Open a tunnel; return both ends and the head of the 101."""
    made, service = there
    client = await made.client()
    await client.send(get(path, WISH + headers, token=token))
    head = await client.until(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 "), head
    return client, await service.peer(), head


async def refused(there: Place, headers: str = "", *, path: str = "/ws/x", token: str | None = None) -> Answer:
    """Ask in vain; the upstream must not have heard of it."""
    made, service = there
    answer = await made.ask(get(path, WISH + headers, token=token))
    await settle()
    assert service.made == []
    return answer


async def said(client: Client, data: bytes) -> None:
    """The next bytes that reach *client* are *data*."""
    while len(client.unread) < len(data):
        more = await client.read()
        assert more, f"closed after {client.unread!r}"
        client.unread += more
    assert client.unread[: len(data)] == data
    client.unread = client.unread[len(data) :]


def goodbye(code: int, reason: str) -> bytes:
    """A close frame from a server."""
    return frame(CLOSE, struct.pack(">H", code) + reason.encode(), masked=False)


# --- the opening ---


@pytest.mark.item("D6")
async def test_a_bearer_token_opens_and_the_upstream_learns_who_it_is(there: Place) -> None:
    _, peer, head = await opened(there)
    assert b"\r\nSec-WebSocket-Accept: " + ACCEPT + b"\r\n" in head
    assert head.count(b"Upgrade: websocket\r\n") == head.count(b"Connection: Upgrade\r\n") == 1
    assert peer.head.startswith(b"GET /ws/x HTTP/1.1\r\n")
    assert peer.head.count(b"Upgrade: websocket\r\n") == peer.head.count(b"Connection: Upgrade\r\n") == 1
    assert b"X-User-Id: alice\r\n" in peer.head
    assert b"good" not in peer.head


COOKIE = f"Cookie: {ACCESS_COOKIE}=good; theme=dark\r\n"
OURS = f"Origin: {OWN_ORIGIN.decode()}\r\n"


@pytest.mark.item("D6")
async def test_a_cookie_opens_for_our_own_origin(there: Place) -> None:
    _, peer, _ = await opened(there, COOKIE + OURS, token=None)
    assert b"Cookie: theme=dark\r\n" in peer.head
    assert ACCESS_COOKIE.encode() not in peer.head


@pytest.mark.item(72, 146, "D6")
async def test_a_cookie_without_an_origin_opens_nothing(there: Place) -> None:
    answer = await refused(there, COOKIE)
    assert (answer.status, answer.code) == (403, "origin_denied")


@pytest.mark.item(72, 146, "D6")
@pytest.mark.parametrize(
    "origin", ["https://evil.test", "null", "http://gw.test", "https://gw.test.evil.test", "https://gw.test:444", ""]
)
@pytest.mark.parametrize("by", ["cookie", "bearer"])
async def test_another_origin_opens_nothing(there: Place, origin: str, by: str) -> None:
    with_token = {"token": "good"} if by == "bearer" else {}
    answer = await refused(there, f"Origin: {origin}\r\n" + (COOKIE if by == "cookie" else ""), **with_token)
    assert (answer.status, answer.code) == (403, "origin_denied")


@pytest.mark.item("D6")
async def test_two_origins_are_refused(there: Place) -> None:
    assert (await refused(there, OURS + "Origin: https://evil.test\r\n", token="good")).status == 400


@pytest.mark.item("D6")
async def test_an_origin_of_the_list_opens_in_any_case() -> None:
    async with place(WebSocketOptions(origins=("https://app.test",))) as there:
        await opened(there, COOKIE + "Origin: https://APP.test\r\n", token=None)
        assert (await there[0].ask(get("/ws/x", WISH + COOKIE + "Origin: https://other.test\r\n"))).status == 403


@pytest.mark.item("D6")
async def test_a_star_lets_every_origin_in_that_has_a_token() -> None:
    async with place(WebSocketOptions(origins=("*",))) as there:
        await opened(there, "Origin: https://any.test\r\n")
        answer = await there[0].ask(get("/ws/x", WISH + "Origin: https://any.test\r\n"))
        assert (answer.status, answer.code) == (401, "token_missing")


@pytest.mark.item(72, "D6")
async def test_a_token_among_the_subprotocols_opens_and_goes_no_further(there: Place) -> None:
    _, peer, head = await opened(there, "Sec-WebSocket-Protocol: bearer, good\r\n" + OURS, token=None)
    assert b"Sec-WebSocket-Protocol" not in peer.head
    assert b"good" not in peer.head
    assert b"\r\nSec-WebSocket-Protocol: bearer\r\n" in head
    assert b"good" not in head


@pytest.mark.item("D6")
async def test_the_other_subprotocols_are_between_client_and_upstream(there: Place) -> None:
    there[1].extra = b"Sec-WebSocket-Protocol: chat.v2\r\n"
    offer = "Sec-WebSocket-Protocol: chat.v1, bearer\r\nSec-WebSocket-Protocol: good, chat.v2\r\n"
    _, peer, head = await opened(there, offer, token=None)
    assert b"\r\nSec-WebSocket-Protocol: chat.v1, chat.v2\r\n" in peer.head
    assert head.count(b"Sec-WebSocket-Protocol:") == 1
    assert b"\r\nSec-WebSocket-Protocol: chat.v2\r\n" in head


async def test_an_offer_without_a_token_is_passed_on_as_it_is(there: Place) -> None:
    there[1].extra = b"Sec-WebSocket-Protocol: chat\r\n"
    _, peer, head = await opened(there, "Sec-WebSocket-Protocol: chat\r\n")
    assert b"\r\nSec-WebSocket-Protocol: chat\r\n" in peer.head
    assert b"\r\nSec-WebSocket-Protocol: chat\r\n" in head


@pytest.mark.item("D6")
@pytest.mark.parametrize(
    ("offer", "token", "status"),
    [
        ("bearer", None, 400),
        ("chat, bearer", None, 400),
        ("bearer, good, bearer, good", None, 400),
        ("bearer, good", "good", 400),
        ("bearer, expired", None, 401),
        ("bearer, revoked", None, 401),
        ("bearer, rubbish", None, 401),
        ("bearer, nobody", None, 403),
        ("chat", None, 401),
    ],
)
async def test_an_offer_that_opens_nothing(there: Place, offer: str, token: str | None, status: int) -> None:
    assert (await refused(there, f"Sec-WebSocket-Protocol: {offer}\r\n", token=token)).status == status


@pytest.mark.item(72, "D6")
@pytest.mark.parametrize(
    ("kept", "headers", "token"),
    [
        (("cookie", "subprotocol"), "", "good"),
        (("bearer", "subprotocol"), COOKIE + OURS, None),
    ],
    ids=["bearer", "cookie"],
)
async def test_a_carrier_the_route_does_not_name_carries_nothing(
    kept: tuple[str, ...], headers: str, token: str | None
) -> None:
    async with place(WebSocketOptions(token_from=kept)) as there:
        assert (await refused(there, headers, token=token)).code == "token_missing"


@pytest.mark.item("D6")
async def test_a_subprotocol_token_a_route_does_not_take_is_refused() -> None:
    async with place(WebSocketOptions(token_from=("bearer", "cookie"))) as there:
        assert (await refused(there, "Sec-WebSocket-Protocol: bearer, good\r\n")).status == 400


@pytest.mark.parametrize("path", ["/plain/x", "/public/x"])
async def test_where_no_websocket_is_offered_the_token_of_one_goes_no_further_either(path: str) -> None:
    async with house(routes=socket_routes()) as made:
        offer = "Sec-WebSocket-Protocol: bearer, secret-token\r\n"
        assert (await made.ask(get(path, WISH + offer, token="good"))).status == 200
        assert b"secret-token" not in made.origin.received
        assert b"pgrade" not in made.origin.received


async def test_a_public_socket_opens_without_a_token_but_not_from_everywhere(there: Place) -> None:
    await opened(there, path="/open/x", token=None)
    assert (await there[0].ask(get("/open/x", WISH + "Origin: https://evil.test\r\n"))).status == 403


@pytest.mark.item("D3")
async def test_two_accept_values_are_no_answer(there: Place) -> None:
    there[1].extra = b"Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n"
    answer = await there[0].ask(get("/ws/x", WISH, token="good"))
    assert (answer.status, answer.code) == (502, "upstream_protocol")


@pytest.mark.item("D6")
@pytest.mark.parametrize("code", ["token_revoked", "token_expired"])
async def test_a_session_that_ends_before_the_101_comes_gets_no_tunnel(there: Place, code: str) -> None:
    """Nobody would close it any more: whoever ended the session found no tunnel to close."""
    made, service = there
    service.ready.clear()
    client = await made.client()
    await client.send(get("/ws/x", WISH, token="good"))
    await until(lambda: made.pools["app"].targets[0].inflight)
    await settle()
    made.tokens.known[b"good"] = Invalid(code, "revoked")
    made.engine.streams.end_session("s-1")
    service.ready.set()
    answer = await client.answer()
    assert (answer.status, answer.code) == (401, code)
    await (await service.peer()).ended()
    assert len(made.engine.streams) == 0


# --- frames through the tunnel ---


async def test_frames_pass_unchanged_both_ways(there: Place) -> None:
    client, peer, _ = await opened(there)
    up = (
        frame(TEXT, "grüße".encode())
        + frame(BINARY, bytes(300))
        + frame(TEXT, b"a", final=False)
        + frame(PING, b"?")
        + frame(CONTINUATION, b"b")
    )
    down = (
        frame(TEXT, b"hello", masked=False)
        + frame(PONG, b"?", masked=False)
        + frame(BINARY, bytes(70_000), masked=False)
    )
    await client.send(up)
    await peer.got(up)
    peer.send(down)
    await said(client, down)


async def test_what_the_upstream_says_with_its_101_is_passed_on(there: Place) -> None:
    there[1].behind = frame(TEXT, b"welcome", masked=False)
    client, _, _ = await opened(there)
    await said(client, frame(TEXT, b"welcome", masked=False))


async def test_what_the_client_says_with_its_handshake_is_passed_on(there: Place) -> None:
    made, service = there
    client = await made.client()
    early = frame(TEXT, b"impatient")
    await client.send(get("/ws/x", WISH, token="good") + early)
    await client.until(b"\r\n\r\n")
    await (await service.peer()).got(early)


async def test_frames_may_come_byte_by_byte(there: Place) -> None:
    client, peer, _ = await opened(there)
    data = frame(TEXT, b"slowly") + frame(BINARY, bytes(130))
    await client.dribble(data)
    await peer.got(data)


@pytest.mark.item("D8")
async def test_rsv1_passes_when_deflate_was_agreed_on(there: Place) -> None:
    there[1].extra = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"
    client, peer, head = await opened(there, DEFLATE)
    assert b"\r\nSec-WebSocket-Extensions: permessage-deflate\r\n" in head
    assert DEFLATE.encode() in peer.head
    await client.send(frame(TEXT, b"x", rsv=0x40))
    await peer.got(b"\xc1")
    peer.send(frame(TEXT, b"x", rsv=0x40, masked=False))
    await said(client, frame(TEXT, b"x", rsv=0x40, masked=False))


@pytest.mark.item("D8")
@pytest.mark.parametrize(
    ("offer", "taken"),
    [("", b""), (DEFLATE, b""), ("", b"Sec-WebSocket-Extensions: permessage-deflate\r\n")],
    ids=["nobody", "only the client", "only the upstream"],
)
async def test_rsv1_without_it_is_1002(there: Place, offer: str, taken: bytes) -> None:
    there[1].extra = taken
    client, peer, _ = await opened(there, offer)
    await client.send(frame(TEXT, b"x", rsv=0x40))
    await said(client, goodbye(1002, "reserved bits"))
    assert await peer.frame() == (CLOSE, b"\x03\xeareserved bits")


@pytest.mark.item("D7")
@pytest.mark.parametrize(
    ("bad", "code", "reason"),
    [
        (frame(TEXT, b"x", masked=False), 1002, "masking"),
        (frame(TEXT, b"x", rsv=0x10), 1002, "reserved bits"),
        (frame(5, b"x"), 1002, "opcode"),
        (frame(PING, b"x" * 126), 1002, "control frame"),
        (frame(CONTINUATION, b"x"), 1002, "opcode"),
        (frame(TEXT, b"x" * 1001), 1009, "message"),
    ],
    ids=["not masked", "RSV3", "opcode", "long ping", "stray continuation", "too long"],
)
async def test_a_client_that_breaks_the_rules_is_told_and_cut(bad: bytes, code: int, reason: str) -> None:
    async with place(WebSocketOptions(max_message=1000)) as there:
        client, peer, _ = await opened(there)
        good = frame(TEXT, b"good")
        await client.send(good + bad + frame(TEXT, b"never seen"))
        await peer.got(good)
        assert await peer.frame() == (CLOSE, struct.pack(">H", code) + reason.encode())
        await said(client, goodbye(code, reason))
        there[0].turn(1.0)
        await client.closed()
        assert await peer.ended() == b""
        await until(lambda: there[0].records)
        assert (there[0].record.status, there[0].record.reason) == (101, reason)


@pytest.mark.item("D7")
async def test_an_upstream_that_breaks_the_rules_is_no_better(there: Place) -> None:
    client, peer, _ = await opened(there)
    peer.send(frame(TEXT, b"good", masked=False) + frame(TEXT, b"bad"))
    await said(client, frame(TEXT, b"good", masked=False) + goodbye(1002, "masking"))
    assert (await peer.frame())[0] == CLOSE


async def test_a_bad_frame_behind_one_in_the_middle_does_not_garble_what_went_before(there: Place) -> None:
    client, peer, _ = await opened(there)
    whole = frame(TEXT, b"z" * 100)
    await client.send(whole[:50])
    await peer.got(whole[:50])
    await client.send(whole[50:] + frame(3))
    await peer.got(whole[50:])
    assert (await peer.frame())[0] == CLOSE


async def test_behind_the_beginning_of_a_bad_frame_nothing_more_is_said_to_the_upstream(there: Place) -> None:
    client, peer, _ = await opened(there)
    await client.send(b"\x81")
    await peer.got(b"\x81")
    await client.send(b"\x01x")
    await said(client, goodbye(1002, "masking"))
    await client.send(frame(TEXT, b"and on") * 10)
    await settle()
    there[0].turn(1.0)
    assert await peer.ended() == b""


# --- ends ---


@pytest.mark.item("D9")
@pytest.mark.parametrize("payload", [b"\x03\xe8", b"\x03\xe8bye", b"\x0f\xa0custom", b""])
async def test_a_close_passes_from_client_to_upstream_and_back(there: Place, payload: bytes) -> None:
    client, peer, _ = await opened(there)
    farewell = frame(CLOSE, payload)
    await client.send(farewell)
    await peer.got(farewell)
    peer.send(frame(TEXT, b"last", masked=False) + frame(CLOSE, payload, masked=False))
    peer.leave()
    await said(client, frame(TEXT, b"last", masked=False) + frame(CLOSE, payload, masked=False))
    await client.closed()
    made = there[0]
    await until(lambda: made.records)
    assert (made.record.status, made.record.reason, made.record.code) == (101, "", "")
    assert len(made.engine.streams) == 0


@pytest.mark.item("D9")
async def test_a_close_passes_from_upstream_to_client_and_back(there: Place) -> None:
    client, peer, _ = await opened(there)
    peer.send(goodbye(4001, "kicked"))
    await said(client, goodbye(4001, "kicked"))
    answer = frame(CLOSE, b"\x0f\xa1kicked")
    await client.send(answer)
    await peer.got(answer)
    client.close()
    there[0].forget(client)
    assert await peer.ended() == b""


@pytest.mark.item("D9")
async def test_a_client_that_closes_its_side_after_saying_so_still_gets_the_answer(there: Place) -> None:
    client, peer, _ = await opened(there)
    await client.send(frame(CLOSE, b"\x03\xe8"))
    client.shutdown()
    await peer.frame()
    peer.send(goodbye(1000, ""))
    await said(client, goodbye(1000, ""))


@pytest.mark.item("D9")
@pytest.mark.parametrize("how", ["closes", "resets", "half-closes"])
async def test_a_client_that_goes_without_a_word_takes_the_upstream_along(there: Place, how: str) -> None:
    made = there[0]
    client, peer, _ = await opened(there)
    if how == "half-closes":
        client.shutdown()
    else:
        made.forget(client)
        client.close() if how == "closes" else client.reset()
    assert await peer.ended() == b""
    await until(lambda: made.records)
    assert made.record.reason == "client_gone"
    await until(lambda: not made.engine.connections)


@pytest.mark.item("D9")
async def test_an_upstream_that_goes_without_a_word_takes_the_client_along(there: Place) -> None:
    client, peer, _ = await opened(there)
    peer.leave()
    await client.closed()
    await until(lambda: there[0].records)
    assert there[0].record.reason == "reset"


@pytest.mark.item("D9")
async def test_who_gets_no_answer_to_a_goodbye_is_let_go_after_a_while(there: Place) -> None:
    client, peer, _ = await opened(there)
    await client.send(frame(CLOSE, b"\x03\xe8"))
    await peer.frame()
    for _ in range(3):
        there[0].turn(2.0)
        peer.send(frame(TEXT, b"still talking", masked=False))
        await said(client, frame(TEXT, b"still talking", masked=False))
    there[0].turn(4.0)
    await client.closed()
    await peer.ended()


@pytest.mark.item("D7")
async def test_a_tunnel_in_which_nobody_speaks_ends_with_1001() -> None:
    async with place(WebSocketOptions(idle=30.0)) as there:
        client, peer, _ = await opened(there)
        for _ in range(4):
            there[0].turn(20.0)
            await client.send(frame(PING))
            await peer.frame()
            there[0].turn(20.0)
            peer.send(frame(PONG, masked=False))
            await said(client, frame(PONG, masked=False))
        there[0].turn(30.0)
        await said(client, goodbye(1001, "idle"))
        assert await peer.frame() == (CLOSE, b"\x03\xe9idle")
        there[0].turn(1.0)
        await client.closed()


async def test_a_lifetime_ends_a_tunnel_however_much_is_said() -> None:
    async with place(WebSocketOptions(idle=None, lifetime=60.0)) as there:
        client, peer, _ = await opened(there)
        for _ in range(5):
            there[0].turn(10.0)
            await client.send(frame(PING))
            await peer.frame()
        there[0].turn(10.0)
        await said(client, goodbye(1001, "lifetime"))


async def test_without_limits_a_tunnel_may_rest_for_ever() -> None:
    async with place(WebSocketOptions(idle=None)) as there:
        client, peer, _ = await opened(there)
        there[0].turn(100_000.0)
        await client.send(frame(TEXT, b"awake"))
        assert await peer.frame() == (TEXT, b"awake")


@pytest.mark.item("D6")
async def test_the_end_of_a_session_ends_its_tunnels_and_no_others(there: Place) -> None:
    made = there[0]
    mine, my_peer, _ = await opened(there)
    other, other_peer, _ = await opened(there, token="elsewhere")
    made.engine.streams.end_session("s-1")
    await said(mine, goodbye(1008, "session ended"))
    assert await my_peer.frame() == (CLOSE, b"\x03\xf0session ended")
    await mine.send(frame(TEXT, b"ignored"))
    await settle()
    made.turn(1.0)
    await mine.closed()
    assert await my_peer.ended() == b""
    assert (made.record.reason, made.record.subject) == ("session ended", "alice")
    await other.send(frame(TEXT, b"untouched"))
    assert await other_peer.frame() == (TEXT, b"untouched")
    assert made.engine.streams.sessions == {"s-2"}


@pytest.mark.item("D6")
@pytest.mark.parametrize("cut", [1, 3, 6, 60])
async def test_a_goodbye_waits_for_the_end_of_the_frame_that_is_under_way(there: Place, cut: int) -> None:
    client, peer, _ = await opened(there)
    up, down = frame(TEXT, b"u" * 200), frame(TEXT, b"d" * 200, masked=False)
    await client.send(up[:cut])
    peer.send(down[:cut])
    await peer.got(up[:cut])
    await said(client, down[:cut])
    there[0].engine.streams.end_session("s-1")
    await client.send(up[cut:] + frame(TEXT, b"too late"))
    peer.send(down[cut:] + frame(TEXT, b"too late", masked=False))
    await peer.got(up[cut:])
    await said(client, down[cut:] + goodbye(1008, "session ended"))
    assert await peer.frame() == (CLOSE, b"\x03\xf0session ended")
    there[0].turn(1.0)
    await client.closed()


async def test_a_frame_that_does_not_end_is_cut_after_a_second(there: Place) -> None:
    client, peer, _ = await opened(there)
    down = frame(BINARY, bytes(1000), masked=False)
    peer.send(down[:500])
    await said(client, down[:500])
    there[0].engine.streams.end_session("s-1")
    there[0].turn(1.0)
    await client.closed()


async def test_a_client_that_has_said_goodbye_hears_no_other_one_of_ours(there: Place) -> None:
    client, peer, _ = await opened(there)
    await client.send(frame(CLOSE, b"\x03\xe8"))
    await peer.frame()
    there[0].engine.streams.end_session("s-1")
    await said(client, goodbye(1008, "session ended"))
    there[0].turn(1.0)
    assert await peer.ended() == b""


async def test_a_tunnel_that_opens_while_the_gateway_goes_away_is_told_so(there: Place) -> None:
    made, service = there
    service.ready.clear()
    client = await made.client()
    await client.send(get("/ws/x", WISH, token="good"))
    await until(lambda: made.pools["app"].targets[0].inflight)
    made.engine.draining = True
    service.ready.set()
    assert (await client.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
    await said(client, goodbye(1001, "going away"))


# --- pace ---


async def test_a_client_that_does_not_read_holds_its_upstream_and_is_cut() -> None:
    async with place(WebSocketOptions(idle=600.0), Limits(write_idle=5.0)) as there:
        made, service = there
        client = await made.client(receive_buffer=4096)
        await client.send(get("/ws/x", WISH, token="good"))
        peer = await service.peer()
        down = made.downstream
        piece = frame(BINARY, bytes(60_000), masked=False)
        for _ in range(500):
            peer.send(piece)
            await settle(2)
        await until(lambda: not down.writable)
        assert down.transport.get_write_buffer_size() < 1 << 20
        made.turn(5.0)
        await until(lambda: not made.engine.connections)
        await peer.ended()


async def test_a_client_that_reads_again_has_its_whole_idle_time() -> None:
    async with place(WebSocketOptions(idle=600.0), Limits(write_idle=5.0)) as there:
        made, service = there
        client = await made.client(receive_buffer=4096)
        await client.send(get("/ws/x", WISH, token="good"))
        peer = await service.peer()
        down = made.downstream
        piece = frame(BINARY, bytes(60_000), masked=False)
        sent = 0
        while down.writable:
            peer.send(piece)
            sent += len(piece)
            await settle(2)
        made.turn(3.0)
        await client.until(b"\r\n\r\n")
        left = sent - len(client.unread)
        while left:
            left -= len(await client.read(left))
        await until(lambda: down.writable)
        made.turn(500.0)
        await client.send(frame(TEXT, b"still here"))
        assert await peer.frame() == (TEXT, b"still here")


async def test_an_upstream_that_does_not_read_holds_its_client(there: Place) -> None:
    client, peer, _ = await opened(there)
    whole = frame(BINARY, bytes(12_000_000)) * 3
    sending = asyncio.create_task(client.send(whole))
    (tunnel,) = there[0].engine.streams.of("s-1")
    assert isinstance(tunnel, Tunnel)
    up = tunnel._up
    await until(lambda: not up.writable)
    await settle(50)
    assert not sending.done()
    assert up.transport.get_write_buffer_size() < 1 << 20
    await peer.count(len(whole))
    await sending


async def test_after_every_kind_of_end_nothing_is_left(there: Place) -> None:
    made = there[0]
    for end in ("client", "upstream", "session"):
        client, peer, _ = await opened(there)
        if end == "client":
            client.close()
            made.forget(client)
        elif end == "upstream":
            peer.leave()
        else:
            made.engine.streams.end_session("s-1")
            await settle()
            made.turn(1.0)
        await until(lambda: not made.engine.connections)
        peer.leave()
    target = made.pools["app"].targets[0]
    assert (target.inflight, target.open, target.idle) == (0, 0, [])
    assert len(made.engine.streams) == 0


async def test_a_candidate_rule_is_told_of_once_though_the_gate_is_asked_again_at_the_101(there: Place) -> None:
    made, told = there[0], list[str]()
    tried = replace(USER, shadow=ADMIN)
    made.load(
        table=RouteTable([route(0, "/ws/**", tried, RouteOptions(websocket=WebSocketOptions()))]),
        settings={"shadowed": lambda refusal, _head: told.append(refusal.code.name)},
    )
    _, peer, _ = await opened(there)
    assert told == ["role_missing"]
    peer.leave()
