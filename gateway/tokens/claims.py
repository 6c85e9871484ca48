"""What a claim must look like before anyone may rely on it.

Identifiers and names end up in header lines, logs and cache keys, so text that could break a line, hide itself or be
read as something else is no identifier here. All functions are total: they take any JSON value and answer None or
False for what is not right. They judge what is issued and what is verified alike.
"""

import re
from collections.abc import Mapping
from typing import TypeGuard

from gateway.tokens.strict import MAX_TEXT

LAST_SECOND = 253402300799
"""The end of the year 9999: what common date types can hold."""

# Controls (C0, DEL, C1), line and paragraph separators, marks that turn the reading direction around, and unpaired
# surrogates. Joiners stay allowed: Persian and Indic names need them.
_HARMFUL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")

# RFC 6749 section 3.3: printable ASCII without quote and backslash, separated by single spaces.
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,255}(?: [\x21\x23-\x5b\x5d-\x7e]{1,255})*")


def is_text(value: object) -> TypeGuard[str]:
    """Whether *value* is an identifier: 1 to 255 harmless characters without white space at its ends."""
    return (
        type(value) is str
        and 0 < len(value) <= MAX_TEXT
        and (value.isprintable() or _HARMFUL.search(value) is None)
        # "admin " and "admin" are one value to whoever trims header fields (RFC 9110 section 5.5).
        and value == value.strip()
    )


def names(value: object) -> frozenset[str] | None:
    """Read a claim of names (roles, permissions): a list of them, or text, which is one name and never split.

    A comma is refused: upstreams get the names joined by commas, and "a,b" must not become two of them.
    """
    if type(value) is str:
        value = [value]
    elif type(value) is not list:
        return None
    for name in value:
        if not is_text(name) or "," in name:
            return None
    return frozenset(value)


def scopes(value: object) -> frozenset[str] | None:
    """Read the `scope` claim (RFC 9068 section 2.2.3): text, separated by single spaces; empty means none."""
    if value == "":
        return frozenset()
    if type(value) is not str or _SCOPE.fullmatch(value) is None:
        return None
    return frozenset(value.split(" "))


def instant(value: object) -> int | float | None:
    """Read a NumericDate (RFC 7519 section 2): a number of seconds, and nothing that merely looks like one."""
    if (type(value) is int or type(value) is float) and 0 <= value <= LAST_SECOND:
        return value
    return None


def audience(value: object) -> frozenset[str] | None:
    """Read the `aud` claim (RFC 7519 section 4.1.3): text or a list of texts, and not empty."""
    if type(value) is str:
        return frozenset((value,)) if value else None
    if type(value) is not list or not value:
        return None
    for name in value:
        if type(name) is not str or not name:
            return None
    return frozenset(value)


def at(claims: Mapping[str, object], path: str) -> object | None:
    """Return the claim named *path*, or the one reached by it as in `realm_access.roles`; None when there is none.

    A claim of exactly that name comes first (names that are URLs have dots); steps lead through objects only.
    """
    if path in claims:
        return claims[path]
    found: object = claims
    for step in path.split("."):
        if not isinstance(found, Mapping) or step not in found:
            return None
        found = found[step]
    return found
