"""The trie against a matcher that tries every route, one after the other, and keeps the best."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.routing.table import Found, Match, MethodNotAllowed, NoRoute, Route, RouteTable, ties
from gateway.routing.template import Kind, segments_of
from tests.routing.routes import route

WORDS = ["a", "b", "7", "{x}", "{y:int}"]
templates = st.builds(
    lambda words, rest: "/" + "/".join([*[w.replace("}", f"{at}}}") if ":" not in w else w for at, w in words], *rest]),
    st.lists(st.sampled_from(WORDS), max_size=4).map(lambda words: list(enumerate(words))),
    st.sampled_from([[], [], ["**"]]),
).filter(lambda template: template.count("{y:int}") < 2)
hosts = st.sampled_from([None, None, "a.h", "b.h", "*.h", "*.a.h"])
methods = st.sampled_from(["GET", "GET POST", "POST", "HEAD", "PUT HEAD"])
routes = st.lists(st.builds(route, templates, hosts, methods), max_size=8)
questions = st.tuples(
    st.sampled_from([b"GET", b"HEAD", b"POST", b"PUT"]),
    st.sampled_from([b"a.h", b"b.h", b"c.h", b"x.a.h", b"h", b"o", b"a.h:8080"]),
    st.lists(st.sampled_from([b"a", b"b", b"7", b"8", b"z", b"%21", b"a%2Fb"]), max_size=5).map(
        lambda parts: b"/" + b"/".join(parts)
    ),
    st.sampled_from([b"", b"/"]),
)


def fits_host(pattern: str | None, host: str) -> bool:
    if pattern is None:
        return True
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern


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
    return not rest


def rank(candidate: Route) -> tuple[object, ...]:
    host = candidate.host
    host_rank = (2, 0) if host is None else (1, -len(host)) if host.startswith("*.") else (0, 0)
    return host_rank, [int(segment.kind) for segment in candidate.segments] + [-1]


def reference(table: list[Route], method: bytes, host: bytes, path: bytes) -> Found:
    name = host.decode().partition(":")[0]
    fitting = [r for r in table if fits_host(r.host, name) and fits_path(r, path)]
    if not fitting:
        return NoRoute()
    best = min(map(rank, fitting))
    merged = [r for r in fitting if rank(r) == best]
    for wanted in [method, b"GET"] if method == b"HEAD" else [method]:
        for candidate in merged:
            if wanted in candidate.rules:
                return Match(candidate, candidate.rules[wanted], {})
    return MethodNotAllowed(", ".join(sorted({m.decode() for r in merged for m in r.rules})))


def disagree(table: list[Route], question: tuple[bytes, bytes, bytes, bytes]) -> str | None:
    method, host, path, slash = question
    path = path + slash if path != b"/" else path
    trie = RouteTable(table)
    expected = reference(table, method, host, path)
    for found in (trie.match(method, host, path), trie.match(method, host, path)):
        match found, expected:
            case Match(), Match() if found.route is expected.route and found.rule is expected.rule:
                assert list(found.params) == list(found.route.params)
            case NoRoute(), NoRoute():
                pass
            case MethodNotAllowed(), MethodNotAllowed():
                assert set(expected.allow.split(", ")) <= set(found.allow.split(", "))
            case _:
                return f"{found} instead of {expected}"
    return None


def check(table: list[Route], asked: list[tuple[bytes, bytes, bytes, bytes]]) -> None:
    dropped = {id(tie.second) for tie in ties(table)}
    table = [r for r in table if id(r) not in dropped]
    for question in asked:
        assert disagree(table, question) is None


@settings(max_examples=2_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(routes, st.lists(questions, min_size=1, max_size=3))
def test_the_table_finds_what_trying_every_route_would_find(
    table: list[Route], asked: list[tuple[bytes, bytes, bytes, bytes]]
) -> None:
    check(table, asked)


@pytest.mark.long
@settings(max_examples=100_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(routes, st.lists(questions, min_size=1, max_size=3))
def test_the_table_finds_what_trying_every_route_would_find_for_long(
    table: list[Route], asked: list[tuple[bytes, bytes, bytes, bytes]]
) -> None:
    check(table, asked)
