"""Refresh tokens: opaque to everyone else, checkable here without asking the store.

`gwr_` and 88 characters of base64url over 66 bytes:

    version 1 | key 1 | subject tag 12 | session 16 | family 16 | counter 4 | MAC 16

66 is a multiple of 3, so no bit is spare and there is one spelling. The MAC is checked before any call to the store,
so forgeries end here; to make one takes this installation's key *and* the family secret, which is nowhere but in the
person's own token. The next token differs in the counter alone: asked twice for it, the gateway gives the same one.
"""

import hashlib
import hmac
import struct
from typing import NamedTuple

from gateway.tokens.base64url import decode, encode
from gateway.tokens.secrets import Secrets

PREFIX = "gwr_"
"""Lets secret scanners find a leaked token."""

LENGTH = 92
"""Characters of every refresh token."""

_VERSION = 1
# Names the MAC key, so that a later one can be told from it while both are in use.
_KEY = 1
_LAYOUT = struct.Struct(">BB12s16s16sI")
_MAC_SIZE = 16

LAST_COUNTER = 2**32 - 1


class RefreshToken(NamedTuple):
    """What a refresh token says."""

    tag: bytes
    """12 bytes: the subject, see `secrets.subject_tag`."""
    session: bytes
    """16 bytes."""
    family: bytes
    """16 bytes, known to the client alone; the store has its SHA-256."""
    counter: int
    """How many times the family has rotated."""


def mint(secrets: Secrets, token: RefreshToken) -> str:
    """Return the text of *token*, always the same for the same one.

    Raises:
        ValueError: a part has the wrong length, or the counter does not fit 32 bits.
    """
    sizes = (len(token.tag), len(token.session), len(token.family))
    if sizes != (12, 16, 16) or not 0 <= token.counter <= LAST_COUNTER:
        raise ValueError("not the parts of a refresh token")
    body = _LAYOUT.pack(_VERSION, _KEY, *token)
    return PREFIX + encode(body + _mac(secrets, body))


def parse(secrets: Secrets, text: str) -> RefreshToken | None:
    """Read a refresh token of ours; None for anything else, and never raises."""
    if len(text) != LENGTH or not text.startswith(PREFIX) or not text.isascii():
        return None
    raw = decode(text[len(PREFIX) :].encode("ascii"))
    if raw is None:
        return None
    body, mac = raw[:-_MAC_SIZE], raw[-_MAC_SIZE:]
    if not hmac.compare_digest(mac, _mac(secrets, body)):
        return None
    version, key, tag, session, family, counter = _LAYOUT.unpack(body)
    if version != _VERSION or key != _KEY:
        return None
    return RefreshToken(tag, session, family, counter)


def _mac(secrets: Secrets, body: bytes) -> bytes:
    return hmac.digest(secrets.refresh_mac, body, hashlib.sha256)[:_MAC_SIZE]
