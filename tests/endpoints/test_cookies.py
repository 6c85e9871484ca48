"""The lines by which cookies are set and expired."""

import pytest
from aiohttp import web

from gateway.endpoints.cookies import (
    CookieSettings,
    Jar,
    clearing,
    clearing_lines,
    csrf_line,
    set_device,
    set_login,
    setting,
)

JAR = Jar("access", 600, "refresh", 3600, "csrf")
SETTINGS = CookieSettings()


@pytest.fixture
def lines() -> list[str]:
    """All that can be set or expired."""
    answer = web.Response()
    set_login(answer, "login", 60)
    set_device(answer, "device")
    expiring = clearing_lines(SETTINGS).decode().replace("Set-Cookie: ", "").split("\r\n")[:-1]
    return [*setting(JAR, SETTINGS), csrf_line("csrf"), *answer.headers.getall("Set-Cookie"), *expiring]


@pytest.mark.item(136)
@pytest.mark.item(155)
def test_ours_are_never_for_a_domain_and_by_their_names_no_browser_has_one_that_is(lines: list[str]) -> None:
    """Of `__Host-` names browsers take none with a Domain (rfc6265bis 5.7), so no older one can stand beside ours."""
    assert len(lines) == 11
    for line in lines:
        name, *attributes = line.split("; ")
        assert name.startswith("__Host-"), line
        assert {"Path=/", "Secure"} <= set(attributes), line
        assert not [one for one in attributes if one.lower().startswith("domain")], line


@pytest.mark.item(62)
def test_whoever_sent_one_twice_loses_all_of_them(lines: list[str]) -> None:
    """A browser that is refused everywhere because it has one of ours twice must not keep any: each may be that one."""
    expired = [line for line in lines if line.endswith("; Max-Age=0")]
    assert {line.partition("=")[0] for line in expired} == {line.partition("=")[0] for line in lines}
    assert tuple(expired[:3]) == clearing(SETTINGS)
