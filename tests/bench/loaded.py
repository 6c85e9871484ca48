"""One load on one started proxy, and what the proxy used meanwhile."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from tests.bench import load, measure
from tests.bench.peers import Peer
from tests.bench.processes import Failed, Program, family
from tests.bench.samples import Used
from tests.bench.scenarios import Kind
from tests.bench.stage import Stage

_BUSY = 32
"""Connections of the warm-up before quiet ones are opened: many more would leave freed memory that hides their cost."""
_DISTURBED = 0.1
"""A load is repeated when others had more than this share of the proxy's core."""

FEW_TOKENS = 32

_Loaded = TypeVar("_Loaded")


class Closed:
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


def paced(stage: Stage, port: int, token: str, rate: float) -> load.Paced:
    """h2load at *rate* requests per second.

    Raises:
        Failed: not every answer was a good one.
    """
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


def under_load(
    stage: Stage, peer: Peer, program: Program, load_it: Callable[[], _Loaded], tries: int
) -> tuple[_Loaded, Used]:
    """Run a load and read what *program* and its core used meanwhile; of several tries the least disturbed counts."""
    best = observed(stage, peer, program, load_it)
    for _ in range(tries - 1):
        if best[1].others <= _DISTURBED:
            break
        best = min(best, observed(stage, peer, program, load_it), key=lambda each: each[1].others)
    return best


def observed(stage: Stage, peer: Peer, program: Program, load_it: Callable[[], _Loaded]) -> tuple[_Loaded, Used]:
    """Run a load once."""
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
