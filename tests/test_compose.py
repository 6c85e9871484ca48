"""`config/compose.yaml` says what it should, and what it starts works: the same commands, as processes.

No container engine is needed. Host names become loopback ports, mount points become folders; the rest is as written.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from gateway.sessions.embedded import find_server

ROOT = Path(__file__).parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "config" / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_confined_and_watched(name: str) -> None:
    service = SERVICES[name]
    assert (service["read_only"], service["cap_drop"], service["init"]) == (True, ["ALL"], True)
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}


def test_ports_are_published_on_loopback_and_only_by_the_gateway() -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES["gateway"]["ports"])
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["gateway"]
    assert all(SERVICES[name]["networks"] == ["inside"] for name in ("store", "demo"))
    assert COMPOSE["networks"]["inside"] == {"internal": True}


def test_secrets_are_files_and_every_one_is_declared() -> None:
    asked = {secret for service in SERVICES.values() for secret in service.get("secrets", [])}
    assert asked == COMPOSE["secrets"].keys()
    assert all(list(secret) == ["file"] for secret in COMPOSE["secrets"].values())
    words = " ".join(name for service in SERVICES.values() for name in service.get("environment", {}))
    assert not re.search("PASSWORD|SECRET|TOKEN", words)


def test_the_configuration_is_mounted_as_a_folder() -> None:
    source, target, mode = SERVICES["gateway"]["volumes"][0].split(":")
    assert (ROOT / "config" / source).is_dir()
    assert (target, mode) == ("/etc/gateway", "ro")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Composition:
    """The three services as processes, on ports and in folders of this test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.ports = {name: free_port() for name in ("store", "demo", "public", "admin")}
        for name in ("data", "store", "bin"):
            (folder / name).mkdir()
        (folder / "bin" / "valkey-server").symlink_to(find_server())
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        subprocess.run(
            [sys.executable, ROOT / "scripts" / "compose_secrets.py", folder / "secrets"],
            env=self.environment,
            check=True,
            capture_output=True,
        )
        shutil.copytree(ROOT / "config" / "compose", folder / "etc")
        for file in (folder / "etc").iterdir():
            file.write_text(self.here(file.read_text()))

    def here(self, text: str) -> str:
        """What *text*, meant for a container, has to say on this machine."""
        for meant, real in (
            ("$$", "$"),
            ("valkey-server ", f"valkey-server --bind 127.0.0.1 --port {self.ports['store']} "),
            ("store:6379", f"127.0.0.1:{self.ports['store']}"),
            ("demo:9000", f"127.0.0.1:{self.ports['demo']}"),
            ("127.0.0.1:9000", f"127.0.0.1:{self.ports['demo']}"),
            ("0.0.0.0:8080", f"0.0.0.0:{self.ports['public']}"),
            ("0.0.0.0:9901", f"0.0.0.0:{self.ports['admin']}"),
            ("127.0.0.1:8080", f"127.0.0.1:{self.ports['public']}"),
            ("/run/secrets", str(self.folder / "secrets")),
            ("/etc/gateway", str(self.folder / "etc")),
            ("/var/lib/gateway", str(self.folder / "data")),
            ("--dir /data", f"--dir {self.folder / 'store'}"),
        ):
            text = text.replace(meant, real)
        return text

    def command(self, words: list[str]) -> list[str]:
        ours = {"/app/bin/gateway": [sys.executable, "-m", "gateway"], "/app/bin/python": [sys.executable]}
        return ours.get(words[0], [words[0]]) + [
            str(self.ports["demo"]) if word == "9000" else self.here(word) for word in words[1:]
        ]

    def variables(self, name: str) -> dict[str, str]:
        image = dict(re.findall(r"(?:ENV|^) +([A-Z_]+)=(\S+)", DOCKERFILE, re.MULTILINE)) if name != "store" else {}
        image.pop("PATH", None)
        own = image | SERVICES[name].get("environment", {})
        paths = {"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}"}
        return self.environment | {key: self.here(value) for key, value in own.items()} | paths

    def start(self, name: str) -> None:
        service = SERVICES[name]
        asked = [json.loads(found) for found in re.findall(r"^(?:ENTRYPOINT|CMD) (.*)$", DOCKERFILE, re.MULTILINE)]
        words = service.get("entrypoint", asked[0]) + service.get("command", asked[1])
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                self.command(words), env=self.variables(name), cwd=self.folder, stdout=log, stderr=log
            )

    def said(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def healthy(self, name: str) -> bool:
        """What the service's own health check says, right now."""
        check = SERVICES[name]["healthcheck"]["test"]
        assert check[0] == "CMD"
        done = subprocess.run(
            self.command(check[1:]), env=self.variables(name), cwd=self.folder, capture_output=True, timeout=10
        )
        return done.returncode == 0

    def until_healthy(self, name: str) -> None:
        until = time.monotonic() + 15
        while not (self.answers() if name == "store" else self.healthy(name)):
            assert self.processes[name].poll() is None, self.said(name)
            assert time.monotonic() < until, f"{name} is not healthy: {self.said(name)}"
            time.sleep(0.1)

    def answers(self) -> bool:
        """The store's own check needs valkey-cli, which comes with its image only."""
        try:
            with socket.create_connection(("127.0.0.1", self.ports["store"]), timeout=1) as link:
                link.sendall(b"AUTH " + (self.folder / "secrets" / "store_password").read_bytes() + b"\r\nPING\r\n")
                return link.recv(64).startswith(b"+OK")
        except OSError:
            return False

    def stop(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()


@pytest.fixture
def composition(tmp_path: Path) -> Iterator[Composition]:
    composition = Composition(tmp_path)
    yield composition
    composition.stop()


def test_what_compose_starts_logs_alice_in_and_ends_when_told(composition: Composition) -> None:
    assert not composition.healthy("gateway")
    for name in ("store", "demo", "gateway"):
        composition.start(name)
        composition.until_healthy(name)

    password = (composition.folder / "secrets" / "alice_password").read_text()
    with httpx.Client(base_url=f"http://127.0.0.1:{composition.ports['public']}", trust_env=False) as client:
        assert client.get("/public/hello").status_code == 200
        assert client.get("/api/hello").status_code == 401
        login = client.post("/auth/login", data={"username": "alice", "password": password})
        assert login.status_code == 200, login.text
        bearer = {"Authorization": f"Bearer {login.json()['access_token']}"}
        let_through = client.get("/api/hello", headers=bearer)
        assert let_through.status_code == 200, let_through.text
        assert let_through.json()["headers"]["X-User-Id"] == "alice"
        assert client.get("/admin/hello", headers=bearer).status_code == 403

    gateway = composition.processes["gateway"]
    gateway.send_signal(signal.SIGTERM)
    assert gateway.wait(timeout=20) == 0, composition.said("gateway")


def test_the_store_refuses_whoever_has_no_password(composition: Composition) -> None:
    composition.start("store")
    composition.until_healthy("store")
    with socket.create_connection(("127.0.0.1", composition.ports["store"]), timeout=5) as link:
        link.sendall(b"PING\r\n")
        assert link.recv(64).startswith(b"-NOAUTH")
    assert (composition.folder / "secrets" / "store_password").read_text() not in " ".join(
        Path(f"/proc/{composition.processes['store'].pid}/cmdline").read_text().split("\0")
        if sys.platform == "linux"
        else []
    )


def test_secrets_that_exist_are_kept(composition: Composition) -> None:
    secrets = composition.folder / "secrets"
    before = {file.name: file.read_bytes() for file in secrets.iterdir()}
    command = [sys.executable, str(ROOT / "scripts" / "compose_secrets.py"), str(secrets)]
    subprocess.run(command, env=composition.environment, check=True, capture_output=True)
    assert {file.name: file.read_bytes() for file in secrets.iterdir()} == before
    assert secrets.stat().st_mode & 0o777 == 0o700
