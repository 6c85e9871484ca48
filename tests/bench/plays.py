"""The three ways of measuring: cost of a request, added latency, memory of a quiet connection."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from tests.bench import idle, load, measure
from tests.bench.measure import Cpu
from tests.bench.peers import Peer
from tests.bench.processes import Failed, Program, family
from tests.bench.samples import DIRECT, Cost, Idle, Latency, Outcome, Sample, Used
from tests.bench.scenarios import Kind, Scenario, Tokens
from tests.bench.stage import Options, Stage, in_rounds, say
from tests.bench.tokens import Material
from tests.bench.upstream import Upstream

_BUSY = 32
"""Connections of the warm-up before quiet ones are opened: many more would leave freed memory that hides their cost."""

_TRIES = 3
_DISTURBED = 0.1
"""A load is repeated, up to `_TRIES` in all, when others had more than this share of the proxy's core."""

FEW_TOKENS = 32
FRESH_PER_SECOND = 20_000
"""Fresh tokens signed per second of load: more than a caching proxy that has to verify them can take on one core."""

_Loaded = TypeVar("_Loaded")
_Measure = Callable[[int, Peer, Program, int], Sample]


def run(scenario: Scenario, peers: Sequence[Peer], options: Options, directory: Path, material: Material) -> Outcome:
    """Check every proxy, then measure those that enforce, round by round."""
    here = directory / scenario.name
    here.mkdir()
    left_out: dict[str, str] = {}
    with Upstream(here / "upstream", cpu=options.load_core) as upstream:
        stage = Stage(scenario, options, upstream, here, material)
        fit = stage.fit(peers, left_out)
        # Tokens are signed only now: a gateway whose store is new may refuse those older than the store.
        match scenario.kind:
            case Kind.COST:
                samples = _rounds(stage, fit, left_out, _Cost(stage))
            case Kind.LATENCY:
                samples = _latencies(stage, fit, left_out)
            case Kind.IDLE:
                samples = _rounds(stage, fit, left_out, _Idle(stage))
    return Outcome(scenario, tuple(sample for sample in samples if sample.peer not in left_out), left_out)


def _rounds(stage: Stage, peers: Sequence[Peer], left_out: dict[str, str], one: _Measure) -> list[Sample]:
    samples: list[Sample] = []
    for number, peer in in_rounds(peers, stage.options.rounds):
        if peer.name in left_out:
            continue
        try:
            with stage.started(peer, str(number)) as (program, port):
                samples.append(one(number, peer, program, port))
        except (Failed, OSError) as error:
            left_out[peer.name] = f"failed in round {number}: {error}"
            say(f"  {peer.name} {left_out[peer.name]}")
    return samples


class _Closed:
    """wrk, with few tokens or with fresh ones."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._few = load.script(stage.directory, "few", stage.scenario.calls, stage.mint.tokens(FEW_TOKENS))

    def warm_up(self, port: int) -> load.Closed:
        """Fill caches and pools; what it counted is good for a rough rate."""
        return self.few(port, self._stage.options.warm_up)

    def few(self, port: int, seconds: int) -> load.Closed:
        return self.wrk(self._few, port, seconds)

    def wrk(self, script: Path, port: int, seconds: int) -> load.Closed:
        scenario, options = self._stage.scenario, self._stage.options
        url = f"{'https' if scenario.tls else 'http'}://127.0.0.1:{port}"
        connections = _BUSY if scenario.kind is Kind.IDLE else scenario.connections
        return load.wrk(script, url, connections=connections, seconds=seconds, cpu=options.load_core)


class _Cost:
    """A closed loop: every connection is always busy."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._closed = _Closed(stage)
        self._tokens = 0
        self._fresh: Path | None = None
        if stage.scenario.tokens is Tokens.FRESH:
            self._tokens = FRESH_PER_SECOND * stage.options.seconds
            say(f"  signing {self._tokens:,} tokens")
            self._fresh = load.script(stage.directory, "fresh", stage.scenario.calls, stage.mint.many(self._tokens))

    def __call__(self, number: int, peer: Peer, program: Program, port: int) -> Cost:
        self._closed.warm_up(port)
        # Fresh tokens are fresh once.
        tries = 1 if self._fresh else _TRIES
        closed, used = _under_load(self._stage, peer, program, lambda: self._loaded(peer, port), tries)
        sample = Cost(peer.name, number, closed, used)
        say(
            f"  round {number} {peer.name:14} {sample.microseconds:7.1f} us/request {closed.rate:9,.0f}/s  "
            f"core {used.cpu.total / used.wall:4.0%}, others on it {used.others:4.0%}"
        )
        return sample

    def _loaded(self, peer: Peer, port: int) -> load.Closed:
        """One counted load; raises Failed when its figure would not mean what it says."""
        upstream, seconds = self._stage.upstream, self._stage.options.seconds
        seen = upstream.requests()
        closed = self._closed.wrk(self._fresh, port, seconds) if self._fresh else self._closed.few(port, seconds)
        reached = upstream.requests() - seen
        if closed.refused or closed.broken:
            raise Failed(f"{closed.refused} answers were not 2xx, {closed.broken} connections broke")
        if reached < closed.requests:
            raise Failed(f"only {reached:,} of {closed.requests:,} requests reached the upstream")
        if self._fresh and peer.caches and closed.requests > self._tokens:
            raise Failed(f"{closed.requests:,} requests for {self._tokens:,} tokens: some came twice")
        return closed


def _latencies(stage: Stage, peers: Sequence[Peer], left_out: dict[str, str]) -> list[Sample]:
    """The same rate for all that can take it: half of what the slowest enforcing proxy gave in a closed loop.

    The very slow ones (`holds_rate` False) get half of their own.
    """
    closed = _Closed(stage)
    capacity: dict[str, float] = {}
    for peer in peers:
        with stage.started(peer, "capacity") as (_, port):
            closed.warm_up(port)
            capacity[peer.name] = closed.few(port, 2).rate
    common = min(
        (capacity[peer.name] for peer in peers if peer.holds_rate and peer.enforces),
        default=min(capacity.values(), default=0.0),
    )
    say(f"  at {common / 2:,.0f} requests/s")
    token = stage.mint.token()

    def paced(port: int, rate: float) -> load.Paced:
        found = load.h2load(
            f"http://127.0.0.1:{port}{stage.scenario.calls[0].path}",
            token,
            connections=stage.scenario.connections,
            rate=rate,
            seconds=stage.options.seconds,
            cpu=stage.options.load_core,
            log=stage.directory / "h2load.log",
        )
        if found.refused:
            raise Failed(f"{found.refused} answers were not 2xx")
        return found

    def one(number: int, peer: Peer, program: Program, port: int) -> Latency:
        closed.warm_up(port)
        rate = min(common, capacity[peer.name]) / 2
        found, used = _under_load(stage, peer, program, lambda: paced(port, rate), _TRIES)
        sample = Latency(peer.name, number, rate, found, used)
        say(
            f"  round {number} {peer.name:14} at {found.rate:7,.0f}/s p50 {found.p50:5.0f} p99 {found.p99:6.0f} "
            f"p99.9 {found.p999:6.0f} us, {sample.microseconds:.1f} us/request"
        )
        return sample

    direct: list[Sample] = []
    if peers:
        for number in range(1, stage.options.rounds + 1):
            found = paced(stage.upstream.port, common / 2)
            direct.append(Latency(DIRECT, number, common / 2, found, Used(found.seconds, Cpu(), 0.0, 0.0)))
            say(f"  round {number} {DIRECT:14} at {found.rate:7,.0f}/s p50 {found.p50:5.0f} p99 {found.p99:6.0f} us")
    return direct + _rounds(stage, peers, left_out, one)


class _Idle:
    """Quiet connections, after the proxy has been warm with 32 busy ones."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._closed = _Closed(stage)
        self._token = stage.mint.token()
        self._count = idle.affordable(stage.scenario.connections)

    def __call__(self, number: int, peer: Peer, program: Program, port: int) -> Idle:
        self._closed.warm_up(port)
        pids = counted(peer, family(program.pid))
        before = measure.resident(pids)
        with idle.quiet_connections(port, self._stage.scenario.calls[0].path, self._token, self._count):
            time.sleep(1.0)  # let deferred frees and log buffers settle
            holding = measure.resident(pids)
        sample = Idle(peer.name, number, self._count, before, holding)
        say(f"  round {number} {peer.name:14} {sample.each / 1024:6.2f} KiB per connection")
        return sample


def _under_load(
    stage: Stage, peer: Peer, program: Program, load_it: Callable[[], _Loaded], tries: int
) -> tuple[_Loaded, Used]:
    """Run a load and read what *program* and its core used meanwhile; of several tries the least disturbed counts."""
    best = _observed(stage, peer, program, load_it)
    for _ in range(tries - 1):
        if best[1].others <= _DISTURBED:
            break
        best = min(best, _observed(stage, peer, program, load_it), key=lambda each: each[1].others)
    return best


def _observed(stage: Stage, peer: Peer, program: Program, load_it: Callable[[], _Loaded]) -> tuple[_Loaded, Used]:
    core = stage.options.proxy_core
    measure.await_quiet((core, stage.options.load_core), stage.options.patience)
    everyone = family(program.pid)
    own = counted(peer, everyone)
    aside = [pid for pid in everyone if pid not in own]
    busy, begun = measure.core_busy(core), time.monotonic()
    own_before, aside_before = measure.cpu(own), measure.cpu(aside)
    loaded = load_it()
    own_used, aside_used = measure.cpu(own).minus(own_before), measure.cpu(aside).minus(aside_before).total
    wall = time.monotonic() - begun
    others = max(0.0, measure.core_busy(core) - busy - own_used.total - aside_used) / wall
    return loaded, Used(wall, own_used, aside_used, others)


def counted(peer: Peer, everyone: Sequence[int]) -> list[int]:
    """Of a proxy's processes, first one first, those on the request's way."""
    return list(everyone[:1]) if peer.only_first_process else list(everyone)
