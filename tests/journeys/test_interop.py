"""Three servers that nobody here wrote behind the gateway, three clients that nobody here wrote in front of it.

Most tests ask twice, once the service itself and once through the gateway, and expect the same answer: what a service
gets and what its clients get are as if the gateway were not there, but for the fields that say who is asking.
"""

import contextlib
import filecmp
import os
import random
import re
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.journeys.clients import CLIENTS, Answer, Client
from tests.journeys.house import Gateway, Program, configuration, free_port, outside, running
from tests.journeys.shop import SERVERS
from tests.journeys.shop.goods import COOKIES, LINES, LOCATION, PAGE
from tests.programs import find, missing, require

MIB = 1024 * 1024

OF_EACH_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "x-request-id"}
"""Fields that may differ between the two ways; those that say how long the body is are compared by themselves."""

NOBODYS_BUSINESS = {"server", "x-powered-by"}
"""What a service runs on, which the gateway does not pass on (OWASP: Fingerprint Web Server)."""


class Stage(NamedTuple):
    """A service, its address behind the gateway, and the gateway with somebody logged in."""

    name: str
    service: str
    folder: Path
    gateway: Gateway
    bearer: Mapping[str, str]

    @property
    def through(self) -> str:
        return self.gateway.url


Stages = Mapping[str, Stage]


def installed(name: str) -> bool:
    return name == "uvicorn" or find(name) is not None


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stages]:
    """The servers that are installed, and one gateway in front of them all."""
    folder = tmp_path_factory.mktemp("interop")
    with contextlib.ExitStack() as exits:
        services = {name: exits.enter_context(SERVERS[name](folder / name)) for name in SERVERS if installed(name)}
        text = configuration(
            folder / "gateway",
            upstreams=services,
            routes="\n".join(
                f"  - {{path: /{name}/**, to: {name}, roles: [user], body: 2MiB, allow_encoded_slash: true}}"
                for name in services
            ),
        )
        gateway = exits.enter_context(running(folder / "gateway", text))
        bearer = gateway.login().bearer
        yield {name: Stage(name, url, folder / name, gateway, bearer) for name, url in services.items()}
        assert gateway.faults() == []


@pytest.fixture(params=SERVERS)
def stage(request: pytest.FixtureRequest, stages: Stages) -> Stage:
    """One server after the other."""
    name: str = request.param
    if name not in stages:
        missing(name)
    return stages[name]


@pytest.fixture(scope="module")
def clients() -> Iterator[dict[str, Client]]:
    """The clients that have been needed so far."""
    made: dict[str, Client] = {}
    yield made
    for client in made.values():
        client.close()


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest, clients: dict[str, Client]) -> Client:
    """One client after the other."""
    name: str = request.param
    if name not in clients:
        clients[name] = CLIENTS[name]()
    return clients[name]


class Pair:
    """One client that asks the same thing directly and through the gateway."""

    def __init__(self, stage: Stage, client: Client) -> None:
        self.stage = stage
        self._client = client

    def both(
        self,
        method: str,
        path: str,
        fields: Mapping[str, str] | None = None,
        body: bytes | None = None,
        *,
        chunked: bool = False,
    ) -> Answer:
        """Ask both; assert that the answers are the same, and return the one through the gateway."""
        direct = self.direct(method, path, fields, body, chunked=chunked)
        through = self.through(method, path, fields, body, chunked=chunked)
        assert told(through) == told(direct)
        assert through.body == direct.body
        assert through.one("X-Request-Id")
        assert not NOBODYS_BUSINESS & {name.lower() for name, _ in through.fields}
        return through

    def direct(
        self,
        method: str,
        path: str,
        fields: Mapping[str, str] | None = None,
        body: bytes | None = None,
        *,
        chunked: bool = False,
    ) -> Answer:
        """Ask the service itself, claiming to be alice as the gateway would."""
        url = f"{self.stage.service}/{self.stage.name}/{path}"
        return self._client.ask(method, url, {**(fields or {}), "X-User-Id": "alice"}, body, chunked=chunked)

    def through(
        self,
        method: str,
        path: str,
        fields: Mapping[str, str] | None = None,
        body: bytes | None = None,
        *,
        chunked: bool = False,
    ) -> Answer:
        """Ask the gateway, with alice's token."""
        url = f"{self.stage.through}/{self.stage.name}/{path}"
        return self._client.ask(method, url, {**(fields or {}), **self.stage.bearer}, body, chunked=chunked)


@pytest.fixture
def pair(stage: Stage, client: Client) -> Pair:
    return Pair(stage, client)


def told(answer: Answer) -> tuple[int, str, str, list[tuple[str, str]]]:
    """Return what an answer says beside its body: status, framing, and the fields as they came, names and all."""
    fields = [(name, value) for name, value in answer.fields if name.lower() not in OF_EACH_HOP | NOBODYS_BUSINESS]
    return answer.status, answer.one("Content-Length"), answer.one("Transfer-Encoding"), fields


def test_get(pair: Pair) -> None:
    answer = pair.both("GET", "page")
    assert (answer.status, answer.body, answer.one("Content-Length")) == (200, PAGE, str(len(PAGE)))
    assert len(answer.all("Date")) == 1


def test_head_tells_the_length_and_sends_nothing(pair: Pair) -> None:
    answer = pair.both("HEAD", "page")
    assert (answer.status, answer.body, answer.one("Content-Length")) == (200, b"", str(len(PAGE)))
    assert pair.both("GET", "page").body == PAGE


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "GET"])
def test_a_method_and_its_body_arrive_as_they_were_sent(pair: Pair, method: str) -> None:
    body = f"the body of a {method}, on one line".encode()
    answer = pair.both(method, "echo/thing", body=body)
    assert (answer.status, answer.body, answer.one("X-Method")) == (200, body, method)
    assert answer.one("X-Framing") == str(len(body))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_a_method_without_a_body(pair: Pair, method: str) -> None:
    answer = pair.through(method, "echo/thing")
    assert (answer.status, answer.body, answer.one("X-Method")) == (200, b"", method)
    assert answer.one("X-Framing") in ("", "0")


def test_the_service_learns_who_asks_and_never_sees_the_token(pair: Pair) -> None:
    answer = pair.both("GET", "echo/me", {"X-Plain": "kept"})
    assert (answer.one("X-User"), answer.all("X-Token")) == ("alice", [])
    assert answer.one("X-Host") == pair.stage.service.removeprefix("http://")


def test_204_has_no_body_and_says_nothing_about_one(pair: Pair) -> None:
    answer = pair.both("GET", "empty")
    assert (answer.status, answer.body) == (204, b"")
    assert (answer.all("Content-Length"), answer.all("Transfer-Encoding")) == ([], [])
    assert pair.both("DELETE", "empty").status == 204


def test_304_for_who_has_it_already(pair: Pair) -> None:
    tag = pair.both("GET", "page").one("ETag")
    assert tag
    answer = pair.both("GET", "page", {"If-None-Match": tag})
    assert (answer.status, answer.body, answer.one("ETag")) == (304, b"", tag)
    assert pair.both("GET", "page", {"If-None-Match": '"another"'}).status == 200


def test_redirects_are_the_clients_business(pair: Pair) -> None:
    away = pair.both("GET", "moved")
    assert (away.status, away.one("Location")) == (302, LOCATION)
    near = pair.both("POST", "moved-here", body=b"keep me")
    assert (near.status, near.one("Location")) == (308, "page?again=1")


def test_set_cookie_stays_as_it_is_and_in_order(pair: Pair) -> None:
    assert pair.both("GET", "cookies").all("Set-Cookie") == list(COOKIES)


def test_a_services_own_error_is_not_the_gateways(pair: Pair) -> None:
    answer = pair.both("GET", "broken")
    assert (answer.status, answer.one("Retry-After"), answer.body) == (503, "7", b"out of order\n")
    assert answer.all("X-Gateway-Error") == []


def test_a_chunked_request_arrives_chunked(pair: Pair) -> None:
    body = b"a body of unknown length" * 1000
    answer = pair.both("POST", "echo/chunked", body=body, chunked=True)
    assert (answer.status, answer.one("X-Framing")) == (200, "chunked")
    assert answer.body == body


def test_a_chunked_answer_stays_chunked(pair: Pair) -> None:
    answer = pair.both("GET", "lines")
    assert (answer.status, answer.one("Transfer-Encoding"), answer.all("Content-Length")) == (200, "chunked", [])
    assert answer.body == b"".join(LINES)


@pytest.mark.parametrize("chunked", [False, True], ids=["counted", "chunked"])
def test_any_bytes_can_be_put_fetched_and_deleted(pair: Pair, chunked: bool) -> None:
    body = random.Random(7).randbytes(300_000)
    steps: list[tuple[str, bytes | None]] = [("PUT", body), ("PUT", body), ("GET", None), ("DELETE", None)]

    def walk(directly: bool) -> list[tuple[int, str, str, list[tuple[str, str]]]]:
        heard = []
        for method, sent in steps:
            ask = pair.direct if directly else pair.through
            answer = ask(method, "files/any", body=sent, chunked=chunked and sent is not None)
            # A file server tells when a file was written, and that differs.
            heard.append(told(answer._replace(fields=tuple(f for f in answer.fields if f[0] not in WHEN))))
            if method == "GET":
                assert answer.body == body
        assert pair.direct("GET", "files/any").status == 404
        return heard

    directly = walk(True)
    assert [step[0] for step in directly] == [201, 204, 200, 204]
    assert walk(False) == directly


WHEN = ("Last-Modified", "ETag")

ODD_TARGETS = (
    "echo/",
    "echo/.../.well-known/a~b/c-d_e.f/!$&'()*+,=:@/",
    "echo/%C3%A9t%C3%A9/%F0%9F%90%8D/a%20b%23c%3Fd/one%2Ftwo/100%25",
    "echo/x?a=1&a=2&b&=c&&q=%2F%2f%7e%41+~;c=%00%FF",
    "echo/x?url=http://other.example/y?z=1&a[]=1&b={2}&c=|^`",
    "echo/x?" + "q=" + "0123456789" * 400,
)


@pytest.mark.parametrize("target", ODD_TARGETS, ids=range(len(ODD_TARGETS)))
def test_an_odd_but_legal_target_arrives_byte_for_byte(pair: Pair, target: str) -> None:
    answer = pair.both("GET", target)
    assert (answer.status, answer.one("X-Target")) == (200, f"/{pair.stage.name}/{target}")


def test_a_target_with_needless_escapes_arrives_in_its_one_spelling(pair: Pair) -> None:
    """What the rules were asked about is what the service gets, so nobody can spell his way around a rule."""
    answer = pair.through("GET", "%65cho/%7euser/%c3%a9?%7e%c3")
    assert (answer.status, answer.one("X-Target")) == (200, f"/{pair.stage.name}/echo/~user/%C3%A9?%7e%c3")


def test_large_header_fields_pass_both_ways(pair: Pair) -> None:
    long = "0123456789abcdef" * 1280
    answer = pair.both("GET", "echo/long", {"X-Long": long})
    assert (answer.status, answer.one("X-Long")) == (200, long)


def test_many_requests_share_few_connections(pair: Pair) -> None:
    """Bodies and their ends never run into the next answer, whatever the two were."""
    bodies = [b"x" * size for size in (0, 1, 63, 4096, 40_000, 5)]
    for body in bodies:
        assert pair.through("POST", "echo/again", body=body).body == body
        assert pair.through("HEAD", "page").body == b""
        assert pair.through("GET", "empty").status == 204


# --- large bodies, between one client and one server ---

SIZE = 200 * MIB
ALLOWED = 32 * MIB


@pytest.fixture(scope="module")
def nginx_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """nginx, and a gateway that has seen no traffic yet; behind it a second upstream that may come up."""
    folder = tmp_path_factory.mktemp("large")
    with SERVERS["nginx"](folder / "server") as service:
        text = configuration(
            folder / "gateway",
            upstreams={"shop": service, "deaf": f"http://127.0.0.1:{free_port()}"},
            routes="""\
  - {path: /nginx/**, to: shop, roles: [user], body: 300MiB}
  - {path: /deaf, to: deaf, auth: public, body: 300MiB}""",
        )
        with running(folder / "gateway", text) as gateway:
            yield Stage("nginx", service, folder / "server", gateway, gateway.login().bearer)
            assert gateway.faults() == []


@pytest.fixture(scope="module")
def large_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("file") / "large"
    block = random.Random(3).randbytes(MIB)
    with path.open("wb") as file:
        for number in range(SIZE // MIB):
            file.write(number.to_bytes(8, "big") + block[8:])
    return path


class Watch:
    """How far the gateway's memory grew above what it was in the beginning."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.before = self.most = gateway.memory()

    def look(self) -> None:
        self.most = max(self.most, self._gateway.memory())

    @property
    def growth(self) -> int:
        return self.most - self.before


def watched_curl(stage: Stage, folder: Path, path: str, *options: str | Path) -> int:
    """Run curl and return by how many bytes the gateway grew meanwhile."""
    authorization = f"Authorization: {stage.bearer['Authorization']}"
    url = f"{stage.through}/nginx/{path}"
    command = [require("curl"), "-q", "-sS", "--fail", "-H", authorization, *options, url]
    watch, began = Watch(stage.gateway), time.monotonic()
    program = Program("curl", command, folder, environ=outside(), cwd=folder)
    while program.process.poll() is None:
        watch.look()
        time.sleep(0.01)
    watch.look()
    assert program.process.returncode == 0, program.errors
    print(f"{path}: {time.monotonic() - began:.2f} s, the gateway grew by {watch.growth / MIB:.1f} MiB")
    return watch.growth


@pytest.mark.parametrize("chunked", [False, True], ids=["counted", "chunked"])
def test_a_large_upload_passes_through_little_memory(
    nginx_stage: Stage, large_file: Path, tmp_path: Path, chunked: bool
) -> None:
    options = ["-H", "Transfer-Encoding: chunked"] if chunked else []
    growth = watched_curl(nginx_stage, tmp_path, "files/large", "-T", large_file, *options)
    arrived = nginx_stage.folder / "files" / "large"
    assert filecmp.cmp(arrived, large_file, shallow=False)
    arrived.unlink()
    assert growth < ALLOWED


def test_a_large_download_passes_through_little_memory(nginx_stage: Stage, large_file: Path, tmp_path: Path) -> None:
    os.link(large_file, nginx_stage.folder / "files" / "offered")
    growth = watched_curl(nginx_stage, tmp_path, "files/offered", "-o", tmp_path / "fetched")
    assert filecmp.cmp(tmp_path / "fetched", large_file, shallow=False)
    assert growth < ALLOWED


def test_a_client_that_stops_reading_stops_the_service(nginx_stage: Stage, large_file: Path) -> None:
    """Otherwise the whole answer would pile up in the gateway."""
    offered = nginx_stage.folder / "files" / "slow"
    os.link(large_file, offered)
    head = f"GET /nginx/files/slow HTTP/1.1\r\nHost: h\r\nAuthorization: {nginx_stage.bearer['Authorization']}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", nginx_stage.gateway.port), timeout=20) as client:
        watch = Watch(nginx_stage.gateway)
        client.sendall(head.encode())
        for _ in range(50):
            watch.look()
            time.sleep(0.01)
        received = 0
        while piece := client.recv(MIB):
            received += len(piece)
            watch.look()
            if received > SIZE:
                break
    assert SIZE < received < SIZE + 4096
    assert watch.growth < ALLOWED


def test_a_service_that_stops_reading_stops_the_client(nginx_stage: Stage) -> None:
    """Otherwise the whole request would pile up in the gateway."""
    piece = b"x" * MIB
    gateway = nginx_stage.gateway
    [address] = re.findall(r"deaf: http://127\.0\.0\.1:(\d+)", (gateway.folder / "gateway.yaml").read_text())
    with socket.create_server(("127.0.0.1", int(address))) as service, socket.socket() as client:
        client.connect(("127.0.0.1", gateway.port))
        client.settimeout(1)
        watch = Watch(gateway)
        client.sendall(f"PUT /deaf HTTP/1.1\r\nHost: h\r\nContent-Length: {SIZE}\r\n\r\n".encode())
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < SIZE:
                sent += client.send(piece)
                watch.look()
        assert sent < ALLOWED
        assert watch.growth < ALLOWED
        deaf, _ = service.accept()
        deaf.close()
        assert client.recv(64).startswith(b"HTTP/1.1 502 ")
