"""A browser that shows a page, and where it may be sent back to after a login.

A page that needs a login is answered with the way to the login page; a script's call is not, because a script can do
nothing with a page. Browsers say which it is (Fetch Metadata); of older ones the wish for HTML tells.
"""

from collections.abc import Mapping
from enum import Enum
from urllib.parse import quote, unquote, urlsplit

from gateway.head import RequestHead

RETURN = "return_to"
"""The parameter of the login page that says where its user wanted to go."""
_MOST = 2048
"""Bytes; a longer way back is forgotten."""


def is_navigation(head: RequestHead) -> bool:
    """Whether a person would see what this request is answered."""
    if head.method not in (b"GET", b"HEAD") or head.fields.upgrade is not None:
        return False
    fields = head.fields
    mode = fields.field(b"sec-fetch-mode")
    if mode is not None:
        # A frame must not become a login page: nobody could tell whose it is.
        return mode == b"navigate" and fields.field(b"sec-fetch-dest") in (None, b"document")
    return b"text/html" in (fields.field(b"accept") or b"").lower() and fields.field(b"x-requested-with") is None


class Ask(Enum):
    """What a login has to be for the page that somebody wants, as the query of the login page says it."""

    ANY = ""
    RECENT = "prompt=login"
    """Another one, whoever is signed in (OpenID Connect Core 3.1.2.1)."""
    SECOND_FACTOR = "acr_values=mfa"
    """One with a second factor (RFC 9470 section 4)."""

    @classmethod
    def of(cls, step_up: str) -> "Ask":
        """Return what the challenge of a refusal asks for (`Refusal.step_up`)."""
        return cls.ANY if not step_up else cls.SECOND_FACTOR if step_up.startswith("acr_values") else cls.RECENT

    @classmethod
    def read(cls, query: Mapping[str, str]) -> "Ask":
        """Return what the query of the login page asks for; words that are not ours ask for nothing."""
        asked = {f"{name}={value}" for name, value in query.items()}
        return next((one for one in (cls.SECOND_FACTOR, cls.RECENT) if one.value in asked), cls.ANY)


def login_query(target: bytes, step_up: str = "") -> bytes:
    """Return the query that brings a browser back to *target* after its login, which has to be what *step_up* asks.

    A target that cannot be kept is left out.
    """
    text = target.decode("latin-1")
    way_back = "" if safe_return(text) is None else f"{RETURN}={quote(text, safe='/', encoding='latin-1')}"
    query = "&".join(part for part in (way_back, Ask.of(step_up).value) if part)
    return f"?{query}".encode() if query else b""


def safe_return(text: str) -> str | None:
    """Return *text* when it is a path on this very site, however a browser may read it; else None.

    Browsers read a backslash as a slash, and drop tabs and line breaks (WHATWG URL), so neither may be there, not even
    encoded once; and two slashes begin the name of another host.
    """
    if not text.startswith("/") or len(text) > _MOST or not text.isascii() or " " in text:
        return None
    for form in (text, unquote(text, errors="replace")):
        if form.startswith("//") or not form.isprintable() or "\\" in form:
            return None
    try:
        url = urlsplit(text)
    except ValueError:
        return None
    return None if url.scheme or url.netloc else text
