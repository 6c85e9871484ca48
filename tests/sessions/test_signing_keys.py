"""Signing keys in the store: one winner, one set for everybody, sealed, and given back when the store forgets."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from gateway.errors import ConfigError, StoreUnavailable
from gateway.sessions.signing_keys import KeyPlace, StoredKeys
from gateway.sessions.store import SessionStore, connect
from gateway.tokens import kept
from gateway.tokens.ring import KeyRing
from gateway.tokens.rotation import Schedule
from gateway.tokens.sealing import Seal
from gateway.tokens.verify import Identity
from tests.sessions.conftest import Server, emptied
from tests.tokens.forge import LEEWAY, NOW, TTL, issued, verifier

ALG = "ES256"
DAY = 86400
SCHEDULE = Schedule(ALG, rotate=30 * DAY, publish_ahead=3600, keep=TTL + LEEWAY + 60)
SEAL = Seal(b"s" * 32)


@pytest.fixture
async def store(redis: Server) -> AsyncIterator[SessionStore]:
    """An empty store on a Redis server; Valkey runs the same scripts in the journeys."""
    async for made in emptied(redis):
        yield made


def member(store: SessionStore, alg: str = ALG, seal: Seal = SEAL) -> tuple[StoredKeys, KeyRing]:
    """Return one gateway's end."""
    ring = KeyRing(None)
    return StoredKeys(KeyPlace(store, seal), ring, alg, schedule=replace(SCHEDULE, alg=alg), seal=seal), ring


async def test_of_many_gateways_that_start_together_one_makes_the_key(store: SessionStore) -> None:
    members = [member(store) for _ in range(8)]
    assert all(await asyncio.gather(*(keys.look(NOW) for keys, _ in members)))
    assert len({ring.signing().kid for _, ring in members}) == 1
    token = issued(members[0][1])
    for keys, ring in members:
        assert isinstance(verifier(ring).verify(token, NOW), Identity)
        assert await keys.look(NOW) is False


async def test_what_is_in_the_store_signs_nothing_and_tells_nothing(store: SessionStore) -> None:
    keys, ring = member(store)
    await keys.look(NOW)
    reply = await store.link.command("HGETALL", store.keys.signing)
    assert isinstance(reply, list)
    whole = b"".join(part for part in reply if isinstance(part, bytes))
    private = ring.signing().serialised()
    assert b"PRIVATE" not in whole
    assert private.splitlines()[1] not in whole
    assert b"sealed1:" in whole
    other, _ = member(store, seal=Seal(b"x" * 32))
    with pytest.raises(ConfigError, match=r"another secret.*secret_file"):
        await other.look(NOW)
    assert await other.look(NOW) is False  # said once
    with pytest.raises(ConfigError, match="another secret"):
        await KeyPlace(store, Seal(b"x" * 32)).change(lambda found: (*found, kept.made(ALG, "next", NOW)))


async def test_a_schedule_that_falls_due_everywhere_at_once_makes_one_step(store: SessionStore) -> None:
    members = [member(store) for _ in range(6)]
    await asyncio.gather(*(keys.look(NOW) for keys, _ in members))
    first = members[0][1].signing().kid
    for moment, states in (
        (NOW + 30 * DAY - 3600, ["current", "next"]),
        (NOW + 30 * DAY, ["current", "retired"]),
        (NOW + 30 * DAY + SCHEDULE.keep, ["current"]),
    ):
        await asyncio.gather(*(keys.look(moment) for keys, _ in members))
        await asyncio.gather(*(keys.look(moment) for keys, _ in members))
        for keys, ring in members:
            assert sorted(one.state for one in keys.kept) == states
            assert len(ring.keys) == len(states)
    assert first not in {key.kid for key in members[0][1].keys}
    assert len({ring.signing().kid for _, ring in members}) == 1


async def test_tokens_that_live_longer_after_a_reload_keep_their_key_longer(store: SessionStore) -> None:
    keys, _ = member(store)
    await keys.look(NOW)
    await keys.look(NOW + 30 * DAY - 3600)
    await keys.look(NOW + 30 * DAY)
    keys.renew(replace(SCHEDULE, keep=DAY))
    await keys.look(NOW + 30 * DAY + SCHEDULE.keep)
    assert len(keys.kept) == 2
    await keys.look(NOW + 31 * DAY)
    assert len(keys.kept) == 1


async def test_another_algorithm_is_published_ahead_and_then_signs_everywhere(store: SessionStore) -> None:
    (one, one_ring), (other, other_ring) = member(store), member(store, "EdDSA")
    await one.look(NOW)
    token = issued(one_ring)
    for now in (NOW + 10, NOW + 11, NOW + 10 + 3599):
        await other.look(now)
        await one.look(now)
        assert [ring.signing().alg for ring in (one_ring, other_ring)] == [ALG, ALG]
        assert {key["alg"] for key in one_ring.jwks()["keys"]} == {ALG, "EdDSA"}
    one.renew(replace(SCHEDULE, alg="EdDSA"))  # by now everybody is asked for it
    await other.look(NOW + 10 + 3600)
    assert other_ring.signing().alg == "EdDSA"
    early = issued(other_ring)
    assert isinstance(verifier(one_ring).verify(early, NOW), Identity)  # also where nobody has looked yet
    await one.look(NOW + 10 + 3600)
    assert one_ring.signing().kid == other_ring.signing().kid
    assert isinstance(verifier(other_ring).verify(token, NOW), Identity)


async def test_a_secret_in_place_of_public_keys_signs_at_once(store: SessionStore) -> None:
    (one, _), (other, other_ring) = member(store), member(store, "HS256")
    await one.look(NOW)
    await other.look(NOW)
    assert [(key.alg, key.state) for key in other_ring.keys] == [("HS256", "current"), (ALG, "retired")]
    assert await one.look(NOW)
    assert await one.look(NOW + 60 * DAY)  # the retired key goes; the other gateway's wish is left to its next start
    assert [(key.alg, key.state) for key in one.kept] == [("HS256", "current")]


async def test_a_compromised_key_is_expelled_by_all_and_replaced_once(store: SessionStore) -> None:
    members = [member(store) for _ in range(4)]
    await asyncio.gather(*(keys.look(NOW) for keys, _ in members))
    bad = members[0][1].signing().kid
    await asyncio.gather(*(keys.expel(bad, NOW) for keys, _ in members))
    assert len({ring.signing().kid for _, ring in members}) == 1
    for keys, ring in members:
        assert ring.verifying(bad) is None
        assert len(ring.keys) == 1
        assert await keys.expel(bad, NOW) is False


async def test_a_gateway_that_has_just_started_expels_too(store: SessionStore) -> None:
    (one, ring), (fresh, fresh_ring) = member(store), member(store)
    await one.look(NOW)
    bad = ring.signing().kid
    assert await fresh.expel(bad, NOW)
    assert fresh_ring.signing().kid != bad


async def test_a_store_that_has_lost_everything_gets_the_keys_back(store: SessionStore) -> None:
    (one, ring), (other, other_ring) = member(store), member(store)
    await one.look(NOW)
    await other.look(NOW)
    await store.link.command("FLUSHALL")
    await one.look(NOW)
    await other.look(NOW)
    fresh, fresh_ring = member(store)
    await fresh.look(NOW)
    assert fresh_ring.signing().kid == ring.signing().kid == other_ring.signing().kid


async def test_a_failover_that_lost_a_change_is_mended_by_whoever_knows_it(store: SessionStore) -> None:
    (one, ring), (other, other_ring) = member(store), member(store)
    await one.look(NOW)
    await other.look(NOW)
    before = await store.link.command("HGETALL", store.keys.signing)
    assert isinstance(before, list)
    bad = ring.signing().kid
    await one.expel(bad, NOW)
    await store.link.command("HSET", store.keys.signing, *(part for part in before if isinstance(part, bytes)))
    await one.look(NOW)
    await other.look(NOW)
    assert other_ring.signing().kid == ring.signing().kid != bad


async def test_two_sets_with_one_revision_become_one(store: SessionStore) -> None:
    (one, ring), (other, other_ring) = member(store), member(store)
    await one.look(NOW)
    await store.link.command("FLUSHALL")
    await other.look(NOW)
    assert ring.signing().kid != other_ring.signing().kid
    await one.look(NOW)
    assert ring.signing().kid == other_ring.signing().kid


async def test_a_damaged_set_is_left_as_it_is_and_the_keys_in_force_go_on(store: SessionStore) -> None:
    keys, ring = member(store)
    await keys.look(NOW)
    kid = ring.signing().kid
    await store.link.command("HSET", store.keys.signing, "n", 9, "m", "x", "d", "{}")
    with pytest.raises(ConfigError, match="damaged"):
        await keys.look(NOW)
    assert await keys.look(NOW) is False
    assert ring.signing().kid == kid
    fresh, fresh_ring = member(store)
    with pytest.raises(ConfigError, match="damaged"):
        await fresh.look(NOW)
    assert not fresh_ring.is_known
    assert await store.link.command("HGET", store.keys.signing, "d") == b"{}"


async def test_a_store_that_is_away_leaves_the_keys_in_force(store: SessionStore) -> None:
    keys, ring = member(store)
    with pytest.raises(StoreUnavailable):
        ring.signing()
    await keys.look(NOW)
    lost = connect("unix:///nowhere/at/all.sock", timeout=0.1)
    keys._place._store = lost
    with pytest.raises(StoreUnavailable):
        await keys.look(NOW)
    assert ring.signing().alg == ALG
    await lost.close()


async def test_who_can_write_to_the_store_can_neither_bring_back_a_key_nor_change_what_it_is_for(
    store: SessionStore,
) -> None:
    keys, ring = member(store)
    await keys.look(NOW)
    before = await store.link.command("HGETALL", store.keys.signing)
    assert isinstance(before, list)
    old = [part for part in before if isinstance(part, bytes)]
    bad = ring.signing().kid
    await keys.expel(bad, NOW)
    # The old document again, as if it were a newer one; and with a word of it changed.
    for n, changed in ((9, old[5]), (10, old[5].replace(b'"since": ', b'"since": 1'))):
        await store.link.command("HSET", store.keys.signing, "n", n, "m", old[3], "d", changed)
        with pytest.raises(ConfigError, match="damaged"):
            await keys.look(NOW)
    assert ring.verifying(bad) is None


async def test_changes_that_cross_are_all_made(store: SessionStore) -> None:
    keys, _ = member(store)
    await keys.look(NOW)
    places = [KeyPlace(store, SEAL) for _ in range(6)]
    made = [kept.made(ALG, "next", NOW, SEAL) for _ in places]

    def adding(new: kept.Kept) -> kept.Change:
        return lambda found: (*found, new)

    await asyncio.gather(*(place.change(adding(new)) for place, new in zip(places, made, strict=True)))
    await keys.look(NOW)
    assert {one.kid for one in made} < {one.kid for one in keys.kept}


async def test_a_set_that_would_not_be_sound_is_never_written(store: SessionStore) -> None:
    keys, _ = member(store)
    await keys.look(NOW)
    with pytest.raises(ConfigError, match="algorithm confusion"):
        await KeyPlace(store, SEAL).change(lambda found: (*found, kept.made("HS256", "next", NOW, SEAL)))
    assert await keys.look(NOW) is False
