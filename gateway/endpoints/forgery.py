"""Cross-site forgery, as the endpoints meet it: a foreign page must not log anybody in, refresh or log out.

A request with a session cookie is judged by `gateway.tokens.csrf`. A login has no session yet, so there only the
browser's own words count; a client that sends neither of them is no browser and has no cookies worth planting.
"""

from collections.abc import Iterable

from aiohttp import web

from gateway.errors import Refused, refuse
from gateway.tokens import csrf
from gateway.tokens.secrets import Secrets


def header(request: web.Request, name: str) -> bytes | None:
    """Return the one value of a header field; one that comes twice becomes a value that nothing matches."""
    values = request.headers.getall(name, [])
    return ", ".join(values).encode("utf-8", "surrogateescape") if values else None


def refuse_foreign_login(
    request: web.Request, own_origins: frozenset[bytes], friends: frozenset[bytes] = frozenset()
) -> None:
    """Refuse (csrf_failed) a login that another site's page sends, before anybody looks at the credentials.

    *friends* are other origins that may log people in.
    """
    site = header(request, "Sec-Fetch-Site")
    origin = header(request, "Origin")
    if site in (b"same-origin", b"none"):
        return
    if site is None and (origin is None or origin in own_origins):
        return
    if origin in friends:
        return
    raise Refused(refuse("csrf_failed", "login_cross_site"))


def refuse_foreign(
    request: web.Request, sessions: Iterable[str], secrets: Secrets, own_origins: frozenset[bytes]
) -> None:
    """Refuse (csrf_failed) a request made with the cookies of *sessions* that our own pages did not send."""
    token = header(request, "X-CSRF-Token")
    for session in sessions:
        if csrf.judge(
            fetch_site=header(request, "Sec-Fetch-Site"),
            origin=header(request, "Origin"),
            token=None if token is None else token.decode("latin-1"),
            session=session,
            secrets=secrets,
            own_origins=own_origins,
        ):
            return
    raise Refused(refuse("csrf_failed", "cookie"))
