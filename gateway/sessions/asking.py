"""Asking the store itself about a token, where what this process has heard is not enough.

Two questions. For a stream that outlives the token it was opened with: does the session live? And for a request on a
strict route while the feed lags: has anybody revoked this token that we have not heard of? Each is a read or two, and
neither is on the way of an ordinary request.
"""

from collections.abc import Callable

from gateway.sessions.issuing import grants_of
from gateway.sessions.outcomes import Peeked
from gateway.sessions.replies import items, number, text
from gateway.sessions.revocations import Kind, Revocations, durable_name
from gateway.sessions.store import SessionStore
from gateway.tokens.verify import Identity

_LINE = "\n"
"""Between the grants that the store remembers of a user's newest tokens."""


class Asking:
    """Every method raises `StoreUnavailable` when there is no answer."""

    def __init__(
        self, store: SessionStore, table: Revocations, tag_of: Callable[[str, str | None, str], bytes], issuer: str
    ) -> None:
        """*tag_of* gives the subject tag of (issuer, tenant, subject); *issuer* is our own."""
        self._store = store
        self._table = table
        self._tag_of = tag_of
        self._issuer = issuer

    async def is_live(self, identity: Identity) -> bool:
        """Say whether the session of *identity* lives; no session of ours is none."""
        if not self._has_session(identity) or self._table.has_session(identity.session):
            return False
        tag = self._tag_of(identity.issuer, identity.tenant, identity.subject)
        wide_cut = self._table.wide_cut(identity.client, identity.tenant, tag.hex())
        peeked = await self._store.peek(tag, identity.session, wide_cut=wide_cut)
        return isinstance(peeked, Peeked) and peeked.active

    async def is_dead(self, identity: Identity) -> bool:
        """Say whether the store knows of anything against this token."""
        if self._has_session(identity) and not await self.is_live(identity):
            return True
        store, stamp = self._store, identity.issued_ms
        tag = self._tag_of(identity.issuer, identity.tenant, identity.subject)
        wide = [durable_name(Kind.ALL, ""), durable_name(Kind.CLIENT, identity.client)]
        if identity.tenant is not None:
            wide.append(durable_name(Kind.TENANT, identity.tenant))
        user, cuts, token, key = await store.link.many(
            [
                ("HMGET", store.keys.of(tag).user, "cut", "dis", "gr"),
                ("HMGET", store.keys.cuts, *wide),
                ("GET", store.keys.dead(Kind.TOKEN.value, identity.token_id)),
                ("GET", store.keys.dead(Kind.KEY.value, identity.key)),
            ]
        )
        cut, disabled, newest = items(user)
        reached = [cut, *items(cuts), key]
        return (
            token is not None
            or text(disabled) == "1"
            or any(limit is not None and stamp <= number(limit) for limit in reached)
            or (
                newest is not None
                and not grants_of(identity.roles, identity.permissions) <= set(text(newest).split(_LINE))
            )
        )

    def _has_session(self, identity: Identity) -> bool:
        # Session ids are base64url; what a program's token or another issuer's has in their place is not.
        return identity.issuer == self._issuer and ":" not in identity.session
