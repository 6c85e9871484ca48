"""What one proxy did in one round, and what a whole scenario gave."""

from dataclasses import dataclass

from tests.bench.load import Closed, Paced
from tests.bench.measure import Cpu
from tests.bench.scenarios import Scenario

DIRECT = "direct"
"""The latency row without any proxy."""


@dataclass(frozen=True, slots=True)
class Used:
    """What the proxy and its core did during one load."""

    wall: float
    cpu: Cpu
    aside: float
    """Processor seconds of its processes off the request path: the gateway's embedded store."""
    others: float
    """Share of the proxy's core that was busy with anything else: the noise."""


@dataclass(frozen=True, slots=True)
class Cost:
    """One proxy in one round of a closed loop."""

    peer: str
    round: int
    load: Closed
    used: Used

    @property
    def microseconds(self) -> float:
        """Processor time per request."""
        return self.used.cpu.total / self.load.requests * 1e6


@dataclass(frozen=True, slots=True)
class Latency:
    """One proxy in one round of a paced load."""

    peer: str
    round: int
    asked: float
    """Requests per second that were asked for."""
    load: Paced
    used: Used

    @property
    def microseconds(self) -> float:
        """Processor time per request."""
        return self.used.cpu.total / self.load.requests * 1e6


@dataclass(frozen=True, slots=True)
class Idle:
    """One proxy holding quiet connections; bytes."""

    peer: str
    round: int
    connections: int
    before: int
    holding: int

    @property
    def each(self) -> float:
        """Bytes one quiet connection adds."""
        return (self.holding - self.before) / self.connections


Sample = Cost | Latency | Idle


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that one scenario gave."""

    scenario: Scenario
    samples: tuple[Sample, ...]
    left_out: dict[str, str]
    """Proxies without figures, and why."""
