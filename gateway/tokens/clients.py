"""Programs that log in by themselves, and how they prove who they are (RFC 6749 section 2.3, RFC 7523 section 3).

A client shows its secret, or signs a short-lived assertion with a private key whose public half we have. A secret that
was generated has 128 random bits or more, so a plain digest of it keeps it as well as a slow hash would (ASVS 6.5.2);
one that somebody thought of needs argon2id. Nothing here knows a secret itself.
"""

import hashlib
import hmac
from dataclasses import dataclass

from gateway.tokens.claims import audience, instant, is_text
from gateway.tokens.jwks import ForeignKeys
from gateway.tokens.signing import VerifyingKey
from gateway.tokens.strict import Malformed, parse
from gateway.tokens.subject import Subject
from gateway.tokens.verify import CLIENT_SUBJECT, signed

DIGEST = "sha256:"
"""Begins the stored form of a generated secret; 64 hexadecimal digits follow."""
MAX_ASSERTION_LIFE = 3600
"""Seconds from now to `exp`: what common libraries take. An assertion counts once, and is remembered so long."""
ASSERTION_LEEWAY = 30
"""Seconds by which a client's clock may be wrong."""

_TYPES = frozenset((None, "jwt", "application/jwt", "client-authentication+jwt"))
"""Never `at+jwt`: an access token must not pass for its client (RFC 8725 section 3.11)."""


@dataclass(frozen=True, slots=True, eq=False)
class Client:
    """A registered program."""

    name: str
    """Its `client_id`."""
    secrets: tuple[str, ...] = ()
    """Stored forms, any of which counts: `sha256:…`, or argon2id's own."""
    keys: ForeignKeys | None = None
    """Public keys for `private_key_jwt`."""
    roles: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    tenant: str | None = None

    @property
    def subject(self) -> Subject:
        """Who its tokens speak for: itself, by a name that no person has (RFC 9068 section 5)."""
        sub = CLIENT_SUBJECT + self.name
        return Subject(sub, sub, self.roles, self.permissions, self.scopes, self.tenant)


def digest(secret: str) -> str:
    """Return the stored form of a generated secret."""
    return DIGEST + hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def same_digest(stored: str, secret: str) -> bool:
    """Whether *stored* is the digest of *secret*; compared in constant time."""
    return hmac.compare_digest(stored.lower().encode(), digest(secret).encode())


@dataclass(frozen=True, slots=True)
class Assertion:
    """A client's proof, good for one request: nobody may show its `jti` again before `until`."""

    token_id: str
    until: float
    """Unix time from which it would be refused anyway."""


def named_by(assertion: str) -> str | None:
    """Return whom *assertion* claims to be from; nothing about it has been checked."""
    parsed = parse(assertion.encode("utf-8", "surrogatepass"))
    stated = None if isinstance(parsed, Malformed) else parsed.claims.get("sub")
    return stated if type(stated) is str else None


def judge_assertion(client: Client, assertion: str, places: frozenset[str], now: float) -> Assertion | str:
    """Judge *assertion* of *client* at *now*; return why not, for the log, when it is none.

    *places* are the names by which the client may mean us: our issuer and our token endpoint. It must mean us alone,
    so that nobody else it talks to can use what it said (RFC 7523 section 3, 3).
    """
    parsed = parse(assertion.encode("utf-8", "surrogatepass"))
    if isinstance(parsed, Malformed):
        return "assertion_malformed"
    if (parsed.typ if parsed.typ is None else parsed.typ.lower()) not in _TYPES:
        return "assertion_typ"
    key: VerifyingKey | None = None if client.keys is None else client.keys.find(parsed.kid, parsed.alg)
    if key is None:
        return "assertion_key"
    if not signed(key, parsed.signing_input, parsed.signature):
        return "assertion_signature"
    claims = parsed.claims
    if claims.get("iss") != client.name or claims.get("sub") != client.name:
        return "assertion_client"
    meant = audience(claims.get("aud"))
    if meant is None or len(meant) != 1 or not meant <= places:
        return "assertion_audience"
    expires, issued, begins = instant(claims.get("exp")), claims.get("iat"), claims.get("nbf")
    if expires is None or now >= expires + ASSERTION_LEEWAY:
        return "assertion_expired"
    if expires > now + MAX_ASSERTION_LIFE + ASSERTION_LEEWAY:
        return "assertion_lifetime"
    for stated in (issued, begins):
        if stated is not None and ((at := instant(stated)) is None or at > now + ASSERTION_LEEWAY):
            return "assertion_not_yet_valid"
    token_id = claims.get("jti")
    if not is_text(token_id):
        return "assertion_jti"
    return Assertion(token_id, expires + ASSERTION_LEEWAY)
