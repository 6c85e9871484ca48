"""The brake on guessing, in the store: one count for all gateways, which a restart does not clear.

What it decides is told in `limits.guesses`. Each answer is one script over the keys of one account, and the clock is
the store's. Accounts and addresses are there as keyed hashes: who reads the store learns neither who is attacked nor
by whom. A count is gone when it is forgotten, so what a flood of names can take of the store's memory is bounded by
what their hashing costs: half a KiB a failure, for 15 minutes.
"""

import hashlib
import hmac
import math
import secrets

from gateway.errors import StoreUnavailable
from gateway.limits.failures import network
from gateway.limits.guesses import Busy, Guess, Reserved, Throttled, ThrottleLimits
from gateway.sessions.keys import GuessKeys
from gateway.sessions.link import script
from gateway.sessions.replies import number
from gateway.sessions.store import SessionStore

_MOST = 2
"""Failures of an address are counted up to so many times what makes it slow, so that it recovers in good time."""


class StoredThrottle:
    """A `Throttle` in the store."""

    def __init__(self, store: SessionStore, key: bytes, limits: ThrottleLimits | None = None) -> None:
        """*key* is what users are hashed with, as everywhere in the store."""
        self._link = store.link
        self._keys = store.keys
        self._key = key
        self._limits = limits or ThrottleLimits()
        self._reserve = script("reserve_guess")
        self._end = script("end_guess")
        self._count = script("count_failure")

    async def reserve(self, guess: Guess) -> Reserved | Throttled | Busy:
        """Count a try, or say that it has to wait."""
        limits = self._limits
        keys = self.keys_of(guess)
        left = number(await self._link.command("PTTL", keys.address))
        turn = secrets.token_urlsafe(9)
        reply = await self._link.run(
            self._reserve,
            (keys.source, keys.account, keys.familiar, keys.known),
            (
                turn,
                _ms(limits.lease),
                "1" if guess.device else "",
                limits.pair_free,
                limits.account_free,
                limits.known_free,
            ),
        )
        match reply:
            case [1, known]:
                is_slow = not known and left >= _ms(limits.address_burst * limits.address_leak)
                return Reserved(guess, turn, known == 1, limits.slow_retry_after if is_slow else 0)
            case [0]:
                return Busy()
            case [-1, wait]:
                return Throttled(math.ceil(number(wait) / 1000))
            case _:
                raise StoreUnavailable("the store's answer is not ours (guess)")

    async def succeeded(self, reserved: Reserved) -> None:
        """The secret was right: the counts start afresh, and the address is known from now on."""
        await self._ended(reserved, "right")

    async def failed(self, reserved: Reserved) -> None:
        """The secret was wrong: the next try may have to wait longer."""
        limits = self._limits
        await self._ended(reserved, "wrong")
        address = self.keys_of(reserved.guess).address
        await self._link.run(self._count, (address,), (_ms(limits.address_leak), _MOST * limits.address_burst))

    async def released(self, reserved: Reserved) -> None:
        """Nothing was learnt (a dependency failed, the client left): the try never happened."""
        await self._ended(reserved, "")

    async def _ended(self, reserved: Reserved, outcome: str) -> None:
        limits, keys = self._limits, self.keys_of(reserved.guess)
        # What is known did not ask the strangers' count, so it must not reset it for them either; nor the other way.
        others = (keys.familiar, limits.known_free) if reserved.known else (keys.account, limits.account_free)
        ladders = ((keys.source, limits.pair_free), others)
        times = (limits.known, limits.first, limits.longest, limits.forget)
        await self._link.run(
            self._end,
            (keys.known, *(ladder for ladder, _ in ladders)),
            (reserved.turn, outcome, *map(_ms, times), *(free for _, free in ladders)),
        )

    def keys_of(self, guess: Guess) -> GuessKeys:
        """Return where *guess* is counted."""
        place = network(guess.address)
        place = place.hex() if isinstance(place, bytes) else place
        account = self._mark("account", guess.kind, guess.account)
        pair = self._mark("pair", guess.kind, guess.account, place)
        device = self._mark("device", guess.kind, guess.account, guess.device) if guess.device else ""
        return self._keys.guesses(account, pair, self._mark("address", place), device)

    def _mark(self, *parts: str) -> str:
        # How many parts there are, and how long each is, is part of it: no two guesses run into one another.
        message = "".join(f"{len(part)}:{part}" for part in ("guess", *parts))
        return hmac.digest(self._key, message.encode("utf-8", "surrogatepass"), hashlib.sha256)[:16].hex()


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
