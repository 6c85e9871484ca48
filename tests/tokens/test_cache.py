"""Verified tokens remembered: never more than the verifier and the revocation table would allow."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.tokens.cache import ENTRY_BYTES, VerifiedTokens
from gateway.tokens.keys import KeyRing, load_key
from gateway.tokens.verify import Identity, Invalid

from .forge import LEEWAY, NOW, TTL, claims, key_for, ring_for, ring_of, signed, verifier

KEY = key_for("HS256")
REVOKED = Invalid("token_revoked", "revoked")
EXPIRED = Invalid("token_expired", "expired")


class Table:
    """A revocation table with token ids in it, which counts the questions."""

    def __init__(self) -> None:
        self.epoch = 0
        self.dead: set[str] = set()
        self.asked = 0

    def revoke(self, token_id: str) -> None:
        self.dead.add(token_id)
        self.epoch += 1

    def is_dead(self, identity: Identity) -> bool:
        self.asked += 1
        return identity.token_id in self.dead


class Rendered:
    """Stands for the proxy's rendering of the identity header, and counts."""

    def __init__(self, size: int = 0) -> None:
        self.times = 0
        self.size = size

    def __call__(self, identity: Identity) -> bytes:
        self.times += 1
        return f"X-User-Id: {identity.subject}\r\n".encode() + b"x" * self.size


def remembering(
    ring: KeyRing | None = None, table: Table | None = None, render: Rendered | None = None, **bounds: int
) -> VerifiedTokens:
    ring = ring or ring_of(KEY)
    return VerifiedTokens(verifier(ring), table or Table(), render or Rendered(), ring, **bounds)


def token(name: object = "token-1", **changes: object) -> bytes:
    return signed(KEY, body=claims(jti=str(name), **changes))


def accepted(tokens: VerifiedTokens, raw: bytes, now: float = NOW) -> bool:
    return not isinstance(tokens.check(raw, now), Invalid)


def test_a_token_is_verified_once_and_rendered_once() -> None:
    table, render = Table(), Rendered()
    tokens = remembering(table=table, render=render)
    raw = token()
    first = tokens.check(raw, NOW)
    assert not isinstance(first, Invalid)
    assert first.identity.subject == "alice"
    assert first.head == b"X-User-Id: alice\r\n"
    for _ in range(10):
        assert tokens.check(bytes(bytearray(raw)), NOW) is first  # other bytes object, same bytes
    assert (tokens.misses, render.times, table.asked, len(tokens)) == (1, 1, 1, 1)


@pytest.mark.item(26, 167)
def test_what_is_refused_is_never_kept() -> None:
    tokens = remembering()
    for raw in (b"", b"junk", token(exp=1), token() + b"=", signed(key_for("HS256", 1)), token(sub="")):
        for _ in range(3):
            assert not accepted(tokens, raw)
    assert len(tokens) == 0
    assert tokens.misses == 18


@pytest.mark.item(26)
def test_a_token_that_only_begins_like_a_kept_one_is_another_token() -> None:
    tokens = remembering()
    raw = token()
    assert accepted(tokens, raw)
    for end in range(0, len(raw), 5):
        assert not accepted(tokens, raw[:end])
        assert not accepted(tokens, raw[:end] + b"A" + raw[end:])


@pytest.mark.item(40, 112)
@pytest.mark.parametrize("offset", [-1, -0.001, 0, 0.001, 1])
def test_a_kept_token_ends_when_the_verifier_would_end_it(offset: float) -> None:
    ring = ring_of(KEY)
    kept, judge = remembering(ring), verifier(ring)
    for exp in (NOW - 1 + TTL, NOW + 1.9):
        raw = token(exp=exp)
        assert accepted(kept, raw, NOW)
        now = int(exp) + LEEWAY + offset
        expected = judge.verify(raw, now)
        assert kept.check(raw, now) == expected if isinstance(expected, Invalid) else accepted(kept, raw, now)
        assert isinstance(expected, Invalid) == (offset >= 0)


@given(exp=st.integers(NOW + 1, NOW + TTL - 1) | st.floats(NOW + 1, NOW + TTL - 1), after=st.floats(0, 2 * TTL))
@settings(max_examples=150)
def test_the_cache_and_the_verifier_never_disagree_about_time(exp: float, after: float) -> None:
    ring = ring_of(KEY)
    kept = remembering(ring)
    raw = token(exp=exp)
    assert accepted(kept, raw, NOW)
    found, expected = kept.check(raw, NOW + after), verifier(ring).verify(raw, NOW + after)
    assert isinstance(found, Invalid) == isinstance(expected, Invalid)
    if isinstance(found, Invalid):
        assert found == expected


def test_an_expired_token_is_forgotten() -> None:
    tokens = remembering()
    raw = token()
    assert accepted(tokens, raw)
    assert tokens.check(raw, NOW + 2 * TTL) == EXPIRED
    assert len(tokens) == 0


@pytest.mark.item(112)
def test_a_revoked_token_is_refused_at_its_next_use() -> None:
    table = Table()
    tokens = remembering(table=table)
    raw, other = token(), token("token-2")
    assert accepted(tokens, raw)
    assert accepted(tokens, other)
    table.revoke("token-1")
    for _ in range(3):
        assert tokens.check(raw, NOW) == REVOKED
    assert accepted(tokens, other)
    assert len(tokens) == 1


def test_a_token_revoked_before_it_was_ever_seen_is_refused() -> None:
    table = Table()
    table.revoke("token-1")
    tokens = remembering(table=table)
    assert tokens.check(token(), NOW) == REVOKED
    assert len(tokens) == 0


def test_the_table_is_asked_once_for_each_change_and_not_for_each_request() -> None:
    table = Table()
    tokens = remembering(table=table)
    raw = token()
    for change in range(1, 4):
        for _ in range(5):
            assert accepted(tokens, raw)
        assert table.asked == change
        table.revoke(f"other-{change}")


def test_a_change_of_keys_ends_every_kept_verification() -> None:
    ring = ring_of(KEY)
    tokens = remembering(ring)
    raw = token()
    assert accepted(tokens, raw)
    ring.replace([key_for("HS256", 1)])
    assert tokens.check(raw, NOW) == Invalid("token_invalid", "kid")
    assert len(tokens) == 0
    ring.replace([key_for("HS256", 1), load_key(KEY.serialised(), "HS256", KEY.kid, "retired")])
    assert accepted(tokens, raw)
    assert tokens.misses == 3


def test_entries_are_bounded_and_the_busy_ones_stay() -> None:
    tokens = remembering(max_entries=20)
    busy = token("busy")
    assert accepted(tokens, busy)
    for number in range(100):
        assert accepted(tokens, token(number))
        assert accepted(tokens, busy)
        assert len(tokens) <= 20
    assert tokens.misses == 101  # the busy one was never verified again


def test_bytes_are_bounded() -> None:
    raw = token("token-0000")
    room = 10 * (ENTRY_BYTES + 3 * len(raw) + 1100)
    tokens = remembering(render=Rendered(1000), max_bytes=room)
    for number in range(60):
        assert accepted(tokens, token(f"token-{number:04}"))
        assert len(tokens) <= 10
    assert len(tokens) >= 5


def test_a_cache_without_room_still_judges() -> None:
    tokens = remembering(max_entries=0, max_bytes=0)
    for _ in range(3):
        assert accepted(tokens, token())
    assert len(tokens) == 0


def test_revocation_expiry_and_keys_count_in_the_old_generation_too() -> None:
    for case in range(4):
        ring, table = ring_of(KEY), Table()
        tokens = remembering(ring, table, max_entries=4)
        old = token("old")
        assert accepted(tokens, old)
        for number in range(2):
            assert accepted(tokens, token(number))
        assert tokens.misses == 3
        match case:
            case 0:
                assert accepted(tokens, old)
                assert tokens.misses == 3
            case 1:
                table.revoke("old")
                assert tokens.check(old, NOW) == REVOKED
            case 2:
                assert tokens.check(old, NOW + 2 * TTL) == EXPIRED
            case 3:
                ring.replace([key_for("HS256", 1)])
                assert tokens.check(old, NOW) == Invalid("token_invalid", "kid")


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from("ccccccrtk"), st.integers(0, 40)), max_size=60))
@settings(max_examples=60, deadline=None)
def test_with_any_history_the_cache_answers_as_verifier_and_table_do(steps: list[tuple[int, str, int]]) -> None:
    ring, table = ring_of(KEY), Table()
    tokens = remembering(ring, table, max_entries=6)
    raws = [token(number, exp=NOW + 10 + 40 * number) for number in range(10)]
    now = NOW
    for number, step, amount in steps:
        match step:
            case "r":
                table.revoke(str(number))
            case "t":
                now += amount
            case "k":
                ring.replace(ring.keys)
        identity = verifier(ring).verify(raws[number], now)
        expected: object = identity
        if isinstance(identity, Identity) and table.is_dead(identity):
            expected = REVOKED
        found = tokens.check(raws[number], now)
        if isinstance(found, Invalid) and found == REVOKED and isinstance(expected, Invalid):
            continue  # both revoked and expired: either word is true
        assert (found if isinstance(found, Invalid) else found.identity) == expected
        assert len(tokens) <= 6


def test_tokens_of_two_rings_do_not_meet() -> None:
    ours, theirs = remembering(), remembering(ring_for("HS256", 1))
    raw = token()
    assert accepted(ours, raw)
    assert not accepted(theirs, raw)
