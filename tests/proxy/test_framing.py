"""Where a body ends: the framings by themselves, fed in every way a network may cut them."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.proxy.framing import (
    MAX_CHUNK_LINE,
    MAX_FRAMING,
    MAX_TRAILERS,
    BodyFraming,
    Chunked,
    Counted,
    FramingError,
    UntilClose,
)


def fed(framing: BodyFraming, pieces: list[bytes]) -> tuple[bytes, bytes | None]:
    """Return the payload of *pieces* and what is behind it, or None when the body is not over."""
    body = b""
    for place, piece in enumerate(pieces):
        payload, rest = framing.feed(piece)
        body += b"".join(payload)
        if rest is not None:
            return body, rest + b"".join(pieces[place + 1 :])
    return body, None


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Return *data* in pieces, none of them empty."""
    at = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(at)]


PLACES = st.lists(st.integers(0, 1 << 16), max_size=8)
CHUNKS = st.lists(st.binary(min_size=1, max_size=40), max_size=6)
EXTENSIONS = st.sampled_from([b"", b";a", b" ;a=b", b"\t;x", b';a="b;c"', b";" + b"x" * 100])
TRAILERS = st.lists(st.sampled_from([b"X: 1", b"Content-Length: 5", b"a:", b"!#$: \xff"]), max_size=3)


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=60), st.binary(max_size=20), PLACES)
def test_a_counted_body_ends_at_its_last_byte(body: bytes, behind: bytes, places: list[int]) -> None:
    assert fed(Counted(len(body)), cut(body + behind, places)) == (body, behind)


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=60), PLACES)
def test_a_counted_body_that_stops_early_is_not_over(body: bytes, places: list[int]) -> None:
    assert fed(Counted(len(body) + 1), cut(body, places)) == (body, None)


@settings(deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=20), max_size=5))
def test_a_body_until_close_is_never_over(pieces: list[bytes]) -> None:
    assert fed(UntilClose(), pieces) == (b"".join(pieces), None)


@settings(deadline=None)
@given(CHUNKS, st.data(), TRAILERS, st.binary(max_size=20), PLACES)
def test_a_chunked_body_is_its_chunks(
    chunks: list[bytes], data: st.DataObject, trailers: list[bytes], behind: bytes, places: list[int]
) -> None:
    stream = b""
    for chunk in chunks:
        size = data.draw(st.sampled_from([b"%x", b"%X", b"%03x"])) % len(chunk)
        stream += size + data.draw(EXTENSIONS) + b"\r\n" + chunk + b"\r\n"
    stream += b"0" + data.draw(EXTENSIONS) + b"\r\n" + b"".join(line + b"\r\n" for line in trailers) + b"\r\n"
    assert fed(Chunked(), cut(stream + behind, places)) == (b"".join(chunks), behind)
    assert fed(Chunked(), [bytes([byte]) for byte in stream + behind]) == (b"".join(chunks), behind)
    assert fed(Chunked(), cut(stream[:-1], places)) == (b"".join(chunks), None)


@settings(deadline=None)
@given(st.binary(max_size=80), PLACES)
def test_any_bytes_are_a_body_or_an_error_whatever_the_cut(stream: bytes, places: list[int]) -> None:
    def outcome(pieces: list[bytes]) -> tuple[bytes, bytes | None] | None:
        try:
            return fed(Chunked(), pieces)
        except FramingError:
            return None

    whole, bytewise = outcome([stream]), outcome([bytes([byte]) for byte in stream])
    if whole is not None:
        assert bytewise == outcome(cut(stream, places)) == whole


@pytest.mark.parametrize(
    "stream",
    [
        b"\r\n",
        b"g\r\n",
        b"0x1\r\n",
        b"-1\r\n",
        b"+1\r\n",
        b"1_0\r\n",
        b" 1\r\n",
        b"1 \r\n",
        b"1\n",
        b"1\r\r\n",
        b"1;\x00\r\n",
        b"1;a\rb\r\n",
        b"1,1\r\n",
        b"1" * 16 + b"\r\n",
        b"0" * 16 + b"\r\n",
        b"\xb2\r\n",
        b"1\r\nxy",
        b"1\r\nx\n",
        b"1\r\nx\r\r\n",
        b"1\r\nx1\r\n",
        b"0\r\nbad\r\n",
        b"0\r\n: x\r\n",
        b"0\r\nX : x\r\n",
        b"0\r\n X: x\r\n",
        b"0\r\nX: \x00\r\n",
        b"0\r\nX: a\rb\r\n",
        b"0\r\n\n",
        b"0\n\r\n",
        b"0\r\nX: x\n\r\n",
    ],
)
def test_what_is_not_chunked_is_an_error_by_the_end_of_its_line(stream: bytes) -> None:
    for pieces in ([stream], [bytes([byte]) for byte in stream]):
        with pytest.raises(FramingError):
            fed(Chunked(), [*pieces, b"\n", b"\r\n"])


def test_a_size_has_at_most_fifteen_digits() -> None:
    framing = Chunked()
    assert framing.feed(b"f" * 15 + b"\r\nx") == ([b"x"], None)
    assert fed(Chunked(), [b"0" * 14 + b"1\r\nx\r\n" + b"0" * 15 + b"\r\n\r\n"]) == (b"x", b"")


def test_a_line_that_does_not_end_is_bounded() -> None:
    with pytest.raises(FramingError):
        fed(Chunked(), [b"1;", *[b"x"] * MAX_CHUNK_LINE])


@pytest.mark.parametrize("step", [1, 100, 5000])
def test_trailers_are_bounded(step: int) -> None:
    trailers = b"X: 1\r\n" * (MAX_TRAILERS // 6 + 1)
    with pytest.raises(FramingError):
        fed(Chunked(), [b"0\r\n", *(trailers[at : at + step] for at in range(0, len(trailers), step))])


def test_a_trailer_that_does_not_end_is_bounded() -> None:
    with pytest.raises(FramingError):
        fed(Chunked(), [b"0\r\nX: ", *[b"xx"] * MAX_TRAILERS])


def test_tiny_chunks_at_once_are_bounded_in_number() -> None:
    with pytest.raises(FramingError):
        Chunked().feed(b"1\r\nx\r\n" * MAX_FRAMING)


def test_long_extensions_at_once_are_bounded_in_sum() -> None:
    with pytest.raises(FramingError):
        Chunked().feed((b"1;" + b"x" * 200 + b"\r\nx\r\n") * (MAX_FRAMING // 100))


@pytest.mark.parametrize("size", [6, 16, 1000])
def test_chunks_that_carry_more_than_they_cost_may_be_any_number(size: int) -> None:
    framing = Chunked()
    chunk = b"%x\r\n%b\r\n" % (size, b"x" * size)
    for _ in range(20):
        pieces, rest = framing.feed(chunk * 1000)
        assert (len(pieces), rest) == (1000, None)


def test_a_whole_read_of_payload_is_handed_on_without_a_copy() -> None:
    framing = Chunked()
    framing.feed(b"ffff\r\n")
    data = b"x" * 1000
    assert framing.feed(data)[0][0] is data
    counted = Counted(5000)
    assert counted.feed(data)[0][0] is data
