"""What requests with a token notice of a store that is slow or has stopped. Prints Markdown.

    python -m tests.bench.store_fault [--seconds 10]

One gateway before a Redis of its own, under a paced load that does not wait for answers. The same load three times:
nothing wrong, every answer of the store 200 ms late, the store's process stopped. Meanwhile somebody tries to log in
and to refresh, once a second; after the stop the clock runs until a login succeeds.
"""

import argparse
import asyncio
import contextlib
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from gateway.running import demo_upstream
from tests.bench.load import Paced, h2load
from tests.bench.processes import Failed
from tests.journeys.house import Gateway, Tokens, running
from tests.journeys.pair import Redis, shared
from tests.sessions.middle import Middle

RATE, CONNECTIONS = 1000, 32
TIMEOUT = 2.0
"""Seconds, as `store.timeout` of the gateway that is measured."""


class Tried(NamedTuple):
    """One attempt to log in or to refresh."""

    status: int
    seconds: float


def tried(gateway: Gateway, path: str, body: dict[str, str]) -> tuple[Tried, str]:
    """Return how it went, and the new refresh token if there is one."""
    began = time.perf_counter()
    with gateway.client() as client:
        answer = client.post(path, json=body)
    return Tried(answer.status_code, time.perf_counter() - began), answer.json().get("refresh_token", "")


def login(gateway: Gateway) -> Tried:
    return tried(gateway, "/auth/login", {"username": "admin", "password": "demo"})[0]


class Trying:
    """Logs in and refreshes once a second, in a thread, until told to stop."""

    def __init__(self, gateway: Gateway, tokens: Tokens) -> None:
        """*tokens* of a session of its own."""
        self.found: list[Tried] = []
        self._gateway, self._refresh = gateway, tokens.refresh
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(1.0):
            self.found.append(login(self._gateway))
            found, token = tried(self._gateway, "/auth/refresh", {"refresh_token": self._refresh})
            self.found.append(found)
            self._refresh = token or self._refresh


@contextlib.contextmanager
def wire(url: str) -> Iterator[Middle]:
    """Run a wire to the server at *url* in a thread of its own."""
    middle, loop = Middle(url), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(middle.open(), loop).result()
        yield middle
        asyncio.run_coroutine_threadsafe(middle.close(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def row(what: str, paced: Paced, baseline: Paced, attempts: Sequence[Tried], recovery: str = "") -> str:
    statuses = ", ".join(map(str, sorted({attempt.status for attempt in attempts})))
    longest = max((attempt.seconds for attempt in attempts), default=0.0)
    return (
        f"| {what} | {paced.requests:,} | {paced.refused} | {paced.p50 / 1e3:.2f} | {paced.p99 / 1e3:.2f}"
        f" | {paced.p99 / baseline.p99:.2f} | {statuses} | {longest:.1f} s | {recovery} |"
    )


def recovered(gateway: Gateway) -> float:
    """Return the seconds until a login succeeds."""
    began = time.perf_counter()
    while login(gateway).status != 200:
        if time.perf_counter() - began > 30:
            raise Failed("no login for 30 s after the store was back")
        time.sleep(0.05)
    return time.perf_counter() - began


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.store_fault")
    parser.add_argument("--seconds", type=int, default=10)
    seconds = parser.parse_args(argv).seconds
    with tempfile.TemporaryDirectory() as name, demo_upstream() as upstream:
        folder = Path(name)
        redis = Redis(folder)
        try:
            with wire(redis.url.removesuffix("/0")) as middle:
                text = shared(folder, upstream, middle.url)
                with running(folder / "gateway", text) as gateway:
                    tokens = gateway.login()

                    def others() -> Tokens:
                        return gateway.login("admin")

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
                    with Trying(gateway, others()) as trying:
                        baseline = load()
                    rows = [row("as usual", baseline, baseline, trying.found)]
                    middle.delay = 0.2
                    with Trying(gateway, others()) as trying:
                        rows.append(row("every answer 200 ms late", load(), baseline, trying.found))
                    middle.delay = 0.0
                    stopped = Trying(gateway, others())
                    with redis.frozen(), stopped:
                        paced = load()
                    rows.append(row("stopped", paced, baseline, stopped.found, f"{recovered(gateway):.1f} s"))
        finally:
            redis.stop()
    print("| the store | requests | not 2xx | p50 ms | p99 ms | ÷ as usual | login, refresh | longest | recovery |")
    print("|---|--:|--:|--:|--:|--:|---|--:|--:|")
    print("\n".join(rows))
    print(f"\n{RATE:,} requests/s for {seconds} s on {CONNECTIONS} connections; `store.timeout` {TIMEOUT:g} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
