"""Who is sent to the login page, and where from there: never to another site (checklist 148)."""

import pytest

from gateway.errors import Refusal
from gateway.gate import Answered
from gateway.navigation import return_query, safe_return
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
    assert return_query(b"/a?b=c&d=e#f") == b"?return_to=/a%3Fb%3Dc%26d%3De%23f"
    assert return_query(b"/a%20b") == b"?return_to=/a%2520b"
    assert return_query(b"http://gw.test/a") == b""
    assert return_query(b"//evil.example/") == b""


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
