"""The store as it is in production: under Sentinels, in a cluster, behind TLS, for a user with few rights."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.errors import StoreUnavailable
from gateway.limits.guesses import Guess, Reserved
from gateway.sessions.begun import BegunLogins
from gateway.sessions.cluster import slot_of
from gateway.sessions.guesses import StoredThrottle
from gateway.sessions.outcomes import Created, Disabled, Healed, Replayed, Revoked, Rotated
from gateway.sessions.replies import text
from gateway.sessions.store import SessionStore, connect
from tests.proxy.certificates import Authority

from .conftest import PATIENCE, emptied
from .contract import POLICY, Person
from .servers import Nodes, Watched, cluster, free_port, redis, watched
from .test_feed import replica

# On a busy machine redis-py sometimes leaves the socket of a connection that was given up in the making to the garbage
# collector, which says so in whatever test runs then.
pytestmark = pytest.mark.filterwarnings("default::pytest.PytestUnraisableExceptionWarning")


async def until_it_works(person: Person, counter: int) -> object:
    """Present the token until somebody answers; at no time may the answer be that it does not count."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await person.present(counter)
            except StoreUnavailable:
                await asyncio.sleep(0.05)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sentinels(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Watched]:
    async with watched(tmp_path_factory.mktemp("sentinels")) as sentinels:
        yield sentinels


class TestUnderSentinels:
    @pytest.mark.item(97, "failover")
    async def test_the_promoted_replica_is_found_and_what_it_never_heard_is_healed(self, tmp_path: Path) -> None:
        """The replica is cut off before one of two refreshes, so it is promoted with a session that is behind."""
        async with watched(tmp_path) as sentinels:
            store = connect(sentinels.url, timeout=1.0)
            early, late = Person(store), Person(store)
            await early.login()
            await late.login()
            await early.present(0)
            old = await sentinels.primary()
            (other,) = [server for server in sentinels.servers if server is not old]
            for person, counter in ((early, b"1"), (late, b"0")):
                key = store.keys.of(person.tag).session(person.session)
                await other.until(lambda reply, counter=counter: reply == counter, "HGET", key, "n")  # type: ignore[misc]
            with other.frozen():
                await old.ask("CLIENT", "KILL", "TYPE", "replica")
                assert isinstance(await late.present(0), Rotated)
                old.kill()
            assert isinstance(await until_it_works(early, 0), Replayed)
            await other.until(lambda reply: isinstance(reply, list) and reply[0] == b"master", "ROLE")
            healed = await until_it_works(late, 1)
            assert isinstance(healed, Healed)
            assert healed.counter == 2
            await store.close()

    async def test_a_primary_that_was_demoted_is_left_in_the_same_call(self, sentinels: Watched) -> None:
        """What it refused it has not done, so nobody sees a failover that was made on purpose."""
        store = connect(sentinels.url, timeout=PATIENCE)
        person = Person(store)
        await person.login()
        old = await sentinels.primary()
        await sentinels.sentinels[0].ask("SENTINEL", "FAILOVER", Watched.NAME)
        for sentinel in sentinels.sentinels:
            await sentinel.until(
                lambda reply: isinstance(reply, list) and int(text(reply[1])) != old.port,
                *("SENTINEL", "GET-MASTER-ADDR-BY-NAME", Watched.NAME),
            )
        # The Sentinels would do this as well, ten seconds later.
        await old.ask("REPLICAOF", "127.0.0.1", (await sentinels.primary()).port)
        assert isinstance(await person.present(0), Rotated)
        await store.close()

    async def test_without_sentinels_it_is_unavailable_in_time(self) -> None:
        store = connect("redis+sentinel://127.0.0.1:1,127.0.0.1:2/nobody", timeout=0.3)
        began = time.monotonic()
        with pytest.raises(StoreUnavailable) as failed:
            await store.ping()
        assert failed.value.kind == "sentinel"
        assert time.monotonic() - began < PATIENCE
        await store.close()

    async def test_sentinels_that_are_frozen_do_not_stop_who_knows_the_primary(self, sentinels: Watched) -> None:
        store = connect(sentinels.url, timeout=1.0)
        await store.ping()
        with sentinels.sentinels[0].frozen(), sentinels.sentinels[1].frozen(), sentinels.sentinels[2].frozen():
            await store.ping()
        await store.close()

    async def test_one_frozen_sentinel_is_not_waited_for(self, sentinels: Watched) -> None:
        store = connect(sentinels.url, timeout=PATIENCE)
        with sentinels.sentinels[0].frozen():
            async with asyncio.timeout(PATIENCE / 2):
                await store.ping()
        await store.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def moving(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Nodes]:
    async with cluster(tmp_path_factory.mktemp("moving")) as nodes:
        yield nodes


class TestInACluster:
    @pytest.fixture
    async def store(self, moving: Nodes) -> AsyncIterator[SessionStore]:
        store = connect(moving.url, timeout=PATIENCE)
        yield store
        await store.close()

    async def test_users_are_spread_over_the_nodes(self, moving: Nodes, store: SessionStore) -> None:
        people = [Person(store) for _ in range(30)]
        for person in people:
            await person.login()
        for person in people:
            assert isinstance(await person.present(0), Rotated)
        assert 0 not in [await node.ask("DBSIZE") for node in moving.nodes]

    async def test_a_slot_that_has_moved_is_followed_in_the_same_call(self, moving: Nodes, store: SessionStore) -> None:
        person = Person(store)
        await person.login()
        slot = slot_of(("HGETALL", store.keys.of(person.tag).user))
        assert slot is not None
        source = await moving.owner(slot)
        target = next(node for node in moving.nodes if node is not source)
        await moving.move(slot, source, target)
        assert isinstance(await person.present(0), Rotated)
        assert len(await store.sessions_of(person.tag)) == 1

    async def test_while_a_slot_moves_nobody_is_told_that_a_token_does_not_count(
        self, moving: Nodes, store: SessionStore
    ) -> None:
        hasty = connect(moving.url, timeout=1.0)
        person = Person(hasty)
        await person.login()
        keys = hasty.keys.of(person.tag)
        slot = slot_of(("HGETALL", keys.user))
        assert slot is not None
        source = await moving.owner(slot)
        target = next(node for node in moving.nodes if node is not source)
        await moving.begin_moving(slot, source, target)
        assert isinstance(await person.present(0), Rotated)  # everything is still in the old place
        await source.ask("MIGRATE", "127.0.0.1", target.port, keys.user, 0, 5000)
        with pytest.raises(StoreUnavailable) as failed:  # between the two
            await person.present(0)
        assert failed.value.kind == "tryagain"
        for key in (keys.index, keys.session(person.session)):
            await source.ask("MIGRATE", "127.0.0.1", target.port, key, 0, 5000)
        assert isinstance(await person.present(0), Replayed)  # everything is in the new place, which is not official
        await moving.finish_moving(slot, source, target)
        assert isinstance(await person.present(0), Replayed)
        await hasty.close()

    async def test_who_comes_while_a_slot_moves_waits_for_the_move(self, moving: Nodes, store: SessionStore) -> None:
        patient = connect(moving.url, timeout=20.0)
        person = Person(patient)
        await person.login()
        keys = patient.keys.of(person.tag)
        slot = slot_of(("HGETALL", keys.user))
        assert slot is not None
        source = await moving.owner(slot)
        target = next(node for node in moving.nodes if node is not source)
        await moving.begin_moving(slot, source, target)
        await source.ask("MIGRATE", "127.0.0.1", target.port, keys.user, 0, 5000)
        refresh = asyncio.create_task(person.present(0))  # its keys are between the two
        same = Person(patient)
        same.tag = person.tag
        again = asyncio.create_task(same.login())  # has a new key, which is on neither side
        await asyncio.sleep(0.2)
        assert not refresh.done()
        for key in (keys.index, keys.session(person.session)):
            await source.ask("MIGRATE", "127.0.0.1", target.port, key, 0, 5000)
        assert isinstance(await refresh, Rotated)
        assert not again.done()
        await moving.finish_moving(slot, source, target)
        await again
        assert len(await patient.sessions_of(person.tag)) == 2
        await patient.close()

    async def test_the_feed_survives_a_move_of_its_stream(self, moving: Nodes, store: SessionStore) -> None:
        async with replica(moving, "one") as one, replica(moving, "two") as two:
            await one.follow()
            await two.follow()
            await one.ending.token("t-1", "test")
            slot = slot_of(("XLEN", store.keys.stream))
            assert slot is not None
            source = await moving.owner(slot)
            await moving.move(slot, source, next(node for node in moving.nodes if node is not source))
            async with asyncio.timeout(20):
                while True:
                    try:
                        await one.ending.token("t-2", "test")
                    except StoreUnavailable:
                        continue
                    break
                while not {"t-1", "t-2"} <= {entry.value for entry in two.table.entries()}:
                    await asyncio.sleep(0.02)

    async def test_a_login_after_the_end_of_everyone_works_at_once(self, store: SessionStore) -> None:
        """The cut-off is made by another node, whose clock may be ahead; the login's stamp is later all the same."""
        for _ in range(5):
            cut = await store.cut("all", POLICY)
            person = Person(store)
            person.wide_cut = cut
            created = await person.login()
            assert isinstance(created, Created)
            assert created.stamp_ms > cut
            assert isinstance(await person.present(0), Rotated)


async def test_a_node_that_dies_takes_its_users_and_nobody_else(tmp_path: Path) -> None:
    async with cluster(tmp_path, replicas=1) as nodes:
        store = connect(nodes.url, timeout=1.0)
        people = [Person(store) for _ in range(12)]
        for person in people:
            await person.login()
        homes = [await nodes.owner(slot_of(("HGETALL", store.keys.of(person.tag).user)) or 0) for person in people]
        owner = homes[0]
        others = [person for person, home in zip(people, homes, strict=True) if home is not owner]
        assert others
        with owner.frozen():
            for person in others:
                assert isinstance(await person.present(0), Rotated)
        owner.kill()
        assert isinstance(await until_it_works(people[0], 0), Rotated | Replayed)
        await store.close()


# TLS, users, sockets


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


async def test_tls_with_an_authority_of_ones_own(authority: Authority, tmp_path: Path) -> None:
    mine, clients = authority.issue("localhost"), authority.issue("gateway")
    port = free_port()
    tls = (
        *("--tls-port", str(port), "--tls-cert-file", str(mine.certificate), "--tls-key-file", str(mine.key)),
        *("--tls-ca-cert-file", str(authority.file), "--tls-auth-clients", "yes"),
    )
    async with redis(tmp_path, *tls):
        own = f"ssl_certfile={clients.certificate}&ssl_keyfile={clients.key}"
        good = connect(f"rediss://localhost:{port}?ssl_ca_certs={authority.file}&{own}", timeout=PATIENCE)
        person = Person(good)
        await person.login()
        assert isinstance(await person.present(0), Rotated)
        await good.close()

        for url, why in (
            (f"rediss://localhost:{port}?{own}", "an authority nobody here trusts"),
            (f"rediss://127.0.0.1:{port}?ssl_ca_certs={authority.file}&{own}", "a certificate for another name"),
        ):
            bad = connect(url, timeout=PATIENCE)
            with pytest.raises(StoreUnavailable) as failed:
                await bad.ping()
            assert failed.value.kind == "tls", why
            await bad.close()


ACL = "on >right resetchannels ~gw:* -@all +client|setname +info +ping +select +wait +eval +evalsha +time +get +set \
+hget +hmget +hset +hsetnx +hdel +hexists +hgetall +zadd +zrem +zrange +zscore +zcard +zremrangebyrank \
+zremrangebyscore +xadd +xread +del +decr +persist +pttl +pexpire +pexpireat"
"""What docs/operation.md tells to allow."""


async def test_a_user_with_few_rights_is_enough(tmp_path: Path) -> None:
    async with redis(tmp_path) as server:
        await server.ask("ACL", "SETUSER", "gateway", *ACL.split())
        url = f"redis://gateway@127.0.0.1:{server.port}"
        store = connect(url, "right", timeout=PATIENCE)
        person = Person(store)
        await person.login()
        assert isinstance(await person.present(0), Rotated)
        assert len(await store.sessions_of(person.tag)) == 1
        await store.warnings()
        await store.peek(person.tag, person.session)
        await store.revoke_session(person.tag, person.session, POLICY)
        assert await person.present(1) == Revoked("logout")
        await store.revoke_user(person.tag, POLICY, disable=True)
        assert isinstance(await person.login(), Disabled)
        assert await store.enable_user(person.tag, POLICY)
        await store.cut("all", POLICY)
        await store.cuts()
        begun = BegunLogins(store, b"key")
        await begun.begin("login")
        assert await begun.attempt("login")
        assert await begun.use_step("u-1", 1)
        assert await begun.finish("login")
        brake = StoredThrottle(store, b"key")
        for end in (brake.succeeded, brake.failed, brake.released):
            turn = await brake.reserve(Guess("alice", "192.0.2.1"))
            assert isinstance(turn, Reserved)
            await end(turn)
        await store.close()
        async with replica(Url(f"redis://gateway:right@127.0.0.1:{server.port}"), "one") as one:
            await one.follow()
            await one.ending.token("t-1", "test")


class Url:
    def __init__(self, url: str) -> None:
        self.url = url


def test_the_rights_are_those_of_the_documentation() -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "operation.md").read_text()
    assert ACL.removeprefix("on >right ") in " ".join(page.split())


async def test_a_database_of_its_own(tmp_path: Path) -> None:
    async with redis(tmp_path) as server:
        store = connect(f"{server.url}/3", timeout=PATIENCE)
        await Person(store).login()
        assert "db3" in text(await server.ask("INFO", "keyspace"))
        await store.close()


# Replicas


async def test_writes_wait_for_replicas_where_asked(tmp_path: Path) -> None:
    async with redis(tmp_path / "a", "--repl-diskless-sync-delay", "0") as primary:
        store = connect(primary.url, timeout=PATIENCE, replicas=1)
        person = Person(store)
        await person.login()
        assert store.link.unreplicated == 1  # there is none, which is no reason to refuse
        async with redis(tmp_path / "b", "--replicaof", f"127.0.0.1 {primary.port}") as other:
            await other.until(lambda reply: "master_link_status:up" in text(reply), "INFO", "replication")
            await primary.until(lambda reply: reply == 1, "WAIT", "1", "1000")
            async with asyncio.timeout(PATIENCE):
                while True:  # on a busy machine 50 ms may be too short
                    before = store.link.unreplicated
                    await store.revoke_session(person.tag, person.session, POLICY)
                    if store.link.unreplicated == before:
                        break
            key = store.keys.of(person.tag).session(person.session)
            assert await other.ask("HGET", key, "st") == b"r"
        await store.close()


async def test_a_cluster_that_is_not_there_is_unavailable() -> None:
    store = connect("redis+cluster://127.0.0.1:1,127.0.0.1:2", timeout=0.3)
    with pytest.raises(StoreUnavailable) as failed:
        await store.cuts()
    assert failed.value.kind == "connection"
    await store.close()


async def test_emptying_reaches_every_node(nodes: Nodes) -> None:
    async for store in emptied(nodes):
        for _ in range(10):
            await Person(store).login()
        await store.link.command("FLUSHALL")
        assert [await node.ask("DBSIZE") for node in nodes.nodes] == [0, 0, 0]
