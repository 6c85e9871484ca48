"""Two gateways over one store, as in production: they share the store, the master secret, the keys and the users."""

import contextlib
import os
import secrets
import signal
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.journeys.house import Gateway, Program, configuration, free_port, outside
from tests.programs import require

ROUTES = """\
  - {path: /live/**, to: app, strip_prefix: /live, websocket: true, stream: true}
  - {path: /strict/**, to: app, revocation: strict}
  - {path: /public/**, to: app, auth: public}
  - {path: /api/**, to: app, roles: [user]}
"""


class Redis(Program):
    """A Redis server of this machine, on a port that stays its own over restarts."""

    def __init__(self, folder: Path, port: int | None = None, *options: str) -> None:
        self.port = port or free_port()
        command = [require("redis-server"), "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        super().__init__("redis", [*command, *options], folder, environ=outside(), cwd=folder)
        self.await_ready(lambda: self.ask("PING") == "+PONG")

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def ask(self, *command: str) -> str:
        """Send one command; return the first line of the answer, "" when there is none."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5) as line:
            line.sendall((" ".join(command) + "\r\n").encode())
            return line.recv(65536).split(b"\r\n")[0].decode()
        return ""

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop the process in its tracks for as long as the block takes."""
        os.kill(self.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.process.pid, signal.SIGCONT)

    @contextlib.contextmanager
    def monitored(self) -> Iterator[list[str]]:
        """Collect every command that clients send to the server; those of scripts belong to their script."""
        seen: list[str] = []
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as line:
            line.sendall(b"MONITOR\r\n")
            assert line.recv(5) == b"+OK\r\n"
            yield seen
            self.ask("ECHO", "the-end")
            text = b""
            while b"the-end" not in text:
                text += line.recv(1 << 16)
        said = (one for one in text.decode().split("\r\n") if one)
        seen += [one for one in said if " lua]" not in one and "the-end" not in one]


class Pair(NamedTuple):
    """Two gateways, what is behind them and what they share."""

    one: Gateway
    two: Gateway
    store_url: str
    folder: Path

    @property
    def admin(self) -> dict[str, str]:
        """The header that an operator sends."""
        return {"Authorization": f"Bearer {(self.folder / 'admin').read_text()}"}


def shared(folder: Path, upstream: str, store_url: str, *, tokens: str = "", routes: str = "", more: str = "") -> str:
    """Write what the two share to *folder*; return their configuration, with further *routes* and *more* sections."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "key.pem").exists():
        key = generate_private_key(SECP256R1())
        (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        (folder / "secret").write_text(secrets.token_hex(32))
        (folder / "admin").write_text(secrets.token_hex(32))
    text = configuration(
        folder,
        upstreams={"app": upstream},
        routes=ROUTES + routes,
        server=f"  secret_file: {folder}/secret\n  admin: {{token_file: {folder}/admin}}\n"
        "  public_url: http://gateway.test:8080\n  insecure_http: true",
        store=f"  url: {store_url}\n  timeout: 2s",
    ).replace("users.yaml", f"{folder}/users.yaml")
    return f"{text}tokens: {{keys: {{files: [{{file: {folder}/key.pem, alg: ES256}}]}}{tokens}}}\n{more}"


@contextlib.contextmanager
def pair(
    folder: Path, upstream: str, store_url: str, *, tokens: str = "", routes: str = "", more: str = ""
) -> Iterator[Pair]:
    """Run two gateways over the store at *store_url*; both are ready."""
    text = shared(folder, upstream, store_url, tokens=tokens, routes=routes, more=more)
    with contextlib.ExitStack() as exits:
        one, two = (exits.enter_context(_started(folder / name, text)) for name in ("one", "two"))
        for gateway in (one, two):
            gateway.await_ready(partial(_is_ready, gateway))
        yield Pair(one, two, store_url, folder)
        assert one.faults() + two.faults() == []


@contextlib.contextmanager
def _started(folder: Path, text: str) -> Iterator[Gateway]:
    gateway = Gateway(folder, text)
    try:
        yield gateway
    finally:
        gateway.hurry()
        gateway.stop()


def _is_ready(gateway: Gateway) -> bool:
    return gateway.readiness() == 200
