"""What the file says about services, held by a whole gateway in front of services that fail, freeze, move and hide.

The services are nginx, each with a name it answers with; `tests/proxy` has the same rules in every detail.
"""

import contextlib
import os
import signal
import socket
import ssl
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.journeys.house import Gateway, Program, configuration, free_port, outside, running, until
from tests.journeys.shop import answers
from tests.programs import require
from tests.proxy.certificates import Authority

NGINX = """\
{user}
daemon off; worker_processes 1; pid {folder}/pid; error_log stderr error;
events {{ worker_connections 256; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ {listen} location / {{ return 200 "{name} $request_uri $ssl_client_verify"; }} }}
}}
"""


class Service:
    """An nginx that answers with its name, the target it saw and what it thinks of the client's certificate."""

    def __init__(self, folder: Path, name: str, listen: str = "") -> None:
        self.port = free_port()
        self._folder = folder / name
        self._folder.mkdir()
        self._program: Program | None = None
        text = NGINX.format(
            user="user root;" if os.geteuid() == 0 else "",
            folder=self._folder,
            name=name,
            listen=listen or f"listen 127.0.0.1:{self.port};",
        )
        self._file = self._folder / "nginx.conf"
        self._file.write_text(text.replace("@PORT@", str(self.port)))

    def start(self, is_up: Path | None = None) -> None:
        command: list[str | Path] = [require("nginx"), "-e", "stderr", "-p", self._folder, "-c", self._file]
        self._program = Program("nginx", command, self._folder, environ=outside(), cwd=self._folder)
        self._program.await_ready(lambda: is_up.exists() if is_up else answers(self.port))

    def stop(self) -> None:
        if self._program is not None:
            self._program.stop()
            self._program = None

    def signal(self, number: signal.Signals) -> None:
        assert self._program is not None
        os.killpg(self._program.pid, number)


class Street(dict[str, Service]):
    """The services by name, and the gateway in front of them."""

    gateway: Gateway

    def ask(self, path: str, **fields: str) -> httpx.Response:
        with self.gateway.client(headers=fields) as client:
            return client.get(path)


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    folder = tmp_path_factory.mktemp("services")
    authority = Authority(folder)
    theirs, ours = authority.issue("shop.test"), authority.issue("gateway.test")
    path = folder / "socket"
    street = Street(one=Service(folder, "one"), two=Service(folder, "two"))
    street["hidden"] = Service(folder, "hidden", f"listen unix:{path};")
    street["secure"] = Service(
        folder,
        "secure",
        f"listen 127.0.0.1:@PORT@ ssl; ssl_certificate {theirs.certificate}; ssl_certificate_key {theirs.key};"
        f" ssl_client_certificate {authority.file}; ssl_verify_client on;",
    )
    pair = "[http://127.0.0.1:{}, http://127.0.0.1:{}]".format(*(street[name].port for name in ("one", "two")))
    text = configuration(
        folder / "gateway",
        upstreams={
            "pair": f"{{targets: {pair}, balance: round_robin, eject: {{failures: 2}},"
            " health: {path: /h, every: 1s, fall: 2, rise: 1}}",
            "sticky": f'{{targets: {pair}, balance: hash, hash_by: "cookie:who"}}',
            "impatient": f"{{targets: [http://127.0.0.1:{street['two'].port}], timeouts: {{first_byte: 500ms}}}}",
            "hidden": f'"unix://{path}"',
            "secure": f"{{targets: [https://127.0.0.1:{street['secure'].port}], tls: {{ca_file: {authority.file},"
            f" certificate_file: {ours.certificate}, key_file: {ours.key}, server_name: shop.test}}}}",
        },
        routes="\n".join(
            f"  - {{path: /{name}/**, to: {name}, auth: public}}"
            for name in ("pair", "sticky", "impatient", "hidden", "secure")
        ),
    )
    with contextlib.ExitStack() as exits:
        for name, service in street.items():
            service.start(path if name == "hidden" else None)
            exits.callback(service.stop)
        street.gateway = exits.enter_context(running(folder / "gateway", text))
        yield street
        assert street.gateway.faults() == []


def test_requests_go_to_both_targets_in_turn(street: Street) -> None:
    seen = Counter(street.ask("/pair/x").text.split()[0] for _ in range(20))
    assert seen == {"one": 10, "two": 10}


def test_a_cookie_chooses_the_target(street: Street) -> None:
    by_person = {
        who: {street.ask("/sticky/x", Cookie=f"who={who}").text.split()[0] for _ in range(4)}
        for who in map(str, range(16))
    }
    assert all(len(targets) == 1 for targets in by_person.values())
    assert set().union(*by_person.values()) == {"one", "two"}


def test_a_unix_socket_and_tls_with_certificates_on_both_sides(street: Street) -> None:
    assert street.ask("/hidden/x?y").text.split()[:2] == ["hidden", "/hidden/x?y"]
    assert street.ask("/secure/x?y").text.split() == ["secure", "/secure/x?y", "SUCCESS"]


def test_a_target_that_dies_costs_no_request_and_gets_some_again_when_it_is_back(street: Street) -> None:
    street["one"].stop()
    answers_without = [street.ask("/pair/x") for _ in range(40)]
    assert {answer.status_code for answer in answers_without} == {200}
    assert {answer.text.split()[0] for answer in answers_without} == {"two"}
    street["one"].start()
    until(lambda: street.ask("/pair/x").text.startswith("one"), 30.0, what="it got no request")


def test_a_frozen_service_is_504_and_the_others_are_served(street: Street) -> None:
    street["two"].signal(signal.SIGSTOP)
    try:
        answer = street.ask("/impatient/x")
        assert (answer.status_code, answer.headers["X-Gateway-Error"]) == (504, "upstream_timeout")
        assert street.ask("/hidden/x").status_code == 200
        assert street.ask("/secure/x").status_code == 200
    finally:
        street["two"].signal(signal.SIGCONT)
    until(lambda: street.ask("/impatient/x").status_code == 200, 30.0, what="it was not served again")


def test_each_name_has_its_certificate_and_a_new_one_drops_nobody(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pairs = [authority.issue("a.test", folder="a"), authority.issue("b.test", folder="b")]
    port, service = free_port(), Service(tmp_path, "plain")
    listed = ", ".join(f"{{certificate_file: {pair.certificate}, key_file: {pair.key}}}" for pair in pairs)
    text = configuration(
        tmp_path / "gateway",
        upstreams={"plain": f"http://127.0.0.1:{service.port}"},
        routes="  - {path: /**, to: plain, auth: public}",
        server=f"  tls: [{listed}]",
    )
    context = ssl.create_default_context(cafile=str(authority.file))

    def connect(name: str) -> ssl.SSLSocket:
        return context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=20), server_hostname=name)

    def serial(name: str) -> object:
        with connect(name) as connection:
            return (connection.getpeercert() or {})["serialNumber"]

    service.start()
    try:
        with running(tmp_path / "gateway", text, port=port) as gateway, connect("b.test") as open_before:
            first, other = serial("b.test"), serial("a.test")
            assert first != other
            authority.issue("b.test", folder="b")
            until(lambda: serial("b.test") != first, 60.0, what="the new certificate was not taken")
            assert serial("a.test") == other
            open_before.sendall(b"GET /x HTTP/1.1\r\nHost: b.test\r\n\r\n")
            assert open_before.recv(4096).startswith(b"HTTP/1.1 200")
            assert gateway.faults() == []
    finally:
        service.stop()
