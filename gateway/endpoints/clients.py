"""Which client asks: `client_secret_basic`, `client_secret_post`, `private_key_jwt`, or `none` for our own login.

A request proves itself in one way or it is refused (RFC 6749 section 2.3): who accepts the weaker of two proofs accepts
the weaker one always. A client that nobody knows and a wrong secret get the same answer, and guesses at a secret that
somebody thought of are slowed down as guesses at a password are.
"""

from base64 import b64decode
from urllib.parse import unquote_to_bytes

from aiohttp import web

from gateway.endpoints import bodies
from gateway.endpoints.bodies import Fields
from gateway.endpoints.facts import FACTS
from gateway.endpoints.services import Services
from gateway.errors import Refused, refuse
from gateway.tokens.clients import DIGEST, Client, judge_assertion, named_by, same_digest

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
"""RFC 7523 section 2.2."""
_MAX_SECRET = 1024


async def client_of(request: web.Request, fields: Fields, services: Services) -> Client | None:
    """Return the client that *request*, with the body *fields*, proves to be from; None for our own public client.

    Raises:
        Refused: (invalid_client) it proves nothing, or it is wrong; (bad_request) it tries two ways at once;
            (rate_limited, overloaded, store_unavailable) it cannot be checked now.
    """
    basic = request.headers.getall("Authorization", [])
    secret, assertion = bodies.text(fields, "client_secret"), bodies.text(fields, "client_assertion")
    named = bodies.text(fields, "client_id")
    if bool(basic) + (secret is not None) + (assertion is not None) > 1:
        detail = "The client must authenticate in one way."
        raise Refused(refuse("bad_request", "client_authentication_repeated", detail=detail))
    if basic:
        name, secret = _basic(basic)
        if named not in (None, name):
            raise Refused(refuse("bad_request", "client_id_differs", detail="Two clients are named."))
        return await _by_secret(name, secret, request, services, challenge=True)
    if assertion is not None:
        if bodies.text(fields, "client_assertion_type") != ASSERTION_TYPE:
            raise Refused(refuse("invalid_client", "assertion_type"))
        return await _by_assertion(assertion, named, services)
    if secret is not None:
        return await _by_secret(bodies.needed(fields, "client_id"), secret, request, services)
    if named == services.client_id:
        return None
    raise Refused(refuse("invalid_client", "none"))


def _basic(values: list[str]) -> tuple[str, str]:
    """Read the Authorization field; name and secret are form-encoded inside it (RFC 6749 section 2.3.1)."""
    scheme, _, encoded = values[0].partition(" ")
    if len(values) == 1 and scheme.lower() == "basic":
        try:
            name, colon, secret = b64decode(encoded.strip(), validate=True).partition(b":")
            if colon:
                return _form_decoded(name), _form_decoded(secret)
        except ValueError:
            pass
    raise _unknown("basic_syntax", challenge=True)


def _form_decoded(part: bytes) -> str:
    return unquote_to_bytes(part.replace(b"+", b" ")).decode("utf-8")


async def _by_secret(
    name: str, secret: str, request: web.Request, services: Services, *, challenge: bool = False
) -> Client:
    client = services.clients.get(name)
    if client is None or not 0 < len(secret) <= _MAX_SECRET:
        raise _unknown("client", challenge=challenge)
    if any(same_digest(stored, secret) for stored in client.secrets if stored.startswith(DIGEST)):
        return client
    for stored in client.secrets:
        if not stored.startswith(DIGEST) and await _matches(stored, name, secret, request, services):
            return client
    raise _unknown("secret", challenge=challenge)


async def _matches(stored: str, name: str, secret: str, request: web.Request, services: Services) -> bool:
    """Check a secret that somebody thought of: slow on purpose, and no faster for somebody who tries many."""
    async with services.turnstile.attempt(name, request[FACTS].client_address, "client") as attempt:
        right = await services.slow_check(stored, secret)
        if right:
            attempt.succeeded()
        else:
            attempt.failed()
        return right


async def _by_assertion(assertion: str, named: str | None, services: Services) -> Client:
    stated = named_by(assertion)
    client = services.clients.get(stated or "")
    if client is None or named not in (None, stated):
        raise _unknown("assertion_client")
    now = services.clock.wall()
    places = frozenset((services.verifier.issuer, services.token_endpoint))
    judged = judge_assertion(client, assertion, places, now)
    if isinstance(judged, str):
        raise _unknown(judged)
    # Last, so that what is used up was good: nobody can spend a client's assertion without having it.
    if not await services.programs.spend(client, judged, now):
        raise _unknown("assertion_replayed")
    return client


def _unknown(reason: str, *, challenge: bool = False) -> Refused:
    """Return the one refusal of every failed proof; with the challenge that RFC 6749 section 5.2 asks for."""
    return Refused(refuse("invalid_client", reason)._replace(challenge='Basic realm="gateway"' if challenge else ""))
