"""What two gateways together let through of one limit, beside what is said. Prints Markdown.

    python -m tests.bench.limits [--seconds 4]

Two real gateways over one Redis, both asked without a pause for the same key, which nobody used before. One gateway
alone would let `burst + rate * time` pass; by how much that was exceeded at any time is compared with the bound that
docs/limits.md states. In the end it is less, because what was let through too much is paid back.
"""

import argparse
import http.client
import itertools
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from gateway.limits.shared import EVERY
from gateway.running import demo_upstream
from tests.bench.processes import Failed
from tests.journeys.house import Gateway
from tests.journeys.pair import Pair, Redis, pair

CONNECTIONS = 3
"""To each gateway."""
ANSWER = 0.05
"""Seconds that the store and the loop are given for one exchange; the bound goes by it."""


class Asked(NamedTuple):
    """One limit: so many a second, and so many at once."""

    rate: int
    burst: int


LIMITS = (Asked(10, 1), Asked(50, 100), Asked(200, 20), Asked(500, 500))


class Played(NamedTuple):
    """What became of the requests of one limit."""

    asked: int
    passed: list[float]
    """When each that passed was sent, in seconds from the beginning."""
    seconds: float

    def more(self, limit: Asked) -> float:
        """Return by how much the limit was exceeded when it was exceeded most."""
        return max((at + 1 - limit.burst - limit.rate * sent for at, sent in enumerate(sorted(self.passed))), default=0)


def play(two: Pair, limit: int, key: str, seconds: float) -> Played:
    """Ask both for *key* on as many connections each, until the time is over."""
    answers: list[tuple[float, int]] = []
    begun = time.perf_counter()

    def ask(gateway: Gateway) -> None:
        line = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
        while (sent := time.perf_counter() - begun) < seconds:
            line.request("GET", f"/limit{limit}/x", headers={"X-Key": key})
            answer = line.getresponse()
            answer.read()
            answers.append((sent, answer.status))
        line.close()

    threads = [threading.Thread(target=ask, args=(one,)) for one in (two.one, two.two) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if strange := {status for _, status in answers} - {200, 429}:
        raise Failed(f"answers were {sorted(strange)}")
    passed = [sent for sent, status in answers if status == 200]
    return Played(len(answers), passed, time.perf_counter() - begun)


def row(limit: Asked, played: Played) -> str:
    """Return the row of one limit.

    Raises:
        Failed: more passed than is said.
    """
    alone = limit.burst + limit.rate * played.seconds
    bound = limit.burst + limit.rate * 2 * (EVERY + ANSWER)
    more = played.more(limit)
    if more > bound:
        raise Failed(f"{more:.0f} more passed of {limit}, and {bound:.0f} are said")
    cells = (f"{limit.rate}/s", limit.burst, f"{played.asked:,}", f"{len(played.passed):,}", f"{alone:,.0f}")
    return "| " + " | ".join(map(str, (*cells, f"{max(0.0, more):.0f}", f"{bound:.0f}"))) + " |"


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.limits")
    parser.add_argument("--seconds", type=float, default=4.0)
    seconds = parser.parse_args(argv).seconds
    limits = "".join(
        f"  limit{at}: {{by: header.X-Key, rate: {one.rate}/s, burst: {one.burst}}}\n" for at, one in enumerate(LIMITS)
    )
    routes = "".join(
        f"  - {{path: /limit{at}/**, to: app, auth: public, limit: limit{at}}}\n" for at in range(len(LIMITS))
    )
    keys = itertools.count()
    with tempfile.TemporaryDirectory() as name, demo_upstream() as upstream:
        redis = Redis(Path(name))
        try:
            with pair(Path(name) / "pair", upstream, redis.url, routes=routes, more=f"limits:\n{limits}") as two:
                played = [play(two, at, f"key{next(keys)}", seconds) for at in range(len(LIMITS))]
        finally:
            redis.stop()
    print(f"Two gateways over one Redis, both asked without a pause for the same key for {seconds:g} s.\n")
    print("| rate | burst | asked | passed | one gateway lets through | more at most, measured | more at most, said |")
    print("|--:|--:|--:|--:|--:|--:|--:|")
    for limit, one in zip(LIMITS, played, strict=True):
        print(row(limit, one))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
