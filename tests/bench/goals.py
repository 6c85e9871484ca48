"""What issue 3 says the engine must show, each figure beside its target."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from tests.bench.figures import Spread, added, ratio, spread
from tests.bench.samples import Cost, Idle, Outcome, Sample, Slow, Streams
from tests.bench.tables import p99

GATEWAY = "gateway"


class Figure(NamedTuple):
    """One measured figure, and whether it is what was promised."""

    measured: Spread
    digits: int
    met: bool


class Goal(NamedTuple):
    """One promise: which scenario shows it and how."""

    number: str
    what: str
    target: str
    scenario: str
    measure: Callable[[Sequence[Sample]], Figure | None]


def rows(outcomes: Mapping[str, Outcome]) -> list[tuple[str, ...]]:
    """A row of `target / measured / met` per promise; one that could not be measured says so."""
    return [_row(goal, outcomes.get(goal.scenario)) for goal in GOALS]


def _row(goal: Goal, outcome: Outcome | None) -> tuple[str, ...]:
    figure = goal.measure(outcome.samples) if outcome is not None else None
    if figure is None:
        return (goal.number, goal.what, goal.target, "not measured", "-")
    return (goal.number, goal.what, goal.target, figure.measured.text(figure.digits), "yes" if figure.met else "**no**")


def _at_most(limit: float, found: Spread | None, digits: int = 2) -> Figure | None:
    return None if found is None else Figure(found, digits, found.middle <= limit)


def _relative(reference: str, limit: float) -> Callable[[Sequence[Sample]], Figure | None]:
    return lambda samples: _at_most(limit, ratio(samples, GATEWAY, reference))


def _saturated_p99(samples: Sequence[Sample]) -> Figure | None:
    def pick(sample: Sample) -> float:
        return sample.load.p99 if isinstance(sample, Cost) else 0.0

    return _at_most(1.0, ratio(samples, GATEWAY, "envoy", pick))


def _added_p99(samples: Sequence[Sample]) -> Figure | None:
    found = added(samples, GATEWAY, p99)
    return None if found is None else _at_most(2.0, Spread(*(each / 1e3 for each in found)))


def _idle(samples: Sequence[Sample]) -> Figure | None:
    own = [sample.each / 1024 for sample in samples if isinstance(sample, Idle) and sample.peer == GATEWAY]
    return _at_most(6.0, spread(own)) if own else None


def _slow(samples: Sequence[Sample]) -> Figure | None:
    own = [sample.factor for sample in samples if isinstance(sample, Slow) and sample.peer == GATEWAY]
    return _at_most(2.0, spread(own)) if own else None


def _growth(samples: Sequence[Sample]) -> Figure | None:
    """From before the first upload to the highest peak of either direction; the worst round counts."""
    own = [
        (max(sample.up.peak, sample.down.peak) - sample.up.before) / 1e6
        for sample in samples
        if isinstance(sample, Streams) and sample.peer == GATEWAY
    ]
    return Figure(found := spread(own), 1, found.most < 64.0) if own else None


def _throughput(direction: str) -> Callable[[Sequence[Sample]], Figure | None]:
    def pick(sample: Sample) -> float:
        if not isinstance(sample, Streams):
            return 0.0
        return sample.up.rate if direction == "up" else sample.down.rate

    def judged(samples: Sequence[Sample]) -> Figure | None:
        found = ratio(samples, GATEWAY, "nginx", pick)
        return None if found is None else Figure(found, 2, found.middle >= 0.5)

    return judged


GOALS = (
    Goal("1", "CPU per small GET ÷ Envoy with JWT cache", "≤ 0.70 (goal 0.60)", "small", _relative("envoy", 0.70)),
    Goal("1", "CPU per small GET ÷ HAProxy", "≤ 0.70 (goal 0.60)", "small", _relative("haproxy", 0.70)),
    Goal("1", "CPU per small GET ÷ nginx, plain proxy", "≤ 1.7", "small", _relative("nginx", 1.7)),
    Goal("1", "p99 under saturation ÷ Envoy's", "≤ 1.0", "small", _saturated_p99),
    Goal("1", "added p99 at half load, ms", "< 2", "latency", _added_p99),
    Goal("2", "CPU per cache miss ÷ Envoy without cache", "≤ 1.3 (goal 1.0)", "miss", _relative("envoy-nocache", 1.3)),
    Goal("3", "CPU per small GET over TLS ÷ HAProxy", "≤ 0.70", "tls", _relative("haproxy", 0.70)),
    Goal("3", "CPU per answer of 1 MiB ÷ HAProxy", "≤ 1.2", "large-1mib", _relative("haproxy", 1.2)),
    Goal("4", "KiB per idle connection, 10,000 of them", "≤ 6", "idle", _idle),
    Goal("4", "p99 beside 5,000 slow heads ÷ p99 alone", "≤ 2", "slowloris", _slow),
    Goal("5", "growth over 1 GB up and 1 GB down, MB, worst round", "< 64", "streams", _growth),
    Goal("5", "throughput up ÷ nginx", "≥ 0.5", "streams", _throughput("up")),
    Goal("5", "throughput down ÷ nginx", "≥ 0.5", "streams", _throughput("down")),
)
