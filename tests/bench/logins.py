"""What other traffic notices of people who log in. Prints Markdown; ends with 3 when that is too much.

    python -m tests.bench.logins [--seconds 10]

One gateway at its defaults before a Redis of its own, under a paced load with a token that does not wait for answers.
The same load twice: by itself, and beside twenty people who log in, each again as soon as they are in. Every login
costs a hash at the default cost, computed in the gateway's own process.
"""

import argparse
import asyncio
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import aiohttp

from gateway.running import demo_upstream
from gateway.users.passwords import Hasher
from tests.bench.load import Paced, h2load, percentile
from tests.bench.processes import MISSED, Failed
from tests.journeys.house import Gateway, running
from tests.journeys.pair import Redis, shared

PEOPLE = 20
RATE, CONNECTIONS = 1000, 32
MOST = 20.0
"""Milliseconds that the slowest request but one in a hundred may take beside the logins."""


class Arriving:
    """*people* who log in again and again, in a thread, until told to stop."""

    def __init__(self, gateway: Gateway, people: int = PEOPLE) -> None:
        self.took: list[float] = []
        """Seconds of each login."""
        self._url = f"{gateway.url}/auth/login"
        self._people = people
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._failed: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        while len(self.took) < self._people and self._failed is None:
            time.sleep(0.05)  # all are there, and none waits for a first connection
        self.took.clear()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if self._failed is not None:
            raise self._failed

    async def _run(self) -> None:
        try:
            async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as people:
                for number in range(self._people):
                    people.create_task(self._person(session, f"person-{number}"))
        except BaseExceptionGroup as error:
            self._failed = error.exceptions[0]

    async def _person(self, session: aiohttp.ClientSession, name: str) -> None:
        while not self._over.is_set():
            began = time.perf_counter()
            async with session.post(self._url, json={"username": name, "password": "right"}) as answer:
                await answer.read()
            if answer.status != 200:
                raise Failed(f"a login was answered {answer.status}")
            self.took.append(time.perf_counter() - began)


def users() -> str:
    """The users' file: everybody with a hash at the default cost."""
    encoded = Hasher().hash("right")
    people = (f'  person-{number}: {{password: "{encoded}", roles: [user]}}' for number in range(PEOPLE))
    return "\n".join(("users:", *people, ""))


def row(what: str, paced: Paced, baseline: Paced, took: Sequence[float] = ()) -> str:
    logins = " | | "
    if ordered := sorted(took):
        p50, p99 = percentile(ordered, 50) * 1e3, percentile(ordered, 99) * 1e3
        logins = f"{len(ordered) / paced.seconds:.0f} | {p50:.0f} | {p99:.0f}"
    return (
        f"| {what} | {paced.requests:,} | {paced.refused} | {paced.p50 / 1e3:.2f} | {paced.p99 / 1e3:.2f}"
        f" | {paced.p99 / baseline.p99:.2f} | {paced.p999 / 1e3:.2f} | {logins} |"
    )


def goal(paced: Paced) -> tuple[str, bool]:
    """Return a row of `what / target / measured / met` for *paced*, the load beside the logins, and whether it is."""
    met = bool(paced.requests) and not paced.refused and paced.p99 / 1e3 <= MOST
    measured = f"{paced.p99 / 1e3:.1f} ms, {paced.refused} of {paced.requests:,} refused"
    return (
        f"| p99 beside {PEOPLE} people who log in | ≤ {MOST:.0f} ms, none refused | {measured} "
        f"| {'yes' if met else '**no**'} |",
        met,
    )


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.logins")
    parser.add_argument("--seconds", type=int, default=10)
    seconds = parser.parse_args(argv).seconds
    with tempfile.TemporaryDirectory() as name, demo_upstream() as upstream:
        folder = Path(name)
        redis = Redis(folder)
        try:
            text = shared(folder, upstream, redis.url)
            (folder / "users.yaml").write_text(users())
            with running(folder / "gateway", text) as gateway:
                tokens = gateway.login("person-0", "right")

                def load() -> Paced:
                    return h2load(
                        f"{gateway.url}/api/x",
                        tokens.access,
                        connections=CONNECTIONS,
                        rate=RATE,
                        seconds=seconds,
                        cpu=1,
                        log=folder / "h2load.log",
                    )

                load()  # the first requests of a process are no measure
                baseline = load()
                with Arriving(gateway) as arriving:
                    paced = load()
                    took = tuple(arriving.took)
        finally:
            redis.stop()
    print(
        "| beside it | requests | not 2xx | p50 ms | p99 ms | ÷ alone | p99.9 ms | logins/s | login p50 | login p99 |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    print(row("nobody", baseline, baseline))
    print(row(f"{PEOPLE} people log in", paced, baseline, took))
    print(f"\n{RATE:,} requests/s for {seconds} s on {CONNECTIONS} connections.")
    said, met = goal(paced)
    print(f"\n| figure | target | measured | met |\n|---|--:|--:|---|\n{said}")
    return 0 if met else MISSED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
