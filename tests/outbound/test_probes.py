"""Active health checks with time moved by hand, and one round against a real server."""

import asyncio
import heapq
from collections.abc import AsyncIterator, Mapping
from itertools import count
from ssl import SSLContext, create_default_context

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.outbound.client import Answer, Failed, Outbound
from gateway.outbound.probes import Probe, Prober


class MovedTime:
    """Time that passes only in `advance`; sleepers wake in order."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = count()

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._order), future))
        await future

    async def advance(self, seconds: float) -> None:
        end = self.now + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            self.now, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                future.set_result(None)
            await settle()
        self.now = end


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class FakeOutbound:
    """Answers as it is told, after as much time as it is told."""

    def __init__(self, time: MovedTime) -> None:
        self.answer: Answer | Failed | Exception = Answer(200, {}, b"")
        self.takes = 0.0
        self.asked: list[tuple[str, float]] = []
        self.headers: Mapping[str, str] = {}
        self.options: tuple[float, SSLContext | None, str | None, str] = (0.0, None, None, "")
        self._time = time

    async def get(
        self,
        url: str,
        *,
        timeout: float,
        max_bytes: int,
        headers: Mapping[str, str] | None = None,
        ssl: SSLContext | None = None,
        server_name: str | None = None,
        unix: str = "",
    ) -> Answer | Failed:
        self.asked.append((url, self._time.now))
        self.headers = headers or {}
        self.options = (timeout, ssl, server_name, unix)
        if self.takes:
            await self._time.sleep(self.takes)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Stage:
    """A prober, what it is told, and what it tells."""

    def __init__(self) -> None:
        self.time = MovedTime()
        self.outbound = FakeOutbound(self.time)
        self.faults: list[BaseException] = []
        self.reports: list[tuple[bool, str]] = []
        self.drawn = 0.0
        self.prober = Prober(
            self.outbound,
            monotonic=self.time.monotonic,
            sleep=self.time.sleep,
            draw=lambda: self.drawn,
            fault=lambda _where, error: self.faults.append(error),
        )

    def report(self, healthy: bool, reason: str) -> None:
        self.reports.append((healthy, reason))


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = Stage()
    yield stage
    await stage.prober.stop()


PROBE = Probe("orders-1", "http://orders-1:8000/healthz", every=5.0, timeout=1.0)


async def test_a_target_is_asked_at_its_own_pace(stage: Stage) -> None:
    stage.prober.start(PROBE, stage.report)
    await stage.time.advance(20)

    assert stage.outbound.asked == [(PROBE.url, at) for at in (1000.0, 1005.0, 1010.0, 1015.0, 1020.0)]
    assert stage.reports == [(True, "status_200")] * 5


async def test_the_first_probe_comes_somewhere_within_the_interval(stage: Stage) -> None:
    for drawn, target in ((0.1, "a"), (0.5, "b"), (0.9, "c")):
        stage.drawn = drawn
        stage.prober.start(Probe(target, f"http://{target}/", every=10.0, timeout=1.0), stage.report)
        await settle()
    await stage.time.advance(12)

    assert stage.outbound.asked == [
        ("http://a/", 1001.0),
        ("http://b/", 1005.0),
        ("http://c/", 1009.0),
        ("http://a/", 1011.0),
    ]


async def test_a_slow_answer_does_not_shift_the_pace(stage: Stage) -> None:
    stage.outbound.takes = 0.75
    stage.prober.start(PROBE, stage.report)
    await stage.time.advance(11)

    assert [at for _, at in stage.outbound.asked] == [1000.0, 1005.0, 1010.0]


async def test_a_target_is_never_asked_twice_at_once(stage: Stage) -> None:
    stage.outbound.takes = 8.0
    stage.prober.start(PROBE, stage.report)
    await stage.time.advance(17)

    assert [at for _, at in stage.outbound.asked] == [1000.0, 1008.0, 1016.0]


@pytest.mark.parametrize(
    ("answer", "report"),
    [
        pytest.param(Answer(204, {}, b""), (True, "status_204"), id="no content"),
        pytest.param(Answer(399, {}, b""), (True, "status_399"), id="below 400"),
        pytest.param(Answer(400, {}, b""), (False, "status_400"), id="400"),
        pytest.param(Answer(503, {}, b""), (False, "status_503"), id="unavailable"),
        pytest.param(Failed("too_large", 200), (True, "status_200"), id="much to say"),
        pytest.param(Failed("too_large", 500), (False, "status_500"), id="much to complain"),
        pytest.param(Failed("timeout"), (False, "timeout"), id="timeout"),
        pytest.param(Failed("timeout", 200), (False, "timeout"), id="timeout in the body"),
        pytest.param(Failed("connect"), (False, "connect"), id="refused"),
    ],
)
async def test_what_an_answer_says(stage: Stage, answer: Answer | Failed, report: tuple[bool, str]) -> None:
    stage.outbound.answer = answer
    stage.prober.start(PROBE, stage.report)
    await stage.time.advance(1)

    assert stage.reports == [report]


async def test_our_own_trouble_says_nothing_about_the_target(stage: Stage) -> None:
    stage.outbound.answer = Failed("local")
    stage.prober.start(PROBE, stage.report)
    await stage.time.advance(7)

    assert len(stage.outbound.asked) == 2
    assert stage.reports == []


async def test_a_bug_is_told_and_does_not_end_the_watch(stage: Stage) -> None:
    bug = RuntimeError("a bug")
    stage.outbound.answer = bug
    stage.prober.start(PROBE, stage.report)
    await stage.time.advance(7)
    stage.outbound.answer = Answer(200, {}, b"")
    await stage.time.advance(5)

    assert stage.faults == [bug, bug]
    assert stage.reports == [(True, "status_200")]


async def test_a_bug_of_the_listener_does_not_end_the_watch_either(stage: Stage) -> None:
    told = []

    def report(healthy: bool, reason: str) -> None:
        told.append(healthy)
        raise ValueError("a bug")

    stage.prober.start(PROBE, report)
    await stage.time.advance(7)

    assert told == [True, True]
    assert len(stage.faults) == 2


async def test_a_probe_says_who_is_asked_and_closes_its_connection(stage: Stage) -> None:
    context = create_default_context()
    probe = Probe(
        "orders-1",
        "https://localhost/healthz",
        every=5.0,
        timeout=0.5,
        host="orders.internal",
        unix="/run/orders.sock",
        ssl=context,
        server_name="orders",
    )
    stage.prober.start(probe, stage.report)
    await stage.time.advance(1)

    assert stage.outbound.headers == {"Connection": "close", "Host": "orders.internal"}
    assert stage.outbound.options == (0.5, context, "orders", "/run/orders.sock")


async def test_cancelling_one_probe_leaves_the_others(stage: Stage) -> None:
    first = stage.prober.start(PROBE, stage.report)
    stage.prober.start(Probe("orders-2", "http://orders-2/", every=5.0, timeout=1.0), stage.report)
    await settle()
    first.cancel()
    await stage.time.advance(1)

    assert [url for url, _ in stage.outbound.asked] == ["http://orders-2/"]
    assert len(stage.prober) == 1


async def test_stopping_ends_all_probes_also_one_that_waits_for_its_answer(stage: Stage) -> None:
    stage.outbound.takes = 1000.0
    tasks = [stage.prober.start(PROBE, stage.report) for _ in range(3)]
    await stage.time.advance(1)
    await stage.prober.stop()

    assert all(task.cancelled() for task in tasks)
    assert len(stage.prober) == 0
    assert not stage.faults
    assert not stage.reports


async def test_a_real_service_is_watched_through_sickness_and_recovery() -> None:
    time = MovedTime()
    status = 200
    ports: set[int] = set()

    async def healthz(request: web.Request) -> web.Response:
        assert request.transport is not None
        ports.add(request.transport.get_extra_info("peername")[1])
        return web.Response(status=status, body=b"x" * 100_000)

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    outbound = Outbound()
    told: asyncio.Queue[tuple[bool, str]] = asyncio.Queue()
    prober = Prober(
        outbound, monotonic=time.monotonic, sleep=time.sleep, draw=lambda: 0.0, fault=lambda _where, _error: None
    )

    async def next_report() -> tuple[bool, str]:
        await time.advance(5)
        async with asyncio.timeout(2):
            return await told.get()

    async with TestServer(app) as server:
        probe = Probe("orders", str(server.make_url("/healthz")), every=5.0, timeout=1.0)
        prober.start(probe, lambda healthy, reason: told.put_nowait((healthy, reason)))
        assert await next_report() == (True, "status_200")
        status = 503
        assert await next_report() == (False, "status_503")
        status = 200
        assert await next_report() == (True, "status_200")
        assert len(ports) == 3
    assert await next_report() == (False, "connect")
    await prober.stop()
    await outbound.close()
