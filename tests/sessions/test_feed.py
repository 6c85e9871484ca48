"""The feed: what one process revokes every other one enforces, whatever happens to the store in between."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from gateway.clock import SystemClock
from gateway.errors import StoreUnavailable
from gateway.sessions.ending import Ending
from gateway.sessions.feed import Feed, FeedState
from gateway.sessions.link import Argument, Link
from gateway.sessions.outcomes import Created, Revoked
from gateway.sessions.revocations import Entry, Kind, Revocations
from gateway.sessions.store import SessionStore, connect

from .conftest import PATIENCE, Reachable, Server, eventually
from .contract import POLICY, Person
from .test_link import frozen
from .test_revocations import ANA, tag_of


class MovableClock(SystemClock):
    """The machine's clock, which a test can put forward."""

    def __init__(self) -> None:
        self.wall_skew = 0.0
        self.waited = 0.0

    def put_forward(self, seconds: float) -> bool:
        self.waited += seconds
        return True

    def wall(self) -> float:
        return SystemClock.wall() + self.wall_skew

    def monotonic(self) -> float:
        return SystemClock.monotonic() + self.waited


class Replica:
    """One gateway process, as far as revocation goes."""

    def __init__(self, store: SessionStore, name: str) -> None:
        self.store = store
        self.clock = MovableClock()
        self.table = Revocations(tag_of)
        self.events: list[str] = []
        self.feed = Feed(
            store,
            self.table,
            self.clock,
            replica=name,
            retention=365,
            sleep=self._sleep,
            on_event=self._note,
        )
        self.ending = Ending(store, self.feed, lambda: POLICY)
        self._following: asyncio.Task[None] | None = None

    def _note(self, event: str, facts: Mapping[str, object]) -> None:
        self.events.append(event)

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / 100)

    async def follow(self) -> None:
        self._following = asyncio.ensure_future(self.feed.follow())
        await eventually(lambda: self.feed.resyncs > 0)

    async def halt(self) -> None:
        if self._following is not None:
            self._following.cancel()
            done, _ = await asyncio.wait({self._following}, timeout=20)
            assert done, "the feed does not stop"
            self._following = None

    def cut_for_everyone(self) -> int:
        return next(entry.cut_ms for entry in self.table.entries() if entry.kind is Kind.ALL)

    def refuses(self, session: str) -> bool:
        return self.table.is_dead(ANA._replace(session=session, issued_ms=self.feed.now_ms() + 3_600_000))


@asynccontextmanager
async def replica(server: Reachable, name: str, timeout: float = PATIENCE) -> AsyncIterator[Replica]:
    store = connect(server.url, timeout=timeout)
    one = Replica(store, name)
    try:
        yield one
    finally:
        await one.halt()
        await store.close()


@pytest.fixture
async def one(valkey: Server, store: SessionStore) -> AsyncIterator[Replica]:
    async with replica(valkey, "one") as one:
        await one.follow()
        yield one


@pytest.fixture
async def two(valkey: Server, one: Replica) -> AsyncIterator[Replica]:
    async with replica(valkey, "two") as two:
        await two.follow()
        yield two


@pytest.mark.item(99, "F8")
async def test_what_one_replica_revokes_another_enforces(one: Replica, two: Replica) -> None:
    await one.feed.publish(Entry(Kind.SESSION, "s1"))
    assert one.refuses("s1")  # before the answer
    await eventually(lambda: two.refuses("s1"))
    assert not two.refuses("s2")


@pytest.mark.parametrize("kind", list(Kind))
async def test_every_kind_travels(one: Replica, two: Replica, kind: Kind) -> None:
    entry = Entry(kind, "" if kind is Kind.ALL else "named", one.feed.now_ms() + 5, reason="test", actor="ana")
    await one.feed.publish(entry)
    await eventually(lambda: two.table.holds(entry))


@pytest.mark.item(108)
async def test_a_new_replica_learns_everything_before_it_is_ready(valkey: Server, one: Replica) -> None:
    for n in range(1500):  # more than a page
        one.feed.note(Entry(Kind.SESSION, f"s{n}"))
    await one.feed._write_again(list(one.table.entries()))
    async with replica(valkey, "late") as late:
        assert late.feed.state is FeedState.COLD
        assert not late.feed.is_ready
        await late.follow()
        assert late.feed.is_ready
        assert late.refuses("s0")
        assert late.refuses("s1499")


async def test_a_stream_of_nothing_but_canaries_is_read_to_its_end(valkey: Server, one: Replica) -> None:
    for n in range(1100):
        await one.feed._append([], canary=f"x{n}")
    await one.feed.publish(Entry(Kind.SESSION, "at-the-end"))
    async with replica(valkey, "late") as late:
        await late.follow()
        assert late.refuses("at-the-end")


async def test_entries_written_while_away_are_enforced_after_coming_back(one: Replica, two: Replica) -> None:
    await two.halt()
    await one.feed.publish(Entry(Kind.SESSION, "s1"))
    assert not two.refuses("s1")
    before = two.feed.resyncs
    await two.follow()
    await eventually(lambda: two.feed.resyncs > before)
    assert two.refuses("s1")


@pytest.mark.item(106)
async def test_a_cut_connection_leads_to_a_full_read(one: Replica, two: Replica) -> None:
    before = two.feed.resyncs
    await one.store.link.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await eventually(lambda: two.feed.resyncs > before)
    assert two.events.count("feed_interrupted") == 1
    await one.feed.publish(Entry(Kind.SESSION, "s1"))
    await eventually(lambda: two.refuses("s1"))


@pytest.mark.parametrize(
    ("age", "state", "is_ready"),
    [
        pytest.param(0.0, FeedState.FRESH, True, id="now"),
        pytest.param(2.5, FeedState.FRESH, True, id="between two canaries"),
        pytest.param(3.5, FeedState.LAGGING, True, id="one canary missing"),
        pytest.param(14.0, FeedState.LAGGING, True, id="many canaries missing"),
        pytest.param(16.0, FeedState.STALE, True, id="too many"),
        pytest.param(601.0, FeedState.STALE, False, id="longer than a token lives"),
    ],
)
async def test_the_states_follow_the_age_of_what_is_known(
    one: Replica, age: float, state: FeedState, is_ready: bool
) -> None:
    await one.halt()
    one.clock.waited += age - one.feed.age
    assert one.feed.state is state
    assert one.feed.is_ready is is_ready


async def test_canaries_that_come_back_keep_it_fresh(one: Replica) -> None:
    seen = one.feed.age
    for _ in range(5):
        one.clock.waited += 0.5
        await eventually(lambda: one.feed.age < 0.5)
    assert seen < 3
    assert one.feed.resyncs == 1  # by canaries alone


async def test_a_canary_that_does_not_come_back_leads_to_a_full_read(
    one: Replica, two: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a failover to a primary whose ids are lower: a plain read would wait for ids that never come."""
    read = two.feed._page

    async def deaf(reader: Link, *block: Argument) -> tuple[int, list[Entry]]:
        if not block:
            return await read(reader)
        await asyncio.sleep(0.01)
        return 0, []

    monkeypatch.setattr(two.feed, "_page", deaf)
    before = two.feed.resyncs
    await one.feed.publish(Entry(Kind.SESSION, "s1"))
    await eventually(lambda: len(two.feed._sent) > 0)
    await eventually(lambda: two.clock.put_forward(2) and two.feed.resyncs > before + 1)
    assert two.refuses("s1")


async def test_it_stops_when_told_in_the_middle_of_tidying_up(
    one: Replica, two: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaving = asyncio.Event()

    async def slow_to_leave() -> None:
        try:
            await asyncio.sleep(600)
        finally:
            leaving.set()
            await asyncio.sleep(0.05)

    monkeypatch.setattr(two.feed, "_canaries", slow_to_leave)
    await two.halt()
    before = two.feed.resyncs
    await two.follow()
    await eventually(lambda: two.feed.resyncs > before)
    await asyncio.sleep(0.01)
    await one.store.link.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await asyncio.wait_for(leaving.wait(), 20)
    await two.halt()


@pytest.mark.item(109)
async def test_a_frozen_store_makes_it_lag_and_a_thawed_one_mends_it(valkey: Server, store: SessionStore) -> None:
    async with replica(valkey, "hasty", timeout=0.2) as hasty:
        await hasty.follow()
        with frozen(valkey):
            await eventually(lambda: "feed_interrupted" in hasty.events)
            hasty.clock.waited += 4
            assert hasty.feed.state is FeedState.LAGGING
            with pytest.raises(StoreUnavailable):
                await hasty.feed.publish(Entry(Kind.SESSION, "s1"))
            assert hasty.refuses("s1")  # enforced here all the same
        await eventually(lambda: hasty.feed.state is FeedState.FRESH)
        async with replica(valkey, "other") as other:
            await other.follow()
            await eventually(lambda: other.refuses("s1"))  # told as soon as there was somebody to tell


@pytest.mark.item(107, "F10")
async def test_a_store_that_lost_everything_is_told_again(valkey: Server, one: Replica) -> None:
    await one.feed.publish(Entry(Kind.SESSION, "s1"))
    before = one.feed.resyncs
    await one.store.link.command("FLUSHALL")
    await eventually(lambda: one.feed.resyncs > before)
    async with replica(valkey, "late") as late:
        await late.follow()
        assert late.refuses("s1")
        # The live replica vouched for the store, so nobody had to be sent to refresh once more.
        assert late.cut_for_everyone() == one.cut_for_everyone()


@pytest.mark.item("F10")
async def test_a_cold_replica_trusts_no_token_of_a_store_without_a_past(valkey: Server, store: SessionStore) -> None:
    async with replica(valkey, "first") as first:
        before = first.feed.now_ms() - 1000
        await first.follow()
        assert first.table.is_dead(ANA._replace(issued_ms=before))
        assert not first.table.is_dead(ANA._replace(issued_ms=first.feed.now_ms() + 60_000))
    async with replica(valkey, "second") as second:
        await second.follow()
        assert second.cut_for_everyone() == first.cut_for_everyone()


async def test_a_wrong_clock_here_changes_nothing(valkey: Server, one: Replica) -> None:
    async with replica(valkey, "skewed") as skewed:
        skewed.clock.wall_skew = 3600
        await skewed.follow()
        assert abs(skewed.feed.offset + 3600) < 5
        await skewed.feed.publish(Entry(Kind.SESSION, "s1"))
        await eventually(lambda: one.refuses("s1"))
        await one.feed.publish(Entry(Kind.SESSION, "s2"))
        await eventually(lambda: skewed.refuses("s2"))


async def test_a_late_answer_does_not_move_the_time(one: Replica) -> None:
    """What is known already and fits between asking and hearing is kept."""
    now = one.clock.wall()
    one.feed.offset = 2.0
    one.feed._compare(now - 10, round((now - 4) * 1000))  # the store's clock is 4 s behind to 6 s ahead
    assert one.feed.offset == 2.0
    one.feed._compare(now, round((now + 30) * 1000))
    assert abs(one.feed.offset - 30) < 5


async def test_saying_it_again_writes_nothing(one: Replica) -> None:
    async def length() -> object:
        reply = await one.store.link.command("XRANGE", one.store.keys.stream, "-", "+")
        assert isinstance(reply, list)
        return sum(1 for row in reply if isinstance(row, list) and isinstance(row[1], list) and row[1][1] != b"hb")

    await one.feed.publish(Entry(Kind.SESSION, "s1"))
    before = await length()
    for _ in range(5):
        await one.feed.publish(Entry(Kind.SESSION, "s1"))
    assert await length() == before


async def test_a_retention_longer_than_ours_is_respected(valkey: Server, one: Replica) -> None:
    """Another replica still issues tokens that live for an hour."""
    await one.store.link.command("HSET", one.store.keys.meta, "h", 3_600_000)
    await one.feed.publish(Entry(Kind.SESSION, "s1"))
    async with replica(valkey, "late") as late:
        await late.follow()
        entry = next(entry for entry in late.table.entries() if entry.value == "s1")
        assert entry.expires_ms > late.feed.now_ms() + 3_000_000


async def test_rows_that_are_not_ours_are_skipped(one: Replica, two: Replica) -> None:
    key = one.store.keys.stream
    await one.store.link.command("XADD", key, "*", "k", "sid")
    await one.store.link.command("XADD", key, "*", "k", "huh", "v", "1", "x", "1", "c", "1")
    await one.store.link.command("XADD", key, "*", "k", "sid", "v", "x" * 300, "x", 2**50, "c", "1")
    await one.store.link.command("XADD", key, "*", b"\xff\xfe", b"\xff")
    await one.feed.publish(Entry(Kind.SESSION, "s1"))
    await eventually(lambda: two.refuses("s1"))
    assert two.events.count("feed_entry_unreadable") == 3
    assert two.feed.resyncs == 1


class TestEnding:
    async def test_a_session_ends_in_the_store_and_in_every_replica(self, one: Replica, two: Replica) -> None:
        ana = Person(one.store)
        await ana.login()
        assert await one.ending.session(ana.tag, ana.session)
        assert not await one.ending.session(ana.tag, ana.session)
        assert await ana.present(0) == Revoked("logout")
        await eventually(lambda: two.refuses(ana.session))

    async def test_a_session_the_store_has_lost_ends_its_tokens(self, one: Replica, two: Replica) -> None:
        assert not await one.ending.session(bytes(12), "lost")
        await eventually(lambda: two.refuses("lost"))

    async def test_a_session_named_by_hand_must_be_the_users_own(self, one: Replica) -> None:
        ana = Person(one.store)
        await ana.login()
        assert not await one.ending.listed(bytes(12), ana.session)
        assert not one.refuses(ana.session)
        assert await one.ending.listed(ana.tag, ana.session)
        assert one.refuses(ana.session)

    async def test_a_user_ends_with_all_tokens_up_to_now(self, one: Replica, two: Replica) -> None:
        ana = Person(one.store)
        await ana.login()
        ended = await one.ending.user(ana.tag, "password_changed")
        entry = Entry(Kind.SUBJECT, ana.tag.hex(), ended.cut_ms)
        await eventually(lambda: two.table.holds(entry))
        assert two.table.wide_cut("gateway", None, ana.tag.hex()) == ended.cut_ms

    async def test_all_other_sessions_end_and_this_one_stays(self, one: Replica) -> None:
        ana = Person(one.store)
        await ana.login()
        first = ana.session
        await ana.login()
        assert await one.ending.others(ana.tag, ana.session, "logout") == (first,)
        assert type(await ana.present(0)).__name__ == "Rotated"

    @pytest.mark.parametrize("what", ["client", "tenant", "everyone"])
    async def test_a_wide_end_also_stops_refreshes_that_come_later(self, one: Replica, two: Replica, what: str) -> None:
        ana = Person(one.store)
        created = await ana.login()
        assert isinstance(created, Created)
        cut = await {
            "client": lambda: one.ending.client("gateway", "test"),
            "tenant": lambda: one.ending.tenant("acme", "test"),
            "everyone": lambda: one.ending.everyone("test"),
        }[what]()
        assert cut >= created.stamp_ms
        await eventually(lambda: two.table.wide_cut("gateway", "acme", "") == cut)
        outcome = await two.store.rotate(
            ana.token, ana.session, POLICY, wide_cut=two.table.wide_cut("gateway", "acme", "")
        )
        assert outcome == Revoked("cut")

    @pytest.mark.item(100)
    async def test_a_token_and_a_key_end_alone(self, one: Replica, two: Replica) -> None:
        await one.ending.token("jti-1", "test")
        await one.ending.key("kid-9", "leaked")
        later = ANA._replace(issued_ms=one.feed.now_ms() + 60_000)
        await eventually(lambda: two.table.is_dead(later) and two.table.is_dead(later._replace(key="kid-9")))
        assert not two.table.is_dead(later._replace(token_id="jti-2"))

    async def test_without_a_store_this_process_enforces_what_it_was_told(self, valkey: Server) -> None:
        async with replica(valkey, "alone", timeout=0.1) as alone:
            with frozen(valkey):
                for work in (
                    alone.ending.session(bytes(12), "s1"),
                    alone.ending.user(bytes(12), "test"),
                    alone.ending.everyone("test"),
                ):
                    with pytest.raises(StoreUnavailable):
                        await work
                with pytest.raises(StoreUnavailable):
                    await alone.ending.listed(bytes(12), "of-another")
            assert alone.refuses("s1")
            assert not alone.refuses("of-another")
            assert alone.table.is_dead(ANA._replace(issued_ms=1))
