"""Login, refresh and logout as the endpoints see them, on a real store with real tokens."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, ParamSpec, TypeVar

import pytest

from gateway.clock import SystemClock
from gateway.errors import Refused, StoreUnavailable
from gateway.sessions.answers import BadCredentials, InvalidGrant, Login, Refreshed
from gateway.sessions.ending import Ending
from gateway.sessions.feed import Feed
from gateway.sessions.outcomes import Peeked
from gateway.sessions.revocations import Entry, Kind, Revocations
from gateway.sessions.service import SessionService
from gateway.sessions.store import Policy, SessionStore, connect
from gateway.tokens.base64url import decode, encode
from gateway.tokens.issue import Issuer
from gateway.tokens.people import Gone, InvalidCredentials, Unavailable
from gateway.tokens.refresh import RefreshToken, mint, parse
from gateway.tokens.ring import KeyRing
from gateway.tokens.secrets import Secrets, subject_tag
from gateway.tokens.signing import generate_key
from gateway.tokens.subject import Subject
from gateway.tokens.verify import Identity, Verifier

from .conftest import Server, pass_time
from .contract import POLICY, STRICT
from .test_link import frozen

ISSUER, CLIENT = "https://gw.test", "web"
P = ParamSpec("P")
R = TypeVar("R")


class People:
    """A user store of one person, whom a test may change, remove or make unreachable."""

    def __init__(self) -> None:
        self.ana: Subject | Gone | Unavailable = Subject(
            "u-1", "ana", roles=("user", "admin"), permissions=("orders:read",), scopes=("read", "write"), tenant="acme"
        )

    async def verify(self, username: str, password: str) -> Subject | InvalidCredentials | Unavailable:
        if isinstance(self.ana, Unavailable):
            return self.ana
        if isinstance(self.ana, Subject) and (username, password) == ("ana", "right"):
            return self.ana
        return InvalidCredentials()

    async def subject(self, sub: str) -> Subject | Gone | Unavailable:
        return self.ana if sub == "u-1" else Gone()

    def change(self, **facts: object) -> None:
        assert isinstance(self.ana, Subject)
        self.ana = replace(self.ana, **facts)  # type: ignore[arg-type]


class Pool:
    """Threads without a limit."""

    def __init__(self) -> None:
        self.threads = ThreadPoolExecutor(2)

    async def run(self, work: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await asyncio.wrap_future(self.threads.submit(work, *args, **kwargs))


class Gateway:
    """One process: the service and everything below it."""

    def __init__(self, store: SessionStore, people: People, ring: KeyRing, secrets: Secrets) -> None:
        self.policy = POLICY
        self.store = store
        self.people = people
        self.secrets = secrets
        self.events: list[str] = []
        self.pool = Pool()
        self.table = Revocations(lambda issuer, tenant, sub: subject_tag(secrets, issuer, tenant, sub).hex())
        feed = Feed(store, self.table, SystemClock(), replica="test", retention=365)
        self.ending = Ending(store, feed, self._policy)
        self.verifier = Verifier(ring, ISSUER, frozenset({ISSUER}), leeway=5, max_lifetime=600)
        self.service = SessionService(
            people=people,
            store=store,
            issuer=Issuer(ring, ISSUER, (ISSUER,), CLIENT, 300),
            issuer_name=ISSUER,
            client_id=CLIENT,
            secrets=secrets,
            table=self.table,
            ending=self.ending,
            pool=self.pool,
            policy=self._policy,
            on_event=self._note,
        )

    def _policy(self) -> Policy:
        return self.policy

    def _note(self, event: str, facts: Mapping[str, object]) -> None:
        assert "gwr_" not in str(facts)
        self.events.append(event)

    async def tried(self, username: str = "ana", password: str = "right", **how: Any) -> Login | BadCredentials:
        """Log in as the endpoint does."""
        who = await self.service.verify(username, password)
        return who if isinstance(who, BadCredentials) else await self.service.begin(who, **how)

    async def login(self, **how: str) -> Login:
        login = await self.tried(**how)
        assert isinstance(login, Login)
        return login

    async def refresh(self, text: str) -> Refreshed:
        refreshed = await self.service.refresh(text)
        assert isinstance(refreshed, Refreshed), refreshed
        return refreshed

    async def refused(self, text: str) -> str:
        invalid = await self.service.refresh(text)
        assert isinstance(invalid, InvalidGrant), invalid
        return invalid.reason

    async def wait(self, text: str, seconds: float) -> None:
        token = parse(self.secrets, text)
        assert token is not None
        await pass_time(self.store, token.tag, encode(token.session), seconds)

    def identity(self, answer: Login | Refreshed) -> Identity:
        identity = self.verifier.verify(answer.access.token.encode(), SystemClock.wall())
        assert isinstance(identity, Identity), identity
        return identity

    def is_dead(self, answer: Login | Refreshed) -> bool:
        return self.table.is_dead(self.identity(answer))


def claims(answer: Login | Refreshed) -> dict[str, object]:
    raw = decode(answer.access.token.split(".")[1].encode())
    assert raw is not None
    content: dict[str, object] = json.loads(raw)
    return content


@pytest.fixture(scope="module")
def ring() -> KeyRing:
    return KeyRing([generate_key("ES256")])


@pytest.fixture(scope="module")
def secrets() -> Secrets:
    return Secrets(bytes(range(7, 71)))


@pytest.fixture
def people() -> People:
    return People()


@pytest.fixture
async def gateway(store: SessionStore, people: People, ring: KeyRing, secrets: Secrets) -> AsyncIterator[Gateway]:
    gateway = Gateway(store, people, ring, secrets)
    yield gateway
    gateway.pool.threads.shutdown()


class TestLogin:
    async def test_gives_an_access_token_that_verifies(self, gateway: Gateway) -> None:
        login = await gateway.login()
        identity = gateway.identity(login)
        assert (identity.subject, identity.tenant, identity.session) == ("u-1", "acme", login.session)
        assert identity.roles == {"user", "admin"}
        assert len(login.session) == 22
        assert login.access.expires_in == 300
        assert 590 <= login.refresh_expires_in <= 600
        assert login.scope == "read write"
        assert claims(login)["amr"] == ["pwd"]
        assert not gateway.is_dead(login)

    @pytest.mark.parametrize(("username", "password"), [("ana", "wrong"), ("bea", "right"), ("", "")])
    async def test_refuses_wrong_credentials(self, gateway: Gateway, username: str, password: str) -> None:
        answer = await gateway.tried(username, password)
        assert isinstance(answer, BadCredentials)

    async def test_grants_no_more_than_the_user_has(self, gateway: Gateway) -> None:
        login = await gateway.login(scope="write admin read:all")
        assert login.scope == "write"
        assert claims(login)["scope"] == "write"

    @pytest.mark.item(85, "F11")
    async def test_is_a_new_session_each_time(self, gateway: Gateway) -> None:
        assert len({(await gateway.login()).session for _ in range(3)}) == 3

    async def test_without_the_user_store_is_503(self, gateway: Gateway, people: People) -> None:
        people.ana = Unavailable("down")
        with pytest.raises(Refused) as raised:
            await gateway.tried()
        assert raised.value.refusal.status == 503

    @pytest.mark.item(87, 115)
    async def test_of_a_disabled_user_looks_like_a_wrong_password(self, gateway: Gateway) -> None:
        await gateway.ending.user(gateway.service._issuing.tag("u-1", "acme"), "test", disable=True)
        assert await gateway.tried() == BadCredentials("disabled")

    async def test_beyond_the_limit_ends_the_oldest_at_once(self, gateway: Gateway) -> None:
        gateway.policy = replace(POLICY, max_sessions=1)
        first, second = await gateway.login(), await gateway.login()
        assert gateway.is_dead(first)
        assert not gateway.is_dead(second)
        assert await gateway.refused(first.refresh) == "revoked"

    async def test_of_somebody_whose_token_would_be_too_large_leaves_no_session_and_says_why(
        self, gateway: Gateway, people: People
    ) -> None:
        people.change(claims={"x": "y" * 9000})
        with pytest.raises(Refused) as refused:
            await gateway.tried()
        assert (refused.value.refusal.code.name, refused.value.refusal.reason) == ("internal_error", "token_unissuable")
        assert "token_unissuable" in str(gateway.events)
        people.change(claims={})
        who = (await gateway.login()).subject
        assert len(await gateway.service.sessions(subject=who.sub, tenant=who.tenant)) == 1

    async def test_shows_in_the_list(self, gateway: Gateway) -> None:
        login = await gateway.login(device="laptop", user_agent="curl/8", address="127.0.0.1")
        (view,) = await gateway.service.sessions(subject="u-1", tenant="acme")
        assert (view.session, view.device, view.user_agent) == (login.session, "laptop", "curl/8")


class TestRefresh:
    async def test_gives_the_successor_and_a_new_access_token(self, gateway: Gateway) -> None:
        login = await gateway.login()
        refreshed = await gateway.refresh(login.refresh)
        assert refreshed.outcome == "rotated"
        assert refreshed.refresh != login.refresh
        assert refreshed.session == login.session
        assert refreshed.access.jti != login.access.jti
        assert claims(refreshed)["auth_time"] == claims(login)["auth_time"]

    @pytest.mark.item(98)
    async def test_does_not_kill_the_access_token_in_use(self, gateway: Gateway) -> None:
        login = await gateway.login()
        await gateway.refresh(login.refresh)
        assert not gateway.is_dead(login)

    async def test_fifty_at_once_give_one_successor(self, gateway: Gateway) -> None:
        login = await gateway.login()
        answers = await asyncio.gather(*(gateway.refresh(login.refresh) for _ in range(50)))
        assert len({answer.refresh for answer in answers}) == 1
        assert {answer.outcome for answer in answers} == {"rotated"}  # one flight for all

    async def test_of_two_gateways_at_once_gives_one_successor(
        self, gateway: Gateway, people: People, ring: KeyRing, secrets: Secrets
    ) -> None:
        other = Gateway(gateway.store, people, ring, secrets)
        login = await gateway.login()
        answers = await asyncio.gather(gateway.refresh(login.refresh), other.refresh(login.refresh))
        assert Counter(answer.outcome for answer in answers) == {"rotated": 1, "replayed": 1}
        assert len({answer.refresh for answer in answers}) == 1
        other.pool.threads.shutdown()

    async def test_goes_on_when_its_caller_leaves(self, gateway: Gateway) -> None:
        login = await gateway.login()
        leaving = asyncio.ensure_future(gateway.service.refresh(login.refresh))
        staying = asyncio.ensure_future(gateway.service.refresh(login.refresh))
        await asyncio.sleep(0)
        leaving.cancel()
        answer = await staying
        assert isinstance(answer, Refreshed)
        assert answer.outcome == "rotated"
        assert gateway.service._refreshing._flights == {}

    @pytest.mark.item(78)
    async def test_strict_two_at_once_are_a_leak(self, gateway: Gateway) -> None:
        gateway.policy = STRICT
        login = await gateway.login()
        answers = await asyncio.gather(gateway.service.refresh(login.refresh), gateway.service.refresh(login.refresh))
        assert {type(answer) for answer in answers} == {Refreshed, InvalidGrant}
        assert gateway.is_dead(login)

    @pytest.mark.item(76, "F5")
    async def test_reuse_ends_the_session_and_its_access_tokens(self, gateway: Gateway) -> None:
        login = await gateway.login()
        refreshed = await gateway.refresh(login.refresh)
        await gateway.wait(login.refresh, 11)
        assert await gateway.refused(login.refresh) == "reuse"
        assert gateway.events == ["refresh_reused"]
        assert gateway.is_dead(login)
        assert gateway.is_dead(refreshed)
        assert await gateway.refused(refreshed.refresh) == "revoked"

    @pytest.mark.item(97)
    async def test_a_store_that_lost_writes_is_healed_and_reported(self, gateway: Gateway) -> None:
        login = await gateway.login()
        refreshed = await gateway.refresh(login.refresh)
        token = parse(gateway.secrets, login.refresh)
        assert token is not None
        key = gateway.store.keys.of(token.tag).session(login.session)
        await gateway.store.link.command("HSET", key, "n", 0, "p", -1, "ra", 0)
        assert (await gateway.refresh(refreshed.refresh)).outcome == "healed"
        assert gateway.events == ["session_healed"]

    @pytest.mark.item(83)
    @pytest.mark.parametrize(
        "spoil",
        [
            pytest.param(lambda text: "", id="empty"),
            pytest.param(lambda text: text[:-1], id="truncated"),
            pytest.param(lambda text: text + "=", id="padded"),
            pytest.param(lambda text: text[:40] + ("B" if text[40] != "B" else "C") + text[41:], id="flipped"),
            pytest.param(lambda text: text.swapcase(), id="other letters"),
            pytest.param(lambda text: "\udcff" * 92, id="surrogates"),
        ],
    )
    async def test_a_forgery_never_reaches_the_store(self, gateway: Gateway, spoil: Callable[[str], str]) -> None:
        login = await gateway.login()

        async def commands() -> int:
            info = await gateway.store.link.command("INFO", "stats")
            assert isinstance(info, bytes)
            return int(info.split(b"total_commands_processed:")[1].split()[0])

        before = await commands()
        assert await gateway.refused(spoil(login.refresh)) == "malformed"
        assert await commands() - before == 1  # the question itself

    async def test_of_a_session_nobody_knows_is_refused(self, gateway: Gateway) -> None:
        stranger = RefreshToken(bytes(12), bytes(16), bytes(16), 0)
        assert await gateway.refused(mint(gateway.secrets, stranger)) == "unknown"

    @pytest.mark.item(80)
    async def test_after_idling_is_refused(self, gateway: Gateway) -> None:
        login = await gateway.login()
        await gateway.wait(login.refresh, 601)
        assert await gateway.refused(login.refresh) == "expired"

    @pytest.mark.item(82)
    async def test_by_another_client_is_refused_and_leaves_the_family_alone(
        self, gateway: Gateway, people: People, ring: KeyRing, secrets: Secrets
    ) -> None:
        login = await gateway.login()
        key = gateway.store.keys.of(gateway.service._issuing.tag("u-1", "acme")).session(login.session)
        await gateway.store.link.command("HSET", key, "cid", "other")
        answer = await gateway.service.refresh(login.refresh)
        assert answer == InvalidGrant("client", login.session, is_over=False)
        await gateway.store.link.command("HSET", key, "cid", CLIENT)
        assert (await gateway.refresh(login.refresh)).outcome == "rotated"


class TestTheUserAtARefresh:
    @pytest.mark.item(94)
    async def test_roles_are_those_of_now(self, gateway: Gateway, people: People) -> None:
        login = await gateway.login()
        people.change(roles=("user", "auditor"))
        assert gateway.identity(await gateway.refresh(login.refresh)).roles == {"user", "auditor"}

    @pytest.mark.item(94)
    async def test_a_lost_role_makes_older_tokens_refresh_and_keeps_the_session(
        self, gateway: Gateway, people: People
    ) -> None:
        one, two = await gateway.login(), await gateway.login()
        await asyncio.sleep(0.002)  # into another millisecond
        people.change(roles=("user",))
        refreshed = await gateway.refresh(one.refresh)
        assert gateway.is_dead(one)
        assert gateway.is_dead(two)
        assert not gateway.is_dead(refreshed)
        assert not gateway.is_dead(await gateway.refresh(two.refresh))

    async def test_a_new_role_leaves_older_tokens_alone(self, gateway: Gateway, people: People) -> None:
        login = await gateway.login()
        people.change(roles=("user", "admin", "auditor"))
        await gateway.refresh(login.refresh)
        assert not gateway.is_dead(login)

    async def test_scope_shrinks_and_never_grows(self, gateway: Gateway, people: People) -> None:
        login = await gateway.login(scope="read")
        people.change(scopes=("read", "write", "more"))
        assert (await gateway.refresh(login.refresh)).scope == "read"
        people.change(scopes=("write",))
        assert (await gateway.refresh(login.refresh)).scope == ""

    @pytest.mark.item(87)
    async def test_a_user_who_is_gone_loses_everything(self, gateway: Gateway, people: People) -> None:
        one, two = await gateway.login(), await gateway.login()
        people.ana = Gone()
        assert await gateway.refused(one.refresh) == "user_gone"
        assert gateway.is_dead(two)
        assert await gateway.refused(two.refresh) == "revoked"

    @pytest.mark.item("F3", "F12")
    async def test_a_user_store_that_is_down_burns_no_token(self, gateway: Gateway, people: People) -> None:
        gateway.policy = STRICT
        login, ana = await gateway.login(), people.ana
        people.ana = Unavailable("down")
        with pytest.raises(Refused) as raised:
            await gateway.service.refresh(login.refresh)
        assert raised.value.refusal.status == 503
        people.ana = ana
        assert (await gateway.refresh(login.refresh)).outcome == "rotated"

    async def test_a_move_to_another_tenant_ends_the_session(self, gateway: Gateway, people: People) -> None:
        login = await gateway.login()
        people.change(tenant="other")
        assert await gateway.refused(login.refresh) == "tenant_changed"
        assert gateway.is_dead(login)


class TestLogout:
    async def test_ends_the_session_and_its_tokens_at_once(self, gateway: Gateway) -> None:
        login, other = await gateway.login(), await gateway.login()
        await gateway.service.logout(login.session, subject="u-1", tenant="acme")
        assert gateway.is_dead(login)
        assert not gateway.is_dead(other)
        assert await gateway.refused(login.refresh) == "revoked"

    @pytest.mark.item(91)
    async def test_twice_is_the_same_as_once(self, gateway: Gateway) -> None:
        login = await gateway.login()
        for _ in range(2):
            await gateway.service.logout(login.session, subject="u-1", tenant="acme")
            await gateway.service.logout_by_refresh(login.refresh)

    async def test_by_refresh_token_ends_its_session(self, gateway: Gateway) -> None:
        login = await gateway.login()
        await gateway.service.logout_by_refresh(login.refresh)
        assert gateway.is_dead(login)

    async def test_by_a_forged_refresh_token_ends_nothing(self, gateway: Gateway) -> None:
        login = await gateway.login()
        await gateway.service.logout_by_refresh(login.refresh[:-1] + ("A" if login.refresh[-1] != "A" else "B"))
        await gateway.service.logout_by_refresh("gwr_")
        assert not gateway.is_dead(login)

    async def test_everywhere_ends_every_session(self, gateway: Gateway) -> None:
        logins = [await gateway.login() for _ in range(3)]
        await gateway.service.logout_everywhere(subject="u-1", tenant="acme")
        assert all(map(gateway.is_dead, logins))
        assert not gateway.is_dead(await gateway.login())

    async def test_of_the_others_keeps_this_one(self, gateway: Gateway) -> None:
        one, two = await gateway.login(), await gateway.login()
        await gateway.service.logout_others(two.session, subject="u-1", tenant="acme")
        assert gateway.is_dead(one)
        assert not gateway.is_dead(two)

    async def test_of_a_listed_session_works_for_its_owner_alone(self, gateway: Gateway) -> None:
        login = await gateway.login()
        assert not await gateway.service.end(login.session, subject="u-2")
        assert not gateway.is_dead(login)
        assert await gateway.service.end(login.session, subject="u-1", tenant="acme")
        assert gateway.is_dead(login)

    async def test_during_a_refresh_leaves_no_live_token(self, gateway: Gateway) -> None:
        login = await gateway.login()
        answer, _ = await asyncio.gather(
            gateway.service.refresh(login.refresh),
            gateway.service.logout(login.session, subject="u-1", tenant="acme"),
        )
        assert isinstance(answer, InvalidGrant) or gateway.is_dead(answer)


class TestTrouble:
    async def test_a_revocation_the_store_has_lost_still_refuses_and_is_restored(self, gateway: Gateway) -> None:
        login = await gateway.login()
        tag = gateway.service._issuing.tag("u-1", "acme")
        now = round(SystemClock.wall() * 1000)
        gateway.table.apply(Entry(Kind.SESSION, login.session, expires_ms=now + 60_000), now)
        assert await gateway.refused(login.refresh) == "revoked"
        peeked = await gateway.store.peek(tag, login.session)
        assert isinstance(peeked, Peeked)
        assert not peeked.active

    async def test_a_user_revocation_the_store_has_lost_still_refuses(self, gateway: Gateway) -> None:
        login = await gateway.login()
        tag = gateway.service._issuing.tag("u-1", "acme")
        now = round(SystemClock.wall() * 1000)
        gateway.table.apply(Entry(Kind.SUBJECT, tag.hex(), now + 5, now + 60_000), now)
        assert await gateway.refused(login.refresh) == "revoked"
        assert not gateway.is_dead(await gateway.login())

    async def test_a_dead_token_sent_again_and_again_fills_no_feed(self, gateway: Gateway) -> None:
        login = await gateway.login()
        await gateway.service.logout(login.session, subject="u-1", tenant="acme")
        before = await gateway.store.link.command("XLEN", gateway.store.keys.stream)
        for _ in range(5):
            await gateway.service.refresh(login.refresh)
            await gateway.service.logout(login.session, subject="u-1", tenant="acme")
        assert await gateway.store.link.command("XLEN", gateway.store.keys.stream) == before

    async def test_a_store_that_is_down_is_503_for_everything_and_burns_nothing(
        self, valkey: Server, gateway: Gateway, people: People, ring: KeyRing, secrets: Secrets
    ) -> None:
        login = await gateway.login()
        hasty = Gateway(connect(valkey.url, timeout=0.1), people, ring, secrets)
        with frozen(valkey):
            for work in (
                hasty.tried(),
                hasty.service.refresh(login.refresh),
                hasty.service.sessions(subject="u-1", tenant="acme"),
            ):
                with pytest.raises(StoreUnavailable):
                    await work
        await hasty.store.close()
        hasty.pool.threads.shutdown()
        assert (await gateway.refresh(login.refresh)).outcome in {"rotated", "replayed"}

    async def test_a_logout_without_a_store_is_enforced_here_and_reported(
        self, valkey: Server, gateway: Gateway, people: People, ring: KeyRing, secrets: Secrets
    ) -> None:
        login = await gateway.login()
        hasty = Gateway(connect(valkey.url, timeout=0.1), people, ring, secrets)
        with frozen(valkey), pytest.raises(StoreUnavailable):
            await hasty.service.logout(login.session, subject="u-1", tenant="acme")
        assert hasty.is_dead(login)
        await hasty.store.close()
        hasty.pool.threads.shutdown()

    @pytest.mark.item(84, "F9")
    async def test_a_dump_of_the_store_refreshes_nothing(self, gateway: Gateway) -> None:
        login = await gateway.login()
        await gateway.refresh(login.refresh)
        token = parse(gateway.secrets, login.refresh)
        assert token is not None
        dump = []
        keys = await gateway.store.link.command("KEYS", "*")
        assert isinstance(keys, list)
        for key in keys:
            assert isinstance(key, bytes)
            dump.append(key + str(await gateway.store.link.command("DUMP", key)).encode())
        everything = b"".join(dump)
        assert token.family not in everything
        assert repr(token.family)[2:-1].encode() not in everything
        assert login.refresh.encode() not in everything
        assert b"gwr_" not in everything
