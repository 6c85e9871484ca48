"""Reading an answer's header fields, as strictly as a request's: an upstream can be confused, or hostile, too."""

from collections.abc import Iterable
from typing import NamedTuple

from gateway.proxy.names import CODING, CONNECTION, COOKIE, LENGTH, MARK, PASS, UPGRADE, AnswerKinds
from gateway.proxy.request import DIGITS, without

OUR_COOKIES = (b"__host-http-gw-", b"__host-gw-")
"""Lower-case beginnings of the names of the gateway's own cookies: no upstream may plant one."""


class AnswerHead(NamedTuple):
    """The head of an upstream's answer, read once."""

    status: int
    length: int
    """Content-Length, or -1."""
    chunked: bool
    close: bool
    """The upstream will not answer again on this connection."""
    upgrade: bytes | None
    rendered: bytes
    """Status line and the fields that go on to the client, each ended by CRLF; with Content-Length when it is
    known; what else frames the body is added by the exchange."""


def read_answer(
    line: tuple[int, int, bytes], pairs: Iterable[tuple[bytes, bytes]], kinds: AnswerKinds, *, trusted: bool = False
) -> AnswerHead | None:
    """Read parsed *pairs* below the status *line* (see StatusLines); None when they cannot be framed one way only.

    *trusted* is the built-in upstream, which alone may set the gateway's cookies and error code.
    """
    status, minor, text = line
    passed: list[bytes] = []
    named: tuple[bytes, ...] = ()
    length = -1
    chunked = False
    close = minor == 0
    upgrade: bytes | None = None
    for name, value in pairs:
        kind = kinds[name]
        if kind == PASS:
            passed += (name, b": ", value, b"\r\n")
        elif kind == LENGTH:
            if length >= 0 or DIGITS.fullmatch(value) is None:
                return None
            length = int(value)
        elif kind == CONNECTION:
            if value == b"keep-alive":
                continue
            options = [option.strip(b" \t") for option in value.lower().split(b",")]
            close = close or b"close" in options
            named += tuple(option for option in options if option not in (b"", b"close", b"keep-alive"))
        elif kind == CODING:
            if chunked or minor == 0 or value.lower() != b"chunked":
                return None
            chunked = True
        elif kind == COOKIE:
            # A browser also keeps a cookie without a name, and sends it back as its value alone: `=__Host-gw-…`.
            if trusted or not value.lstrip(b" \t=").lower().startswith(OUR_COOKIES):
                passed += (name, b": ", value, b"\r\n")
        elif kind == UPGRADE:
            upgrade = value.strip().lower()
        elif kind == MARK and trusted:
            passed += (name, b": ", value, b"\r\n")
    if chunked and length >= 0:
        return None
    if named:
        passed = without(passed, named)
    if length >= 0 and status >= 200 and status != 204:
        # RFC 9110 section 8.6 forbids it on 1xx and 204; on HEAD and 304 it tells what GET would have got.
        passed.append(b"Content-Length: %d\r\n" % length)
    return AnswerHead(status, length, chunked, close, upgrade, text + b"".join(passed))
