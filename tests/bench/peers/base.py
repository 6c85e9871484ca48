"""What the benchmark asks of a proxy: how it is started, and which of its processes stand in the request's way."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.tokens import Material

DEFAULT_ALG = "RS256"


@dataclass(frozen=True, slots=True)
class Place:
    """What a proxy is given to stand in: the same for all proxies of a scenario."""

    directory: Path
    kept: Path
    """A directory of this run that outlives single starts."""
    port: int
    upstream: int
    """Port of the upstream on the loopback."""
    material: Material
    alg: str = DEFAULT_ALG
    tls: bool = False
    most_connections: int = 512
    """Client connections the proxy must be able to hold."""
    sink: int = 0
    """Port of a second upstream, for `/api/sink` with long request bodies; 0 for none."""
    python: str = sys.executable
    """The interpreter for the gateway."""

    def file(self, name: str, content: str) -> Path:
        """Write a configuration file of the proxy."""
        path = self.directory / name
        path.write_text(content)
        return path


@dataclass(frozen=True, slots=True)
class Launch:
    """A command ready to be started."""

    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    ready: Callable[[], bool] | None = None
    """Asked until it says yes, after the port accepts connections; None when that is enough."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One proxy of the comparison."""

    name: str
    title: str
    does: str
    """What it checks and adds for each request."""
    records: str
    """Which log and metrics were on."""
    launch: Callable[[Place], Launch]
    missing: Callable[[], str | None]
    """The command that installs what is not here; None when nothing is missing."""
    version: Callable[[], str]
    enforces: bool = True
    holds_rate: bool = True
    """Whether it counts when the common rate of the latency scenario is chosen; the very slow ones do not."""
    caches: bool = False
    """Whether it keeps verified tokens, so that a token sent twice would spoil the scenarios with fresh ones."""
    only_first_process: bool = False
    """Count the first process alone, because its children are off the request path (an embedded store)."""
    algs: frozenset[str] = frozenset({"RS256", "HS256"})
