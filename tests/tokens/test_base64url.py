"""One value, one spelling."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.tokens.base64url import decode, encode

ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@given(st.binary(max_size=200))
def test_what_was_encoded_decodes_to_the_same_bytes(raw: bytes) -> None:
    assert decode(encode(raw).encode()) == raw
    assert encode(raw).encode() == base64.urlsafe_b64encode(raw).rstrip(b"=")


@given(st.binary(max_size=40) | st.lists(st.sampled_from(list(ALPHABET + b"+/=! \n")), max_size=40).map(bytes))
def test_only_the_spelling_that_encode_gives_is_read(text: bytes) -> None:
    raw = decode(text)
    assert raw is None or encode(raw).encode() == text


def test_of_all_last_characters_only_those_without_spare_bits_are_read() -> None:
    for end in range(256):
        for start in (b"AAA", b"AAAA", b"AAAAA", b"AAAAAA"):
            text = start + bytes([end])
            canonical = decode(text)
            try:
                lenient = base64.urlsafe_b64decode(text + b"==") if end in ALPHABET else None
            except ValueError:
                lenient = None
            expected = lenient if lenient is not None and encode(lenient).encode() == text else None
            assert canonical == expected


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"YQ==", id="padding"),
        pytest.param(b"YWI=", id="one padding"),
        pytest.param(b"YW\nFi", id="line end"),
        pytest.param(b"YWFi YWFi", id="space"),
        pytest.param(b"+/+/", id="the other alphabet"),
        pytest.param(b"YR", id="spare bits of two"),
        pytest.param(b"YWJ", id="spare bits of three"),
        pytest.param(b"A", id="one character"),
        pytest.param(b"AAAAA", id="five characters"),
        pytest.param(b"YWFi!!!!", id="junk"),
        pytest.param(b"YW\x00i", id="NUL"),
        pytest.param("YWFé".encode(), id="not ASCII"),
    ],
)
def test_another_spelling_is_refused(text: bytes) -> None:
    assert decode(text) is None
