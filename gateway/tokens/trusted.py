"""Tokens of trusted issuers, judged beside our own.

The issuer is chosen by the exact `iss` of a well-formed token and the key by issuer and `kid` together, so that no
issuer can speak for another (RFC 8725 section 3.8). Nothing of a foreign token counts but what the operator named: its
roles only through a map, its tenant, scopes and permissions only from the claims that were written down.

Identifiers of a foreign token (session, `jti`, client, key) begin with the name of its issuer and a colon. So a
revocation of ours never meets one of theirs, and no foreign token can name a session of ours.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from gateway.paths import reached
from gateway.tokens.cache import Verified
from gateway.tokens.claims import audience, instant, is_text, names, scopes
from gateway.tokens.jwks import ForeignKeys
from gateway.tokens.signing import VerifyingKey
from gateway.tokens.strict import Malformed, Parsed, parse
from gateway.tokens.subject import Brought, permissions_of
from gateway.tokens.verify import TYPES, Identity, Invalid, Verifier, signed

Path = tuple[str, ...]

_ANY_TYPE = TYPES | {"jwt", "application/jwt"}
"""What providers put on access tokens. Never `logout+jwt`, `dpop+jwt` and the like (RFC 8725 section 3.11)."""
_NONE: frozenset[str] = frozenset()

_TYP = Invalid("token_invalid", "typ")
_ALGORITHM = Invalid("token_invalid", "algorithm")
_SIGNATURE = Invalid("token_invalid", "signature")
_EXPIRED = Invalid("token_expired", "expired")
_CLAIMS = Invalid("token_invalid", "claims")


@dataclass(frozen=True, slots=True, eq=False)
class TrustedIssuer:
    """Whose tokens count, for what, and how they are read."""

    name: str
    """Ours for it; begins its identifiers."""
    issuer: str
    keys: ForeignKeys
    audience: frozenset[str]
    algorithms: frozenset[str]
    audience_claim: Path = ("aud",)
    any_type: bool = True
    """Also tokens that do not say `at+jwt`."""
    require: tuple[tuple[Path, str], ...] = ()
    roles: Path | None = None
    role_map: Mapping[str, frozenset[str]] = field(default_factory=dict)
    permissions: Path | None = None
    scopes: Path | None = None
    tenant: Path | None = None
    subject_prefix: str = ""
    max_token_age: float = 86400
    leeway: float = 30

    def judge(self, parsed: Parsed, now: float) -> Identity | Invalid:
        """Judge a well-formed token whose `iss` is this issuer; never raises."""
        typ = parsed.typ
        if typ is None:
            if not self.any_type:
                return _TYP
        elif typ.lower() not in (_ANY_TYPE if self.any_type else TYPES):
            return _TYP
        if parsed.alg not in self.algorithms:
            return _ALGORITHM
        claims = parsed.claims
        expires, issued = instant(claims.get("exp")), instant(claims.get("iat"))
        if expires is None or issued is None:
            return _CLAIMS
        end = int(min(expires, issued + self.max_token_age))
        if now >= end + self.leeway:
            return _EXPIRED
        key = self.keys.find(parsed.kid, parsed.alg)
        if key is None:
            return self._without_key(parsed)
        if not signed(key, parsed.signing_input, parsed.signature):
            return _SIGNATURE
        return self._identity(parsed, key, end, issued, now)

    def _without_key(self, parsed: Parsed) -> Invalid:
        if self.keys.has(parsed.kid):
            return _ALGORITHM
        wait = self.keys.ask()
        if not self.keys.known:
            # Nothing is known about the token, so it is not its fault.
            return Invalid("store_unavailable", "jwks_unavailable", wait)
        return Invalid("token_invalid", "kid", wait)

    def _identity(self, parsed: Parsed, key: VerifyingKey, end: int, issued: float, now: float) -> Identity | Invalid:
        """Read the claims of a token whose signature is good."""
        claims = parsed.claims
        meant_for = audience(reached(claims, self.audience_claim))
        if meant_for is None or self.audience.isdisjoint(meant_for):
            return Invalid("token_invalid", "audience")
        if "cnf" in claims:
            return Invalid("token_invalid", "bound")
        if "act" in claims:
            return Invalid("token_invalid", "delegated")
        # `events` makes it a logout token or a security event, whatever its type says (RFC 8417 section 2.2).
        if "events" in claims or any(reached(claims, path) != value for path, value in self.require):
            return _CLAIMS
        not_before = instant(claims.get("nbf", 0))
        if not_before is None:
            return _CLAIMS
        if issued > now + self.leeway or not_before > now + self.leeway:
            return Invalid("token_invalid", "not_yet_valid")
        if end <= issued:
            return Invalid("token_invalid", "lifetime")
        subject, session, token_id = claims.get("sub"), claims.get("sid", ""), claims.get("jti", "")
        client = claims.get("azp", claims.get("client_id", claims.get("appid", "")))
        if not is_text(subject) or not is_text(self.subject_prefix + subject):
            return _CLAIMS
        for stated in (session, token_id, client):
            if stated != "" and not is_text(stated):
                return _CLAIMS
        roles, permissions, granted = self._roles(claims), self._names(claims), self._scopes(claims)
        tenant = None if self.tenant is None else reached(claims, self.tenant)
        if roles is None or permissions is None or granted is None or not (tenant is None or is_text(tenant)):
            return _CLAIMS
        return Identity(
            self.subject_prefix + subject,
            f"{self.name}:{session}",
            f"{self.name}:{token_id}" if token_id else "",
            self.issuer,
            f"{self.name}:{client}",
            meant_for,
            roles,
            permissions,
            granted,
            tenant,
            end,
            math.ceil(not_before),
            int(issued * 1000),
            int(instant(claims.get("auth_time", 0)) or 0),
            f"{self.name}:{parsed.kid or key.kid}",
            MappingProxyType(claims),
        )

    def _roles(self, claims: Mapping[str, object]) -> frozenset[str] | None:
        """Return our roles for theirs; what has no counterpart is dropped, also names that we could not use."""
        theirs = [] if self.roles is None else reached(claims, self.roles)
        match theirs:
            case None:
                return _NONE
            case str():
                theirs = [theirs]
            case list() if all(isinstance(name, str) for name in theirs):
                pass
            case _:
                return None
        return _NONE.union(*(self.role_map.get(name, _NONE) for name in theirs))

    def _names(self, claims: Mapping[str, object]) -> frozenset[str] | None:
        found = None if self.permissions is None else reached(claims, self.permissions)
        return _NONE if found is None else names(found)

    def _scopes(self, claims: Mapping[str, object]) -> frozenset[str] | None:
        found = None if self.scopes is None else reached(claims, self.scopes)
        if isinstance(found, list) and all(isinstance(name, str) for name in found):
            found = " ".join(found)  # some providers list them
        return _NONE if found is None else scopes(found)


class Verifiers:
    """Our own verifier, and a trusted issuer for each other `iss`: the same question for all of them."""

    __slots__ = ("_brought", "_by_issuer", "_own")

    def __init__(self, own: Verifier, issuers: Iterable[TrustedIssuer], brought: Brought) -> None:
        """*brought* is what our roles bring along: our own tokens state it, others' tokens cannot."""
        self._own = own
        self._brought = brought
        self._by_issuer = {one.issuer: one for one in issuers if one.issuer != own.issuer}

    def verify(self, token: bytes, now: float) -> Identity | Invalid:
        """Judge *token* at *now*; pure, and never raises, whatever the bytes."""
        parsed = parse(token, max_bytes=self._own.max_bytes)
        if isinstance(parsed, Malformed):
            return Invalid("token_invalid", parsed.reason)
        stated = parsed.claims.get("iss")
        other = self._by_issuer.get(stated) if type(stated) is str else None
        if other is None:
            return self._own.judge(parsed, now)
        found = other.judge(parsed, now)
        if type(found) is Identity and (brought := permissions_of(found.roles, self._brought)):
            return found._replace(permissions=found.permissions | brought)
        return found

    def over_at(self, identity: Identity) -> float:
        """Return the Unix time from which *identity* counts no more, leeway included."""
        other = self._by_issuer.get(identity.issuer)
        return self._own.over_at(identity) if other is None else identity.expires + other.leeway


class Checks(Protocol):
    """What judges tokens, revocations included."""

    def check(self, token: bytes, now: float) -> Verified | Invalid: ...


class OwnTokens:
    """Judges tokens and accepts only our own: sessions, logins and logouts are no business of a foreign token."""

    __slots__ = ("_issuer", "_tokens")

    def __init__(self, tokens: Checks, issuer: str) -> None:
        self._tokens = tokens
        self._issuer = issuer

    def check(self, token: bytes, now: float) -> Verified | Invalid:
        found = self._tokens.check(token, now)
        if isinstance(found, Verified) and found.identity.issuer != self._issuer:
            return Invalid("token_invalid", "issuer")
        return found
