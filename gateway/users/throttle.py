"""The brake on guessing passwords: who may try now, who must wait, and for how long.

Three counts, all in this process's memory:

* the **pair** (this account from this address): a few free tries, then 1 s, 2 s, 4 s … up to 15 minutes
* the **account** from anywhere: more free tries, then the same ladder; an address from which the person logged in
  before does not climb it, so that strangers cannot lock anybody out
* the **address** over all accounts: never refuses, because many people may share it; its tries are marked slow, for
  the narrow lane of `turnstile`

A try is counted *before* the password is checked and given back when it succeeds or could not be checked, so a
hundred guesses at once do not slip past the count together: those beyond the free tries are `Busy` until an earlier
one ends. Nothing depends on whether the account exists. No delay is permanent.

Sources: NIST SP 800-63B 5.2.2, OWASP ASVS 6.3.1, 6.3.5.
"""

import hashlib
import ipaddress
import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

from gateway.clock import Clock


@dataclass(frozen=True, slots=True)
class ThrottleLimits:
    """How patient the brake is; seconds."""

    pair_free: int = 5
    account_free: int = 10
    longest: float = 900.0
    """Top of the ladder."""
    forget: float = 86_400.0
    """A count without failures for this long is gone."""
    address_burst: int = 50
    """Failures of one address, over all accounts, before it is slow."""
    address_leak: float = 10.0
    """Every so many seconds one of them is forgiven."""
    known: float = 30 * 86_400.0
    """How long an address counts as one from which the person logged in before."""
    entries: int = 50_000
    """Most counts kept of each kind, about 50 MiB for all; the longest untouched goes first."""


class Reserved(NamedTuple):
    """The try may go ahead; hand this to `succeeded`, `failed` or `released` when it ends."""

    account: bytes
    pair: bytes
    address: bytes
    known: bool
    """The person logged in from this address before: only the pair counts."""
    slow: bool
    """The address has failed too often lately."""


class Throttled(NamedTuple):
    """Not now."""

    retry_after: int
    """Whole seconds, at least 1."""


class Busy(NamedTuple):
    """Tries that are being checked right now decide about this one: ask again when one has ended."""


class _Count:
    __slots__ = ("failed_at", "failures", "free_at", "in_flight")

    def __init__(self) -> None:
        self.failures = 0
        self.in_flight = 0
        self.failed_at = -math.inf
        self.free_at = -math.inf


class _Ladder:
    """Counts of one kind, each with its own rising delay."""

    def __init__(self, free: int, limits: ThrottleLimits) -> None:
        self._free = free
        self._limits = limits
        self._counts: OrderedDict[bytes, _Count] = OrderedDict()

    def __len__(self) -> int:
        return len(self._counts)

    def judge(self, key: bytes, now: float) -> Throttled | Busy | None:
        count = self._counts.get(key)
        if count is None:
            return None
        if now < count.free_at:
            return Throttled(math.ceil(count.free_at - now))
        if now - count.failed_at >= self._limits.forget:
            count.failures = 0
        # As many at once as there are free tries left; after those, one at a time.
        return Busy() if count.in_flight and count.failures + count.in_flight >= self._free else None

    def begin(self, key: bytes) -> None:
        count = self._counts.setdefault(key, _Count())
        count.in_flight += 1
        self._counts.move_to_end(key)
        if len(self._counts) > self._limits.entries:
            self._counts.popitem(last=False)

    def end(self, key: bytes, *, failed_at: float | None = None, forgive: bool = False) -> None:
        count = self._counts.get(key)
        if count is None:  # pushed out by a flood of others
            return
        count.in_flight = max(0, count.in_flight - 1)
        if forgive:
            count.failures = 0
        if failed_at is not None:
            count.failures += 1
            count.failed_at = failed_at
            steps = count.failures - self._free
            if steps >= 0:
                # 2**30 s is beyond any `longest`, and a float overflows far later.
                count.free_at = failed_at + min(2.0 ** min(steps, 30), self._limits.longest)
        if not count.failures and not count.in_flight:
            del self._counts[key]


class _Leak:
    """Failures of addresses, forgiven one by one as time passes."""

    def __init__(self, limits: ThrottleLimits) -> None:
        self._limits = limits
        self._levels: OrderedDict[bytes, tuple[float, float]] = OrderedDict()

    def level(self, key: bytes, now: float) -> float:
        level, since = self._levels.get(key, (0.0, now))
        return max(0.0, level - (now - since) / self._limits.address_leak)

    def add(self, key: bytes, now: float) -> None:
        self._levels[key] = (min(self.level(key, now), 2.0 * self._limits.address_burst) + 1, now)
        self._levels.move_to_end(key)
        if len(self._levels) > self._limits.entries:
            self._levels.popitem(last=False)


class Throttle:
    """One process's counts. Synchronous, without I/O, and on the monotonic side of the clock it is given."""

    def __init__(self, clock: Clock, limits: ThrottleLimits | None = None) -> None:
        self._now = clock.monotonic
        self._limits = limits or ThrottleLimits()
        self._pairs = _Ladder(self._limits.pair_free, self._limits)
        self._accounts = _Ladder(self._limits.account_free, self._limits)
        self._addresses = _Leak(self._limits)
        self._known: OrderedDict[bytes, float] = OrderedDict()

    @property
    def slow_retry_after(self) -> int:
        """Seconds that a slow address should wait after a failure."""
        return max(1, math.ceil(self._limits.address_leak))

    def reserve(self, account: str, address: str) -> Reserved | Throttled | Busy:
        """Count a try of *account*, in its normal spelling, from *address*; or say that it has to wait."""
        now = self._now()
        place = network(address)
        key, pair, spot = _digest(account), _digest(account, place), _digest(place)
        known = now - self._known.get(pair, -math.inf) < self._limits.known
        answers = [self._pairs.judge(pair, now), None if known else self._accounts.judge(key, now)]
        waits = [answer.retry_after for answer in answers if isinstance(answer, Throttled)]
        if waits:
            return Throttled(max(waits))
        if any(isinstance(answer, Busy) for answer in answers):
            return Busy()
        self._pairs.begin(pair)
        if not known:
            self._accounts.begin(key)
        slow = not known and self._addresses.level(spot, now) >= self._limits.address_burst
        return Reserved(key, pair, spot, known, slow)

    def succeeded(self, reserved: Reserved) -> None:
        """The password was right: pair and account start afresh, and the address is known from now on."""
        self._end(reserved, forgive=True)
        self._known[reserved.pair] = self._now()
        self._known.move_to_end(reserved.pair)
        if len(self._known) > self._limits.entries:
            self._known.popitem(last=False)

    def failed(self, reserved: Reserved) -> None:
        """The password was wrong: the next try may have to wait longer."""
        now = self._now()
        self._end(reserved, failed_at=now)
        self._addresses.add(reserved.address, now)

    def released(self, reserved: Reserved) -> None:
        """Nothing was learnt (a dependency failed, the client left): the try never happened."""
        self._end(reserved)

    def _end(self, reserved: Reserved, *, failed_at: float | None = None, forgive: bool = False) -> None:
        self._pairs.end(reserved.pair, failed_at=failed_at, forgive=forgive)
        # A known address did not ask the account's count, so it must not reset it for the strangers either.
        if not reserved.known:
            self._accounts.end(reserved.account, failed_at=failed_at, forgive=forgive)


def network(address: str) -> str:
    """Return whose address this is: one IPv4 address, or the /64 of an IPv6 address, which one customer owns whole."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.IPv6Address(int(ip) >> 64 << 64))


def _digest(*parts: str) -> bytes:
    """Return a key of fixed size, whatever lengths a client chooses."""
    return hashlib.blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).digest()
