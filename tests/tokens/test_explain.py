"""A token in words: each fault with its place, and no bytes that cannot be explained."""

import random

import pytest

from gateway.tokens.explain import explain, lines, span, words
from gateway.tokens.verify import REASONS

from .forge import NOW, claims, header, key_for, seal, signed, text, unsigned
from .test_fuzz import edited

KEY = key_for("EdDSA")
GOOD = signed(KEY)


def test_a_good_token_has_no_fault_and_its_times_are_read_out() -> None:
    explanation = explain(GOOD)
    assert explanation.faults == ()
    shown = "\n".join(lines(explanation, NOW))
    assert "2023-11-14 22:23:19 UTC, in 9 min 59 s" in shown
    assert GOOD.rpartition(b".")[2].decode() not in shown


@pytest.mark.parametrize(
    ("token", "said"),
    [
        (b"", "there is no token"),
        (b"Bearer " + GOOD, 'begins with "Bearer "'),
        (GOOD + b"\n", "white space"),
        (b'"' + GOOD, "quotation mark"),
        (b"gwr_abc", "refresh token"),
        (b"a.b", "2 segments"),
        (b"a.b.c.d.e", "JWE"),
        (b"a." * 8000, "8192 are allowed"),
        (GOOD + b"=", "signature (segment 3): character 87, \"=\", is not base64url; a token has no padding"),
        (GOOD.replace(b".", b".+", 1), "claims (segment 2): character 1, \"+\""),
        (GOOD.rpartition(b".")[0] + b".", "signature (segment 3): it is empty"),
        (GOOD.rpartition(b".")[0] + b".\xc3", "byte 0xc3"),
        (GOOD.rpartition(b".")[0] + b".AAAAA", "is one missing?"),
        (GOOD.rpartition(b".")[0] + b".AB", "bits that belong to nothing"),
        (seal(KEY, text(header(KEY)), b"{"), "claims (segment 2): it is not JSON from character 2 on"),
        (seal(KEY, text(header(KEY)), b"\xff{}"), "byte 1 is not UTF-8"),
        (seal(KEY, text(header(KEY)), b'{"a":1,"a":2}'), "a member is named twice"),
        (unsigned({"alg": "none"}, claims()), "nobody has signed it"),
        (unsigned({"alg": "rs256"}, claims()), "the name is RS256"),
        (unsigned({"typ": "JWT"}, claims()), "alg is missing"),
        (signed(KEY, header(KEY, jku="https://evil")), '"jku" is not allowed'),
        (signed(KEY, header(KEY, kid=7)), "kid is not text"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(token: bytes, said: str) -> None:
    assert said in "\n".join(explain(token).faults)


def test_a_hostile_value_cannot_move_the_cursor() -> None:
    token = signed(KEY, body=claims(sub="\x1b[2J\r\nX: 1", **{"a\nb": 1}))
    assert all(line.isprintable() and line.isascii() for line in lines(explain(token), NOW))


def test_every_reason_has_words() -> None:
    assert [reason for reason in REASONS if words(reason) == reason] == []


def test_whatever_the_bytes_something_can_be_said() -> None:
    chance = random.Random(7)
    for _ in range(2000):
        token = edited(GOOD, chance)
        list(lines(explain(token), NOW))


@pytest.mark.parametrize(("seconds", "said"), [(0, "0 s"), (59.9, "59 s"), (3700, "1 h 1 min"), (90000, "1 d 1 h")])
def test_durations_have_their_two_largest_units(seconds: float, said: str) -> None:
    assert span(seconds) == said
