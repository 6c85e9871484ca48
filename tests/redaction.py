"""What must be in no log (identity.md 4, 157): looked for in everything that is logged while the suite runs.

`conftest` looks through what each test's own process has written, and a started gateway is looked through when it
stops (`tests/journeys/house.py`). Only lines of logs are looked at: a test may print what it likes.
"""

import re

_LOGGED = re.compile(r"\{\"|(?:\x1b\[[0-9;]*m)*\d\d:\d\d:\d\d |.*-----BEGIN")
"""How a line of a log begins: as JSON, as text for people, or with somebody's key in it."""
_PASSWORDS = ("demo", "hunter2", "swordfish", "correct horse battery", "open sesame")
"""Those that tests log in with."""

_FORBIDDEN = {
    "an access token": re.compile(r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,}"),
    "a refresh token": re.compile(r"gwr_[A-Za-z0-9_-]{20,}"),
    "an Authorization header": re.compile(r"\b(?:Bearer|Basic) [A-Za-z0-9._~+/-]{3,}"),
    "a cookie of ours": re.compile(r"__Host-[A-Za-z-]+=[^;\s\"]+"),
    "a password by its name": re.compile(
        r"\"(?:password|passwd|secret|refresh_token|access_token)\": ?\"[^*\"]"
        r"|\b(?:password|passwd|secret|refresh_token|access_token)='?[^*'\s]"
    ),
    "a password of the tests": re.compile(
        rf"(?<!\"upstream\":)(?<!\"upstream\": )\"(?:{'|'.join(_PASSWORDS)})\"|hunter2|swordfish|correct horse"
    ),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY|\"(?:d|p|q|k)\": ?\"[A-Za-z0-9_-]{20,}\""),
    "a password hash": re.compile(r"\$argon2id?\$|\$2[aby]\$\d\d\$"),
}


def leaks(text: str) -> list[str]:
    """Return what is in *text*, a log, and must not be: what it is, and the line."""
    return [
        f"{what}: {line[:200]}"
        for line in text.splitlines()
        if _LOGGED.match(line)
        for what, pattern in _FORBIDDEN.items()
        if pattern.search(line)
    ]
