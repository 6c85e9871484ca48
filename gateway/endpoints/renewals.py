"""Silent refresh: the gate asks here when a browser's access cookie is over and its refresh cookie is not.

The refresh is the same one as of `POST /auth/refresh`, single flight and grace included; only its cookies ride on
whatever the request itself is answered. They are private to this browser, so the answer is marked as such.
"""

from gateway.endpoints.cookies import CookieSettings, clearing, setting
from gateway.endpoints.granted import jar_of
from gateway.endpoints.services import Sessions
from gateway.errors import Refused, StoreUnavailable, refuse
from gateway.head import Renewal
from gateway.sessions.answers import InvalidGrant
from gateway.tokens import csrf
from gateway.tokens.base64url import encode
from gateway.tokens.refresh import parse
from gateway.tokens.secrets import Secrets

_PRIVATE = ("Cache-Control: private", "Vary: Cookie")


class SilentRefresh:
    """Renews a browser's cookies on the way of another request."""

    def __init__(self, sessions: Sessions, secrets: Secrets, settings: CookieSettings) -> None:
        self._sessions = sessions
        self._secrets = secrets
        self._settings = settings

    def session_of(self, refresh: str) -> str:
        """Return the session a refresh cookie of ours names; "" for any other text."""
        token = parse(self._secrets, refresh)
        return "" if token is None else encode(token.session)

    async def renew(self, refresh: str, csrf_cookie: str | None) -> Renewal:
        """Spend *refresh*; an outage leaves everything as it was."""
        try:
            outcome = await self._sessions.refresh(refresh)
        except StoreUnavailable:
            return Renewal(unavailable=refuse("store_unavailable", "silent_refresh", retry_after=2))
        except Refused as error:
            return Renewal(unavailable=error.refusal)
        if isinstance(outcome, InvalidGrant):
            return Renewal(lines=_lines(clearing(self._settings)) if outcome.is_over else b"")
        jar = jar_of(outcome, csrf.kept(self._secrets, outcome.session, csrf_cookie))
        try:
            return Renewal(outcome.access.token.encode(), _lines(setting(jar, self._settings)))
        except Refused as error:
            return Renewal(unavailable=error.refusal)


def _lines(cookies: tuple[str, ...]) -> bytes:
    return "".join(f"{line}\r\n" for line in (*_PRIVATE, *(f"Set-Cookie: {one}" for one in cookies))).encode("latin-1")
