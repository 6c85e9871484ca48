"""GET /.well-known/jwks.json: the public keys with which anybody may verify our tokens (RFC 7517 section 5)."""

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.tokens.ring import KeyRing

CACHE = "public, max-age=300"
"""Five minutes: a new key is published longer than that before it signs."""


def jwks(ring: KeyRing) -> Handler:
    """Return the handler."""

    async def handle(request: web.Request) -> web.StreamResponse:
        etag = ring.jwks_etag()
        headers = {"Cache-Control": CACHE, "ETag": etag}
        if _unchanged(request, etag):
            return web.Response(status=304, headers=headers)
        return web.Response(body=ring.jwks_bytes(), headers={**headers, "Content-Type": "application/jwk-set+json"})

    return handle


def _unchanged(request: web.Request, etag: str) -> bool:
    """Whether the client has this very set already; tags are compared weakly (RFC 9110 section 13.1.2)."""
    tags = [tag.strip().removeprefix("W/") for tag in ",".join(request.headers.getall("If-None-Match", [])).split(",")]
    return "*" in tags or etag in tags
