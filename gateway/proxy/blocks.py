"""Blocks of header fields that were read a moment ago, by their bytes.

A client sends the same block with nearly every request, on however many connections: a browser opens six, and a load
balancer in front mixes its clients on a few. So the memory belongs to the configuration in force, not to a connection.
The key is the whole block, so no other block can ever meet its entry; what it means is the same whoever sent it.

Room is bounded as in `tokens.cache`: by two generations, of which the older goes when the younger is full. A block is
kept when it comes for the second time, so those that never come again (with a trace identifier, say) take no room and
push nobody out.
"""

from gateway.head import Fields

MAX_BLOCK = 4 * 1024
"""Bytes of a block worth remembering."""
GENERATION = 4 * 1024 * 1024
"""Bytes of blocks in one generation; what was read of them takes about as much again, twice."""
NEWCOMERS = 8192
"""Blocks seen once that are known by their hash."""


class Blocks:
    """Fields by the bytes they were read from. `young` is for looking things up; `aged` and `keep` do the rest."""

    __slots__ = ("_newcomers", "_old", "_size", "young")

    def __init__(self) -> None:
        self.young: dict[bytes, Fields] = {}
        self._old: dict[bytes, Fields] = {}
        self._size = 0
        self._newcomers: set[int] = set()

    def __len__(self) -> int:
        return len(self.young) + len(self._old)

    def aged(self, block: bytes) -> Fields | None:
        """Return what was read of a *block* that is not among the young; from now on it is."""
        fields = self._old.pop(block, None)
        if fields is not None:
            self._remember(block, fields)
        return fields

    def keep(self, block: bytes, fields: Fields) -> None:
        """Remember *fields*, which were read from *block*, if it has come before."""
        if len(block) > MAX_BLOCK:
            return
        newcomers, mark = self._newcomers, hash(block)
        if mark not in newcomers:
            if len(newcomers) >= NEWCOMERS:
                newcomers.clear()
            newcomers.add(mark)
            return
        self._remember(block, fields)

    def _remember(self, block: bytes, fields: Fields) -> None:
        if self._size + len(block) > GENERATION:
            self._old, self.young = self.young, {}
            self._size = 0
        self.young[block] = fields
        self._size += len(block)
