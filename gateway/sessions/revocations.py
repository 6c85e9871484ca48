"""What has been revoked, held in this process: the question "is this token dead?" costs no I/O.

An entry says that tokens of one kind and value with a stamp up to its cut-off are dead, and when the entry itself may
be forgotten (no token it speaks of lives longer). Merging takes the later of both, so entries may come in any order and
any number of times; nothing is ever un-revoked, it only ages out.

Memory is bounded. When the table is full it is coarsened: the entries are replaced by one cut-off for everyone. That
refuses some good access tokens, each of which is mended by a refresh; it never lets a bad one pass and never ends a
session, which is why a coarse cut-off stays out of `wide_cut` and of the feed.
"""

from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from heapq import heappop, heappush
from typing import NamedTuple

from gateway.tokens.verify import Identity

FOREVER = 2**53 - 1
"""A cut-off after every stamp; the largest integer that Lua, JSON and Redis scores agree on."""


class Kind(Enum):
    """What an entry names; the values are the feed's words."""

    TOKEN = "jti"  # noqa: S105 - a claim name
    SESSION = "sid"
    SUBJECT = "sub"
    """By subject tag, in hex, so that equal names of different issuers never meet."""
    GRANTS = "gra"
    """By subject tag as well: the user lost a role, so their tokens are dead and their sessions are not."""
    CLIENT = "cli"
    TENANT = "ten"
    KEY = "key"
    ALL = "all"

    @property
    def word(self) -> str:
        """What people call it: token, session, user, grants, client, tenant, key or all."""
        return "user" if self is Kind.SUBJECT else self.name.lower()


WIDE = frozenset({Kind.CLIENT, Kind.TENANT, Kind.ALL})
"""Kinds whose cut-off must also stop refreshes that come after the feed forgot the entry."""


class Entry(NamedTuple):
    """One revocation."""

    kind: Kind
    value: str
    """The jti, sid, subject tag, client, tenant or kid; "" for `ALL`."""
    cut_ms: int = FOREVER
    """Tokens with a stamp up to this are dead."""
    expires_ms: int = 0
    """When the entry may be forgotten, by the store's clock; 0 for "after the retention"."""
    reason: str = ""
    actor: str = ""


class _Mark(NamedTuple):
    cut_ms: int
    expires_ms: int


class Revocations:
    """The table.

    `epoch` grows with every entry that can change an answer, so a cached answer knows when to ask again.
    """

    def __init__(
        self,
        tag_of: Callable[[str, str | None, str], str],
        *,
        max_entries: int = 100_000,
        on_applied: Callable[[Entry], None] = lambda entry: None,
    ) -> None:
        """*tag_of* gives the subject tag of (issuer, tenant, subject) in hex; *on_applied* ends open streams."""
        self.epoch = 0
        self.coarsened = 0
        """How often the table was full."""
        self._tag_of = tag_of
        self._max = max_entries
        self._on_applied = on_applied
        self._marks: dict[Kind, dict[str, _Mark]] = {kind: {} for kind in Kind}
        self._tokens, self._sessions = self._marks[Kind.TOKEN], self._marks[Kind.SESSION]
        self._subjects, self._clients = self._marks[Kind.SUBJECT], self._marks[Kind.CLIENT]
        self._tenants, self._keys = self._marks[Kind.TENANT], self._marks[Kind.KEY]
        self._grants = self._marks[Kind.GRANTS]
        self._by_expiry: list[tuple[int, str, str]] = []
        self._everyone = 0
        self._coarse = 0
        self._coarse_until = 0
        self._durable: dict[str, int] = {}

    def __len__(self) -> int:
        return sum(map(len, self._marks.values()))

    def is_dead(self, identity: Identity) -> bool:
        """Say whether a token was revoked. The one place where a stamp is compared with a cut-off."""
        return identity.issued_ms <= self._coarse or self.names(identity)

    def names(self, identity: Identity) -> bool:
        """Say whether somebody revoked the token; as `is_dead` without what coarsening refuses for want of room."""
        stamp = identity.issued_ms
        return (
            stamp <= self._everyone
            or identity.token_id in self._tokens
            or identity.session in self._sessions
            or _reaches(self._clients, identity.client, stamp)
            or _reaches(self._keys, identity.key, stamp)
            or (identity.tenant is not None and _reaches(self._tenants, identity.tenant, stamp))
            or (bool(self._subjects or self._grants) and self._is_dead_by_subject(identity))
        )

    def _is_dead_by_subject(self, identity: Identity) -> bool:
        # Asked last, and only when any user is revoked: the tag costs an HMAC.
        tag = self._tag_of(identity.issuer, identity.tenant, identity.subject)
        return _reaches(self._subjects, tag, identity.issued_ms) or _reaches(self._grants, tag, identity.issued_ms)

    def has_session(self, session: str) -> bool:
        """Say whether this very session is revoked (never by coarsening)."""
        return session in self._sessions

    def holds(self, entry: Entry) -> bool:
        """Say whether *entry* would add nothing to what is dead already."""
        mark = self._marks[entry.kind].get(entry.value)
        return mark is not None and mark.cut_ms >= entry.cut_ms

    def wide_cut(self, client: str, tenant: str | None, tag: str) -> int:
        """Return the latest authentic cut-off a session of this user and client must be younger than; 0 for none."""
        cuts = [
            self._durable.get(durable_name(Kind.ALL, ""), 0),
            self._durable.get(durable_name(Kind.CLIENT, client), 0),
        ]
        if tenant is not None:
            cuts.append(self._durable.get(durable_name(Kind.TENANT, tenant), 0))
        if (mark := self._subjects.get(tag)) is not None:
            cuts.append(mark.cut_ms)
        return max(cuts)

    def apply(self, entry: Entry, now_ms: int) -> bool:
        """Merge *entry*; say whether that changed anything. What expired by *now_ms* is ignored."""
        if entry.expires_ms <= now_ms or (not entry.value and entry.kind is not Kind.ALL):
            return False
        marks = self._marks[entry.kind]
        old = marks.get(entry.value)
        if old is None:
            new = _Mark(entry.cut_ms, entry.expires_ms)
        else:
            new = _Mark(max(old.cut_ms, entry.cut_ms), max(old.expires_ms, entry.expires_ms))
            if new == old:
                return False
        if old is None and len(self) >= self._max:
            self.sweep(now_ms, limit=self._max)
            if len(self) >= self._max:
                self._coarsen(now_ms)
        marks[entry.value] = new
        if old is None or new.expires_ms != old.expires_ms:
            heappush(self._by_expiry, (new.expires_ms, entry.kind.value, entry.value))
        if old is None or new.cut_ms != old.cut_ms:
            if entry.kind in WIDE:
                self.keep_durable({durable_name(entry.kind, entry.value): entry.cut_ms})
            self._changed()
            self._on_applied(entry)
        return True

    def keep_durable(self, cuts: Mapping[str, int]) -> None:
        """Merge the durable cut-offs of clients, tenants and everyone, which refreshes have to respect."""
        for field, cut in cuts.items():
            self._durable[field] = max(cut, self._durable.get(field, 0))

    def sweep(self, now_ms: int, limit: int = 1000) -> int:
        """Forget at most *limit* entries that no live token can match; return how many are gone."""
        gone = 0
        heap = self._by_expiry
        while heap and heap[0][0] <= now_ms and gone < limit:
            _, kind, value = heappop(heap)
            marks = self._marks[Kind(kind)]
            # Looked up again: a later entry may have made it live longer, and then it is in the heap once more.
            if (mark := marks.get(value)) is not None and mark.expires_ms <= now_ms:
                del marks[value]
                gone += 1
        if self._coarse and self._coarse_until <= now_ms:
            self._coarse = 0
        self._everyone = self._cut_for_everyone()
        return gone

    def entries(self) -> Iterator[Entry]:
        """Yield what is held, coarse cut-offs left out."""
        for kind, marks in self._marks.items():
            for value, mark in list(marks.items()):
                yield Entry(kind, value, mark.cut_ms, mark.expires_ms)

    def _coarsen(self, now_ms: int) -> None:
        """Replace every narrow entry by one cut-off for everyone."""
        self.coarsened += 1
        narrow = (self._tokens, self._sessions, self._subjects, self._grants)
        until = max((mark.expires_ms for marks in narrow for mark in marks.values()), default=now_ms)
        # A stamp can be a moment ahead of the clock when it had to pass a cut-off; those are covered too.
        cuts = [
            mark.cut_ms for marks in (self._subjects, self._grants) for mark in marks.values() if mark.cut_ms != FOREVER
        ]
        self._coarse = max([self._coarse, now_ms + 1000, *cuts])
        self._coarse_until = max(self._coarse_until, until)
        for marks in narrow:
            marks.clear()
        self._by_expiry = [item for item in self._by_expiry if item[2] in self._marks[Kind(item[1])]]
        if len(self) >= self._max:  # not even the wide ones leave room: only a broken feed does that
            wide = [mark for marks in self._marks.values() for mark in marks.values()]
            # Wider still: one of them may be for ever, as a key that was stolen is.
            self._coarse = max(self._coarse, *(mark.cut_ms for mark in wide))
            self._coarse_until = max(self._coarse_until, *(mark.expires_ms for mark in wide))
            for marks in self._marks.values():
                marks.clear()
            self._by_expiry = []
        self._changed()

    def _changed(self) -> None:
        self.epoch += 1
        self._everyone = self._cut_for_everyone()

    def _cut_for_everyone(self) -> int:
        mark = self._marks[Kind.ALL].get("")
        return 0 if mark is None else mark.cut_ms


def durable_name(kind: Kind, value: str) -> str:
    """Return the field under which the store keeps a wide cut-off."""
    return kind.value if kind is Kind.ALL else f"{kind.value}:{value}"


def _reaches(marks: Mapping[str, _Mark], value: str, stamp: int) -> bool:
    mark = marks.get(value)
    return mark is not None and stamp <= mark.cut_ms
