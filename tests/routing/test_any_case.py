"""Services that do not tell capitals from small letters: no spelling of a path escapes its rule."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ConfigError
from gateway.routing.table import Match, MethodNotAllowed, NoRoute, RouteOptions, RouteTable, rewritten
from tests.routing.routes import route

ANY_CASE = RouteOptions(any_case=True)


def found(table: RouteTable, path: str, method: bytes = b"GET") -> str:
    match table.match(method, b"localhost", path.encode()):
        case Match(route=one):
            return one.name
        case NoRoute():
            return "none"
        case MethodNotAllowed(allow=allow):
            return allow
        case other:
            raise AssertionError(other)


SITE = RouteTable(
    [
        route("/**", name="site", options=ANY_CASE),
        route("/admin/**", name="admin", index=1, options=ANY_CASE),
        route("/users/{id:int}", name="user", index=2, options=ANY_CASE),
        route("/users/{name}/Photo", name="photo", index=3, options=ANY_CASE),
    ]
)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/admin", "admin"),
        ("/ADMIN", "admin"),
        ("/Admin/Keys", "admin"),
        ("/aDmIn/", "admin"),
        ("/USERS/7", "user"),
        ("/Users/Ana/photo", "photo"),
        ("/Users/Ana/PHOTOS", "site"),
        ("/%C3%84dmin", "site"),
    ],
)
def test_no_spelling_in_other_letters_escapes_a_rule(path: str, name: str) -> None:
    assert found(SITE, path) == name


def test_parameters_and_the_path_stay_as_they_were_written() -> None:
    table = RouteTable(
        [route("/Api/{name}/**", options=RouteOptions(any_case=True, strip_prefix="/Api"), methods="GET")]
    )
    match = table.match(b"GET", b"localhost", b"/API/Ana/X")
    assert isinstance(match, Match)
    assert match.params == {"name": b"Ana"}
    assert rewritten(match, b"/API/Ana/X") == b"/Ana/X"


def test_what_another_service_has_in_these_very_letters_comes_first() -> None:
    table = RouteTable(
        [
            route("/Files/**", name="exact"),
            route("/files/{id}", name="more specific", index=1, options=ANY_CASE, methods="GET"),
            route("/files/**", name="any case", index=2, options=ANY_CASE),
        ]
    )
    assert found(table, "/Files/a/b") == "exact"
    assert found(table, "/FILES/a/b") == "any case"
    assert found(table, "/Files/a") == "more specific"
    assert found(table, "/FILES/a", b"POST") == "GET, HEAD"


def test_methods_of_one_path_may_be_of_services_of_both_kinds() -> None:
    table = RouteTable(
        [route("/x", name="reads", methods="GET"), route("/x", name="writes", methods="POST", options=ANY_CASE)]
    )
    assert (found(table, "/x"), found(table, "/x", b"POST")) == ("reads", "writes")
    assert (found(table, "/X"), found(table, "/X", b"POST")) == ("POST", "writes")


@pytest.mark.parametrize(("first", "second"), [("/Admin/{id}", "/admin/{name}"), ("/a", "/A"), ("/a", "/a")])
def test_two_that_only_capitals_tell_apart_refuse_to_load(first: str, second: str) -> None:
    with pytest.raises(ConfigError, match="matches the same requests") as refused:
        RouteTable([route(first, options=ANY_CASE), route(second, index=1, options=ANY_CASE)])
    assert str(refused.value).count("matches the same requests") == 1
    assert RouteTable([route("/a"), route("/A", index=1, options=ANY_CASE)])


WORDS = st.sampled_from(["a", "B", "ab", "{x}", "{x:int}", "**"])


@given(
    st.lists(st.lists(WORDS, min_size=1, max_size=3), min_size=1, max_size=6),
    st.lists(st.sampled_from(["a", "A", "b", "B", "aB", "7"]), min_size=1, max_size=3),
)
def test_where_all_are_found_in_any_case_letters_decide_nothing(paths: list[list[str]], asked: list[str]) -> None:
    templates = {
        "/" + "/".join(word.replace("x", f"x{at}") for at, word in enumerate(words))
        for words in paths
        if "**" not in words[:-1]
    }
    small = {template.lower(): template for template in templates}
    routes = [
        route(template, name=lower, index=index, options=ANY_CASE)
        for index, (lower, template) in enumerate(sorted(small.items()))
    ]
    plain = [route(lower, name=lower, index=index) for index, lower in enumerate(sorted(small))]
    path = "/" + "/".join(asked)
    assert found(RouteTable(routes), path) == found(RouteTable(plain), path.lower())
