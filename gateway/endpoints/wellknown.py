"""What others need to verify our tokens: the public keys (RFC 7517 section 5), and where they are (RFC 8414)."""

import hashlib
import json

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.tokens.ring import KeyRing

JWKS_PATH = "/.well-known/jwks.json"
METADATA_PATH = "/.well-known/oauth-authorization-server"
MAX_AGE = 300
"""Seconds; a new key is published longer than that before it signs."""


def jwks(ring: KeyRing, max_age: int = MAX_AGE) -> Handler:
    """Return the handler of the public keys."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return _cached(request, ring.jwks_bytes(), ring.jwks_etag(), max_age, "application/jwk-set+json")

    return handle


def metadata(issuer: str, origin: str, max_age: int = MAX_AGE) -> Handler:
    """Return the handler of the metadata; *origin* is how clients reach us.

    It promises what there is and nothing else: no grant and no token endpoint, because logins are the gateway's own.
    An absent `grant_types_supported` would promise the authorization code (RFC 8414 section 2).
    """
    members = {
        "issuer": issuer,
        "jwks_uri": origin + JWKS_PATH,
        "response_types_supported": [],
        "grant_types_supported": [],
    }
    body = json.dumps(members).encode()
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'

    async def handle(request: web.Request) -> web.StreamResponse:
        return _cached(request, body, etag, max_age, "application/json")

    return handle


def _cached(request: web.Request, body: bytes, etag: str, max_age: int, kind: str) -> web.Response:
    headers = {"Cache-Control": f"public, max-age={max_age}", "ETag": etag}
    if _unchanged(request, etag):
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, headers={**headers, "Content-Type": kind})


def _unchanged(request: web.Request, etag: str) -> bool:
    """Whether the client has this very answer already; tags are compared weakly (RFC 9110 section 13.1.2)."""
    tags = [tag.strip().removeprefix("W/") for tag in ",".join(request.headers.getall("If-None-Match", [])).split(",")]
    return "*" in tags or etag in tags
