"""One house for many examples of hypothesis, and the patience to let each come to its end."""

import asyncio
import contextlib
from itertools import pairwise
from typing import NamedTuple

import uvloop

from gateway.proxy.downstream import LINGER, WAIT
from tests.proxy.harness import PATIENCE, Client, House, Step, settle, until
from tests.proxy.strict import Answer, read_answer


class Outcome(NamedTuple):
    """What a client got."""

    answers: list[Answer]
    rest: bytes
    """What came behind the last whole answer."""


class Stage:
    """A house on a loop of its own, used for one example after another."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self.house = self.runner.run(self._open())

    async def _open(self) -> House:
        made = House.usual()
        await made.open()
        return made

    def close(self) -> None:
        self.runner.run(self.house.close())
        self.runner.close()
        assert self.house.faults == []

    def play(self, stream: bytes, cuts: list[float], methods: list[bytes]) -> Outcome:
        """Send *stream*, cut at the shares *cuts* of its length; return the answers, read as answers to *methods*."""
        return self.runner.run(self._play(stream, cuts, methods))

    async def _play(self, stream: bytes, cuts: list[float], methods: list[bytes]) -> Outcome:
        house = self._begin()
        client = await house.client()
        await until(lambda: house.engine.connections)
        at = 0
        with contextlib.suppress(OSError):  # the gateway may have closed
            for cut in (*sorted(int(where * len(stream)) for where in cuts), len(stream)):
                await client.send(stream[at:cut])
                at = cut
                await until(lambda: self._has_taken(at))  # noqa: B023
                await settle(4)
        await self._quiet()
        return _parsed(await self._end(client), methods)

    def relay(self, answer: bytes, cuts: list[float], method: bytes, minor: int, end: Step) -> tuple[bytes, bool]:
        """Let the origin give *answer* and then *end*; return what the client got, and whether it ended well."""
        return self.runner.run(self._relay(answer, cuts, method, minor, end))

    async def _relay(
        self, answer: bytes, cuts: list[float], method: bytes, minor: int, end: Step
    ) -> tuple[bytes, bool]:
        house = self._begin()
        places = [0, *sorted(int(where * len(answer)) for where in cuts), len(answer)]
        pieces = [answer[one:other] for one, other in pairwise(places) if one < other]
        house.origin.script.clear()
        house.origin.says(*pieces, end)
        client = await house.client()
        await client.send(b"%b /once/x HTTP/1.%d\r\nHost: gw.test\r\n\r\n" % (method, minor))
        await until(lambda: house.records)
        await self._quiet()
        clean = True
        for _ in range(4):
            house.turn(40.0)
            await self._quiet()
        try:
            received = await client.rest()
        except (ConnectionError, BrokenPipeError):
            received, clean = client.unread, False
        await self._away(client)
        return received, clean

    def _begin(self) -> House:
        house = self.house
        house.origin.lines.clear()
        house.origin.requests.clear()
        house.records.clear()
        house.taken = 0
        return house

    def _has_taken(self, size: int) -> bool:
        house = self.house
        return house.taken >= size or all(one.state >= LINGER for one in house.engine.connections)

    async def _quiet(self) -> None:
        """Wait until nothing moves any more: no request is with the origin, and nobody has anything to read."""
        house = self.house
        still, before = 0, (-1, -1)
        async with asyncio.timeout(PATIENCE):
            while still < 10:
                await settle(1)
                now = (len(house.origin.received), len(house.records))
                waits = any(connection.state == WAIT for connection in house.engine.connections)
                still = 0 if waits or now != before else still + 1
                before = now

    async def _end(self, client: Client) -> bytes:
        """Let time pass: whatever still waits for something, waits in vain from here on."""
        for _ in range(4):
            self.house.turn(40.0)
            await self._quiet()
        try:
            received = await client.rest()
        except (ConnectionError, BrokenPipeError):
            received = client.unread
        await self._away(client)
        return received

    async def _away(self, client: Client) -> None:
        house = self.house
        client.close()
        house.turn(60.0)
        for pool in house.pools.values():
            pool.sweep()  # what is idle has been so for too long
        await settle(4)
        assert not house.engine.connections
        house.forget(client)


def _parsed(received: bytes, methods: list[bytes]) -> Outcome:
    answers: list[Answer] = []
    while received:
        method = methods[len(answers)] if len(answers) < len(methods) else b"GET"
        found = read_answer(received, method, ended=False)
        if found is None:
            break
        answers.append(found[0])
        received = received[found[1] :]
    return Outcome(answers, received)
