"""The HTTP client against real servers on this machine, well-behaved and not."""

import asyncio
import gzip
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.outbound.client import REASONS, Answer, Failed, Outbound

RawServer = Callable[[bytes], Awaitable[str]]


@pytest.fixture
async def outbound() -> AsyncIterator[Outbound]:
    outbound = Outbound()
    yield outbound
    await outbound.close()


async def echo(request: web.Request) -> web.Response:
    fields = [f"{name}: {value}" for name, value in request.headers.items()]
    return web.Response(text="\n".join([request.raw_path, *fields]), headers={"Set-Cookie": "a=b", "X-Kind": "echo"})


def service() -> web.Application:
    async def size(request: web.Request) -> web.Response:
        return web.Response(body=b"x" * int(request.match_info["size"]))

    async def endless(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        while True:
            await answer.write(b"x" * 4096)
            await asyncio.sleep(0.001)

    async def slow_body(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"x")
        await asyncio.sleep(60)
        return answer

    async def bomb(request: web.Request) -> web.Response:
        return web.Response(body=gzip.compress(bytes(8 * 1024 * 1024)), headers={"Content-Encoding": "gzip"})

    async def status(request: web.Request) -> web.Response:
        return web.Response(status=int(request.match_info["status"]), headers={"Location": "/echo"})

    app = web.Application()
    app.router.add_get("/size/{size}", size)
    app.router.add_get("/endless", endless)
    app.router.add_get("/slow", slow_body)
    app.router.add_get("/bomb", bomb)
    app.router.add_get("/status/{status}", status)
    app.router.add_get("/{path:.*}", echo)
    return app


@pytest.fixture
async def server() -> AsyncIterator[str]:
    server = TestServer(service())
    await server.start_server(shutdown_timeout=0.05)
    yield str(server.make_url("")).rstrip("/")
    await server.close()


@pytest.fixture
async def raw() -> AsyncIterator[RawServer]:
    """A server that reads a request, answers with the given bytes and closes; b"" says nothing and stays."""
    servers: list[asyncio.Server] = []
    writers: list[asyncio.StreamWriter] = []

    async def start(answer: bytes) -> str:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            await reader.readuntil(b"\r\n\r\n")
            if answer:
                writer.write(answer)
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        servers.append(server)
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"

    yield start
    for server in servers:
        server.close()
    for writer in writers:
        writer.close()


async def get(outbound: Outbound, url: str, *, timeout: float = 2.0, max_bytes: int = 100_000) -> Answer | Failed:
    return await outbound.get(url, timeout=timeout, max_bytes=max_bytes)


class TestPost:
    async def test_a_body_is_sent_once_with_its_type_and_no_redirect_is_followed(self, outbound: Outbound) -> None:
        seen: list[tuple[str, bytes, str]] = []

        async def keep(request: web.Request) -> web.Response:
            seen.append((request.raw_path, await request.read(), request.headers["Content-Type"]))
            return web.Response(status=307, headers={"Location": "/elsewhere"}, body=b"there")

        app = web.Application()
        app.router.add_post("/{path:.*}", keep)
        server = TestServer(app)
        await server.start_server(shutdown_timeout=0.05)
        url = str(server.make_url("/a?b=%41")).replace("b=A", "b=%41")
        answer = await outbound.post(
            url, b'{"x": 1}', timeout=20, max_bytes=100, headers={"Content-Type": "application/json"}
        )
        assert isinstance(answer, Answer)
        assert (answer.status, answer.body) == (307, b"there")
        assert seen == [("/a?b=%41", b'{"x": 1}', "application/json")]
        await server.close()

    async def test_a_connection_that_ends_without_an_answer_is_not_asked_again(
        self, outbound: Outbound, raw: RawServer
    ) -> None:
        url = await raw(b"HTTP/1.1 ")
        assert isinstance(await outbound.post(url, b"x", timeout=20, max_bytes=100, headers={}), Failed)


class TestAnswers:
    async def test_an_answer_is_status_fields_and_body(self, outbound: Outbound, server: str) -> None:
        answer = await get(outbound, f"{server}/echo")

        assert isinstance(answer, Answer)
        assert answer.status == 200
        assert answer.headers["x-kind"] == "echo"
        assert answer.body.startswith(b"/echo\n")

    async def test_the_url_is_sent_as_it_is_written(self, outbound: Outbound, server: str) -> None:
        answer = await get(outbound, f"{server}/a%2Fb/%7euser/%20?q=%41+b")

        assert isinstance(answer, Answer)
        assert answer.body.startswith(b"/a%2Fb/%7euser/%20?q=%41+b\n")

    async def test_given_fields_are_sent_and_host_can_be_one_of_them(self, outbound: Outbound, server: str) -> None:
        answer = await outbound.get(
            f"{server}/echo", timeout=2, max_bytes=1000, headers={"Host": "orders.internal", "X-Asked": "yes"}
        )

        assert isinstance(answer, Answer)
        assert b"Host: orders.internal" in answer.body
        assert b"X-Asked: yes" in answer.body
        assert b"User-Agent: jwt-gateway/" in answer.body

    async def test_cookies_are_not_kept(self, outbound: Outbound, server: str) -> None:
        await get(outbound, f"{server}/echo")
        answer = await get(outbound, f"{server}/echo")

        assert isinstance(answer, Answer)
        assert b"cookie" not in answer.body.lower()

    async def test_a_redirect_is_an_answer_and_not_followed(self, outbound: Outbound, server: str) -> None:
        answer = await get(outbound, f"{server}/status/302")

        assert isinstance(answer, Answer)
        assert (answer.status, answer.headers["Location"]) == (302, "/echo")

    @pytest.mark.parametrize("status", [404, 500, 503])
    async def test_a_bad_status_is_an_answer_too(self, outbound: Outbound, server: str, status: int) -> None:
        answer = await get(outbound, f"{server}/status/{status}")

        assert isinstance(answer, Answer)
        assert answer.status == status

    async def test_the_environment_names_no_proxy(
        self, outbound: Outbound, server: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

        assert isinstance(await get(outbound, f"{server}/echo"), Answer)

    async def test_a_connection_is_used_again(self, outbound: Outbound) -> None:
        ports: set[int] = set()

        async def port(request: web.Request) -> web.Response:
            assert request.transport is not None
            ports.add(request.transport.get_extra_info("peername")[1])
            return web.Response()

        app = web.Application()
        app.router.add_get("/", port)
        async with TestServer(app) as server:
            for _ in range(3):
                assert isinstance(await get(outbound, str(server.make_url("/"))), Answer)

        assert len(ports) == 1


class TestBounds:
    async def test_a_body_of_exactly_the_limit_passes(self, outbound: Outbound, server: str) -> None:
        answer = await get(outbound, f"{server}/size/200000", max_bytes=200_000)

        assert isinstance(answer, Answer)
        assert len(answer.body) == 200_000

    async def test_one_byte_more_is_too_much(self, outbound: Outbound, server: str) -> None:
        assert await get(outbound, f"{server}/size/200001", max_bytes=200_000) == Failed("too_large", 200)

    async def test_an_endless_body_ends_at_the_limit(self, outbound: Outbound, server: str) -> None:
        assert await get(outbound, f"{server}/endless", max_bytes=10_000) == Failed("too_large", 200)

    async def test_compression_is_not_asked_for(self, outbound: Outbound, server: str) -> None:
        answer = await get(outbound, f"{server}/echo")

        assert isinstance(answer, Answer)
        assert b"Accept-Encoding: identity" in answer.body

    async def test_what_comes_compressed_unasked_stays_so(self, outbound: Outbound, server: str) -> None:
        answer = await get(outbound, f"{server}/bomb")

        assert isinstance(answer, Answer)
        assert len(answer.body) < 50_000

    async def test_the_limit_counts_what_was_decompressed(self, outbound: Outbound, server: str) -> None:
        url = f"{server}/bomb"

        bombed = await outbound.get(url, timeout=2, max_bytes=100_000, decompress=True)
        whole = await outbound.get(url, timeout=5, max_bytes=8 * 1024 * 1024, decompress=True)

        assert bombed == Failed("too_large", 200)
        assert isinstance(whole, Answer)
        assert whole.body == bytes(8 * 1024 * 1024)

    async def test_the_deadline_holds_while_waiting_for_an_answer(self, outbound: Outbound, raw: RawServer) -> None:
        assert await get(outbound, await raw(b""), timeout=0.05) == Failed("timeout")

    async def test_the_deadline_holds_in_the_middle_of_a_body(self, outbound: Outbound, server: str) -> None:
        assert await get(outbound, f"{server}/slow", timeout=0.1) == Failed("timeout", 200)

    async def test_the_deadline_holds_while_connecting(self, outbound: Outbound) -> None:
        """A listener whose queue is full takes no part in the handshake any more."""
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            address = full.getsockname()
            waiting = [socket.socket() for _ in range(4)]
            for one in waiting:
                one.setblocking(False)
                one.connect_ex(address)
            answer = await get(outbound, f"http://127.0.0.1:{address[1]}/", timeout=0.1)
            for one in waiting:
                one.close()

        assert answer in (Failed("connect_timeout"), Failed("timeout"))

    async def test_being_cancelled_is_not_trouble_of_the_network(self, outbound: Outbound, raw: RawServer) -> None:
        task = asyncio.create_task(get(outbound, await raw(b""), timeout=5))
        await asyncio.sleep(0.02)
        task.cancel()

        with pytest.raises(asyncio.CancelledError):
            await task


class TestTrouble:
    async def test_a_closed_port(self, outbound: Outbound) -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{closed.getsockname()[1]}/"

            assert await get(outbound, url) == Failed("connect")

    async def test_a_missing_socket(self, outbound: Outbound, tmp_path: Path) -> None:
        answer = await outbound.get("http://localhost/", timeout=1, max_bytes=10, unix=str(tmp_path / "none"))

        assert answer == Failed("connect")

    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            pytest.param(b"\x00\x01\x02 hello\r\n\r\n", "protocol", id="no http"),
            pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\n", "protocol", id="bad length"),
            pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "body", id="cut body"),
            pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "protocol", id="bad chunk"),
            pytest.param(b"HTTP/1.1 200 OK\r\nX: ", "reset", id="cut head"),
        ],
    )
    async def test_an_answer_that_is_none(self, outbound: Outbound, raw: RawServer, answer: bytes, reason: str) -> None:
        failed = await get(outbound, await raw(answer))

        assert isinstance(failed, Failed)
        assert failed.reason == reason

    @pytest.mark.parametrize(
        "url",
        [
            pytest.param("", id="empty"),
            pytest.param("/path", id="no host"),
            pytest.param("ftp://host/", id="another scheme"),
            pytest.param("http://[::1/", id="broken address"),
            pytest.param("http://host:port/", id="no port"),
        ],
    )
    async def test_a_url_that_is_none(self, outbound: Outbound, url: str) -> None:
        assert await get(outbound, url) == Failed("url")

    @pytest.mark.parametrize(
        "host",
        [
            pytest.param("name.invalid", id="unknown"),
            pytest.param(f"{'a' * 64}.example", id="too long a label"),
        ],
    )
    async def test_a_name_that_nobody_has(self, outbound: Outbound, host: str) -> None:
        failed = await get(outbound, f"http://{host}/")

        assert isinstance(failed, Failed)
        assert failed.reason in ("dns", "url", "timeout")

    async def test_running_out_of_descriptors_is_our_own_trouble(
        self, outbound: Outbound, server: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def exhausted(*args: object, **kwargs: object) -> socket.socket:
            raise OSError(24, "Too many open files")

        monkeypatch.setattr(socket, "socket", exhausted)

        assert await get(outbound, f"{server}/echo") == Failed("local")

    async def test_after_closing_nothing_is_asked_any_more(self, outbound: Outbound, server: str) -> None:
        await get(outbound, f"{server}/echo")
        await outbound.close()

        assert await get(outbound, f"{server}/echo") == Failed("closed")

    async def test_every_reason_has_a_name(self) -> None:
        assert {"connect", "connect_timeout", "timeout", "dns", "tls", "reset", "protocol", "too_large"} <= REASONS


class TestUnixSockets:
    async def test_a_service_on_a_socket_is_asked_by_its_path(self, outbound: Outbound) -> None:
        # Not tmp_path: it may be longer than the 107 bytes a socket's path can have.
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/s"
            runner = web.AppRunner(service())
            await runner.setup()
            await web.UnixSite(runner, path).start()
            answer = await outbound.get(
                "http://localhost/healthz", timeout=2, max_bytes=1000, headers={"Host": "orders"}, unix=path
            )
            await runner.cleanup()

        assert isinstance(answer, Answer)
        assert answer.body.startswith(b"/healthz\nHost: orders\n")


@pytest.fixture(scope="module")
def certificate() -> Iterator[tuple[Path, Path]]:
    """A certificate for the name orders.internal, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "orders.internal")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("orders.internal")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    with tempfile.TemporaryDirectory() as folder:
        certificate_file, key_file = Path(folder, "c.pem"), Path(folder, "k.pem")
        certificate_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        yield certificate_file, key_file


@pytest.fixture
async def secure_server(certificate: tuple[Path, Path]) -> AsyncIterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server = TestServer(service(), scheme="https")
    await server.start_server(ssl=context, shutdown_timeout=0.05)
    yield f"https://127.0.0.1:{server.port}/echo"
    await server.close()


class TestTls:
    async def test_a_certificate_of_nobody_we_know_is_refused(self, outbound: Outbound, secure_server: str) -> None:
        assert await get(outbound, secure_server) == Failed("tls")

    async def test_a_given_authority_and_name_are_believed(
        self, outbound: Outbound, secure_server: str, certificate: tuple[Path, Path]
    ) -> None:
        context = ssl.create_default_context(cafile=str(certificate[0]))

        answer = await outbound.get(
            secure_server, timeout=2, max_bytes=1000, ssl=context, server_name="orders.internal"
        )
        assert isinstance(answer, Answer)

    async def test_a_certificate_for_another_name_is_refused(
        self, outbound: Outbound, secure_server: str, certificate: tuple[Path, Path]
    ) -> None:
        context = ssl.create_default_context(cafile=str(certificate[0]))

        assert await outbound.get(secure_server, timeout=2, max_bytes=1000, ssl=context) == Failed("tls")
