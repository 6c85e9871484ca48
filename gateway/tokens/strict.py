"""The strict front parser: everything about a token that can be refused before its signature is looked at.

JOSE libraries forgive what an attacker needs forgiven: junk inside base64, duplicate members (the last one wins),
UTF-16, strings where numbers belong, nesting deep enough to exhaust the stack. So the gateway reads a compact JWS
(RFC 7515 section 7.1) itself, in one way, and gives the library bytes that are already known to be sound.

Accepted: three non-empty base64url segments in their one spelling, a header of `alg`, `typ`, `kid` and `cty` only, and
a claims object. Nothing in the header is ever followed: a token that names a key or a place to fetch one is refused
(RFC 8725 section 3.10), and so is every extension (`crit`, `b64`, `zip`, encryption).
"""

import functools
import json
import math
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple, NoReturn

from gateway.tokens.algorithms import NAMES
from gateway.tokens.base64url import decode

MAX_TOKEN = 8192
"""Bytes; the default bound of a token. Larger ones would not fit the header limits of common servers either."""

MAX_DEPTH = 32
"""Objects and lists inside one another; real tokens use three."""

MAX_TEXT = 255
"""Characters of a name or an identifier (OpenID Connect Core section 2 asks the same of `sub`)."""

_HEADER = frozenset({"alg", "typ", "kid", "cty"})


class Parsed(NamedTuple):
    """A well-formed token. Nothing in it is true yet: the signature has not been checked."""

    header: Mapping[str, object]
    claims: dict[str, object]
    signature: bytes
    signing_input: bytes
    alg: str
    kid: str | None
    typ: str | None


class Malformed(NamedTuple):
    """A token that is refused for its form; `reason` is a word for log and metrics."""

    reason: str


_MALFORMED = Malformed("malformed")


def parse(token: bytes, *, max_bytes: int = MAX_TOKEN) -> Parsed | Malformed:
    """Take *token* apart; total, so that no bytes whatsoever make it raise.

    The reasons are `too_long`, `malformed` (segments, base64, JSON), `header` (a member that is not allowed, or not
    text), `algorithm`, `kid` and `typ`.
    """
    if len(token) > max_bytes:
        return Malformed("too_long")
    segments = token.split(b".")
    if len(segments) != 3:
        return _MALFORMED
    head, claims_json, signature = _read_header(segments[0]), decode(segments[1]), decode(segments[2])
    if head is _MALFORMED or not claims_json or not signature:
        return _MALFORMED
    try:
        claims = strict_json_object(claims_json)
    except ValueError:
        return _MALFORMED
    if isinstance(head, Malformed):
        return head
    header, alg, kid, typ = head
    return Parsed(header, claims, signature, token[: token.rindex(b".")], alg, kid, typ)


class _Header(NamedTuple):
    members: Mapping[str, object]
    alg: str
    kid: str | None
    typ: str | None


# All tokens of one key have the same header, byte for byte; and it says nothing that depends on anything else.
@functools.lru_cache(maxsize=128)
def _read_header(segment: bytes) -> _Header | Malformed:
    raw = decode(segment)
    if not raw:
        return _MALFORMED
    try:
        header = strict_json_object(raw, 2)
    except ValueError:
        return _MALFORMED
    if not _HEADER.issuperset(header):
        return Malformed("header")
    alg, kid, typ = header.get("alg"), header.get("kid"), header.get("typ")
    if type(alg) is not str or alg not in NAMES:
        return Malformed("algorithm")
    if type(kid) is not str:
        if "kid" in header:
            return Malformed("kid")
        kid = None
    elif not 0 < len(kid) <= MAX_TEXT or not kid.isprintable():
        return Malformed("kid")
    if type(typ) is not str:
        if "typ" in header:
            return Malformed("typ")
        typ = None
    if "cty" in header and type(header["cty"]) is not str:
        return Malformed("header")
    return _Header(MappingProxyType(header), alg, kid, typ)


def strict_json_object(raw: bytes, max_depth: int = MAX_DEPTH) -> dict[str, object]:
    """Read one JSON object that every reader understands alike (I-JSON, RFC 7493).

    Raises:
        ValueError: not UTF-8, a byte order mark, not an object, a member named twice, NaN, Infinity or a number too
            large for a double with a fraction or exponent, an unpaired surrogate, or more than *max_depth* objects
            and lists inside one another.
    """
    text = raw.decode("utf-8")
    # Counting is enough for ordinary input; only what has many brackets needs the exact depth.
    if raw.count(b"{") + raw.count(b"[") > max_depth and _depth(text) > max_depth:
        raise ValueError("nested too deeply")
    value, end = _DECODER.raw_decode(text) if text.startswith("{") else (None, -1)
    if end != len(text):
        value = _DECODER.decode(text)  # white space around it, or an error
    if type(value) is not dict:
        raise ValueError("not an object")
    if "\\u" in text and not _encodable(value):
        raise ValueError("unpaired surrogate")
    return value


# A string (even one that never ends, so that the scan stays linear), or one bracket.
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)


def _depth(text: str) -> int:
    depth = deepest = 0
    for found in _STRING_OR_BRACKET.finditer(text):
        match found[0]:
            case "{" | "[":
                depth += 1
                deepest = max(deepest, depth)
            case "}" | "]":
                depth -= 1
    return deepest


def _encodable(value: object) -> bool:
    """Whether all text in *value* can be written as UTF-8, which an unpaired surrogate cannot."""
    match value:
        case str():
            try:
                value.encode("utf-8")
            except UnicodeEncodeError:
                return False
            return True
        case dict():
            return all(_encodable(name) and _encodable(member) for name, member in value.items())
        case list():
            return all(map(_encodable, value))
        case _:
            return True


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is named twice")
    return members


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("number out of range")
    return number


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refused, parse_float=_finite)
