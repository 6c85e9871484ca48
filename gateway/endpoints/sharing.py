"""Cross-origin calls of the JSON endpoints, by the front ends that `cors:` names; never of the pages."""

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from gateway.routing.cors import VARY, Cors, is_preflight, preflight, shared

_NAMES = ("login", "login/mfa", "refresh", "logout", "session", "csrf", "password", "token", "revoke")
_BELOW = ("sessions", "second-factor")
"""With everything under them."""


def sharing(cors: Cors, base: str) -> Middleware:
    """Return the middleware that answers preflights and lets allowed origins read answers."""
    exact = frozenset(f"{base}/{name}" for name in (*_NAMES, *_BELOW))
    below = tuple(f"{base}/{name}/" for name in _BELOW)

    @web.middleware
    async def handle(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in exact and not request.path.startswith(below):
            return await handler(request)
        origins = request.headers.getall("Origin", [])
        origin = origins[0] if len(origins) == 1 else None
        if is_preflight(request.method, origin, request.headers.get("Access-Control-Request-Method")):
            response: web.StreamResponse = web.Response(status=204)
            response.headers.extend(preflight(cors, origin))
        else:
            response = await handler(request)
            response.headers.extend(shared(cors, origin))
        response.headers.add("Vary", VARY)
        return response

    return handle
