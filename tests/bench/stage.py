"""Where a scenario is played: each proxy in every round, freshly started, in an order that turns with the round.

Interleaving puts the noise of a shared machine on all alike; a fresh start each time means that no cache, memory layout
or hash seed is carried from one round to the next.
"""

import contextlib
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench import check
from tests.bench.peers import Peer, Place
from tests.bench.processes import Failed, Program, answers, free_port
from tests.bench.scenarios import Scenario
from tests.bench.tokens import Material, Mint
from tests.bench.upstream import Upstream


@dataclass(frozen=True, slots=True)
class Options:
    """How long, how often and where."""

    seconds: int = 5
    rounds: int = 5
    warm_up: int = 1
    proxy_core: int = 0
    load_core: int = 1
    patience: float = 10.0
    """Seconds to wait, before each load, for a moment in which nothing else keeps the two cores busy."""
    tries: int = 3
    """How often a disturbed load is run in all."""
    python: str = sys.executable
    """The interpreter that runs the gateway; the benchmark itself stays with its own."""
    until: float = math.inf
    """By this time (monotonic) the scenario should be over: a further round begins only if it fits."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where one scenario is played: its upstream, its keys, and the way to start a proxy."""

    scenario: Scenario
    options: Options
    upstream: Upstream
    directory: Path
    material: Material
    sink: int = 0
    """Port of the upstream for long request bodies, where there is one."""

    @property
    def mint(self) -> Mint:
        return Mint(self.material, self.scenario.alg)

    @contextlib.contextmanager
    def started(self, peer: Peer, label: str) -> Iterator[tuple[Program, int]]:
        """*peer* running and answering, with its port; *label* names its directory.

        Raises:
            Failed: it did not come up.
        """
        directory = self.directory / f"{peer.name}-{label}"
        directory.mkdir()
        # The gateway's store outlives single starts, so that later starts know the tokens signed meanwhile.
        kept = self.directory / f"{peer.name}-kept"
        kept.mkdir(mode=0o700, exist_ok=True)
        port = free_port()
        place = Place(
            directory=directory,
            port=port,
            upstream=self.upstream.port,
            material=self.material,
            alg=self.scenario.alg,
            tls=self.scenario.tls,
            most_connections=max(512, self.scenario.connections + self.scenario.slow + 200),
            sink=self.sink,
            kept=kept,
            python=self.options.python,
        )
        launch = peer.launch(place)
        core = self.options.proxy_core
        with Program(peer.name, launch.argv, cpu=core, directory=directory, env=launch.env) as program:
            program.await_ready(lambda: answers(port))
            if launch.ready is not None:
                program.await_ready(launch.ready)
            yield program, port

    def fit(self, peers: Sequence[Peer], left_out: dict[str, str]) -> list[Peer]:
        """Those of *peers* that are installed, start and enforce; the reasons of the others go to *left_out*."""
        for peer in peers:
            if (reason := self._unfit(peer)) is not None:
                left_out[peer.name] = reason
                say(f"  {peer.name} is left out: {reason}")
        return [peer for peer in peers if peer.name not in left_out]

    def _unfit(self, peer: Peer) -> str | None:
        if (command := peer.missing()) is not None:
            return f"not installed: `{command}`"
        try:
            with self.started(peer, "check") as (_, port):
                faults = check.faults(
                    port, self.scenario.calls, self.mint, tls=self.scenario.tls, enforces=peer.enforces
                )
        except (Failed, OSError) as error:
            return f"did not start: {error}"
        return f"does not enforce: {'; '.join(faults)}" if faults else None


def in_rounds(peers: Sequence[Peer], rounds: int) -> Iterator[tuple[int, Peer]]:
    """Each of *peers* once per round; every round starts with another one."""
    for number in range(1, rounds + 1):
        first = (number - 1) % max(1, len(peers))
        for peer in [*peers[first:], *peers[:first]]:
            yield number, peer


def say(text: str) -> None:
    """Tell whoever waits how far we are."""
    print(text, file=sys.stderr, flush=True)
