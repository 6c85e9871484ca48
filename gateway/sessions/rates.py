"""The buckets of limits, in the store: one number each, gone by itself when the bucket is full.

Whose bucket it is, is there as a keyed hash alone: who reads the store learns neither addresses nor names.
"""

import hashlib
import hmac
from collections.abc import Sequence
from contextlib import suppress

from gateway.errors import StoreUnavailable
from gateway.limits.shared import Spent
from gateway.sessions.address import Topology
from gateway.sessions.link import script
from gateway.sessions.replies import number
from gateway.sessions.store import SessionStore

AT_ONCE = 250
"""Buckets in one script: less than a millisecond of the server's time."""
_SLOTS = 16
"""Over so many slots buckets are spread in a cluster, whose scripts see one slot each."""


class StoredRates:
    """Tells the store what was taken, and learns what others took."""

    def __init__(self, store: SessionStore, key: bytes) -> None:
        """*key* hides whose buckets they are; all gateways have the same."""
        self._link = store.link
        self._keys = store.keys
        self._key = key
        self._slots = _SLOTS if store.address.place.topology is Topology.CLUSTER else 1
        self._spend = script("spend")

    async def spend(self, spent: Sequence[Spent]) -> list[float | None]:
        """Take *spent*; return for each bucket the seconds from now to when it is full, None where it was not taken."""
        full_in: list[float | None] = [None] * len(spent)
        marks = [self._mark(one) for one in spent]
        by_slot: dict[int, list[int]] = {}
        for at, mark in enumerate(marks):
            by_slot.setdefault(mark[0] % self._slots, []).append(at)
        parts = [(slot, places[at : at + AT_ONCE]) for slot, places in by_slot.items() for at in _starts(places)]
        with suppress(StoreUnavailable):  # counted and told of by the link
            for slot, places in parts:
                keys = [self._keys.bucket(slot, marks[at]) for at in places]
                arguments = [_us(seconds) for at in places for seconds in (spent[at].before, spent[at].seconds)]
                for at, reply in zip(places, await self._link.run(self._spend, keys, arguments), strict=True):
                    full_in[at] = number(reply) / 1e6
        return full_in

    def _mark(self, one: Spent) -> bytes:
        key = one.key if isinstance(one.key, bytes) else one.key.encode("utf-8", "surrogatepass")
        # Text and bytes are told apart, and where the name ends: no two buckets run into one another.
        message = b"%d %b %d %b" % (len(one.buckets.name), one.buckets.name.encode(), isinstance(one.key, str), key)
        return hmac.digest(self._key, message, hashlib.sha256)[:16]


def _starts(places: Sequence[int]) -> range:
    return range(0, len(places), AT_ONCE)


def _us(seconds: float) -> int:
    return round(seconds * 1e6)
