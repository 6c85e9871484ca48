"""Header fields among what a route matches: what fits, what is more specific, and what nobody could decide."""

from collections.abc import Mapping

import pytest

from gateway.errors import ConfigError
from gateway.head import Fields
from gateway.routing.headers import Headers, fit, implied, joint, rank, shown, undecided, wanted
from gateway.routing.table import Fork, Match, MethodNotAllowed, NoRoute, Route, RouteTable
from tests.routing.routes import route


def of(**written: str | None) -> Headers:
    return wanted({name.replace("_", "-"): value for name, value in written.items()})


def fields(*lines: str) -> Fields:
    made = Fields()
    made.passed = "".join(f"{line}\r\n" for line in lines).encode()
    return made


@pytest.mark.parametrize(
    ("lines", "fits"),
    [
        (["X-Version: 2"], True),
        (["x-VERSION:2"], True),
        (["X-Version:  2\t"], True),
        (["X-Version: 2", "X-Version: 2"], False),  # a list of two, which is no single value
        (["X-Version: 3", "X-Version: 2"], False),
        (["X-Version: 2, 2"], False),
        (["X-Version: 22"], False),
        (["X-Version: "], False),
        (["X-Version2: 2"], False),
        ([], False),
    ],
)
def test_a_value_is_the_whole_value_of_the_only_field(lines: list[str], fits: bool) -> None:
    assert fit(of(X_Version="2"), fields(*lines).field) is fits


@pytest.mark.parametrize(("lines", "fits"), [(["A:"], True), (["A: x", "a: y"], True), (["B: x"], False)])
def test_a_field_that_is_there_is_there_whatever_it_says(lines: list[str], fits: bool) -> None:
    assert fit(of(A=None), fields(*lines).field) is fits


def test_letters_of_a_value_are_compared_as_they_are() -> None:
    assert not fit(of(A="Beta"), fields("A: beta").field)


def test_all_that_are_named_must_be_there() -> None:
    assert fit(of(A="1", B=None), fields("B: x", "A: 1").field)
    assert not fit(of(A="1", B=None), fields("A: 1").field)
    assert fit((), fields().field)


def test_more_fields_come_before_more_values() -> None:
    ordered = [
        of(A=None, B=None, C=None),
        of(A="1", B="1"),
        of(A="1", B=None),
        of(A=None, B=None),
        of(A="1"),
        of(A=None),
        (),
    ]
    backwards = ordered[::-1]
    assert sorted(backwards, key=rank) == ordered


def test_what_two_have_in_common() -> None:
    assert joint(of(A="1"), of(A="2")) is None
    assert joint(of(A="1", B=None), of(A=None, C="3")) == of(A="1", B=None, C="3")
    assert implied(of(A=None), of(A="1"))
    assert not implied(of(A="1"), of(A=None))
    assert implied((), ())


@pytest.mark.parametrize(
    ("one", "other", "thirds", "open_"),
    [
        (of(A="1"), of(B="1"), [], of(A="1", B="1")),
        (of(A=None), of(B=None), [], of(A=None, B=None)),
        (of(A="1"), of(B="1"), [of(A="1", B="1")], None),
        (of(A="1"), of(B="1"), [of(A=None, B=None)], None),
        (of(A="1"), of(B="1"), [of(A="2", B="1")], of(A="1", B="1")),
        (of(A="1"), of(A="2"), [], None),
        (of(A="1"), of(A=None), [], None),
        (of(A="1"), of(B=None), [], None),
        (of(A="1"), (), [], None),
    ],
)
def test_two_are_undecided_unless_one_is_more_specific_or_a_third_decides(
    one: Headers, other: Headers, thirds: list[Headers], open_: Headers | None
) -> None:
    assert undecided(one, other, [one, other, *thirds]) == open_
    assert undecided(other, one, [*thirds, one, other]) == open_


def asked(table: RouteTable, *lines: str, method: str = "GET", path: str = "/a") -> str:
    """Return the name of the route; or the kind of answer."""
    found = table.match(method.encode(), b"gw", path.encode())
    assert table.match(method.encode(), b"gw", path.encode()) == found  # from memory, too
    if isinstance(found, Fork):
        found = found.taken(fields(*lines).field)
    return found.route.name if isinstance(found, Match) else type(found).__name__


def table(*routes: Route) -> RouteTable:
    return RouteTable(routes)


VERSIONS = table(
    route("/a/**", name="old"),
    route("/a/**", name="new", headers=of(X_Version="2")),
    route("/a/**", name="any", headers=of(X_Version=None)),
    route("/a/**", name="canary", methods="GET", headers=of(X_Version="2", X_Canary=None)),
)


@pytest.mark.parametrize(
    ("lines", "name"),
    [
        ([], "old"),
        (["X-Canary: 1"], "old"),
        (["X-Version: 1"], "any"),
        (["X-Version: 2"], "new"),
        (["X-Version: 2", "X-Version: 2"], "any"),
        (["X-Canary: 1", "X-Version: 2"], "canary"),
    ],
)
def test_the_route_with_the_most_specific_headers_wins(lines: list[str], name: str) -> None:
    assert asked(VERSIONS, *lines, path="/a/x") == name


def test_routes_are_listed_with_the_most_specific_headers_first() -> None:
    for made in (VERSIONS, RouteTable(VERSIONS.routes[::-1])):
        assert [one.name for one in made.routes] == ["canary", "new", "any", "old"]
    assert VERSIONS.routes[0].matches == "/a/** (x-canary, x-version: 2)"
    assert shown(()) == ""


def test_the_method_is_judged_before_the_headers() -> None:
    made = table(route("/a", name="read", methods="GET", headers=of(X="1")), route("/a", name="write", methods="POST"))
    assert asked(made, "X: 1") == "read"
    assert asked(made) == "NoRoute"
    assert asked(made, "X: 1", method="POST") == "write"
    assert made.match(b"PUT", b"gw", b"/a") == MethodNotAllowed("GET, HEAD, POST")


def test_head_follows_get_for_the_same_headers() -> None:
    made = table(
        route("/a", name="get", methods="GET"),
        route("/a", name="get 1", methods="GET", headers=of(X="1")),
        route("/a", name="head", methods="HEAD", headers=of(Y=None)),
    )
    assert asked(made, method="HEAD") == "get"
    assert asked(made, "X: 1", method="HEAD") == "get 1"
    assert asked(made, "Y: 1", method="HEAD") == "head"


def test_headers_never_fall_back_to_a_path_or_a_host_above() -> None:
    """Whoever leaves a header out must not get to the rule of a prefix that lies above."""
    made = table(route("/**", name="site"), route("/admin/**", name="admin", headers=of(X_Inside="1")))
    assert asked(made, "X-Inside: 1", path="/admin/x") == "admin"
    assert asked(made, path="/admin/x") == "NoRoute"
    hosts = table(route("/**", name="any"), route("/**", "gw", name="own", headers=of(X_Inside="1")))
    assert hosts.match(b"GET", b"other", b"/") == Match(hosts.routes[1], hosts.routes[1].rules[b"GET"], {})
    assert asked(hosts, path="/") == "NoRoute"


def test_each_branch_has_its_own_parameters() -> None:
    made = table(route("/{x}", name="plain"), route("/{y:uuid}/**"), route("/{z}", name="one", headers=of(A="1")))
    found = made.match(b"GET", b"gw", b"/q")
    assert isinstance(found, Fork)
    assert isinstance(found.otherwise, Match)
    assert (found.branches[0].params, found.otherwise.params) == ({"z": b"q"}, {"x": b"q"})


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ((of(A="1"), of(a="1")), "GET POST matches the same requests at gateway.yaml:10; "),
        (
            (of(A="1"), of(B="1")),
            "GET POST fits requests with a: 1, b: 1 no better than the route at gateway.yaml:10; add a route that asks "
            "for all of these",
        ),
    ],
)
def test_routes_that_nobody_could_choose_between_refuse_to_load(headers: tuple[Headers, Headers], reason: str) -> None:
    first, second = headers
    with pytest.raises(ConfigError) as error:
        RouteTable([route("/a", headers=first), route("/a", index=1, headers=second)])
    assert reason in str(error.value)


def test_a_third_route_decides_where_two_would_not() -> None:
    made = table(
        route("/a", name="1", headers=of(A="1")),
        route("/a", name="2", headers=of(B="1")),
        route("/a", name="both", headers=of(A="1", B="1")),
    )
    assert [asked(made, *lines) for lines in (["A: 1"], ["B: 1"], ["A: 1", "B: 1"], [])] == [
        "1",
        "2",
        "both",
        "NoRoute",
    ]
    only_get = [*made.routes[1:], route("/a", name="both", methods="GET", index=3, headers=of(A="1", B="1"))]
    with pytest.raises(ConfigError, match="POST fits requests with a: 1, b: 1 no better"):
        RouteTable(only_get)


def test_no_route_is_told_from_no_headers_at_all() -> None:
    made = RouteTable([route("/a", headers=of(A="1"))])
    assert made.match(b"GET", b"gw", b"/b") == NoRoute()
    found = made.match(b"GET", b"gw", b"/a")
    assert isinstance(found, Fork)
    assert found.otherwise == NoRoute()


def test_mappings_are_read_in_one_order() -> None:
    written: Mapping[str, str | None] = {"X-B": None, "X-A": "1"}
    assert wanted(written) == wanted(dict(reversed(list(written.items()))))
