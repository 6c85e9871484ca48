"""Ending things: one session, a user, a client, a tenant, everyone, one token, one key.

The order is always the same. The state in the store first, because it stops every later refresh and is what survives.
Then this process's own table, then the feed for all the others, and only then the answer: who is told that something is
revoked can rely on it. If the store cannot be asked, this process enforces what it was told all the same, the caller
gets `StoreUnavailable`, and asking again is safe. What was done is told to the audit.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from gateway.errors import StoreUnavailable
from gateway.sessions.outcomes import UserEnded
from gateway.sessions.revocations import FOREVER, Entry, Kind, durable_name
from gateway.sessions.store import Policy, SessionStore


class Announcer(Protocol):
    """What is asked of the feed."""

    def note(self, *entries: Entry) -> None: ...

    async def publish(self, *entries: Entry) -> None: ...

    def now_ms(self) -> int: ...


class Ending:
    """Ends sessions and tokens, here and in every other process."""

    def __init__(
        self,
        store: SessionStore,
        feed: Announcer,
        policy: Callable[[], Policy],
        *,
        on_event: Callable[[str, Mapping[str, object]], None] = lambda event, facts: None,
    ) -> None:
        """*policy* is asked at each call, so that a reload takes effect; *on_event* is the audit."""
        self._store = store
        self._feed = feed
        self._policy = policy
        self._on_event = on_event

    async def session(self, tag: bytes, session: str, reason: str = "logout", actor: str = "") -> bool:
        """End one session of the user *tag*, named by a token of ours, with all its tokens; say whether it was alive.

        Also one the store does not know any more: its access tokens may live.
        """
        entry = Entry(Kind.SESSION, session, reason=reason, actor=actor)
        try:
            ended = await self._store.revoke_session(tag, session, self._policy(), reason)
        except StoreUnavailable:
            self._feed.note(entry)
            raise
        await self._tell(entry)
        return ended.was_active

    async def listed(self, tag: bytes, session: str, reason: str = "ended", actor: str = "") -> bool:
        """End a session that somebody named by hand; False, and nothing happens, when the user *tag* has none such."""
        ended = await self._store.revoke_session(tag, session, self._policy(), reason)
        if ended.was_known:
            await self._tell(Entry(Kind.SESSION, session, reason=reason, actor=actor))
        return ended.was_known

    async def unowned(self, session: str, reason: str, actor: str = "") -> None:
        """End the tokens of a session that nobody has here: the store has lost it, or it is another issuer's."""
        await self._tell(Entry(Kind.SESSION, session, reason=reason, actor=actor))

    async def announce(self, session: str, reason: str) -> None:
        """Tell everyone of a session that the store has ended by itself."""
        await self._feed.publish(Entry(Kind.SESSION, session, reason=reason))

    async def user(
        self,
        tag: bytes,
        reason: str,
        actor: str = "",
        *,
        disable: bool = False,
        before_ms: int | None = None,
        sub: str = "",
    ) -> UserEnded:
        """End every session and token of a user, or those up to *before_ms*; with *disable*, refuse new ones too.

        *sub* is their name for the audit; the store and the feed have the tag alone.
        """
        try:
            ended = await self._store.revoke_user(tag, self._policy(), disable=disable, before_ms=before_ms)
        except StoreUnavailable:
            cut = self._feed.now_ms() if before_ms is None else before_ms
            self._feed.note(Entry(Kind.SUBJECT, tag.hex(), cut, reason=reason, actor=actor))
            raise
        await self._tell(Entry(Kind.SUBJECT, tag.hex(), ended.cut_ms, reason=reason, actor=actor), sub)
        return ended

    async def enabled(self, tag: bytes, actor: str = "", *, sub: str = "") -> bool:
        """Let a disabled user log in again; say whether they were disabled. What was ended stays ended."""
        was = await self._store.enable_user(tag, self._policy())
        self._on_event("user_enabled", {"sub": sub, "actor": actor, "was_disabled": was})
        return was

    async def others(self, tag: bytes, keep: str, reason: str, actor: str = "") -> tuple[str, ...]:
        """End every session of a user but *keep*; return the ones ended."""
        sids = tuple(view.session for view in await self._store.sessions_of(tag) if view.session != keep)
        for session in sids:
            await self.session(tag, session, reason, actor)
        return sids

    async def evicted(self, tag: bytes, sessions: tuple[str, ...]) -> None:
        """Finish what `max_sessions` began: tombstones and tokens of the sessions that were pushed out."""
        for session in sessions:
            await self.session(tag, session, "max_sessions")

    async def grants_of(self, tag: bytes, cut_ms: int) -> None:
        """Make the user's tokens up to *cut_ms* refresh: they carry a role that was taken away."""
        await self._tell(Entry(Kind.GRANTS, tag.hex(), cut_ms, reason="grants"))

    async def token(self, token_id: str, reason: str, actor: str = "") -> None:
        """End one access token, by its jti."""
        await self._tell(Entry(Kind.TOKEN, token_id, reason=reason, actor=actor))

    async def key(self, kid: str, reason: str, actor: str = "", *, before_ms: int = FOREVER) -> None:
        """End every access token signed with a key up to *before_ms*: it is no longer a secret."""
        await self._tell(Entry(Kind.KEY, kid, before_ms, reason=reason, actor=actor))

    async def client(self, client: str, reason: str, actor: str = "", *, before_ms: int | None = None) -> int:
        """End every session and token of a client; return the cut-off in milliseconds."""
        return await self._wide(Kind.CLIENT, client, reason, actor, before_ms)

    async def tenant(self, tenant: str, reason: str, actor: str = "", *, before_ms: int | None = None) -> int:
        """End every session and token of a tenant; return the cut-off in milliseconds."""
        return await self._wide(Kind.TENANT, tenant, reason, actor, before_ms)

    async def everyone(self, reason: str, actor: str = "", *, before_ms: int | None = None) -> int:
        """End every session and token there is; return the cut-off in milliseconds."""
        return await self._wide(Kind.ALL, "", reason, actor, before_ms)

    async def _wide(self, kind: Kind, value: str, reason: str, actor: str, before_ms: int | None) -> int:
        try:
            cut = await self._store.cut(durable_name(kind, value), self._policy(), before_ms)
        except StoreUnavailable:
            cut = self._feed.now_ms() if before_ms is None else before_ms
            self._feed.note(Entry(kind, value, cut, reason=reason, actor=actor))
            raise
        await self._tell(Entry(kind, value, cut, reason=reason, actor=actor))
        return cut

    async def _tell(self, entry: Entry, name: str = "") -> None:
        """Tell every process, and then the audit; *name* is what people call a user."""
        await self._feed.publish(entry)
        facts = {"kind": entry.kind.word, "value": name or entry.value, "reason": entry.reason, "actor": entry.actor}
        self._on_event("revoked", facts)
