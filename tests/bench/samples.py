"""What one proxy did in one round, and what a whole scenario gave."""

from dataclasses import dataclass
from typing import NamedTuple

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


class Flow(NamedTuple):
    """Long bodies in one direction through all clients at once."""

    sent: int
    """Bytes of body, of all clients together."""
    used: Used
    before: int
    """Resident bytes before."""
    after: int
    peak: int
    """The most that was resident meanwhile."""

    @property
    def rate(self) -> float:
        """Bytes per second."""
        return self.sent / self.used.wall

    @property
    def per_gigabyte(self) -> float:
        """Processor seconds per 10^9 bytes."""
        return self.used.cpu.total / self.sent * 1e9

    @property
    def growth(self) -> int:
        return self.peak - self.before


@dataclass(frozen=True, slots=True)
class Streams:
    """One proxy in one round of long bodies."""

    peer: str
    round: int
    up: Flow
    down: Flow

    @property
    def per_gigabyte(self) -> float:
        """Processor seconds per GB, both directions together."""
        used = self.up.used.cpu.total + self.down.used.cpu.total
        return used / (self.up.sent + self.down.sent) * 1e9


@dataclass(frozen=True, slots=True)
class Slow:
    """One proxy under a modest load, alone and beside slow heads."""

    peer: str
    round: int
    alone: Paced
    beside: Paced
    held: int
    """Slow connections open at the end."""
    refused: int
    """Slow connections the proxy gave up on meanwhile; each was opened anew."""

    @property
    def factor(self) -> float:
        """How many times its own p99 the slow ones cost."""
        return self.beside.p99 / self.alone.p99


Sample = Cost | Latency | Idle | Streams | Slow


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that one scenario gave."""

    scenario: Scenario
    samples: tuple[Sample, ...]
    left_out: dict[str, str]
    """Proxies without figures, and why."""
    seconds: int = 0
    """Length of one load."""
