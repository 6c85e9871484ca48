"""The questions this room asks of others: who somebody is, and a thread to sign in."""

from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

from gateway.tokens.people import Gone, InvalidCredentials, Unavailable
from gateway.tokens.subject import Subject

P = ParamSpec("P")
R = TypeVar("R")


class CredentialVerifier(Protocol):
    """A user store."""

    async def verify(self, username: str, password: str) -> Subject | InvalidCredentials | Unavailable:
        """Say who logs in with these credentials; an unknown user costs the time of a wrong password."""
        ...

    async def subject(self, sub: str) -> Subject | Gone | Unavailable:
        """Say what the user with the identifier *sub* is and may do now."""
        ...


class Pool(Protocol):
    """A bounded pool of threads."""

    async def run(self, work: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run *work* outside the event loop; raises `Refused` when too much waits already."""
        ...
