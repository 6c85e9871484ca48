"""What an operator may do about sessions: look, end, disable. The admin listener and the command line both come here.

Whoever comes here has been let in already. Everything may be asked twice; every ending is told to the audit with the
name of who asked for it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from gateway.sessions.ending import Ending
from gateway.sessions.outcomes import SessionView
from gateway.sessions.people import CredentialVerifier
from gateway.sessions.refreshing import no_user_store
from gateway.sessions.revocations import FOREVER, Kind
from gateway.sessions.store import SessionStore
from gateway.tokens.people import Unavailable
from gateway.tokens.subject import Subject

KINDS = {kind.word: kind for kind in Kind if kind is not Kind.GRANTS}
"""What can be revoked, by the word for it."""

# As `service.login` makes them: 16 bytes in base64url. Anything else must not get into a pattern of keys.
_SESSION = re.compile(r"[A-Za-z0-9_-]{22}")

_NAME_THE_TENANT = (
    "Whose tenant this user is cannot be asked where the users are; name it, or an empty one for a user of none."
)


@dataclass(frozen=True, slots=True)
class Order:
    """Something to be ended."""

    kind: Kind
    value: str
    """As the API and the command line name it: `sub`, `sid`, `jti`, `client_id`, tenant, `kid`; "" for all."""
    reason: str
    actor: str
    before_ms: int | None = None
    """Only what was issued up to this; None for now. Not for tokens and sessions, which have one time of issue."""
    tenant: str | None = None
    """Of a user; None asks the user store."""
    issuer: str | None = None
    """Of a user of another issuer."""
    keep: str | None = None
    """A session of the user that lives on."""


class Done(NamedTuple):
    """What became of an order."""

    cut_ms: int | None
    """Everything up to this is dead; None for what has no time, and for what is dead for good."""
    sessions: int
    """Sessions that were alive and are not any more, as far as they can be counted."""


class Operations:
    """Every method raises `StoreUnavailable` or `Refused` where it could not be done now; asking again is safe."""

    def __init__(
        self,
        *,
        store: SessionStore,
        ending: Ending,
        people: CredentialVerifier,
        tag_of: Callable[[str, str | None, str], bytes],
        issuer: str,
    ) -> None:
        """*tag_of* gives the subject tag of (issuer, tenant, subject); *issuer* is our own."""
        self._store = store
        self._ending = ending
        self._people = people
        self._tag_of = tag_of
        self._issuer = issuer

    async def revoke(self, order: Order) -> Done:
        """Carry out *order*."""
        value, why, before = order.value, (order.reason, order.actor), order.before_ms
        match order.kind:
            case Kind.TOKEN:
                await self._ending.token(value, *why)
                return Done(None, 0)
            case Kind.SESSION:
                return Done(None, await self._session(order))
            case Kind.KEY:
                await self._ending.key(value, *why, before_ms=FOREVER if before is None else before)
                return Done(before, 0)
            case Kind.CLIENT:
                return Done(await self._ending.client(value, *why, before_ms=before), 0)
            case Kind.TENANT:
                return Done(await self._ending.tenant(value, *why, before_ms=before), 0)
            case Kind.ALL:
                return Done(await self._ending.everyone(*why, before_ms=before), 0)
            case _:
                return await self._user(order)

    async def sessions(self, sub: str, tenant: str | None = None) -> tuple[SessionView, ...]:
        """Return the live sessions of a user, the one used last at the end."""
        return await self._store.sessions_of(await self._tag(sub, tenant))

    async def disable(self, sub: str, actor: str, tenant: str | None = None) -> int:
        """End every session of a user and refuse new ones; return how many there were."""
        tag = await self._tag(sub, tenant)
        return len((await self._ending.user(tag, "disabled", actor, disable=True, sub=sub)).sessions)

    async def enable(self, sub: str, actor: str, tenant: str | None = None) -> bool:
        """Let a disabled user log in again; say whether they were disabled."""
        return await self._ending.enabled(await self._tag(sub, tenant), actor, sub=sub)

    async def _session(self, order: Order) -> int:
        owner = await self._store.owner(order.value) if _SESSION.fullmatch(order.value) else None
        if owner is None:
            await self._ending.unowned(order.value, order.reason, order.actor)
            return 0
        return int(await self._ending.session(owner, order.value, order.reason, order.actor))

    async def _user(self, order: Order) -> Done:
        tag = await self._tag(order.value, order.tenant, order.issuer)
        if order.keep is not None:
            return Done(None, len(await self._ending.others(tag, order.keep, order.reason, order.actor)))
        ended = await self._ending.user(tag, order.reason, order.actor, before_ms=order.before_ms, sub=order.value)
        return Done(ended.cut_ms, len(ended.sessions))

    async def _tag(self, sub: str, tenant: str | None, issuer: str | None = None) -> bytes:
        if tenant is None and issuer is None:
            person = await self._people.subject(sub)
            if isinstance(person, Unavailable):
                raise no_user_store(person.reason, _NAME_THE_TENANT)
            # One who is gone from the user store may have sessions all the same; a tenant they had must be named.
            tenant = person.tenant if isinstance(person, Subject) else None
        return self._tag_of(issuer or self._issuer, tenant, sub)
