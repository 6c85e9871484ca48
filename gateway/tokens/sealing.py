"""Keys that rest sealed: AES-256-GCM under a secret that does not lie beside them.

Whoever gets hold of a backup, a volume or the store alone learns nothing and can put nothing in its place. Each text
is bound to what it is about, so that sealed texts cannot be exchanged for one another either (NIST SP 800-38D).
"""

import hashlib
import hmac
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.tokens.base64url import decode, encode

_MARK = "sealed1:"
_NONCE = 12
"""Bytes; random. A key set sees a few dozen of them in its life, far from the 2^32 where chance becomes a risk."""


class Seal:
    """Closes and opens texts with one secret of 32 bytes."""

    __slots__ = ("_cipher", "_marking")

    def __init__(self, secret: bytes) -> None:
        self._cipher = AESGCM(secret)
        self._marking = hmac.digest(secret, b"gateway seal mark", hashlib.sha256)

    def close(self, text: bytes, about: bytes) -> str:
        """Return *text* so that only the same secret and the same *about* open it."""
        nonce = secrets.token_bytes(_NONCE)
        return _MARK + encode(nonce + self._cipher.encrypt(nonce, text, about))

    def mark(self, text: bytes) -> bytes:
        """Return what only the same secret makes of *text*, in hex: for what may be read and not changed."""
        return hmac.digest(self._marking, text, hashlib.sha256).hex()[:32].encode()

    def open(self, sealed: str, about: bytes) -> bytes | None:
        """Return what was closed; None when the secret, *about* or a bit of the text is another."""
        raw = decode(sealed.removeprefix(_MARK).encode("utf-8", "replace"))
        if raw is None or len(raw) <= _NONCE:
            return None
        try:
            return self._cipher.decrypt(raw[:_NONCE], raw[_NONCE:], about)
        except InvalidTag:
            return None


def is_sealed(text: str) -> bool:
    return text.startswith(_MARK)
