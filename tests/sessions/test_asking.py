"""What the store itself knows against a token, asked by a process that has heard of nothing."""

from collections.abc import AsyncIterator, Callable, Coroutine

import pytest

from gateway.errors import StoreUnavailable
from gateway.sessions.asking import Asking
from gateway.sessions.revocations import Revocations
from gateway.sessions.store import SessionStore, connect
from gateway.tokens.ring import KeyRing
from gateway.tokens.secrets import Secrets, subject_tag
from gateway.tokens.signing import generate_key
from gateway.tokens.verify import Identity

from .conftest import Server
from .test_link import frozen
from .test_service import CLIENT, ISSUER, Gateway, People


class Deaf:
    """Another process on the same store, whose feed tells it nothing."""

    def __init__(self, gateway: Gateway) -> None:
        def tag_of(issuer: str, tenant: str | None, sub: str) -> bytes:
            return subject_tag(gateway.secrets, issuer, tenant, sub)

        self.table = Revocations(lambda *person: tag_of(*person).hex())
        self.asking = Asking(gateway.store, self.table, tag_of, ISSUER)


@pytest.fixture
async def gateway(store: SessionStore) -> AsyncIterator[Gateway]:
    gateway = Gateway(store, People(), KeyRing([generate_key("ES256")]), Secrets(bytes(range(7, 55))))
    yield gateway
    gateway.pool.threads.shutdown()


@pytest.fixture
def deaf(gateway: Gateway) -> Deaf:
    return Deaf(gateway)


def tag(gateway: Gateway, identity: Identity) -> bytes:
    return subject_tag(gateway.secrets, identity.issuer, identity.tenant, identity.subject)


Act = Callable[[Gateway, Identity], Coroutine[object, object, object]]


ENDS: dict[str, Act] = {
    "session": lambda g, who: g.ending.session(tag(g, who), who.session),
    "user": lambda g, who: g.ending.user(tag(g, who), "test"),
    "disabled": lambda g, who: g.ending.user(tag(g, who), "test", disable=True),
    "token": lambda g, who: g.ending.token(who.token_id, "test"),
    "client": lambda g, who: g.ending.client(CLIENT, "test"),
    "tenant": lambda g, who: g.ending.tenant("acme", "test"),
    "key": lambda g, who: g.ending.key(who.key, "test"),
    "all": lambda g, who: g.ending.everyone("test"),
}


@pytest.mark.item(103)
@pytest.mark.parametrize("kind", ENDS)
async def test_whatever_was_ended_the_store_knows_of_it(gateway: Gateway, deaf: Deaf, kind: str) -> None:
    identity = gateway.identity(await gateway.login())
    assert not await deaf.asking.is_dead(identity)
    await ENDS[kind](gateway, identity)
    assert not deaf.table.is_dead(identity)
    assert await deaf.asking.is_dead(identity)


@pytest.mark.parametrize("kind", ["user", "client", "tenant", "all"])
async def test_who_logs_in_after_that_is_not_concerned(gateway: Gateway, deaf: Deaf, kind: str) -> None:
    await ENDS[kind](gateway, gateway.identity(await gateway.login()))
    assert not await deaf.asking.is_dead(gateway.identity(await gateway.login()))


async def test_a_lost_role_is_known_too(gateway: Gateway, deaf: Deaf) -> None:
    login = await gateway.login()
    before = gateway.identity(login)
    gateway.people.change(roles=("user",))
    after = gateway.identity(await gateway.refresh(login.refresh))
    assert await deaf.asking.is_dead(before)
    assert not await deaf.asking.is_dead(after)


async def test_another_issuers_token_has_no_session_here_and_a_user_all_the_same(gateway: Gateway, deaf: Deaf) -> None:
    foreign = gateway.identity(await gateway.login())._replace(issuer="https://other", session="other:1")
    assert not await deaf.asking.is_dead(foreign)
    assert not await deaf.asking.is_live(foreign)
    await gateway.ending.user(tag(gateway, foreign), "test")
    assert await deaf.asking.is_dead(foreign)


async def test_a_session_lives_until_it_is_ended(gateway: Gateway, deaf: Deaf) -> None:
    login = await gateway.login()
    identity = gateway.identity(login)
    assert await deaf.asking.is_live(identity)
    assert not await deaf.asking.is_live(identity._replace(subject="u-2"))
    await gateway.wait(login.refresh, 601)  # idle for too long
    assert not await deaf.asking.is_live(identity)


async def test_what_is_known_here_is_not_asked_there(gateway: Gateway) -> None:
    identity = gateway.identity(await gateway.login())
    knowing = Asking(gateway.store, gateway.table, lambda *_: b"", ISSUER)
    await gateway.ending.session(tag(gateway, identity), identity.session)
    assert not await knowing.is_live(identity)


async def test_no_answer_is_neither_yes_nor_no(gateway: Gateway, valkey: Server) -> None:
    identity = gateway.identity(await gateway.login())
    hasty = connect(valkey.url, timeout=0.2)
    asking = Asking(hasty, gateway.table, lambda *_: tag(gateway, identity), ISSUER)
    with frozen(valkey):
        for question in (asking.is_dead, asking.is_live):
            with pytest.raises(StoreUnavailable):
                await question(identity)
    await hasty.close()
