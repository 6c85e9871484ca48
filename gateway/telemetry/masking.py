"""Query strings fit for a log: values of parameters that look like secrets are masked."""

import re

_SECRET = re.compile(
    rb"([?&][^=&]*(?:token|secret|password|passwd|pwd|code|key|signature|sig|auth|credential|session|jwt|otp)[^=&]*)=[^&]*",
    re.IGNORECASE,
)
_TOKEN = re.compile(rb"=(?:eyJ|gwr_)[^&]*")


def masked(query: bytes) -> bytes:
    """Return *query* ("?" included) with the values of telling names, and what looks like one of our tokens, as ***."""
    return _TOKEN.sub(b"=***", _SECRET.sub(rb"\1=***", query))


_IN_TEXT = re.compile(r"(?:eyJ|gwr_)[A-Za-z0-9_.-]{8,}")


def without_tokens(text: str) -> str:
    """Return *text* with whatever looks like a JWT or one of our refresh tokens as ***."""
    return _IN_TEXT.sub("***", text)
