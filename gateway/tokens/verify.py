"""Judging an access token: any bytes in, an `Identity` or the reason why not out.

The order is part of the promise. What costs nothing comes first (form, header, key, a lifetime that is over), so that
a flood of junk never reaches the cryptography; no claim is believed before the signature has been checked. Profile:
RFC 9068 (`at+jwt`) under the advice of RFC 8725.
"""

import math
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from gateway.errors import ConfigError
from gateway.tokens.claims import audience, instant, is_text, names, scopes
from gateway.tokens.ring import KeyRing
from gateway.tokens.signing import VerifyingKey
from gateway.tokens.strict import MAX_TOKEN, Malformed, Parsed, parse

MAX_LEEWAY = 60
"""Seconds; more is a wrong clock, not skew."""

TYPE = "at+jwt"
TYPES = frozenset({TYPE, f"application/{TYPE}"})
"""RFC 9068 section 4; media types are compared without regard to case (RFC 7515 section 4.1.9)."""


class Identity(NamedTuple):
    """Who a request comes from, as a valid token states it. What they may do is judged per request."""

    subject: str
    session: str
    token_id: str
    issuer: str
    client: str
    audience: frozenset[str]
    roles: frozenset[str]
    permissions: frozenset[str]
    scopes: frozenset[str]
    tenant: str | None
    expires: int
    """Unix time, rounded down: at this second, plus the leeway, the token is over."""
    not_before: int
    """Unix time, rounded up; 0 when the token does not say."""
    issued_ms: int
    """Unix time in milliseconds; what a revocation by time is compared with."""
    auth_time: int
    """Unix time of the login; 0, which is never recent, when the token does not say."""
    key: str
    """The `kid` of the key that verified the token."""
    claims: Mapping[str, object]

    @property
    def is_program(self) -> bool:
        """A program got it for itself: no session, no login, no person (RFC 9068 section 2.2)."""
        return self.session == CLIENT_SUBJECT


class Invalid(NamedTuple):
    """A token that does not count. The client learns `code`; `reason` is for log, audit and metrics."""

    code: str
    reason: str
    wait: Callable[[], Awaitable[None]] | None = None
    """Asks the token's issuer for its keys: await it once and judge again, it may have one that is new to us."""


CLIENT_SUBJECT = "client:"
"""Begins the subject of a token that a program got for itself; no person's subject may begin so."""

REASONS = frozenset(
    {
        "malformed",  # not three segments of canonical base64url and strict JSON
        "too_long",
        "header",  # a header member that is not allowed (crit, jku, jwk, zip, enc, ...)
        "algorithm",  # unknown, or not the one of the key
        "typ",  # another kind of token
        "kid",  # missing, or no key of ours
        "signature",
        "expired",
        "not_yet_valid",  # nbf or iat in the future
        "lifetime",  # lives longer than anything we issue
        "issuer",
        "audience",
        "claims",  # a claim is missing, or not of its kind
        "bound",  # cnf: proof of possession is asked for and was not given (RFC 9449 section 7.1)
        "delegated",  # act: someone acts for someone else (RFC 8693 section 4.1)
        "revoked",
        "jwks_unavailable",  # the keys of a trusted issuer could not be fetched yet
        "keys_unavailable",  # no key of ours as far as is known, and the store that keeps them does not answer
    }
)

_TYP = Invalid("token_invalid", "typ")
_KID = Invalid("token_invalid", "kid")
_ALGORITHM = Invalid("token_invalid", "algorithm")
_SIGNATURE = Invalid("token_invalid", "signature")
_EXPIRED = Invalid("token_expired", "expired")
_CLAIMS = Invalid("token_invalid", "claims")
_NOT_YET_VALID = Invalid("token_invalid", "not_yet_valid")


class Verifier:
    """Verifies the tokens of one issuer with the keys of one ring."""

    __slots__ = ("_audience", "_max_lifetime", "_ring", "issuer", "leeway", "max_bytes")

    def __init__(
        self,
        ring: KeyRing,
        issuer: str,
        audience: frozenset[str],
        leeway: float = 5,
        *,
        max_lifetime: int,
        max_bytes: int = MAX_TOKEN,
    ) -> None:
        """Verify what *issuer* signed for any of *audience*.

        *leeway* and *max_lifetime* are seconds: how far clocks may differ, and the longest life any token was given.

        Raises:
            ConfigError: a leeway that would hide a wrong clock, or no audience.
        """
        if not 0 <= leeway <= MAX_LEEWAY:
            raise ConfigError(f"tokens.leeway: {leeway:g} s is not within 0 and {MAX_LEEWAY} s")
        if not issuer or not audience or "" in audience:
            raise ConfigError("tokens.issuer and tokens.audience must not be empty (RFC 8725 sections 3.8 and 3.9)")
        self._ring = ring
        self.issuer = issuer
        self._audience = audience
        self._max_lifetime = max_lifetime
        self.max_bytes = max_bytes
        self.leeway = leeway

    def verify(self, token: bytes, now: float, *, even_expired: bool = False) -> Identity | Invalid:
        """Judge *token* at *now*; pure, and never raises, whatever the bytes.

        With *even_expired* a token that was good once passes as well: enough to end a session, never to use one.
        """
        parsed = parse(token, max_bytes=self.max_bytes)
        if isinstance(parsed, Malformed):
            return Invalid("token_invalid", parsed.reason)
        return self.judge(parsed, now, even_expired=even_expired)

    def over_at(self, identity: Identity) -> float:
        """Return the Unix time from which *identity* counts no more, leeway included."""
        return identity.expires + self.leeway

    def judge(self, parsed: Parsed, now: float, *, even_expired: bool = False) -> Identity | Invalid:
        """Judge a well-formed token; as `verify`."""
        if parsed.typ is None or (parsed.typ != TYPE and parsed.typ.lower() not in TYPES):
            return _TYP
        key = None if parsed.kid is None else self._ring.verifying(parsed.kid)
        if key is None:
            return self._without_key()
        if parsed.alg != key.alg:
            return _ALGORITHM
        expires = instant(parsed.claims.get("exp"))
        if expires is None:
            return _CLAIMS
        if now >= int(expires) + self.leeway and not even_expired:
            return _EXPIRED
        if not signed(key, parsed.signing_input, parsed.signature):
            return _SIGNATURE
        return self._identity(parsed.claims, int(expires), key.kid, now)

    def _without_key(self) -> Invalid:
        """Refuse a token whose key is not in force here; another replica may have signed it with a newer one."""
        wait = self._ring.ask()
        if not self._ring.is_certain:
            return Invalid("store_unavailable", "keys_unavailable", wait)
        return _KID if wait is None else Invalid("token_invalid", "kid", wait)

    def _identity(self, claims: dict[str, object], expires: int, kid: str, now: float) -> Identity | Invalid:
        """Read the claims of a token whose signature is good."""
        if claims.get("iss") != self.issuer:
            return Invalid("token_invalid", "issuer")
        meant_for = audience(claims.get("aud"))
        if meant_for is None or self._audience.isdisjoint(meant_for):
            return Invalid("token_invalid", "audience")
        if "cnf" in claims:
            return Invalid("token_invalid", "bound")
        if "act" in claims:
            return Invalid("token_invalid", "delegated")

        issued = instant(claims.get("iat"))
        not_before = instant(claims.get("nbf", 0))
        logged_in = instant(claims.get("auth_time", 0))
        if issued is None or not_before is None or logged_in is None:
            return _CLAIMS
        stamp = claims.get("iat_ms", int(issued) * 1000)
        # A stamp of another second than `iat` would let a token hide from a revocation by time.
        if type(stamp) is not int or stamp // 1000 != int(issued):
            return _CLAIMS
        if issued > now + self.leeway or not_before > now + self.leeway:
            return _NOT_YET_VALID
        if not 0 < expires - issued <= self._max_lifetime + self.leeway:
            return Invalid("token_invalid", "lifetime")

        subject, session, token_id = claims.get("sub"), claims.get("sid"), claims.get("jti")
        client = claims.get("client_id")
        if "sid" not in claims and client is not None and subject == f"{CLIENT_SUBJECT}{client}":
            session = CLIENT_SUBJECT  # a program's own token belongs to no session, and none has this name
        if not (is_text(subject) and is_text(session) and is_text(token_id) and is_text(client)):
            return _CLAIMS
        tenant: str | None = None
        if "tenant" in claims:
            stated = claims["tenant"]
            if not is_text(stated):
                return _CLAIMS
            tenant = stated
        roles = names(claims.get("roles", []))
        permissions = names(claims.get("permissions", []))
        granted = scopes(claims.get("scope", ""))
        if roles is None or permissions is None or granted is None:
            return _CLAIMS
        return Identity(
            subject,
            session,
            token_id,
            self.issuer,
            client,
            meant_for,
            roles,
            permissions,
            granted,
            tenant,
            expires,
            math.ceil(not_before),
            stamp,
            int(logged_in),
            kid,
            MappingProxyType(claims),
        )


def signed(key: VerifyingKey, signing_input: bytes, signature: bytes) -> bool:
    """Whether *signature* is that of *key*; never raises."""
    try:
        return key.verify(signing_input, signature)
    # Whatever goes wrong inside the cryptography, an unverified token is a refused one and never an error of ours.
    except Exception:
        return False
