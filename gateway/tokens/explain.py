"""A token in words: what it says, and what is wrong with it and where.

For people at a terminal. Whatever the bytes are, something can be said about them; nothing said here decides anything,
the verifier alone does. Values are shown as ASCII JSON, so that a hostile token cannot move the cursor or hide a line.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from gateway.tokens.algorithms import SCHEMES
from gateway.tokens.base64url import decode
from gateway.tokens.claims import LAST_SECOND
from gateway.tokens.strict import MAX_TOKEN, Malformed, parse, strict_json_object

_NAMES = ("header", "claims", "signature")
_TIMES = frozenset({"exp", "nbf", "iat", "auth_time", "updated_at"})
_ALPHABET = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
_MEMBERS = frozenset({"alg", "typ", "kid", "cty"})
_LONGEST = 500

_REASONS = {
    "malformed": "it is not three segments of base64url with JSON in the first two",
    "too_long": "it is longer than server.limits.token allows",
    "header": "its header has members that are not allowed",
    "algorithm": "its algorithm is unknown, or not the one its key is bound to",
    "typ": "it is another kind of token: an access token has typ at+jwt (RFC 9068 section 4)",
    "kid": "no key in force has its kid: it was signed by somebody else, or its key has been removed",
    "signature": "the signature does not fit: it was changed, or signed with another key",
    "expired": "it has expired",
    "not_yet_valid": "its iat or nbf lies in the future",
    "lifetime": "it would live longer than any token that is issued here",
    "issuer": "its iss is neither the gateway's nor that of a trusted issuer",
    "audience": "its aud names none of the audiences that are accepted here",
    "claims": "a claim is missing or not of its kind",
    "bound": "it is bound to a key of its holder (cnf), and a proof is not asked for here",
    "delegated": "it speaks for somebody else (act)",
    "revoked": "it was revoked",
    "jwks_unavailable": "the keys of its issuer have not been fetched",
    "keys_unavailable": "the store that keeps the keys does not answer",
}


class Explanation(NamedTuple):
    """What there is to say about a token."""

    header: Mapping[str, object] | None
    """None when it cannot be read, not even leniently."""
    claims: Mapping[str, object] | None
    faults: tuple[str, ...]
    """Of its form; no claim and no signature is judged here."""
    signature_bytes: int


def explain(token: bytes, max_bytes: int = MAX_TOKEN) -> Explanation:
    """Look at any bytes as a token."""
    faults = list(_outer_faults(token, max_bytes))
    segments = token.strip().split(b".")
    readings: list[Mapping[str, object] | None] = [None, None]
    for at, segment in enumerate(segments[:3] if len(segments) == 3 else []):
        if fault := _segment_fault(segment):
            faults.append(f"{_NAMES[at]} (segment {at + 1}): {fault}")
        elif at < 2:
            raw = decode(segment) or b""
            try:
                readings[at] = strict_json_object(raw)
            except ValueError as error:
                faults.append(f"{_NAMES[at]} (segment {at + 1}): {_json_fault(error)}")
                readings[at] = _lenient(raw)
    header = readings[0]
    if header is not None:
        faults += _header_faults(header)
    if not faults and isinstance(judged := parse(token, max_bytes=max_bytes), Malformed):
        faults.append(_REASONS.get(judged.reason, judged.reason))
    signature = decode(segments[2]) if len(segments) == 3 else None
    return Explanation(header, readings[1], tuple(faults), len(signature or b""))


def words(reason: str) -> str:
    """Return what the verifier's *reason* means."""
    return _REASONS.get(reason, reason)


def lines(explanation: Explanation, now: float) -> Iterator[str]:
    """Yield the token's content for a terminal."""
    for title, members in (("header", explanation.header), ("claims", explanation.claims)):
        yield title
        if members is None:
            yield "  cannot be read"
            continue
        width = max((len(_shown(name)) for name in members), default=0)
        for name, value in members.items():
            remark = _remark(name, value, now)
            yield f"  {_shown(name):{width}}  {_json(value)}" + (f"   {remark}" if remark else "")
    yield f"signature  {explanation.signature_bytes} bytes"


def when(second: float, now: float) -> str:
    """Return a time of Unix as people read it, with how far away it is."""
    stamp = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    away = span(abs(second - now))
    return f"{stamp}, {'in ' + away if second > now else away + ' ago'}"


def span(seconds: float) -> str:
    """Return a duration in its two largest units: ``2 h 5 min``."""
    left = int(seconds)
    parts = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if left >= size:
            parts.append(f"{left // size} {unit}")
            left %= size
    return " ".join(parts[:2]) or "0 s"


def _remark(name: str, value: object, now: float) -> str:
    if name in _TIMES and type(value) in (int, float):
        assert isinstance(value, int | float)
        return when(value, now) if 0 <= value <= LAST_SECOND else "not a time"
    if name == "iat_ms" and type(value) is int and 0 <= value <= LAST_SECOND * 1000:
        return when(value // 1000, now)
    return ""


def _outer_faults(token: bytes, max_bytes: int) -> Iterator[str]:
    if not token.strip():
        yield "there is no token"
        return
    if token != token.strip():
        yield "there is white space around it"
    bare = token.strip()
    if bare[:7].lower() == b"bearer ":
        yield 'it begins with "Bearer ", which belongs to the Authorization field and not to the token'
    if bare[:1] in (b'"', b"'"):
        yield "it begins with a quotation mark"
    if bare.startswith(b"gwr_"):
        yield "it is a refresh token of a gateway; those are opaque and go to /auth/refresh only"
        return
    if len(bare) > max_bytes:
        yield f"it has {len(bare)} bytes where {max_bytes} are allowed (server.limits.token)"
    count = len(bare.split(b"."))
    if count == 5:
        yield "it has five segments: an encrypted token (JWE), which is never accepted"
    elif count != 3:
        yield f"it has {count} segment{'s' * (count != 1)} between dots where three are needed"


def _segment_fault(segment: bytes) -> str | None:
    if not segment:
        return "it is empty"
    for at, char in enumerate(segment):
        if char not in _ALPHABET:
            shown = _json(chr(char)) if char < 0x80 else f"byte 0x{char:02x}"
            return f"character {at + 1}, {shown}, is not base64url" + (
                "; a token has no padding (RFC 7515 section 2)" if char == ord("=") else ""
            )
    if len(segment) % 4 == 1:
        return f"{len(segment)} characters cannot be base64url; is one missing?"
    if decode(segment) is None:
        return "the last character has bits that belong to nothing (RFC 4648 section 3.5)"
    return None


def _json_fault(error: ValueError) -> str:
    match error:
        case UnicodeDecodeError():
            return f"byte {error.start + 1} is not UTF-8"
        case json.JSONDecodeError():
            return f"it is not JSON from character {error.pos + 1} on: {error.msg.lower()}"
        case _:
            return f"it is not JSON that all readers understand alike: {error}"


def _header_faults(header: Mapping[str, object]) -> Iterator[str]:
    alg = header.get("alg")
    if alg is None:
        yield "header: alg is missing"
    elif not isinstance(alg, str):
        yield "header: alg is not text"
    elif alg.lower() == "none":
        yield 'header: alg is "none": nobody has signed it'
    elif alg not in SCHEMES:
        exact = next((name for name in SCHEMES if name.lower() == alg.lower()), None)
        hint = f"; the name is {exact}, letter by letter" if exact else ""
        yield f"header: alg {_json(alg)} is not known{hint}"
    for name in sorted(header.keys() - _MEMBERS):
        yield f"header: {_json(name)} is not allowed; what a token says about its own keys is never followed"
    for name in sorted(_MEMBERS & header.keys() - {"alg"}):
        if not isinstance(header[name], str):
            yield f"header: {name} is not text"


def _lenient(raw: bytes) -> Mapping[str, object] | None:
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _json(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"


def _shown(name: str) -> str:
    return json.dumps(name)[1:-1]
