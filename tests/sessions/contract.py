"""What every session store must do, whatever server is behind it."""

import asyncio
import secrets
from collections import Counter
from dataclasses import replace

import pytest

from gateway.sessions.outcomes import (
    AheadRefused,
    BindingMismatch,
    Coalesced,
    Created,
    Dead,
    Disabled,
    Expired,
    Facts,
    Forked,
    Healed,
    Peeked,
    Renewed,
    Replayed,
    Reused,
    Revoked,
    Rotated,
    Unknown,
)
from gateway.sessions.replies import items
from gateway.sessions.store import NewSession, Policy, SessionStore
from gateway.tokens.base64url import encode
from gateway.tokens.refresh import RefreshToken

from .conftest import pass_time

POLICY = Policy(absolute=3600, idle=600, grace=10, tombstone=665)
STRICT = replace(POLICY, grace=0)
LOST = replace(POLICY, lost_response_window=300)

# A machine that is busy may take this long between two lines of a test; nothing below hangs on less.
SLACK_MS = 5000


class Person:
    """A user with a browser: knows their tag and holds a token."""

    def __init__(self, store: SessionStore, policy: Policy = POLICY) -> None:
        self.store = store
        self.policy = policy
        self.tag = secrets.token_bytes(12)
        self.session = ""
        self.wide_cut = 0
        self.token = RefreshToken(self.tag, b"", b"", 0)

    async def login(self, **facts: str) -> Created | Disabled:
        self.token = RefreshToken(self.tag, secrets.token_bytes(16), secrets.token_bytes(16), 0)
        self.session = encode(self.token.session)
        return await self.store.create(self.tag, self._new(facts), self.policy, wide_cut=self.wide_cut)

    def _new(self, facts: dict[str, str]) -> NewSession:
        new = NewSession(self.session, self.token.family, "u-1", "acme", "gateway", ("pwd",), "read write", "r:user")
        return replace(new, **facts)  # type: ignore[arg-type]

    async def present(self, counter: int, policy: Policy | None = None, **how: str) -> Renewed | Dead:
        """Present the token with *counter*."""
        token = self.token._replace(counter=counter)
        binding, policy = how.get("binding", ""), policy or self.policy
        return await self.store.rotate(token, self.session, policy, wide_cut=self.wide_cut, binding=binding)

    async def wait(self, seconds: float) -> None:
        await pass_time(self.store, self.tag, self.session, seconds)

    async def stored(self, *fields: str) -> list[bytes | None]:
        reply = await self.store.link.command("HMGET", self.store.keys.of(self.tag).session(self.session), *fields)
        assert isinstance(reply, list)
        return reply  # type: ignore[return-value]


def counter(outcome: Renewed | Dead | Disabled) -> int:
    assert isinstance(outcome, Renewed), outcome
    return outcome.counter


class SessionStoreContract:
    """Inherited whole by one class for each server."""

    @pytest.fixture
    async def ana(self, store: SessionStore) -> Person:
        person = Person(store)
        await person.login()
        return person

    # Rotation, row by row

    async def test_a_session_that_does_not_exist_is_unknown(self, store: SessionStore) -> None:
        person = Person(store)
        person.session, person.token = "nowhere", RefreshToken(person.tag, bytes(16), bytes(16), 0)
        assert await person.present(0) == Unknown()
        assert await store.peek(person.tag, "nowhere") == Unknown()

    async def test_a_token_of_another_family_is_unknown_and_changes_nothing(self, ana: Person) -> None:
        ana.token, real = ana.token._replace(family=bytes(16)), ana.token
        assert await ana.present(0) == Unknown()
        ana.token = real
        assert isinstance(await ana.present(0), Rotated)

    async def test_the_current_token_rotates(self, ana: Person) -> None:
        outcome = await ana.present(0)
        assert isinstance(outcome, Rotated)
        assert outcome.counter == 1
        assert outcome.facts == await self._facts(ana)
        assert outcome.facts[:3] == ("u-1", "acme", "gateway")
        assert abs(outcome.stamp_ms - outcome.facts.auth_time * 1000) < SLACK_MS
        assert outcome.ends_ms - outcome.idle_ends_ms > 2900 * 1000

    @pytest.mark.item("F4")
    async def test_the_successor_is_given_again_inside_the_grace(self, ana: Person) -> None:
        await ana.present(0)
        again = await ana.present(0)
        assert isinstance(again, Replayed)
        assert again.counter == 1

    async def test_the_successor_does_not_rotate_inside_the_grace(self, ana: Person) -> None:
        """Three tabs that refresh one after another converge on one token, and no grandparent comes to be."""
        await ana.present(0)
        again = await ana.present(1)
        assert isinstance(again, Coalesced)
        assert again.counter == 1

    async def test_the_successor_rotates_after_the_grace(self, ana: Person) -> None:
        await ana.present(0)
        await ana.wait(11)
        assert counter(await ana.present(1)) == 2

    async def test_a_replay_does_not_make_the_grace_longer(self, ana: Person) -> None:
        await ana.present(0)
        await ana.wait(6)
        assert isinstance(await ana.present(0), Replayed)
        await ana.wait(6)
        assert isinstance(await ana.present(0), Reused)

    @pytest.mark.item(76, "F5")
    async def test_a_parent_after_the_grace_kills_the_session(self, ana: Person) -> None:
        await ana.present(0)
        await ana.wait(11)
        reused = await ana.present(0)
        assert isinstance(reused, Reused)
        assert reused.counter == 1
        assert 11_000 <= reused.age_ms < 11_000 + SLACK_MS
        assert await ana.present(1) == Revoked("reuse")
        assert await ana.store.sessions_of(ana.tag) == ()

    @pytest.mark.item(79, "F6")
    async def test_a_grandparent_inside_the_grace_kills_the_session(self, ana: Person) -> None:
        await ana.present(0)
        await ana.wait(11)
        await ana.present(1)
        assert isinstance(await ana.present(0), Reused)
        assert await ana.present(2) == Revoked("reuse")

    @pytest.mark.item(77, "F1")
    async def test_fifty_refreshes_at_once_give_one_successor(self, ana: Person) -> None:
        outcomes = await asyncio.gather(*(ana.present(0) for _ in range(50)))
        assert Counter(type(outcome) for outcome in outcomes) == {Rotated: 1, Replayed: 49}
        assert {counter(outcome) for outcome in outcomes} == {1}

    @pytest.mark.item(78)
    async def test_strict_a_second_use_kills_the_session_at_once(self, ana: Person) -> None:
        ana.policy = STRICT
        outcomes = Counter(type(o) for o in await asyncio.gather(*(ana.present(0) for _ in range(5))))
        assert outcomes == {Rotated: 1, Reused: 1, Revoked: 3}

    async def test_strict_each_successor_rotates_at_once(self, ana: Person) -> None:
        ana.policy = STRICT
        assert [counter(await ana.present(n)) for n in range(4)] == [1, 2, 3, 4]

    async def test_a_lost_response_forks(self, ana: Person) -> None:
        ana.policy = LOST
        await ana.present(0)
        await ana.wait(60)
        outcome = await ana.present(0)
        assert isinstance(outcome, Forked)
        assert outcome.counter == 2

    @pytest.mark.item("F6")
    async def test_the_orphan_of_a_fork_kills_the_session(self, ana: Person) -> None:
        """The successor that was thought lost has turned up, so two parties hold tokens of one family."""
        ana.policy = LOST
        await ana.present(0)
        await ana.wait(60)
        await ana.present(0)
        assert isinstance(await ana.present(1), Reused)

    async def test_no_fork_once_the_successor_was_seen(self, ana: Person) -> None:
        ana.policy = LOST
        await ana.present(0)
        await ana.present(1)
        await ana.wait(60)
        assert isinstance(await ana.present(0), Reused)

    async def test_no_fork_after_the_window(self, ana: Person) -> None:
        ana.policy = LOST
        await ana.present(0)
        await ana.wait(301)
        assert isinstance(await ana.present(0), Reused)

    @pytest.mark.item(97)
    async def test_a_store_that_lost_writes_is_healed(self, ana: Person) -> None:
        key = ana.store.keys.of(ana.tag).session(ana.session)
        await ana.store.link.command("HSET", key, "n", 2, "p", 1)
        healed = await ana.present(5)
        assert isinstance(healed, Healed)
        assert healed.counter == 6
        assert isinstance(await ana.present(5), Replayed)
        assert isinstance(await ana.present(4), Reused)

    async def test_a_token_ahead_is_refused_when_healing_is_off(self, ana: Person) -> None:
        assert await ana.present(7, replace(POLICY, accept_ahead=False)) == AheadRefused()
        assert counter(await ana.present(0)) == 1

    async def test_another_binding_is_refused_and_changes_nothing(self, store: SessionStore) -> None:
        bea = Person(store)
        await bea.login(binding="thumb")
        assert await bea.present(0) == BindingMismatch()
        assert await bea.present(0, binding="other") == BindingMismatch()
        assert counter(await bea.present(0, binding="thumb")) == 1

    # Lifetimes, by the store's clock

    @pytest.mark.item(80)
    async def test_the_absolute_end_is_not_moved_by_rotation(self, ana: Person) -> None:
        first = await ana.present(0)
        await ana.wait(500)
        second = await ana.present(1)
        assert isinstance(first, Rotated)
        assert isinstance(second, Rotated)
        assert second.ends_ms == first.ends_ms - 500_000  # all of it moved into the past, the end too

    @pytest.mark.item(80)
    async def test_the_absolute_end_ends(self, ana: Person) -> None:
        await ana.present(0)
        for turn in range(6):
            await ana.wait(595)
            assert counter(await ana.present(turn + 1)) == turn + 2
        await ana.wait(100)
        assert await ana.present(7) == Expired()

    @pytest.mark.item(80)
    async def test_idling_ends_a_session(self, ana: Person) -> None:
        await ana.wait(601)
        assert await ana.present(0) == Expired()
        assert await ana.store.peek(ana.tag, ana.session) == Peeked(await self._facts(ana), active=False)

    async def test_a_refresh_is_not_idling(self, ana: Person) -> None:
        await ana.wait(400)
        await ana.present(0)
        await ana.wait(400)
        assert counter(await ana.present(1)) == 2

    async def test_the_server_itself_forgets_a_session_at_its_end(self, store: SessionStore) -> None:
        bea = Person(store, Policy(absolute=3600, idle=0.02))
        await bea.login()
        await asyncio.sleep(0.04)
        assert await bea.present(0) == Unknown()
        assert await store.sessions_of(bea.tag) == ()

    async def test_keys_do_not_outlive_what_they_are_for(self, ana: Person) -> None:
        await ana.present(0)
        keys = ana.store.keys.of(ana.tag)
        for key, most in ((keys.session(ana.session), 600), (keys.index, 3660), (keys.user, 3660)):
            left = await ana.store.link.command("PTTL", key)
            assert isinstance(left, int)
            assert most * 1000 - SLACK_MS < left <= most * 1000, key

    # Ending

    async def test_logging_out_ends_the_session(self, ana: Person) -> None:
        ended = await ana.store.revoke_session(ana.tag, ana.session, POLICY)
        assert ended.was_active
        assert await ana.present(0) == Revoked("logout")

    async def test_logging_out_twice_is_the_same_as_once(self, ana: Person) -> None:
        await ana.store.revoke_session(ana.tag, ana.session, POLICY)
        again = await ana.store.revoke_session(ana.tag, ana.session, POLICY)
        assert (again.was_active, again.was_known) == (False, True)

    async def test_ending_a_session_that_never_was_does_nothing(self, ana: Person) -> None:
        ended = await ana.store.revoke_session(ana.tag, "never-was", POLICY)
        assert (ended.was_active, ended.was_known) == (False, False)
        assert counter(await ana.present(0)) == 1

    async def test_nobody_ends_the_session_of_another(self, ana: Person) -> None:
        ended = await ana.store.revoke_session(bytes(12), ana.session, POLICY)
        assert not ended.was_known
        assert counter(await ana.present(0)) == 1

    async def test_a_dead_session_leaves_a_tombstone_that_goes_away(self, ana: Person) -> None:
        await ana.store.revoke_session(ana.tag, ana.session, POLICY)
        left = await ana.store.link.command("PTTL", ana.store.keys.of(ana.tag).session(ana.session))
        assert isinstance(left, int)
        assert 665_000 - SLACK_MS < left <= 665_000

    @pytest.mark.item(102)
    async def test_ending_a_user_ends_all_their_sessions(self, ana: Person) -> None:
        first, first_token = ana.session, ana.token
        await ana.login()
        ended = await ana.store.revoke_user(ana.tag, POLICY)
        assert set(ended.sessions) == {first, ana.session}
        assert await ana.present(0) == Revoked("cut")
        assert await ana.store.rotate(first_token, first, POLICY) == Revoked("cut")
        assert await ana.store.sessions_of(ana.tag) == ()

    @pytest.mark.item(102)
    async def test_a_login_in_the_millisecond_of_a_revocation_works(self, ana: Person) -> None:
        """Its stamp is later than the cut-off, and every stamp before it is not (wazuh#35043)."""
        for _ in range(50):
            before = await ana.present(0)
            ended = await ana.store.revoke_user(ana.tag, POLICY)
            created = await ana.login()
            assert isinstance(before, Rotated)
            assert isinstance(created, Created)
            assert before.stamp_ms <= ended.cut_ms < created.stamp_ms

    async def test_a_revocation_reaches_stamps_that_ran_ahead_of_the_clock(self, ana: Person) -> None:
        """The store's clock was set back: stamps are already later than its time."""
        await ana.store.link.command("HINCRBY", ana.store.keys.of(ana.tag).user, "last", 3_600_000)
        created = await ana.login()
        ended = await ana.store.revoke_user(ana.tag, POLICY)
        assert isinstance(created, Created)
        assert ended.cut_ms >= created.stamp_ms + 3_600_000 - SLACK_MS
        assert await ana.present(0) == Revoked("cut")
        later = await ana.login()
        assert isinstance(later, Created)
        assert later.stamp_ms > ended.cut_ms

    async def test_a_user_without_sessions_can_be_ended(self, store: SessionStore) -> None:
        bea = Person(store)
        assert (await store.revoke_user(bea.tag, POLICY)).sessions == ()
        assert isinstance(await bea.login(), Created)

    async def test_a_disabled_user_neither_refreshes_nor_logs_in(self, ana: Person) -> None:
        await ana.store.revoke_user(ana.tag, POLICY, disable=True)
        assert await ana.present(0) == Disabled()
        assert await ana.present(0) == Revoked("disabled")
        assert await ana.login() == Disabled()
        assert await ana.store.link.command("PTTL", ana.store.keys.of(ana.tag).user) == -1

    async def test_an_enabled_user_logs_in_anew(self, ana: Person) -> None:
        await ana.store.revoke_user(ana.tag, POLICY, disable=True)
        assert await ana.store.enable_user(ana.tag, POLICY)
        assert not await ana.store.enable_user(ana.tag, POLICY)
        assert await ana.present(0) == Revoked("cut")
        assert isinstance(await ana.login(), Created)
        left = await ana.store.link.command("PTTL", ana.store.keys.of(ana.tag).user)
        assert isinstance(left, int)
        assert left > 0

    async def test_what_began_after_a_given_time_is_spared(self, ana: Person) -> None:
        old = ana.session, ana.token
        await ana.wait(100)
        created = await ana.login()
        assert isinstance(created, Created)
        ended = await ana.store.revoke_user(ana.tag, POLICY, before_ms=created.stamp_ms - 50_000)
        assert ended.cut_ms == created.stamp_ms - 50_000
        assert isinstance(await ana.present(0), Rotated)
        assert [view.session for view in await ana.store.sessions_of(ana.tag)] == [ana.session]
        assert await ana.store.rotate(old[1], old[0], POLICY) == Revoked("cut")

    async def test_a_time_to_come_is_now(self, ana: Person) -> None:
        created = await ana.login()
        assert isinstance(created, Created)
        ended = await ana.store.revoke_user(ana.tag, POLICY, before_ms=created.stamp_ms + 3_600_000)
        assert ended.cut_ms < created.stamp_ms + 3_600_000 - SLACK_MS
        assert await ana.present(0) == Revoked("cut")

    async def test_a_cut_at_a_given_time_never_lowers_a_later_one(self, store: SessionStore) -> None:
        now = await store.cut("all", POLICY)
        assert await store.cut("all", POLICY, now - 5000) == now
        assert await store.cut("cli:a", POLICY, now - 5000) == now - 5000
        assert await store.cut("cli:b", POLICY, now + 3_600_000) < now + 3_600_000 - SLACK_MS

    async def test_the_owner_of_a_session_is_found(self, ana: Person) -> None:
        assert await ana.store.owner(ana.session) == ana.tag
        assert await ana.store.owner("A" * 22) is None

    async def test_a_session_before_a_wide_cut_is_dead(self, ana: Person) -> None:
        cut = await ana.store.cut("cli:gateway", POLICY)
        outcome = await ana.store.rotate(ana.token, ana.session, POLICY, wide_cut=cut)
        assert outcome == Revoked("cut")
        assert await ana.store.cuts() == {"cli:gateway": cut}

    async def test_a_login_after_a_wide_cut_lives(self, ana: Person) -> None:
        cut = await ana.store.cut("all", POLICY)
        new = ana._new({"session": "later"})
        created = await ana.store.create(ana.tag, new, POLICY, wide_cut=cut)
        assert isinstance(created, Created)
        assert created.stamp_ms > cut
        assert isinstance(await ana.store.rotate(ana.token, "later", POLICY, wide_cut=cut), Rotated)

    async def test_wide_cuts_are_dropped_when_no_session_can_be_older(self, store: SessionStore) -> None:
        await store.link.command("HSET", store.keys.cuts, "ten:old", 1)
        cut = await store.cut("ten:new", POLICY)
        assert await store.cuts() == {"ten:new": cut}

    async def test_what_the_last_tokens_carried_comes_back(self, ana: Person) -> None:
        outcome = await ana.store.rotate(ana.token, ana.session, POLICY, grants="r:admin")
        again = await ana.store.rotate(ana.token, ana.session, POLICY, grants="r:admin")
        assert isinstance(outcome, Rotated)
        assert isinstance(again, Replayed)
        assert (outcome.grants, again.grants) == ("r:user", "r:admin")

    # Looking

    async def test_looking_changes_nothing(self, ana: Person) -> None:
        before = await ana.stored("st", "n", "p", "ra", "cf", "lu")
        peeked = await ana.store.peek(ana.tag, ana.session)
        assert peeked == Peeked(await self._facts(ana), active=True)
        assert await ana.stored("st", "n", "p", "ra", "cf", "lu") == before

    async def test_looking_sees_every_way_to_die(self, ana: Person) -> None:
        async def is_active(cut: int = 0) -> bool:
            peeked = await ana.store.peek(ana.tag, ana.session, wide_cut=cut)
            assert isinstance(peeked, Peeked)
            return peeked.active

        created = await ana.login()
        assert isinstance(created, Created)
        assert not await is_active(created.stamp_ms)
        await ana.store.revoke_session(ana.tag, ana.session, POLICY)
        assert not await is_active()
        await ana.login()
        await ana.store.revoke_user(ana.tag, POLICY)
        assert not await is_active()
        await ana.login()
        assert await is_active()

    @pytest.mark.item("F9")
    async def test_the_list_shows_sessions_and_nothing_that_refreshes(self, store: SessionStore) -> None:
        bea = Person(store)
        await bea.login(device="Bea's\r\nlaptop", user_agent="curl" * 100, address="127.0.0.1")
        (view,) = await store.sessions_of(bea.tag)
        assert (view.session, view.client, view.device) == (bea.session, "gateway", "Bea'slaptop")
        assert len(view.user_agent) == 128
        assert view.created_ms == view.used_ms < view.idle_ends_ms < view.ends_ms
        assert bea.token.family not in b"".join(part or b"" for part in await bea.stored("h", "sub", "n", "p"))

    async def test_the_list_forgets_sessions_that_are_over(self, ana: Person) -> None:
        await ana.wait(601)
        await ana.login()
        assert [view.session for view in await ana.store.sessions_of(ana.tag)] == [ana.session]

    # Limits

    async def test_too_many_sessions_push_out_the_oldest(self, store: SessionStore) -> None:
        bea = Person(store, replace(POLICY, max_sessions=2))
        seen = []
        for _ in range(3):
            created = await bea.login()
            seen.append((bea.session, bea.token))
            await asyncio.sleep(0.002)  # one millisecond apart, so that there is an oldest
        assert isinstance(created, Created)
        assert created.evicted == (seen[0][0],)
        assert await store.rotate(seen[0][1], seen[0][0], POLICY) == Revoked("evicted")
        assert isinstance(await store.rotate(seen[1][1], seen[1][0], POLICY), Rotated)

    async def test_a_lowered_limit_pushes_out_all_of_the_overage_at_once(self, store: SessionStore) -> None:
        bea = Person(store)
        for _ in range(5):
            await bea.login()
        bea.policy = replace(POLICY, max_sessions=2)
        created = await bea.login()
        assert isinstance(created, Created)
        assert len(created.evicted) == 4
        assert len(await store.sessions_of(bea.tag)) == 2

    @pytest.mark.item(90)
    async def test_the_limit_holds_when_twenty_log_in_at_once(self, store: SessionStore) -> None:
        people = []
        tag = secrets.token_bytes(12)
        for _ in range(20):
            person = Person(store, replace(POLICY, max_sessions=3))
            person.tag = tag
            people.append(person)
        await asyncio.gather(*(person.login() for person in people))
        live = {view.session for view in await store.sessions_of(tag)}
        outcomes = await asyncio.gather(*(person.present(0) for person in people))
        assert len(live) == 3
        assert Counter(type(outcome) for outcome in outcomes) == {Rotated: 3, Revoked: 17}

    # Programs

    async def test_a_stamp_is_now_and_later_than_every_cut_off_it_must_be_younger_than(
        self, store: SessionStore
    ) -> None:
        before = await store.stamp()
        cut = await store.cut("cli:reports", POLICY)
        assert before <= cut < await store.stamp("cli:reports", "all")
        far = cut + 3_600_000
        assert await store.stamp("cli:reports", wide_cut=far) == far + 1
        await store.link.command("HSET", store.keys.cuts, "all", far)
        assert await store.stamp("cli:other", "all") == far + 1

    async def test_of_an_assertion_that_comes_many_times_at_once_one_counts(self, store: SessionStore) -> None:
        counted = await asyncio.gather(*(store.spend_assertion("robot", "one", 60) for _ in range(20)))
        assert Counter(counted) == {True: 1, False: 19}
        assert await store.spend_assertion("reports", "one", 60)

    async def test_a_used_assertion_is_forgotten_when_it_would_be_refused_anyway(self, store: SessionStore) -> None:
        assert await store.spend_assertion("robot", "two", 0.001)
        await asyncio.sleep(0.01)
        assert await store.spend_assertion("robot", "two", 60)

    # The server

    @pytest.mark.item("script cache is lost")
    async def test_a_server_that_lost_its_scripts_gets_them_again(self, ana: Person) -> None:
        await ana.present(0)
        await ana.store.link.command("SCRIPT", "FLUSH")
        assert isinstance(await ana.present(0), Replayed)

    async def test_a_healthy_server_gives_no_warning(self, store: SessionStore) -> None:
        await store.ping()
        assert await store.warnings() == ()

    @pytest.mark.item("store may forget")
    async def test_a_server_that_may_forget_gives_a_warning(self, store: SessionStore) -> None:
        await store.link.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        try:
            (warning,) = await store.warnings()
        finally:
            await store.link.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
        assert "allkeys-lru" in warning
        assert "noeviction" in warning

    async def test_every_key_of_a_user_has_one_hash_tag(self, ana: Person) -> None:
        await ana.present(0)
        await ana.store.revoke_user(ana.tag, POLICY, disable=True)
        found = [key for reply in await ana.store.link.each("KEYS", "*") for key in items(reply)]
        assert found
        for key in found:
            assert isinstance(key, bytes)
            assert key.startswith(b"gw:{%s}:" % ana.tag.hex().encode())

    async def _facts(self, person: Person) -> Facts:
        sub, tenant, client, at, scope = [
            value or b"" for value in await person.stored("sub", "ten", "cid", "at", "scp")
        ]
        return Facts(sub.decode(), tenant.decode(), client.decode(), int(at), ("pwd",), scope.decode())
