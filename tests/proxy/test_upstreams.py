"""Several targets behind one name: who is asked, who is asked next, and what is held against whom."""

import asyncio
import errno
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.outbound.client import Outbound
from gateway.outbound.probes import Probe, Prober
from gateway.proxy import connect as ways
from gateway.proxy.balancer import BALANCERS
from gateway.proxy.hashing import hash_key
from gateway.proxy.health import Ejection, Probing, UpstreamHealth
from gateway.proxy.pool import OURS, Connect, Pool, PoolLimits, Target
from gateway.proxy.upstream import Upstream
from gateway.routing.table import Retry, RouteOptions, Timeouts
from tests.proxy.certificates import Authority
from tests.proxy.harness import (
    OK,
    PUBLIC,
    RESET,
    USER,
    House,
    Origin,
    get,
    house,
    identity,
    post,
    route,
    settle,
    until,
    verified,
)

NEVER_AGAIN = Retry(0, frozenset())


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Targets:
    """A house whose upstream has several targets."""

    def __init__(self, made: House, origins: list[Origin], pool: Pool, clock: Clock) -> None:
        self.house = made
        self.origins = origins
        self.pool = pool
        self.clock = clock

    @property
    def counts(self) -> list[int]:
        """How many requests each target has got."""
        return [len(origin.requests) for origin in self.origins]

    async def ask(self, request: bytes | None = None, times: int = 1) -> list[int]:
        """Ask, and return the statuses."""
        client = await self.house.client()
        return [(await client.ask(request or get())).status for _ in range(times)]


@asynccontextmanager
async def targets(
    number: int = 2,
    *,
    balance: str = "round_robin",
    weights: tuple[int, ...] = (),
    retry: Retry = Retry(),  # noqa: B008 - frozen
    timeouts: Timeouts = Timeouts(),  # noqa: B008 - frozen
    limits: PoolLimits = PoolLimits(),  # noqa: B008 - frozen
    ejection: Ejection | None = None,
    hash_by: str | None = None,
    max_inflight: int | None = None,
    percent: int = 20,
    way: Callable[[House, Origin, int], Connect] | None = None,
) -> AsyncIterator[Targets]:
    options = RouteOptions(retry=retry, timeouts=timeouts)
    routes = [
        route(0, "/public/**", PUBLIC, options),
        route(1, "/api/**", USER, options),
        route(2, "/second/**", upstream="second"),
    ]
    async with house(routes=routes) as made:
        clock = Clock()
        made.engine.monotonic = clock
        origins = [Origin() for _ in range(number)]
        for origin in origins:
            await origin.open()
        way = way or (lambda made, origin, _at: ways.tcp(made.engine, "127.0.0.1", origin.port))
        members = [
            Target(
                name=f"t{at}",
                host=b"t%d.internal" % at,
                connect=way(made, origin, at),
                weight=(*weights, *[1] * number)[at],
            )
            for at, origin in enumerate(origins)
        ]
        pool = Pool(
            made.engine,
            "app",
            members,
            BALANCERS[balance](),
            limits,
            health=UpstreamHealth([member.name for member in members], ejection=ejection, probing=Probing(3, 2)),
            key=hash_key(hash_by),
            max_inflight=max_inflight,
            retry_percent=percent,
        )
        made.pools["app"].close()
        made.pools["app"] = pool
        made.load()
        try:
            yield Targets(made, origins, pool, clock)
        finally:
            for origin in origins:
                origin.close()
    for origin in origins:
        assert all(line.fault is None for line in origin.lines)


# --- who is asked ---


@pytest.mark.parametrize(("balance", "exact"), [("round_robin", True), ("least_inflight", False), ("p2c", False)])
async def test_a_service_at_rest_is_shared(balance: str, exact: bool) -> None:
    async with targets(3, balance=balance, weights=(2, 1, 1)) as here:
        assert await here.ask(times=40) == [200] * 40
        if exact:
            assert here.counts == [20, 10, 10]


async def test_who_is_busy_is_spared() -> None:
    async with targets(2, balance="least_inflight") as here:
        here.origins[0].says(asyncio.Event())
        stuck = await here.house.client()
        await stuck.send(get())
        await until(lambda: here.counts == [1, 0])
        await here.ask(times=5)
        assert here.counts == [1, 5]


@pytest.mark.parametrize("balance", ["least_inflight", "p2c"])
async def test_who_is_slow_to_connect_is_busy_too(balance: str) -> None:
    """Otherwise a target that accepts nothing any more would look like one with nothing to do."""
    gate = asyncio.Event()

    def way(made: House, origin: Origin, at: int) -> Connect:
        open_it = ways.tcp(made.engine, "127.0.0.1", origin.port)

        async def connect(target: Target) -> Upstream:
            if at == 0:
                await gate.wait()
            return await open_it(target)

        return connect

    async with targets(2, balance=balance, way=way) as here:
        clients = [await here.house.client() for _ in range(10)]
        for client in clients:
            here.origins[1].says(gate, OK)
            await client.send(get())
            await settle()
        assert [target.inflight for target in here.pool.targets] == [5, 5]
        gate.set()
        for client in clients:
            assert (await client.answer()).status == 200
        assert [target.inflight for target in here.pool.targets] == [0, 0]


@pytest.mark.parametrize(
    ("hash_by", "lines"),
    [
        ("header:X-Customer", "X-Customer: {}\r\n"),
        ("cookie:sid", "Cookie: a=b; sid={}; c=d\r\n"),
    ],
)
async def test_a_hash_sends_equal_keys_to_one_target_and_different_ones_to_all(hash_by: str, lines: str) -> None:
    async with targets(3, balance="hash", hash_by=hash_by) as here:
        went: dict[str, set[int]] = {}
        for number in range(60):
            key, before = f"key-{number % 12}", here.counts
            await here.ask(get(headers=lines.format(key)))
            went.setdefault(key, set()).add([a - b for a, b in zip(here.counts, before, strict=True)].index(1))
        assert all(len(target) == 1 for target in went.values())
        assert set().union(*went.values()) == {0, 1, 2}


async def test_a_hash_by_claim_goes_by_the_verified_token() -> None:
    async with targets(3, balance="hash", hash_by="claim:org.id") as here:
        for number in range(12):
            who = identity("alice", "user")._replace(claims={"org": {"id": number}})
            here.house.tokens.known[b"t%d" % number] = verified(who)
        for number in range(12):
            before = here.counts
            await here.ask(get("/api/x", token=f"t{number}"), times=3)
            assert sorted(a - b for a, b in zip(here.counts, before, strict=True)) == [0, 0, 3]
        assert all(here.counts)


@pytest.mark.parametrize("hash_by", ["header:X-Customer", "cookie:sid", "claim:sub", None])
async def test_without_the_key_a_client_stays_with_one_target_by_its_address(hash_by: str | None) -> None:
    async with targets(3, balance="hash", hash_by=hash_by) as here:
        await here.ask(times=6)
        await here.ask(times=6)
        assert sorted(here.counts) == [0, 0, 12]


async def test_losing_a_target_moves_only_what_went_to_it() -> None:
    async with targets(3, balance="hash", hash_by="header:X-Customer", ejection=Ejection(1, 30.0, 50)) as here:
        went = {}
        for number in range(30):
            before = here.counts
            await here.ask(get(headers={"X-Customer": str(number)}))
            went[number] = [a - b for a, b in zip(here.counts, before, strict=True)].index(1)
        here.pool.targets[1].health.probed(False, "timeout", here.clock())
        for number in range(30):
            before = here.counts
            await here.ask(get(headers={"X-Customer": str(number)}))
            now = [a - b for a, b in zip(here.counts, before, strict=True)].index(1)
            assert now == went[number] or went[number] == 1
            assert now != 1


# --- how many ---


async def test_an_idle_connection_of_one_target_makes_room_for_another() -> None:
    async with targets(2, limits=PoolLimits(connections=1)) as here:
        assert await here.ask(times=6) == [200] * 6
        assert here.counts == [3, 3]
        assert sum(target.open for target in here.pool.targets) == 1


def behind(gate: asyncio.Event) -> Callable[[House, Origin, int], Connect]:
    """Targets that are connected to once *gate* is open."""

    def way(made: House, origin: Origin, at: int) -> Connect:
        open_it = ways.tcp(made.engine, "127.0.0.1", origin.port)

        async def connect(target: Target) -> Upstream:
            await gate.wait()
            return await open_it(target)

        return connect

    return way


async def test_no_more_than_max_inflight_requests_are_in_work_waiting_or_being_connected() -> None:
    gate = asyncio.Event()

    async with targets(2, limits=PoolLimits(connections=2), max_inflight=3, way=behind(gate)) as here:
        clients = [await here.house.client() for _ in range(3)]
        for client in clients:
            await client.send(get())
            await settle()
        answer = await here.house.ask(get())
        assert (answer.status, answer.code, answer.value("retry-after")) == (503, "overloaded", b"1")
        assert here.house.record.reason == "max_inflight"
        gate.set()
        for client in clients:
            assert (await client.answer()).status == 200
        assert await here.ask() == [200]


async def test_who_waits_in_vain_for_a_turn_is_told_that_we_are_full() -> None:
    async with targets(
        1, limits=PoolLimits(connections=1), timeouts=Timeouts(5.0, 10.0, 60.0), retry=NEVER_AGAIN
    ) as here:
        gate = asyncio.Event()
        here.origins[0].says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", gate, b"ok")
        first, second = await here.house.client(), await here.house.client()
        await first.send(get())
        await first.until(b"\r\n\r\n")
        await second.send(get())
        await until(lambda: here.pool._queue)
        here.house.turn(10.0)
        answer = await second.answer()
        assert (answer.status, answer.code) == (503, "overloaded")
        assert here.house.record.reason == "queue_wait"
        gate.set()


async def test_time_spent_waiting_for_a_turn_is_not_the_upstreams() -> None:
    async with targets(
        1, limits=PoolLimits(connections=1), timeouts=Timeouts(5.0, 10.0, 60.0), retry=NEVER_AGAIN
    ) as here:
        first_gate, second_gate = asyncio.Event(), asyncio.Event()
        here.origins[0].says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", first_gate, b"ok")
        here.origins[0].says(second_gate, OK)
        first, second = await here.house.client(), await here.house.client()
        await first.send(get())
        await first.until(b"\r\n\r\n")
        await second.send(get())
        await until(lambda: here.pool._queue)
        here.house.turn(8.0)
        first_gate.set()
        await until(lambda: here.counts == [2])
        here.house.turn(8.0)
        second_gate.set()
        assert (await second.answer()).status == 200


@pytest.mark.item("upstream is slow or frozen")
async def test_an_upstream_that_is_frozen_leaves_the_others_alone() -> None:
    async with targets(1, limits=PoolLimits(connections=4, queue=4)) as here:
        for _ in range(8):
            here.origins[0].says(asyncio.Event())
        stuck = [await here.house.client() for _ in range(8)]
        for client in stuck:
            await client.send(get())
        await until(lambda: len(here.pool._queue) == 4)
        assert (await here.house.ask(get())).code == "overloaded"
        other = await here.house.client()
        for _ in range(20):
            assert (await other.ask(get("/second/x"))).status == 200


# --- who is asked next ---


def refusing(*which: int) -> Callable[[House, Origin, int], Connect]:
    """Targets that cannot be connected to."""

    def way(made: House, origin: Origin, at: int) -> Connect:
        async def connect(target: Target) -> Upstream:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "refused")

        return connect if at in which else ways.tcp(made.engine, "127.0.0.1", origin.port)

    return way


@pytest.mark.parametrize("request_bytes", [get(), post(), post(method="PATCH")])
async def test_where_nothing_was_sent_another_is_asked_whatever_the_method(request_bytes: bytes) -> None:
    async with targets(2, way=refusing(0)) as here:
        assert await here.ask(request_bytes, times=2) == [200, 200]
        assert here.counts == [0, 2]
        assert here.pool.retried == 1


async def test_who_has_refused_is_not_asked_twice() -> None:
    async with targets(3, way=refusing(0, 1), retry=Retry(2)) as here:
        assert await here.ask() == [200]
        assert here.counts == [0, 0, 1]


@pytest.mark.item("upstream refuses")
async def test_when_all_refuse_that_is_502() -> None:
    async with targets(2, way=refusing(0, 1), retry=Retry(5)) as here:
        answer = await here.house.ask(get())
        assert (answer.status, answer.code) == (502, "upstream_unreachable")
        assert here.pool.retried == 1
        assert here.house.record.target == "t1"


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "DELETE"])
async def test_a_reset_before_an_answer_sends_a_harmless_request_to_another(method: str) -> None:
    async with targets(2) as here:
        here.origins[0].says(RESET)
        assert await here.ask(get(method=method)) == [200]
        assert here.counts == [1, 1]


@pytest.mark.parametrize("request_bytes", [post(), post(method="PUT"), post(method="PATCH")])
async def test_but_no_other_one(request_bytes: bytes) -> None:
    async with targets(2) as here:
        here.origins[0].says(RESET)
        assert await here.ask(request_bytes) == [502]
        assert here.counts == [1, 0]


@pytest.mark.parametrize("begun", [b"H", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"])
@pytest.mark.item("upstream resets in its answer")
async def test_an_answer_that_has_begun_is_not_asked_for_again(begun: bytes) -> None:
    async with targets(2) as here:
        here.origins[0].says(begun, RESET)
        assert await here.ask() == [502]
        assert here.counts == [1, 0]


async def test_a_status_is_a_reason_only_where_the_route_says_so() -> None:
    unwell = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno"
    async with targets(2) as here:
        here.origins[0].says(unwell)
        assert await here.ask() == [503]
    async with targets(2, retry=Retry(1, frozenset({"503"}))) as here:
        here.origins[0].says(unwell)
        assert await here.ask() == [200]
        assert here.counts == [1, 1]
        for origin in here.origins:
            origin.says(unwell)
        assert await here.ask(post(method="PUT")) == [503]
        assert sum(here.counts) == 3


async def test_what_another_says_to_a_retry_is_the_answer_whatever_it_is() -> None:
    unwell = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno"
    async with targets(3, retry=Retry(1, frozenset({"503"}))) as here:
        for origin in here.origins:
            origin.answer = unwell
        assert await here.ask() == [503]
        assert sum(here.counts) == 2


async def test_without_attempts_nobody_is_asked_again() -> None:
    async with targets(2, way=refusing(0), retry=Retry(0)) as here:
        assert await here.ask() == [502]


async def test_retries_are_a_share_of_the_requests() -> None:
    async with targets(2, way=refusing(0), percent=10) as here:
        statuses = Counter(await here.ask(times=100))
        assert here.pool.retried < 15
        assert statuses == {200: 50 + here.pool.retried, 502: 50 - here.pool.retried}


async def test_one_request_counts_once_however_often_it_is_tried() -> None:
    """The budget is a share of what clients ask, so what the gateway repeats must not make it larger."""
    async with targets(3, way=refusing(0, 1), retry=Retry(2)) as here:
        here.pool.sweep()  # the window begins now
        assert await here.ask() == [200]
        budget = here.pool.retries
        assert budget.requests + sum(requests for requests, _ in budget._slots) == 1


async def test_a_budget_of_nothing_allows_nothing() -> None:
    async with targets(2, way=refusing(0), percent=0) as here:
        assert await here.ask(times=2) == [502, 200]


TRIES = Timeouts(30.0, 30.0, 30.0)


async def test_a_try_that_takes_too_long_is_given_up_for_another_target() -> None:
    async with targets(2, retry=Retry(1, per_try=2.0), timeouts=TRIES) as here:
        here.origins[0].says(asyncio.Event())
        client = await here.house.client()
        await client.send(get())
        await until(lambda: here.counts == [1, 0])
        here.house.turn(2.0)
        assert (await client.answer()).status == 200
        assert here.counts == [1, 1]
        await until(lambda: here.origins[0].lines[0].ended)


async def test_so_is_a_connection_that_takes_too_long() -> None:
    def way(made: House, origin: Origin, at: int) -> Connect:
        async def connect(target: Target) -> Upstream:
            await asyncio.Event().wait()
            raise AssertionError

        return connect if at == 0 else ways.tcp(made.engine, "127.0.0.1", origin.port)

    async with targets(2, way=way, retry=Retry(1, per_try=2.0), timeouts=TRIES, ejection=Ejection(1, 30.0, 50)) as here:
        client = await here.house.client()
        await client.send(get())
        await until(lambda: here.pool.targets[0].open)
        here.house.turn(2.0)
        assert (await client.answer()).status == 200
        assert here.counts == [0, 1]
        await settle()
        assert (here.pool.targets[0].open, here.pool.targets[0].inflight) == (0, 0)
        assert here.pool.targets[0].health.is_out


async def test_a_request_that_may_not_be_repeated_has_all_the_time_there_is() -> None:
    async with targets(2, retry=Retry(1, per_try=2.0), timeouts=TRIES) as here:
        gate = asyncio.Event()
        here.origins[0].says(gate, OK)
        client = await here.house.client()
        await client.send(post())
        await until(lambda: here.counts == [1, 0])
        here.house.turn(20.0)
        gate.set()
        assert (await client.answer()).status == 200


# --- what is held against whom ---


async def test_failures_in_a_row_eject_a_target_and_a_trial_brings_it_back() -> None:
    async with targets(2, ejection=Ejection(failures=3, time=30.0), retry=NEVER_AGAIN) as here:
        bad = here.origins[0]
        bad.answer = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno"
        assert await here.ask(times=6) == [503, 200] * 3
        assert await here.ask(times=10) == [200] * 10
        assert len(bad.requests) == 3
        here.clock.now += 30.0
        assert sorted(await here.ask(times=4)) == [200, 200, 200, 503]
        assert len(bad.requests) == 4
        bad.answer = OK
        here.clock.now += 29.0
        await here.ask(times=4)
        assert len(bad.requests) == 4
        here.clock.now += 61.0
        assert await here.ask(times=10) == [200] * 10
        assert len(bad.requests) > 6


async def test_one_trial_is_one_request() -> None:
    async with targets(2, ejection=Ejection(failures=1, time=30.0), retry=NEVER_AGAIN) as here:
        here.origins[0].says(RESET)
        assert await here.ask(times=2) == [502, 200]
        here.clock.now += 30.0
        gate = asyncio.Event()
        here.origins[0].says(gate, OK)
        trial = await here.house.client()
        while here.counts[0] < 2:
            if not trial.unread:
                await trial.send(get())
            await settle(30)
            if here.counts[0] < 2:
                await trial.answer()
        before = here.counts[0]
        await here.ask(times=6)
        assert here.counts[0] == before
        gate.set()
        assert (await trial.answer()).status == 200
        await here.ask(times=6)
        assert here.counts[0] > before


async def test_an_only_target_that_is_ejected_answers_at_once_with_503() -> None:
    async with targets(1, ejection=Ejection(failures=2, time=30.0), retry=NEVER_AGAIN, way=refusing(0)) as here:
        assert await here.ask(times=2) == [502, 502]
        answer = await here.house.ask(get())
        assert (answer.status, answer.code, answer.value("retry-after")) == (503, "no_healthy_target", b"30")


async def test_a_client_that_leaves_is_held_against_nobody() -> None:
    async with targets(2, ejection=Ejection(failures=1, time=30.0)) as here:
        here.origins[0].says(asyncio.Event())
        client = await here.house.client()
        await client.send(get())
        await until(lambda: here.counts == [1, 0])
        here.house.forget(client)
        client.reset()
        await until(lambda: here.house.records)
        assert here.house.record.status == 499
        assert not here.pool.targets[0].health.suspect


@pytest.mark.parametrize("number", sorted(OURS), ids=lambda number: errno.errorcode[number])
async def test_our_own_shortage_is_503_and_held_against_nobody(number: int) -> None:
    short = True

    def way(made: House, origin: Origin, at: int) -> Connect:
        open_it = ways.tcp(made.engine, "127.0.0.1", origin.port)

        async def connect(target: Target) -> Upstream:
            if short:
                raise OSError(number, "short")
            return await open_it(target)

        return connect

    async with targets(2, way=way, ejection=Ejection(failures=1, time=30.0), retry=Retry(3)) as here:
        answer = await here.house.ask(get())
        assert (answer.status, answer.code, answer.value("retry-after")) == (503, "overloaded", b"1")
        assert here.house.record.reason == "descriptors"
        assert here.pool.retried == 0
        assert not any(target.health.suspect for target in here.pool.targets)
        assert [(target.open, target.inflight) for target in here.pool.targets] == [(0, 0), (0, 0)]
        short = False
        assert await here.ask(times=4) == [200] * 4


async def test_an_attempt_nobody_waits_for_any_more_is_no_longer_a_trial() -> None:
    gate = asyncio.Event()

    async with targets(1, way=behind(gate), ejection=Ejection(failures=1, time=30.0), retry=NEVER_AGAIN) as here:
        here.pool.targets[0].health._eject(here.clock(), Ejection(1, 30.0))
        here.clock.now += 30.0
        client = await here.house.client()
        await client.send(get())
        await until(lambda: here.pool.targets[0].open)
        here.house.forget(client)
        client.reset()
        await until(lambda: here.house.records)
        gate.set()
        assert await here.ask() == [200]


async def test_probes_take_a_target_out_and_bring_it_back() -> None:
    """A real prober, client and servers; only its clock is wound by hand."""
    turn = asyncio.Semaphore(0)
    asked: list[str] = []
    wanted: list[int] = []

    async def sleep(_seconds: float) -> None:
        await turn.acquire()

    async with targets(2) as here:
        outbound = Outbound()
        prober = Prober(outbound, monotonic=here.clock, fault=lambda _what, error: pytest.fail(str(error)), sleep=sleep)
        origin, target = here.origins[0], here.pool.targets[0]

        def told(healthy: bool, reason: str) -> None:
            asked.append(reason)
            target.health.probed(healthy, reason, here.clock())

        async def probe(times: int = 1) -> None:
            for _ in range(times):
                wanted.append(len(asked))
                turn.release()
                await until(lambda: len(asked) > wanted[-1])

        origin.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        prober.start(Probe("t0", f"http://127.0.0.1:{origin.port}/healthz", every=5.0, timeout=5.0), told)
        try:
            await probe()
            assert not target.health.is_down
            port = origin.port
            origin.shut()
            await probe(2)
            assert not target.health.is_down
            await probe()
            assert target.health.is_down
            before = here.counts
            assert await here.ask(times=6) == [200] * 6
            assert [after - b for after, b in zip(here.counts, before, strict=True)] == [0, 6]
            origin.port = port
            await origin.open()
            await probe()
            assert target.health.is_down
            await probe()
            assert not target.health.is_down
            before = here.counts
            assert await here.ask(times=6) == [200] * 6
            assert [after - b for after, b in zip(here.counts, before, strict=True)] == [3, 3]
            assert asked == ["status_200", "connect", "connect", "connect", "status_200", "status_200"]
        finally:
            await prober.stop()
            await outbound.close()


async def test_a_target_that_is_frozen_is_probed_down_too() -> None:
    """Its kernel still takes connections, and nobody answers on them."""
    with socket.socket() as frozen:
        frozen.bind(("127.0.0.1", 0))
        frozen.listen()
        outbound = Outbound()
        try:
            found = await outbound.get(f"http://127.0.0.1:{frozen.getsockname()[1]}/", timeout=0.05, max_bytes=100)
        finally:
            await outbound.close()
    assert getattr(found, "reason", "") == "timeout"


# --- how they are reached ---


async def test_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "app.sock")
    async with targets(1, way=lambda made, _origin, _at: ways.unix(made.engine, path), retry=NEVER_AGAIN) as here:
        assert await here.ask() == [502]

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for _ in range(3):
                assert b"Host: t0.internal\r\n" in await reader.readuntil(b"\r\n\r\n")
                writer.write(OK)
            writer.close()

        server = await asyncio.start_unix_server(serve, path)
        assert await here.ask(times=3) == [200] * 3
        server.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


class Secure:
    """A TLS server that tells what it was asked for in its answer."""

    def __init__(self, authority: Authority, name: str, *, wants: Authority | None = None) -> None:
        pair = authority.issue(name)
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.load_cert_chain(pair.certificate, pair.key)
        self.context.sni_callback = lambda _connection, asked, _context: self.names.append(asked)
        if wants is not None:
            self.context.load_verify_locations(wants.file)
            self.context.verify_mode = ssl.CERT_REQUIRED
        self.names: list[str | None] = []
        self.clients: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        shown: Any = writer.get_extra_info("peercert") or {}
        self.clients.append(dict(pair[0] for pair in shown.get("subject", ())).get("commonName", ""))
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(OK)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def ask(
        self,
        trusted: Authority | None,
        server_name: str,
        *,
        shows: ways.Tls | None = None,
        client: Path | None = None,
        key: Path | None = None,
    ) -> tuple[int, str]:
        """Ask through a gateway that trusts *trusted*; return status and reason."""
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=self.context)
        port = server.sockets[0].getsockname()[1]
        context = ssl.create_default_context(cafile=None if trusted is None else str(trusted.file))
        if client is not None:
            context.load_cert_chain(client, key)
        tls = ways.Tls(context, server_name)
        async with targets(
            1, way=lambda made, _o, _a: ways.tcp(made.engine, "127.0.0.1", port, tls), retry=NEVER_AGAIN
        ) as here:
            statuses = await here.ask(times=2)
            reason = here.house.record.reason
        server.close()
        assert statuses[0] == statuses[1]
        return statuses[0], reason


async def test_tls_with_an_authority_of_ones_own_and_the_name_that_was_written(authority: Authority) -> None:
    server = Secure(authority, "orders.internal")
    assert await server.ask(authority, "orders.internal") == (200, "")
    assert server.names == ["orders.internal"]
    assert server.clients == [""]


async def test_tls_with_an_authority_nobody_trusts_is_502(authority: Authority, tmp_path: Path) -> None:
    server = Secure(Authority(tmp_path), "orders.internal")
    assert await server.ask(authority, "orders.internal") == (502, "connect_refused")


async def test_tls_with_the_certificate_of_another_is_502(authority: Authority) -> None:
    server = Secure(authority, "billing.internal")
    assert await server.ask(authority, "orders.internal") == (502, "connect_refused")


async def test_tls_with_a_certificate_of_our_own(authority: Authority) -> None:
    server = Secure(authority, "orders.internal", wants=authority)
    mine = authority.issue("gateway.internal")
    status, _ = await server.ask(authority, "orders.internal", client=mine.certificate, key=mine.key)
    assert status == 200
    assert server.clients == ["gateway.internal"]


async def test_tls_without_the_certificate_that_is_wanted_is_502(authority: Authority) -> None:
    server = Secure(authority, "orders.internal", wants=authority)
    assert (await server.ask(authority, "orders.internal"))[0] == 502


# --- names ---


class NameServer:
    """Answers as it is told to."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.asked = 0
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, host: str, port: int, /, *, type: int) -> list[tuple[Any, ...]]:  # noqa: A002
        self.asked += 1
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return [(socket.AF_INET, type, 6, "", (address, port)) for address in self.addresses]


GONE = socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def addresses(server: NameServer, clock: Clock, host: str = "app.internal") -> ways.Addresses:
    return ways.Addresses(host, 80, lookup=server, monotonic=clock)


async def test_a_name_is_looked_up_every_few_seconds_at_most() -> None:
    server, clock = NameServer("10.0.0.1"), Clock()
    names = addresses(server, clock)
    for _ in range(10):
        assert await names.known() == ("10.0.0.1",)
    assert server.asked == 1
    clock.now += ways.FRESH
    server.addresses = ("10.0.0.2", "10.0.0.3")
    assert await names.known() == ("10.0.0.2", "10.0.0.3")
    assert server.asked == 2


async def test_when_looking_up_fails_the_last_good_answer_holds() -> None:
    server, clock = NameServer("10.0.0.1"), Clock()
    names = addresses(server, clock)
    await names.known()
    for error in (GONE, UnicodeError("label too long"), OSError(errno.EMFILE, "short")):
        server.error = error
        clock.now += ways.FRESH
        assert await names.known() == ("10.0.0.1",)
    server.error, server.addresses = None, ()
    clock.now += ways.FRESH
    assert await names.known() == ("10.0.0.1",)
    assert server.asked == 5


async def test_a_name_that_was_never_good_fails_and_is_not_asked_about_all_the_time() -> None:
    server, clock = NameServer(), Clock()
    server.error = GONE
    names = addresses(server, clock)
    for _ in range(5):
        with pytest.raises(socket.gaierror):
            await names.known()
    assert server.asked == 1
    clock.now += ways.FRESH
    server.error, server.addresses = None, ("10.0.0.1",)
    assert await names.known() == ("10.0.0.1",)


async def test_many_who_ask_at_once_ask_one_question() -> None:
    server = NameServer("10.0.0.1")
    names = addresses(server, Clock())
    server.gate.clear()
    waiting = [asyncio.create_task(names.known()) for _ in range(50)]
    await settle()
    waiting[0].cancel()
    await settle()
    server.gate.set()
    assert await asyncio.gather(*waiting[1:]) == [("10.0.0.1",)] * 49
    assert server.asked == 1


async def test_a_name_server_that_does_not_answer_holds_up_nobody_who_knows_an_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ways, "PATIENCE", 0.01)
    server, clock = NameServer("10.0.0.1"), Clock()
    names = addresses(server, clock)
    await names.known()
    server.gate.clear()
    clock.now += ways.FRESH
    for _ in range(5):
        assert await names.known() == ("10.0.0.1",)
    assert server.asked == 2
    server.addresses = ("10.0.0.2",)
    server.gate.set()
    await settle()
    assert await names.known() == ("10.0.0.2",)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_an_address_is_not_looked_up(host: str) -> None:
    server = NameServer()
    assert await addresses(server, Clock(), host).known() == (host,)
    assert server.asked == 0


async def test_an_address_that_fails_is_the_last_to_be_tried_next_time() -> None:
    server, clock = NameServer("10.0.0.1", "10.0.0.2", "10.0.0.3"), Clock()
    names = addresses(server, clock)
    await names.known()
    names.failed("10.0.0.1")
    assert await names.known() == ("10.0.0.2", "10.0.0.3", "10.0.0.1")
    clock.now += ways.FRESH
    assert await names.known() == ("10.0.0.2", "10.0.0.3", "10.0.0.1")


async def test_all_addresses_of_a_name_are_tried() -> None:
    server = NameServer("127.0.0.2", "127.0.0.3", "127.0.0.1")
    way = lambda made, origin, _at: ways.tcp(made.engine, "app.internal", origin.port, lookup=server)  # noqa: E731
    async with targets(1, way=way, retry=NEVER_AGAIN) as here:
        assert await here.ask(times=2) == [200, 200]
        here.origins[0].shut()
        here.pool.sweep()
        here.house.turn(60.0)
        assert await here.ask() == [502]


@pytest.mark.item("name changes or is lost")
async def test_a_service_that_moves_is_followed_and_one_whose_name_is_lost_is_kept() -> None:
    server = NameServer("127.0.0.1")
    way = lambda made, origin, _at: ways.tcp(made.engine, "app.internal", origin.port, lookup=server)  # noqa: E731
    async with targets(1, way=way, retry=NEVER_AGAIN, limits=PoolLimits(idle=0)) as here:
        assert await here.ask() == [200]
        server.error = GONE
        here.clock.now += 60.0
        assert await here.ask() == [200]
        server.error, server.addresses = None, ("127.0.0.9",)
        here.clock.now += 60.0
        assert await here.ask() == [502]
        server.addresses = ("127.0.0.1",)
        here.clock.now += 60.0
        assert await here.ask() == [200]


async def test_a_name_nobody_knows_is_502() -> None:
    server = NameServer()
    server.error = GONE
    way = lambda made, origin, _at: ways.tcp(made.engine, "app.internal", origin.port, lookup=server)  # noqa: E731
    async with targets(1, way=way, retry=NEVER_AGAIN) as here:
        answer = await here.house.ask(get())
        assert (answer.status, answer.code) == (502, "upstream_unreachable")
