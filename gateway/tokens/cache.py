"""Tokens that were verified a moment ago: the answer for nearly every request, at the price of a dictionary look-up.

The key is the whole token, byte for byte, so no other token can ever meet its entry. Only what was verified is kept:
nothing a stranger sends takes room. An entry says who, never what they may do, and it counts only as long as the
token lives, the key ring is the one that verified it, and no revocation has come that concerns it.

Room is bounded by two generations: new entries go to the young one; when it is full it becomes the old one, and what
is not asked for again until the next turn is gone. A hit in the young generation writes nothing.
"""

from collections.abc import Callable
from typing import Any, Protocol, final

from gateway.tokens.ring import KeyRing
from gateway.tokens.verify import Identity, Invalid

_EXPIRED = Invalid("token_expired", "expired")
_REVOKED = Invalid("token_revoked", "revoked")

ENTRY_BYTES = 2600
"""What an entry holds beside the token, its claims and its header lines: measured with 12 claims and two roles."""


class Revocations(Protocol):
    """What the cache asks of the revocation table."""

    @property
    def epoch(self) -> int:
        """Changes with every revocation that is learned."""
        ...

    def is_dead(self, identity: Identity) -> bool:
        """Whether a revocation concerns *identity*."""
        ...


class Judge(Protocol):
    """What the cache asks of a verifier."""

    def verify(self, token: bytes, now: float) -> Identity | Invalid: ...

    def over_at(self, identity: Identity) -> float:
        """Return the Unix time from which *identity* counts no more, leeway included."""
        ...


@final
class Verified:
    """A verified token: who it speaks for, and the header lines that say so to the upstream."""

    __slots__ = ("epoch", "expires", "generation", "head", "identity", "limits", "passes")

    def __init__(self, identity: Identity, head: bytes, epoch: int, expires: float, generation: int) -> None:
        self.identity = identity
        self.head = head
        self.epoch = epoch
        """The last state of the revocation table that this entry was compared with."""
        self.expires = expires
        """Unix time from which the token is over, leeway included."""
        self.generation = generation
        """The generation of the key ring that verified it."""
        self.passes: object = None
        """The last rule that its owner passed: neither ever changes, so neither does that."""
        self.limits: dict[str, Any] | None = None
        """What limits have read of it, by their names."""


class VerifiedTokens:
    """Judges tokens, remembering the good ones. For one thread: the event loop's."""

    __slots__ = (
        "_going",
        "_limit_bytes",
        "_limit_entries",
        "_old",
        "_render",
        "_revocations",
        "_ring",
        "_verifier",
        "_young",
        "_young_bytes",
        "misses",
    )

    def __init__(
        self,
        verifier: Judge,
        revocations: Revocations,
        render: Callable[[Identity], bytes],
        ring: KeyRing,
        max_entries: int = 50_000,
        max_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        """Keep at most *max_entries* tokens in about *max_bytes*; *render* makes the header lines of an identity."""
        self._verifier = verifier
        self._revocations = revocations
        self._render = render
        self._ring = ring
        self._limit_entries = max(1, max_entries // 2)
        self._limit_bytes = max_bytes // 2
        self._young: dict[bytes, Verified] = {}
        self._old: dict[bytes, Verified] = {}
        self._going: dict[bytes, Verified] = {}
        """The last generation but one: let go a few at a time, as thousands at once would stall every request."""
        self._young_bytes = 0
        self.misses = 0
        """Tokens that had to be verified; the rest of the calls were hits."""

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def remembers(self, token: bytes) -> bool:
        """Whether *token* was verified a while ago; says nothing about whether it still counts."""
        return token in self._young or token in self._old

    def lives(self, verified: Verified) -> bool:
        """Whether no revocation has come that concerns a token which was verified a while ago."""
        return verified.epoch == self._revocations.epoch or not self._revocations.is_dead(verified.identity)

    def check(self, token: bytes, now: float) -> Verified | Invalid:
        """Judge *token* at *now*, exactly as the verifier and the revocation table would."""
        entry = self._young.get(token)
        if (
            entry is not None
            and now < entry.expires
            and entry.epoch == self._revocations.epoch
            and entry.generation == self._ring.generation
        ):
            return entry
        return self._look_closer(token, now)

    def _look_closer(self, token: bytes, now: float) -> Verified | Invalid:
        entry = self._young.get(token) or self._old.get(token)
        if entry is None or entry.generation != self._ring.generation:
            self._drop(token)
            return self._verify(token, now)
        if now >= entry.expires:
            self._drop(token)
            return _EXPIRED
        epoch = self._revocations.epoch
        if entry.epoch != epoch:
            if self._revocations.is_dead(entry.identity):
                self._drop(token)
                return _REVOKED
            entry.epoch = epoch
        if token not in self._young:
            self._old.pop(token, None)
            self._keep(token, entry)
        return entry

    def _verify(self, token: bytes, now: float) -> Verified | Invalid:
        self.misses += 1
        generation = self._ring.generation
        epoch = self._revocations.epoch
        identity = self._verifier.verify(token, now)
        if isinstance(identity, Invalid):
            return identity
        if self._revocations.is_dead(identity):
            return _REVOKED
        expires = self._verifier.over_at(identity)  # the verifier's own boundary, in its own arithmetic
        entry = Verified(identity, self._render(identity), epoch, expires, generation)
        self._keep(token, entry)
        return entry

    def _keep(self, token: bytes, entry: Verified) -> None:
        size = _size(token, entry)
        if len(self._young) >= self._limit_entries or self._young_bytes + size > self._limit_bytes:
            self._going = self._old
            self._old = self._young
            self._young = {}
            self._young_bytes = 0
        if size <= self._limit_bytes:
            self._young[token] = entry
            self._young_bytes += size
        for _ in range(min(4, len(self._going))):
            self._going.popitem()

    def _drop(self, token: bytes) -> None:
        entry = self._young.pop(token, None)
        if entry is not None:
            self._young_bytes -= _size(token, entry)
        self._old.pop(token, None)


def _size(token: bytes, entry: Verified) -> int:
    # Read claims take about three times the room of their text, which is most of a token.
    return ENTRY_BYTES + 3 * len(token) + len(entry.head)
