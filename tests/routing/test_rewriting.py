"""From the path that was matched to the path the upstream sees."""

import pytest

from gateway.errors import ConfigError
from gateway.routing.table import Match, RouteOptions, RouteTable, rewritten
from gateway.routing.target import Target, read
from tests.routing.routes import route


def sent(template: str, target: bytes, *, strip_prefix: str | None = None, rewrite: str | None = None) -> bytes:
    only = route(template, options=RouteOptions(strip_prefix=strip_prefix, rewrite=rewrite))
    reading = read(target)
    assert isinstance(reading, Target)
    match = RouteTable([only]).match(b"GET", b"gw", reading.path)
    assert isinstance(match, Match)
    path = rewritten(match, reading.path)
    assert read(path) == Target(path, encoded_slash=b"%2F" in path)  # canonical in, canonical out
    return path


@pytest.mark.parametrize("target", [b"/", b"/a/b", b"/a/", b"/a%2Fb", b"/%C3%A9"])
def test_a_route_that_says_nothing_leaves_the_path_alone(target: bytes) -> None:
    assert sent("/**", target) == target


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/api/orders", b"/orders"),
        (b"/api/orders/", b"/orders/"),
        (b"/api", b"/"),
        (b"/api/", b"/"),
        (b"/api/api/x", b"/api/x"),
        (b"/api/a%2Fb/%C3%A9", b"/a%2Fb/%C3%A9"),
    ],
)
def test_a_prefix_is_stripped_by_whole_segments(target: bytes, path: bytes) -> None:
    assert sent("/api/**", target, strip_prefix="/api") == path


@pytest.mark.item("B17")
def test_what_is_stripped_is_what_was_matched_in_every_spelling() -> None:
    assert sent("/a!b/**", b"/a%21b/c", strip_prefix="/a!b") == b"/c"
    assert sent("/api/**", b"/%61pi/c", strip_prefix="/%61pi/") == b"/c"


@pytest.mark.parametrize(
    ("template", "rewrite", "target", "path"),
    [
        ("/api/orders/**", "/orders/**", b"/api/orders/7/lines/", b"/orders/7/lines/"),
        ("/api/orders/**", "/orders/**", b"/api/orders", b"/orders"),
        ("/api/**", "/**", b"/api", b"/"),
        ("/api/**", "/**", b"/api/a%2Fb", b"/a%2Fb"),
        ("/u/{id:int}", "/users/{id}/profile", b"/u/7", b"/users/7/profile"),
        ("/{a}/{b}/**", "/{b}/{a}/**", b"/x%2Fy/2/z", b"/2/x%2Fy/z"),
        ("/old", "/new", b"/old", b"/new"),
        ("/old", "/new", b"/old/", b"/new/"),
        ("/old", "/new/", b"/old", b"/new/"),
        ("/old", "/café/a b", b"/old", b"/caf%C3%A9/a%20b"),
        ("/old", "/", b"/old/", b"/"),
    ],
)
def test_a_rewrite_moves_parameters_and_the_rest(template: str, rewrite: str, target: bytes, path: bytes) -> None:
    assert sent(template, target, rewrite=rewrite) == path


@pytest.mark.parametrize(
    ("template", "strip_prefix", "rewrite", "reason"),
    [
        ("/a", "/a", "/b", "strip_prefix and rewrite exclude each other; rewrite alone can do both"),
        ("/api/**", "/ap", None, "strip_prefix must be how the path of the route begins, up to a slash"),
        ("/api/**", "/api/x", None, "strip_prefix must be how the path of the route begins, up to a slash"),
        ("/{t}/x", "/{t}", None, "strip_prefix is plain text; use rewrite to drop what a wildcard stood for"),
        ("/api/**", None, "/x", 'path and rewrite both end in "/**", or neither does'),
        ("/api", None, "/x/**", 'path and rewrite both end in "/**", or neither does'),
        ("/api", None, "/{x}", "the path of the route has no {x}"),
        ("/api", None, "x", 'a path starts with "/"; write "/x"'),
    ],
)
def test_what_does_not_fit_the_template_is_refused_with_its_place(
    template: str, strip_prefix: str | None, rewrite: str | None, reason: str
) -> None:
    with pytest.raises(ConfigError) as error:
        route(template, options=RouteOptions(strip_prefix=strip_prefix, rewrite=rewrite))
    assert str(error.value) == f"gateway.yaml:10: {reason}"
