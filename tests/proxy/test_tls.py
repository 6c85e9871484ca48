"""Clients over TLS: the same protocol, and the same care about how an answer ends."""

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.proxy.downstream import Downstream
from tests.proxy.harness import PATIENCE, RESET, House, get, post, settle, until


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and a client's context; the client trusts just this server."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gw.test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("gw.test")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path: Path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(path)
    return server, ssl.create_default_context(cafile=path)


@asynccontextmanager
async def connection(
    house: House, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A client's connection to a TLS listener of *house*."""
    server = await asyncio.get_running_loop().create_server(
        lambda: Downstream(house.engine, secure=True), "127.0.0.1", 0, ssl=contexts[0]
    )
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=contexts[1], server_hostname="gw.test")
    try:
        async with asyncio.timeout(PATIENCE):
            yield reader, writer
    finally:
        writer.transport.abort()
        server.close()
        await until(lambda: not house.engine.connections)
        await settle(30)


Contexts = tuple[ssl.SSLContext, ssl.SSLContext]


async def test_a_request_over_tls_is_told_apart_for_the_upstream(house: House, contexts: Contexts) -> None:
    async with connection(house, contexts) as (reader, writer):
        for _ in range(2):
            writer.write(get("/api/x", token="good"))
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
            assert await reader.readexactly(2) == b"ok"
    assert [request.values("x-forwarded-proto") for request in house.origin.requests] == [[b"https"]] * 2


@pytest.mark.parametrize("minor", [0, 1])
async def test_an_answer_that_stops_does_not_end_the_session_cleanly(
    house: House, contexts: Contexts, minor: int
) -> None:
    more = asyncio.Event()
    house.origin.says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", more, RESET)
    async with connection(house, contexts) as (reader, writer):
        writer.write(get(version=f"1.{minor}"))
        await reader.readuntil(b"hello")
        more.set()
        with pytest.raises((ConnectionResetError, ssl.SSLError)):
            await reader.read()


async def test_an_answer_that_ends_with_the_connection_ends_the_session_cleanly(
    house: House, contexts: Contexts
) -> None:
    house.origin.says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    async with connection(house, contexts) as (reader, writer):
        writer.write(get(version="1.0"))
        assert (await reader.read()).endswith(b"\r\n\r\nhello")


async def test_a_refusal_is_read_before_the_connection_goes(house: House, contexts: Contexts) -> None:
    async with connection(house, contexts) as (reader, writer):
        writer.write(post("/api/x", bytes(1000))[:-1])
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 401 ")
        assert b"Connection: close" in head
        await settle(20)
        house.turn(2.0)
        await reader.read()


async def test_a_client_that_ends_the_session_has_left(house: House, contexts: Contexts) -> None:
    """TLS closes both directions at once: there is no half-close to wait behind."""
    house.origin.says(asyncio.Event())
    async with connection(house, contexts) as (_, writer):
        writer.write(get())
        await until(lambda: house.origin.requests)
        writer.close()
        await until(lambda: house.records)
        assert house.record.status == 499
        await until(lambda: house.origin.lines[0].ended)
