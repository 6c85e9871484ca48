"""The buckets of limits in the store: what two gateways take adds up, nobody is named, and nothing stays."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.limits.shared import SharedBuckets, Spent
from gateway.sessions.link import script
from gateway.sessions.rates import AT_ONCE, StoredRates
from gateway.sessions.store import SessionStore, connect

from .conftest import Server, emptied
from .servers import Nodes

KEY = bytes(range(32))
BUCKETS = SharedBuckets("per_user\nclaim.sub\n\n10/s", 10, 20)


def spent(seconds: float, *, before: float = 0.0, key: str | bytes = "ana", of: SharedBuckets = BUCKETS) -> Spent:
    return Spent(of, key, before, seconds)


class RatesContract:
    """Inherited whole by one class for each kind of store."""

    async def test_what_is_taken_adds_up_and_runs_off(self, store: SessionStore) -> None:
        rates = StoredRates(store, KEY)
        assert await told(rates, spent(60.0)) == pytest.approx(60, abs=0.01)
        assert await told(rates, spent(60.0)) == pytest.approx(120, abs=1)
        await asyncio.sleep(0.05)
        now = await told(rates, spent(0.0))
        assert 100 < now <= 119.95

    async def test_what_the_sender_knew_counts_when_it_is_more(self, store: SessionStore) -> None:
        rates = StoredRates(store, KEY)
        assert await told(rates, spent(1.0, before=30.0)) == pytest.approx(31, abs=0.01)
        assert await told(rates, spent(1.0, before=-5.0)) == pytest.approx(32, abs=1)

    async def test_a_bucket_that_has_filled_meanwhile_is_not_kept(self, store: SessionStore) -> None:
        rates = StoredRates(store, KEY)
        assert await told(rates, spent(2.0, before=-3.0)) == pytest.approx(-1.0, abs=0.01)
        assert await keys_in(store) == []
        await told(rates, spent(0.02))
        await until_empty(store)

    async def test_buckets_do_not_know_each_other(self, store: SessionStore) -> None:
        rates = StoredRates(store, KEY)
        other = SharedBuckets("per_user\nclaim.sub\npro\n10/s", 10, 20)
        chosen = [spent(60.0), spent(60.0, key=b"ana"), spent(60.0, key="bob"), spent(60.0, of=other)]
        assert await rates.spend(chosen) == [pytest.approx(60, abs=0.1)] * 4
        assert len(await keys_in(store)) == 4

    async def test_many_are_taken_in_one_call_each_with_its_own_answer(self, store: SessionStore) -> None:
        rates = StoredRates(store, KEY)
        many = [spent(1000.0 + number, key=f"user{number}") for number in range(2 * AT_ONCE + 7)]
        assert await rates.spend(many) == [pytest.approx(1000 + number, abs=3) for number in range(len(many))]
        assert len(await keys_in(store)) == len(many)

    async def test_who_reads_the_store_learns_nobody_s_name(self, store: SessionStore) -> None:
        await told(StoredRates(store, KEY), spent(60.0, key="192.0.2.77"))
        await told(StoredRates(store, bytes(32)), spent(60.0, key="192.0.2.77"))
        found = await keys_in(store)
        assert len(found) == 2
        assert not any(word in key for key in found for word in ("192", "user"))

    async def test_a_server_that_forgot_its_scripts_is_given_them_again(self, store: SessionStore) -> None:
        await store.link.each("SCRIPT", "FLUSH")
        assert await told(StoredRates(store, KEY), spent(60.0)) == pytest.approx(60, abs=0.1)


class TestOnValkey(RatesContract):
    @pytest.fixture
    async def store(self, valkey: Server) -> AsyncIterator[SessionStore]:
        async for store in emptied(valkey):
            yield store


class TestOnRedis(RatesContract):
    @pytest.fixture
    async def store(self, redis: Server) -> AsyncIterator[SessionStore]:
        async for store in emptied(redis):
            yield store


class TestOnTheOldestRedis(RatesContract):
    @pytest.fixture
    async def store(self, oldest_redis: Server) -> AsyncIterator[SessionStore]:
        async for store in emptied(oldest_redis):
            yield store


class TestOnACluster(RatesContract):
    @pytest.fixture
    async def store(self, nodes: Nodes) -> AsyncIterator[SessionStore]:
        async for store in emptied(nodes):
            yield store


async def test_a_store_that_does_not_answer_says_nothing_and_raises_nothing() -> None:
    store = connect("redis://127.0.0.1:1/0", timeout=1.0)
    assert await StoredRates(store, KEY).spend([spent(1.0), spent(1.0, key="bob")]) == [None, None]
    await store.close()


async def test_a_number_is_kept_to_the_microsecond(store: SessionStore) -> None:
    """Lua writes large numbers with fourteen digits unless it is told how."""
    await store.link.run(script("spend"), ["gw:x"], [0, 86_400_000_001])
    first = await store.link.command("GET", "gw:x")
    await store.link.run(script("spend"), ["gw:x"], [0, 1])
    second = await store.link.command("GET", "gw:x")
    assert isinstance(first, bytes)
    assert isinstance(second, bytes)
    assert int(second) - int(first) == 1


async def told(rates: StoredRates, one: Spent) -> float:
    (full_in,) = await rates.spend([one])
    assert full_in is not None
    return full_in


async def keys_in(store: SessionStore) -> list[str]:
    replies = await store.link.each("KEYS", "*")
    return sorted(
        key.decode() for reply in replies if isinstance(reply, list) for key in reply if isinstance(key, bytes)
    )


async def until_empty(store: SessionStore) -> None:
    async with asyncio.timeout(20):
        while await keys_in(store):
            await asyncio.sleep(0.01)
