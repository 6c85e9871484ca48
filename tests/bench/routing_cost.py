"""What finding a route costs in tables of 10 to 10,000 routes, not remembered from before. Prints Markdown.

    python -m tests.bench.routing_cost

The same kinds of routes are in every table, so only their number differs; questions are spread over the whole table,
so that a large one pays for the memory it touches. One thread's processor time; the best of several rounds, taken in
turns over all tables, because everything else on the machine only adds.
"""

import gc
import random
import sys
import time
from collections.abc import Sequence
from itertools import cycle, islice

from gateway.routing.headers import wanted
from gateway.routing.table import Fork, Match, MethodNotAllowed, NoRoute, Route, RouteTable, Rule

SIZES = (10, 100, 1_000, 10_000)
ROUNDS = 15
QUESTIONS = 2_000
"""Asked in one round of one cell."""

Asked = tuple[bytes, bytes, bytes]

_UUID = "0b8e3f5a-9c1d-4e2f-8a7b-6c5d4e3f2a1b"


def routes(count: int) -> list[Route]:
    """Return *count* routes: services with a few resources each, of every kind that can be written."""
    made = []
    for number in range(count):
        service, kind = divmod(number, 10)
        template, host = (
            (f"/s{service}/health", None),
            (f"/s{service}/orders", None),
            (f"/s{service}/orders/{{id}}", None),
            (f"/s{service}/orders/{{id:int}}/lines/{{line:int}}", None),
            (f"/s{service}/files/{{id:uuid}}", None),
            (f"/s{service}/files/**", None),
            (f"/s{service}/deep/a/b/c/**", None),
            ("/**", f"shop{service}.example.com"),
            ("/**", f"*.shop{service}.example.com"),
            (f"/s{service}/orders", None),
        )[kind]
        headers = wanted({"X-Version": "2"}) if kind == 9 else ()
        rules = {b"GET": Rule(), b"POST": Rule()}
        made.append(Route(f"r{number}", number, "bench", host, template, "app", rules, headers=headers))
    return made


QUESTION_KINDS: dict[str, tuple[type, str, str]] = {
    "plain path": (Match, "gw", "/s{}/health"),
    "`{id}`": (Match, "gw", "/s{}/orders/x-7"),
    "two `{id:int}`": (Match, "gw", "/s{}/orders/7/lines/12"),
    "`{id:uuid}`": (Match, "gw", f"/s{{}}/files/{_UUID}"),
    "`/**`": (Match, "gw", "/s{}/files/a/b/c"),
    "`/**`, deep": (Match, "gw", "/s{}/deep/a/b/c/d/e/f"),
    "exact host": (Match, "shop{}.example.com", "/x/y"),
    "wildcard host": (Match, "a.b.shop{}.example.com", "/x/y"),
    "two routes, by header": (Fork, "gw", "/s{}/orders"),
    "no such service": (NoRoute, "gw", "/t{}/orders"),
    "no such path": (NoRoute, "gw", "/s{}/orders/7/lines/x"),
    "no such method": (MethodNotAllowed, "gw", "/s{}/health"),
}


def questions(size: int, kind: str, count: int = QUESTIONS) -> list[Asked]:
    """Return *count* questions of *kind* that are spread over a table of *size* routes."""
    expected, host, path = QUESTION_KINDS[kind]
    method = b"DELETE" if expected is MethodNotAllowed else b"GET"
    services = list(range(size // 10))
    random.Random(1).shuffle(services)
    asked = [(method, host.format(one).encode(), path.format(one).encode()) for one in services[:count]]
    return list(islice(cycle(asked), count))


def seconds(table: RouteTable, asked: Sequence[Asked]) -> float:
    """Return the processor time of asking *table* everything once."""
    find = table.find
    began = time.thread_time()
    for method, host, path in asked:
        find(method, host, path)
    return time.thread_time() - began


def measured(sizes: Sequence[int] = SIZES, rounds: int = ROUNDS, count: int = QUESTIONS) -> dict[str, list[float]]:
    """Return microseconds per question by kind, one figure for each of *sizes*; the last row is loading, in ms."""
    loading, tables = [], []
    for size in sizes:
        written = routes(size)
        began = time.thread_time()
        tables.append(RouteTable(written))
        loading.append((time.thread_time() - began) * 1e3)
    asked = {kind: [questions(size, kind, count) for size in sizes] for kind in QUESTION_KINDS}
    best = {kind: [float("inf")] * len(sizes) for kind in QUESTION_KINDS}
    for kind, (expected, _, _) in QUESTION_KINDS.items():
        for made, each in zip(tables, asked[kind], strict=True):
            assert all(type(made.find(*one)) is expected for one in each[:50]), kind
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for kind, by_size in asked.items():
                for at, made in enumerate(tables):
                    best[kind][at] = min(best[kind][at], seconds(made, by_size[at]) / count * 1e6)
    finally:
        gc.enable()
    return {**best, "making the table, ms": loading}


def table(sizes: Sequence[int] = SIZES, rounds: int = ROUNDS, count: int = QUESTIONS) -> str:
    """Return the whole table."""
    found = measured(sizes, rounds, count)
    loading = found.pop("making the table, ms")
    lines = [
        f"| µs for one question | {' | '.join(f'{size:,} routes' for size in sizes)} | largest ÷ smallest |",
        f"|---|{'--:|' * (len(sizes) + 1)}",
    ]
    for kind, costs in found.items():
        lines.append(f"| {kind} | {' | '.join(f'{cost:.2f}' for cost in costs)} | {costs[-1] / costs[0]:.2f} |")
    lines.append(f"| making the table, ms | {' | '.join(f'{cost:.1f}' for cost in loading)} | |")
    worst = max(costs[-1] / costs[0] for costs in found.values())
    lines += [
        "",
        f"Ten thousand routes cost at most **{worst:.2f}** times what ten cost (target ≤ 2). Questions are spread over "
        "the whole table and none is remembered; a target that was asked for before costs a look into a dictionary, "
        "whatever the table. One thread's processor time, the best of many rounds.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
    sys.exit(0)
