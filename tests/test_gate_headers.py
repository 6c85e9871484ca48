"""Routes that header fields tell apart, as the gate meets them: what one request was told never becomes another's."""

import random

import pytest

from gateway.errors import Refusal
from gateway.gate import Permit
from gateway.routing.headers import wanted
from gateway.routing.route import RouteOptions
from gateway.routing.rules import Rule
from gateway.routing.table import Route
from tests.proxy.harness import PUBLIC
from tests.test_gate import Door, bearer, head

USER = Rule(roles=frozenset({"user"}))
ADMIN = Rule(roles=frozenset({"admin"}))


def variant(
    name: str, template: str, rule: Rule = USER, options: RouteOptions | None = None, **fields: str | None
) -> Route:
    headers = wanted({key.replace("_", "-"): value for key, value in fields.items()})
    rules = dict.fromkeys((b"GET", b"POST"), rule)
    return Route(name, 20, "gateway.yaml:30", None, template, "app", rules, "", options or RouteOptions(), headers)


@pytest.fixture
def door() -> Door:
    return Door(
        more=[
            variant("old", "/v/**"),
            variant("new", "/v/**", ADMIN, X_Version="2"),
            variant("open", "/v/**", PUBLIC, RouteOptions(strip_prefix="/v"), X_Open=None, X_Version="3"),
            variant("only", "/o/{id}", X_Inside="1"),
            variant("slash", "/s/**", USER, RouteOptions(allow_encoded_slash=True), X_Slash=None),
            variant("no slash", "/s/**", USER),
        ]
    )


def told(door: Door, target: str, *lines: str) -> str:
    verdict = door.admit(target, *lines)
    if isinstance(verdict, Refusal):
        return f"{verdict.route} {verdict.code.name}".strip()
    assert isinstance(verdict, Permit)
    return f"{verdict.route.name} {verdict.path.decode()}"


TOLD: tuple[tuple[str, list[str], str], ...] = (
    ("/v/x", [bearer("good")], "old /v/x"),
    ("/v/x", [bearer("good"), "X-Version: 2"], "new role_missing"),
    ("/v/x", [bearer("good"), "X-Version: 2", "X-Version: 2"], "old /v/x"),
    ("/v/x", [bearer("good"), "Connection: X-Version", "X-Version: 2"], "old /v/x"),  # no service would see it
    ("/v/x", [bearer("good"), "X_Version: 2"], "old /v/x"),
    ("/v/x", ["X-Version: 3", "x-open: "], "open /x"),
    ("/v/x?q=1", ["X-Version: 3", "X-Open: no"], "open /x?q=1"),
    ("/v/x", [], "old token_missing"),
    ("/o/7", [bearer("good"), "X-Inside: 1"], "only /o/7"),
    ("/o/7", [bearer("good"), "X-Inside: 2"], "no_route"),
    ("/o/7", [], "no_route"),
    ("/s/a%2Fb", [bearer("good"), "X-Slash: 1"], "slash /s/a%2Fb"),
    ("/s/a%2Fb", [bearer("good")], "no slash path_ambiguous"),
)


def test_each_request_is_told_by_its_own_headers_in_whatever_order_they_come(door: Door) -> None:
    """The way of a target is remembered, and what decides on it is not."""
    draw = random.Random(1)
    for target, lines, expected in draw.choices(TOLD, k=400):
        assert told(door, target, *lines) == expected, (target, lines)
    assert told(door, "/v/x", "X-Version: 2") == "new token_missing"
    assert told(door, "/public/x", "X-Version: 2") == told(door, "/public/x") == "public /public/x"


def test_a_long_target_that_is_not_remembered_is_told_the_same(door: Door) -> None:
    long = "/v/" + "x" * 300
    assert told(door, long, bearer("good")) == f"old {long}"
    assert told(door, long, bearer("good"), "X-Version: 2") == "new role_missing"


def test_a_method_that_no_variant_has_is_405_whatever_the_headers(door: Door) -> None:
    verdict = door.admit("/o/7", method="PUT")
    assert isinstance(verdict, Refusal)
    assert (verdict.code.name, verdict.allow) == ("method_not_allowed", "GET, HEAD, POST")


VARY = b"Vary: x-open, x-version\r\n"


@pytest.mark.parametrize("lines", [[bearer("good")], ["X-Version: 3", "X-Open: no"]])
def test_each_permit_of_such_a_path_varies_by_the_names_that_decide(door: Door, lines: list[str]) -> None:
    verdict = door.admit("/v/x", *lines)
    assert isinstance(verdict, Permit)
    assert verdict.lines == VARY


@pytest.mark.parametrize(
    ("target", "lines", "said"),
    [
        ("/v/x", [], VARY),
        ("/v/x", ["X-Version: 2"], VARY),
        ("/o/7", [bearer("good")], b"Vary: x-inside\r\n"),
        ("/s/a%2Fb", [bearer("good")], b"Vary: x-slash\r\n"),
        ("/public/x", [], b""),
        ("/api/x", [], b""),
    ],
    ids=["no token", "another route", "no route", "a path that is refused", "public", "none decide"],
)
def test_refusals_vary_as_well_and_no_other_path_does(door: Door, target: str, lines: list[str], said: bytes) -> None:
    assert door.gate.lines(head(target, *lines)) == said


def test_a_permit_of_any_other_path_carries_nothing(door: Door) -> None:
    assert door.permit("/public/x", "X-Version: 2").lines == b""
