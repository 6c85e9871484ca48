"""Open streams end with their sessions, also with those that end in silence.

A revocation is applied here when it comes (`Streams.end_session`, `end_dead`). But a session also ends by being idle,
by its absolute life, or in a store that nobody hears of: so when the token expires by which a stream was opened, the
store is asked once whether the session lives, and again after each further life of a token. A refresh elsewhere keeps a
session alive and so its streams. What belongs to no session of ours (another issuer's token, one of a program) ends
with its token.
"""

import asyncio
from collections.abc import Awaitable, Callable

from gateway.clock import Clock
from gateway.errors import StoreUnavailable
from gateway.proxy.streams import Streams
from gateway.sessions.revocations import Entry, Kind, Revocations
from gateway.tokens.verify import Identity

LOOK = 1.0
"""Seconds between two looks for streams whose token has expired."""


class StreamKeeper:
    """Ends streams: at once what a revocation names, and in time what is over."""

    def __init__(
        self,
        streams: Streams,
        table: Revocations,
        is_live: Callable[[Identity], Awaitable[bool]],
        clock: Clock,
        *,
        every: float,
        patience: float,
    ) -> None:
        """Ask *is_live* at each token's expiry and then *every* so many seconds.

        While the store does not answer, streams go on for *patience* seconds: no longer than anybody is let in.
        """
        self._streams = streams
        self._table = table
        self._is_live = is_live
        self._clock = clock
        self._every = every
        self._patience = patience
        self._is_looking = False

    def renew(self, *, every: float, patience: float) -> None:
        """Go by these from now on."""
        self._every, self._patience = every, patience

    def applied(self, entry: Entry) -> None:
        """A revocation was applied: what it concerns must not stay connected."""
        if not self._streams:
            return
        if entry.kind is Kind.SESSION:
            self._streams.end_session(entry.value)
        elif not self._is_looking:
            # Once for all that came in one read; each look costs as much as there are streams.
            self._is_looking = True
            asyncio.get_running_loop().call_soon(self._end_named)

    def _end_named(self) -> None:
        self._is_looking = False
        # What coarsening added is left out: it refuses tokens and never ends a session (identity.md 3.8, G7).
        self._streams.end_dead(self._table.names)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(LOOK)
            await self.look()

    async def look(self) -> None:
        """Ask about every session whose time to be asked has come."""
        now = self._clock.wall()
        answers = True
        for session, identity in self._streams.due(now).items():
            lives: bool | None = None
            if answers:  # once it did not, the others would wait as long for nothing
                try:
                    lives = await self._is_live(identity)
                except StoreUnavailable:
                    answers = False
            for stream in self._streams.of(session):
                if lives:
                    stream.due = max(stream.due, now + self._every)
                elif lives is False or stream.due + self._patience <= now:
                    stream.end_session()
