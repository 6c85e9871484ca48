"""What many clients saw of the store while answers were lost and sessions ended: there must be an order in which it
could have happened (safety.md, "Checking F under concurrency and faults").
"""

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from gateway.errors import StoreUnavailable
from gateway.sessions.outcomes import Renewed
from gateway.sessions.store import SessionStore, connect

from .conftest import PATIENCE, Server
from .contract import POLICY, Person
from .linear import Call, Heard, What, is_linearizable
from .middle import Middle, middle

_SEED = 20261128


class Client:
    """Refreshes, tries again when it hears nothing, keeps what it gets; several share one session."""

    def __init__(self, person: Person, store: SessionStore, chance: random.Random) -> None:
        self.person = person
        self.store = store
        self.chance = chance
        self.history: list[Call] = []
        self.counter = 0
        self.is_out = False

    async def live(self, calls: int) -> None:
        for _ in range(calls):
            if self.is_out:
                return
            await asyncio.sleep(self.chance.random() * 0.01)
            if self.chance.random() < 0.02:
                await self._end()
            else:
                await self._refresh(self.counter)

    async def _refresh(self, counter: int) -> None:
        start = time.monotonic()
        token = self.person.token._replace(counter=counter)
        try:
            outcome = await self.store.rotate(token, self.person.session, POLICY)
        except StoreUnavailable:
            self.history.append(Call(start, math.inf, What.REFRESH, counter, Heard.NOTHING))
            return
        end = time.monotonic()
        if isinstance(outcome, Renewed):
            self.counter = max(self.counter, outcome.counter)
            self.history.append(Call(start, end, What.REFRESH, counter, outcome.counter))
        else:
            self.is_out = True
            self.history.append(Call(start, end, What.REFRESH, counter, Heard.REFUSED))

    async def _end(self) -> None:
        start = time.monotonic()
        try:
            await self.store.revoke_session(self.person.tag, self.person.session, POLICY)
        except StoreUnavailable:
            self.history.append(Call(start, math.inf, What.END, 0, Heard.NOTHING))
        else:
            self.history.append(Call(start, time.monotonic(), What.END, 0, Heard.DONE))


@pytest.fixture
async def wires(valkey: Server, store: SessionStore) -> AsyncIterator[list[Middle]]:
    """Two ways to the store, as two gateways have; each loses one answer in twenty."""
    chance = random.Random(_SEED)
    async with middle(valkey.url) as one, middle(valkey.url) as two:
        for wire in (one, two):
            wire.loses = lambda answer: answer.startswith(b"*") and chance.random() < 0.05
        yield [one, two]


async def _lived(store: SessionStore, wires: list[Middle], sessions: int, calls: int) -> Iterator[list[Call]]:
    chance = random.Random(_SEED)
    stores = [connect(wire.url, timeout=PATIENCE) for wire in wires]
    families: list[list[Client]] = []
    for _ in range(sessions):
        person = Person(store)
        await person.login()
        families.append([Client(person, stores[at % len(stores)], chance) for at in range(3)])
    await asyncio.gather(*(client.live(calls) for family in families for client in family))
    for gone in stores:
        await gone.close()
    return ([call for client in family for call in client.history] for family in families)


@pytest.mark.item("F1", "F3", "F4", "F6")
async def test_what_clients_saw_has_an_order(store: SessionStore, wires: list[Middle]) -> None:
    for history in await _lived(store, wires, sessions=20, calls=8):
        assert history
        assert is_linearizable(history), history


@pytest.mark.long
async def test_what_many_clients_saw_has_an_order(store: SessionStore, wires: list[Middle]) -> None:
    for history in await _lived(store, wires, sessions=300, calls=25):
        assert is_linearizable(history), history
