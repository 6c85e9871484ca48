"""The brake in the hands of a login: wait for a turn, try, and say how it ended.

The `Throttle` decides; this module only waits. A try that others in flight decide about asks again when one of them
has ended here, or a little later, as it may have ended at another gateway. Tries of one account from one address stand
in line and only the first asks, so that many cost the store no more than one. Tries of an address that failed too
often share one narrow lane, so that they never fill the hash pool. Whoever waits is counted, and one too many is
refused.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

from gateway.errors import Refused, StoreUnavailable, refuse
from gateway.limits.guesses import Busy, Guess, Reserved, Throttle, Throttled
from gateway.users.file import normal_name

T = TypeVar("T")

_MAX_NAME = 255
"""Longer names belong to nobody; one count holds them all."""
PATIENCE = 15.0
"""Seconds that a try waits, in all that it waits for. With what may be asked about a password (`config.verify`) it is
less than a try's lease, so that none is made beside the count."""
_SOON, _LATER = 0.02, 0.25
"""Seconds until the store is asked again, the first time and at most."""


def account_of(name: str) -> str:
    """Return the spelling of *name* under which guesses are counted."""
    return normal_name(name[: _MAX_NAME + 1])[: _MAX_NAME + 1]


class Attempt:
    """One try that may go ahead; say `succeeded` or `failed` once, else it counts for nothing."""

    __slots__ = ("outcome", "reserved")

    def __init__(self, reserved: Reserved) -> None:
        self.reserved = reserved
        self.outcome: bool | None = None

    def succeeded(self) -> None:
        """The secret was right."""
        self.outcome = True

    def failed(self) -> None:
        """The secret was wrong.

        Raises:
            Refused: (rate_limited) the address failed too often, so its failures are answered like a refusal.
        """
        self.outcome = False
        if self.reserved.slow_for:
            raise Refused(refuse("rate_limited", "login_address", retry_after=self.reserved.slow_for))


class Turnstile:
    """Lets tries through, one process's worth."""

    def __init__(self, throttle: Throttle, *, queue: int = 256, patience: float = PATIENCE) -> None:
        """*queue* is how many may wait for others, in each of the two queues; *patience*, for how many seconds."""
        self._throttle = throttle
        self._patience = patience
        self._busy = _Queue(queue)
        self._slow = _Queue(queue)
        self._lines: dict[Guess, _Line] = {}
        self._lane = asyncio.Lock()
        self._works: set[asyncio.Task[Any]] = set()

    @asynccontextmanager
    async def attempt(
        self, account: str, address: str, kind: str = "password", device: str = ""
    ) -> AsyncIterator[Attempt]:
        """Hold a turn for one check of *account*'s secret; *kind* and *device* as in `Guess`.

        Raises:
            Refused: (rate_limited) with the seconds to wait, alike for accounts that exist and that do not, or a
                turn did not come in good time; (overloaded) too many wait already.
            StoreUnavailable: no turn can be had, or it could not be written down how the try ended.
        """
        guess = Guess(account_of(account), address, kind, device)
        ends = asyncio.get_running_loop().time() + self._patience
        with self._line(guess) as line:
            async with _until(ends):
                attempt = Attempt(await self._turn(guess, line))
            try:
                if not attempt.reserved.slow_for:
                    yield attempt
                else:
                    with self._slow:
                        async with _until(ends):
                            await self._lane.acquire()
                    try:
                        yield attempt
                    finally:
                        self._lane.release()
            finally:
                await _finished(self._work(self._end(attempt)))

    async def close(self) -> None:
        """Return when every try that has ended is written down."""
        while self._works:
            await asyncio.wait(self._works)

    @contextmanager
    def _line(self, guess: Guess) -> Iterator["_Line"]:
        line = self._lines.setdefault(guess, _Line())
        line.members += 1
        try:
            yield line
        finally:
            line.members -= 1
            line.call()
            if not line.members:
                del self._lines[guess]

    async def _turn(self, guess: Guess, line: "_Line") -> Reserved:
        if line.head.locked():
            with self._busy:
                await line.head.acquire()
        else:
            await line.head.acquire()
        try:
            return await self._first_in_line(guess, line)
        finally:
            line.head.release()

    async def _first_in_line(self, guess: Guess, line: "_Line") -> Reserved:
        pause = _SOON
        while True:
            called = line.called  # before the answer, so that no call is missed
            match await self._reserve(guess):
                case Reserved() as reserved:
                    return reserved
                case Throttled(retry_after=seconds):
                    raise Refused(refuse("rate_limited", "login_throttle", retry_after=seconds))
                case Busy():
                    with self._busy:
                        await asyncio.wait({called}, timeout=pause)
                    pause = min(2 * pause, _LATER)

    async def _reserve(self, guess: Guess) -> Reserved | Throttled | Busy:
        asking = self._work(self._throttle.reserve(guess))
        try:
            return await _finished(asking)
        except asyncio.CancelledError:
            # The try may be counted, and nobody is there any more to make it.
            self._work(self._give_back(asking))
            raise

    async def _give_back(self, asking: asyncio.Task[Reserved | Throttled | Busy]) -> None:
        turn = await asking
        if isinstance(turn, Reserved):
            await self._throttle.released(turn)

    async def _end(self, attempt: Attempt) -> None:
        match attempt.outcome:
            case True:
                await self._throttle.succeeded(attempt.reserved)
            case False:
                await self._throttle.failed(attempt.reserved)
            case None:
                try:
                    await self._throttle.released(attempt.reserved)
                except StoreUnavailable:
                    # What broke the try off is told already, and the try ends with its lease.
                    return

    def _work(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._works.add(task)
        task.add_done_callback(self._worked)
        return task

    def _worked(self, task: asyncio.Task[Any]) -> None:
        self._works.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, or asyncio reports it as lost when the caller has left


@asynccontextmanager
async def _until(ends: float) -> AsyncIterator[None]:
    """Wait no longer than *ends* on the clock of the loop; raises Refused (rate_limited)."""
    try:
        async with asyncio.timeout_at(ends):
            yield
    except TimeoutError:
        raise Refused(refuse("rate_limited", "login_busy", retry_after=1)) from None


async def _finished(task: asyncio.Task[T]) -> T:
    """Return what *task* does; it goes on when the caller leaves."""
    await asyncio.wait({task})
    return task.result()


class _Line:
    """Tries of one account from one address."""

    __slots__ = ("called", "head", "members")

    def __init__(self) -> None:
        self.head = asyncio.Lock()
        """Held by the one who asks."""
        self.members = 0
        """Those who wait and those who try."""
        self.called: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def call(self) -> None:
        """Tell the head that a try has ended."""
        self.called.set_result(None)
        self.called = asyncio.get_running_loop().create_future()


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
