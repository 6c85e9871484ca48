"""One-time codes that an authenticator app shows (RFC 6238): 6 digits, SHA-1, a new one every 30 seconds.

These are the values every app understands. A code counts one step early and one late, for clocks that are off; which
step it was is what the caller needs, because no step may count twice (RFC 6238 section 5.2).
"""

import hmac
import io

import pyotp
import segno

STEP = 30
"""Seconds."""
DIGITS = 6
_DRIFT = (0, -1, 1)


def new_secret() -> str:
    """Return 160 random bits in base32, the size of the hash (RFC 4226 section 4)."""
    return pyotp.random_base32(32)


def matching_step(secret: str, code: str, now: float) -> int | None:
    """Return the number of the step whose code this is, near *now* (Unix time); None when it is none's."""
    totp = pyotp.TOTP(secret, digits=DIGITS, interval=STEP)
    current = int(now) // STEP
    found = None
    for drift in _DRIFT:  # all three are always compared
        if hmac.compare_digest(totp.generate_otp(current + drift).encode(), code.encode("utf-8", "replace")):
            found = current + drift
    return found


def uri(secret: str, account: str, issuer: str) -> str:
    """Return the otpauth URI that an app reads: the secret, and what to call it."""
    return pyotp.TOTP(secret, digits=DIGITS, interval=STEP).provisioning_uri(name=account, issuer_name=issuer)


def qr_svg(text: str) -> str:
    """Return *text* as a QR code: an SVG element without script and style, black on white, four modules of margin."""
    out = io.BytesIO()
    segno.make_qr(text, error="m").save(
        out, kind="svg", scale=4, border=4, light="#fff", xmldecl=False, svgns=True, nl=False, omitsize=False
    )
    return out.getvalue().decode()
