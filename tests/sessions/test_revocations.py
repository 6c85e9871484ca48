"""The table: what is dead, how entries merge, and that memory stays bounded without ever letting a dead token pass."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sessions.revocations import FOREVER, Entry, Kind, Revocations
from gateway.tokens.verify import Identity

NOW = 1_000_000
LATER = NOW + 60_000

ANA = Identity(
    subject="ana",
    session="session-1",
    token_id="jti-1",
    issuer="https://gw",
    client="web",
    audience=frozenset(),
    roles=frozenset(),
    permissions=frozenset(),
    scopes=frozenset(),
    tenant="acme",
    expires=2000,
    not_before=0,
    issued_ms=NOW,
    auth_time=1000,
    key="kid-1",
    claims={},
)


def tag_of(issuer: str, tenant: str | None, sub: str) -> str:
    return f"{issuer}|{tenant}|{sub}"


def table(**options: Any) -> Revocations:
    return Revocations(tag_of, **options)


TAG = tag_of(ANA.issuer, ANA.tenant, ANA.subject)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        pytest.param(Kind.TOKEN, "jti-1", id="token"),
        pytest.param(Kind.SESSION, "session-1", id="session"),
        pytest.param(Kind.SUBJECT, TAG, id="subject"),
        pytest.param(Kind.GRANTS, TAG, id="grants"),
        pytest.param(Kind.CLIENT, "web", id="client"),
        pytest.param(Kind.TENANT, "acme", id="tenant"),
        pytest.param(Kind.KEY, "kid-1", id="key"),
        pytest.param(Kind.ALL, "", id="everyone"),
    ],
)
class TestEachKind:
    @pytest.mark.item(101, 103)
    def test_kills_what_it_names(self, kind: Kind, value: str) -> None:
        revocations = table()
        assert not revocations.is_dead(ANA)
        assert revocations.apply(Entry(kind, value, expires_ms=LATER), NOW)
        assert revocations.is_dead(ANA)

    @pytest.mark.item(100, 101)
    def test_spares_everybody_else(self, kind: Kind, value: str) -> None:
        if kind is Kind.ALL:
            return
        revocations = table()
        revocations.apply(Entry(kind, value + "x", expires_ms=LATER), NOW)
        assert not revocations.is_dead(ANA)

    @pytest.mark.item(102, 103)
    def test_reaches_stamps_up_to_its_cut(self, kind: Kind, value: str) -> None:
        if kind in {Kind.TOKEN, Kind.SESSION}:
            return
        revocations = table()
        revocations.apply(Entry(kind, value, NOW, LATER), NOW)
        assert revocations.is_dead(ANA._replace(issued_ms=NOW))
        assert not revocations.is_dead(ANA._replace(issued_ms=NOW + 1))

    def test_is_forgotten_when_no_token_can_be_that_old(self, kind: Kind, value: str) -> None:
        revocations = table()
        revocations.apply(Entry(kind, value, expires_ms=LATER), NOW)
        assert revocations.sweep(LATER - 1) == 0
        assert revocations.is_dead(ANA)
        assert revocations.sweep(LATER) == 1
        assert not revocations.is_dead(ANA)
        assert len(revocations) == 0


def test_a_token_without_tenant_is_not_of_the_tenant_named_nothing() -> None:
    revocations = table()
    assert not revocations.apply(Entry(Kind.TENANT, "", expires_ms=LATER), NOW)
    assert not revocations.is_dead(ANA._replace(tenant=None, session="", token_id=""))


def test_an_expired_entry_is_ignored() -> None:
    revocations = table()
    assert not revocations.apply(Entry(Kind.SESSION, "session-1", expires_ms=NOW), NOW)
    assert revocations.epoch == 0


def test_the_epoch_changes_with_every_answer_and_only_then() -> None:
    revocations = table()
    entry = Entry(Kind.SUBJECT, TAG, NOW, LATER)
    revocations.apply(entry, NOW)
    assert revocations.epoch == 1
    assert not revocations.apply(entry, NOW)
    revocations.apply(entry._replace(expires_ms=LATER + 1), NOW)
    assert revocations.epoch == 1
    revocations.apply(entry._replace(cut_ms=NOW + 1), NOW)
    assert revocations.epoch == 2


def test_an_entry_that_was_given_more_time_is_kept_for_it() -> None:
    revocations = table()
    revocations.apply(Entry(Kind.SESSION, "session-1", expires_ms=LATER), NOW)
    revocations.apply(Entry(Kind.SESSION, "session-1", expires_ms=LATER + 10), NOW)
    revocations.sweep(LATER)
    assert revocations.is_dead(ANA)
    revocations.sweep(LATER + 10)
    assert not revocations.is_dead(ANA)


ENTRIES = st.builds(
    Entry,
    kind=st.sampled_from(list(Kind)),
    value=st.sampled_from(["", TAG, "web", "acme", "kid-1", "session-1", "jti-1", "other"]),
    cut_ms=st.integers(NOW - 5, NOW + 5) | st.just(FOREVER),
    expires_ms=st.integers(NOW + 1, NOW + 50),
)


@pytest.mark.item(104)
@given(entries=st.lists(ENTRIES, max_size=12), data=st.data(), stamp=st.integers(NOW - 6, NOW + 6))
def test_order_and_repetition_do_not_matter(entries: list[Entry], data: st.DataObject, stamp: int) -> None:
    """And no wide cut-off hides a narrow one, nor the other way round (CVE-2026-18218)."""
    shuffled = data.draw(st.permutations([*entries, *entries[:3]]))
    one, other = table(), table()
    for entry in entries:
        one.apply(entry, NOW)
    for entry in shuffled:
        other.apply(entry, NOW)
    identity = ANA._replace(issued_ms=stamp)
    expected = any(_kills(entry, identity) for entry in entries)
    assert one.is_dead(identity) == other.is_dead(identity) == expected
    assert sorted(map(str, one.entries())) == sorted(map(str, other.entries()))


def _kills(entry: Entry, identity: Identity) -> bool:
    named = {
        Kind.TOKEN: identity.token_id,
        Kind.SESSION: identity.session,
        Kind.SUBJECT: TAG,
        Kind.GRANTS: TAG,
        Kind.CLIENT: identity.client,
        Kind.TENANT: identity.tenant,
        Kind.KEY: identity.key,
        Kind.ALL: entry.value,
    }[entry.kind]
    by_name = entry.kind in {Kind.TOKEN, Kind.SESSION}
    everyone = entry.kind is Kind.ALL and entry.value == ""
    return (entry.value == named if entry.kind is not Kind.ALL else everyone) and (
        by_name or identity.issued_ms <= entry.cut_ms
    )


@pytest.mark.item(110)
def test_a_full_table_stays_small_and_lets_nothing_dead_pass() -> None:
    revocations = table(max_entries=100)
    dead = [ANA._replace(session=f"s{n}", issued_ms=NOW - n % 7) for n in range(1000)]
    for identity in dead:
        revocations.apply(Entry(Kind.SESSION, identity.session, expires_ms=LATER), NOW)
        assert len(revocations) <= 100
    assert all(map(revocations.is_dead, dead))
    assert revocations.coarsened > 0
    # One refresh mends a token that died only of this: its stamp is later.
    assert not revocations.is_dead(ANA._replace(session="fresh", issued_ms=NOW + 60_000))


def test_coarsening_ends_no_session_and_is_told_to_nobody() -> None:
    revocations = table(max_entries=2)
    for n in range(3):
        revocations.apply(Entry(Kind.SESSION, f"s{n}", expires_ms=LATER), NOW)
    assert revocations.is_dead(ANA)
    assert revocations.wide_cut("web", "acme", TAG) == 0
    assert not revocations.has_session("s0")
    assert [entry.value for entry in revocations.entries()] == ["s2"]


def test_wide_entries_that_do_not_fit_are_not_forgotten_either() -> None:
    """A stolen key is dead for ever, whatever it signs later; when there is no room to name it, nobody passes."""
    revocations = table(max_entries=2)
    for number in range(1, 4):
        revocations.apply(Entry(Kind.KEY, f"kid-{number}", expires_ms=LATER), NOW)
    assert len(revocations) <= 2
    assert revocations.is_dead(ANA._replace(issued_ms=NOW + 30_000))


def test_a_coarse_cut_is_forgotten_with_what_it_stands_for() -> None:
    revocations = table(max_entries=2)
    for n in range(3):
        revocations.apply(Entry(Kind.SESSION, f"s{n}", expires_ms=LATER), NOW)
    revocations.sweep(LATER - 1)
    assert revocations.is_dead(ANA)
    revocations.sweep(LATER)
    assert not revocations.is_dead(ANA)


def test_a_table_full_of_expired_entries_is_swept_first() -> None:
    revocations = table(max_entries=2)
    for n in range(3):
        revocations.apply(Entry(Kind.SESSION, f"s{n}", expires_ms=NOW + 1 + n), NOW + n)
    assert revocations.coarsened == 0


def test_sweeping_goes_in_small_steps() -> None:
    revocations = table()
    for n in range(10):
        revocations.apply(Entry(Kind.SESSION, f"s{n}", expires_ms=LATER), NOW)
    assert [revocations.sweep(LATER, limit=4) for _ in range(4)] == [4, 4, 2, 0]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        pytest.param(Entry(Kind.ALL, "", 7, LATER), 7, id="everyone"),
        pytest.param(Entry(Kind.CLIENT, "web", 7, LATER), 7, id="client"),
        pytest.param(Entry(Kind.CLIENT, "app", 7, LATER), 0, id="another client"),
        pytest.param(Entry(Kind.TENANT, "acme", 7, LATER), 7, id="tenant"),
        pytest.param(Entry(Kind.SUBJECT, TAG, 7, LATER), 7, id="subject"),
        pytest.param(Entry(Kind.GRANTS, TAG, 7, LATER), 0, id="a lost role keeps the session"),
        pytest.param(Entry(Kind.SESSION, "session-1", FOREVER, LATER), 0, id="session"),
    ],
)
def test_which_cuts_stop_a_refresh(entry: Entry, expected: int) -> None:
    revocations = table()
    revocations.apply(entry, NOW)
    assert revocations.wide_cut("web", "acme", TAG) == expected


def test_a_wide_cut_outlives_its_entry() -> None:
    """A session that idles for days comes to refresh long after the feed forgot why it is dead."""
    revocations = table()
    revocations.apply(Entry(Kind.CLIENT, "web", 7, LATER), NOW)
    revocations.keep_durable({"cli:web": 5, "ten:acme": 9})
    revocations.sweep(LATER)
    assert revocations.wide_cut("web", None, TAG) == 7
    assert revocations.wide_cut("web", "acme", TAG) == 9


def test_whoever_holds_streams_open_is_told() -> None:
    told: list[Entry] = []
    revocations = table(on_applied=told.append)
    entry = Entry(Kind.SESSION, "session-1", expires_ms=LATER)
    revocations.apply(entry, NOW)
    revocations.apply(entry, NOW)
    assert told == [entry]
