"""Where a message body ends (RFC 9112 sections 6 and 7): counted, chunked, or until the connection closes.

The head is read by httptools; the body is framed here, because a gateway must know the exact byte at which a message
ends (the next pipelined request must not be touched before its turn), must bound what framing costs, and must hand long
bodies through without looking at them.

Each framing eats received bytes with `feed(data) -> (payload pieces, rest)`; `rest` is None while the body goes on, and
the bytes behind it once it has ended.
"""

import re

from gateway.errors import GatewayError

MAX_CHUNK_LINE = 256
"""Bytes of one chunk-size line with its extensions; nginx and Envoy stop in the same order of magnitude."""
MAX_FRAMING = 16 * 1024
"""Framing bytes a body may carry beyond its fair share (see `Chunked`): tiny chunks and long extensions burn CPU."""
PER_READ = 64
"""Framing bytes that each read brings along: a sender of one small chunk at a time pays for it with a segment."""
MAX_TRAILERS = 8 * 1024
"""Bytes of the trailer section, which is read and dropped."""

# chunk-size is hex digits only: no sign, no 0x, no blanks (RFC 9112 section 7.1). 15 digits stay below 2**60.
# An extension may not hold a bare CR or LF, quoted or not (CVE-2024-52304).
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")
_PLAIN = re.compile(rb"\r\n([0-9A-Fa-f]{1,15})\r\n")
_TRAILER = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*")


class FramingError(GatewayError):
    """The body is not framed as HTTP/1.1 demands; the connection cannot be used any further."""


class Counted:
    """A body of a known length: bytes are counted, never read."""

    __slots__ = ("left",)

    def __init__(self, length: int) -> None:
        self.left = length

    def feed(self, data: bytes) -> tuple[list[bytes], bytes | None]:
        left = self.left
        size = len(data)
        if size < left:
            self.left = left - size
            return [data], None
        self.left = 0
        if size == left:
            return [data], b""
        return [data[:left]], data[left:]


class UntilClose:
    """A response body that ends when the upstream closes (RFC 9112 section 6.3, last item)."""

    __slots__ = ()

    def feed(self, data: bytes) -> tuple[list[bytes], bytes | None]:
        return [data], None


class Chunked:
    """The chunked coding: payload out, sizes, extensions and trailers dropped.

    Framing is bounded by an account: each payload byte pays for one framing byte, and the account starts with
    MAX_FRAMING and gets PER_READ with every read. So a flood of one-byte chunks is refused soon, while any sensible
    sender never notices.
    """

    __slots__ = ("_credit", "_left", "_line", "_state", "_trailers")

    _SIZE, _DATA, _DATA_END, _TRAILERS = range(4)

    def __init__(self) -> None:
        self._state = self._SIZE
        self._left = 0
        self._line = b""
        self._trailers = 0
        self._credit = MAX_FRAMING

    def feed(self, data: bytes) -> tuple[list[bytes], bytes | None]:
        """Raises FramingError at the first byte that cannot be part of a chunked body."""
        pieces: list[bytes] = []
        at = 0
        size = len(data)
        self._credit += PER_READ
        while at < size:
            if self._state == self._DATA:
                take = min(self._left, size - at)
                pieces.append(data[at : at + take] if take < size else data)
                self._left -= take
                self._credit += take
                at += take
                if self._left == 0:
                    self._state = self._DATA_END
                    # The usual case in one step: the end of this chunk and the size of the next, without extensions.
                    if (plain := _PLAIN.match(data, at)) is not None:
                        at = plain.end()
                        self._spend(at - plain.start())
                        self._next_chunk(plain[1])
                continue
            end = data.find(b"\n", at)
            line = self._line + data[at : end if end >= 0 else size]
            if len(line) > MAX_CHUNK_LINE and self._state != self._TRAILERS:
                raise FramingError("chunk line too long")
            if end < 0:
                self._line = line
                if len(line) > MAX_TRAILERS:
                    raise FramingError("trailers too long")
                break
            self._line = b""
            self._spend(len(line) + 1)
            at = end + 1
            if line[-1:] != b"\r":
                raise FramingError("bare LF")
            if self._take_line(line[:-1]):
                return pieces, data[at:]
        return pieces, None

    def _take_line(self, line: bytes) -> bool:
        """Take one line without its CRLF; return True when it was the last of the body."""
        if self._state == self._DATA_END:
            if line:
                raise FramingError("chunk longer than its size")
            self._state = self._SIZE
        elif self._state == self._SIZE:
            match = _SIZE_LINE.fullmatch(line)
            if match is None:
                raise FramingError("bad chunk size")
            self._next_chunk(match[1])
        elif not line:
            return True
        else:
            self._trailers += len(line) + 2
            if self._trailers > MAX_TRAILERS:
                raise FramingError("trailers too long")
            if _TRAILER.fullmatch(line) is None:
                raise FramingError("bad trailer")
        return False

    def _next_chunk(self, size: bytes) -> None:
        self._left = int(size, 16)
        self._state = self._DATA if self._left else self._TRAILERS

    def _spend(self, size: int) -> None:
        self._credit -= size
        if self._credit < 0:
            raise FramingError("too many framing bytes")


BodyFraming = Counted | Chunked | UntilClose
