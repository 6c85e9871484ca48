"""Walking over WebSocket frames without touching their payload (RFC 6455 section 5.2).

A tunnel passes bytes through as they are; it only needs to know where frames begin, so that it can say goodbye between
two of them, and that both sides keep to the rules an endpoint might not check.
"""

import struct
from enum import Enum

from gateway.errors import GatewayError

_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_CONTROL = frozenset((_CLOSE, _PING, _PONG))
_DATA = frozenset((_CONTINUATION, _TEXT, _BINARY))
_MAX_FRAGMENTS = 64 * 1024
"""Frames of one message: empty ones add nothing to its size, but cost whoever puts it together."""


class CloseCode(Enum):
    """Why we close a tunnel (RFC 6455 section 7.4.1)."""

    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    POLICY = 1008
    TOO_BIG = 1009


class FrameError(GatewayError):
    """A frame that no WebSocket endpoint may send."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.sound = 0
        """How many bytes of what was walked belong to the frames before it."""


class Frames:
    """One direction of a tunnel."""

    __slots__ = ("_fragments", "_head", "_in_message", "_left", "_masked", "_max", "_rsv1", "_size", "closed")

    def __init__(self, *, masked: bool, rsv1: bool, max_message: int) -> None:
        """*masked*: what this side must do; *rsv1*: an extension that uses the bit was agreed on."""
        self._masked = masked
        self._rsv1 = rsv1
        self._max = max_message
        self._head = b""
        self._left = 0
        self._size = 0
        self._fragments = 0
        self._in_message = False
        self.closed = False
        """A close frame has passed."""

    @property
    def at_boundary(self) -> bool:
        """The next byte begins a frame."""
        return self._left == 0 and not self._head

    def walk(self, data: bytes) -> None:
        """Follow *data*; raises FrameError at a frame that breaks the rules."""
        at, size = 0, len(data)
        while at < size:
            if self._left:
                step = min(self._left, size - at)
                self._left -= step
                at += step
                continue
            take = min(size - at, 14 - len(self._head))
            head = self._head + data[at : at + take]
            try:
                length = self._frame(head)
            except FrameError as error:
                error.sound = at
                raise
            if length is None:
                self._head = head
                return
            at += length - len(self._head)
            self._head = b""

    def rest(self, data: bytes) -> int:
        """Follow *data* to the end of the frame that is under way only; return how many bytes that takes."""
        at = 0
        while at < len(data) and not self.at_boundary:
            step = min(self._left, len(data) - at) if self._left else 1  # of a head, who knows how much is missing
            self.walk(data[at : at + step])
            at += step
        return at

    def _frame(self, head: bytes) -> int | None:
        """Take the frame head that *head* begins with; return its length, or None when it is not whole yet."""
        if len(head) < 2:
            return None
        opcode, final, rsv = head[0] & 0x0F, bool(head[0] & 0x80), head[0] & 0x70
        masked, short = bool(head[1] & 0x80), head[1] & 0x7F
        length = 2 + {126: 2, 127: 8}.get(short, 0) + (4 if masked else 0)
        if len(head) < length:
            return None
        payload = short
        if short == 126:
            payload = struct.unpack_from(">H", head, 2)[0]
        elif short == 127:
            payload = struct.unpack_from(">Q", head, 2)[0]
        if payload >> 63 or (short == 126 and payload < 126) or (short == 127 and payload < 1 << 16):
            raise FrameError(CloseCode.PROTOCOL_ERROR, "length")  # only the shortest form is one
        self._judge(opcode, payload, final=final, rsv=rsv, masked=masked)
        self._left = payload
        return length

    def _judge(self, opcode: int, payload: int, *, final: bool, rsv: int, masked: bool) -> None:
        if masked is not self._masked:
            raise FrameError(CloseCode.PROTOCOL_ERROR, "masking")
        # RSV1 marks the first frame of a compressed message, and no other (RFC 7692 section 6).
        if rsv and not (rsv == 0x40 and self._rsv1 and opcode in (_TEXT, _BINARY)):
            raise FrameError(CloseCode.PROTOCOL_ERROR, "reserved bits")
        if opcode in _CONTROL:
            if not final or payload > 125:
                raise FrameError(CloseCode.PROTOCOL_ERROR, "control frame")
            self.closed = self.closed or opcode == _CLOSE
            return
        if opcode not in _DATA or (opcode == _CONTINUATION) is not self._in_message:
            raise FrameError(CloseCode.PROTOCOL_ERROR, "opcode")
        if not self._in_message:
            self._size = self._fragments = 0
        self._size += payload
        self._fragments += 1
        self._in_message = not final
        if self._size > self._max or self._fragments > _MAX_FRAGMENTS:
            raise FrameError(CloseCode.TOO_BIG, "message")


def close_frame(code: CloseCode, reason: str, *, mask: bytes = b"") -> bytes:
    """Return a close frame; *mask* (four bytes) is needed towards a server."""
    payload = struct.pack(">H", code.value) + reason.encode()[:123]
    if not mask:
        return bytes((0x88, len(payload))) + payload
    return bytes((0x88, 0x80 | len(payload))) + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))
