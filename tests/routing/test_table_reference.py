"""The trie against a matcher that tries every route, one after the other, and keeps the best.

The matcher shares nothing with the table but the reading of templates and of segments. Tables are drawn from few words,
so that routes overlap; paths and header fields are drawn from the routes of their table, and then spoilt.
"""

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import pytest

from gateway.routing.headers import Headers, wanted
from gateway.routing.table import Fork, Match, MethodNotAllowed, NoRoute, Route, RouteTable, ties
from gateway.routing.template import Kind, segments_of
from tests.routing.routes import route

UUIDS = ("0b8e3f5a-9c1d-4e2f-8a7b-6c5d4e3f2a1b", "0B8E3F5A-9C1D-4E2F-8A7B-6C5D4E3F2A1B")
NO_UUIDS = (UUIDS[0][:-1], UUIDS[0].replace("-", ""), UUIDS[0][:-1] + "g", f"{UUIDS[0]}0")
WORDS = ("a", "b", "7", UUIDS[0], "{x}", "{x:int}", "{x:uuid}")
SEGMENTS = ("a", "b", "A", "7", "08", "z", "%21", "a%2Fb", "%D9%A1", *UUIDS, *NO_UUIDS)
PATTERNS = (*[None] * 6, "a.h", "a.h", "*.h", "*.h", "*.a.h", "*.x.a.h")
HOSTS = ("a.h", "b.h", "c.h", "x.a.h", "y.x.a.h", "h", ".h", "o", "a.h:8080", "")
METHODS = ("GET", "GET POST", "GET POST PUT", "POST", "HEAD", "PUT HEAD", "GET HEAD")
ASKED = ("GET", "HEAD", "POST", "PUT")
FIELDS: tuple[Mapping[str, str | None], ...] = (
    *({}, {}, {}, {}, {"X-A": None}, {"x-a": "1"}, {"X-A": "2"}, {"X-B": None}, {"X-B": "1"}),
    *({"X-A": "1", "X-B": None}, {"X-A": None, "X-B": "1"}, {"X-A": "1", "X-B": "1"}),
)
VALUES = ("1", "2", "1, 1", "")


class Question(NamedTuple):
    """What is asked of a table."""

    method: bytes
    host: bytes
    path: bytes
    fields: Mapping[bytes, bytes]


def drawn_route(draw: random.Random, index: int) -> Route:
    parts = [draw.choice(WORDS).replace("x", f"x{at}") for at in range(draw.choice((0, 1, 1, 1, 2, 2, 2, 3)))]
    template = "/" + "/".join([*parts, *(["**"] if draw.random() < 0.3 else [])])
    return route(
        template, draw.choice(PATTERNS), draw.choice(METHODS), index=index, headers=wanted(draw.choice(FIELDS))
    )


def drawn_table(draw: random.Random, most: int) -> list[Route]:
    """Return up to *most* routes, of which no two are equal."""
    routes: list[Route] = []
    for index in range(draw.randint(0, most)):
        made = drawn_route(draw, index)
        if routes and draw.random() < 0.3:  # a sibling, so that fields and methods have something to tell apart
            made = replace(made, host=(other := draw.choice(routes)).host, template=other.template)
        routes.append(made)
    while dropped := {id(tie.second) for tie in ties(routes)}:
        routes = [one for one in routes if id(one) not in dropped]
    return routes


def drawn_question(draw: random.Random, routes: list[Route]) -> Question:
    """Return a question which one of *routes* may answer."""
    near = draw.choice(routes) if routes and draw.random() < 0.8 else None
    parts = [draw.choice(SEGMENTS) for _ in range(draw.choice((0, 1, 2, 2, 3, 4, 5)))]
    host = draw.choice(HOSTS)
    fields: dict[bytes, bytes] = {}
    if near is not None:
        parts = [_segment(draw, one) for one in near.template.split("/")[1:] if one]
        parts += [draw.choice(SEGMENTS)] if draw.random() < 0.1 else []
        if near.host is not None and draw.random() < 0.8:
            host = near.host.replace("*", draw.choice(("y", "y.x", "x")))
        fields = {name: value or draw.choice(VALUES).encode() for name, value in near.headers}
    if draw.random() < 0.3:
        fields[draw.choice((b"x-a", b"x-b", b"x-c"))] = draw.choice(VALUES).encode()
    method = draw.choice(ASKED) if near is None or draw.random() < 0.3 else draw.choice([*near.rules]).decode()
    path = "/" + "/".join(parts) + ("/" if parts and draw.random() < 0.2 else "")
    return Question(method.encode(), host.encode(), path.encode(), fields)


def _segment(draw: random.Random, word: str) -> str:
    if draw.random() < 0.1 or not word:
        return draw.choice(SEGMENTS)
    if word == "**":
        return "/".join(draw.choice(SEGMENTS) for _ in range(draw.choice((1, 2))))
    if word.endswith(":int}"):
        return draw.choice(("7", "08"))
    if word.endswith(":uuid}"):
        return draw.choice(UUIDS)
    return draw.choice(SEGMENTS) if word.startswith("{") else word


# --- the reference ---


def fits_host(pattern: str | None, host: str) -> bool:
    if pattern is None:
        return True
    suffix = pattern[1:]
    return host.endswith(suffix) and host != suffix if pattern.startswith("*.") else host == pattern


def fits_path(candidate: Route, path: bytes) -> bool:
    rest = segments_of(path)
    for segment in candidate.segments:
        if segment.kind is Kind.REST:
            return True
        if not rest:
            return False
        head = rest.pop(0)
        if segment.kind is Kind.LITERAL and head != segment.literal:
            return False
        if segment.kind is Kind.INT and not (head.isascii() and head.isdigit()):
            return False
        if segment.kind is Kind.UUID and not is_uuid(head):
            return False
    return not rest


def is_uuid(segment: bytes) -> bool:
    groups = segment.split(b"-")
    letters = b"".join(groups)
    return [len(group) for group in groups] == [8, 4, 4, 4, 12] and all(
        one in b"0123456789abcdefABCDEF" for one in letters
    )


def fits_fields(headers: Headers, fields: Mapping[bytes, bytes]) -> bool:
    return all(name in fields and value in (None, fields[name]) for name, value in headers)


def rank(candidate: Route) -> tuple[object, ...]:
    host = candidate.host
    host_rank = (2, 0) if host is None else (1, -len(host)) if host.startswith("*.") else (0, 0)
    return host_rank, [int(segment.kind) for segment in candidate.segments] + [-1]


def serving(routes: list[Route], method: bytes) -> list[tuple[Route, bytes]]:
    """Return those of one path that serve *method*, and by which rule: HEAD follows GET where it is not written."""
    own = [(one, method) for one in routes if method in one.rules]
    if method == b"HEAD":
        written = [one.headers for one, _ in own]
        own += [(one, b"GET") for one in routes if b"GET" in one.rules and one.headers not in written]
    return own


def reference(routes: list[Route], asked: Question) -> tuple[Route, bytes] | NoRoute | MethodNotAllowed:
    """Return the route and the method whose rule holds, or why there is none."""
    name = asked.host.decode().partition(":")[0]
    fitting = [one for one in routes if fits_host(one.host, name) and fits_path(one, asked.path)]
    if not fitting:
        return NoRoute()
    best = min(map(rank, fitting))
    merged = [one for one in fitting if rank(one) == best]
    offered = serving(merged, asked.method)
    if not offered:
        return MethodNotAllowed(", ".join(sorted({method.decode() for one in merged for method in one.rules})))
    chosen = [(one, method) for one, method in offered if fits_fields(one.headers, asked.fields)]
    if not chosen:
        return NoRoute()
    weights = [(len(one.headers), sum(value is not None for _, value in one.headers)) for one, _ in chosen]
    winners = [one for one, weight in zip(chosen, weights, strict=True) if weight == max(weights)]
    assert len(winners) == 1, f"a tie that nobody has refused: {winners}"
    return winners[0]


def disagreement(table: RouteTable, routes: list[Route], asked: Question) -> str | None:
    """Return how the table's answer differs from the reference's; None when they are the same."""
    expected = reference(routes, asked)
    for _ in range(2):  # from memory, too
        found = table.match(asked.method, asked.host, asked.path)
        if isinstance(found, Fork):
            found = found.taken(asked.fields.get)
        match found, expected:
            case Match(), (Route() as one, bytes() as method):
                if found.route is not one or found.rule is not one.rules[method]:
                    return f"{found} instead of {expected}"
                if list(found.params) != list(one.params):
                    return f"{found.params} instead of values for {one.params}"
            case NoRoute(), NoRoute():
                pass
            case MethodNotAllowed(), MethodNotAllowed():
                if not set(expected.allow.split(", ")) <= set(found.allow.split(", ")):
                    return f"{found} instead of {expected}"
            case _:
                return f"{found} instead of {expected}"
    return None


def smallest(routes: list[Route], asked: Question) -> list[Route]:
    """Return as few of *routes* as it takes for table and reference to disagree."""
    for one in routes:
        fewer = [other for other in routes if other is not one]
        if disagreement(RouteTable(fewer), fewer, asked) is not None:
            return smallest(fewer, asked)
    return routes


def check(seed: int, most: int) -> None:
    """Ask a drawn table of up to *most* routes five questions."""
    draw = random.Random(seed)
    routes = drawn_table(draw, most)
    table = RouteTable(routes)
    for _ in range(5):
        asked = drawn_question(draw, routes)
        if disagreement(table, routes, asked) is not None:
            few = smallest(routes, asked)
            how = disagreement(RouteTable(few), few, asked)
            pytest.fail(f"seed {seed}: {[(one.matches, one.allow) for one in few]} asked {asked}: {how}")


def test_the_table_finds_what_trying_every_route_would_find() -> None:
    for seed in range(2_000):
        check(seed, 16)
    for seed in range(20):
        check(seed, 60)


@pytest.mark.long
@pytest.mark.parametrize("part", range(10))
def test_the_table_finds_what_trying_every_route_would_find_for_long(part: int) -> None:
    """100,000 tables of up to 16 routes, and 1,000 of up to 60, with five questions each, in ten parts."""
    first = 1_000_000 * (part + 1)
    for seed in range(first, first + 10_000):
        check(seed, 16)
    for seed in range(first, first + 100):
        check(seed, 60)


def test_what_is_drawn_is_worth_asking() -> None:
    """Most questions find a route, many have to choose among several, and every kind of answer is among them."""
    found: Counter[str] = Counter()
    for seed in range(1_000):
        draw = random.Random(seed)
        routes = drawn_table(draw, 16)
        for _ in range(5):
            asked = drawn_question(draw, routes)
            answer = reference(routes, asked)
            found[type(answer).__name__] += 1
            if not isinstance(answer, NoRoute | MethodNotAllowed):
                name = asked.host.decode().partition(":")[0]
                fitting = [one for one in routes if fits_host(one.host, name) and fits_path(one, asked.path)]
                found["among several"] += len(fitting) > 1
                found["by fields"] += bool(answer[0].headers)
    assert found["tuple"] > 1_000, found
    assert found["among several"] > 300, found
    assert found["by fields"] > 150, found
    assert min(found["NoRoute"], found["MethodNotAllowed"]) > 150, found
