"""A modest good load, alone and then beside thousands of connections that never finish their heads."""

import sys
from pathlib import Path

from tests.bench import idle, measure
from tests.bench.loaded import Closed, paced
from tests.bench.peers import Peer
from tests.bench.processes import Failed, Program
from tests.bench.samples import Slow
from tests.bench.stage import Stage, say

SHARE = 0.2
"""Of the measured saturation: the good load."""
EVERY = 3.0
"""Seconds between two bytes of one slow head."""
SPREAD = 10.0
"""Seconds over which they are opened: the gateway's deadline for a head, so that from then on some end all the time."""


class SlowPlay:
    """Saturation, the good load alone, and the good load beside the slow ones, all in one process of the proxy."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._closed = Closed(stage)
        self._token = stage.mint.token()
        self._slow = idle.affordable(stage.scenario.slow)

    def __call__(self, number: int, peer: Peer, program: Program, port: int) -> Slow:
        stage, options = self._stage, self._stage.options
        self._closed.warm_up(port)
        rate = self._closed.few(port, 2).rate * SHARE
        measure.await_quiet((options.proxy_core, options.load_core), options.patience)
        alone = paced(stage, port, self._token, rate)
        argv = [sys.executable, str(Path(__file__).with_name("slow.py")), "--port", str(port)]
        argv += ["--connections", str(self._slow), "--every", str(EVERY), "--spread", str(SPREAD)]
        directory = stage.directory / f"slow-{peer.name}-{number}"
        with Program("slow", argv, cpu=options.load_core, directory=directory) as attack:
            attack.await_ready(lambda: progress(attack.output.read_text())[0] >= self._slow, within=SPREAD * 3)
            beside = paced(stage, port, self._token, rate)
            held, refused = progress(attack.output.read_text())
        if held < self._slow:
            raise Failed(f"only {held:,} of {self._slow:,} slow connections were held")
        sample = Slow(peer.name, number, alone, beside, held, refused)
        say(
            f"  round {number} {peer.name:14} at {alone.rate:6,.0f}/s p99 {alone.p99:,.0f} us alone, "
            f"{beside.p99:,.0f} us beside {held:,} slow ones ({refused:,} given up on)"
        )
        return sample


def progress(printed: str) -> tuple[int, int]:
    """Connections held, and given up on by the proxy so far, as the attacker last said on a complete line."""
    lines = printed.rpartition("\n")[0].split("\n")
    held, _, refused = lines[-1].partition(" ")
    return (int(held), int(refused)) if refused else (0, 0)
