"""The keys of a provider whose real server is slow, breaks off, floods, lies or leads astray.

Each answer comes over a real socket, byte for byte as it is written here. Whatever it is: the call ends, it reads and
asks no more than it may, and the keys that were in force stay so.
"""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from gateway.outbound import jwks as fetching
from gateway.outbound.client import Outbound
from gateway.outbound.jwks import KeyFetcher, Place
from gateway.tokens.jwks import MAX_BYTES, ForeignKeys
from tests.tokens.forge import key_for

ONE, TWO = key_for("ES256", 1), key_for("ES256", 2)

Speak = Callable[[asyncio.StreamWriter], Awaitable[None]]


def keyset(*keys: Any) -> bytes:
    return json.dumps({"keys": [key.jwk() for key in keys]}).encode()


def answer(body: bytes, *fields: str, status: str = "200 OK", length: int | None = None) -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *fields]
    return "\r\n".join([*head, "", ""]).encode() + body


class Provider:
    """A server that says what it is told to, and counts."""

    def __init__(self) -> None:
        self.speak: Speak = self.saying(answer(keyset(ONE)))
        self.asked = 0
        self.sent = 0
        self.url = ""

    def saying(self, text: bytes) -> Speak:
        async def speak(writer: asyncio.StreamWriter) -> None:
            writer.write(text)
            self.sent += len(text)

        return speak

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                self.asked += 1
                await self.speak(writer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    made = Provider()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys"
    yield made
    server.close()


@pytest.fixture
async def outbound() -> AsyncIterator[Outbound]:
    made = Outbound()
    yield made
    await made.close()


async def silence(_: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


def dripping(text: bytes) -> Speak:
    async def speak(writer: asyncio.StreamWriter) -> None:
        for at in range(len(text)):
            writer.write(text[at : at + 1])
            await asyncio.sleep(0.02)

    return speak


def flooding(start: bytes, piece: bytes) -> Callable[[Provider], Speak]:
    def of(provider: Provider) -> Speak:
        async def speak(writer: asyncio.StreamWriter) -> None:
            writer.write(start)
            while True:
                writer.write(piece)
                provider.sent += len(piece)
                await writer.drain()

        return speak

    return of


async def hanging_up(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def half_a_body(writer: asyncio.StreamWriter) -> None:
    writer.write(answer(keyset(TWO)[:40], length=4000))
    await writer.drain()
    writer.close()


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

TROUBLES: dict[str, Callable[[Provider], Speak]] = {
    "it says nothing": lambda _: silence,
    "one byte after the other": lambda _: dripping(answer(keyset(TWO))),
    "a head without end": flooding(b"HTTP/1.1 200 OK\r\n", b"X-More: " + b"y" * 4000 + b"\r\n"),
    "a body without end": flooding(CHUNKED, b"1000\r\n" + b" " * 4096 + b"\r\n"),
    "a bomb": lambda p: p.saying(answer(gzip.compress(b" " * (64 * MAX_BYTES)), "Content-Encoding: gzip")),
    "not what it says it is": lambda p: p.saying(answer(keyset(TWO), "Content-Encoding: gzip")),
    "it hangs up": lambda _: hanging_up,
    "half a body": lambda _: half_a_body,
    "no HTTP": lambda p: p.saying(b"220 mail.example ESMTP\r\n\r\n" * 40),
    "TLS": lambda p: p.saying(bytes.fromhex("15030300020228") * 3),
    "a login page": lambda p: p.saying(answer(b"<html>Sign in</html>", "Content-Type: text/html")),
    "an error with keys": lambda p: p.saying(answer(keyset(TWO), status="500 Oops")),
    "nothing there": lambda p: p.saying(answer(b"", status="204 No Content")),
    "elsewhere": lambda p: p.saying(answer(b"", "Location: http://127.0.0.2:9/keys", status="302 Found")),
    "in circles": lambda p: p.saying(answer(b"", "Location: /keys", status="302 Found")),
    "a file": lambda p: p.saying(answer(b"", "Location: file:///etc/passwd", status="302 Found")),
    "not JSON": lambda p: p.saying(answer(b"\xff\xfe{\x00")),
    "deep": lambda p: p.saying(answer(b'{"keys":' + b"[" * 100_000)),
    "too many": lambda p: p.saying(answer(json.dumps({"keys": [TWO.jwk()] * 51}).encode())),
}


@pytest.mark.item("E6")
@pytest.mark.parametrize("trouble", TROUBLES)
async def test_whatever_its_server_does_the_call_ends_and_the_old_keys_stay(
    trouble: str, provider: Provider, outbound: Outbound, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys, told = ForeignKeys(), []
    fetcher = KeyFetcher(
        Place("idp", provider.url, provider.url, ("ES256",), 600.0, insecure=True),
        keys,
        outbound,
        monotonic=asyncio.get_running_loop().time,
        renew=lambda: told.append("renewed"),
        event=lambda event, _facts: told.append(event),
    )
    await fetcher.refresh()
    assert keys.find(ONE.kid, "ES256") is not None
    monkeypatch.setattr(fetching, "TIMEOUT", 0.4)
    told.clear()
    provider.speak, provider.asked, provider.sent = TROUBLES[trouble](provider), 0, 0
    async with asyncio.timeout(20):
        await fetcher.refresh()
    assert told == ["jwks_failed"]
    assert fetcher.failures == 1
    assert keys.find(ONE.kid, "ES256") is not None
    assert keys.find(TWO.kid, "ES256") is None
    assert provider.asked <= 5  # a broken kept connection is asked once more; redirects end after three
    assert provider.sent < 64 * MAX_BYTES
    # And when it is well again, everything goes on.
    provider.speak = provider.saying(answer(keyset(TWO)))
    await fetcher.refresh()
    assert told == ["jwks_failed", "jwks_back", "renewed", "jwks_changed"]
    assert keys.find(TWO.kid, "ES256") is not None
    await fetcher.stop()
