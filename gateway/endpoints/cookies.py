"""The gateway's cookies: how they are set, cleared and read.

`__Host-` makes the browser insist on Secure, Path=/ and no Domain, so no sibling host can plant one, and none
of a whole domain can stand beside ours; `Http` adds that script did not make it. The CSRF cookie alone is readable by
script, which is its purpose, and proves nothing by itself.

Sources: draft-ietf-httpbis-rfc6265bis (prefixes, SameSite, 4096 bytes), draft-ietf-oauth-browser-based-apps 6.1.3.2.
"""

from dataclasses import dataclass
from typing import NamedTuple

from aiohttp import web

from gateway.errors import Refused, refuse
from gateway.tokens.carriers import (
    ACCESS_COOKIE,
    CSRF_COOKIE,
    DEVICE_COOKIE,
    LOGIN_COOKIE,
    REFRESH_COOKIE,
    Unreadable,
    cookies,
)
from gateway.tokens.device import DEVICE_TTL

MAX_COOKIE = 4096
"""Bytes of name, value and attributes; browsers drop a longer cookie without a word (rfc6265bis section 5.6)."""


@dataclass(frozen=True, slots=True)
class CookieSettings:
    """What the operator may choose."""

    same_site: str = "Lax"
    """Of the access cookie: Lax or Strict."""
    refresh_same_site: str = "Strict"
    """Of the refresh cookie: Strict, or as above where routes refresh silently, since a link from elsewhere may lead
    to such a route. The CSRF cookie is always Strict."""
    allowed: bool = True
    """Whether cookies count at all; else none is read and none is given."""


class Carried(NamedTuple):
    """The gateway's cookies of one request; None where there is none."""

    access: str | None = None
    refresh: str | None = None
    csrf: str | None = None
    login: str | None = None
    """Of a login that waits for its second factor."""
    device: str | None = None
    """The mark of a browser that somebody logged in with before."""
    repeated: bool = False
    """One of them came twice, so nobody can say which is meant: none counts."""

    @property
    def any(self) -> bool:
        """The browser holds something of ours that could be cleared."""
        return self.repeated or bool(self.access or self.refresh or self.csrf)


def read(request: web.Request, settings: CookieSettings) -> Carried:
    """Return the cookies of *request*; never "first wins" when one comes twice."""
    if not settings.allowed:
        return Carried()
    values = request.headers.getall("Cookie", [])
    jar = cookies("; ".join(values).encode("utf-8", "surrogateescape"))
    if isinstance(jar, Unreadable):
        return Carried(repeated=True)
    ours = jar.ours
    return Carried(
        access=ours.get(ACCESS_COOKIE) or None,
        refresh=ours.get(REFRESH_COOKIE) or None,
        csrf=ours.get(CSRF_COOKIE) or None,
        login=ours.get(LOGIN_COOKIE) or None,
        device=ours.get(DEVICE_COOKIE) or None,
    )


class Jar(NamedTuple):
    """All that a logged-in browser is given."""

    access: str
    access_age: int
    refresh: str
    refresh_age: int
    csrf: str


def setting(jar: Jar, settings: CookieSettings) -> tuple[str, ...]:
    """Return the `Set-Cookie` values that give a browser *jar*.

    Raises:
        Refused: (internal_error) a browser would drop one of them.
    """
    lines = (
        _line(ACCESS_COOKIE, jar.access, jar.access_age, settings.same_site),
        _line(REFRESH_COOKIE, jar.refresh, jar.refresh_age, settings.refresh_same_site),
        _line(CSRF_COOKIE, jar.csrf, jar.refresh_age, "Strict", script=True),
    )
    if any(len(line) > MAX_COOKIE for line in lines):
        raise Refused(refuse("internal_error", "cookie_too_large"))
    return lines


def clearing(settings: CookieSettings) -> tuple[str, ...]:
    """Return the `Set-Cookie` values that expire the three cookies, with the attributes they were set with."""
    return (
        _line(ACCESS_COOKIE, "", 0, settings.same_site),
        _line(REFRESH_COOKIE, "", 0, settings.refresh_same_site),
        _line(CSRF_COOKIE, "", 0, "Strict", script=True),
    )


def clearing_repeated(settings: CookieSettings) -> tuple[str, ...]:
    """Return the `Set-Cookie` values that expire all there are, for a browser that sent one of them twice.

    Also that of the device, which nothing else ends before its time, so that no browser is refused for half a year.
    """
    return (*clearing(settings), _line(LOGIN_COOKIE, "", 0, "Strict"), _line(DEVICE_COOKIE, "", 0, "Strict"))


def clearing_lines(settings: CookieSettings) -> bytes:
    """Return the header lines of `clearing_repeated`, for answers that are not made here."""
    return "".join(f"Set-Cookie: {line}\r\n" for line in clearing_repeated(settings)).encode("latin-1")


def set_all(response: web.StreamResponse, jar: Jar, settings: CookieSettings) -> None:
    """Set the three cookies on *response*.

    Raises:
        Refused: (internal_error) a browser would drop one of them; nothing was set.
    """
    for line in setting(jar, settings):
        response.headers.add("Set-Cookie", line)


def csrf_line(token: str) -> str:
    """Return the `Set-Cookie` value of the CSRF cookie alone; it goes when the browser closes."""
    return _line(CSRF_COOKIE, token, None, "Strict", script=True)


def set_login(response: web.StreamResponse, value: str, age: int) -> None:
    """Tie a login that waits for its second factor to this browser; "" and 0 undo it."""
    response.headers.add("Set-Cookie", _line(LOGIN_COOKIE, value, age, "Strict"))


def set_device(response: web.StreamResponse, mark: str) -> None:
    """Mark this browser as one that is known; it stays so after the logout."""
    response.headers.add("Set-Cookie", _line(DEVICE_COOKIE, mark, DEVICE_TTL, "Strict"))


def clear_all(response: web.StreamResponse, settings: CookieSettings) -> None:
    """Expire the three cookies."""
    for line in clearing(settings):
        response.headers.add("Set-Cookie", line)


def _line(name: str, value: str, age: int | None, same_site: str, *, script: bool = False) -> str:
    http_only = "" if script else "; HttpOnly"
    max_age = "" if age is None else f"; Max-Age={age}"
    return f"{name}={value}; Path=/; Secure{http_only}; SameSite={same_site}{max_age}"
