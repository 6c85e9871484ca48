"""What must be in no log: looked for in everything that every gateway of the suite writes."""

import re

_FORBIDDEN = {
    "an access token": re.compile(r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,}"),
    "an Authorization header": re.compile(r"\b(?:Bearer|Basic) [A-Za-z0-9._~+/-]{3,}"),
    "a cookie of ours": re.compile(r"__Host-[A-Za-z-]+=[^;\s\"]+"),
    "a password": re.compile(r"\"(?:password|passwd|secret|refresh_token|access_token)\": ?\"[^*\"]"),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY|\"(?:d|p|q|k)\": ?\"[A-Za-z0-9_-]{20,}\""),
    "a password hash": re.compile(r"\$argon2id?\$"),
}


def leaks(text: str) -> list[str]:
    """Return what is in *text*, a log, and must not be: what it is, and the line."""
    return [
        f"{what}: {line[:200]}"
        for line in text.splitlines()
        if line.startswith("{") or "-----BEGIN" in line
        for what, pattern in _FORBIDDEN.items()
        if pattern.search(line)
    ]
