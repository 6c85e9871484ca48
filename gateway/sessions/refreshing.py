"""Refreshing, told once: read first, write last.

The token's MAC comes first (a forgery ends there, and the store is not asked), then this process's revocations, the
session, the user, and only then the one atomic step that spends the token. An outage anywhere before that step leaves
the token as it was. Signing comes after it, and an answer that is lost then is mended by the grace.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import assert_never

from gateway.errors import Refused, refuse
from gateway.sessions.answers import SCOPE, InvalidGrant, Refreshed
from gateway.sessions.ending import Ending
from gateway.sessions.issuing import Issuing, grants, seconds
from gateway.sessions.outcomes import (
    AheadRefused,
    BindingMismatch,
    Coalesced,
    Dead,
    Disabled,
    Expired,
    Facts,
    Forked,
    Healed,
    Renewed,
    Replayed,
    Reused,
    Revoked,
    Rotated,
    Unknown,
)
from gateway.sessions.people import CredentialVerifier
from gateway.sessions.revocations import Revocations
from gateway.sessions.store import Policy, SessionStore
from gateway.tokens.base64url import encode
from gateway.tokens.people import Gone, Unavailable
from gateway.tokens.refresh import RefreshToken, mint, parse
from gateway.tokens.subject import Subject

_WORDS: dict[type[Renewed], str] = {
    Rotated: "rotated",
    Coalesced: "coalesced",
    Replayed: "replayed",
    Forked: "forked",
    Healed: "healed",
}


class Refreshing:
    """Spends refresh tokens; of those that come together in this process only one asks the store."""

    def __init__(
        self,
        *,
        people: CredentialVerifier,
        store: SessionStore,
        issuing: Issuing,
        ending: Ending,
        table: Revocations,
        policy: Callable[[], Policy],
        on_event: Callable[[str, Mapping[str, object]], None],
    ) -> None:
        self._people = people
        self._store = store
        self._issuing = issuing
        self._ending = ending
        self._table = table
        self._policy = policy
        self._on_event = on_event
        self._flights: dict[tuple[RefreshToken, str | None], asyncio.Future[Refreshed | InvalidGrant]] = {}

    async def refresh(self, text: str, scope: str | None = None) -> Refreshed | InvalidGrant:
        """Spend the refresh token *text* for its successor and a new access token, of *scope* when that is given.

        A scope beyond what was granted at login is refused, and the token is not spent (RFC 6749 section 6).
        """
        token = parse(self._issuing.secrets, text)
        if token is None:
            return InvalidGrant("malformed")
        if self._policy().grace <= 0:
            # Strict: two uses are a leak even when they arrive together, so each must reach the store.
            return await self._spend(token, scope)
        # A flight goes on without its passengers: the token is being spent, whether or not somebody still waits.
        flight = self._flights.get((token, scope))
        if flight is None:
            flight = self._flights[token, scope] = asyncio.ensure_future(self._spend(token, scope))
            flight.add_done_callback(lambda done: self._landed((token, scope), done))
        return await asyncio.shield(flight)

    async def _spend(self, token: RefreshToken, scope: str | None) -> Refreshed | InvalidGrant:
        session = encode(token.session)
        if self._table.has_session(session):
            # The store may have lost this in a failover: what every process knows is written down once more.
            await self._store.revoke_session(token.tag, session, self._policy())
            return InvalidGrant("revoked", session)

        peeked = await self._store.peek(token.tag, session)
        if isinstance(peeked, Unknown):
            return InvalidGrant("unknown", session)
        facts = peeked.facts
        if facts.client != self._issuing.client_id:
            # Another client's token: refused, and its family left alone (RFC 6749 section 6).
            return InvalidGrant("client", session, is_over=False)
        if scope is not None and not set(scope.split()) <= set(facts.scope.split()):
            return InvalidGrant(SCOPE, session, is_over=False)

        # Of a dead session the user is not asked; the step below says how it died.
        subject = await self._subject(token, session, facts) if peeked.active else None
        if isinstance(subject, InvalidGrant):
            return subject
        rotation = await self._store.rotate(
            token,
            session,
            self._policy(),
            wide_cut=self._issuing.wide_cut(token.tag, facts.tenant),
            grants="" if subject is None else grants(subject),
        )
        if isinstance(rotation, Renewed):
            if subject is None:
                return InvalidGrant("revoked", session)  # dead when looked at, and nothing revives a session
            return await self._renewed(token, session, subject, rotation, scope)
        return await self._refused(token, session, facts, rotation)

    async def _subject(self, token: RefreshToken, session: str, facts: Facts) -> Subject | InvalidGrant:
        """Return the user as they are now, with the roles they have now."""
        subject = await self._people.subject(facts.sub)
        if isinstance(subject, Unavailable):
            raise no_user_store(subject.reason)
        if isinstance(subject, Gone):
            await self._ending.user(token.tag, "user_gone")
            return InvalidGrant("user_gone", session)
        if self._issuing.tag(subject.sub, subject.tenant) != token.tag:
            # The user moved to another tenant: what they may do there is not for a session that began here.
            await self._ending.session(token.tag, session, "tenant_changed")
            return InvalidGrant("tenant_changed", session)
        return subject

    async def _renewed(
        self, token: RefreshToken, session: str, subject: Subject, renewed: Renewed, scope: str | None
    ) -> Refreshed:
        facts = renewed.facts
        if isinstance(renewed, Healed):
            self._on_event("session_healed", {"session": session, "sub": facts.sub, "counter": renewed.counter})
        await self._issuing.withdraw(token.tag, renewed.grants, subject, renewed.stamp_ms)
        # What was granted at login and is still the user's: a refresh never grows it (RFC 6749 section 6).
        asked = facts.scope if scope is None else scope
        scopes = tuple(name for name in facts.scope.split() if name in subject.scopes and name in asked.split())
        access = await self._issuing.access_token(
            subject, session, renewed.stamp_ms, facts.auth_time, facts.amr, scopes
        )
        return Refreshed(
            access,
            mint(self._issuing.secrets, token._replace(counter=renewed.counter)),
            seconds(renewed.idle_ends_ms - renewed.stamp_ms),
            session,
            subject,
            " ".join(scopes),
            _WORDS[type(renewed)],
        )

    async def _refused(self, token: RefreshToken, session: str, facts: Facts, dead: Dead) -> InvalidGrant:
        match dead:
            case Reused(counter=counter, age_ms=age):
                places = {"session": session, "sub": facts.sub, "presented": token.counter, "current": counter}
                self._on_event("refresh_reused", {**places, "age": age / 1000})
                await self._ending.announce(session, "reuse")
                return InvalidGrant("reuse", session)
            case Revoked(reason=reason):
                # Whoever ended it has told the others, unless that process died in between.
                await self._ending.announce(session, reason or "revoked")
                return InvalidGrant("revoked", session)
            case Disabled():
                await self._ending.announce(session, "disabled")
                return InvalidGrant("disabled", session)
            case Unknown():
                return InvalidGrant("unknown", session)
            case Expired():
                return InvalidGrant("expired", session)
            case BindingMismatch():
                return InvalidGrant("binding", session, is_over=False)
            case AheadRefused():
                return InvalidGrant("ahead", session, is_over=False)
            case other:
                assert_never(other)

    def _landed(self, key: tuple[RefreshToken, str | None], flight: asyncio.Future[Refreshed | InvalidGrant]) -> None:
        del self._flights[key]
        if not flight.cancelled():
            flight.exception()  # looked at, or asyncio reports it as lost when every passenger has left


def no_user_store(reason: str, detail: str | None = None) -> Refused:
    """Return the refusal for a user store that cannot be asked: 503, never 401; *detail* replaces its sentence."""
    why = f"user_store:{reason}" if reason else "user_store"
    return Refused(refuse("store_unavailable", why, detail=detail, retry_after=2))
