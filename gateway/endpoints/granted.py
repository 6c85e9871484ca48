"""What a client gets when it has been let in: tokens in the body, or cookies and no token anywhere else."""

from aiohttp import web

from gateway.endpoints.answers import answer
from gateway.endpoints.cookies import CookieSettings, Jar, set_all
from gateway.sessions.answers import Login, Refreshed

_JWT = "application/jwt"
"""RFC 7519 section 10.3.1."""


def bearer_answer(request: web.Request, granted: Login | Refreshed) -> web.Response:
    """Return the tokens (RFC 6749 section 5.1); the access token alone to a client that accepts `application/jwt`."""
    if request.headers.get("Accept", "").strip().lower() == _JWT:
        return web.Response(body=granted.access.token.encode(), headers={"Content-Type": _JWT})
    return answer(
        {
            "access_token": granted.access.token,
            "token_type": "Bearer",
            "expires_in": granted.access.expires_in,
            "refresh_token": granted.refresh,
            "refresh_expires_in": granted.refresh_expires_in,
            "scope": granted.scope,
            "session_id": granted.session,
        }
    )


def cookie_answer(granted: Login | Refreshed, csrf_token: str, settings: CookieSettings) -> web.Response:
    """Return the lifetimes, with the tokens in cookies.

    Raises:
        Refused: (internal_error) a browser would drop one of the cookies.
    """
    response = answer(
        {
            "authenticated": True,
            "expires_in": granted.access.expires_in,
            "refresh_expires_in": granted.refresh_expires_in,
            "session_id": granted.session,
            "csrf_token": csrf_token,
        }
    )
    set_all(response, jar_of(granted, csrf_token), settings)
    return response


def jar_of(granted: Login | Refreshed, csrf_token: str) -> Jar:
    """Return what *granted* puts into a browser."""
    return Jar(
        access=granted.access.token,
        access_age=granted.access.expires_in,
        refresh=granted.refresh,
        refresh_age=granted.refresh_expires_in,
        csrf=csrf_token,
    )
