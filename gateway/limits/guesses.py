"""The brake on guessing secrets: who may try now, who must wait, and for how long. Its words; counting is the store's.

Four counts:

* the **pair** (this account from this address): a few free tries, then 1 s, 2 s, 4 s … up to 15 minutes
* the **account** from anywhere: more free tries, then the same ladder; an address from which the person logged in
  before does not climb it, so that strangers cannot lock anybody out. A browser in which they did has a ladder of its
  own in place of both, so that it is not held up by its neighbours at the same address either
* all that is **known** to the account, those addresses and browsers together: more free tries yet, then the same
  ladder, so that who knew the password once, and made many of them known, has no tries for each
* the **address** over all accounts: never refuses, because many people may share it; its tries are marked slow, for
  the narrow lane of `users.turnstile`

A try is counted *before* the secret is checked and given back when it succeeds or could not be checked, so a hundred
guesses at once do not slip past the count together: those beyond the free tries are `Busy` until an earlier one ends.
Nothing depends on whether the account exists. No delay is permanent.

Sources: NIST SP 800-63B 5.2.2, OWASP ASVS 6.3.1, 6.3.5.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol


@dataclass(frozen=True, slots=True)
class ThrottleLimits:
    """How patient the brake is; seconds."""

    pair_free: int = 5
    account_free: int = 10
    known_free: int = 30
    """Of all known addresses and browsers of an account together: some more than a person with a forgotten password
    makes in all of theirs."""
    first: float = 1.0
    """Foot of the ladder; each step is twice the one before."""
    longest: float = 900.0
    """Top of the ladder. A count is forgotten after this long for each failure in it, so that nobody gets more tries
    by waiting for that than by waiting at the top."""
    forget: float = 86_400.0
    """A count without failures for this long is gone, however many there were."""
    address_burst: int = 50
    """Failures of one address, over all accounts, before it is slow."""
    address_leak: float = 10.0
    """Every so many seconds one of them is forgiven."""
    known: float = 30 * 86_400.0
    """How long an address counts as one from which the person logged in before."""
    lease: float = 60.0
    """A try that has not ended after this long is over: its gateway was killed."""

    @property
    def slow_retry_after(self) -> int:
        """Whole seconds that a slow address should wait after a failure."""
        return max(1, math.ceil(self.address_leak))


class Guess(NamedTuple):
    """What is to be tried."""

    account: str
    """In its normal spelling."""
    address: str
    """The client's; its network counts (`limits.failures.network`)."""
    kind: str = "password"
    """Secrets of another kind have counts of their own."""
    device: str = ""
    """Names a browser in which somebody logged in to this account before, as its mark proves (`tokens.device`)."""


class Reserved(NamedTuple):
    """The try may go ahead; hand this to `succeeded`, `failed` or `released` when it ends."""

    guess: Guess
    turn: str
    """Names this try among those of the account."""
    known: bool
    """The person logged in from this address or with this browser before: it counts among those, not with strangers."""
    slow_for: int = 0
    """The address has failed too often lately, and should wait so many seconds after a failure; else 0."""


class Throttled(NamedTuple):
    """Not now."""

    retry_after: int
    """Whole seconds, at least 1."""


class Busy(NamedTuple):
    """Tries that are being checked right now decide about this one: ask again when one has ended."""


class Throttle(Protocol):
    """Keeps the counts. Every method may raise `StoreUnavailable`; a try that was reserved then ends with its lease."""

    async def reserve(self, guess: Guess) -> Reserved | Throttled | Busy:
        """Count a try, or say that it has to wait."""
        ...

    async def succeeded(self, reserved: Reserved) -> None:
        """The secret was right: the counts start afresh, and the address is known from now on."""
        ...

    async def failed(self, reserved: Reserved) -> None:
        """The secret was wrong: the next try may have to wait longer."""
        ...

    async def released(self, reserved: Reserved) -> None:
        """Nothing was learnt (a dependency failed, the client left): the try never happened."""
        ...
