"""The one hash that a login costs, whoever asks: a real one, or a decoy that takes as long."""

from gateway.errors import Refused
from gateway.users.decoys import Decoys
from gateway.users.hashes import cost_of
from gateway.users.passwords import MAX_PASSWORD_BYTES, Hasher
from gateway.users.pool import Pool


def unhashable(password: str) -> str | None:
    """Return why *password* is none, as a word for the log."""
    try:
        return "password_too_long" if len(password.encode()) > MAX_PASSWORD_BYTES else None
    except UnicodeEncodeError:  # a lone surrogate is no character, so no password has one
        return "password_not_unicode"


class Checking:
    """Checks passwords in the hash pool, for a store that says which hash is whose."""

    def __init__(self, pool: Pool, hasher: Hasher, decoys: Decoys) -> None:
        self._pool = pool
        self._hasher = hasher
        self._decoys = decoys

    def refused(self, username: str, password: str) -> str | None:
        """Return why nobody has to be asked about these at all; an empty name or password is never a success."""
        if not username or not password:
            return "empty"
        return unhashable(password)

    def saw(self, sub: str, stored: str) -> None:
        """Learn from the hash of *sub* what decoys have to cost, where not all hashes can be read at once."""
        self._decoys.saw(sub, stored)

    async def check(self, stored: str | None, name: str, password: str) -> str | None:
        """Return None when *password* made *stored*, else why not; None for *stored* is a name nobody has.

        Raises:
            Refused: (overloaded) too much waits for a thread.
        """
        if stored is None:
            await self._pool.run(self._hasher.verify, self._decoys.of(name), password)
            return "unknown_user"
        cost = cost_of(stored)
        if cost is None or cost.absurd:
            await self._pool.run(self._hasher.verify, self._decoys.usual(), password)
            return "hash_unusable"
        return None if await self._pool.run(self._hasher.verify, stored, password) else "wrong_password"

    async def renewed(self, stored: str, password: str) -> str | None:
        """Return a current hash in the place of an outdated one; None when it is current, or there is no time."""
        if not self._hasher.outdated(stored):
            return None
        try:
            return await self._pool.run(self._hasher.hash, password)
        except Refused:
            return None
