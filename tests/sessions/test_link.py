"""Trouble with the server: always `StoreUnavailable`, always soon, and never the answer to somebody else's question."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.errors import StoreUnavailable
from gateway.sessions.outcomes import Renewed
from gateway.sessions.replies import text
from gateway.sessions.store import SessionStore, connect

from .conftest import Server
from .contract import POLICY, Person
from .servers import Redis, redis

# An upper bound for "soon" on a busy machine; the timeouts below are a tenth of it.
SOON = 4.0


@contextmanager
def frozen(server: Server) -> Iterator[None]:
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


@pytest.fixture
async def hasty(valkey: Server, store: SessionStore) -> AsyncIterator[SessionStore]:
    """A store that waits 0.3 s at most."""
    hasty = connect(valkey.url, timeout=0.3)
    yield hasty
    await hasty.close()


@pytest.mark.item("store is frozen")
async def test_a_frozen_server_is_unavailable_in_time(valkey: Server, hasty: SessionStore) -> None:
    await hasty.ping()
    with frozen(valkey):
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match=r"no answer|Timeout"):
            await hasty.ping()
        assert time.monotonic() - began < SOON


async def test_a_frozen_server_keeps_no_queue_of_callers(valkey: Server, hasty: SessionStore) -> None:
    """More callers than connections: each waits for its turn no longer than for an answer."""
    with frozen(valkey):
        began = time.monotonic()
        outcomes = await asyncio.gather(*(hasty.ping() for _ in range(60)), return_exceptions=True)
        assert time.monotonic() - began < SOON
    assert all(isinstance(outcome, StoreUnavailable) for outcome in outcomes)


async def test_a_server_that_thaws_is_used_again(valkey: Server, hasty: SessionStore) -> None:
    person = Person(hasty)
    await person.login()
    with frozen(valkey), pytest.raises(StoreUnavailable):
        await person.present(0)
    patient = connect(valkey.url, timeout=SOON)
    person.store = patient
    assert type(await person.present(0)).__name__ in {"Rotated", "Replayed"}  # done by then, or not: both are right
    await patient.close()
    async with asyncio.timeout(20):
        while True:
            try:
                await hasty.ping()
            except StoreUnavailable:
                continue
            break


@pytest.mark.item("store is down at the start")
async def test_no_server_is_unavailable_at_once(tmp_path: Path) -> None:
    store = connect(f"unix://{tmp_path}/nobody.sock")
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        await store.revoke_user(bytes(12), POLICY)
    assert time.monotonic() - began < SOON
    await store.close()


async def test_a_server_that_closes_connections_is_reached_by_the_next_call(store: SessionStore) -> None:
    await store.ping()
    await store.link.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await asyncio.gather(*(store.ping() for _ in range(5)))
    await store.link.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await store.ping()


@pytest.mark.item("F7")
async def test_a_caller_who_leaves_does_not_mix_up_answers(store: SessionStore) -> None:
    """A reply that nobody waits for must not be read as the answer to the next command (CVE-2023-28858)."""
    for turn in range(60):
        leaving = asyncio.ensure_future(store.link.command("ECHO", f"stale-{turn}"))
        await asyncio.sleep(0 if turn % 2 else 0.0001 * (turn % 7))
        leaving.cancel()
        answers = await asyncio.gather(*(store.link.command("ECHO", f"{turn}-{n}") for n in range(3)))
        assert answers == [f"{turn}-{n}".encode() for n in range(3)]
        await asyncio.gather(leaving, return_exceptions=True)


@pytest.mark.item("store is full", "F3")
async def test_a_full_server_is_unavailable_and_the_token_survives(store: SessionStore) -> None:
    person = Person(store)
    await person.login()
    await store.link.command("CONFIG", "SET", "maxmemory", 1)
    try:
        with pytest.raises(StoreUnavailable, match=r"OOM|memory"):
            await person.present(0)
    finally:
        await store.link.command("CONFIG", "SET", "maxmemory", 0)
    assert type(await person.present(0)).__name__ == "Rotated"


@pytest.mark.item("failover")
async def test_a_demoted_primary_is_unavailable(store: SessionStore) -> None:
    person = Person(store)
    await person.login()
    await store.link.command("REPLICAOF", "127.0.0.1", 1)
    try:
        with pytest.raises(StoreUnavailable, match=r"READONLY|read only"):
            await person.present(0)
    finally:
        await store.link.command("REPLICAOF", "NO", "ONE")
    assert type(await person.present(0)).__name__ == "Rotated"


@pytest.mark.item("store refuses the password")
async def test_a_wrong_password_is_unavailable(valkey: Server, store: SessionStore) -> None:
    await store.link.command("CONFIG", "SET", "requirepass", "right")
    wrong, right = connect(valkey.url, "wrong"), connect(valkey.url, "right")
    try:
        with pytest.raises(StoreUnavailable, match=r"Auth|password"):
            await wrong.ping()
        await right.ping()
    finally:
        await right.link.command("CONFIG", "SET", "requirepass", "")
        await wrong.close()
        await right.close()


async def trouble(call: Awaitable[object]) -> str:
    """Return the kind of trouble *call* ends with."""
    with pytest.raises(StoreUnavailable) as failed:
        await call
    return failed.value.kind


async def test_a_server_that_is_silent_again_and_again_is_not_waited_for(valkey: Server, hasty: SessionStore) -> None:
    await hasty.ping()
    with frozen(valkey):
        kinds = {await trouble(hasty.ping()) for _ in range(8)}
        # Asked once a second from now on, so of many calls hardly any waits.
        assert [await trouble(hasty.ping()) for _ in range(200)].count("open") > 190
    assert kinds <= {"timeout", "open"}
    async with asyncio.timeout(20):
        while True:
            try:
                await hasty.ping()
            except StoreUnavailable:
                await asyncio.sleep(0.02)
                continue
            break


class TestOnAServerOfItsOwn:
    """What would upset the server that all tests share."""

    @pytest.fixture
    async def server(self, tmp_path: Path) -> AsyncIterator[Redis]:
        async with redis(tmp_path, "--busy-reply-threshold", "100") as server:
            yield server

    @pytest.fixture
    async def hasty(self, server: Redis) -> AsyncIterator[SessionStore]:
        hasty = connect(server.url, timeout=1.0)
        yield hasty
        await hasty.close()

    @pytest.mark.item("busy script")
    async def test_somebody_elses_script_that_runs_for_long(self, server: Redis, hasty: SessionStore) -> None:
        person = Person(hasty)
        await person.login()
        endless = asyncio.ensure_future(server.ask("EVAL", "while true do end", 0))
        kind = ""
        async with asyncio.timeout(20):
            while kind != "busy":
                try:
                    await person.present(0)
                except StoreUnavailable as error:
                    kind = error.kind
        # By hand: a busy server answers nothing else, not even how a client introduces itself.
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"SCRIPT KILL\r\n")
        assert await reader.readline() == b"+OK\r\n"
        writer.close()
        await writer.wait_closed()
        await asyncio.gather(endless, return_exceptions=True)
        assert type(await _until_answered(person, 0)).__name__ in {"Rotated", "Replayed"}

    @pytest.mark.item("no replicas")
    async def test_too_few_replicas(self, server: Redis, hasty: SessionStore) -> None:
        person = Person(hasty)
        await person.login()
        await server.ask("CONFIG", "SET", "min-replicas-to-write", 1)
        assert await trouble(person.present(0)) == "noreplicas"
        await server.ask("CONFIG", "SET", "min-replicas-to-write", 0)
        assert type(await person.present(0)).__name__ == "Rotated"

    @pytest.mark.item("too many clients")
    async def test_no_room_for_a_connection(self, server: Redis, hasty: SessionStore) -> None:
        person = Person(hasty)
        await person.login()
        late = connect(server.url, timeout=1.0)
        await hasty.link.command("CONFIG", "SET", "maxclients", 1)
        assert await trouble(late.ping()) in {"maxclients", "connection"}
        # Who has a connection goes on; and of those there are never more than the pool holds.
        assert type(await person.present(0)).__name__ == "Rotated"
        await hasty.link.command("CONFIG", "SET", "maxclients", 1000)
        await late.ping()
        await asyncio.gather(*(late.ping() for _ in range(200)))
        assert len(text(await hasty.link.command("CLIENT", "LIST")).splitlines()) <= 2 * 16
        await late.close()

    @pytest.mark.item("ambiguous write")
    async def test_a_refresh_that_was_not_answered_and_happens_later(self, server: Redis, hasty: SessionStore) -> None:
        """It times out, is done when the server goes on, and the client who asks again gets that very successor."""
        person = Person(hasty)
        await person.login()
        await server.ask("CLIENT", "PAUSE", 60_000, "WRITE")
        assert await trouble(person.present(0)) == "timeout"
        await server.ask("CLIENT", "UNPAUSE")
        outcome = await _until_answered(person, 0)
        assert isinstance(outcome, Renewed)
        assert outcome.counter == 1
        assert (await person.stored("n"))[0] == b"1"

    @pytest.mark.item("permission is taken away")
    async def test_a_right_that_is_taken_away(self, server: Redis) -> None:
        await server.ask("ACL", "SETUSER", "few", "on", ">few", "~*", "+@all")
        few = Person(connect(server.url.replace("//", "//few:few@"), timeout=SOON))
        await few.login()
        await server.ask("ACL", "SETUSER", "few", "-evalsha")
        assert await trouble(few.present(0)) == "permission"
        await server.ask("ACL", "SETUSER", "few", "+evalsha")
        assert type(await few.present(0)).__name__ == "Rotated"
        await few.store.close()


async def _until_answered(person: Person, counter: int) -> object:
    async with asyncio.timeout(20):
        while True:
            try:
                return await person.present(counter)
            except StoreUnavailable:
                await asyncio.sleep(0.02)
