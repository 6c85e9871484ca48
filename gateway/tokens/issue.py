"""Issuing access tokens (RFC 9068): what the gateway states about a person, signed.

An issuer never signs what the gateway would refuse: the same functions judge the claims here and at the gate, so a
role with a comma in it fails the login that would carry it and not every request after.
"""

import json
import secrets
from collections.abc import Sequence
from typing import NamedTuple

from gateway.errors import ConfigError, GatewayError
from gateway.tokens.base64url import encode
from gateway.tokens.claims import is_text, names
from gateway.tokens.claims import scopes as read_scopes
from gateway.tokens.ring import KeyRing
from gateway.tokens.strict import MAX_TOKEN, Malformed, parse
from gateway.tokens.subject import Subject
from gateway.tokens.verify import CLIENT_SUBJECT, TYPE

_SET = "iss sub aud client_id iat nbf exp jti sid iat_ms auth_time amr acr azp scope roles permissions tenant"
_MEANT_OTHERWISE = "cnf act may_act nonce at_hash c_hash events token_use"
RESERVED = frozenset({*_SET.split(), *_MEANT_OTHERWISE.split()})
"""Claims that the gateway sets, or that would change what a token is; a user store cannot."""


class Unissuable(GatewayError):
    """What the user store says about a person cannot be put into a token; the message says which part."""


class AccessToken(NamedTuple):
    """A signed access token."""

    token: str
    expires_in: int
    """Seconds from its issue."""
    jti: str
    expires_at: int
    """Unix time by the store's clock."""


class Issuer:
    """Signs access tokens with the current key of a ring."""

    __slots__ = ("_access_ttl", "_audience", "_client_id", "_issuer", "_max_bytes", "_ring")

    def __init__(
        self,
        ring: KeyRing,
        issuer: str,
        audience: tuple[str, ...],
        client_id: str,
        access_ttl: int,
        *,
        max_bytes: int = MAX_TOKEN,
    ) -> None:
        """Issue for *audience* in the name of *issuer*; a token lives *access_ttl* seconds.

        Raises:
            ConfigError: something of it is empty, or tokens would be born expired.
        """
        if not issuer or not audience or not all(audience) or not is_text(client_id):
            raise ConfigError("tokens.issuer, tokens.audience and login.client_id must not be empty")
        if access_ttl < 1:
            raise ConfigError(f"tokens.access_ttl: {access_ttl} s is no lifetime, write 10m for instance")
        self._ring = ring
        self._issuer = issuer
        self._audience = audience
        self._client_id = client_id
        self._access_ttl = access_ttl
        self._max_bytes = max_bytes

    def access_token(
        self,
        subject: Subject,
        *,
        session: str,
        stamp_ms: int,
        auth_time: int,
        amr: Sequence[str] = ("pwd",),
        scopes: Sequence[str] | None = None,
    ) -> AccessToken:
        """Sign a token for *subject* in *session*; about 1 ms with RSA, so call it in the hash pool.

        *stamp_ms* is the store's clock: `iat`, `exp` and `iat_ms` all come from it, so that a revocation and the
        tokens before and after it are ordered by one clock. Without *scopes* the subject's own are granted.

        Raises:
            Unissuable: the claims would be refused at the gate, are not JSON, or are too many for a token.
        """
        granted = tuple(subject.scopes if scopes is None else scopes)
        _refuse_unusable(subject, session, granted)
        if subject.sub.startswith(CLIENT_SUBJECT):
            raise Unissuable(f"sub must not begin with {CLIENT_SUBJECT}, which names programs")
        login = {"sid": session, "auth_time": auth_time, "amr": list(amr)}
        return self._issue(subject, self._client_id, stamp_ms, granted, login)

    def client_token(
        self, client_id: str, subject: Subject, *, stamp_ms: int, scopes: Sequence[str] = ()
    ) -> AccessToken:
        """Sign a token that a program gets for itself (RFC 6749 section 4.4); it belongs to no session and no login.

        Raises:
            Unissuable: as `access_token`.
        """
        granted = tuple(scopes)
        _refuse_unusable(subject, CLIENT_SUBJECT, granted)
        return self._issue(subject, client_id, stamp_ms, granted, {})

    def _issue(
        self, subject: Subject, client_id: str, stamp_ms: int, granted: tuple[str, ...], login: dict[str, object]
    ) -> AccessToken:
        issued = stamp_ms // 1000
        expires = issued + self._access_ttl
        jti = secrets.token_urlsafe(16)
        claims: dict[str, object] = {
            "iss": self._issuer,
            "sub": subject.sub,
            "aud": list(self._audience),
            "client_id": client_id,
            "iat": issued,
            "exp": expires,
            "jti": jti,
            "iat_ms": stamp_ms,
            **login,
            "roles": list(subject.roles),
        }
        if granted:
            claims["scope"] = " ".join(granted)
        if subject.permissions:
            claims["permissions"] = list(subject.permissions)
        if subject.tenant is not None:
            claims["tenant"] = subject.tenant
        claims.update((name, value) for name, value in subject.claims.items() if name not in RESERVED)
        return AccessToken(self._signed(claims), self._access_ttl, jti, expires)

    def _signed(self, claims: dict[str, object]) -> str:
        key = self._ring.signing()
        signing_input = f"{_segment({'alg': key.alg, 'typ': TYPE, 'kid': key.kid})}.{_segment(claims)}"
        token = f"{signing_input}.{encode(key.sign(signing_input.encode()))}"
        match parse(token.encode(), max_bytes=self._max_bytes):
            case Malformed(reason="too_long"):
                raise Unissuable(
                    f"the token would have {len(token)} bytes where {self._max_bytes} are allowed: too many roles, "
                    "permissions or extra claims"
                )
            case Malformed():
                raise Unissuable("the extra claims are not JSON that every reader understands alike")
            case _:
                return token


def _refuse_unusable(subject: Subject, session: str, granted: tuple[str, ...]) -> None:
    if not is_text(subject.sub):
        raise Unissuable("sub must be 1 to 255 characters without control characters or white space at its ends")
    if not is_text(session):
        raise Unissuable("the session is no identifier")
    if subject.tenant is not None and not is_text(subject.tenant):
        raise Unissuable("tenant must be 1 to 255 characters without control characters")
    for kind, given in (("role", subject.roles), ("permission", subject.permissions)):
        for name in given:
            if names([name]) is None:
                raise Unissuable(f"a {kind} must be 1 to 255 characters without commas or control characters")
    # Each by itself: a scope with a space in it would be read as two.
    if not all(read_scopes(scope) == frozenset((scope,)) for scope in granted):
        raise Unissuable("a scope must be printable ASCII without spaces, quotes and backslashes (RFC 6749 3.3)")


def _segment(content: dict[str, object]) -> str:
    try:
        return encode(json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise Unissuable("the extra claims cannot be written as JSON") from error
