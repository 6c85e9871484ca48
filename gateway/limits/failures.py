"""The budget of forged tokens: what an address may make us verify in vain.

A signature costs 30 to 90 µs to refuse, so an address that sends invalid tokens at full speed would keep a core busy
(performance.md 2.1, rule 10). Each failed verification spends from the budget of its address; an address whose budget
is spent is refused before any cryptography. Who never failed has no entry, and asking about him is one dictionary miss.
"""

import math
import socket

from gateway.limits.buckets import Buckets

_MAPPED = bytes(10) + b"\xff\xff"
"""How the IPv6 form of an IPv4 address begins (RFC 4291 section 2.5.5.2)."""


class FailedTokens:
    """Failed verifications per client address, an IPv6 address counting as its /64."""

    __slots__ = ("_buckets", "_failed")

    def __init__(self, burst: int = 60, rate: float = 10.0, *, entries: int = 50_000) -> None:
        """Allow *burst* failures at once and *rate* a second after that."""
        self._buckets = Buckets(rate, burst, entries=entries)
        self._failed = self._buckets.used

    def __len__(self) -> int:
        return len(self._failed)

    def is_spent(self, address: str, now: float) -> bool:
        """Whether *address* has to wait before another token of it is verified."""
        failed = self._failed
        if not failed:
            return False
        key = network(address) if ":" in address else address
        return key in failed and self._buckets.wait(key, now) > 0

    def spend(self, address: str, now: float) -> None:
        """Count a token from *address* that failed verification."""
        self._buckets.take(network(address), now)

    def retry_after(self, address: str, now: float) -> int:
        """Return the whole seconds until *address* may try again, at least 1: for `Retry-After`."""
        return max(1, math.ceil(self._buckets.wait(network(address), now)))


def network(address: str) -> str | bytes:
    """Return whose *address* this is: the address itself, or the /64 of an IPv6 one, which one customer owns whole.

    The IPv6 form of an IPv4 address is that IPv4 address; text that is no address stands for itself.
    """
    if ":" not in address:
        return address
    try:
        packed = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
    except OSError:
        return address
    return socket.inet_ntop(socket.AF_INET, packed[12:]) if packed.startswith(_MAPPED) else packed[:8]
