"""Changing one's own password: the current one is checked, the new one is fit to be one, and nobody else was faster."""

from typing import Protocol

from gateway.errors import Refused, refuse
from gateway.tokens.people import Gone, Unavailable
from gateway.users.passwords import MAX_PASSWORD_BYTES, Hasher
from gateway.users.pool import Pool
from gateway.users.turnstile import Turnstile

LEAST_PASSWORD = 8
"""Characters (NIST SP 800-63B, ASVS 6.2.1)."""


class PasswordStore(Protocol):
    """Where the gateway may write passwords."""

    async def stored_password(self, sub: str) -> str | Gone | Unavailable:
        """Return the hash of *sub* as it is stored."""
        ...

    async def set_password(self, sub: str, old: str, new: str) -> bool | Unavailable:
        """Put the hash *new* in the place of *old*; False when something else was there."""
        ...


def unfit(password: str, username: str) -> str | None:
    """Return why *password* cannot be the password of *username*, as a sentence; None when it can."""
    if len(password) < LEAST_PASSWORD:
        return f"A password has at least {LEAST_PASSWORD} characters."
    if len(password.encode("utf-8", "surrogatepass")) > MAX_PASSWORD_BYTES:
        return f"A password has at most {MAX_PASSWORD_BYTES} bytes."
    if username and password.casefold() in (username.casefold(), username.casefold() * 2):
        return "A password is not the user name."
    if len(set(password)) < 3:
        return "A password is not one character again and again."
    return None


class PasswordChange:
    """What the endpoint and the page ask for."""

    def __init__(self, store: PasswordStore | None, pool: Pool, turnstile: Turnstile, hasher: Hasher) -> None:
        self._store = store
        self._pool = pool
        self._turnstile = turnstile
        self._hasher = hasher

    @property
    def possible(self) -> bool:
        """Whether users change their passwords here at all."""
        return self._store is not None

    async def change(self, sub: str, username: str, current: str, new: str, address: str, device: str = "") -> None:
        """Make *new* the password of *sub*, whose password is *current*; *address* and *device* as in `Guess`.

        Raises:
            Refused: `invalid_credentials` (wrong, or changed meanwhile), `bad_request` with a sentence why *new* is
                unfit, `rate_limited`, `overloaded`, `store_unavailable`, `no_route` where passwords are not ours.
        """
        if self._store is None:
            raise Refused(refuse("no_route", "passwords_elsewhere", detail="Passwords are not changed here."))
        if (sentence := unfit(new, username)) is not None:
            raise Refused(refuse("bad_request", "password_unfit", detail=sentence))
        async with self._turnstile.attempt(username, address, device=device) as attempt:
            stored = await self._store.stored_password(sub)
            if isinstance(stored, Unavailable):
                raise _unavailable(stored)
            if isinstance(stored, Gone):
                raise Refused(refuse("token_revoked", "user_gone"))
            if not await self._pool.run(self._hasher.verify, stored, current):
                attempt.failed()
                raise Refused(refuse("invalid_credentials", "wrong_password", detail="The password is incorrect."))
            attempt.succeeded()
        done = await self._store.set_password(sub, stored, await self._pool.run(self._hasher.hash, new))
        if isinstance(done, Unavailable):
            raise _unavailable(done)
        if not done:
            raise Refused(refuse("invalid_credentials", "changed_meanwhile", detail="The password is incorrect."))


def _unavailable(what: Unavailable) -> Refused:
    return Refused(refuse("store_unavailable", f"user_store:{what.reason}", retry_after=2))
