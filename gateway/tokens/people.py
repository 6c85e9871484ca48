"""What a user store may answer besides a `Subject`.

Shared by the rooms that ask (sessions) and the room that answers (users), which do not import each other. `reason` is a
word for the log; no client ever learns it.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class InvalidCredentials:
    """No such user, or a wrong password: one answer, so that nobody can tell which accounts exist."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Gone:
    """The user existed when the session began, and is deleted or disabled now."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Unavailable:
    """The user store cannot be asked right now; says nothing about the user."""

    reason: str = ""
