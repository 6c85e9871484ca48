"""Who is sent to the login page, and where from there: never to another site (checklist 148)."""

import pytest

from gateway.errors import Refusal
from gateway.gate import Answered, Permit
from gateway.navigation import login_query, safe_return
from gateway.routing.conditions import FreshLogin, SecondFactor
from gateway.routing.table import RouteOptions, Rule
from tests.proxy.harness import identity, route, verified
from tests.test_gate import Door, bearer, cookie

NAVIGATION = ("Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document")
LOGIN = b"/auth/login?return_to=/api/x"


@pytest.mark.item(148)
@pytest.mark.parametrize("text", ["/", "/a/b?c=d&e=/f", "/users/@me", "/a%20b", "/%C3%A9", "/a?u=https://x.example/"])
def test_a_path_of_this_site_is_a_way_back(text: str) -> None:
    assert safe_return(text) == text


@pytest.mark.item(148)
@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\evil.example",
        "\\\\evil.example",
        "https:evil.example",
        "https://evil.example",
        "https://gw.example@evil.example",
        "@evil.example",
        "javascript:alert(1)",
        "data:text/html,x",
        "/%2fevil.example",
        "/%2Fevil.example",
        "/%5cevil.example",
        "/a%0d%0aSet-Cookie: x=y",
        "/a%0d%0aSet-Cookie:%20x=y",
        "/a\r\nX: y",
        "/\t/evil.example",
        "/%09/evil.example",
        "/a\0",
        "/a%00",
        " /a",
        "/ a",
        "/é",
        "/\u2028",
        "/" + "a" * 2048,
        "//[",
    ],
)
def test_anything_a_browser_could_take_for_elsewhere_is_none(text: str) -> None:
    assert safe_return(text) is None


def test_the_way_back_is_one_parameter_whatever_is_in_it() -> None:
    assert login_query(b"/a?b=c&d=e#f") == b"?return_to=/a%3Fb%3Dc%26d%3De%23f"
    assert login_query(b"/a%20b") == b"?return_to=/a%2520b"
    assert login_query(b"http://gw.test/a") == b""
    assert login_query(b"//evil.example/") == b""


# --- at the gate ---


@pytest.fixture
def door() -> Door:
    return Door(login_page=b"/auth/login")


@pytest.mark.parametrize(
    "lines",
    [
        NAVIGATION,
        ("Sec-Fetch-Mode: navigate",),
        ("Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8",),
        (*NAVIGATION, cookie("expired")),
        (*NAVIGATION, cookie("revoked")),
        (*NAVIGATION, cookie("nonsense")),
    ],
    ids=str,
)
def test_a_page_that_needs_a_login_leads_to_the_login_page(door: Door, lines: tuple[str, ...]) -> None:
    verdict = door.admit("/api/x", *lines)
    assert isinstance(verdict, Answered)
    assert (verdict.status, verdict.location) == (303, LOGIN)
    assert verdict.refusal is not None
    assert verdict.refusal.route == "api"


@pytest.mark.parametrize(
    ("method", "lines"),
    [
        ("GET", ()),
        ("GET", ("Accept: application/json",)),
        ("GET", ("Accept: */*",)),
        ("POST", NAVIGATION),
        ("GET", ("Sec-Fetch-Mode: cors", "Accept: text/html")),
        ("GET", ("Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image")),
        ("GET", ("Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe")),
        ("GET", ("Accept: text/html", "X-Requested-With: XMLHttpRequest")),
        ("GET", (*NAVIGATION, bearer("expired"))),
        ("GET", (*NAVIGATION, "Authorization: Basic eDp5")),
    ],
    ids=str,
)
def test_everything_else_gets_the_refusal(door: Door, method: str, lines: tuple[str, ...]) -> None:
    verdict = door.admit("/api/x", *lines, method=method)
    assert isinstance(verdict, Refusal)
    assert verdict.status == 401


def test_a_person_who_may_not_is_not_sent_to_log_in_again(door: Door) -> None:
    verdict = door.admit("/admin/x", *NAVIGATION, cookie("good"))
    assert isinstance(verdict, Refusal)
    assert verdict.code.name == "role_missing"


def test_without_a_login_page_there_is_only_the_refusal() -> None:
    assert isinstance(Door().admit("/api/x", *NAVIGATION), Refusal)


# --- a login that is not enough ---

YOUNG = Rule(further=(FreshLogin(300),))
STRONG = Rule(further=(SecondFactor(),))


@pytest.fixture
def vault() -> Door:
    """Routes that ask for more than a login, and alice, who logged in long ago by her password."""
    return Door(
        login_page=b"/auth/login",
        more=[
            route(20, "/young/**", YOUNG),
            route(21, "/strong/**", STRONG),
            route(22, "/silent-young/**", YOUNG, RouteOptions(silent_refresh=True)),
        ],
    )


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/young/a?b=c", b"/auth/login?return_to=/young/a%3Fb%3Dc&prompt=login"),
        ("/silent-young/a", b"/auth/login?return_to=/silent-young/a&prompt=login"),
        ("/strong/a", b"/auth/login?return_to=/strong/a&acr_values=mfa"),
        ("/strong/a?" + "b" * 2048, b"/auth/login?acr_values=mfa"),
    ],
)
def test_a_page_that_needs_more_than_a_login_leads_to_the_login_page_with_what_it_needs(
    vault: Door, target: str, location: bytes
) -> None:
    verdict = vault.admit(target, *NAVIGATION, cookie("good"))
    assert isinstance(verdict, Answered)
    assert (verdict.status, verdict.location) == (303, location)
    assert verdict.refusal is not None
    assert verdict.refusal.subject == "alice"


@pytest.mark.parametrize(
    "lines", [(cookie("good"),), (*NAVIGATION, bearer("good")), ("Accept: application/json", cookie("good"))], ids=str
)
def test_scripts_and_programs_get_the_challenge(vault: Door, lines: tuple[str, ...]) -> None:
    assert vault.code("/young/x", *lines) == "login_too_old"
    assert vault.code("/strong/x", *lines) == "mfa_required"


def test_behind_the_login_that_was_asked_for_the_page_opens(vault: Door) -> None:
    who = identity("alice", "user")
    vault.tokens.known[b"new"] = verified(who._replace(auth_time=int(1e9) - 299, claims={"amr": ["pwd", "otp", "mfa"]}))
    for target in ("/young/x", "/strong/x"):
        assert isinstance(vault.admit(target, *NAVIGATION, cookie("new")), Permit)


def test_a_role_that_is_missing_leads_nowhere(vault: Door) -> None:
    assert vault.code("/admin/x", *NAVIGATION, cookie("good")) == "role_missing"
