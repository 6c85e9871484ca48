"""Answers the gateway makes itself, as bytes: refusals, 204, 100 and the status lines of forwarded answers."""

import re
from functools import lru_cache
from http import HTTPStatus

from gateway.errors import Refusal, extra_headers, oauth_error, problem

BODILESS = frozenset((204, 304))
"""Statuses without a body, whatever the fields say (RFC 9112 section 6.3)."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_ADDED = frozenset((b"set-cookie", b"vary", b""))
"""Fields of which there may be one of the service's and one of ours; b"" is behind the last CRLF."""
_SHARING = b"access-control-"
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: ([\t\x20-\x7e\x80-\xff]*))?")
_REMEMBERED = 1024
_MEMORABLE = 260
"""Bytes of a status line worth remembering; longer ones are read anew each time."""


class StatusLines(dict[bytes, tuple[int, int, bytes] | None]):
    """(status, minor version, line to send on) by status line as received; None when it is not HTTP/1.x 100-599."""

    def __missing__(self, line: bytes) -> tuple[int, int, bytes] | None:
        match = _STATUS_LINE.fullmatch(line)
        known = None if match is None else (int(match[2]), int(match[1]), _line(int(match[2]), match[3]))
        if len(self) < _REMEMBERED and len(line) <= _MEMORABLE:
            self[line] = known
        return known


def _line(status: int, reason: bytes | None) -> bytes:
    return b"HTTP/1.1 %d %b\r\n" % (status, reason or b"")


def _phrase(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""


def refusal_answer(
    refusal: Refusal,
    request_id: bytes,
    *,
    oauth: bool = False,
    close: bool = False,
    bodiless: bool = False,
    lines: bytes = b"",
) -> bytes:
    """Return the whole answer for *refusal*; *oauth* asks for the form used below the login base path.

    *lines* are further header lines, each ended by CRLF.
    """
    text = request_id.decode("latin-1")
    if oauth:
        body, kind = oauth_error(refusal, text), "application/json; charset=utf-8"
    else:
        body, kind = problem(refusal, text), "application/problem+json"
    fields = [
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        f"X-Request-Id: {text}",
        *(f"{name}: {value}" for name, value in extra_headers(refusal)),
    ]
    if close:
        fields.append("Connection: close")
    line = _line(refusal.status, refusal.code.title.encode())
    head = line + lines + "\r\n".join(fields).encode("latin-1") + b"\r\n\r\n"
    return head if bodiless else head + body


def carrying(rendered: bytes, lines: bytes, *, shares: bool = False) -> bytes:
    """Return the head *rendered* of a service's answer with *lines* of ours, each ended by CRLF.

    A field of ours replaces the service's, so that no client finds two and believes the other; cookies and `Vary` add
    up, and a service that forbids storing is not overruled (RFC 9111 section 5.2). With *shares* all that is said of
    sharing with other origins is ours.
    """
    ours = _names(lines) if b"Set-Cookie:" in lines else _kept_names(lines)  # nobody's cookies are to be remembered
    if shares:
        ours += (_SHARING,)
    lowered = rendered.lower()
    for name in ours:
        if b"\n" + name in lowered:
            break
    else:
        return rendered + lines
    kept = [
        line
        for line in rendered.split(b"\r\n")
        if not (low := line.lower()).startswith(ours) or (low.startswith(b"cache-control:") and b"no-store" in low)
    ]
    return b"\r\n".join(kept) + lines


def _names(lines: bytes) -> tuple[bytes, ...]:
    """Return the beginnings, in lower case, of the lines that *lines* replace, beside those of sharing."""
    names = (line.partition(b":")[0].lower() for line in lines.split(b"\r\n"))
    return tuple(name + b":" for name in names if name not in _ADDED and not name.startswith(_SHARING))


_kept_names = lru_cache(256)(_names)


def empty_answer(status: int, request_id: bytes, *, close: bool = False, lines: bytes = b"") -> bytes:
    """Return an answer without a body, with further header *lines*, each ended by CRLF."""
    return b"%b%bX-Request-Id: %b\r\n%b\r\n" % (
        _line(status, _phrase(status)),
        lines,
        request_id,
        b"Connection: close\r\n" if close else b"",
    )
