"""The brake in the hands of a login: wait for a turn, try, and say how it ended.

`Throttle` decides; this module only waits. A try that others in flight decide about waits for one of them to end, and
tries of an address that failed too often share one narrow lane, so that they never fill the hash pool. Both queues
are bounded.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.errors import Refused, refuse
from gateway.users.file import normal_name
from gateway.users.throttle import Busy, Reserved, Throttle, Throttled

_MAX_NAME = 255
"""Longer names belong to nobody; one count holds them all."""


class Attempt:
    """One try that may go ahead; say `succeeded` or `failed` once, else it counts for nothing."""

    __slots__ = ("_reserved", "_throttle", "outcome")

    def __init__(self, throttle: Throttle, reserved: Reserved) -> None:
        self._throttle = throttle
        self._reserved = reserved
        self.outcome: bool | None = None

    def succeeded(self) -> None:
        """The password was right."""
        self.outcome = True

    def failed(self) -> None:
        """The password was wrong.

        Raises:
            Refused: (rate_limited) the address failed too often, so its failures are answered like a refusal.
        """
        self.outcome = False
        if self._reserved.slow:
            raise Refused(refuse("rate_limited", "login_address", retry_after=self._throttle.slow_retry_after))

    def end(self) -> None:
        """Hand the outcome to the brake."""
        match self.outcome:
            case True:
                self._throttle.succeeded(self._reserved)
            case False:
                self._throttle.failed(self._reserved)
            case None:
                self._throttle.released(self._reserved)


class Turnstile:
    """Lets tries through, one process's worth."""

    def __init__(self, throttle: Throttle, *, queue: int = 256) -> None:
        """*queue* is how many may wait for others, in each of the two queues; one more is refused."""
        self._throttle = throttle
        self._busy = _Queue(queue)
        self._slow = _Queue(queue)
        self._ended = asyncio.Event()
        self._lane = asyncio.Lock()

    @asynccontextmanager
    async def attempt(self, account: str, address: str) -> AsyncIterator[Attempt]:
        """Hold a turn for one check of *account*'s password.

        Raises:
            Refused: (rate_limited) with the seconds to wait, alike for accounts that exist and that do not;
                (overloaded) too many wait already.
        """
        reserved = await self._reserve(normal_name(account[: _MAX_NAME + 1])[: _MAX_NAME + 1], address)
        attempt = Attempt(self._throttle, reserved)
        try:
            if reserved.slow:
                await self._enter_lane()
            try:
                yield attempt
            finally:
                if reserved.slow:
                    self._lane.release()
        finally:
            attempt.end()
            self._ended.set()
            self._ended = asyncio.Event()

    async def _reserve(self, account: str, address: str) -> Reserved:
        while True:
            match self._throttle.reserve(account, address):
                case Reserved() as reserved:
                    return reserved
                case Throttled(retry_after=seconds):
                    raise Refused(refuse("rate_limited", "login_throttle", retry_after=seconds))
                case Busy():
                    with self._busy:
                        await self._ended.wait()

    async def _enter_lane(self) -> None:
        with self._slow:
            await self._lane.acquire()


class _Queue:
    """Counts who waits, and refuses the one too many."""

    __slots__ = ("_most", "_waiting")

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting = 0

    def __enter__(self) -> None:
        if self._waiting >= self._most:
            raise Refused(refuse("overloaded", "login_queue_full", retry_after=1))
        self._waiting += 1

    def __exit__(self, *_: object) -> None:
        self._waiting -= 1
