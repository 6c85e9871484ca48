"""What a user store said of people at their last login, for stores that cannot be asked again; others seal it."""

from gateway.sessions.keys import mark
from gateway.sessions.replies import text
from gateway.sessions.store import SessionStore

_MARGIN = 600.0
"""Seconds that a record outlives its session; the session begins later, when a login has further steps."""


class RememberedPeople:
    """Every method may raise StoreUnavailable."""

    def __init__(self, store: SessionStore, key: bytes, longest: float) -> None:
        """*key* is what users are hashed with, as everywhere in the store; *longest* are the
        seconds that a session can live."""
        self._link = store.link
        self._keys = store.keys
        self._key = key
        self._longest = longest

    async def keep(self, sub: str, record: str) -> None:
        """Put *record* in the place of what was there; it goes when no session of *sub* can be left."""
        lasts = round((self._longest + _MARGIN) * 1000)
        await self._link.command("SET", self._keys.person(mark(self._key, sub)), record, "PX", lasts)

    async def recall(self, sub: str) -> str | None:
        """Return the latest record of *sub*; None when there is none."""
        found = await self._link.command("GET", self._keys.person(mark(self._key, sub)))
        return None if found is None else text(found)
