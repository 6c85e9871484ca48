"""HAProxy with `jwt_verify`: once with the checks people copy from its manual, once with the gateway's checks.

HAProxy keeps no result: it verifies every signature anew. `jwt_payload_query` of 2.6 cannot read a list, so the role is
asked of its first entry, which is the least work.
"""

import subprocess
from functools import partial

from tests.bench.peers.base import Launch, Peer, Place
from tests.bench.peers.nginx import fill
from tests.bench.processes import missing
from tests.bench.tokens import AUDIENCE, ISSUER, ROLE

_CONF = """\
global
    nbthread 1
    maxconn @MAXCONN@
    # Two descriptors per connection are more than this machine may allow; quiet ones need one.
    no strict-limits
    # By default idle upstream connections are closed once a quarter of all descriptors is in use.
    tune.pool-high-fd-ratio 90
    tune.pool-low-fd-ratio 85
    log stdout format raw local0

defaults
    mode http
    log global
    option httplog
    timeout connect 5s
    timeout client 300s
    timeout server 60s
    timeout http-keep-alive 300s
    timeout http-request 30s
    http-reuse always

frontend public
    bind 127.0.0.1:@PORT@ @SSL@ backlog 4096
    http-request set-var(txn.bearer) http_auth_bearer
    http-request set-var(txn.alg) var(txn.bearer),jwt_header_query('$.alg')
    http-request set-var(txn.exp) var(txn.bearer),jwt_payload_query('$.exp','int')
    http-request set-var(txn.now) date()
    http-request deny deny_status 401 unless { var(txn.alg) -m str @ALG@ }
    http-request deny deny_status 401 unless { var(txn.bearer),jwt_verify(txn.alg,"@KEY@") 1 }
    http-request deny deny_status 401 if { var(txn.exp),sub(txn.now) -m int lt 0 }
@MORE@
    http-request deny deny_status 403 unless { var(txn.bearer),jwt_payload_query('$.roles[0]') -m str @ROLE@ }
    default_backend app

backend app
    option forwardfor
    server app 127.0.0.1:@UPSTREAM@ pool-max-conn -1 pool-purge-delay 300s
"""

_MORE = """\
    http-request deny deny_status 401 unless { var(txn.bearer),jwt_payload_query('$.iss') -m str @ISS@ }
    http-request deny deny_status 401 unless { var(txn.bearer),jwt_payload_query('$.aud') -m str @AUD@ }
    http-request set-header X-User-Id %[var(txn.bearer),jwt_payload_query('$.sub')]
    http-request set-header X-User-Roles %[var(txn.bearer),jwt_payload_query('$.roles[0]')]
    http-request set-header X-Session-Id %[var(txn.bearer),jwt_payload_query('$.sid')]
    http-request del-header Authorization"""


def _launch(place: Place, *, full: bool) -> Launch:
    pem = place.directory / "tls.pem"
    pem.write_bytes(place.material.certificate.read_bytes() + place.material.certificate_key.read_bytes())
    key = place.material.public_key if place.alg == "RS256" else place.material.secret.read_text()
    conf = fill(
        _CONF,
        MAXCONN=max(4096, place.most_connections + 100),
        PORT=place.port,
        SSL=f"ssl crt {pem} alpn http/1.1 ssl-min-ver TLSv1.3" if place.tls else "",
        ALG=place.alg,
        KEY=key,
        MORE=fill(_MORE, ISS=ISSUER, AUD=AUDIENCE) if full else "",
        ROLE=ROLE,
        UPSTREAM=place.upstream,
    )
    return Launch(["haproxy", "-db", "-f", str(place.file("haproxy.cfg", conf))])


def _no_haproxy() -> str | None:
    return missing("haproxy")


def _version() -> str:
    said = subprocess.run(["haproxy", "-v"], capture_output=True, text=True, check=False)
    return said.stdout.split()[2].partition("-")[0]


_RECORDS = "httplog, one write per request to a file; built-in counters; no Prometheus page"

HAPROXY = Peer(
    name="haproxy",
    title="HAProxy, jwt_verify",
    does="signature, alg, exp, first role; nothing is added to or removed from the request",
    records=_RECORDS,
    launch=partial(_launch, full=False),
    missing=_no_haproxy,
    version=_version,
)

HAPROXY_FULL = Peer(
    name="haproxy-full",
    title="HAProxy, jwt_verify, the gateway's checks and headers",
    does="signature, alg, exp, iss, aud, first role; sub, role and sid to the upstream, Authorization removed",
    records=_RECORDS,
    launch=partial(_launch, full=True),
    missing=_no_haproxy,
    version=_version,
)
