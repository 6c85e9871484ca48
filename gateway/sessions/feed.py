"""How a revocation reaches every process: one stream in the store, written by all and read by all.

The stream keeps what is younger than any token can be old, so reading it from its beginning yields the whole state of
revocation: after any doubt (a new connection, an error, a canary that did not come back) that is what happens, and no
logic about gaps exists. Between, a blocking read applies an entry about a millisecond after it was written.

Every two seconds each process writes a canary and must read it back. The stream is ordered, so a canary that was seen
proves that everything written before it was *sent* has been applied, without comparing clocks; that moment is what the
state below is counted from. Guarantee: a FRESH process enforces every revocation acknowledged more than three seconds
ago. The canary also measures how far this process's clock is from the store's.

After a full read, entries that this process holds and the stream has lost (a failover) are written again.
"""

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Protocol

from gateway.clock import Clock
from gateway.errors import StoreUnavailable
from gateway.sessions.link import Argument, Link, script
from gateway.sessions.replies import Reply, items, number, text
from gateway.sessions.revocations import FOREVER, Entry, Kind, Revocations
from gateway.sessions.store import SessionStore

_CANARY = "hb"
_EVERY = 2.0
_OVERDUE = 1.0
_PAGE = 1000
_BLOCK = 1.0

# Longer values were not written by us; a jti of another issuer may have up to 255 characters.
_LONGEST = 255

# What is written again after a full read: enough for any normal state, little enough not to be a storm.
_REPEATED = 5000
_REPEATED_AT_ONCE = 200


class FeedState(Enum):
    """How far the table can be trusted."""

    FRESH = "fresh"
    """Everything up to three seconds ago has been applied."""
    LAGGING = "lagging"
    """Up to fifteen seconds are missing; strict routes ask the store."""
    STALE = "stale"
    """More is missing; strict routes are refused, others go on until `max_stale`."""
    COLD = "cold"
    """Never synchronised since the start: nothing may be served."""


class Sleep(Protocol):
    """Waiting, given so that a test need not."""

    async def __call__(self, seconds: float, /) -> object: ...


class Feed:
    """This process's end of the revocation feed."""

    def __init__(
        self,
        store: SessionStore,
        table: Revocations,
        clock: Clock,
        *,
        replica: str,
        retention: float,
        fresh_for: float = 3.0,
        lagging_for: float = 15.0,
        max_stale: float = 600.0,
        sleep: Sleep = asyncio.sleep,
        on_event: Callable[[str, Mapping[str, object]], None] = lambda event, facts: None,
    ) -> None:
        """*retention*: the longest life of an access token, leeway, and a minute. *replica* names this process."""
        self._store = store
        self._table = table
        self._clock = clock
        self._replica = replica
        self._retention_ms = round(retention * 1000)
        self._fresh_for, self._lagging_for, self._max_stale = fresh_for, lagging_for, max_stale
        self._sleep = sleep
        self._on_event = on_event
        self._publish = script("publish")
        self._time = script("clock")
        self._fresh_at: float | None = None
        self._beat = 0
        self._sent: dict[str, float] = {}
        self._last_id = b"0-0"
        self._untold: set[tuple[Kind, str]] = set()
        self.offset = 0.0
        """Seconds the store's clock is ahead of this process's; tokens are judged by the store's."""
        self.resyncs = 0
        """How often the stream was read from its beginning."""

    def renew(self, retention: float, max_stale: float) -> None:
        """Go by these from now on; what older tokens need is kept: *retention* only ever grows."""
        self._retention_ms = max(self._retention_ms, round(retention * 1000))
        self._max_stale = max_stale

    @property
    def age(self) -> float:
        """Seconds since the moment up to which everything is known to be applied; infinite before the first read."""
        return float("inf") if self._fresh_at is None else self._clock.monotonic() - self._fresh_at

    @property
    def state(self) -> FeedState:
        """How far the table can be trusted right now."""
        if self._fresh_at is None:
            return FeedState.COLD
        age = self.age
        if age <= self._fresh_for:
            return FeedState.FRESH
        return FeedState.LAGGING if age <= self._lagging_for else FeedState.STALE

    @property
    def is_ready(self) -> bool:
        """Say whether ordinary routes may be served by the table: synchronised once, and not stale for too long."""
        return self.age <= self._max_stale

    def now_ms(self) -> int:
        """Return the store's time as well as this process knows it."""
        return round((self._clock.wall() + self.offset) * 1000)

    def note(self, *entries: Entry) -> None:
        """Apply *entries* to this process alone: what it decided it enforces at once, whatever becomes of the rest."""
        now = self.now_ms()
        for entry in entries:
            expires = entry.expires_ms or now + self._retention_ms
            self._table.apply(entry._replace(expires_ms=expires), now)
            self._untold.add((entry.kind, entry.value))

    async def publish(self, *entries: Entry) -> None:
        """Enforce *entries* here at once, then tell every other process.

        What has been told already is not told again: nobody fills the feed by logging out a thousand times.

        Raises:
            StoreUnavailable: not told; they are enforced here, and told when asked again or after the next full read.
        """
        news = [e for e in entries if (e.kind, e.value) in self._untold or not self._table.holds(e)]
        if news:
            self.note(*news)
            await self._append(news)
            self._untold.difference_update((e.kind, e.value) for e in news)

    async def follow(self) -> None:
        """Keep the table in step until cancelled; trouble with the store is waited out here and never raised."""
        pause = 0.1
        is_interrupted = False
        while True:
            reader = self._store.reader(block=_BLOCK)
            before = self._fresh_at
            try:
                await self._follow_once(reader)
            except StoreUnavailable as error:
                # Said once for each interruption, not for each attempt.
                if not is_interrupted or self._fresh_at != before:
                    self._on_event("feed_interrupted", {"reason": str(error), "state": self.state.value})
                is_interrupted = True
            finally:
                await reader.close()
            # Jitter, so that a store that comes back is not met by every replica in one moment.
            pause = 0.1 if self._fresh_at != before else min(pause * 2, 5.0)
            await self._sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load, guards nothing

    async def _follow_once(self, reader: Link) -> None:
        lost = await self.resync(reader)
        tasks = [asyncio.ensure_future(work) for work in (self._read(reader), self._canaries(), self._repeat(lost))]
        try:
            # The repetition ends by itself; the other two only with an error.
            pending = set(tasks)
            while pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            # Not awaited one by one with their cancellation suppressed: that would swallow our own, and stop never.
            await asyncio.gather(*tasks, return_exceptions=True)

    async def resync(self, reader: Link) -> list[Entry]:
        """Read the whole stream; return the entries that it should hold and does not.

        From the beginning, never from where we were: after a failover the new primary's ids may be lower.
        """
        before = self._clock.wall()
        (now,) = await reader.run(self._time, (self._store.keys.stream,))
        self._compare(before, number(now))
        is_cold = self._fresh_at is None
        is_new = await reader.command("HGET", self._store.keys.meta, "epoch") is None
        self._sent.clear()
        self._last_id = b"0-0"
        seen: dict[tuple[Kind, str], int] = {}
        while True:
            asked = self._clock.monotonic()
            rows, entries = await self._page(reader)
            for entry in entries:
                key = (entry.kind, entry.value)
                seen[key] = max(entry.cut_ms, seen.get(key, 0))
            if rows < _PAGE:
                break
            await asyncio.sleep(0)
        self._table.keep_durable(await self._store.cuts())
        self._untold.difference_update(seen)
        lost = [entry for entry in self._table.entries() if seen.get((entry.kind, entry.value), -1) < entry.cut_ms]
        if is_new:
            await self._begin_epoch(lost, is_cold=is_cold)
            lost = []
        # Everything written before the last page was asked for has been applied.
        self._fresh_at = asked
        self.resyncs += 1
        self._on_event("feed_synchronised", {"entries": len(seen), "offset": self.offset, "first": is_cold})
        return lost

    async def _begin_epoch(self, known: list[Entry], *, is_cold: bool) -> None:
        """Say what is known of revocations to a store that is new, or has lost everything, and mark it as begun.

        A process that knows nothing itself cannot vouch for any token issued before now, so it revokes them all: each
        costs one refresh, if its session is still there. One that held its table gives it back instead.
        """
        if is_cold:
            everyone = Entry(Kind.ALL, "", self.now_ms(), reason="epoch")
            self.note(everyone)
            known = [*known, everyone]
        await self._write_again(known)
        # Last: whoever sees the mark also sees the entries.
        await self._store.link.command("HSETNX", self._store.keys.meta, "epoch", self.now_ms())

    async def _read(self, reader: Link) -> None:
        while True:
            await self._page(reader, "BLOCK", round(_BLOCK * 1000))
            now = self._clock.monotonic()
            if any(now - sent > _OVERDUE for sent in self._sent.values()):
                raise StoreUnavailable("the feed's own canary did not come back")

    async def _page(self, reader: Link, *block: Argument) -> tuple[int, list[Entry]]:
        """Read and apply what comes next; return the number of rows, canaries too, and the entries that still count."""
        reply = await reader.command("XREAD", "COUNT", _PAGE, *block, "STREAMS", self._store.keys.stream, self._last_id)
        rows = 0
        found = []
        now = self.now_ms()
        for stream in items(reply):
            for row in items(items(stream)[1]):
                rows += 1
                identifier, pairs = items(row)
                entry = self._entry(pairs)
                if entry is not None and entry.expires_ms > now:
                    self._table.apply(entry, now)
                    found.append(entry)
                if isinstance(identifier, bytes):
                    self._last_id = identifier
        return rows, found

    def _entry(self, pairs: Reply) -> Entry | None:
        """Return the entry of a stream row; None for a canary and for what is not of our making."""
        flat = [text(part) for part in items(pairs)]
        row = dict(zip(flat[::2], flat[1::2], strict=False))
        kind, value = row.get("k", ""), row.get("v", "")
        if kind == _CANARY:
            if row.get("o") == self._replica and (sent := self._sent.pop(value, None)) is not None:
                self._fresh_at = max(sent, self._fresh_at or sent)
            return None
        try:
            entry = Entry(
                Kind(kind), value, int(row["c"]), int(row["x"]), reason=row.get("r", ""), actor=row.get("a", "")
            )
        except (KeyError, ValueError):
            self._on_event("feed_entry_unreadable", {"kind": kind[:16]})
            return None
        return entry if len(value) <= _LONGEST else None

    async def _canaries(self) -> None:
        while True:
            self._beat += 1
            name = str(self._beat)
            # Before sending: the reader may see it before the answer to the writer arrives.
            sent, wall = self._clock.monotonic(), self._clock.wall()
            self._sent[name] = sent
            try:
                stamp, has_epoch = await self._append([], canary=name)
            except StoreUnavailable:
                self._sent.pop(name, None)
                raise
            if not has_epoch:
                raise StoreUnavailable("the store has lost its data")
            self._compare(wall, stamp)
            self._table.sweep(self.now_ms())
            await self._sleep(_EVERY)

    def _compare(self, before: float, stamp: int) -> None:
        """Take over how far the clocks are apart: *stamp* was made by the store between *before* and now.

        What is known already and fits is kept, so that one late answer on a busy machine does not move the time.
        """
        earliest, latest = stamp / 1000 - self._clock.wall(), (stamp + 1) / 1000 - before
        self.offset = min(max(self.offset, earliest), latest)

    async def _repeat(self, lost: list[Entry]) -> None:
        """Write again what the stream has lost; other replicas may do the same, and entries merge."""
        if not lost:
            return
        await self._sleep(random.uniform(0.0, 1.0))  # noqa: S311 - spreads load, guards nothing
        await self._write_again(lost)

    async def _write_again(self, entries: list[Entry]) -> None:
        for start in range(0, min(len(entries), _REPEATED), _REPEATED_AT_ONCE):
            batch = entries[start : start + _REPEATED_AT_ONCE]
            await self._append(batch)
            self._untold.difference_update((entry.kind, entry.value) for entry in batch)
        if entries:
            self._on_event("feed_repeated", {"entries": min(len(entries), _REPEATED)})

    async def _append(self, entries: Iterable[Entry], *, canary: str | None = None) -> tuple[int, bool]:
        """Write to the stream; return the store's time in milliseconds, and whether it remembers its beginning."""
        entries = list(entries)
        values: list[Argument] = [self._retention_ms]
        # A session, a user, and everything wide has a state in the store beside the feed; these two get theirs here.
        await self._store.link.many(
            [
                ("SET", self._store.keys.dead(e.kind.value, e.value), e.cut_ms, "PX", self._retention_ms)
                for e in entries
                if e.kind in (Kind.TOKEN, Kind.KEY)
            ]
        )
        for entry in entries:
            expires = entry.expires_ms or ""
            values += [entry.kind.value, entry.value, expires, min(entry.cut_ms, FOREVER), entry.reason, entry.actor]
            values.append(self._replica)
        if canary is not None:
            values += [_CANARY, canary, "", 0, "", "", self._replica]
        reply = await self._store.link.run(self._publish, (self._store.keys.stream, self._store.keys.meta), values)
        stamp, has_epoch = reply
        return number(stamp), number(has_epoch) == 1
