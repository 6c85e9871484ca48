"""What the session service answers to the endpoints.

None of it names the refusal to a client: `reason` is for log, audit and metrics.
"""

from typing import NamedTuple

from gateway.tokens.issue import AccessToken
from gateway.tokens.subject import Subject

SCOPE = "scope"
"""The reason of an `InvalidGrant` whose token is good and whose scope is not."""


class Login(NamedTuple):
    """A login that succeeded."""

    access: AccessToken
    refresh: str
    refresh_expires_in: int
    """Seconds until the session ends if nothing more happens."""
    session: str
    subject: Subject
    scope: str


class Refreshed(NamedTuple):
    """A refresh that succeeded."""

    access: AccessToken
    refresh: str
    """The token to use next; the one that was sent when nothing was rotated."""
    refresh_expires_in: int
    session: str
    subject: Subject
    scope: str
    outcome: str
    """rotated, replayed, coalesced, forked or healed."""


class BadCredentials(NamedTuple):
    """No login; the caller learns nothing more."""

    reason: str


class InvalidGrant(NamedTuple):
    """No refresh; the caller learns nothing more."""

    reason: str
    session: str = ""
    """The session the token names; "" when the token is not ours."""
    is_over: bool = True
    """The token will never work again, so a browser's copy may be cleared."""
