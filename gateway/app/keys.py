"""The signing keys of this process: the ring that verifies and signs, and what becomes of it while it runs."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from gateway.app.files import keystore, stored_keys
from gateway.app.keywatch import KeyWatch, Place
from gateway.app.sight import Sight
from gateway.clock import Clock
from gateway.config.keys import schedule
from gateway.config.models import Config
from gateway.sessions.revocations import FOREVER, Entry, Kind
from gateway.sessions.store import SessionStore
from gateway.tokens.keystore import Keystore
from gateway.tokens.ring import KeyRing
from gateway.tokens.rotation import Schedule
from gateway.tokens.secrets import Secrets


class Keys:
    """The ring: of the files that are given, of the data directory, or empty until the store has been asked."""

    def __init__(self, config: Config, given: KeyRing | None, secrets: Secrets, data: Path, now: float) -> None:
        """Read what can be read without the store; *given* is the ring of the files that are given.

        Raises:
            ConfigError: the directory or a file of keys cannot be used.
        """
        self._config = config
        self._secrets = secrets
        self._keystore: Keystore | None = None
        self._place: Place | None = None
        self._watch: KeyWatch | None = None
        if given is not None:
            self.ring = given
        elif config.effective.keys_in_store:
            self.ring = KeyRing(None)
        else:
            self._keystore = keystore(config, secrets, data, now)
            self.ring = self._keystore.ring

    async def start(
        self, store: SessionStore, clock: Clock, offset: Callable[[], float], sight: Sight
    ) -> "asyncio.Task[None] | None":
        """Keep generated keys in step with their place; *offset* is how many seconds the store's clock is ahead.

        Raises:
            ConfigError: what the store keeps cannot be used. One that does not answer is waited for in the task.
        """
        if self._keystore is not None:
            place: Place = _InDirectory(self._keystore)
        elif self._config.effective.keys_in_store:
            place = stored_keys(self._config, self._secrets, store, self.ring)
        else:
            return None
        self._place = place
        self._watch = KeyWatch(
            place,
            self.ring,
            wall=lambda: clock.wall() + offset(),
            monotonic=clock.monotonic,
            audit=sight.audit,
            event=sight.events.error,
        )
        await self._watch.first()
        return asyncio.create_task(self._watch.run())

    def renew(self, config: Config) -> None:
        """Keep retired keys for as long as the tokens of *config* live."""
        if self._place is not None:
            self._place.renew(schedule(config.tokens))

    async def stop(self) -> None:
        if self._watch is not None:
            await self._watch.stop()

    def applied(self, entry: Entry, sight: Sight) -> None:
        """Learn of a revocation: what a key that is no secret any more signs would be refused, so another signs."""
        if entry.kind is not Kind.KEY or entry.cut_ms < FOREVER:
            return
        if self._watch is not None:
            self._watch.expel(entry.value)
        elif self.ring.is_known and self.ring.signing().kid == entry.value:
            reason = f"{entry.value} was revoked and signs every new token; put another key into tokens.keys.files"
            sight.events.error("keys_refused", {"reason": reason})


class _InDirectory:
    """Keys in the data directory, looked at in a thread."""

    def __init__(self, keystore: Keystore) -> None:
        self._keystore = keystore

    def renew(self, schedule: Schedule, /) -> None:
        self._keystore.renew(schedule)

    async def look(self, now: float, /) -> bool:
        return await asyncio.to_thread(self._keystore.refresh, now)

    async def expel(self, kid: str, now: float, /) -> bool:
        return await asyncio.to_thread(self._keystore.expel, kid, now)
