"""The question a login asks, whoever keeps the users: is this password this person's, and who is that?

Every answer is a type. `InvalidCredentials` is one answer for an unknown user, a wrong password, a disabled user and
a record that cannot be used: its reason is for log and audit only, and all four take the same time.
"""

from typing import Protocol

from gateway.tokens.people import Gone, InvalidCredentials, Unavailable
from gateway.tokens.subject import Subject

__all__ = ["CredentialVerifier", "Gone", "InvalidCredentials", "Subject", "Unavailable"]


class CredentialVerifier(Protocol):
    """A store of users."""

    async def verify(self, username: str, password: str) -> Subject | InvalidCredentials | Unavailable:
        """Return the person whose password this is; never a success for an empty name or password."""
        ...

    async def subject(self, sub: str) -> Subject | Gone | Unavailable:
        """Return the person as the store knows them now; Gone when removed or disabled."""
        ...
