"""The mark that a login leaves in a browser: whoever shows it is not held up by what strangers guess at the account.

It says that somebody logged in to one account with this browser, and nothing else: it is no credential, and the
password is asked for as always. The account is not readable from it, only checked. A stolen one buys a thief a few
tries, as from one more address, since each mark has its own count, and all marks of an account have one together.

Source: OWASP, "Slow down online guessing attacks with device cookies".
"""

import hashlib
import hmac
import secrets as randomness

from gateway.tokens.base64url import decode, encode
from gateway.tokens.secrets import Secrets

DEVICE_TTL = 180 * 86_400
"""Seconds a mark counts for; every login by cookie renews it."""

_ID, _TIME = 16, 6
"""Bytes of the random name of the browser, and of the Unix time the mark was made."""
_LENGTH = 72
"""Characters: both and a MAC of 32 bytes, base64url without spare bits."""


def mint(secrets: Secrets, account: str, now: float, device: str = "") -> str:
    """Return a mark for *account*; the browser keeps the name *device* where it has one, as `read` returned it."""
    body = (bytes.fromhex(device) or randomness.token_bytes(_ID)) + int(now).to_bytes(_TIME, "big")
    return encode(body + _mac(secrets, account, body))


def read(secrets: Secrets, account: str, mark: str | None, now: float) -> str:
    """Return the name of the browser with *mark*, in hex; "" when it is none for *account*, or too old."""
    raw = decode(mark.encode("ascii")) if mark and mark.isascii() and len(mark) == _LENGTH else None
    if raw is None:
        return ""
    body, mac = raw[: _ID + _TIME], raw[_ID + _TIME :]
    if not hmac.compare_digest(mac, _mac(secrets, account, body)):
        return ""
    return body[:_ID].hex() if now < int.from_bytes(body[_ID:], "big") + DEVICE_TTL else ""


def _mac(secrets: Secrets, account: str, body: bytes) -> bytes:
    # The body has a fixed length and comes last, so the parts cannot run into one another.
    message = b"device\0" + account.encode("utf-8", "surrogatepass") + b"\0" + body
    return hmac.digest(secrets.device, message, hashlib.sha256)
