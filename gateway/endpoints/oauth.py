"""OAuth for programs: POST /auth/token (RFC 6749 section 5) and POST /auth/introspect (RFC 7662).

Two grants: `client_credentials` for the programs under `clients:`, and `refresh_token` for the sessions that
`POST /auth/login` began, whose client is the gateway's own public one. There is no `password` grant (RFC 9700 section
2.4), and nothing that needs a person in the middle.
"""

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.endpoints import bodies
from gateway.endpoints.answers import answer
from gateway.endpoints.bodies import Fields
from gateway.endpoints.clients import client_of
from gateway.endpoints.facts import FACTS
from gateway.endpoints.login import SCOPE as SCOPE_SYNTAX
from gateway.endpoints.services import Services
from gateway.errors import CODES, Refused, refuse
from gateway.sessions.answers import SCOPE, InvalidGrant
from gateway.tokens.cache import Verified
from gateway.tokens.clients import Client
from gateway.tokens.verify import Identity

# A first-party client expects 401 of /auth/refresh, an OAuth library 400 of the token endpoint (RFC 6749 section 5.2).
_INVALID_GRANT = CODES["invalid_grant"]._replace(status=400)


def token(services: Services) -> Handler:
    """Return the handler of POST /auth/token."""

    async def handle(request: web.Request) -> web.StreamResponse:
        fields = await bodies.fields(request)
        grant = bodies.needed(fields, "grant_type")
        client = await client_of(request, fields, services)
        match grant:
            case "client_credentials":
                return await _client_credentials(request, fields, client, services)
            case "refresh_token":
                return await _refresh_token(request, fields, client, services)
            case _:
                raise Refused(refuse("unsupported_grant_type"))

    return handle


async def _client_credentials(
    request: web.Request, fields: Fields, client: Client | None, services: Services
) -> web.StreamResponse:
    if client is None:
        # Anybody can say they are the public client, so it may not speak for itself (RFC 6749 section 4.4).
        raise Refused(refuse("unauthorized_client", "public"))
    asked = _scope(fields)
    scopes = client.scopes if asked is None else tuple(dict.fromkeys(asked.split()))
    if not set(scopes) <= set(client.scopes):
        raise Refused(refuse("invalid_scope", "client"))
    made = await services.programs.token(client, scopes)
    request[FACTS].subject = client.subject.sub
    return answer(
        {
            "access_token": made.token,
            "token_type": "Bearer",
            "expires_in": made.expires_in,
            "scope": " ".join(scopes),
        }
    )


async def _refresh_token(
    request: web.Request, fields: Fields, client: Client | None, services: Services
) -> web.StreamResponse:
    text, scope = bodies.needed(fields, "refresh_token"), _scope(fields)
    if client is not None:
        # Every refresh token is of a login; the family is left alone (RFC 6749 section 6).
        raise Refused(refuse("invalid_grant", "client")._replace(code=_INVALID_GRANT))
    outcome = await services.sessions.refresh(text, scope)
    if isinstance(outcome, InvalidGrant):
        if outcome.reason == SCOPE:
            raise Refused(refuse("invalid_scope", "session"))
        raise Refused(refuse("invalid_grant", outcome.reason)._replace(code=_INVALID_GRANT))
    request[FACTS].subject = outcome.subject.sub
    return answer(
        {
            "access_token": outcome.access.token,
            "token_type": "Bearer",
            "expires_in": outcome.access.expires_in,
            "refresh_token": outcome.refresh,
            "refresh_expires_in": outcome.refresh_expires_in,
            "scope": outcome.scope,
            "session_id": outcome.session,
        }
    )


def _scope(fields: Fields) -> str | None:
    scope = bodies.text(fields, "scope") or None
    if scope is not None and SCOPE_SYNTAX.fullmatch(scope) is None:
        raise Refused(refuse("invalid_scope", "syntax"))
    return scope


def introspect(services: Services) -> Handler:
    """Return the handler of POST /auth/introspect: what an access token of ours is good for, asked by a client."""

    async def handle(request: web.Request) -> web.StreamResponse:
        fields = await bodies.fields(request)
        client = await client_of(request, fields, services)
        if client is None:
            raise Refused(refuse("invalid_client", "public"))
        request[FACTS].subject = client.subject.sub
        text = bodies.needed(fields, "token")
        if services.cold():
            # Without the revocations nobody can say "active", and "inactive" would be a guess as well.
            raise Refused(refuse("store_unavailable", "feed_cold", retry_after=2))
        checked = services.tokens.check(text.encode("utf-8", "surrogatepass"), services.clock.wall())
        # Of a token that is not active nothing at all is said (RFC 7662 section 2.2).
        return answer(_members(checked.identity) if isinstance(checked, Verified) else {"active": False})

    return handle


def _members(identity: Identity) -> dict[str, object]:
    claims = identity.claims
    members: dict[str, object] = {
        "active": True,
        "token_type": "Bearer",
        "client_id": identity.client,
        "sub": identity.subject,
        "iss": identity.issuer,
        "aud": claims["aud"],
        "exp": identity.expires,
        "iat": claims["iat"],
        "jti": identity.token_id,
        "scope": " ".join(sorted(identity.scopes)),
        "roles": sorted(identity.roles),
    }
    for name in ("sid", "auth_time", "amr", "tenant", "permissions"):
        if name in claims:
            members[name] = claims[name]
    return members
