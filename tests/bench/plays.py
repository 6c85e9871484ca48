"""How each kind of scenario is measured: cost of a request, added latency, quiet connections, and more."""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from tests.bench import idle, load, measure
from tests.bench.loaded import Closed, counted, paced, under_load
from tests.bench.measure import Cpu
from tests.bench.peers import Peer
from tests.bench.processes import Failed, Program, family
from tests.bench.samples import DIRECT, Cost, Idle, Latency, Outcome, Sample, Used
from tests.bench.scenarios import Kind, Scenario, Tokens
from tests.bench.slowloris import SlowPlay
from tests.bench.stage import Options, Stage, in_rounds, say
from tests.bench.streams import Sink, StreamsPlay
from tests.bench.tokens import Material
from tests.bench.upstream import Upstream

FRESH_PER_SECOND = 20_000
"""Fresh tokens signed per second of load: more than a caching proxy that has to verify them can take on one core."""
RESTING = 8.0
"""Seconds quiet connections are left alone before their memory is read: the gateway gives some back after five."""

_Measure = Callable[[int, Peer, Program, int], Sample]


def run(scenario: Scenario, peers: Sequence[Peer], options: Options, directory: Path, material: Material) -> Outcome:
    """Check every proxy, then measure those that enforce, round by round."""
    here = directory / scenario.name
    here.mkdir()
    left_out: dict[str, str] = {}
    with contextlib.ExitStack() as exits:
        stage = Stage(
            scenario, options, exits.enter_context(Upstream(here / "upstream", cpu=options.load_core)), here, material
        )
        sink: Sink | None = None
        if scenario.kind is Kind.STREAMS:
            sink = exits.enter_context(Sink())
            stage = replace(stage, sink=sink.port)
        fit = stage.fit(peers, left_out)
        # Tokens are signed only now: a gateway whose store is new may refuse those older than the store.
        samples = _played(stage, fit, left_out, sink)
    kept = tuple(sample for sample in samples if sample.peer not in left_out)
    return Outcome(scenario, kept, left_out, options.seconds)


def _played(stage: Stage, fit: Sequence[Peer], left_out: dict[str, str], sink: Sink | None) -> list[Sample]:
    match stage.scenario.kind:
        case Kind.COST | Kind.FEATURES:
            return _rounds(stage, fit, left_out, _Cost(stage))
        case Kind.LATENCY:
            return _latencies(stage, fit, left_out)
        case Kind.IDLE:
            return _rounds(stage, fit, left_out, _Idle(stage))
        case Kind.SLOW:
            return _rounds(stage, fit, left_out, SlowPlay(stage))
        case Kind.STREAMS:
            assert sink is not None
            return _rounds(stage, fit, left_out, StreamsPlay(stage, sink))


def _rounds(stage: Stage, peers: Sequence[Peer], left_out: dict[str, str], one: _Measure) -> list[Sample]:
    samples: list[Sample] = []
    current, begun, longest = 0, time.monotonic(), 0.0
    for number, peer in in_rounds(peers, stage.options.rounds):
        if number != current:
            now = time.monotonic()
            longest = max(longest, now - begun) if current else 0.0
            if current and now + longest > stage.options.until:
                say(f"  no time for more than {current} of {stage.options.rounds} rounds")
                break
            current, begun = number, now
        if peer.name in left_out:
            continue
        try:
            with stage.started(peer, str(number)) as (program, port):
                samples.append(one(number, peer, program, port))
        except (Failed, OSError) as error:
            left_out[peer.name] = f"failed in round {number}: {error}"
            say(f"  {peer.name} {left_out[peer.name]}")
    return samples


class _Cost:
    """A closed loop: every connection is always busy."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._closed = Closed(stage)
        self._tokens = 0
        self._fresh: Path | None = None
        if stage.scenario.tokens is Tokens.FRESH:
            self._tokens = FRESH_PER_SECOND * stage.options.seconds
            say(f"  signing {self._tokens:,} tokens")
            self._fresh = load.script(stage.directory, "fresh", stage.scenario.calls, stage.mint.many(self._tokens))

    def __call__(self, number: int, peer: Peer, program: Program, port: int) -> Cost:
        self._closed.warm_up(port)
        # Fresh tokens are fresh once.
        tries = 1 if self._fresh else self._stage.options.tries
        closed, used = under_load(self._stage, peer, program, lambda: self._loaded(peer, port), tries)
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
    closed = Closed(stage)
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

    def one(number: int, peer: Peer, program: Program, port: int) -> Latency:
        closed.warm_up(port)
        rate = min(common, capacity[peer.name]) / 2
        found, used = under_load(stage, peer, program, lambda: paced(stage, port, token, rate), stage.options.tries)
        sample = Latency(peer.name, number, rate, found, used)
        say(
            f"  round {number} {peer.name:14} at {found.rate:7,.0f}/s p50 {found.p50:5.0f} p99 {found.p99:6.0f} "
            f"p99.9 {found.p999:6.0f} us, {sample.microseconds:.1f} us/request"
        )
        return sample

    direct: list[Sample] = []
    if peers:
        for number in range(1, stage.options.rounds + 1):
            found = paced(stage, stage.upstream.port, token, common / 2)
            direct.append(Latency(DIRECT, number, common / 2, found, Used(found.seconds, Cpu(), 0.0, 0.0)))
            say(f"  round {number} {DIRECT:14} at {found.rate:7,.0f}/s p50 {found.p50:5.0f} p99 {found.p99:6.0f} us")
    return direct + _rounds(stage, peers, left_out, one)


class _Idle:
    """Quiet connections, after the proxy has been warm with 32 busy ones."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._closed = Closed(stage)
        self._token = stage.mint.token()
        self._count = idle.affordable(stage.scenario.connections)

    def __call__(self, number: int, peer: Peer, program: Program, port: int) -> Idle:
        self._closed.warm_up(port)
        pids = counted(peer, family(program.pid))
        before = measure.resident(pids)
        with idle.quiet_connections(port, self._stage.scenario.calls[0].path, self._token, self._count):
            time.sleep(RESTING)
            holding = measure.resident(pids)
        sample = Idle(peer.name, number, self._count, before, holding)
        say(f"  round {number} {peer.name:14} {sample.each / 1024:6.2f} KiB per connection")
        return sample
