"""Figures over rounds: a median with its extremes, and ratios and differences formed within a round."""

from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import NamedTuple

from tests.bench.samples import DIRECT, Cost, Idle, Latency, Sample, Slow, Streams


class Spread(NamedTuple):
    """Median, least and greatest of some rounds."""

    middle: float
    least: float
    most: float

    def text(self, digits: int) -> str:
        """`23.1 (22.8-24.0)`; the middle alone when there was one round."""
        if self.least == self.most:
            return f"{self.middle:,.{digits}f}"
        return f"{self.middle:,.{digits}f} ({self.least:,.{digits}f}-{self.most:,.{digits}f})"


def spread(values: Iterable[float]) -> Spread:
    found = list(values)
    return Spread(median(found), min(found), max(found))


def value(sample: Sample) -> float:
    """The figure a scenario is about, in its own unit; less is better."""
    match sample:
        case Cost() | Latency():
            return sample.microseconds
        case Idle():
            return sample.each
        case Streams():
            return sample.per_gigabyte
        case Slow():
            return sample.beside.p99


def paired(
    samples: Sequence[Sample],
    peer: str,
    reference: str,
    join: Callable[[float, float], float],
    pick: Callable[[Sample], float] = value,
) -> Spread | None:
    """*join* of *peer*'s figure and *reference*'s, both of the same round."""
    others = {sample.round: pick(sample) for sample in samples if sample.peer == reference}
    own = {sample.round: pick(sample) for sample in samples if sample.peer == peer}
    pairs = [join(own[number], others[number]) for number in own if others.get(number)]
    return spread(pairs) if pairs else None


def ratio(
    samples: Sequence[Sample], peer: str, reference: str, pick: Callable[[Sample], float] = value
) -> Spread | None:
    """*peer* divided by *reference*; below 1 is cheaper than the reference."""
    return paired(samples, peer, reference, lambda own, other: own / other, pick)


def added(samples: Sequence[Sample], peer: str, pick: Callable[[Latency], float]) -> Spread | None:
    """What *peer* adds to the latency of the upstream alone, microseconds."""
    return paired(
        samples,
        peer,
        DIRECT,
        lambda own, alone: own - alone,
        lambda sample: pick(sample) if isinstance(sample, Latency) else 0.0,
    )
