"""Which route wins, and that no spelling of a request slips past its rule."""

import pytest

from gateway.errors import ConfigError
from gateway.routing.host import normal_host
from gateway.routing.table import Match, MethodNotAllowed, NoRoute, Route, RouteTable, Rule, ties
from gateway.routing.target import BadTarget, Target, read
from tests.routing.routes import route


def asked(table: RouteTable, target: bytes, host: bytes = b"gw", method: bytes = b"GET") -> str:
    """Ask *table* the way the gate does, and return the name of the route, or "none"."""
    reading = read(target)
    assert isinstance(reading, Target)
    name = normal_host(host)
    assert name is not None
    found = table.match(method, name, reading.path)
    assert table.match(method, name, reading.path) == found  # from memory, too
    return found.route.name if isinstance(found, Match) else "none"


TABLE = RouteTable(
    [
        route("/**"),
        route("/admin"),
        route("/orders/**"),
        route("/orders/{id}"),
        route("/orders/{id:int}"),
        route("/orders/export"),
        route("/orders/{id}/lines/{line:int}"),
        route("/orders/export/lines/new"),
        route("/v2/**"),
    ]
)


@pytest.mark.parametrize(
    ("target", "template"),
    [
        (b"/", "/**"),
        (b"/nowhere", "/**"),
        (b"/orders", "/orders/**"),
        (b"/orders/", "/orders/**"),
        (b"/orders/export", "/orders/export"),
        (b"/orders/export/", "/orders/export"),
        (b"/orders/7", "/orders/{id:int}"),
        (b"/orders/7x", "/orders/{id}"),
        (b"/orders/-7", "/orders/{id}"),
        (b"/orders/%D9%A1", "/orders/{id}"),  # a digit, but none of ASCII
        (b"/orders/7/lines/1", "/orders/{id}/lines/{line:int}"),
        (b"/orders/export/lines/1", "/orders/{id}/lines/{line:int}"),
        (b"/orders/export/lines/new", "/orders/export/lines/new"),
        (b"/orders/export/other", "/orders/**"),
        (b"/orders/7/8/9", "/orders/**"),
    ],
)
def test_the_most_specific_route_wins(target: bytes, template: str) -> None:
    assert asked(TABLE, target) == template


@pytest.mark.parametrize(
    ("segment", "template"),
    [
        ("0b8e3f5a-9c1d-4e2f-8a7b-6c5d4e3f2a1b", "/x/{id:uuid}"),
        ("0B8E3F5A-9C1D-7E2F-8A7B-6C5D4E3F2A1B", "/x/{id:uuid}"),  # of any version, in small letters or capitals
        ("00000000-0000-0000-0000-000000000000", "/x/{id:uuid}"),
        ("0b8e3f5a%2D9c1d-4e2f-8a7b-6c5d4e3f2a1b", "/x/{id:uuid}"),
        ("0b8e3f5a9c1d4e2f8a7b6c5d4e3f2a1b", "/x/{id}"),
        ("{0b8e3f5a-9c1d-4e2f-8a7b-6c5d4e3f2a1b}", "/x/{id}"),
        ("0b8e3f5a-9c1d-4e2f-8a7b-6c5d4e3f2a1", "/x/{id}"),
        ("0b8e3f5a-9c1d-4e2f-8a7b-6c5d4e3f2a1b0", "/x/{id}"),
        ("0b8e3f5a-9c1d-4e2f-8a7b-6c5d4e3f2a1g", "/x/{id}"),
        ("0b8e3f5a-9c1d-4e2f-8a7b-6c5d4e3f2a1b%0A", "none"),
        ("7", "/x/{id:int}"),
    ],
)
def test_a_parameter_takes_what_its_type_says(segment: str, template: str) -> None:
    made = RouteTable([route("/x/{id}"), route("/x/{id:int}"), route("/x/{id:uuid}")])
    reading = read(f"/x/{segment}".encode())
    if template == "none":
        assert isinstance(reading, BadTarget)
    else:
        assert asked(made, f"/x/{segment}".encode()) == template


def test_a_type_that_leads_nowhere_is_given_up_for_any_segment() -> None:
    made = RouteTable([route("/{id:uuid}/a"), route("/{id}/b"), route("/{id:int}/a")])
    assert asked(made, b"/0b8e3f5a-9c1d-4e2f-8a7b-6c5d4e3f2a1b/b") == "/{id}/b"
    assert asked(made, b"/7/b") == "/{id}/b"


def test_the_order_in_the_file_does_not_matter() -> None:
    backwards = RouteTable(TABLE.routes[::-1])
    assert [r.name for r in backwards.routes] == [r.name for r in TABLE.routes]
    assert asked(backwards, b"/orders/7") == asked(TABLE, b"/orders/7")


def test_routes_are_listed_as_they_are_preferred() -> None:
    table = RouteTable([route("/**"), route("/a", "*.b.example"), route("/a"), route("/", "x.example"), route("/a/**")])
    assert [r.name for r in table.routes] == ["x.example/", "*.b.example/a", "/a", "/a/**", "/**"]


@pytest.mark.item("B10")
@pytest.mark.parametrize("target", [b"/admin", b"/%61dmin", b"/adm%69n", b"/%61%64%6D%69%6e", b"/admin/", b"/admin?x"])
def test_every_spelling_of_a_path_meets_the_same_route(target: bytes) -> None:
    assert asked(TABLE, target) == "/admin"


@pytest.mark.item("B10")
@pytest.mark.parametrize("target", [b"/a!b", b"/a%21b", b"/a%21b/"])
def test_an_escaped_delimiter_meets_the_route_of_the_plain_one(target: bytes) -> None:
    assert asked(RouteTable([route("/a!b"), route("/**")]), target) == "/a!b"
    assert asked(RouteTable([route("/a%21b"), route("/**")]), target) == "/a%21b"


@pytest.mark.item("B3")
def test_an_encoded_slash_never_separates_segments() -> None:
    assert asked(TABLE, b"/orders%2Fexport") == "/**"
    assert asked(TABLE, b"/orders/a%2Fb") == "/orders/{id}"


@pytest.mark.item("B12")
def test_an_escaped_number_sign_or_question_mark_does_not_end_the_path() -> None:
    assert asked(TABLE, b"/admin%23/x") == "/**"
    assert asked(TABLE, b"/admin%3fx") == "/**"


@pytest.mark.item("B13")
def test_the_query_is_no_part_of_the_match() -> None:
    table = RouteTable([route("/public/**"), route("/**")])
    assert asked(table, b"/secret?/public/") == "/**"
    assert asked(table, b"/public/a?/../secret") == "/public/**"


@pytest.mark.item("B14")
def test_every_branch_of_the_table_tells_capitals_from_small_letters() -> None:
    table = RouteTable([route("/admin"), route("/admin/x"), route("/admin/**"), route("/{any}/x"), route("/**")])
    assert [asked(table, target) for target in (b"/Admin", b"/ADMIN/", b"/Admin/y", b"/admin/X")] == [
        *("/**", "/**", "/**"),
        "/admin/**",
    ]
    assert asked(table, b"/Admin/x") == "/{any}/x"


@pytest.mark.item("B15")
def test_a_path_with_and_without_its_trailing_slash_has_the_same_protection() -> None:
    for template in ("/admin", "/admin/", "/admin/**"):
        table = RouteTable([route(template), route("/**")])
        assert {asked(table, b"/admin"), asked(table, b"/admin/")} == {template}


@pytest.mark.item("B15")
def test_a_prefix_ends_at_a_segment() -> None:
    assert asked(TABLE, b"/v2") == "/v2/**"
    assert asked(TABLE, b"/v2example") == "/**"


@pytest.mark.item("B18")
def test_the_asterisk_meets_no_route() -> None:
    assert asked(RouteTable([route("/**"), route("/")]), b"*") == "none"


HOSTS = RouteTable(
    [
        route("/**", name="any"),
        route("/**", "*.example.com", name="below"),
        route("/**", "*.deep.example.com", name="below deep"),
        route("/**", "api.example.com", name="api"),
        route("/only", "files.example.com", name="files"),
        route("/**", "[::1]", name="six"),
    ]
)


@pytest.mark.item("B21")
@pytest.mark.parametrize(
    ("host", "name"),
    [
        (b"api.example.com", "api"),
        (b"API.Example.COM.", "api"),
        (b"api.example.com:443", "api"),
        (b"api.example.com:8080", "api"),
        (b"www.example.com", "below"),
        (b"a.b.example.com", "below"),
        (b"x.deep.example.com", "below deep"),
        (b"deep.example.com", "below"),
        (b"example.com", "any"),
        (b"notexample.com", "any"),
        (b"files.example.com", "below"),
        (b"[::1]:8080", "six"),
        (b"[::2]", "any"),
    ],
)
def test_the_most_specific_host_wins_in_every_spelling(host: bytes, name: str) -> None:
    assert asked(HOSTS, b"/x", host) == name


def test_of_many_wildcard_hosts_the_longest_that_fits_is_found() -> None:
    made = RouteTable([route("/**", f"*.{at}.example", name=str(at)) for at in range(2_000)])
    assert asked(made, b"/", b"a.b.1234.example") == "1234"
    assert asked(made, b"/", b"1234.example") == "none"
    assert asked(made, b"/", b".".join([b"a"] * 120) + b".7.example") == "7"


def test_a_host_that_lacks_the_path_leaves_it_to_the_next_host() -> None:
    assert asked(HOSTS, b"/only", b"files.example.com") == "files"
    assert asked(HOSTS, b"/other", b"files.example.com") == "below"


def test_a_request_without_a_host_meets_the_routes_without_one() -> None:
    assert isinstance(HOSTS.match(b"GET", b"", b"/x"), Match)
    assert HOSTS.match(b"GET", b".example.com", b"/x") == HOSTS.match(b"GET", b"", b"/x")


def test_nothing_matches_an_empty_table() -> None:
    assert RouteTable([]).match(b"GET", b"gw", b"/") == NoRoute()
    assert RouteTable([route("/a")]).match(b"GET", b"gw", b"/b") == NoRoute()
    assert RouteTable([route("/a/b")]).match(b"GET", b"gw", b"/a") == NoRoute()


def test_the_method_is_judged_last() -> None:
    table = RouteTable([route("/**"), route("/orders", methods="GET DELETE")])
    assert table.match(b"POST", b"gw", b"/orders") == MethodNotAllowed("GET, HEAD, DELETE")


@pytest.mark.item("B24")
@pytest.mark.parametrize("method", [b"get", b"Get", b"TRACE", b"CONNECT", b"", b"GET "])
def test_methods_are_compared_letter_by_letter(method: bytes) -> None:
    assert isinstance(TABLE.match(method, b"gw", b"/admin"), MethodNotAllowed)


def test_head_follows_get() -> None:
    get, head = Rule(), Rule()
    table = RouteTable([route("/a", methods="GET")])
    found, same = table.match(b"HEAD", b"gw", b"/a"), table.match(b"GET", b"gw", b"/a")
    assert isinstance(found, Match)
    assert isinstance(same, Match)
    assert found.rule is same.rule
    written = Route("a", 0, "gateway.yaml:1", None, "/a", "app", {b"GET": get, b"HEAD": head})
    own = RouteTable([written]).match(b"HEAD", b"gw", b"/a")
    assert isinstance(own, Match)
    assert own.rule is head


def test_head_does_not_follow_post() -> None:
    assert RouteTable([route("/a", methods="POST")]).match(b"HEAD", b"gw", b"/a") == MethodNotAllowed("POST")


def test_routes_of_one_path_with_different_methods_are_merged() -> None:
    table = RouteTable(
        [
            route("/a/{x}", methods="GET", name="read"),
            route("/a/{y}", methods="POST PURGE", name="write"),
            route("/a/{z}", methods="HEAD", name="head"),
        ]
    )
    for method, name, params in (
        (b"GET", "read", {"x": b"7"}),
        (b"POST", "write", {"y": b"7"}),
        (b"HEAD", "head", {"z": b"7"}),
    ):
        found = table.match(method, b"gw", b"/a/7")
        assert isinstance(found, Match)
        assert (found.route.name, found.params) == (name, params)
    assert table.match(b"PUT", b"gw", b"/a/7") == MethodNotAllowed("GET, HEAD, POST, PURGE")


def test_parameters_are_decoded_segments() -> None:
    found = RouteTable([route("/t/{tenant}/r/{id:int}/**")]).match(b"GET", b"gw", b"/t/a%20b%2Fc/r/7/x/y")
    assert isinstance(found, Match)
    assert found.params == {"tenant": b"a b/c", "id": b"7"}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (route("/a"), route("/a", index=1)),
        (route("/a"), route("/a/", index=1)),
        (route("/a/{x}"), route("/a/{y}", index=1)),
        (route("/a/**"), route("/a/**/", index=1)),
        (route("/%61"), route("/a", index=1)),
        (route("/a", "gw.example"), route("/a", "GW.example.", index=1)),
        (route("/a", methods="GET PUT"), route("/a", methods="POST GET", index=1)),
    ],
)
def test_two_equal_routes_refuse_to_load_and_both_places_are_named(first: Route, second: Route) -> None:
    with pytest.raises(ConfigError) as error:
        RouteTable([first, second])
    assert str(error.value).startswith("gateway.yaml:11: GET ")
    assert "at gateway.yaml:10;" in str(error.value)


def test_the_complaint_about_equal_routes_reads_well() -> None:
    first, second = route("/a/{x}"), route("/a/{y}", methods="GET", index=1)
    assert [tie.words() for tie in ties([first, second])] == [
        (
            "GET matches the same requests as /a/{x} at gateway.yaml:10",
            "change the path, the host or the methods of one of them",
        )
    ]
    every = "GET HEAD POST PUT PATCH DELETE OPTIONS"
    assert [tie.words()[0] for tie in ties([route("/a", methods=every), route("/a", methods=every)])] == [
        "this matches the same requests at gateway.yaml:10"
    ]


def test_different_hosts_or_types_are_not_equal() -> None:
    assert not list(ties([route("/a"), route("/a", "gw.example"), route("/a", "*.gw.example")]))
    assert not list(ties([route("/{x}"), route("/{x:int}"), route("/{x:uuid}"), route("/**"), route("/x")]))


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("a b", '"a b" is not a host name'),
        ("a.example:8080", "a route names a host without a port; ports belong to server.listen"),
        ("a.*.example", '"*." is the only wildcard and comes first: "*.example.com" is every name below example.com'),
        ("*", '"*." is the only wildcard and comes first: "*.example.com" is every name below example.com'),
        ("bücher.example", 'write the name as it is on the wire: "xn--bcher-kva.example"'),
        ("*.", '"*." is not a host name'),
    ],
)
def test_a_host_that_could_not_match_is_refused_with_its_place(host: str, reason: str) -> None:
    with pytest.raises(ConfigError) as error:
        route("/a", host)
    assert str(error.value) == f"gateway.yaml:10: {reason}"


def test_the_memory_of_the_table_is_bounded() -> None:
    table = RouteTable([route("/**")])
    for number in range(10_000):
        table.match(b"GET", b"host-%d" % number, b"/%d" % number)
        table.match(b"GET", b"gw", b"/" + b"a" * 5000 + b"%d" % number)
    assert len(table._memo) <= 4096
    assert all(len(path) <= 256 for _, _, path in table._memo)


def test_a_deep_path_costs_no_more_than_the_templates() -> None:
    names = [f"{{x{number}}}" for number in range(40)]
    table = RouteTable([route("/" + "/".join(["a"] * depth + names[:depth])) for depth in range(1, 40)])
    assert table.match(b"GET", b"gw", b"/a" * 4000) == NoRoute()
