"""The one canonical reading of a request target, or the reason there is none.

What is matched is what is sent: rules, log and upstream all see `Target.path`, so a path that two programs could read
differently is refused rather than mended. Canonical means: unreserved escapes are decoded once (``%61`` is ``a``), the
other escapes are upper case (``%c3`` is ``%C3``), and bytes RFC 3986 does not allow raw but browsers send are escaped.

Refused as `path_ambiguous`: dot and empty segments, backslashes, ``;`` parameters, control bytes and double encodings,
raw or escaped, and a raw ``#``. ``%2F`` stays data: it never separates segments, and the gate refuses it unless the
route allows it. Refused as `bad_request`: what is no URI at all.

Sources: RFC 3986 sections 2 and 6.2.2, RFC 9112 section 3.2; the list of forbidden spellings is the one Spring's
StrictHttpFirewall and Envoy's path options arrived at.
"""

import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from gateway.routing.host import normal_host


class Target(NamedTuple):
    """A request target in its only spelling."""

    path: bytes
    query: bytes = b""
    """Empty, or the question mark and everything behind it, as the client wrote it."""
    authority: bytes | None = None
    """The host of an absolute-form target, as `normal_host` spells it; it must equal the Host header."""
    encoded_slash: bool = False
    """The path holds ``%2F``, which only some routes allow."""


class BadTarget(NamedTuple):
    """A target that is refused: the code for the client, the word for the log."""

    code: str
    reason: str


ASTERISK = Target(b"*")
"""``OPTIONS *`` asks the server itself (RFC 9112 section 3.2.4)."""

MAX_TARGET = 8192
"""What Apache, nginx and aiohttp allow for a request line."""

# A browser sends the bytes of `_ODD` raw, although RFC 3986 asks for their escapes; nobody reads them in two ways.
_ODD = b'"<>[]^`{|}'
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")

# Targets that need no second look; a segment that starts with a dot takes the careful way.
# No groups, and no \w, which would make a slower character set: this is the price of every new target.
_PLAIN = re.compile(
    rb"(?:/[A-Za-z0-9_~!$&'()*+,=:@-][A-Za-z0-9_.~!$&'()*+,=:@-]*)+/?"
    rb"(?:\?[!-\"$-~]*)?"
)
_ABSOLUTE = re.compile(rb"https?://([^/?#\\]*)(.*)", re.IGNORECASE | re.DOTALL)
_NOT_URI = re.compile(rb"[^!-~]")
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_RESPELT = re.compile(rb"%[0-9A-Fa-f]{2}|[" + re.escape(_ODD) + rb"]")
_NOT_ASCII_ESCAPE = re.compile(rb"%[89A-F]")
_AMBIGUOUS = re.compile(
    rb"(?P<control>%[01][0-9A-F]|%7F)"
    rb"|(?P<backslash>%5C|\\)"
    rb"|(?P<parameter>%3B|;)"
    rb"|(?P<double_encoding>%25[0-9A-Fa-f]{2})"
    rb"|(?P<empty_segment>//)"
    # With an allowed %2F the upstream may split there, so dots are refused behind either separator.
    rb"|(?P<dot_segment>(?:/|%2F)\.\.?(?=/|%2F|\Z))"
)


def _canonical_spelling(text: bytes) -> bytes:
    value = int(text[1:], 16) if len(text) == 3 else text[0]
    return bytes([value]) if value in _UNRESERVED else b"%%%02X" % value


_SPELLING = {text: _canonical_spelling(text) for text in (bytes([byte]) for byte in _ODD)} | {
    text: _canonical_spelling(text)
    for byte in range(256)
    for text in {b"%%%02X" % byte, b"%%%02x" % byte, b"%%%X%x" % divmod(byte, 16), b"%%%x%X" % divmod(byte, 16)}
}


def read(target: bytes, max_bytes: int = MAX_TARGET) -> Target | BadTarget:
    """Return the canonical reading of *target*, or why it is refused."""
    size = len(target)
    if size > max_bytes:
        return BadTarget("url_too_long", "url_too_long")
    return _remembered(target) if size <= _REMEMBERED else _read(target)


def _read(target: bytes) -> Target | BadTarget:
    if _PLAIN.fullmatch(target):
        path, mark, query = target.partition(b"?")
        return Target(path, mark + query, None, False)
    if target == b"*":
        return ASTERISK
    if _NOT_URI.search(target):
        return BadTarget("bad_request", "target_byte")
    if b"#" in target:
        return BadTarget("path_ambiguous", "fragment")
    if target.startswith(b"/"):  # never read as an authority, however many slashes follow (CVE-2026-26205)
        return _origin_form(target, None)
    if not (absolute := _ABSOLUTE.fullmatch(target)):
        return BadTarget("bad_request", "target_form")
    if (authority := normal_host(absolute[1])) is None:
        return BadTarget("bad_request", "authority")
    rest: bytes = absolute[2]
    return _origin_form(rest if rest.startswith((b"/", b"\\")) else b"/" + rest, authority)


# The targets of a running site repeat: the short ones are remembered, 2 MiB of them at most.
_REMEMBERED = 256
_remembered = lru_cache(maxsize=4096)(_read)


def _origin_form(target: bytes, authority: bytes | None) -> Target | BadTarget:
    path, mark, query = target.partition(b"?")
    if _BAD_ESCAPE.search(path):
        return BadTarget("bad_request", "escape")
    path = _RESPELT.sub(lambda found: _SPELLING[found[0]], path)
    if ambiguous := _AMBIGUOUS.search(path):
        return BadTarget("path_ambiguous", str(ambiguous.lastgroup))
    if _NOT_ASCII_ESCAPE.search(path) and not _is_utf8(unquote_to_bytes(path)):
        return BadTarget("bad_request", "utf8")
    return Target(path, mark + query, authority, b"%2F" in path)


def _is_utf8(text: bytes) -> bool:
    """Tell whether *text* is UTF-8: overlong forms (``%C0%AF`` for a slash) and surrogates are not."""
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
