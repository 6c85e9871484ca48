"""argon2id hashes and the threads they are computed in."""

import asyncio
import threading

import pytest

from gateway.errors import Refused
from gateway.users.passwords import Cost, Hasher, HashPool, cost_of
from tests.users.conftest import CHEAP


def test_the_default_cost_is_the_one_owasp_asks_for() -> None:
    assert Hasher().cost == Cost(memory_kib=19_456, passes=2, lanes=1)


def test_a_real_hash_is_argon2id_at_the_current_cost_and_matches_its_password_only() -> None:
    hasher = Hasher()
    encoded = hasher.hash("correct horse")
    assert encoded.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert hasher.verify(encoded, "correct horse")
    assert not hasher.verify(encoded, "battery staple")


@pytest.mark.item(120)
@pytest.mark.parametrize(
    "password",
    [
        pytest.param("x" * 64, id="64 characters"),
        pytest.param("пароль🔑", id="unicode"),
        pytest.param("a\0b", id="with NUL"),
        pytest.param(" spaced ", id="with spaces around"),
        pytest.param("x" * 1024, id="1024 bytes"),
    ],
)
def test_a_password_is_checked_exactly_as_received(password: str) -> None:
    hasher = Hasher(CHEAP)
    encoded = hasher.hash(password)
    assert hasher.verify(encoded, password)
    assert not hasher.verify(encoded, password[:-1])


@pytest.mark.item(120)
def test_two_spellings_of_one_letter_are_two_passwords() -> None:
    hasher = Hasher(CHEAP)
    assert not hasher.verify(hasher.hash("caf\u00e9"), "cafe\u0301")


def test_two_hashes_of_one_password_differ() -> None:
    assert Hasher(CHEAP).hash("same") != Hasher(CHEAP).hash("same")


@pytest.mark.item(119)
@pytest.mark.parametrize(
    "cost",
    [
        pytest.param(Cost(4 * 1024 * 1024, 1, 1), id="4 GiB"),
        pytest.param(Cost(19_456, 1_000_000, 1), id="a million passes"),
        pytest.param(Cost(65_536, 3, 255), id="255 lanes"),
        pytest.param(Cost(8, 1, 4), id="less memory than the lanes need"),
    ],
)
def test_an_absurd_stored_cost_fails_closed_without_hashing(cost: Cost) -> None:
    hasher = Hasher()
    assert cost.absurd
    assert not hasher.verify(hasher.decoy(cost), "anything")


def test_the_costs_of_rfc_9106_and_of_common_tools_are_not_absurd() -> None:
    assert not Cost(65_536, 3, 4).absurd
    assert not Cost(47_104, 1, 1).absurd
    assert not Cost().absurd


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("demo", id="clear text"),
        pytest.param("$2b$12$abcdefghijklmnopqrstuv", id="bcrypt"),
        pytest.param("{SHA}0DPiKuNIrrVmD8IUCuw1hQxNqZc=", id="htpasswd SHA"),
        pytest.param("$argon2i$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$" + "A" * 43, id="argon2i"),
        pytest.param("$argon2id$v=16$m=19456,t=2,p=1$c2FsdHNhbHQ$" + "A" * 43, id="old version"),
        pytest.param("$argon2id$v=19$m=1_9456,t=2,p=1$c2FsdHNhbHQ$" + "A" * 43, id="a number only Python reads"),
        pytest.param("$argon2id$v=19$m=19456,t=2,p=1,m=8$c2FsdHNhbHQ$" + "A" * 43, id="a parameter twice"),
        pytest.param("$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$" + "A" * 43 + "\n", id="a line feed behind"),
    ],
)
def test_what_is_no_argon2id_hash_matches_nothing(text: str) -> None:
    assert cost_of(text) is None
    assert not Hasher().verify(text, text)


def test_a_decoy_costs_what_it_says_and_matches_nothing() -> None:
    hasher = Hasher(CHEAP)
    decoy = hasher.decoy()
    assert cost_of(decoy) == CHEAP
    assert not any(hasher.verify(decoy, guess) for guess in ("", "demo", decoy))
    assert hasher.decoy() != decoy


def test_the_library_computes_a_decoy_to_the_end_instead_of_refusing_it_as_malformed() -> None:
    from argon2.exceptions import VerifyMismatchError
    from argon2.low_level import Type, verify_secret

    with pytest.raises(VerifyMismatchError):
        verify_secret(Hasher(CHEAP).decoy().encode(), b"guess", Type.ID)


def test_a_hash_with_other_costs_is_outdated() -> None:
    assert Hasher().outdated(Hasher(CHEAP).hash("x"))
    assert not Hasher(CHEAP).outdated(Hasher(CHEAP).hash("x"))


@pytest.mark.item(118)
async def test_hashing_happens_off_the_event_loop(pool: HashPool) -> None:
    assert await pool.run(threading.get_ident) != threading.get_ident()


@pytest.mark.item(118)
async def test_a_full_queue_refuses_at_once_and_takes_again_when_there_is_room() -> None:
    pool = HashPool(1, queue=1)
    gate = threading.Event()
    try:
        running = asyncio.ensure_future(pool.run(gate.wait))
        waiting = asyncio.ensure_future(pool.run(gate.wait))
        await asyncio.sleep(0)
        assert pool.waiting == 1
        with pytest.raises(Refused) as refused:
            await pool.run(gate.wait)
        assert refused.value.refusal.code.name == "overloaded"
        assert refused.value.refusal.status == 503
        assert refused.value.refusal.retry_after == 1
        gate.set()
        assert await running
        assert await waiting
        assert await pool.run(lambda: "taken") == "taken"
        assert pool.waiting == 0
    finally:
        gate.set()
        pool.close()


async def test_what_ends_a_begun_story_is_still_taken_when_new_work_is_refused() -> None:
    pool = HashPool(1, queue=0)
    gate = threading.Event()
    try:
        running = asyncio.ensure_future(pool.run(gate.wait))
        await asyncio.sleep(0)
        signing = asyncio.ensure_future(pool.finishing.run(lambda: "signed"))
        await asyncio.sleep(0)
        with pytest.raises(Refused):
            await pool.run(int)
        gate.set()
        await running
        assert await signing == "signed"
    finally:
        gate.set()
        pool.close()


async def test_a_caller_who_leaves_gives_up_the_place_in_the_queue() -> None:
    pool = HashPool(1, queue=1)
    gate = threading.Event()
    try:
        running = asyncio.ensure_future(pool.run(gate.wait))
        left = asyncio.ensure_future(pool.run(gate.wait))
        await asyncio.sleep(0)
        left.cancel()
        await asyncio.gather(left, return_exceptions=True)
        assert pool.waiting == 0
        gate.set()
        await running
    finally:
        gate.set()
        pool.close()


async def test_what_the_work_raises_reaches_the_caller(pool: HashPool) -> None:
    def broken() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await pool.run(broken)


async def test_a_closed_pool_refuses_instead_of_failing() -> None:
    pool = HashPool(1)
    pool.close()
    with pytest.raises(Refused):
        await pool.run(int)


@pytest.mark.item(118)
async def test_no_more_threads_than_given_hash_at_once(pool: HashPool) -> None:
    lock, now, most = threading.Lock(), 0, 0
    hasher = Hasher(CHEAP)

    def work() -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        hasher.hash("x")
        with lock:
            now -= 1

    await asyncio.gather(*(pool.run(work) for _ in range(30)))
    assert most <= pool.threads
