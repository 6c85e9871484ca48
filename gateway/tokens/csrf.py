"""Telling the person's own requests from those another site makes in their name.

Only credentials that the browser adds by itself (cookies) need this, and only for methods that change something. The
browser's own word counts first (`Sec-Fetch-Site`, which no page can set), then `Origin`, and where neither was sent
the client must show a token that is bound to its session.
"""

import hashlib
import hmac
import secrets as randomness

from gateway.tokens.base64url import decode, encode
from gateway.tokens.secrets import Secrets

LENGTH = 64
"""Characters: 16 random bytes and a MAC of 32, base64url without spare bits."""

_RANDOM = 16


def mint(secrets: Secrets, session: str) -> str:
    """Return a token for *session*; it lasts as long as the session does, and differs each time (BREACH)."""
    random = randomness.token_bytes(_RANDOM)
    return encode(random + _mac(secrets, session, random))


def check(secrets: Secrets, session: str, token: str) -> bool:
    """Whether *token* was minted for *session*; compared in constant time, and never raises."""
    if len(token) != LENGTH or not token.isascii():
        return False
    raw = decode(token.encode("ascii"))
    if raw is None:
        return False
    random, mac = raw[:_RANDOM], raw[_RANDOM:]
    return hmac.compare_digest(mac, _mac(secrets, session, random))


def kept(secrets: Secrets, session: str, token: str | None) -> str:
    """Return the browser's own *token* while it is good for *session*, so that all its tabs have the same one."""
    return token if token is not None and check(secrets, session, token) else mint(secrets, session)


def judge(
    *,
    fetch_site: bytes | None,
    origin: bytes | None,
    token: str | None,
    session: str,
    secrets: Secrets,
    own_origins: frozenset[bytes],
    navigation: bool = False,
) -> bool:
    """Whether a request that changes something, made with a cookie, comes from our own pages.

    *fetch_site*, *origin* and *token* are the fields `Sec-Fetch-Site`, `Origin` and `X-CSRF-Token`, None when absent.
    *own_origins* are ours and those that are allowed to act for us, from the configuration and never from `Host`.
    """
    match fetch_site:
        case b"same-origin":
            return True
        case b"none":
            # Typed, bookmarked or out of another program; a script cannot make this.
            return navigation
        case b"same-site":
            return origin is not None and origin in own_origins
        case bytes():
            return False
    if origin is not None:
        return origin != b"null" and origin in own_origins
    return token is not None and check(secrets, session, token)


def _mac(secrets: Secrets, session: str, random: bytes) -> bytes:
    # The random part has a fixed length and comes last, so the parts cannot run into one another.
    message = b"csrf\0" + session.encode("utf-8", "surrogatepass") + b"\0" + random
    return hmac.digest(secrets.csrf, message, hashlib.sha256)
