"""The brake on guessing: one contract for the plain model and every kind of store, and a store beside the model."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import StoreUnavailable
from gateway.limits.guesses import Busy, Guess, Reserved, Throttle, Throttled, ThrottleLimits
from gateway.sessions.guesses import StoredThrottle
from gateway.sessions.replies import items, number, text
from gateway.sessions.store import SessionStore, connect
from tests.limits.brake import MemoryThrottle
from tests.users.conftest import MovedClock

from .conftest import Server, emptied
from .servers import Nodes

KEY = b"k" * 32
HOME, OFFICE, ATTACKER = "192.0.2.1", "192.0.2.2", "203.0.113.9"
LIMITS = ThrottleLimits(
    known_free=8, first=100, longest=90_000, forget=8_640_000, address_leak=1000, lease=6000, known=3_000_000
)
"""A hundred times slower than in life: nothing hangs on how long a busy machine takes between two lines of a test; and
with a count for all that is known which a random course of events reaches."""


class Brake:
    """A throttle in the hands of a test."""

    def __init__(self, throttle: Throttle, wait: Callable[[float], Awaitable[None]]) -> None:
        self.throttle = throttle
        self.wait = wait
        """Makes it so that so many seconds have passed."""

    async def ask(
        self, account: str = "alice", address: str = ATTACKER, device: str = ""
    ) -> Reserved | Throttled | Busy:
        return await self.throttle.reserve(Guess(account, address, device=device))

    async def turn(self, account: str = "alice", address: str = ATTACKER, device: str = "") -> Reserved:
        turn = await self.ask(account, address, device)
        assert isinstance(turn, Reserved), turn
        return turn

    async def fail(self, times: int, account: str = "alice", address: str = ATTACKER, device: str = "") -> None:
        for _ in range(times):
            await self.throttle.failed(await self.turn(account, address, device))

    async def succeed(self, account: str = "alice", address: str = ATTACKER, device: str = "") -> None:
        await self.throttle.succeeded(await self.turn(account, address, device))

    async def has_turn(self, account: str = "alice", address: str = ATTACKER, device: str = "") -> bool:
        """Whether a try may be made; it is not."""
        turn = await self.ask(account, address, device)
        if isinstance(turn, Reserved):
            await self.throttle.released(turn)
        return isinstance(turn, Reserved)

    async def delay(self, account: str = "alice", address: str = ATTACKER, device: str = "") -> float:
        """The delay, in steps of the ladder."""
        wait = await self.ask(account, address, device)
        assert isinstance(wait, Throttled), wait
        return round(wait.retry_after / LIMITS.first, 1)


def stored(store: SessionStore) -> Brake:
    async def wait(seconds: float) -> None:
        shift = round(seconds * 1000)
        for key in await keys_in(store):
            await earlier(store, key, shift)

    return Brake(StoredThrottle(store, KEY, LIMITS), wait)


async def keys_in(store: SessionStore) -> list[str]:
    return [text(key) for reply in await store.link.each("KEYS", "gw:*") for key in items(reply)]


async def earlier(store: SessionStore, key: str, shift: int) -> None:
    """Make it so that all which *key* holds happened *shift* milliseconds earlier."""
    left = number(await store.link.command("PTTL", key)) - shift
    if text(await store.link.command("TYPE", key)) == "hash":
        fields = items(await store.link.command("HGETALL", key))
        for name, value in zip(fields[::2], fields[1::2], strict=True):
            if text(name) != "n":
                await store.link.command("HSET", key, text(name), number(value) - shift)
    await store.link.command("PEXPIRE", key, max(left, 0))


class ThrottleContract:
    """Inherited whole by one class for each implementation."""

    async def test_a_few_mistakes_cost_nothing(self, brake: Brake) -> None:
        await brake.fail(4)
        assert await brake.has_turn()

    @pytest.mark.item(124)
    async def test_after_the_free_tries_the_delay_doubles_up_to_the_top(self, brake: Brake) -> None:
        await brake.fail(5)
        delays = []
        for _ in range(12):
            delays.append(await brake.delay())
            await brake.wait(delays[-1] * LIMITS.first)
            await brake.fail(1)
        assert delays == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]

    async def test_the_time_to_wait_runs_down(self, brake: Brake) -> None:
        await brake.fail(5)
        await brake.wait(LIMITS.first)
        await brake.fail(1)
        assert await brake.delay() == 2
        await brake.wait(1.5 * LIMITS.first)
        assert await brake.delay() == 0.5
        await brake.wait(0.5 * LIMITS.first)
        assert await brake.has_turn()

    @pytest.mark.item(124)
    async def test_no_delay_is_permanent(self, brake: Brake) -> None:
        for _ in range(20):
            turn = await brake.ask()
            if isinstance(turn, Reserved):
                await brake.throttle.failed(turn)
            await brake.wait(LIMITS.longest)
        assert await brake.has_turn()

    @pytest.mark.item(123)
    async def test_a_hundred_guesses_at_once_do_not_pass_the_count_together(self, brake: Brake) -> None:
        turns = await asyncio.gather(*(brake.ask() for _ in range(100)))
        assert sum(isinstance(turn, Reserved) for turn in turns) == 5
        assert sum(isinstance(turn, Busy) for turn in turns) == 95

    @pytest.mark.item(123)
    async def test_nor_do_a_hundred_from_as_many_addresses(self, brake: Brake) -> None:
        turns = await asyncio.gather(*(brake.ask(address=f"203.0.113.{i}") for i in range(100)))
        assert sum(isinstance(turn, Reserved) for turn in turns) == 10
        assert sum(isinstance(turn, Busy) for turn in turns) == 90

    async def test_beyond_the_free_tries_they_are_checked_one_at_a_time(self, brake: Brake) -> None:
        await brake.fail(5)
        await brake.wait(LIMITS.first)
        await brake.turn()
        assert await brake.ask() == Busy()

    async def test_a_success_gives_the_free_tries_back(self, brake: Brake) -> None:
        await brake.fail(4)
        await brake.succeed()
        await brake.fail(4)
        assert await brake.has_turn()

    async def test_a_try_that_could_not_be_checked_never_happened(self, brake: Brake) -> None:
        for _ in range(20):
            await brake.throttle.released(await brake.turn())
        await brake.fail(4)
        assert await brake.has_turn()

    async def test_a_try_whose_gateway_was_killed_is_over_with_its_lease(self, brake: Brake) -> None:
        for _ in range(5):
            await brake.turn()
        assert await brake.ask() == Busy()
        await brake.wait(LIMITS.lease)
        assert await brake.has_turn()

    async def test_a_try_that_outlives_its_lease_counts_all_the_same(self, brake: Brake) -> None:
        turns = [await brake.turn() for _ in range(5)]
        await brake.wait(LIMITS.lease)
        for turn in turns:
            await brake.throttle.failed(turn)
        assert await brake.delay() == 1

    async def test_many_addresses_together_climb_the_accounts_ladder(self, brake: Brake) -> None:
        for i in range(10):
            await brake.fail(1, address=f"203.0.113.{i}")
        assert await brake.delay(address="198.51.100.1") == 1
        assert await brake.has_turn("bob", "198.51.100.1")

    async def test_the_addresses_of_one_ipv6_network_are_one(self, brake: Brake) -> None:
        for i in range(5):
            await brake.fail(1, address=f"2001:db8::{i}")
        assert await brake.delay(address="2001:db8::ffff") == 1
        assert await brake.has_turn(address="2001:db8:0:1::1")

    @pytest.mark.item(124)
    async def test_strangers_cannot_lock_out_a_person_at_an_address_they_use(self, brake: Brake) -> None:
        await brake.succeed(address=HOME)
        for i in range(10):
            await brake.fail(1, address=f"203.0.113.{i}")
        assert await brake.delay(address=OFFICE) == 1
        assert await brake.has_turn(address=HOME)

    async def test_a_success_at_home_does_not_give_strangers_new_tries(self, brake: Brake) -> None:
        await brake.succeed(address=HOME)
        for i in range(10):
            await brake.fail(1, address=f"203.0.113.{i}")
        await brake.succeed(address=HOME)
        assert await brake.delay(address="198.51.100.1") == 1

    async def test_a_known_address_still_has_the_pairs_own_ladder(self, brake: Brake) -> None:
        await brake.succeed(address=HOME)
        await brake.fail(5, address=HOME)
        assert await brake.delay(address=HOME) == 1

    async def test_an_address_is_known_for_a_while(self, brake: Brake) -> None:
        await brake.succeed(address=HOME)
        await brake.wait(LIMITS.known - 1000)
        assert (await brake.turn(address=HOME)).known
        await brake.wait(1000)
        assert not (await brake.turn(address=HOME)).known

    @pytest.mark.item(124)
    async def test_an_address_that_failed_too_often_is_slow_but_never_refused(self, brake: Brake) -> None:
        for i in range(55):
            await brake.fail(1, account=f"user{i}")
        assert (await brake.turn("somebody else")).slow_for == LIMITS.address_leak
        assert not (await brake.turn("somebody else", HOME)).slow_for

    async def test_a_slow_address_recovers(self, brake: Brake) -> None:
        for i in range(60):
            await brake.fail(1, account=f"user{i}")
        await brake.wait(11 * LIMITS.address_leak)
        assert not (await brake.turn("x")).slow_for

    async def test_a_count_is_forgotten_no_sooner_than_waiting_at_the_top_would_have_given_as_many_tries(
        self, brake: Brake
    ) -> None:
        await brake.fail(4)
        await brake.wait(4 * LIMITS.longest - 1000)
        await brake.fail(1)
        assert await brake.delay() == 1
        await brake.wait(5 * LIMITS.longest)
        await brake.fail(4)
        assert await brake.has_turn()

    @pytest.mark.item(124)
    async def test_a_known_browser_is_held_up_by_nobody_at_its_own_address_nor_elsewhere(self, brake: Brake) -> None:
        await brake.fail(5, address=OFFICE)
        for i in range(5):
            await brake.fail(1, address=f"203.0.113.{i}")
        assert await brake.delay(address=OFFICE) == 1
        assert await brake.delay(address=HOME) == 1
        for address in (OFFICE, HOME):
            assert await brake.has_turn(address=address, device="laptop")

    async def test_nor_by_guesses_that_are_being_checked(self, brake: Brake) -> None:
        for _ in range(5):
            await brake.turn(address=OFFICE)
        assert await brake.ask(address=OFFICE) == Busy()
        assert await brake.has_turn(address=OFFICE, device="laptop")

    @pytest.mark.item(124)
    async def test_a_browser_that_was_stolen_has_a_ladder_of_its_own(self, brake: Brake) -> None:
        await brake.fail(3, address=OFFICE, device="laptop")
        await brake.fail(2, address=HOME, device="laptop")
        assert await brake.delay(address=ATTACKER, device="laptop") == 1
        assert await brake.has_turn(address=ATTACKER, device="phone")
        assert await brake.has_turn(address=ATTACKER)

    @pytest.mark.item(123)
    async def test_many_known_browsers_together_climb_a_ladder_that_is_not_the_strangers(self, brake: Brake) -> None:
        await brake.succeed(address=HOME)
        for i in range(8):
            await brake.fail(1, device=f"browser{i}")
        assert await brake.delay(device="another") == 1
        assert await brake.delay(address=HOME) == 1
        assert await brake.has_turn(address=OFFICE), "whom nobody knows"
        assert await brake.has_turn("bob", device="another")
        await brake.wait(LIMITS.first)
        await brake.fail(1, device="another")
        assert await brake.delay(device="laptop") == 2

    async def test_so_do_many_known_addresses(self, brake: Brake) -> None:
        places = [f"2001:db8:0:{i}::1" for i in range(9)]
        for place in places:
            await brake.succeed(address=place)
        for place in places[:8]:
            await brake.fail(1, address=place)
        assert await brake.delay(address=places[8]) == 1

    @pytest.mark.item(123)
    async def test_a_hundred_guesses_at_once_from_as_many_known_browsers_do_not_pass_that_count_together(
        self, brake: Brake
    ) -> None:
        turns = await asyncio.gather(*(brake.ask(device=f"browser{i}") for i in range(100)))
        assert sum(isinstance(turn, Reserved) for turn in turns) == 8
        assert sum(isinstance(turn, Busy) for turn in turns) == 92

    async def test_a_success_in_a_known_browser_gives_what_is_known_its_free_tries_back(self, brake: Brake) -> None:
        for i in range(7):
            await brake.fail(1, device=f"browser{i}")
        await brake.succeed(device="laptop")
        for i in range(7):
            await brake.fail(1, device=f"browser{i}")
        assert await brake.has_turn(device="laptop")

    async def test_a_success_of_a_stranger_does_not(self, brake: Brake) -> None:
        for i in range(8):
            await brake.fail(1, device=f"browser{i}")
        await brake.succeed(address=OFFICE)
        assert await brake.delay(device="laptop") == 1

    async def test_a_success_in_a_known_browser_gives_strangers_no_new_tries(self, brake: Brake) -> None:
        await brake.fail(5, address=OFFICE)
        for i in range(5):
            await brake.fail(1, address=f"203.0.113.{i}")
        await brake.succeed(address=OFFICE, device="laptop")
        assert await brake.delay(address=OFFICE) == 1
        assert await brake.delay(address=HOME) == 1

    async def test_a_known_browser_is_never_slow(self, brake: Brake) -> None:
        for i in range(55):
            await brake.fail(1, account=f"user{i}")
        assert not (await brake.turn(device="laptop")).slow_for

    async def test_secrets_of_another_kind_have_counts_of_their_own(self, brake: Brake) -> None:
        await brake.fail(5)
        assert isinstance(await brake.throttle.reserve(Guess("alice", ATTACKER, "client")), Reserved)


class TestInMemory(ThrottleContract):
    @pytest.fixture
    async def brake(self) -> Brake:
        return remembered(MovedClock())


def remembered(clock: MovedClock) -> Brake:
    async def wait(seconds: float) -> None:
        clock.now += seconds

    return Brake(MemoryThrottle(clock, LIMITS), wait)


class TestOnEmbeddedValkey(ThrottleContract):
    @pytest.fixture
    async def brake(self, valkey: Server) -> AsyncIterator[Brake]:
        async for store in emptied(valkey):
            yield stored(store)


class TestOnRedisServer(ThrottleContract):
    @pytest.fixture
    async def brake(self, redis: Server) -> AsyncIterator[Brake]:
        async for store in emptied(redis):
            yield stored(store)


class TestOnTheOldestRedis(ThrottleContract):
    @pytest.fixture
    async def brake(self, oldest_redis: Server) -> AsyncIterator[Brake]:
        async for store in emptied(oldest_redis):
            yield stored(store)


class TestOnACluster(ThrottleContract):
    @pytest.fixture
    async def brake(self, nodes: Nodes) -> AsyncIterator[Brake]:
        async for store in emptied(nodes):
            yield stored(store)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "reserve", "succeeded", "failed", "failed", "released", "wait"]),
        st.sampled_from(["alice", "bob"]),
        st.sampled_from([HOME, ATTACKER, OFFICE]),
        st.sampled_from(["", "", "laptop", "phone"]),
    ),
    max_size=60,
)


@pytest.mark.item(124)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
async def test_the_store_does_what_the_model_does_and_nobody_waits_for_ever(
    store: SessionStore, steps: list[tuple[str, str, str, str]]
) -> None:
    await store.link.command("FLUSHALL")
    both = (stored(store), remembered(MovedClock()))
    held: list[tuple[Reserved, Reserved]] = []

    async def end(step: str, turns: tuple[Reserved, Reserved]) -> None:
        for brake, turn in zip(both, turns, strict=True):
            await getattr(brake.throttle, step)(turn)

    for step, account, address, device in steps:
        if step == "reserve":
            one, other = [await brake.ask(account, address, device) for brake in both]
            assert seen(one) == seen(other)
            if isinstance(one, Reserved) and isinstance(other, Reserved):
                held.append((one, other))
        elif step == "wait":
            for brake in both:
                await brake.wait(3.5 * LIMITS.first)
        elif held:
            await end(step, held.pop())
    for turns in held:
        await end("failed", turns)
    for brake in both:
        await brake.wait(LIMITS.longest)
        for account in ("alice", "bob"):
            for address in (HOME, ATTACKER):
                assert await brake.has_turn(account, address)
                assert await brake.has_turn(account, address, "laptop")


def seen(turn: Reserved | Throttled | Busy) -> tuple[object, ...]:
    """What an answer says, apart from how long the test took."""
    match turn:
        case Reserved():
            return "reserved", turn.known, turn.slow_for
        case Throttled():
            return "throttled", round(turn.retry_after / LIMITS.first, 1)
        case Busy():
            return ("busy",)


@pytest.mark.item(126)
async def test_the_count_survives_a_restart_and_is_shared(store: SessionStore, valkey: Server) -> None:
    one, other = stored(store), connect(valkey.url)
    await one.fail(3)
    await stored(other).fail(2)
    await other.close()
    assert await one.delay() == 1


async def test_the_store_names_nobody(store: SessionStore) -> None:
    brake = stored(store)
    await brake.succeed("alice", HOME)
    await brake.fail(1, "alice", ATTACKER)
    await brake.fail(1, "alice", ATTACKER, "laptop")
    dump = ""
    for key in await keys_in(store):
        kind = text(await store.link.command("TYPE", key))
        dump += key + repr(await store.link.command("HGETALL" if kind == "hash" else "GET", key))
    assert dump.count("gw:") == 6
    assert not any(name in dump for name in ("alice", "laptop", HOME, ATTACKER))


async def test_everything_kept_of_a_guess_goes_by_itself(store: SessionStore) -> None:
    brake = stored(store)
    await brake.succeed("alice", HOME)
    await brake.fail(4, "alice", ATTACKER)
    await brake.turn("bob", ATTACKER)
    for key in await keys_in(store):
        assert 0 < number(await store.link.command("PTTL", key)) <= LIMITS.known * 1000, key


async def test_what_a_flood_of_failures_takes_of_the_store_is_little_and_short(store: SessionStore) -> None:
    await stored(store).fail(1, "alice" * 50, ATTACKER)
    taken = 0
    for key in await keys_in(store):
        taken += number(await store.link.command("MEMORY", "USAGE", key))
        assert number(await store.link.command("PTTL", key)) <= LIMITS.longest * 1000
    assert 0 < taken < 700


async def test_a_store_that_is_gone_gives_no_turn(store: SessionStore) -> None:
    gone = connect("redis://127.0.0.1:1", timeout=0.2)
    brake = stored(store)
    turn = await brake.turn()
    away = StoredThrottle(gone, KEY)
    for call in (away.reserve(turn.guess), away.succeeded(turn), away.failed(turn), away.released(turn)):
        with pytest.raises(StoreUnavailable):
            await call
    await gone.close()
