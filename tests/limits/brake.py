"""The brake on guessing as plain Python: what the scripts of the store must do, and what stands in for them."""

import math
from dataclasses import dataclass, field

from gateway.clock import Clock
from gateway.errors import StoreUnavailable
from gateway.limits.failures import network
from gateway.limits.guesses import Busy, Guess, Reserved, Throttled, ThrottleLimits

Key = tuple[object, ...]


@dataclass
class Ladder:
    """Failures at one account by all strangers or all that are known, or from one address or browser."""

    failures: int = 0
    free_at: float = -math.inf
    forgotten_at: float = -math.inf
    leases: dict[str, float] = field(default_factory=dict)


class MemoryThrottle:
    """A `Throttle` of one process, whose time is *clock*'s."""

    def __init__(self, clock: Clock, limits: ThrottleLimits | None = None) -> None:
        self._now = clock.monotonic
        self.limits = limits or ThrottleLimits()
        self.ladders: dict[Key, Ladder] = {}
        self.known: dict[Key, float] = {}
        self.addresses: dict[Key, float] = {}
        self.away: frozenset[str] = frozenset()
        """Methods that the store is away for."""
        self._turns = 0

    async def reserve(self, guess: Guess) -> Reserved | Throttled | Busy:
        self._asked("reserve")
        now, limits = self._now(), self.limits
        known = guess.device != "" or now < self.known.get(_pair(guess), -math.inf)
        ladders = [(self.ladders.setdefault(key, Ladder()), free) for key, free in self._ladders(guess, known)]
        wait = max(ladder.free_at - now for ladder, _ in ladders)
        if wait > 0:
            return Throttled(math.ceil(wait))
        for ladder, free in ladders:
            ladder.leases = {turn: ends for turn, ends in ladder.leases.items() if now < ends}
            failures = ladder.failures if now < ladder.forgotten_at else 0
            if ladder.leases and failures + len(ladder.leases) >= free:
                return Busy()
        self._turns += 1
        for ladder, _ in ladders:
            ladder.leases[str(self._turns)] = now + limits.lease
        failed = (self.addresses.get(_place(guess), now) - now) / limits.address_leak
        slow_for = limits.slow_retry_after if not known and failed >= limits.address_burst else 0
        return Reserved(guess, str(self._turns), known, slow_for)

    async def succeeded(self, reserved: Reserved) -> None:
        self._asked("succeeded")
        self.known[_pair(reserved.guess)] = self._now() + self.limits.known
        for ladder, _ in self._end(reserved):
            ladder.failures, ladder.free_at, ladder.forgotten_at = 0, -math.inf, -math.inf

    async def failed(self, reserved: Reserved) -> None:
        self._asked("failed")
        now, limits = self._now(), self.limits
        for ladder, free in self._end(reserved):
            ladder.failures = 1 + (ladder.failures if now < ladder.forgotten_at else 0)
            steps = ladder.failures - free
            ladder.free_at = now + min(limits.first * 2.0**steps, limits.longest) if steps >= 0 else -math.inf
            ladder.forgotten_at = now + min(ladder.failures * limits.longest, limits.forget)
        place = _place(reserved.guess)
        most = (2 * limits.address_burst - 1) * limits.address_leak
        self.addresses[place] = now + min(max(self.addresses.get(place, now) - now, 0), most) + limits.address_leak

    async def released(self, reserved: Reserved) -> None:
        self._asked("released")
        self._end(reserved)

    def _asked(self, what: str) -> None:
        if what in self.away:
            raise StoreUnavailable("10.0.0.1 is away", "timeout")

    def _ladders(self, guess: Guess, known: bool) -> list[tuple[Key, int]]:
        key = ("device", *_who(guess), guess.device) if guess.device else _pair(guess)
        strangers = ("account", *_who(guess)), self.limits.account_free
        familiar = ("known", *_who(guess)), self.limits.known_free
        return [(key, self.limits.pair_free), familiar if known else strangers]

    def _end(self, reserved: Reserved) -> list[tuple[Ladder, int]]:
        ladders = [(self.ladders[key], free) for key, free in self._ladders(reserved.guess, reserved.known)]
        for ladder, _ in ladders:
            ladder.leases.pop(reserved.turn, None)
        return ladders


def _who(guess: Guess) -> tuple[str, str]:
    return guess.kind, guess.account


def _place(guess: Guess) -> Key:
    return (network(guess.address),)


def _pair(guess: Guess) -> Key:
    return "pair", *_who(guess), *_place(guess)
