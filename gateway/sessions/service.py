"""Logging in, refreshing and logging out: what the endpoints call.

A login checks the password in the user store, makes the session in one atomic step, and signs. The text of a refresh
token is never stored, logged, or part of any result but the one its client is given.
"""

import secrets as random
from collections.abc import Callable, Mapping
from typing import assert_never

from gateway.errors import Refused
from gateway.sessions.answers import BadCredentials, InvalidGrant, Login, Refreshed
from gateway.sessions.ending import Ending
from gateway.sessions.issuing import Issuing, grants, seconds
from gateway.sessions.outcomes import Disabled, SessionView
from gateway.sessions.people import CredentialVerifier, Pool
from gateway.sessions.refreshing import Refreshing, no_user_store
from gateway.sessions.revocations import Revocations
from gateway.sessions.store import NewSession, Policy, SessionStore
from gateway.tokens.base64url import encode
from gateway.tokens.issue import Issuer
from gateway.tokens.people import Gone, InvalidCredentials, Unavailable
from gateway.tokens.refresh import RefreshToken, mint, parse
from gateway.tokens.secrets import Secrets
from gateway.tokens.subject import Subject

PASSWORD = ("pwd",)
"""How a password login proves who somebody is (RFC 8176)."""


class SessionService:
    """What the endpoints ask for.

    Every method raises `StoreUnavailable` or `Refused` where no answer can be given now, and both are 503: that
    somebody could not be asked says nothing about a password or a token.
    """

    def __init__(
        self,
        *,
        people: CredentialVerifier,
        store: SessionStore,
        issuer: Issuer,
        issuer_name: str,
        client_id: str,
        secrets: Secrets,
        table: Revocations,
        ending: Ending,
        pool: Pool,
        policy: Callable[[], Policy],
        on_event: Callable[[str, Mapping[str, object]], None] = lambda event, facts: None,
    ) -> None:
        """*issuer_name* and *client_id* are those *issuer* was made with.

        *policy* is asked at each call, so that a reload takes effect; *on_event* is the audit.
        """
        self._people = people
        self._store = store
        self._ending = ending
        self._policy = policy
        self._issuing = Issuing(
            issuer=issuer,
            issuer_name=issuer_name,
            client_id=client_id,
            secrets=secrets,
            table=table,
            ending=ending,
            pool=pool,
            on_event=on_event,
        )
        self._refreshing = Refreshing(
            people=people,
            store=store,
            issuing=self._issuing,
            ending=ending,
            table=table,
            policy=policy,
            on_event=on_event,
        )

    async def verify(self, username: str, password: str) -> Subject | BadCredentials:
        """Say whose password this is."""
        match await self._people.verify(username, password):
            case InvalidCredentials(reason=reason):
                return BadCredentials(reason or "password")
            case Unavailable(reason=reason):
                raise no_user_store(reason)
            case Subject() as subject:
                return subject
            case other:
                assert_never(other)

    async def subject(self, sub: str) -> Subject | BadCredentials:
        """Return the person as they are now, between two steps of their login."""
        match await self._people.subject(sub):
            case Gone():
                return BadCredentials("user_gone")
            case Unavailable(reason=reason):
                raise no_user_store(reason)
            case Subject() as subject:
                return subject
            case other:
                assert_never(other)

    async def begin(
        self,
        subject: Subject,
        *,
        amr: tuple[str, ...] = PASSWORD,
        scope: str | None = None,
        device: str | None = None,
        user_agent: str = "",
        address: str = "",
    ) -> Login | BadCredentials:
        """Begin a session for somebody who has proved who they are, always a new one (session fixation, ASVS 7.2.4).

        *amr* says how they proved it (RFC 8176). *scope* asks for less than the user may have; what they may not have
        is left out (RFC 6749 section 3.3).
        """
        tag = self._issuing.tag(subject.sub, subject.tenant)
        asked = subject.scopes if scope is None else scope.split()
        granted = tuple(name for name in subject.scopes if name in asked)
        token = RefreshToken(tag, random.token_bytes(16), random.token_bytes(16), 0)
        session = encode(token.session)
        new = NewSession(
            session=session,
            family=token.family,
            sub=subject.sub,
            tenant=subject.tenant,
            client=self._issuing.client_id,
            amr=amr,
            scope=" ".join(granted),
            grants=grants(subject),
            device=device or "",
            user_agent=user_agent,
            address=address,
        )
        wide_cut = self._issuing.wide_cut(tag, subject.tenant)
        created = await self._store.create(tag, new, self._policy(), wide_cut=wide_cut)
        if isinstance(created, Disabled):
            return BadCredentials("disabled")
        await self._ending.evicted(tag, created.evicted)
        await self._issuing.withdraw(tag, created.grants, subject, created.stamp_ms)
        try:
            access = await self._issuing.access_token(
                subject, session, created.stamp_ms, created.auth_time, amr, granted
            )
        except Refused:
            await self._ending.session(tag, session, "no_token")  # nobody could ever use it
            raise
        ends_in = seconds(created.idle_ends_ms - created.stamp_ms)
        return Login(access, mint(self._issuing.secrets, token), ends_in, session, subject, new.scope)

    async def refresh(self, text: str, scope: str | None = None) -> Refreshed | InvalidGrant:
        """Spend a refresh token for its successor and a new access token, of *scope* when that is given."""
        return await self._refreshing.refresh(text, scope)

    async def logout(self, session: str, *, subject: str, tenant: str | None = None) -> None:
        """End a session of *subject*, as their access token names both; ending it twice is the same as once."""
        await self._ending.session(self._issuing.tag(subject, tenant), session, actor=_person(subject))

    async def logout_by_refresh(self, text: str) -> None:
        """End the session a refresh token belongs to; a token that is not ours ends nothing."""
        token = parse(self._issuing.secrets, text)
        if token is not None:
            await self._ending.session(token.tag, encode(token.session))

    async def logout_everywhere(self, *, subject: str, tenant: str | None = None) -> None:
        """End every session of *subject*."""
        await self._ending.user(self._issuing.tag(subject, tenant), "logout", _person(subject), sub=subject)

    async def logout_others(self, session: str, *, subject: str, tenant: str | None = None) -> None:
        """End every session of *subject* but *session*."""
        await self._ending.others(self._issuing.tag(subject, tenant), session, "logout", _person(subject))

    async def end(self, session: str, *, subject: str, tenant: str | None = None) -> bool:
        """End a session *subject* picked from their list; False when they have no such session."""
        return await self._ending.listed(self._issuing.tag(subject, tenant), session, actor=_person(subject))

    async def revoke(self, token_id: str, *, subject: str) -> None:
        """End one access token of *subject*, by its jti; its session and its siblings live on."""
        await self._ending.token(token_id, "revoked", _person(subject))

    async def sessions(self, *, subject: str, tenant: str | None = None) -> tuple[SessionView, ...]:
        """Return the live sessions of *subject*."""
        return await self._store.sessions_of(self._issuing.tag(subject, tenant))


def _person(subject: str) -> str:
    """Return what the audit calls a person who acts for themselves."""
    return f"user:{subject}"
