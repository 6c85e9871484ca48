"""The second factor: enrolling an authenticator app, checking its codes, recovery codes, and giving it up.

Every check counts on the brake that passwords have (as a kind of its own), a code counts once, and what is stored
changes by compare-and-set, so that two requests at once never both use one recovery code. Kept only where the gateway
may write beside the users.

Sources: RFC 6238 section 5.2, OWASP ASVS 6.5.1 and 6.6.2, RFC 8176 (amr).
"""

import json
from typing import NamedTuple, Protocol

from gateway.clock import Clock
from gateway.errors import Refused, refuse
from gateway.tokens.people import Unavailable
from gateway.tokens.sealing import Seal
from gateway.users import totp
from gateway.users.factor import Factor, close, open_, with_codes
from gateway.users.turnstile import Turnstile

ENROLMENT_TTL = 600
"""Seconds in which a shown secret has to be confirmed."""
BY_CODE = ("pwd", "otp", "mfa")
BY_RECOVERY = ("pwd", "mfa")
_KIND = "second factor"
"""Wrong codes never slow down passwords, nor the other way round."""


class FactorStore(Protocol):
    """Where a sealed second factor lies beside its user."""

    async def factor(self, sub: str) -> str | Unavailable | None:
        """Return the sealed factor of *sub*; None when there is none, or no such user."""
        ...

    async def set_factor(self, sub: str, old: str | None, new: str | None) -> bool | Unavailable:
        """Put *new* in the place of *old*; False when something else was there."""
        ...


class UsedSteps(Protocol):
    """Which codes were used already, known to every process."""

    async def use_step(self, sub: str, step: int) -> bool:
        """Whether *step* is later than every step *sub* used before; if so it is used now."""
        ...


class State(NamedTuple):
    """How it stands with one user."""

    available: bool
    """A second factor can be kept for users of this gateway."""
    enabled: bool = False
    recovery_codes_left: int = 0


class Enrolment(NamedTuple):
    """What a user puts into their app; nothing is stored until a code confirms it."""

    secret: str
    uri: str
    qr_svg: str
    token: str
    """Comes back with the code."""
    expires_in: int


class SecondFactor:
    """What the endpoints and pages ask for.

    Every method may raise `StoreUnavailable` and `Refused`: `store_unavailable` when the user store cannot be asked,
    `rate_limited` after too many wrong codes, `invalid_credentials` for a wrong code, `bad_request` for what cannot be
    done as things stand, `no_route` where no second factor can be kept.
    """

    def __init__(
        self,
        store: FactorStore | None,
        used: UsedSteps,
        turnstile: Turnstile,
        *,
        seal: Seal,
        begun: Seal,
        issuer: str,
        clock: Clock,
    ) -> None:
        """*seal* is for what is stored, *begun* for what a client holds meanwhile; *issuer* is the name in the app."""
        self._store = store
        self._used = used
        self._turnstile = turnstile
        self._seal = seal
        self._begun = begun
        self._issuer = issuer
        self._clock = clock

    async def state(self, sub: str) -> State:
        """Return how it stands with *sub*."""
        if self._store is None:
            return State(False)
        _, factor = await self._read(sub)
        return State(True) if factor is None else State(True, True, len(factor.recovery))

    def enrol(self, sub: str, username: str) -> Enrolment:
        """Return a new secret for *sub*."""
        self._kept()
        secret = totp.new_secret()
        uri = totp.uri(secret, username, self._issuer)
        facts = json.dumps([secret, self._clock.wall() + ENROLMENT_TTL]).encode()
        return Enrolment(secret, uri, totp.qr_svg(uri), self._begun.close(facts, _about(sub)), ENROLMENT_TTL)

    async def confirm(self, sub: str, token: str, code: str, address: str) -> tuple[str, ...]:
        """Keep the secret of the enrolment *token* when *code* shows that the app has it; return recovery codes."""
        store = self._kept()
        facts = self._begun.open(token, _about(sub))
        secret, ends = json.loads(facts) if facts is not None else ("", 0.0)
        if self._clock.wall() >= ends:
            raise Refused(refuse("bad_request", "enrolment", detail="The enrolment is over; begin again."))
        held, _ = await self._read(sub)
        if held is not None:
            raise Refused(refuse("bad_request", "enrolled", detail="There is a second factor already."))
        async with self._turnstile.attempt(sub, address, _KIND) as attempt:
            if not await self._is_code(sub, secret, code):
                attempt.failed()
                raise _wrong()
            attempt.succeeded()
        factor, codes = with_codes(secret)
        await self._write(store, sub, None, factor)
        return codes

    async def check(self, sub: str, code: str, address: str, device: str = "") -> tuple[str, ...]:
        """Return how *code*, of the app or for recovery, proves that it is *sub* (`amr`); it counts once.

        *address* and *device* are as in `Guess`.
        """
        store = self._kept()
        async with self._turnstile.attempt(sub, address, _KIND, device) as attempt:
            held, factor = await self._read(sub)
            if factor is None:
                raise _wrong("no_factor")
            if await self._is_code(sub, factor.secret, code):
                attempt.succeeded()
                return BY_CODE
            left = factor.spend(code)
            if left is None:
                attempt.failed()
                raise _wrong()
            await self._write(store, sub, held, left)
            attempt.succeeded()
            return BY_RECOVERY

    async def renew(self, sub: str, code: str, address: str) -> tuple[str, ...]:
        """Return new recovery codes in the place of all old ones; *code* is of the app."""
        store = self._kept()
        await self.check(sub, code, address)
        held, factor = await self._read(sub)
        if factor is None:
            raise _wrong("no_factor")
        renewed, codes = with_codes(factor.secret)
        await self._write(store, sub, held, renewed)
        return codes

    async def disable(self, sub: str, code: str, address: str) -> None:
        """Forget the second factor; *code* is of the app or for recovery."""
        store = self._kept()
        await self.check(sub, code, address)
        held, _ = await self._read(sub)
        await self._write(store, sub, held, None)

    async def _is_code(self, sub: str, secret: str, code: str) -> bool:
        step = totp.matching_step(secret, code, self._clock.wall())
        return step is not None and await self._used.use_step(sub, step)

    async def _read(self, sub: str) -> tuple[str | None, Factor | None]:
        text = await self._kept().factor(sub)
        if isinstance(text, Unavailable):
            raise _unavailable(text)
        if text is None:
            return None, None
        factor = open_(text, sub, self._seal)
        if factor is None:
            # Sealed under another secret: nobody may get in without it, and nobody can check it.
            raise Refused(refuse("store_unavailable", "second_factor_seal", retry_after=60))
        return text, factor

    async def _write(self, store: FactorStore, sub: str, old: str | None, new: Factor | None) -> None:
        done = await store.set_factor(sub, old, None if new is None else close(new, sub, self._seal))
        if isinstance(done, Unavailable):
            raise _unavailable(done)
        if not done:
            raise _wrong("changed_meanwhile")

    def _kept(self) -> FactorStore:
        if self._store is None:
            raise Refused(refuse("no_route", "no_second_factors", detail="Second factors cannot be kept here."))
        return self._store


def _about(sub: str) -> bytes:
    return b"enrolment\0" + sub.encode("utf-8", "surrogatepass")


def _wrong(reason: str = "wrong_code") -> Refused:
    return Refused(refuse("invalid_credentials", reason, detail="The code is incorrect."))


def _unavailable(what: Unavailable) -> Refused:
    return Refused(refuse("store_unavailable", f"user_store:{what.reason}", retry_after=2))
