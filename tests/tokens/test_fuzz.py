"""A valid token, changed at random: never accepted, never an exception."""

import random
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.tokens.cache import VerifiedTokens
from gateway.tokens.verify import REASONS, Identity, Invalid

from .forge import NOW, issued, ring_for, verifier

ALPHABET = (string.ascii_letters + string.digits + "-_").encode()
EDITS_EACH = 50


class Never:
    """A revocation table in which nothing ever happens."""

    epoch = 0

    def is_dead(self, identity: Identity) -> bool:
        return False


def edited(token: bytes, chance: random.Random) -> bytes:
    """Return *token* with one to four edits, of the kinds an attacker would make."""
    made = bytearray(token)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        place = chance.randrange(len(made)) if made else 0
        other = chance.randrange(len(made)) if made else 0
        match chance.randrange(12):
            case 0:
                made[place : place + 1] = bytes([chance.randrange(256)])
            case 1 | 2 | 3:
                made[place : place + 1] = bytes([chance.choice(ALPHABET)])
            case 4:
                made.insert(place, chance.choice(ALPHABET))
            case 5:
                made.insert(place, chance.randrange(256))
            case 6:
                del made[place : place + chance.choice((1, 1, 4, 40))]
            case 7:
                made[place:place] = made[other : other + chance.choice((1, 4, 40))]
            case 8:
                made[place : place + 1] = bytes([(made[place] if made else 0) ^ (1 << chance.randrange(8))])
            case 9:
                made += chance.choice((b"=", b"==", b".", b"\n", b" ", b"A", b"AAAA", b"!!!!", b"\xff", b"\x00"))
            case 10:
                segments = bytes(made).split(b".")
                chance.shuffle(segments)
                made = bytearray(b".".join(segments))
            case 11:
                made = made[: chance.randrange(len(made) + 1)]
    return bytes(made)


def attack(alg: str, seed: int, edits: int) -> None:
    ring = ring_for(alg)
    judge = verifier(ring)
    tokens = VerifiedTokens(judge, Never(), lambda identity: b"", ring)
    token = TOKENS.setdefault(alg, issued(ring))
    assert not isinstance(tokens.check(token, NOW), Invalid)
    chance = random.Random(seed)
    for _ in range(edits):
        other = edited(token, chance)
        if other == token:
            continue
        found = judge.verify(other, NOW)
        assert isinstance(found, Invalid), other
        assert found.reason in REASONS
        assert tokens.check(other, NOW) == found, other
    assert len(tokens) == 1


TOKENS: dict[str, bytes] = {}


@pytest.mark.item(29)
@given(alg=st.sampled_from(["HS256", "RS256", "PS256", "ES256", "EdDSA"]), seed=st.integers(0, 2**64))
@settings(max_examples=5000 // EDITS_EACH, deadline=None)
def test_of_5_000_edits_of_a_valid_token_none_is_accepted_and_none_raises(alg: str, seed: int) -> None:
    attack(alg, seed, EDITS_EACH)


@pytest.mark.item(29)
@pytest.mark.long
@pytest.mark.parametrize("alg", ["HS256", "RS256", "PS256", "ES256", "EdDSA"])
def test_of_a_million_edits_of_a_valid_token_none_is_accepted_and_none_raises(alg: str) -> None:
    attack(alg, random.SystemRandom().getrandbits(64), 200_000)
