"""The listener's certificates: chosen by name, replaced without anybody noticing, and never by a bad one."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.proxy.downstream import Downstream
from gateway.proxy.engine import Limits
from gateway.proxy.server import Server
from gateway.proxy.tls import Certificates, Pair
from gateway.tokens.certificates import read_certificate
from tests.proxy.certificates import Authority
from tests.proxy.harness import PATIENCE, House, get, house, settle, until


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def loaded(*pairs: Pair) -> Certificates:
    return Certificates(pairs, lambda pem, place: read_certificate(pem, place).names)


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Listener:
    """A TLS listener, and clients that tell which certificate they were shown."""

    def __init__(self, port: int, authority: Authority) -> None:
        self._port = port
        self._authority = authority
        self.streams: list[Stream] = []

    async def connect(self, name: str | None, *, version: ssl.TLSVersion | None = None) -> Stream:
        context = ssl.create_default_context(cafile=str(self._authority.file))
        context.check_hostname = False
        if version is not None:
            context.minimum_version = context.maximum_version = version
        async with asyncio.timeout(PATIENCE):
            stream = await asyncio.open_connection("127.0.0.1", self._port, ssl=context, server_hostname=name or "")
        self.streams.append(stream)
        return stream

    async def shown(self, name: str | None) -> set[str]:
        """Connect, asking for *name*; return the names of the certificate that was shown."""
        stream = await self.connect(name)
        return names_of(stream)


def names_of(stream: Stream) -> set[str]:
    return {value for _, value in stream[1].get_extra_info("peercert")["subjectAltName"]}


async def ask(stream: Stream) -> bytes:
    reader, writer = stream
    writer.write(get())
    async with asyncio.timeout(PATIENCE):
        head = await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(2) == b"ok"
    return head.split(b"\r\n")[0]


@asynccontextmanager
async def listener(made: House, certificates: Certificates, authority: Authority) -> AsyncIterator[Listener]:
    server = await asyncio.get_running_loop().create_server(
        lambda: Downstream(made.engine, secure=True), "127.0.0.1", 0, ssl=certificates.context
    )
    listening = Listener(server.sockets[0].getsockname()[1], authority)
    try:
        yield listening
    finally:
        for _, writer in listening.streams:
            writer.transport.abort()
        server.close()
        await until(lambda: not made.engine.connections)
        await settle(30)


async def test_the_name_a_client_asks_for_chooses_the_certificate(house: House, authority: Authority) -> None:
    pairs = [authority.issue("gw.test", "www.gw.test"), authority.issue("api.test"), authority.issue("*.wild.test")]
    async with listener(house, loaded(*pairs), authority) as here:
        for asked, shown in {
            "gw.test": {"gw.test", "www.gw.test"},
            "www.gw.test": {"gw.test", "www.gw.test"},
            "api.test": {"api.test"},
            "API.test": {"api.test"},
            "a.wild.test": {"*.wild.test"},
            "b.wild.test": {"*.wild.test"},
            "a.b.wild.test": {"gw.test", "www.gw.test"},
            "wild.test": {"gw.test", "www.gw.test"},
            "unknown.test": {"gw.test", "www.gw.test"},
            None: {"gw.test", "www.gw.test"},
        }.items():
            assert await here.shown(asked) == shown, asked


async def test_an_exact_name_goes_before_a_wildcard(house: House, authority: Authority) -> None:
    pairs = [authority.issue("gw.test"), authority.issue("*.wild.test"), authority.issue("one.wild.test")]
    async with listener(house, loaded(*pairs), authority) as here:
        assert await here.shown("one.wild.test") == {"one.wild.test"}
        assert await here.shown("two.wild.test") == {"*.wild.test"}


@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize("asked", ["first.test", "second.test", None])
async def test_a_renewed_certificate_is_for_the_next_handshake_and_drops_nobody(
    house: House, authority: Authority, at: int, asked: str | None
) -> None:
    names = ["first.test", "second.test"]
    pairs = [authority.issue(name, folder=name) for name in names]
    certificates = loaded(*pairs)
    async with listener(house, certificates, authority) as here:
        before = await here.connect(asked)
        assert await ask(before) == b"HTTP/1.1 200 OK"
        assert certificates.refresh() is False
        authority.issue(names[at], "renewed.test", folder=names[at])
        assert certificates.refresh() is True
        assert certificates.refresh() is False
        chosen = 1 if asked == "second.test" else 0
        renewed = {"renewed.test"} if chosen == at else set()
        assert await here.shown(asked) == {names[chosen]} | renewed
        assert await here.shown("renewed.test") == ({names[at], "renewed.test"})
        assert await ask(before) == b"HTTP/1.1 200 OK"
        assert names_of(before) == {names[chosen]}


@pytest.mark.parametrize("how", ["rubbish", "another's key", "gone", "unreadable as a key", "half written"])
@pytest.mark.parametrize("at", [0, 1])
async def test_a_bad_new_certificate_leaves_the_old_one_in_use(
    house: House, authority: Authority, how: str, at: int
) -> None:
    names = ["first.test", "second.test"]
    pairs = [authority.issue(name, folder=name) for name in names]
    certificates = loaded(*pairs)
    kept = pairs[at].certificate.read_bytes(), pairs[at].key.read_bytes()
    async with listener(house, certificates, authority) as here:
        match how:
            case "rubbish":
                pairs[at].certificate.write_text("rubbish")
            case "another's key":
                pairs[at].key.write_bytes(authority.issue("other.test").key.read_bytes())
            case "gone":
                pairs[at].key.unlink()
            case "unreadable as a key":
                pairs[at].key.write_bytes(kept[0])
            case "half written":
                pairs[at].certificate.write_bytes(kept[0][: len(kept[0]) // 2])
        for _ in range(2):
            with pytest.raises(ConfigError, match=names[at]):
                certificates.refresh()
        for name in (*names, None):
            stream = await here.connect(name)
            assert names_of(stream) == {name or names[0]}
            assert await ask(stream) == b"HTTP/1.1 200 OK"
        pairs[at].certificate.write_bytes(kept[0])
        pairs[at].key.write_bytes(kept[1])
        assert certificates.refresh() is True


async def test_files_that_are_replaced_by_renaming_are_noticed_even_at_the_same_time_and_size(
    house: House, authority: Authority
) -> None:
    pair = authority.issue("first.test", folder="live")
    stamp = pair.certificate.stat()
    certificates = loaded(pair)
    other = authority.issue("other.test", folder="next")
    for new, old in zip(other, pair, strict=True):
        os.replace(new, old)
        os.utime(old, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert certificates.refresh() is True
    async with listener(house, certificates, authority) as here:
        assert await here.shown(None) == {"other.test"}


@pytest.mark.parametrize("how", ["no certificate", "no key", "rubbish"])
def test_a_listener_with_a_bad_certificate_does_not_start(authority: Authority, how: str) -> None:
    pair = authority.issue("gw.test", folder="gw")
    if how == "rubbish":
        pair.certificate.write_text("rubbish")
    else:
        (pair.certificate if how == "no certificate" else pair.key).unlink()
    with pytest.raises(ConfigError, match=r"server\.tls: .*gw"):
        loaded(pair)


async def test_both_versions_of_tls_that_are_any_good_are_spoken(house: House, authority: Authority) -> None:
    async with listener(house, loaded(authority.issue("gw.test")), authority) as here:
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            stream = await here.connect("gw.test", version=version)
            assert stream[1].get_extra_info("ssl_object").version() == version.name.replace("_", ".")
            assert await ask(stream) == b"HTTP/1.1 200 OK"


async def test_a_handshake_that_is_not_finished_is_given_up(authority: Authority) -> None:
    """Before it is, there is no connection that the wheel could end."""
    async with house(limits=Limits(head_timeout=0.05)) as made:
        server = Server(made.engine, lambda: None)
        port = await server.listen("127.0.0.1", 0, loaded(authority.issue("gw.test")).context)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\x16\x03\x01")
        async with asyncio.timeout(PATIENCE):
            assert await reader.read() == b""
        writer.close()
        server.stop()
