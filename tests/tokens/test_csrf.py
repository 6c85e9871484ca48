"""identity.md section 4 G, items 139 to 143: whose page made the request."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.tokens.base64url import decode, encode
from gateway.tokens.csrf import LENGTH, check, judge, mint
from gateway.tokens.secrets import Secrets

SECRETS = Secrets(hashlib.sha512(b"one installation").digest())
OTHERS = Secrets(hashlib.sha512(b"another installation").digest())
OWN = b"https://gateway.example"
FRIEND = b"https://app.gateway.example"
ORIGINS = frozenset({OWN, FRIEND})
SESSION = "session-1"


def passes(
    fetch_site: bytes | None = None, origin: bytes | None = None, token: str | None = None, navigation: bool = False
) -> bool:
    return judge(
        fetch_site=fetch_site,
        origin=origin,
        token=token,
        session=SESSION,
        secrets=SECRETS,
        own_origins=ORIGINS,
        navigation=navigation,
    )


# ---- 139: the browser's word ----------------------------------------------------------------------------------------


def test_a_request_of_our_own_origin_passes() -> None:
    assert passes(b"same-origin")
    assert passes(b"same-origin", OWN)
    assert passes(b"same-origin", b"null")  # what a page with Referrer-Policy: no-referrer sends


@pytest.mark.item(139)
def test_a_request_without_a_page_passes_only_as_a_navigation() -> None:
    assert passes(b"none", navigation=True)
    assert not passes(b"none")
    assert not passes(b"none", OWN)


@pytest.mark.item(139)
def test_a_request_of_a_sibling_passes_only_from_an_allowed_origin() -> None:
    assert passes(b"same-site", FRIEND)
    for origin in (None, b"https://evil.gateway.example", b"null", b""):
        assert not passes(b"same-site", origin)


@pytest.mark.item(139)
@pytest.mark.parametrize(
    "word",
    [
        b"cross-site",
        b"",
        b"Same-Origin",
        b"same-origin ",
        b"same-origin, cross-site",
        b"SAME-ORIGIN",
        b"other",
        b"\xff",
    ],
)
def test_any_other_word_of_the_browser_refuses_and_no_token_helps(word: bytes) -> None:
    token = mint(SECRETS, SESSION)
    for origin in (None, OWN, b"null"):
        for navigation in (True, False):
            assert not passes(word, origin, token, navigation)


# ---- 140: Origin ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", [OWN, FRIEND])
def test_without_the_browsers_word_our_origin_passes(origin: bytes) -> None:
    assert passes(None, origin)


@pytest.mark.item(140)
@pytest.mark.parametrize(
    "origin",
    [
        b"null", b"", b"https://evil.example", OWN + b"/", OWN + b":443", OWN.upper(), b"http://gateway.example",
        b"https://gateway.example.evil.example", b"https://evil.example#" + OWN, OWN + b", " + OWN, b" " + OWN,
    ],
)  # fmt: skip
def test_without_the_browsers_word_another_origin_refuses_and_no_token_helps(origin: bytes) -> None:
    assert not passes(None, origin, mint(SECRETS, SESSION))


@pytest.mark.item(140)
def test_the_null_origin_is_refused_even_when_someone_allows_it() -> None:
    allowed = frozenset({b"null"})
    assert not judge(fetch_site=None, origin=b"null", token=None, session=SESSION, secrets=SECRETS, own_origins=allowed)


# ---- 141 to 143: the token ------------------------------------------------------------------------------------------


@pytest.mark.item(141)
def test_with_neither_a_token_is_asked_for() -> None:
    assert not passes()
    assert not passes(navigation=True)
    assert passes(token=mint(SECRETS, SESSION))
    assert not passes(token="")
    assert not passes(token="x" * LENGTH)


@pytest.mark.item(142)
def test_a_token_of_another_session_is_refused() -> None:
    assert not passes(token=mint(SECRETS, "session-2"))
    assert not check(SECRETS, "session-2", mint(SECRETS, "session-1"))


def test_a_token_of_another_installation_is_refused() -> None:
    assert not passes(token=mint(OTHERS, SESSION))


@pytest.mark.item(143)
def test_a_token_stays_good_as_long_as_its_session_and_changes_with_a_login() -> None:
    first, second = mint(SECRETS, SESSION), mint(SECRETS, SESSION)
    assert first != second
    assert check(SECRETS, SESSION, first)
    assert check(SECRETS, SESSION, second)
    assert not check(SECRETS, "the next login", first)


def test_the_random_part_and_the_session_cannot_run_into_one_another() -> None:
    raw = decode(mint(SECRETS, "ab").encode())
    assert raw is not None
    for session in ("a", "abc", "ab\0", "", "b", "AB"):
        assert not check(SECRETS, session, encode(raw))


def test_every_bit_of_a_token_is_protected() -> None:
    token = mint(SECRETS, SESSION)
    raw = decode(token.encode())
    assert raw is not None
    assert (len(token), len(raw)) == (LENGTH, 48)
    for place in range(48):
        for bit in range(8):
            changed = bytearray(raw)
            changed[place] ^= 1 << bit
            assert not check(SECRETS, SESSION, encode(bytes(changed)))
    for other in (token + "=", token + "A", token[:-1], " " + token, token + "\n", ""):
        assert not check(SECRETS, SESSION, other)


@given(st.text(max_size=100), st.text(alphabet=st.characters(codec=None), max_size=80))
def test_no_text_makes_it_raise(session: str, token: str) -> None:
    assert not check(SECRETS, session, token)
    assert not check(SECRETS, session, (token + "A" * LENGTH)[:LENGTH])
    assert check(SECRETS, session, mint(SECRETS, session))
