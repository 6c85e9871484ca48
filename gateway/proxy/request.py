"""Reading a request's header fields, strictly: one meaning, or a refusal.

Heads are rebuilt from parsed pairs, never spliced, so an upstream cannot see a field that the gate did not.

Sources: RFC 9112 sections 3.2 (Host), 6 (framing) and 9 (persistence).
"""

import re
from collections.abc import Iterable

from gateway.errors import Refusal, refuse
from gateway.head import Fields
from gateway.proxy.names import (
    AUTHORIZATION,
    CODING,
    CONNECTION,
    COOKIE,
    DROP,
    EXPECT,
    FOR,
    HOST,
    LENGTH,
    PASS,
    PROTO,
    REQUEST_ID,
    UPGRADE,
    FieldKinds,
    HostForms,
)

DIGITS = re.compile(rb"[0-9]{1,18}")
"""Exactly this is a Content-Length: a second reader could take a list, a sign or a blank differently."""
MAX_OPTIONS = 64
"""Options in the Connection fields of one request: each costs a look at every other field."""
_OPTION = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


# The parser would accept a missing version, HTTP/2.0 and RTSP; this table does not.
_VERSIONS = {b"HTTP/1.1": 1, b"HTTP/1.0": 0}
_METHOD = re.compile(rb"[A-Z][A-Z-]{0,19}")
_REMEMBERED = 4096
_MEMORABLE = 256
"""Bytes of a request line worth remembering; longer ones are read anew each time."""


class RequestLines(dict[bytes, tuple[bytes, bytes, int] | None]):
    """(method, target, minor version) by request line; None when it is not one of HTTP/1.x. Fills itself, bounded."""

    def __missing__(self, line: bytes) -> tuple[bytes, bytes, int] | None:
        parts = line.split(b" ")
        minor = _VERSIONS.get(parts[2]) if len(parts) == 3 else None
        known = None if minor is None or _METHOD.fullmatch(parts[0]) is None else (parts[0], parts[1], minor)
        if len(line) <= _MEMORABLE:
            if len(self) >= _REMEMBERED:
                self.clear()
            self[line] = known
        return known


def read_fields(
    pairs: Iterable[tuple[bytes, bytes]], minor: int, kinds: FieldKinds, hosts: HostForms
) -> Fields | Refusal:
    """Read parsed *pairs* of an HTTP/1.*minor* request, or say why they cannot be read one way only."""
    fields = Fields()
    passed: list[bytes] = []
    length = -1
    for name, value in pairs:
        kind = kinds[name]
        if kind == PASS:
            passed += (name, b": ", value, b"\r\n")
        elif kind == DROP:
            pass
        elif kind == HOST:
            host = hosts[value]
            if fields.host or host is None:
                return refuse("bad_request", "host_repeated" if fields.host else "host")
            fields.host = host
        elif kind == AUTHORIZATION:
            if fields.authorization is not None:
                return refuse("bad_request", "authorization_repeated")
            fields.authorization = value
        elif kind == LENGTH:
            if length >= 0 or DIGITS.fullmatch(value) is None:
                return refuse("bad_request", "content_length")
            fields.length = length = int(value)
        elif kind == CODING:
            # chunked alone, once, and in HTTP/1.1 only (RFC 9112 section 6.1): all else is a smuggler's dialect.
            if fields.chunked or minor == 0 or value.lower() != b"chunked":
                return refuse("bad_request", "transfer_encoding")
            fields.chunked = True
        else:
            refusal = _RARE[kind](fields, value, minor)
            if refusal is not None:
                return refusal
    if fields.chunked and length >= 0:
        return refuse("bad_request", "length_and_coding")
    if minor == 0:
        # HTTP/1.0 connections end with the answer; the keep-alive extension is not worth its ambiguities. Nor does it
        # know Upgrade (RFC 9110 section 7.8).
        fields.close = True
        fields.upgrade = None
    elif not fields.host:
        return refuse("bad_request", "host_missing")
    if fields.named:
        passed = without(passed, fields.named)
    if b"upgrade" not in fields.named:
        fields.upgrade = None
    fields.passed = b"".join(passed)
    return fields


def _cookie(fields: Fields, value: bytes, _minor: int) -> Refusal | None:
    fields.cookie = value if fields.cookie is None else fields.cookie + b"; " + value
    return None


def _connection(fields: Fields, value: bytes, _minor: int) -> Refusal | None:
    if value.count(b",") + len(fields.named) >= MAX_OPTIONS:
        return refuse("bad_request", "connection_options")
    options = [option.strip(b" \t") for option in value.lower().split(b",")]
    for option in options:
        if option and _OPTION.fullmatch(option) is None:
            return refuse("bad_request", "connection")
    fields.named += tuple(option for option in options if option and option not in (b"keep-alive", b"close"))
    fields.close = fields.close or b"close" in options
    return None


def _expect(fields: Fields, value: bytes, minor: int) -> Refusal | None:
    if value.lower() != b"100-continue":
        return refuse("expectation_failed", "expect")
    fields.expect_continue = minor == 1
    return None


def _upgrade(fields: Fields, value: bytes, _minor: int) -> Refusal | None:
    if fields.upgrade is not None:
        return refuse("bad_request", "upgrade_repeated")
    fields.upgrade = value.strip().lower()
    return None


def _forwarded_for(fields: Fields, value: bytes, _minor: int) -> Refusal | None:
    fields.forwarded_for = value if fields.forwarded_for is None else fields.forwarded_for + b", " + value
    fields.relayed = True
    return None


def _forwarded_proto(fields: Fields, value: bytes, _minor: int) -> Refusal | None:
    fields.forwarded_proto = value
    fields.relayed = True
    return None


def _request_id(fields: Fields, value: bytes, _minor: int) -> Refusal | None:
    fields.request_id = value
    return None


_RARE = {
    COOKIE: _cookie,
    CONNECTION: _connection,
    EXPECT: _expect,
    UPGRADE: _upgrade,
    FOR: _forwarded_for,
    PROTO: _forwarded_proto,
    REQUEST_ID: _request_id,
}


def without(passed: list[bytes], named: tuple[bytes, ...]) -> list[bytes]:
    """Return *passed* (name, b": ", value, CRLF, …) less the fields that Connection named: they were for this hop."""
    kept: list[bytes] = []
    gone = frozenset(named)
    for i in range(0, len(passed), 4):
        if passed[i].lower() not in gone:
            kept += passed[i : i + 4]
    return kept
