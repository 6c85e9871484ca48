"""Our gateway, started as its users start it, from a generated `gateway.yaml`."""

import http.client
import sys
from pathlib import Path

from tests.bench.peers.base import Launch, Peer, Place
from tests.bench.peers.nginx import fill
from tests.bench.processes import free_port
from tests.bench.tokens import AUDIENCE, ISSUER, ROLE

_ROOT = Path(__file__).resolve().parents[3]

_YAML = """\
version: 1
server:
  listen: 127.0.0.1:@PORT@
  admin: {listen: 127.0.0.1:@ADMIN@}
  data_dir: @DATA@
  drain: {delay: 0s, timeout: 1s}
  limits: {connections: @CONNECTIONS@}
  timeouts: {keep_alive: 300s}
@TLS@
store: {url: embedded}
tokens:
  issuer: @ISS@
  audience: @AUD@
  access_ttl: 2h
  keys:
    files:
      - {file: @KEY@, alg: @ALG@, kid: @KID@}
login:
  verify: {file: @USERS@}
roles:
  @ROLE@: {}
upstreams:
  app: {targets: ["http://127.0.0.1:@UPSTREAM@"], pool: {idle: 512, connections: 512}}
routes:
  - {path: /public/**, to: app, auth: public}
  - {path: /**, to: app, roles: [@ROLE@]}
telemetry: {access_log: json}
"""

_USERS = """\
users:
  ana: {password: demo, demo: true, roles: [@ROLE@]}
"""


def _command() -> list[str] | None:
    script = Path(sys.executable).with_name("gateway")
    if script.exists():
        return [str(script)]
    if (_ROOT / "gateway" / "__main__.py").exists():
        return [sys.executable, "-m", "gateway"]
    return None


def _launch(place: Place) -> Launch:
    command = _command()
    if command is None:
        raise FileNotFoundError(_INSTALL)
    material = place.material
    admin = free_port()
    tls = f"  tls: [{{certificate_file: {material.certificate}, key_file: {material.certificate_key}}}]"
    conf = fill(
        _YAML,
        PORT=place.port,
        ADMIN=admin,
        DATA=place.kept,
        CONNECTIONS=place.most_connections + 100,
        TLS=tls if place.tls else "",
        ISS=ISSUER,
        AUD=AUDIENCE,
        KEY=material.private_key if place.alg == "RS256" else material.secret,
        ALG=place.alg,
        KID=material.kid(place.alg),
        USERS=place.file("users.yaml", fill(_USERS, ROLE=ROLE)),
        ROLE=ROLE,
        UPSTREAM=place.upstream,
    )
    return Launch(
        [*command, "run", "-c", str(place.file("gateway.yaml", conf))],
        # A store that is new cuts off all older tokens; ready means that this has happened.
        ready=lambda: _is_ready(admin),
    )


def _is_ready(admin: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", admin, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    finally:
        connection.close()


_INSTALL = ".venv/bin/pip install -e '.[embedded]'"


def _no_gateway() -> str | None:
    return None if _command() is not None else _INSTALL


def _version() -> str:
    for line in (_ROOT / "gateway" / "__init__.py").read_text().splitlines():
        if line.startswith("__version__"):
            return line.partition("=")[2].strip().strip("\"'")
    return "?"


GATEWAY = Peer(
    name="gateway",
    title="this gateway",
    does="strict token parse, signature, alg, typ, kid, exp, iss, aud, revocation, role, canonical path; sub, roles "
    "and sid to the upstream, Authorization removed; request id",
    records="JSON access log to a file; metrics",
    launch=_launch,
    missing=_no_gateway,
    version=_version,
    caches=True,
    only_first_process=True,
)
