"""Our gateway, started as its users start it, from a generated `gateway.yaml`; also with single features off."""

import http.client
from dataclasses import dataclass
from functools import partial
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
@SINKUPSTREAM@
@HEADERS@
routes:
@SINKROUTE@
  - {path: /public/**, to: app, auth: public}
  - {path: /**, to: app, @RULE@}
telemetry: {access_log: "@LOG@"}
"""

_USERS = """\
users:
  ana: {password: demo, demo: true, roles: [@ROLE@]}
"""


@dataclass(frozen=True, slots=True)
class Features:
    """What can be switched off by configuration."""

    access_log: bool = True
    identity_headers: bool = True
    authentication: bool = True


def _launch(place: Place, *, features: Features) -> Launch:
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
        SINKUPSTREAM=f'  sink: {{targets: ["http://127.0.0.1:{place.sink}"]}}' if place.sink else "",
        SINKROUTE=f"  - {{path: /api/sink, to: sink, roles: [{ROLE}], body: 128MiB}}" if place.sink else "",
        HEADERS="" if features.identity_headers else "identity_headers: {}",
        RULE=f"roles: [{ROLE}]" if features.authentication else "auth: public",
        LOG="json" if features.access_log else "off",
    )
    return Launch(
        [place.python, "-m", "gateway", "run", "-c", str(place.file("gateway.yaml", conf))],
        env={"PYTHONPATH": str(_ROOT)},
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


def _no_gateway() -> str | None:
    return None  # it is what is measured


def _version() -> str:
    for line in (_ROOT / "gateway" / "__init__.py").read_text().splitlines():
        if line.startswith("__version__"):
            return line.partition("=")[2].strip().strip("\"'")
    return "?"


_DOES = (
    "strict token parse, signature, alg, typ, kid, exp, iss, aud, revocation, role, canonical path; sub, roles "
    "and sid to the upstream, Authorization removed; request id"
)


def _peer(name: str, title: str, does: str, features: Features) -> Peer:
    return Peer(
        name=name,
        title=title,
        does=does,
        records=f"{'JSON access log to a file' if features.access_log else 'no access log'}; metrics",
        launch=partial(_launch, features=features),
        missing=_no_gateway,
        version=_version,
        enforces=features.authentication,
        caches=True,
        only_first_process=True,
    )


GATEWAY = _peer("gateway", "this gateway", _DOES, Features())

WITHOUT = (
    _peer("gateway-nolog", "this gateway without access log", _DOES, Features(access_log=False)),
    _peer(
        "gateway-noheaders",
        "this gateway without identity headers",
        "all checks; no identity headers to the upstream",
        Features(identity_headers=False),
    ),
    _peer(
        "gateway-public",
        "this gateway, route without authentication",
        "no token is looked at, so no role and no identity headers either; canonical path, request id",
        Features(authentication=False),
    ),
    _peer(
        "gateway-bare",
        "this gateway with all three off",
        "forwarding only: canonical path, routing, request id",
        Features(access_log=False, identity_headers=False, authentication=False),
    ),
)
"""The gateway with one feature off at a time, and with all of them off."""
