"""Logins that wait for a second factor, and the codes that were used: counted in the store, for every process."""

from gateway.sessions.keys import mark
from gateway.sessions.link import script
from gateway.sessions.replies import number
from gateway.sessions.store import SessionStore

BEGUN_TTL = 300
"""Seconds between a right password and its code (ASVS 6.5.5)."""
TRIES = 5
"""Codes that may be tried for one password."""
_STEPS_TTL = 600
"""Seconds a used step is remembered; a code counts for at most 90."""


class BegunLogins:
    """Every method may raise StoreUnavailable."""

    def __init__(self, store: SessionStore, key: bytes) -> None:
        """*key* is what users are hashed with, as everywhere in the store."""
        self._link = store.link
        self._keys = store.keys
        self._key = key
        self._try = script("try_code")
        self._use = script("use_step")

    async def begin(self, login: str) -> None:
        """A password was right; the login *login* waits for its code now."""
        await self._link.command("SET", self._keys.begun(login), TRIES, "EX", BEGUN_TTL)

    async def attempt(self, login: str) -> bool:
        """Whether *login* still waits and has a try left, which is counted."""
        (left,) = await self._link.run(self._try, (self._keys.begun(login),))
        return number(left) >= 0

    async def finish(self, login: str) -> bool:
        """End *login*; False when it has ended already."""
        reply = await self._link.command("DEL", self._keys.begun(login))
        return reply == 1

    async def use_step(self, sub: str, step: int) -> bool:
        """Whether *step* is later than every step *sub* used before; if so it is used now."""
        used = self._keys.last_step(mark(self._key, sub))
        (done,) = await self._link.run(self._use, (used,), (step, _STEPS_TTL))
        return number(done) == 1
