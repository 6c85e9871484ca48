"""Refresh tokens: one text for one token, and nothing else is one."""

import hashlib
import hmac

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.tokens.base64url import decode, encode
from gateway.tokens.refresh import LAST_COUNTER, LENGTH, PREFIX, RefreshToken, mint, parse
from gateway.tokens.secrets import Secrets

SECRETS = Secrets(hashlib.sha512(b"one installation").digest())
OTHERS = Secrets(hashlib.sha512(b"another installation").digest())

tokens = st.builds(
    RefreshToken,
    st.binary(min_size=12, max_size=12),
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=16, max_size=16),
    st.integers(0, LAST_COUNTER),
)

TOKEN = RefreshToken(b"t" * 12, b"s" * 16, b"f" * 16, 7)


@given(tokens)
def test_what_was_minted_is_read_again(token: RefreshToken) -> None:
    text = mint(SECRETS, token)
    assert len(text) == LENGTH
    assert text.startswith(PREFIX)
    assert text.isascii()
    assert parse(SECRETS, text) == token


def test_the_same_token_has_the_same_text_so_that_a_replay_gets_the_same_successor() -> None:
    assert mint(SECRETS, TOKEN) == mint(SECRETS, RefreshToken(*TOKEN))
    assert mint(SECRETS, TOKEN) != mint(SECRETS, TOKEN._replace(counter=8))


def test_the_layout_is_as_documented() -> None:
    raw = decode(mint(SECRETS, TOKEN)[len(PREFIX) :].encode())
    assert raw is not None
    assert len(raw) == 66
    assert raw[:50] == b"\x01\x01" + b"t" * 12 + b"s" * 16 + b"f" * 16 + b"\x00\x00\x00\x07"


def test_a_token_of_another_installation_is_none() -> None:
    assert parse(OTHERS, mint(SECRETS, TOKEN)) is None


def test_every_bit_is_protected() -> None:
    text = mint(SECRETS, TOKEN)
    raw = decode(text[len(PREFIX) :].encode())
    assert raw is not None
    for place in range(66):
        for bit in range(8):
            changed = bytearray(raw)
            changed[place] ^= 1 << bit
            assert parse(SECRETS, PREFIX + encode(bytes(changed))) is None


def test_there_is_one_spelling_only() -> None:
    text = mint(SECRETS, TOKEN)
    for place in range(LENGTH):
        for character in "AZaz09-_+/=. \n\x00é\ud800":
            other = text[:place] + character + text[place + 1 :]
            assert parse(SECRETS, other) == (TOKEN if other == text else None)
    for other in (text + "=", text + "A", text[:-1], " " + text, text + "\n", text[4:], text.upper(), text.lower(), ""):
        assert parse(SECRETS, other) is None


@given(st.text(max_size=120) | st.text(alphabet=st.characters(codec=None), max_size=120))
@settings(max_examples=200)
def test_no_text_makes_it_raise(text: str) -> None:
    assert parse(SECRETS, text) is None
    assert parse(SECRETS, PREFIX + text) is None
    assert parse(SECRETS, (PREFIX + text + "A" * LENGTH)[:LENGTH]) is None


def test_a_later_version_is_not_guessed_at() -> None:
    for start in (b"\x02\x01", b"\x01\x02", b"\x00\x00"):
        body = start + b"t" * 12 + b"s" * 16 + b"f" * 16 + b"\x00" * 4
        mac = hmac.digest(SECRETS.refresh_mac, body, "sha256")[:16]
        assert parse(SECRETS, PREFIX + encode(body + mac)) is None


@pytest.mark.parametrize(
    "token",
    [
        TOKEN._replace(tag=b"t" * 11),
        TOKEN._replace(session=b"s" * 17),
        TOKEN._replace(family=b""),
        TOKEN._replace(counter=-1),
        TOKEN._replace(counter=LAST_COUNTER + 1),
        TOKEN._replace(tag=b"t" * 13, session=b"s" * 15),
    ],
)
def test_parts_of_the_wrong_size_are_not_minted(token: RefreshToken) -> None:
    with pytest.raises(ValueError, match="refresh token"):
        mint(SECRETS, token)
