"""What others need to verify our tokens: the public keys (RFC 7517 section 5), and where they are (RFC 8414)."""

import hashlib
import json
from typing import NamedTuple

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.endpoints.services import Services
from gateway.tokens.ring import KeyRing

JWKS_PATH = "/.well-known/jwks.json"
METADATA_PATH = "/.well-known/oauth-authorization-server"
MAX_AGE = 300
"""Seconds; a new key is published longer than that before it signs."""


def jwks(ring: KeyRing, max_age: int = MAX_AGE) -> Handler:
    """Return the handler of the public keys; 503 before they are known."""

    async def handle(request: web.Request) -> web.StreamResponse:
        ring.signing()  # an empty set would be cached, so no keys yet is no answer yet
        return _cached(request, ring.jwks_bytes(), ring.jwks_etag(), max_age, "application/jwk-set+json")

    return handle


class Offer(NamedTuple):
    """What programs can do here."""

    token_endpoint: str
    revocation_endpoint: str
    introspection_endpoint: str
    grants: tuple[str, ...]
    methods: tuple[str, ...]
    """Ways in which a client may prove who it is."""
    algorithms: tuple[str, ...]
    """Of `private_key_jwt`."""


def offer(services: Services) -> Offer | None:
    """Return what the clients that are registered, and the people who log in, make possible."""
    if not services.logins:
        return None
    clients = services.clients.values()
    by_secret = ("client_secret_basic", "client_secret_post") if any(client.secrets for client in clients) else ()
    keys = [client.keys for client in clients if client.keys is not None]
    return Offer(
        services.token_endpoint,
        f"{services.origin}{services.base_path}/revoke",
        f"{services.origin}{services.base_path}/introspect" if clients else "",
        ("refresh_token", *(("client_credentials",) if clients else ())),
        ("none", *by_secret, *(("private_key_jwt",) if keys else ())),
        tuple(sorted({alg for one in keys for alg in one.algorithms})),
    )


def metadata(issuer: str, origin: str, offered: Offer | None, max_age: int = MAX_AGE) -> Handler:
    """Return the handler of the metadata; *origin* is how clients reach us.

    It promises what there is and nothing else. An absent `grant_types_supported` would promise the authorization code,
    and absent methods would promise `client_secret_basic` (RFC 8414 section 2).
    """
    members: dict[str, object] = {
        "issuer": issuer,
        "jwks_uri": origin + JWKS_PATH,
        "response_types_supported": [],
        "grant_types_supported": [],
        **({} if offered is None else _promised(offered)),
    }
    body = json.dumps(members).encode()
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'

    async def handle(request: web.Request) -> web.StreamResponse:
        return _cached(request, body, etag, max_age, "application/json")

    return handle


def _promised(offered: Offer) -> dict[str, object]:
    endpoints = {
        "token": (offered.token_endpoint, offered.methods),
        "revocation": (offered.revocation_endpoint, offered.methods),
    }
    if offered.introspection_endpoint:
        methods = tuple(method for method in offered.methods if method != "none")
        endpoints["introspection"] = (offered.introspection_endpoint, methods)
    members: dict[str, object] = {"grant_types_supported": offered.grants}
    for name, (place, methods) in endpoints.items():
        members[f"{name}_endpoint"] = place
        members[f"{name}_endpoint_auth_methods_supported"] = methods
        if "private_key_jwt" in methods:
            members[f"{name}_endpoint_auth_signing_alg_values_supported"] = offered.algorithms
    return members


def _cached(request: web.Request, body: bytes, etag: str, max_age: int, kind: str) -> web.Response:
    # Public, and read by scripts of other origins too.
    headers = {"Cache-Control": f"public, max-age={max_age}", "ETag": etag, "Access-Control-Allow-Origin": "*"}
    if _unchanged(request, etag):
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, headers={**headers, "Content-Type": kind})


def _unchanged(request: web.Request, etag: str) -> bool:
    """Whether the client has this very answer already; tags are compared weakly (RFC 9110 section 13.1.2)."""
    tags = [tag.strip().removeprefix("W/") for tag in ",".join(request.headers.getall("If-None-Match", [])).split(",")]
    return "*" in tags or etag in tags
