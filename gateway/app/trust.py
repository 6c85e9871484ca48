"""How far this process's knowledge of revocations can be trusted just now, as the gate asks for it (identity.md 3.7).

FRESH    nothing older than three seconds is missing    every route by the table
LAGGING  up to fifteen seconds are missing              strict routes ask the store about each token
STALE    more is missing                                strict routes are 503, others go on until `max_stale`
COLD     never complete, or not for `max_stale`         503 for every token
"""

import asyncio

from gateway.errors import Refusal, StoreUnavailable, refuse
from gateway.gate import Pending
from gateway.sessions.asking import Asking
from gateway.sessions.feed import Feed, FeedState
from gateway.tokens.ring import KeyRing
from gateway.tokens.verify import Identity

RETRY_AFTER = 2
"""Seconds, said with 503."""


class Trust:
    """The state of the feed, looked up with each turn of the wheel, so that a request reads an attribute."""

    def __init__(self, feed: Feed, asking: Asking, ring: KeyRing) -> None:
        self._feed = feed
        self._ring = ring
        self._asking = asking
        self.cold = True
        """The revocations were never complete, or have been incomplete for too long, or the keys are not known yet: no
        token can be vouched for.
        """
        self.fresh = False
        self.offset = 0.0
        """Seconds the store's clock is ahead of ours: tokens are stamped by it, and so judged by it."""

    def look(self) -> None:
        """Take over the state of this moment."""
        self.cold = not (self._feed.is_ready and self._ring.is_known)
        self.fresh = self._feed.state is FeedState.FRESH
        self.offset = self._feed.offset

    async def synced(self) -> None:
        """Wait for the revocations to be complete, but not long: a start takes milliseconds, an outage minutes."""
        for _ in range(100):
            self.look()
            if not self.cold:
                return
            await asyncio.sleep(0.01)

    def doubt(self, identity: Identity) -> Refusal | Pending:
        """Refuse a token on a strict route, or have the store asked about it."""
        if self._feed.state is FeedState.LAGGING:
            return Pending(lambda: self._confirm(identity), confirms=True)
        return refuse("store_unavailable", "feed_stale", retry_after=RETRY_AFTER)._replace(subject=identity.subject)

    async def _confirm(self, identity: Identity) -> Refusal | None:
        try:
            is_dead = await self._asking.is_dead(identity)
        except StoreUnavailable:
            refusal = refuse("store_unavailable", "store", retry_after=RETRY_AFTER)
            return refusal._replace(subject=identity.subject)
        return refuse("token_revoked", "revoked")._replace(subject=identity.subject) if is_dead else None
