"""What a route says to pages of other origins (WHATWG Fetch, section 3.2)."""

import pytest

from gateway.routing.cors import ANY, Cors, Sharing, preflight, shared

APP, OTHER = "https://app.test", "https://other.test"
NAMED = Cors(frozenset((APP, OTHER)), methods="GET, HEAD", exposed="X-A", headers="X-B", max_age=5)


def lines(text: str) -> bytes:
    return "".join(f"{line.strip()}\r\n" for line in text.strip().splitlines()).encode()


def test_an_allowed_origin_is_named_and_every_cache_told_that_it_is() -> None:
    assert Sharing(NAMED).lines(APP.encode()) == lines("""
        Access-Control-Allow-Origin: https://app.test
        Access-Control-Allow-Credentials: true
        Access-Control-Expose-Headers: X-A
        Vary: Origin
    """)


def test_a_preflight_may_ask_with_its_method_and_no_other() -> None:
    assert Sharing(NAMED).preflight(OTHER.encode(), b"PUT", (b"x-c",)) == lines("""
        Access-Control-Allow-Origin: https://other.test
        Access-Control-Allow-Credentials: true
        Access-Control-Allow-Methods: PUT
        Access-Control-Allow-Headers: X-B, x-c
        Access-Control-Max-Age: 5
        Vary: Origin
    """)


@pytest.mark.item(145)
@pytest.mark.parametrize(
    "origin",
    [
        b"null",
        b"https://evil.test",
        b"https://app.test.evil.test",
        b"https://app.test:444",
        b"http://app.test",
        b"https://APP.test",
        b"https://app.test, https://evil.test",
        b"https://app.test/",
        b"https://sub.app.test",
        b"*",
        b"\xff",
        b"",
        None,
    ],
)
def test_nobody_else_is_ever_named(origin: bytes | None) -> None:
    sharing = Sharing(NAMED)
    assert sharing.lines(origin) == b"Vary: Origin\r\n"
    assert not sharing.allows(origin or b"")
    assert sharing.preflight(origin or b"", b"PUT") == b"Vary: Origin\r\n"
    assert origin not in sharing.trusted


def test_without_credentials_no_cookie_counts() -> None:
    sharing = Sharing(NAMED._replace(credentials=False))
    assert b"Credentials" not in sharing.lines(APP.encode()) + sharing.preflight(APP.encode(), b"PUT")
    assert sharing.trusted == frozenset()
    assert Sharing(NAMED).trusted == {APP.encode(), OTHER.encode()}


def test_a_route_for_all_origins_says_the_same_to_everybody_and_never_with_credentials() -> None:
    sharing = Sharing(Cors(frozenset((ANY,)), exposed="X-A", credentials=True))
    said = lines("Access-Control-Allow-Origin: *\nAccess-Control-Expose-Headers: X-A")
    assert {sharing.lines(origin) for origin in (None, b"null", b"*", APP.encode())} == {said}
    assert sharing.allows(b"https://anybody.test")
    answer = sharing.preflight(b"https://anybody.test", b"PUT")
    assert answer.startswith(b"Access-Control-Allow-Origin: *\r\n")
    assert b"Vary" not in answer + said
    assert b"Credentials" not in answer
    assert sharing.trusted == frozenset()


def test_the_fields_of_the_gateways_own_endpoints_are_the_same_ones() -> None:
    cors = Cors(frozenset((APP,)))
    assert dict(shared(cors, APP))["Access-Control-Allow-Origin"] == APP
    assert dict(preflight(cors, APP))["Access-Control-Allow-Methods"] == "GET, POST, DELETE"
    assert (shared(cors, "null"), preflight(cors, None)) == ((), ())
