"""The table of routes: most specific wins, whatever the order in the file, and two equal routes refuse to load.

Host first (exact, then ``*.example.com``, the longest first, then none), then the path segment by segment (literal,
``{id:int}`` and ``{id:uuid}``, ``{id}``, ``**``), then the method, then header fields (more of them, then more values).
A host or segment that leads nowhere is given up for the next best, so the outcome is always the best route of all that
fit. Method and header fields never fall back: the best path decides, a method it does not list is 405, and fields that
none of its routes asks for are 404. So nobody gets from a path to what lies above it by leaving a header out.

A template without ``**`` matches with and without a trailing slash, and ``/admin/**`` matches ``/admin`` too, so no
spelling of a path escapes its rule. Letters are compared as they are, unless the service of a route reads them in any
case: then its route is found in any case, and a path as it is written comes first.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from gateway.errors import ConfigError
from gateway.routing.cors import Sharing, of_all
from gateway.routing.headers import Field, Headers, fit, joint, rank, shown, undecided
from gateway.routing.host import without_port
from gateway.routing.rewriting import apply
from gateway.routing.route import DEFAULT_METHODS, Retry, Route, RouteOptions, Timeouts, WebSocketOptions, allow_of
from gateway.routing.rules import Access, Rule
from gateway.routing.template import Kind, Segment, folded, is_uuid, segments_of, shape

__all__ = [
    "RouteTable",
    "Match",
    "Fork",
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
    """No route has this host and path, or none of those that do has these header fields."""


class MethodNotAllowed(NamedTuple):
    """The path has routes, but none for this method."""

    allow: str
    sharing: Sharing | None = None
    """What all of these routes say to pages of other origins."""


NO_ROUTE = NoRoute()


class Fork(NamedTuple):
    """Several routes of one path and method, which header fields tell apart."""

    branches: tuple[Match, ...]
    """Those that ask for fields, the most specific first."""
    otherwise: Match | NoRoute

    def taken(self, field: Field) -> Match | NoRoute:
        """Return what a request with these *field*s meets."""
        for match in self.branches:
            if fit(match.route.headers, field):
                return match
        return self.otherwise


Found = Match | Fork | NoRoute | MethodNotAllowed

_NO_PARAMS: Mapping[str, bytes] = MappingProxyType({})

# Answers are remembered for paths up to this size, and so many of them, which bounds the memory to a few MiB.
_MEMO_PATH = 256
_MEMO_ENTRIES = 4096


class Tie(NamedTuple):
    """Two routes that match the same requests; neither is more specific."""

    first: Route
    second: Route
    methods: tuple[bytes, ...]
    both: Headers = ()
    """The header fields of a request that both fit; none when they ask for the same."""

    def words(self) -> tuple[str, str]:
        """Say what is wrong with `second`, and what to do, for the person who wrote both."""
        methods = " ".join(method.decode() for method in self.methods)
        if set(self.methods) >= set(DEFAULT_METHODS):
            methods = "this"
        as_first = "" if self.second.template == self.first.template else f" as {self.first.template}"
        if self.both:
            reason = f"{methods} fits requests with {shown(self.both)} no better than the route at {self.first.place}"
            return reason, "add a route that asks for all of these"
        reason = f"{methods} matches the same requests{as_first} at {self.first.place}"
        return reason, "change the path, the host or the methods of one of them"


def ties(routes: Iterable[Route]) -> Iterator[Tie]:
    """Yield the pairs of *routes* that only differ in the names of their parameters, or not at all."""
    by_path: dict[tuple[bool, object, object], list[Route]] = {}
    for route in routes:
        by_path.setdefault((False, route.host, shape(route.segments)), []).append(route)
        if route.options.any_case:
            by_path.setdefault((True, route.host, shape(folded(route.segments))), []).append(route)
    for (in_any_case, *_), same_path in by_path.items():
        for at, route in enumerate(same_path):
            for other in same_path[:at]:
                if in_any_case and shape(route.segments) == shape(other.segments):
                    continue  # said already
                if route.headers == other.headers:
                    if methods := tuple(method for method in route.rules if method in other.rules):
                        yield Tie(other, route, methods)
                elif joint(route.headers, other.headers) is not None:
                    yield from _undecided(other, route, same_path)


def _undecided(first: Route, second: Route, same_path: Sequence[Route]) -> Iterator[Tie]:
    """Yield the requests for which neither of two routes with different header fields is more specific."""
    methods = []
    both: Headers | None = None
    for method in {**second.rules, **first.rules}:
        if _serves(first, method) and _serves(second, method):
            others = (route.headers for route in same_path if _serves(route, method))
            if found := undecided(first.headers, second.headers, others):
                methods.append(method)
                both = found
    if both is not None:
        yield Tie(first, second, tuple(methods), both)


def _serves(route: Route, method: bytes) -> bool:
    return method in route.rules or (method == b"HEAD" and b"GET" in route.rules)


class _Leaf:
    """Where a template ends: the routes of one host and path, told apart by method, and rarely by header fields."""

    __slots__ = ("branches", "by_method", "kinds", "unserved")

    def __init__(self, segments: Sequence[Segment]) -> None:
        self.kinds = (*(int(segment.kind) for segment in segments), -1)
        """The smaller, the more specific; a template that ends beats a `**`."""
        self.by_method: dict[bytes, Match] = {}
        """Without values of parameters."""
        self.branches: dict[bytes, list[Match]] = {}
        """Those that ask for header fields, the most specific first."""
        self.unserved = MethodNotAllowed("")

    def add(self, route: Route, words: "_Words") -> None:
        for written, rule in route.rules.items():
            method = words[written]
            if route.headers:
                self.branches.setdefault(method, []).append(Match(route, rule, _NO_PARAMS))
            else:
                self.by_method[method] = Match(route, rule, _NO_PARAMS)

    def close(self) -> None:
        """Let HEAD follow GET unless it was written, once all routes are in."""
        if get := self.by_method.get(b"GET"):
            self.by_method.setdefault(b"HEAD", get)
        for hit in self.branches.get(b"GET", ()):
            heads = self.branches.setdefault(b"HEAD", [])
            if all(head.route.headers != hit.route.headers for head in heads):
                heads.append(hit)
        for hits in self.branches.values():
            hits.sort(key=lambda hit: rank(hit.route.headers))
        matches = [*self.by_method.values(), *(hit for hits in self.branches.values() for hit in hits)]
        routes = {id(match.route): match.route for match in matches}
        allow = allow_of((*self.by_method, *self.branches))
        self.unserved = MethodNotAllowed(allow, of_all([route.sharing for route in routes.values()]))


class _Words(dict[bytes, bytes]):
    """One object for each word of a table: what every look-up compares with then stays in the processor's cache."""

    def __missing__(self, word: bytes) -> bytes:
        self[word] = word
        return word


_NO_NODES: "dict[bytes, _Node]" = {}
"""Of every node that no plain segment follows; never written to."""


class _Node:
    """A segment of the trie of templates."""

    __slots__ = ("any", "int", "leaf", "literals", "rest", "uuid")

    def __init__(self) -> None:
        self.literals: dict[bytes, _Node] = _NO_NODES
        self.int: _Node | None = None
        self.uuid: _Node | None = None
        self.any: _Node | None = None
        self.leaf: _Leaf | None = None
        self.rest: _Leaf | None = None

    def grow(self, segments: Sequence[Segment], words: _Words) -> _Leaf:
        """Return the leaf of *segments* below this node, made where it is missing."""
        node = self
        for segment in segments:
            match segment.kind:
                case Kind.LITERAL:
                    if node.literals is _NO_NODES:
                        node.literals = {}
                    word = words[segment.literal]
                    node = node.literals.get(word) or node.literals.setdefault(word, _Node())
                case Kind.INT:
                    node.int = node = node.int or _Node()
                case Kind.UUID:
                    node.uuid = node = node.uuid or _Node()
                case Kind.ANY:
                    node.any = node = node.any or _Node()
                case Kind.REST:
                    node.rest = node.rest or _Leaf(segments)
                    return node.rest
        node.leaf = node.leaf or _Leaf(segments)
        return node.leaf


_Hit = tuple[_Leaf, tuple[bytes, ...]]


def _find(node: _Node, segments: Sequence[bytes], at: int) -> _Hit | None:
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
    if node.uuid and is_uuid(segment) and (found := _find(node.uuid, segments, at + 1)):
        return found[0], (segment, *found[1])
    if node.any and (found := _find(node.any, segments, at + 1)):
        return found[0], (segment, *found[1])
    return (node.rest, ()) if node.rest else None


def _in_any_case(root: _Node, segments: Sequence[bytes], as_written: _Hit | None) -> _Hit | None:
    """Return what *segments* meet below *root*, which has templates in small letters, where it is more specific."""
    found = _find(root, [segment.lower() for segment in segments], 0)
    if found is None or (as_written is not None and as_written[0].kinds <= found[0].kinds):
        return as_written
    leaf, _ = found
    return leaf, tuple(segment for kind, segment in zip(leaf.kinds, segments, strict=False) if kind in _VALUES)


_VALUES = (Kind.INT, Kind.UUID, Kind.ANY)


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
        self._below: dict[bytes, _Node] = {}
        """By what their names end in, the dot in front included."""
        self._any_case: dict[_Node, _Node] = {}
        """By where routes of a host begin: the same for those that are found in any case, in small letters."""
        leaves: dict[int, _Leaf] = {}
        words = _Words()
        for route in routes:
            if route.host is None:
                root = self._anywhere[0]
            elif route.host.startswith("*."):
                root = self._below.setdefault(route.host[1:].encode(), _Node())
            else:
                root = self._exact.setdefault(route.host.encode(), _Node())
            grown = [root.grow(route.segments, words)]
            if route.options.any_case:
                below = self._any_case.setdefault(root, _Node())
                grown.append(below.grow(folded(route.segments), words))
            for leaf in grown:
                leaf.add(route, words)
                leaves[id(leaf)] = leaf
        for leaf in leaves.values():
            leaf.close()
        self._any_host = not self._exact and not self._below
        self._memo: dict[tuple[bytes, bytes, bytes], Match | Fork] = {}

    def match(self, method: bytes, host: bytes, path: bytes) -> Found:
        """Return what *method* on the canonical *path* meets at *host*, a result of `normal_host`.

        A `Fork` where that depends on header fields.
        """
        if self._any_host:
            host = b""  # a client may send any name; none of them shall take room
        key = method, host, path
        remembered = self._memo.get(key)
        if remembered is not None:
            return remembered
        found = self.find(method, host, path)
        # Only what matches is remembered, so that probing for holes cannot push the real traffic out.
        if (type(found) is Match or type(found) is Fork) and len(path) <= _MEMO_PATH and len(host) <= _MEMO_PATH:
            if len(self._memo) >= _MEMO_ENTRIES:
                self._memo.clear()
            self._memo[key] = found
        return found

    def find(self, method: bytes, host: bytes, path: bytes) -> Found:
        """As `match`, without its memory."""
        if path[:1] != b"/":
            return NO_ROUTE  # "*" is for the server itself
        segments = segments_of(path)
        for root in self._roots(host):
            found = _find(root, segments, 0)
            if self._any_case and (below := self._any_case.get(root)):
                found = _in_any_case(below, segments, found)
            if found:
                leaf, values = found
                hit = leaf.by_method.get(method)
                if leaf.branches and (branches := leaf.branches.get(method)):
                    otherwise = NO_ROUTE if hit is None else _matched(hit, values)
                    return Fork(tuple(_matched(one, values) for one in branches), otherwise)
                return leaf.unserved if hit is None else _matched(hit, values)
        return NO_ROUTE

    def _roots(self, host: bytes) -> Sequence[_Node]:
        """Return where to look for *host*, the most specific first."""
        if self._any_host:
            return self._anywhere
        name = without_port(host)
        roots = [] if (exact := self._exact.get(name)) is None else [exact]
        if self._below:
            dot = name.find(b".", 1)
            while dot > 0:
                if root := self._below.get(name[dot:]):
                    roots.append(root)
                dot = name.find(b".", dot + 1)
        return [*roots, *self._anywhere]


def _matched(hit: Match, values: tuple[bytes, ...]) -> Match:
    return Match(hit.route, hit.rule, dict(zip(hit.route.params, values, strict=True))) if values else hit


def rewritten(match: Match, path: bytes) -> bytes:
    """Return the path the upstream sees for the canonical *path* that gave *match*."""
    return apply(match.route.rewriting, path)


def _rank(route: Route) -> tuple[object, ...]:
    """Order routes as the table prefers them: host, segments, header fields; a template that ends beats a `**`."""
    host = route.host
    host_rank = (2, 0, "") if host is None else (1, -len(host), host) if host.startswith("*.") else (0, 0, host)
    path_rank = (*((int(segment.kind), segment.literal) for segment in route.segments), (-1, b""))
    return host_rank, path_rank, rank(route.headers), route.index
