"""POST /auth/revoke: a client gives a token back (RFC 7009).

A refresh token ends its session with every access token of it; an access token ends itself alone. Having the token is
proof enough for a token of a person's login; a token of a program takes that program's own proof. A token that means
nothing, is over, or belongs to another client is answered as one that was revoked: 200, so that nobody learns which
tokens exist (section 2.2).
"""

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.endpoints import bodies
from gateway.endpoints.bodies import Fields
from gateway.endpoints.clients import client_of
from gateway.endpoints.credentials import refused
from gateway.endpoints.facts import ASKED, FACTS
from gateway.endpoints.services import Services
from gateway.tokens.verify import Invalid

_CREDENTIALS = ("client_id", "client_secret", "client_assertion")


def revoke(services: Services) -> Handler:
    """Return the handler."""

    async def handle(request: web.Request) -> web.StreamResponse:
        fields = await bodies.fields(request)
        token = bodies.needed(fields, "token")
        client = await _client(request, fields, services)
        request[FACTS].subject = None if client == services.client_id else f"client:{client}"
        # The kind is seen from the token itself, whatever `token_type_hint` says (section 2.1).
        if token.startswith("gwr_"):
            if client == services.client_id:
                await services.sessions.logout_by_refresh(token)
        else:
            await _access_token(request, token.encode("utf-8", "surrogatepass"), client, services)
        return web.Response(status=200)

    return handle


async def _client(request: web.Request, fields: Fields, services: Services) -> str:
    """Return the name of the client that asks; whoever names none speaks for the people who log in here."""
    if "Authorization" not in request.headers and not any(name in fields for name in _CREDENTIALS):
        return services.client_id
    client = await client_of(request, fields, services)
    return services.client_id if client is None else client.name


async def _access_token(request: web.Request, token: bytes, client: str, services: Services) -> None:
    # At the end of time no token is "not yet valid": one that will count tomorrow is revoked today.
    identity = services.verifier.verify(token, float("inf"), even_expired=True)
    if isinstance(identity, Invalid):
        if identity.wait is not None and ASKED not in request:
            raise refused(identity)  # another gateway may have made its key a moment ago
        return
    if identity.client != client:
        return
    if services.clock.wall() < services.verifier.over_at(identity):
        await services.sessions.revoke(identity.token_id, subject=identity.subject)
