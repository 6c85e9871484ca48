"""The watch over generated signing keys, which keeps the ring in step with the place where they are kept.

A change is taken up within two seconds by itself. It is taken up before anybody notices when a token names a key that
is not known here: another gateway may already sign with it, so the token waits until the place of the keys has been
looked at. However many such tokens come, that happens ten times a second at most.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Protocol

from gateway.errors import ConfigError, StoreUnavailable
from gateway.tokens.ring import KeyRing
from gateway.tokens.rotation import Schedule

EVERY = 2.0
"""Seconds between two looks; less than a revocation may take."""
LEAST = 0.1
"""Seconds between two looks that unknown keys ask for."""

Tell = Callable[[str, Mapping[str, object]], None]


class Place(Protocol):
    """Where generated keys are kept."""

    def renew(self, schedule: Schedule, /) -> None:
        """Turn keys by another schedule from now on."""
        ...

    async def look(self, now: float, /) -> bool:
        """Turn what is due and take up what changed; say whether the ring is another.

        Raises:
            ConfigError: what is there cannot be used.
            StoreUnavailable: it cannot be asked now.
        """
        ...

    async def expel(self, kid: str, now: float, /) -> bool:
        """Leave out *kid* and say whether it was there; raises as `look`."""
        ...


class KeyWatch:
    """Looks at the place of the keys from time to time, and whenever somebody has to know."""

    def __init__(
        self,
        place: Place,
        ring: KeyRing,
        *,
        wall: Callable[[], float],
        monotonic: Callable[[], float],
        audit: Tell,
        event: Tell,
    ) -> None:
        """*wall* is the time by which keys turn; *audit* and *event* are told what happens."""
        self._place = place
        self._ring = ring
        self._wall = wall
        self._monotonic = monotonic
        self._audit = audit
        self._event = event
        self._lock = asyncio.Lock()
        self._looked = float("-inf")
        self._next: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        ring.ask = lambda: self.asked

    async def first(self) -> None:
        """Look for the first time; a store that does not answer is waited for by `run`.

        Raises:
            ConfigError: what is there cannot be used.
        """
        await self._look()

    async def run(self) -> None:
        """Look from time to time, until cancelled."""
        while True:
            await asyncio.sleep(EVERY)
            await self._look_on()

    async def asked(self) -> None:
        """Return when the place has been looked at since this call; all who wait share one look."""
        if self._next is None:
            self._next = self._begin(self._soon(), "look for a signing key")
        # Whoever waits may leave; the look is everybody's.
        await asyncio.shield(self._next)

    def expel(self, kid: str) -> None:
        """Leave out a key that was revoked: what it signs from now on would be refused everywhere."""
        self._begin(self._expel(kid), "expel a signing key")

    async def stop(self) -> None:
        """End what is under way."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self) -> None:
        async with self._lock:
            self._looked = self._monotonic()
            try:
                is_changed = await self._place.look(self._wall())
            except StoreUnavailable:
                self._ring.is_certain = False  # the feed tells of the store's troubles
                return
            self._ring.is_certain = self._ring.is_known
            if is_changed:
                self._audit("keys_changed", {"kid": self._ring.signing().kid})

    async def _look_on(self) -> None:
        try:
            await self._look()
        except ConfigError as error:
            self._event("keys_refused", {"reason": str(error)})

    async def _soon(self) -> None:
        await asyncio.sleep(max(0.0, self._looked + LEAST - self._monotonic()))
        self._next = None  # who comes from now on may know of something that this look no longer sees
        await self._look_on()

    def _begin(self, work: Coroutine[object, object, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _expel(self, kid: str) -> None:
        while True:
            async with self._lock:
                try:
                    if await self._place.expel(kid, self._wall()):
                        self._audit("keys_changed", {"kid": self._ring.signing().kid, "expelled": kid})
                    return
                except ConfigError as error:
                    self._event("keys_refused", {"reason": str(error)})
                    return
                except StoreUnavailable:
                    self._ring.is_certain = False
            await asyncio.sleep(EVERY)
