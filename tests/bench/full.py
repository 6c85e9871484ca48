"""The run that docs/benchmarks.md is made from: which scenario with which proxies, how often, and all within a time.

Each scenario may use what is left of the time after one round of every later one has been set aside; so a machine that
is busy costs rounds, not scenarios.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from tests.bench.processes import Failed, run
from tests.bench.scenarios import SCENARIOS, Kind, Scenario, Tokens
from tests.bench.stage import Options, say

WITHIN = 870.0
"""Seconds for the whole run."""
TRIES = 2
PATIENCE = 2.0
"""Seconds to wait for quiet cores before a load: dozens of long waits would eat the time."""


class Step(NamedTuple):
    """One scenario of the run."""

    name: str
    peers: tuple[str, ...] = ("gateway", "haproxy", "envoy")
    rounds: int = 2
    seconds: int = 2

    @property
    def scenario(self) -> Scenario:
        return SCENARIOS[self.name]

    @property
    def of(self) -> tuple[str, ...]:
        """The proxies it is played with."""
        return self.scenario.peers or self.peers


STEPS = (
    Step("small", ("nginx", "gateway", "haproxy", "envoy", "envoy-nocache", "nginx-njs", "naive"), rounds=4, seconds=3),
    Step("features", rounds=1),
    Step("miss", ("gateway", "haproxy", "envoy", "envoy-nocache"), rounds=3),
    Step("tls", rounds=3),
    Step("large-1mib", ("nginx", "gateway", "haproxy", "envoy"), rounds=3),
    Step("latency", seconds=3),
    Step("streams", rounds=2),
    Step("slowloris", rounds=3, seconds=4),
    Step("idle", rounds=1),
    Step("large", rounds=1),
    Step("post", rounds=1),
    Step("mixed", rounds=1),
    Step("c1", rounds=1),
    Step("c256", rounds=1),
    Step("hs256", rounds=1),
)


class Table(NamedTuple):
    """What a program of its own prints as Markdown."""

    title: str
    module: str
    seconds: float
    """About how long it takes."""
    starts_gateways: bool = False
    """It runs gateways and clients itself, on all cores; others are run by the gateway's interpreter on its core."""


TABLES = (
    Table("What each feature adds to one request", "tests.bench.exchange_cost", 20.0),
    Table("What two gateways let through", "tests.bench.limits", 25.0, starts_gateways=True),
    Table("What one token costs", "tests.bench.tokens_cost", 30.0),
    Table("What finding a route costs", "tests.bench.routing_cost", 12.0),
    Table("What a logout takes, and what it leaves", "tests.bench.revocation", 90.0, starts_gateways=True),
    Table("Commands", "tests.bench.commands", 30.0, starts_gateways=True),
    Table("What a store in trouble costs", "tests.bench.store_fault", 60.0, starts_gateways=True),
    Table("What other traffic notices of logins", "tests.bench.logins", 40.0, starts_gateways=True),
)


def made(table: Table, given: Options) -> str:
    """Run the program of *table* and return what it printed, or why there is nothing."""
    say(f"{table.title}: {table.module}")
    python, cpu = (sys.executable, None) if table.starts_gateways else (given.python, given.proxy_core)
    try:
        return run([python, "-m", table.module], cpu=cpu, within=4 * table.seconds).strip()
    except Failed as error:
        return f"Not measured: {' '.join(str(error).split())[:300]}"


def options(step: Step, begun: float, later: Sequence[Step], given: Options) -> Options:
    """*given* for one step of a run that began at *begun* (monotonic)."""
    patience = min(given.patience, PATIENCE)
    until = begun + WITHIN - sum(least(each) for each in later) - sum(table.seconds for table in TABLES)
    return replace(given, rounds=step.rounds, seconds=step.seconds, tries=TRIES, patience=patience, until=until)


def least(step: Step) -> float:
    """About how many seconds the check and one round of *step* take on a quiet machine."""
    proxies, check = len(step.of), 0.7
    match step.scenario.kind:
        case Kind.COST | Kind.FEATURES:
            signing = 10.0 if step.scenario.tokens is Tokens.FRESH else 0.0
            return signing + proxies * (check + 2.2 + step.seconds)
        case Kind.LATENCY:
            return step.rounds * (step.seconds + 0.5) + proxies * (check + 4.0 + 2.2 + step.seconds)
        case Kind.IDLE:
            return proxies * (check + 14.0)
        case Kind.STREAMS:
            return proxies * (check + 6.0)
        case Kind.SLOW:
            return proxies * (check + 16.0 + 2 * step.seconds)


def now() -> float:
    """The clock of `options`."""
    return time.monotonic()
