"""Streams end in time with sessions that end in silence, and a refresh elsewhere keeps them."""

import asyncio

import pytest

from gateway.app.streams import StreamKeeper
from gateway.errors import StoreUnavailable
from gateway.proxy.streams import Streams
from gateway.sessions.revocations import Entry, Kind, Revocations
from gateway.tokens.cache import Verified
from gateway.tokens.verify import Identity
from tests.sessions.test_revocations import ANA, LATER, NOW, TAG, tag_of

EXPIRES = 2000.0
EVERY, PATIENCE = 600.0, 300.0


class Moved:
    """A clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = 1000.0

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


class Open:
    """An open stream."""

    def __init__(self, streams: Streams, identity: Identity | None = ANA) -> None:
        self.due = 0.0
        self.owner = None if identity is None else Verified(identity, b"", 0, EXPIRES, 0)
        self.ended = 0
        self._streams = streams
        streams.add(self)

    def end_session(self) -> None:
        self.ended += 1
        self._streams.discard(self)

    def go_away(self) -> None:
        """It is not about that."""


class Store:
    """What the store would say about each session."""

    def __init__(self) -> None:
        self.live: set[str] = {"session-1", "session-2"}
        self.asked: list[str] = []
        self.is_up = True

    async def is_live(self, identity: Identity) -> bool:
        self.asked.append(identity.session)
        if not self.is_up:
            raise StoreUnavailable("down")
        return identity.session in self.live


class Watch:
    """A keeper, and everything it is given."""

    def __init__(self) -> None:
        self.clock = Moved()
        self.streams = Streams()
        self.store = Store()
        self.table = Revocations(tag_of, on_applied=self._applied, max_entries=4)
        self.keeper = StreamKeeper(
            self.streams, self.table, self.store.is_live, self.clock, every=EVERY, patience=PATIENCE
        )

    def _applied(self, entry: Entry) -> None:
        self.keeper.applied(entry)

    async def at(self, now: float) -> None:
        self.clock.now = now
        await self.keeper.look()


@pytest.fixture
def watch() -> Watch:
    return Watch()


async def test_nobody_is_asked_before_a_token_expires(watch: Watch) -> None:
    stream = Open(watch.streams)
    await watch.at(EXPIRES - 1)
    assert (watch.store.asked, stream.ended) == ([], 0)


async def test_at_its_expiry_the_store_is_asked_once_for_all_streams_of_the_session(watch: Watch) -> None:
    streams = [Open(watch.streams) for _ in range(3)]
    await watch.at(EXPIRES)
    await watch.at(EXPIRES + EVERY - 1)
    assert watch.store.asked == ["session-1"]
    assert [stream.ended for stream in streams] == [0, 0, 0]


async def test_a_session_that_was_refreshed_elsewhere_keeps_its_streams_until_it_ends(watch: Watch) -> None:
    stream = Open(watch.streams)
    for turn in range(5):
        await watch.at(EXPIRES + turn * EVERY)
        assert stream.ended == 0
    watch.store.live.clear()
    await watch.at(EXPIRES + 5 * EVERY)
    assert (stream.ended, len(watch.streams)) == (1, 0)


async def test_while_the_store_is_silent_streams_go_on_for_a_while_and_no_longer(watch: Watch) -> None:
    first, second = Open(watch.streams), Open(watch.streams, ANA._replace(session="session-2"))
    watch.store.is_up = False
    await watch.at(EXPIRES)
    await watch.at(EXPIRES + PATIENCE - 1)
    assert (first.ended, second.ended) == (0, 0)
    assert len(watch.store.asked) == 2  # the second session would have waited as long for nothing
    await watch.at(EXPIRES + PATIENCE)
    assert (first.ended, second.ended) == (1, 1)


async def test_a_store_that_comes_back_in_time_keeps_them(watch: Watch) -> None:
    stream = Open(watch.streams)
    watch.store.is_up = False
    await watch.at(EXPIRES)
    watch.store.is_up = True
    await watch.at(EXPIRES + 5)
    await watch.at(EXPIRES + PATIENCE)
    assert stream.ended == 0


async def test_a_stream_without_an_owner_is_nobodys_session(watch: Watch) -> None:
    stream = Open(watch.streams, None)
    await watch.at(1e12)
    watch.table.apply(Entry(Kind.ALL, "", expires_ms=LATER), NOW)
    await asyncio.sleep(0)
    assert (stream.ended, watch.store.asked) == (0, [])


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Kind.TOKEN, "jti-1"),
        (Kind.SESSION, "session-1"),
        (Kind.SUBJECT, TAG),
        (Kind.GRANTS, TAG),
        (Kind.CLIENT, "web"),
        (Kind.TENANT, "acme"),
        (Kind.KEY, "kid-1"),
        (Kind.ALL, ""),
    ],
)
async def test_every_kind_of_revocation_ends_what_it_names(watch: Watch, kind: Kind, value: str) -> None:
    mine = Open(watch.streams)
    other = Open(
        watch.streams,
        ANA._replace(session="s", token_id="j", subject="bob", client="c", tenant="t", key="k", issued_ms=NOW + 10_000),
    )
    watch.table.apply(Entry(kind, value, NOW, LATER), NOW)
    await asyncio.sleep(0)
    assert (mine.ended, other.ended) == (1, 0)


async def test_many_revocations_at_once_are_one_look(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    Open(watch.streams)
    monkeypatch.setattr(watch.table, "names", lambda _identity: looks.append(1))
    for n in range(3):
        watch.table.apply(Entry(Kind.TOKEN, f"j{n}", expires_ms=LATER), NOW)
    await asyncio.sleep(0)
    assert looks == [1]


async def test_a_full_table_ends_no_stream(watch: Watch) -> None:
    """Coarsening refuses tokens, which a refresh mends; it never ends a session (identity.md 3.8, G7)."""
    stream = Open(watch.streams)
    for n in range(5):
        watch.table.apply(Entry(Kind.TOKEN, f"j{n}", expires_ms=LATER), NOW)
    await asyncio.sleep(0)
    assert watch.table.coarsened == 1
    assert watch.table.is_dead(ANA)
    assert stream.ended == 0
