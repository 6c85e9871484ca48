"""A second factor as it rests beside a user: the secret of their codes, and what is left of their recovery codes.

Sealed under a key of its own and bound to the user, so that a copy of the users' table is not enough to make codes,
and one user's cannot be put in the place of another's. Recovery codes are 80 random bits each; their hashes are kept.
"""

import base64
import hashlib
import hmac
import json
import secrets as randomness
from dataclasses import dataclass, replace

from gateway.tokens.sealing import Seal

RECOVERY_CODES = 10
_RECOVERY_BYTES = 10
_HALF = 8


@dataclass(frozen=True, slots=True, repr=False)
class Factor:
    """What a user's second factor is."""

    secret: str
    recovery: tuple[str, ...] = ()
    """SHA-256 of the codes that were not used yet, in hex."""

    def spend(self, code: str) -> "Factor | None":
        """Return what is left after the recovery code *code* was used; None when it is none of them."""
        mark = _mark(code)
        left = tuple(kept for kept in self.recovery if not hmac.compare_digest(kept, mark))
        return None if len(left) == len(self.recovery) else replace(self, recovery=left)


def with_codes(secret: str) -> tuple[Factor, tuple[str, ...]]:
    """Return a factor of *secret*, and its recovery codes, which nobody can read from it again."""
    codes = tuple(_recovery_code() for _ in range(RECOVERY_CODES))
    return Factor(secret, tuple(_mark(code) for code in codes)), codes


def close(factor: Factor, sub: str, seal: Seal) -> str:
    """Return *factor* of the user *sub*, sealed."""
    return seal.close(json.dumps([factor.secret, *factor.recovery]).encode(), _about(sub))


def open_(text: str, sub: str, seal: Seal) -> Factor | None:
    """Return what `close` sealed; None when the key, the user or a bit of it is another."""
    raw = seal.open(text, _about(sub))
    if raw is None:
        return None
    secret, *recovery = json.loads(raw)
    return Factor(secret, tuple(recovery))


def _about(sub: str) -> bytes:
    return b"second factor\0" + sub.encode("utf-8", "surrogatepass")


def _recovery_code() -> str:
    text = base64.b32encode(randomness.token_bytes(_RECOVERY_BYTES)).decode().lower()
    return f"{text[:_HALF]}-{text[_HALF:]}"


def _mark(code: str) -> str:
    # However it was typed in: without the dash, in capitals, with spaces.
    plain = "".join(char for char in code if char.isalnum()).lower()
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()
