"""Making tokens of every kind, the wrong ones above all: what the gateway's issuer would never sign."""

import functools
import json
from collections.abc import Iterable, Mapping
from typing import Any

from gateway.tokens.base64url import encode
from gateway.tokens.issue import Issuer
from gateway.tokens.keys import KeyRing, SigningKey, VerifyingKey, generate_key
from gateway.tokens.subject import Subject
from gateway.tokens.verify import Identity, Invalid, Verifier

NOW = 1_700_000_000
ISSUER = "https://gateway.example"
AUDIENCE = "https://api.example"
TTL = 600
LEEWAY = 5

ALGORITHMS = (*(f"{family}{bits}" for family in ("HS", "RS", "PS", "ES") for bits in (256, 384, 512)), "EdDSA")

ABSENT: Any = object()
"""As the value of a change: the member is left out."""


def key_for(alg: str, number: int = 0) -> SigningKey:
    """Return a key for *alg*, made once; another *number* is another key."""
    return _made(alg, number)


@functools.cache
def _made(alg: str, number: int) -> SigningKey:
    return generate_key(alg)


def ring_for(alg: str, number: int = 0) -> KeyRing:
    return KeyRing([key_for(alg, number)])


def ring_of(*keys: VerifyingKey) -> KeyRing:
    return KeyRing(keys)


def changed(members: Mapping[str, object], changes: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in {**members, **changes}.items() if value is not ABSENT}


def claims(**changes: object) -> dict[str, object]:
    """Return the claims of a good token issued a second ago, with *changes*."""
    good: dict[str, object] = {
        "iss": ISSUER,
        "sub": "alice",
        "aud": [AUDIENCE],
        "client_id": "gateway",
        "iat": NOW - 1,
        "exp": NOW - 1 + TTL,
        "jti": "token-1",
        "sid": "session-1",
        "iat_ms": (NOW - 1) * 1000 + 250,
        "auth_time": NOW - 1,
        "amr": ["pwd"],
        "roles": ["user"],
    }
    return changed(good, changes)


def header(key: VerifyingKey, **changes: object) -> dict[str, object]:
    return changed({"alg": key.alg, "typ": "at+jwt", "kid": key.kid}, changes)


def text(value: object) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()


def signed(key: SigningKey, head: object = None, body: object = None) -> bytes:
    """Return a token signed by *key* over *head* and *body*: objects, or the exact bytes of a segment's content."""
    return seal(key, text(header(key) if head is None else head), text(claims() if body is None else body))


def seal(key: SigningKey, head: bytes, body: bytes) -> bytes:
    signing_input = f"{encode(head)}.{encode(body)}".encode()
    return signing_input + b"." + encode(key.sign(signing_input)).encode()


def unsigned(head: object, body: object, signature: bytes = b"\x00" * 32) -> bytes:
    return f"{encode(text(head))}.{encode(text(body))}.{encode(signature)}".encode()


def verifier(
    ring: KeyRing,
    issuer: str = ISSUER,
    audience: Iterable[str] = (AUDIENCE,),
    leeway: float = LEEWAY,
    max_lifetime: int = TTL,
) -> Verifier:
    return Verifier(ring, issuer, frozenset(audience), leeway, max_lifetime=max_lifetime)


def issuer(ring: KeyRing) -> Issuer:
    return Issuer(ring, ISSUER, (AUDIENCE,), "gateway", TTL)


def issued(ring: KeyRing, subject: Subject | None = None, session: str = "session-1") -> bytes:
    """Return a token as the gateway issues it."""
    subject = subject or Subject("alice", "alice", ("user", "admin"))
    made = issuer(ring).access_token(subject, session=session, stamp_ms=NOW * 1000, auth_time=NOW)
    return made.token.encode()


def judged(token: bytes, key: SigningKey | None = None, now: float = NOW) -> Identity | Invalid:
    """Judge *token* with a verifier that trusts *key* alone."""
    return verifier(ring_of(key or key_for("EdDSA"))).verify(token, now)


def why(token: bytes, key: SigningKey | None = None, now: float = NOW) -> str:
    """Return the reason for which *token* is refused; "accepted" when it is not."""
    match judged(token, key, now):
        case Invalid(reason=reason):
            return reason
        case _:
            return "accepted"
