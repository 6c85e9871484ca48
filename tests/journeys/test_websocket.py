"""WebSockets through the real gateway to the demo upstream, by two client libraries that share no code."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

import aiohttp
import pytest
import websockets
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.journeys.house import Gateway, Program, Tokens, configuration, free_port, outside, running, until

MIB = 1 << 20
PATIENCE = 30.0


class Closed(NamedTuple):
    code: int
    reason: str


class Refused(Exception):
    """The handshake was answered by something other than 101."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Line(Protocol):
    """An open WebSocket, whichever library holds it."""

    @property
    def subprotocol(self) -> str | None: ...
    @property
    def compressed(self) -> bool: ...
    async def say(self, message: str | bytes) -> None: ...
    async def hear(self) -> str | bytes: ...
    async def ping(self) -> None:
        """Return once the pong is here."""
        ...

    async def close(self, code: int, reason: str) -> Closed:
        """Close, and return what the other side has said to that."""
        ...

    async def closed(self) -> Closed:
        """Wait until the other side closes."""
        ...


class Aiohttp:
    name = "aiohttp"

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    @staticmethod
    @asynccontextmanager
    async def open(
        url: str, *, headers: Mapping[str, str], protocols: list[str], deflate: bool
    ) -> AsyncIterator["Aiohttp"]:
        async with aiohttp.ClientSession() as session:
            try:
                socket = await session.ws_connect(
                    url, headers=headers, protocols=protocols, compress=15 if deflate else 0, max_msg_size=32 * MIB
                )
            except aiohttp.WSServerHandshakeError as error:
                raise Refused(error.status) from error
            async with socket:
                yield Aiohttp(socket)

    @property
    def subprotocol(self) -> str | None:
        return self._socket.protocol

    @property
    def compressed(self) -> bool:
        return bool(self._socket.compress)

    async def say(self, message: str | bytes) -> None:
        if isinstance(message, str):
            await self._socket.send_str(message)
        else:
            await self._socket.send_bytes(message)

    async def hear(self) -> str | bytes:
        message = await self._socket.receive()
        assert message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY), message
        data: str | bytes = message.data
        return data

    async def ping(self) -> None:
        await self._socket.ping(b"are you there")

    async def close(self, code: int, reason: str) -> Closed:
        await self._socket.close(code=code, message=reason.encode())
        return Closed(self._socket.close_code or 0, "")

    async def closed(self) -> Closed:
        message = await self._socket.receive()
        assert message.type is aiohttp.WSMsgType.CLOSE, message
        return Closed(message.data, message.extra or "")


class Websockets:
    name = "websockets"

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    @staticmethod
    @asynccontextmanager
    async def open(
        url: str, *, headers: Mapping[str, str], protocols: list[str], deflate: bool
    ) -> AsyncIterator["Websockets"]:
        try:
            async with connect(
                url.replace("http", "ws", 1),
                additional_headers=headers,
                subprotocols=[Subprotocol(name) for name in protocols] or None,
                compression="deflate" if deflate else None,
                max_size=32 * MIB,
                proxy=None,
            ) as socket:
                yield Websockets(socket)
        except websockets.InvalidStatus as error:
            raise Refused(error.response.status_code) from error

    @property
    def subprotocol(self) -> str | None:
        return self._socket.subprotocol

    @property
    def compressed(self) -> bool:
        return bool(self._socket.protocol.extensions)

    async def say(self, message: str | bytes) -> None:
        await self._socket.send(message)

    async def say_in_pieces(self, *pieces: bytes) -> None:
        await self._socket.send(pieces)

    async def hear(self) -> str | bytes:
        return await self._socket.recv()

    async def ping(self) -> None:
        await (await self._socket.ping(b"are you there"))

    async def close(self, code: int, reason: str) -> Closed:
        await self._socket.close(code, reason)
        return await self.closed()

    async def closed(self) -> Closed:
        await self._socket.wait_closed()
        return Closed(self._socket.close_code or 0, self._socket.close_reason or "")


Library = type[Aiohttp] | type[Websockets]

# The upstream closes with a code and a reason when it is told to, which the demo does not.
_CLOSER = """
import asyncio, sys
from websockets.asyncio.server import serve

async def talk(socket):
    async for message in socket:
        code, _, reason = message.partition(" ")
        if code == "frames":
            await socket.send([b"a" * 1000, b"", b"b" * 1000])
        elif code == "protocols":
            await socket.send(repr(socket.request.headers.get_all("Sec-WebSocket-Protocol")))
        else:
            await socket.close(int(code), reason)

async def main():
    async with serve(talk, "127.0.0.1", int(sys.argv[1]), select_subprotocol=lambda *_: None) as server:
        print("ready", flush=True)
        await server.serve_forever()

asyncio.run(main())
"""


def program(folder: Path, name: str, *command: str) -> Program:
    made = Program(name, [sys.executable, *command], folder, environ=outside(), cwd=folder)
    made.await_ready(lambda: bool(made.output))
    return made


class Place(NamedTuple):
    gateway: Gateway
    tokens: Tokens

    def url(self, path: str) -> str:
        return self.gateway.url + path


ROUTES = """\
  - {path: /open/ws, to: demo, auth: public, strip_prefix: /open, websocket: true}
  - {path: /ws, to: demo, roles: [user], websocket: {origins: ["https://app.example"]}}
  - {path: /closer, to: closer, roles: [user], websocket: true}
  - {path: /plain/ws, to: demo, roles: [user], strip_prefix: /plain}
"""


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    folder = tmp_path_factory.mktemp("services")
    port = free_port()
    (folder / "closer.py").write_text(_CLOSER)
    made = [
        program(folder, "demo", "-m", "gateway.endpoints.demo", "--port", "0"),
        program(folder, "closer", "closer.py", str(port)),
    ]
    yield {"demo": made[0].output.split()[-1], "closer": f"http://127.0.0.1:{port}"}
    for each in made:
        each.stop()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, services: dict[str, str]) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("gateway")
    with running(folder, configuration(folder, upstreams=services, routes=ROUTES)) as gateway:
        yield Place(gateway, gateway.login())
        assert gateway.faults() == []


@pytest.fixture(params=[Aiohttp, Websockets], ids=lambda library: library.name)
def library(request: pytest.FixtureRequest) -> Library:
    made: Library = request.param
    return made


@asynccontextmanager
async def opened(
    place: Place,
    library: Library,
    path: str = "/ws",
    *,
    headers: Mapping[str, str] | None = None,
    protocols: tuple[str, ...] = (),
    deflate: bool = False,
) -> AsyncIterator[Line]:
    async with asyncio.timeout(PATIENCE):
        given = place.tokens.bearer if headers is None else headers
        async with library.open(place.url(path), headers=given, protocols=list(protocols), deflate=deflate) as line:
            yield line


@pytest.mark.parametrize("deflate", [False, True], ids=["plain", "deflate"])
async def test_messages_of_every_kind_come_back_as_they_went(place: Place, library: Library, deflate: bool) -> None:
    big = os.urandom(5 * MIB) + bytes(5 * MIB)
    async with opened(place, library, deflate=deflate) as line:
        assert line.compressed is deflate
        for message in ("hello", "grüße, 世界", "", b"", bytes(range(256)), "x" * 70_000, big):
            await line.say(message)
            assert await line.hear() == message
        await line.ping()
        await line.say("still there")
        assert await line.hear() == "still there"
        assert (await line.close(1000, "bye")).code == 1000


@pytest.mark.parametrize("deflate", [False, True], ids=["plain", "deflate"])
async def test_a_clients_fragments_arrive_as_one_message(place: Place, deflate: bool) -> None:
    """aiohttp's client cannot send a message in pieces, so this is told by one library; it reads them below."""
    async with opened(place, Websockets, deflate=deflate) as line:
        assert isinstance(line, Websockets)
        await line.say_in_pieces(b"one, ", b"", b"two, ", b"three" * 30_000)
        assert await line.hear() == b"one, two, " + b"three" * 30_000


async def test_an_upstreams_fragments_arrive_as_one_message(place: Place, library: Library) -> None:
    async with opened(place, library, "/closer") as line:
        await line.say("frames")
        assert await line.hear() == b"a" * 1000 + b"b" * 1000


@pytest.mark.parametrize(
    ("code", "reason"), [(1000, "done"), (1001, ""), (1011, "grüße"), (3000, "x" * 120), (4999, "ours")]
)
async def test_how_the_upstream_closes_is_how_the_client_is_closed(
    place: Place, library: Library, code: int, reason: str
) -> None:
    async with opened(place, library, "/closer") as line:
        await line.say(f"{code} {reason}")
        assert await line.closed() == Closed(code, reason)


@pytest.mark.parametrize("code", [1000, 3001, 4999])
async def test_how_the_client_closes_is_how_the_upstream_is_closed(place: Place, library: Library, code: int) -> None:
    """The other side answers with the code it got (RFC 6455 section 5.5.1)."""
    async with opened(place, library, "/closer") as line:
        assert (await line.close(code, "because")).code == code


async def test_who_may_not_is_told_in_plain_http(place: Place, library: Library) -> None:
    bearer = place.tokens.bearer
    cookie = {"Cookie": f"__Host-Http-gw-at={place.tokens.access}"}
    cases: list[tuple[str, Mapping[str, str], int]] = [
        ("/ws", {}, 401),
        ("/ws", {"Authorization": "Bearer x.y.z"}, 401),
        ("/ws", {**bearer, "Origin": "https://evil.example"}, 403),
        ("/ws", cookie, 403),
        ("/nowhere", bearer, 404),
        ("/plain/ws", bearer, 400),
    ]
    for path, headers, status in cases:
        with pytest.raises(Refused) as refusal:
            async with opened(place, library, path, headers=headers):
                pass
        assert refusal.value.status == status, (path, headers)


async def test_cookies_and_subprotocols_open_it_too(place: Place, library: Library) -> None:
    for origin in (place.gateway.url, "https://app.example"):
        headers = {"Cookie": f"__Host-Http-gw-at={place.tokens.access}", "Origin": origin}
        async with opened(place, library, headers=headers) as line:
            await line.say("by cookie")
            assert await line.hear() == "by cookie"
    async with opened(place, library, headers={}, protocols=("chat", "bearer", place.tokens.access)) as line:
        assert line.subprotocol == "chat"  # the demo takes the first it is offered
        await line.say("by subprotocol")
        assert await line.hear() == "by subprotocol"
    async with opened(place, library, "/closer", headers={}, protocols=("bearer", place.tokens.access)) as line:
        assert line.subprotocol == "bearer"
        await line.say("protocols")
        assert json.loads(str(await line.hear()).replace("'", '"')) == []


async def test_a_public_socket_needs_nothing(place: Place, library: Library) -> None:
    async with opened(place, library, "/open/ws", headers={}) as line:
        await line.say("anybody")
        assert await line.hear() == "anybody"


async def test_logging_out_ends_the_sessions_sockets_with_1008(place: Place, library: Library) -> None:
    mine, other = place.gateway.login(), place.gateway.login()
    async with (
        opened(place, library, headers=other.bearer) as stays,
        opened(place, library, headers=mine.bearer) as goes,
    ):
        with place.gateway.client() as client:
            answer = await asyncio.to_thread(client.post, "/auth/logout", headers=mine.bearer)
        assert answer.status_code == 204
        assert await goes.closed() == Closed(1008, "session ended")
        await stays.say("not mine")
        assert await stays.hear() == "not mine"


async def test_many_at_once_do_not_mix(place: Place, library: Library) -> None:
    async def talk(number: int) -> None:
        async with opened(place, library) as line:
            for turn in range(10):
                message = f"{number}.{turn}" * 500
                await line.say(message)
                assert await line.hear() == message

    await asyncio.gather(*(talk(number) for number in range(30)))


async def test_a_gateway_that_stops_says_1001(tmp_path: Path, services: dict[str, str], library: Library) -> None:
    text = configuration(tmp_path, upstreams=services, routes=ROUTES)
    with running(tmp_path, text) as gateway:
        here = Place(gateway, gateway.login())
        async with opened(here, library) as line:
            await line.say("here")
            assert await line.hear() == "here"
            gateway.process.send_signal(signal.SIGTERM)
            assert await line.closed() == Closed(1001, "going away")
        assert await asyncio.to_thread(gateway.await_end) == 0
        assert gateway.faults() == []
    until(lambda: any(entry["status"] == 101 for entry in gateway.log()))
