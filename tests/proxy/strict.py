"""A second reader of HTTP/1.1, deliberately narrow: what it cannot read in exactly one way is not HTTP to it.

It shares no code and no parser with the gateway, and reads no dialect: CRLF only, one Host, one framing field, sizes in
plain digits. The origin of the tests reads requests with it and the client reads answers with it.
"""

import re
from typing import NamedTuple

Fields = tuple[tuple[bytes, bytes], ...]

_REQUEST_LINE = re.compile(rb"([A-Z]+(?:-[A-Z]+)*) ([!-~]+) HTTP/1\.1")
_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9]) ([\t\x20-\x7e\x80-\xff]*)")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ?([\t\x20-\x7e\x80-\xff]*)")
_CHUNK = re.compile(rb"[0-9a-f]{1,8}")


class NotStrict(AssertionError):
    """The bytes can be read in more ways than one, or in none."""


class Request(NamedTuple):
    """A request as the origin saw it."""

    method: bytes
    target: bytes
    fields: Fields
    body: bytes
    raw: bytes

    def values(self, name: str) -> list[bytes]:
        return _values(self.fields, name)

    def names(self) -> list[bytes]:
        return [name.lower() for name, _ in self.fields]


class Answer(NamedTuple):
    """An answer as the client saw it."""

    status: int
    fields: Fields
    body: bytes
    raw: bytes
    interim: tuple[int, ...] = ()
    """The 1xx answers before it."""

    def values(self, name: str) -> list[bytes]:
        return _values(self.fields, name)

    def value(self, name: str) -> bytes | None:
        found = self.values(name)
        assert len(found) < 2, f"{name} came {len(found)} times"
        return found[0] if found else None

    @property
    def code(self) -> str:
        """The refusal code, or "" for a forwarded answer."""
        return (self.value("x-gateway-error") or b"").decode()

    @property
    def closes(self) -> bool:
        return b"close" in self.values("connection")


def _values(fields: Fields, name: str) -> list[bytes]:
    return [value for key, value in fields if key.lower() == name.encode()]


class _Head(NamedTuple):
    line: bytes
    fields: Fields
    end: int


def _head(data: bytes) -> _Head | None:
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    line, *rest = data[:end].split(b"\r\n")
    fields = []
    for text in rest:
        match = _FIELD.fullmatch(text)
        if match is None:
            raise NotStrict(f"field line {text!r}")
        fields.append((match[1], match[2]))
    return _Head(line, tuple(fields), end + 4)


def _framing(fields: Fields) -> int | None:
    """Return the length of a body, -1 for chunked, None when no field says."""
    lengths, codings = _values(fields, "content-length"), _values(fields, "transfer-encoding")
    if len(lengths) + len(codings) > 1:
        raise NotStrict(f"{len(lengths)} lengths and {len(codings)} codings")
    if codings:
        if codings != [b"chunked"]:
            raise NotStrict(f"coding {codings[0]!r}")
        return -1
    if lengths:
        if not re.fullmatch(rb"0|[1-9][0-9]*", lengths[0]):
            raise NotStrict(f"length {lengths[0]!r}")
        return int(lengths[0])
    return None


def _chunked(data: bytes, at: int) -> tuple[bytes, int] | None:
    """Return the body that starts at *at* and where it ends, or None when it has not come whole."""
    body = b""
    while True:
        eol = data.find(b"\r\n", at)
        if eol < 0:
            if len(data) - at > 8:
                raise NotStrict(f"chunk size {data[at : at + 20]!r}")
            return None
        if not _CHUNK.fullmatch(data[at:eol]):
            raise NotStrict(f"chunk size {data[at:eol]!r}")
        size = int(data[at:eol], 16)
        start, at = eol + 2, eol + 2 + size + 2
        if len(data) < at:
            return None
        if data[at - 2 : at] != b"\r\n":
            raise NotStrict("chunk without its CRLF")
        if size == 0:
            return body, at
        body += data[start : start + size]


def read_request(data: bytes) -> tuple[Request, int] | None:
    """Read the request that *data* starts with; return it and its size, or None when it is not whole yet."""
    head = _head(data)
    if head is None:
        return None
    match = _REQUEST_LINE.fullmatch(head.line)
    if match is None:
        raise NotStrict(f"request line {head.line!r}")
    if len(_values(head.fields, "host")) != 1:
        raise NotStrict("Host")
    length = _framing(head.fields)
    if length == -1:
        found = _chunked(data, head.end)
        if found is None:
            return None
        body, end = found
    else:
        end = head.end + (length or 0)
        if len(data) < end:
            return None
        body = data[head.end : end]
    return Request(match[1], match[2], head.fields, body, data[:end]), end


def head_is_whole(data: bytes) -> bool:
    """Whether a request's head has come."""
    return b"\r\n\r\n" in data


def read_answer(data: bytes, method: bytes, *, ended: bool = False) -> tuple[Answer, int] | None:
    """Read the answer to *method* that *data* starts with; None when it is not whole yet.

    *ended* says that the connection was closed in good order, which is the end of an answer without framing.
    """
    interim: tuple[int, ...] = ()
    start = 0
    while True:
        head = _head(data[start:])
        if head is None:
            return None
        match = _STATUS_LINE.fullmatch(head.line)
        if match is None:
            raise NotStrict(f"status line {head.line!r}")
        status = int(match[1])
        if status >= 200 or status == 101:
            break
        if _framing(head.fields) is not None:
            raise NotStrict("an interim answer with a body")
        interim += (status,)
        start += head.end
    length = _framing(head.fields)
    at = start + head.end
    if method == b"HEAD" or status in (101, 204, 304):
        body, end = b"", at
        if status == 204 and length is not None:
            raise NotStrict("204 with framing")
    elif length == -1:
        found = _chunked(data, at)
        if found is None:
            return None
        body, end = found
    elif length is not None:
        end = at + length
        if len(data) < end:
            return None
        body = data[at:end]
    else:
        if not ended:
            return None
        body, end = data[at:], len(data)
    return Answer(status, head.fields, body, data[:end], interim), end
