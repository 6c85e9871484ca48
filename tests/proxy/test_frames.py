"""The walk over WebSocket frames: where they begin, and what no endpoint may send (RFC 6455 section 5)."""

import contextlib
import os
import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.proxy.frames import CloseCode, FrameError, Frames, close_frame

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10


def frame(
    opcode: int, payload: bytes = b"", *, final: bool = True, rsv: int = 0, masked: bool = True, form: int = 0
) -> bytes:
    """Return a frame; *form* 126 or 127 forces a longer form of its length."""
    size = len(payload)
    form = form or (size if size < 126 else 126 if size < 1 << 16 else 127)
    length = struct.pack(">H", size) if form == 126 else struct.pack(">Q", size) if form == 127 else b""
    head = bytes((final << 7 | rsv | opcode, masked << 7 | form)) + length
    if not masked:
        return head + payload
    mask = os.urandom(4)
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


def walker(*, rsv1: bool = False, max_message: int = 1 << 20, masked: bool = True) -> Frames:
    return Frames(masked=masked, rsv1=rsv1, max_message=max_message)


def refused(data: bytes, frames: Frames | None = None) -> FrameError:
    with pytest.raises(FrameError) as caught:
        (frames or walker()).walk(data)
    return caught.value


GOOD = (
    frame(TEXT, b"hello")
    + frame(BINARY, b"x" * 125)
    + frame(BINARY, b"x" * 126)
    + frame(BINARY, b"x" * 65_535)
    + frame(BINARY, b"x" * 65_536)
    + frame(TEXT, b"a", final=False)
    + frame(PING, b"between")
    + frame(CONTINUATION, b"", final=False)
    + frame(CONTINUATION, b"b")
    + frame(TEXT)
    + frame(PONG, b"y" * 125)
    + frame(CLOSE, b"\x03\xe8bye")
)


def test_frames_of_every_kind_and_size_pass() -> None:
    frames = walker()
    frames.walk(GOOD)
    assert frames.at_boundary
    assert frames.closed


@given(st.lists(st.integers(0, len(GOOD)), max_size=30))
def test_it_does_not_matter_how_the_bytes_are_cut(cuts: list[int]) -> None:
    frames = walker()
    edges = [0, *sorted(cuts), len(GOOD)]
    for start, end in pairwise(edges):
        frames.walk(GOOD[start:end])
    assert frames.at_boundary
    assert frames.closed


def test_a_boundary_is_between_two_frames_and_nowhere_else() -> None:
    frames = walker()
    data = frame(TEXT, b"z" * 200)
    for at in range(len(data)):
        assert frames.at_boundary is (at == 0)
        frames.walk(data[at : at + 1])
    assert frames.at_boundary


def test_the_rest_of_a_frame_ends_where_the_frame_does() -> None:
    data = frame(TEXT, b"z" * 200)
    for cut in range(1, len(data)):
        frames = walker()
        frames.walk(data[:cut])
        assert frames.rest(data[cut:] + frame(TEXT, b"next")) == len(data) - cut
        assert frames.at_boundary


def test_at_a_boundary_there_is_no_rest() -> None:
    assert walker().rest(frame(TEXT, b"next")) == 0


WRONG = {
    "a server's frame from a client": frame(TEXT, b"x", masked=False),
    "RSV1 without an extension": frame(TEXT, b"x", rsv=0x40),
    "RSV2": frame(TEXT, b"x", rsv=0x20),
    "RSV3": frame(TEXT, b"x", rsv=0x10),
    "an unknown data opcode": frame(3),
    "an unknown control opcode": frame(11),
    "a ping in pieces": frame(PING, final=False),
    "a close in pieces": frame(CLOSE, final=False),
    "a ping of 126 bytes": frame(PING, b"x" * 126),
    "a continuation of nothing": frame(CONTINUATION, b"x"),
    "a message within a message": frame(TEXT, b"x", final=False) + frame(TEXT, b"y"),
    "a length of 16 bits that needs 7": frame(TEXT, b"x", form=126),
    "a length of 64 bits that needs 16": frame(BINARY, b"x" * 300, form=127),
    "a negative length": b"\x82\xff" + struct.pack(">Q", 1 << 63) + b"mask",
}


@pytest.mark.parametrize("data", WRONG.values(), ids=WRONG)
def test_what_no_endpoint_may_send_is_1002(data: bytes) -> None:
    assert refused(data).code is CloseCode.PROTOCOL_ERROR


def test_a_masked_frame_from_a_server_is_1002() -> None:
    assert refused(frame(TEXT, b"x"), walker(masked=False)).code is CloseCode.PROTOCOL_ERROR


def test_with_deflate_rsv1_marks_the_first_frame_of_a_message() -> None:
    walker(rsv1=True).walk(frame(TEXT, b"x", rsv=0x40, final=False) + frame(CONTINUATION, b"y") + frame(BINARY, b"z"))


@pytest.mark.parametrize(
    "data",
    [
        frame(PING, rsv=0x40),
        frame(CLOSE, rsv=0x40),
        frame(TEXT, b"x", final=False) + frame(CONTINUATION, b"y", rsv=0x40),
        frame(TEXT, b"x", rsv=0x60),
    ],
    ids=["ping", "close", "continuation", "with RSV2"],
)
def test_and_no_other_frame(data: bytes) -> None:
    assert refused(data, walker(rsv1=True)).code is CloseCode.PROTOCOL_ERROR


def test_a_message_may_be_as_long_as_allowed_and_no_longer() -> None:
    walker(max_message=1000).walk(frame(BINARY, b"x" * 1000) + frame(TEXT, b"x" * 1000))
    assert refused(frame(BINARY, b"x" * 1001), walker(max_message=1000)).code is CloseCode.TOO_BIG


def test_its_frames_count_together_and_control_frames_do_not() -> None:
    frames = walker(max_message=1000)
    frames.walk(
        frame(TEXT, b"x" * 600, final=False) + frame(PING, b"x" * 125) + frame(CONTINUATION, b"x" * 400, final=False)
    )
    assert refused(frame(CONTINUATION, b"x"), frames).code is CloseCode.TOO_BIG


def test_a_length_that_is_announced_is_enough_to_refuse_it() -> None:
    head = b"\x82\xff" + struct.pack(">Q", 1 << 40) + b"mask"
    assert refused(head).code is CloseCode.TOO_BIG


def test_empty_frames_without_end_are_too_many() -> None:
    frames = walker()
    frames.walk(frame(TEXT, final=False))
    empty = frame(CONTINUATION, final=False)
    frames.walk(empty * 65_535)
    assert refused(empty, frames).code is CloseCode.TOO_BIG


@given(st.binary(max_size=200))
def test_what_comes_before_a_bad_frame_is_told(payload: bytes) -> None:
    good = frame(BINARY, payload)
    assert refused(good + frame(3)).sound == len(good)


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_frames_or_refused(data: bytes, masked: bool) -> None:
    with contextlib.suppress(FrameError):
        walker(masked=masked).walk(data)


def test_a_close_frame_of_ours_keeps_the_rules() -> None:
    server, client = walker(masked=False), walker()
    server.walk(close_frame(CloseCode.POLICY, "x" * 200))
    client.walk(close_frame(CloseCode.GOING_AWAY, "going away", mask=b"abcd"))
    assert server.closed
    assert client.closed
    assert close_frame(CloseCode.GOING_AWAY, "bye") == b"\x88\x05\x03\xe9bye"
