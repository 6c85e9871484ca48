"""What login and refresh have in common: naming a user, signing for them, and taking back what they lost."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from gateway.errors import Refused, refuse
from gateway.sessions.ending import Ending
from gateway.sessions.people import Pool
from gateway.sessions.revocations import Revocations
from gateway.tokens.issue import AccessToken, Issuer, Unissuable
from gateway.tokens.secrets import Secrets, subject_tag
from gateway.tokens.subject import Subject


class Issuing:
    """Issues in the name of one issuer to one client."""

    def __init__(
        self,
        *,
        issuer: Issuer,
        issuer_name: str,
        client_id: str,
        secrets: Secrets,
        table: Revocations,
        ending: Ending,
        pool: Pool,
        on_event: Callable[[str, Mapping[str, object]], None] = lambda event, facts: None,
    ) -> None:
        """*issuer_name* and *client_id* are those *issuer* was made with."""
        self.client_id = client_id
        self.secrets = secrets
        self._issuer = issuer
        self._issuer_name = issuer_name
        self._table = table
        self._ending = ending
        self._pool = pool
        self._on_event = on_event

    def tag(self, sub: str, tenant: str | None) -> bytes:
        """Return the tag under which the store keeps a user of this gateway."""
        return subject_tag(self.secrets, self._issuer_name, tenant, sub)

    def wide_cut(self, tag: bytes, tenant: str | None) -> int:
        """Return the latest cut-off this process knows that a session of this user must be younger than."""
        return self._table.wide_cut(self.client_id, tenant, tag.hex())

    async def access_token(
        self, subject: Subject, session: str, stamp_ms: int, auth_time: int, amr: Sequence[str], scopes: Sequence[str]
    ) -> AccessToken:
        """Sign an access token in the pool of threads.

        Raises:
            Refused: (overloaded) too much waits for a thread.
            Refused: (internal_error) the gate would refuse the token; the operator is told why, the client is not.
        """
        try:
            return await self._pool.run(
                self._issuer.access_token,
                subject,
                session=session,
                stamp_ms=stamp_ms,
                auth_time=auth_time,
                amr=amr,
                scopes=scopes,
            )
        except Unissuable as error:
            self._on_event("token_unissuable", {"sub": subject.sub, "session": session, "reason": str(error)})
            raise Refused(refuse("internal_error", "token_unissuable")) from error

    async def withdraw(self, tag: bytes, before: str, subject: Subject, stamp_ms: int) -> None:
        """When a role was taken away since the user's last token, make their older tokens refresh."""
        if set(before.split("\n")) - set(grants(subject).split("\n")) - {""}:
            await self._ending.grants_of(tag, stamp_ms - 1)


def grants(subject: Subject) -> str:
    """Return everything a route may ask for, one a line; neither roles nor permissions can hold a line break."""
    return "\n".join(sorted(grants_of(subject.roles, subject.permissions)))


def grants_of(roles: Iterable[str], permissions: Iterable[str]) -> set[str]:
    """Return the lines of `grants` that these make."""
    return {*(f"r:{role}" for role in roles), *(f"p:{name}" for name in permissions)}


def seconds(milliseconds: int) -> int:
    """Return whole seconds, never more than there are."""
    return max(0, milliseconds // 1000)
