"""The table of routes: most specific wins, whatever the order in the file, and two equal routes refuse to load.

Host first (exact, then ``*.example.com``, the longest first, then none), then the path segment by segment (literal,
``{id:int}``, ``{id}``, ``**``), then the method. A host or segment that leads nowhere is given up for the next best, so
the outcome is always the best route of all that fit. Only the method never falls back: the best path decides, and a
method it does not list is 405.

A template without ``**`` matches with and without a trailing slash, and ``/admin/**`` matches ``/admin`` too, so no
spelling of a path escapes its rule. Letters are compared as they are, in every branch.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from gateway.errors import ConfigError
from gateway.routing.host import without_port
from gateway.routing.rewriting import apply
from gateway.routing.route import DEFAULT_METHODS, Retry, Route, RouteOptions, Timeouts, WebSocketOptions, allow_of
from gateway.routing.rules import Access, Rule
from gateway.routing.template import Kind, Segment, segments_of, shape

__all__ = [
    "RouteTable",
    "Match",
    "NoRoute",
    "MethodNotAllowed",
    "Found",
    "rewritten",
    "Tie",
    "ties",
    # What a table is made of, so that its users need one import.
    "Access",
    "Retry",
    "Route",
    "RouteOptions",
    "Rule",
    "Timeouts",
    "WebSocketOptions",
]


class Match(NamedTuple):
    """The route and rule a request meets, with the decoded segments its parameters stand for."""

    route: Route
    rule: Rule
    params: Mapping[str, bytes]


class NoRoute(NamedTuple):
    """No route has this host and path."""


class MethodNotAllowed(NamedTuple):
    """The path has routes, but none for this method."""

    allow: str


Found = Match | NoRoute | MethodNotAllowed

NO_ROUTE = NoRoute()
_NO_PARAMS: Mapping[str, bytes] = MappingProxyType({})

# Answers are remembered for paths up to this size, and so many of them, which bounds the memory to a few MiB.
_MEMO_PATH = 256
_MEMO_ENTRIES = 4096


class Tie(NamedTuple):
    """Two routes that match the same requests; neither is more specific."""

    first: Route
    second: Route
    methods: tuple[bytes, ...]

    def words(self) -> tuple[str, str]:
        """Say what is wrong with `second`, and what to do, for the person who wrote both."""
        methods = " ".join(method.decode() for method in self.methods)
        if set(self.methods) >= set(DEFAULT_METHODS):
            methods = "this"
        as_first = "" if self.second.template == self.first.template else f" as {self.first.template}"
        reason = f"{methods} matches the same requests{as_first} at {self.first.place}"
        return reason, "change the path, the host or the methods of one of them"


def ties(routes: Iterable[Route]) -> Iterator[Tie]:
    """Yield the pairs of *routes* that only differ in the names of their parameters, or not at all."""
    seen: dict[object, list[Route]] = {}
    for route in routes:
        same_paths = seen.setdefault((route.host, shape(route.segments)), [])
        for other in same_paths:
            if both := tuple(method for method in route.rules if method in other.rules):
                yield Tie(other, route, both)
        same_paths.append(route)


class _Leaf:
    """Where a template ends: the routes of one host and path, told apart by method."""

    __slots__ = ("allow", "by_method")

    def __init__(self) -> None:
        self.by_method: dict[bytes, tuple[Route, Rule]] = {}
        self.allow = ""

    def add(self, route: Route) -> None:
        self.by_method |= {method: (route, rule) for method, rule in route.rules.items()}
        self.allow = allow_of(self.by_method)

    def close(self) -> None:
        """Let HEAD follow GET unless it was written, once all routes are in."""
        if get := self.by_method.get(b"GET"):
            self.by_method.setdefault(b"HEAD", get)


class _Node:
    """A segment of the trie of templates."""

    __slots__ = ("any", "int", "leaf", "literals", "rest")

    def __init__(self) -> None:
        self.literals: dict[bytes, _Node] = {}
        self.int: _Node | None = None
        self.any: _Node | None = None
        self.leaf: _Leaf | None = None
        self.rest: _Leaf | None = None

    def grow(self, segments: Iterable[Segment]) -> _Leaf:
        """Return the leaf of *segments* below this node, made where it is missing."""
        node = self
        for segment in segments:
            match segment.kind:
                case Kind.LITERAL:
                    node = node.literals.setdefault(segment.literal, _Node())
                case Kind.INT:
                    node.int = node = node.int or _Node()
                case Kind.ANY:
                    node.any = node = node.any or _Node()
                case Kind.REST:
                    node.rest = node.rest or _Leaf()
                    return node.rest
        node.leaf = node.leaf or _Leaf()
        return node.leaf


def _find(node: _Node, segments: Sequence[bytes], at: int) -> tuple[_Leaf, tuple[bytes, ...]] | None:
    """Return the best leaf for the segments from *at* on, with the values of its parameters.

    Bounded by the templates, not by the path: each node is seen once at most.
    """
    if at == len(segments):
        leaf = node.leaf or node.rest
        return (leaf, ()) if leaf else None
    segment = segments[at]
    if (literal := node.literals.get(segment)) and (found := _find(literal, segments, at + 1)):
        return found
    if node.int and segment.isdigit() and (found := _find(node.int, segments, at + 1)):
        return found[0], (segment, *found[1])
    if node.any and (found := _find(node.any, segments, at + 1)):
        return found[0], (segment, *found[1])
    return (node.rest, ()) if node.rest else None


class RouteTable:
    """All routes, ready to be asked.

    Raises:
        ConfigError: two routes would match the same requests; both places are named.
    """

    def __init__(self, routes: Sequence[Route]) -> None:
        if equal := list(ties(routes)):
            raise ConfigError("\n".join(f"{tie.second.place}: {'; '.join(tie.words())}" for tie in equal))
        self.routes = tuple(sorted(routes, key=_rank))
        """Most specific first."""
        self._anywhere: tuple[_Node, ...] = (_Node(),)
        self._exact: dict[bytes, _Node] = {}
        below: dict[bytes, _Node] = {}
        leaves = []
        for route in routes:
            if route.host is None:
                root = self._anywhere[0]
            elif route.host.startswith("*."):
                root = below.setdefault(route.host[1:].encode(), _Node())
            else:
                root = self._exact.setdefault(route.host.encode(), _Node())
            leaf = root.grow(route.segments)
            leaf.add(route)
            leaves.append(leaf)
        for leaf in leaves:
            leaf.close()
        self._below = tuple(sorted(below.items(), key=lambda item: -len(item[0])))
        self._any_host = not self._exact and not self._below
        self._memo: dict[tuple[bytes, bytes, bytes], Match] = {}

    def match(self, method: bytes, host: bytes, path: bytes) -> Found:
        """Return what *method* on the canonical *path* meets at *host*, a result of `normal_host`."""
        if self._any_host:
            host = b""  # a client may send any name; none of them shall take room
        key = method, host, path
        remembered = self._memo.get(key)
        if remembered is not None:
            return remembered
        found = self._match(method, host, path)
        # Only what matches is remembered, so that probing for holes cannot push the real traffic out.
        if type(found) is Match and len(path) <= _MEMO_PATH and len(host) <= _MEMO_PATH:
            if len(self._memo) >= _MEMO_ENTRIES:
                self._memo.clear()
            self._memo[key] = found
        return found

    def _match(self, method: bytes, host: bytes, path: bytes) -> Found:
        if path[:1] != b"/":
            return NO_ROUTE  # "*" is for the server itself
        segments = segments_of(path)
        for root in self._roots(host):
            if found := _find(root, segments, 0):
                leaf, values = found
                if hit := leaf.by_method.get(method):
                    route, rule = hit
                    return Match(route, rule, dict(zip(route.params, values, strict=True)) if values else _NO_PARAMS)
                return MethodNotAllowed(leaf.allow)
        return NO_ROUTE

    def _roots(self, host: bytes) -> Sequence[_Node]:
        """Return where to look for *host*, the most specific first."""
        if self._any_host:
            return self._anywhere
        name = without_port(host)
        exact = self._exact.get(name)
        below = [root for suffix, root in self._below if name.endswith(suffix) and len(name) > len(suffix)]
        return (*(() if exact is None else (exact,)), *below, *self._anywhere)


def rewritten(match: Match, path: bytes) -> bytes:
    """Return the path the upstream sees for the canonical *path* that gave *match*."""
    return apply(match.route.rewriting, path)


def _rank(route: Route) -> tuple[object, ...]:
    """Order routes as the table prefers them: host, then segments; a template that ends beats a `**` that goes on."""
    host = route.host
    host_rank = (2, 0, "") if host is None else (1, -len(host), host) if host.startswith("*.") else (0, 0, host)
    path_rank = (*((int(segment.kind), segment.literal) for segment in route.segments), (-1, b""))
    return host_rank, path_rank, route.index
