"""Trouble with the server: always `StoreUnavailable`, always soon, and never the answer to somebody else's question."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.errors import StoreUnavailable
from gateway.sessions.store import SessionStore, connect

from .conftest import Server
from .contract import POLICY, Person

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


async def test_a_caller_who_leaves_does_not_mix_up_answers(store: SessionStore) -> None:
    """A reply that nobody waits for must not be read as the answer to the next command (CVE-2023-28858)."""
    for turn in range(60):
        leaving = asyncio.ensure_future(store.link.command("ECHO", f"stale-{turn}"))
        await asyncio.sleep(0 if turn % 2 else 0.0001 * (turn % 7))
        leaving.cancel()
        answers = await asyncio.gather(*(store.link.command("ECHO", f"{turn}-{n}") for n in range(3)))
        assert answers == [f"{turn}-{n}".encode() for n in range(3)]
        await asyncio.gather(leaving, return_exceptions=True)


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
