"""How long a logout on one gateway takes to be obeyed by another, and what a live revocation costs. Prints Markdown.

    python -m tests.bench.revocation [--trials 1000]

Two real gateways over one Redis. A trial: log in, be let through by the second, log out on the first; the clock runs
from the first one's answer to the second one's refusal, asked again and again over one connection. The streams are a
WebSocket and a stream of events held open on the second, and their clock runs from the sending of the logout, which may
end them before it is answered. The table is measured inside this process.
"""

import argparse
import asyncio
import http.client
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import aiohttp

from gateway.running import demo_upstream
from gateway.sessions.revocations import Entry, Kind, Revocations
from gateway.tokens.verify import Identity
from tests.bench.load import percentile
from tests.bench.processes import Failed
from tests.bench.tokens_cost import microseconds
from tests.journeys.house import Gateway, Tokens
from tests.journeys.pair import Pair, Redis, pair

PATIENCE = 10.0
NOW = 1_000_000
LATER = NOW + 600_000


def connected(gateway: Gateway) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=PATIENCE)


def asked(line: http.client.HTTPConnection, method: str, path: str, tokens: Tokens) -> int:
    line.request(method, path, headers=tokens.bearer)
    answer = line.getresponse()
    answer.read()
    return answer.status


def refusals(two: Pair, trials: int) -> list[float]:
    """Return the milliseconds from each logout's answer to the refusal elsewhere, in order of size."""
    one, other = connected(two.one), connected(two.two)
    found = []
    for _ in range(trials):
        tokens = two.one.login()
        if asked(other, "GET", "/api/x", tokens) != 200:
            raise Failed("a fresh token was refused")
        if asked(one, "POST", "/auth/logout", tokens) != 204:
            raise Failed("a logout was refused")
        began = time.perf_counter()
        while asked(other, "GET", "/api/x", tokens) != 401:
            if time.perf_counter() - began > PATIENCE:
                raise Failed("a session that was logged out is still served")
        found.append((time.perf_counter() - began) * 1e3)
    return sorted(found)


async def ended(two: Pair, trials: int) -> list[float]:
    """Return the milliseconds from sending each logout to the end of both streams elsewhere, in order of size."""
    found = []
    for _ in range(trials):
        tokens = await asyncio.to_thread(two.one.login)
        async with aiohttp.ClientSession(headers=tokens.bearer) as session:
            socket = await session.ws_connect(f"{two.two.url}/live/ws")
            events = await session.get(f"{two.two.url}/live/sse?ms=50")
            await events.content.readuntil(b"\n\n")

            async def over(events: aiohttp.ClientResponse = events) -> None:
                try:
                    await events.read()
                except aiohttp.ClientError:
                    return
                raise Failed("a stream ended as if it were whole")

            waiting = asyncio.gather(socket.receive(), over())
            began = time.perf_counter()
            async with session.post(f"{two.one.url}/auth/logout") as answer:
                assert answer.status == 204
            async with asyncio.timeout(PATIENCE):
                message, _ = await waiting
            assert message.data == 1008
            found.append((time.perf_counter() - began) * 1e3)
            await socket.close()
    return sorted(found)


def row(what: str, milliseconds: Sequence[float]) -> str:
    figures = (percentile(milliseconds, 50), percentile(milliseconds, 99), milliseconds[-1])
    return f"| {what} | {len(milliseconds):,} | {' | '.join(f'{figure:.1f}' for figure in figures)} |"


def person(session: str) -> Identity:
    """A token of *session*, stamped before anything was revoked."""
    nobody: frozenset[str] = frozenset()
    return Identity(
        subject="ana",
        session=session,
        token_id=f"of {session}",
        issuer="https://gw",
        client="web",
        audience=nobody,
        roles=nobody,
        permissions=nobody,
        scopes=nobody,
        tenant=None,
        expires=2000,
        not_before=0,
        issued_ms=NOW - 1,
        auth_time=1000,
        key="kid",
        claims={},
    )


def live(count: int) -> str:
    """Return the row of a table that was told of *count* ended sessions."""
    tracemalloc.start()
    table = Revocations(lambda issuer, tenant, subject: "00" * 16, max_entries=100_000)
    before, _ = tracemalloc.get_traced_memory()
    for number in range(count):
        table.apply(Entry(Kind.SESSION, f"session-{number:013d}", expires_ms=LATER), NOW)
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    missed = sum(not table.is_dead(person(f"session-{number:013d}")) for number in range(count))
    if missed:
        raise Failed(f"{missed} tokens of ended sessions would pass")
    stranger = person("somebody else's")._replace(issued_ms=LATER)
    nanoseconds = microseconds(lambda: table.is_dead(stranger)) * 1e3
    each = f"{(after - before) / len(table):.0f} B" if len(table) else "-"
    return (
        f"| {count:,} | {len(table):,} | {table.coarsened} | {(after - before) / 2**20:.1f} MiB"
        f" | {(peak - before) / 2**20:.1f} MiB | {each} | {nanoseconds:.0f} ns |"
    )


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.revocation")
    parser.add_argument("--trials", type=int, default=1000)
    trials = parser.parse_args(argv).trials
    with tempfile.TemporaryDirectory() as name, demo_upstream() as upstream:
        redis = Redis(Path(name))
        try:
            with pair(Path(name) / "pair", upstream, redis.url) as two:
                fast = refusals(two, trials)
                streams = asyncio.run(ended(two, max(1, trials // 20)))
        finally:
            redis.stop()
    print("| from a logout on one gateway to | trials | p50 ms | p99 ms | worst ms |")
    print("|---|--:|--:|--:|--:|")
    print(row("the refusal of its token on another", fast))
    print(row("the end of a WebSocket and an event stream on another, from its sending", streams))
    print()
    print("| sessions ended | entries kept | coarsened | memory | at most meanwhile | per entry | one check |")
    print("|--:|--:|--:|--:|--:|--:|--:|")
    for count in (1, 100_000, 1_000_000):
        print(live(count))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
