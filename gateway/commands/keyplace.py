"""Where a configuration keeps its generated keys, for verbs that look at them and change them.

Everything works when no gateway runs. Looking changes nothing: no key and no secret is made unless that is what was
asked for.
"""

import asyncio
import secrets as entropy
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol, TypeVar

from gateway.app.sessions import RETENTION_MARGIN
from gateway.app.storing import reached
from gateway.clock import SystemClock
from gateway.config.models import Config
from gateway.errors import ConfigError, StoreUnavailable
from gateway.sessions.feed import Feed
from gateway.sessions.revocations import Entry, Kind, Revocations
from gateway.sessions.signing_keys import KeyPlace
from gateway.sessions.store import SessionStore
from gateway.tokens import keystore
from gateway.tokens.kept import Change, KeptKeys
from gateway.tokens.sealing import Seal

T = TypeVar("T")


class Place(Protocol):
    """Where keys are; every method may raise ConfigError."""

    @property
    def name(self) -> str:
        """How to call it in a sentence."""
        ...

    def read(self) -> KeptKeys: ...
    def change(self, change: Change, /) -> KeptKeys: ...

    def tell(self, kid: str, /) -> str | None:
        """Tell running gateways at once that a key is no secret any more; return why that was not possible."""
        ...


class Directory:
    """Keys in the data directory; whoever runs on it looks there every two seconds."""

    def __init__(self, directory: Path, seal: Seal | None) -> None:
        self.name = str(directory)
        self._directory = directory
        self._seal = seal

    def read(self) -> KeptKeys:
        return keystore.kept_in(self._directory)

    def change(self, change: Change, /) -> KeptKeys:
        return keystore.change(self._directory, change, self._seal)

    def tell(self, kid: str, /) -> str | None:
        return None


class Stored:
    """Keys in the store that gateways share."""

    def __init__(self, config: Config, seal: Seal) -> None:
        self.name = "the store"
        self._config = config
        self._seal = seal

    def read(self) -> KeptKeys:
        async def work(store: SessionStore) -> KeptKeys:
            return (await KeyPlace(store, self._seal).read()).kept

        return self._with_store(work)

    def change(self, change: Change, /) -> KeptKeys:
        async def work(store: SessionStore) -> KeptKeys:
            return (await KeyPlace(store, self._seal).change(change)).kept

        return self._with_store(work)

    def tell(self, kid: str, /) -> str | None:
        async def work(store: SessionStore) -> None:
            feed = Feed(
                store,
                Revocations(lambda *_: ""),
                SystemClock(),
                replica=entropy.token_hex(8),
                retention=self._config.effective.longest_life + RETENTION_MARGIN,
            )
            await feed.publish(Entry(Kind.KEY, kid, reason="compromised", actor="gateway keys"))

        try:
            self._with_store(work)
        except ConfigError as error:
            return str(error)
        return None

    def _with_store(self, work: Callable[[SessionStore], Awaitable[T]]) -> T:
        return asyncio.run(self._asked(work))

    async def _asked(self, work: Callable[[SessionStore], Awaitable[T]]) -> T:
        written = self._config.store
        store = reached(written, written.url)
        try:
            return await work(store)
        except StoreUnavailable as error:
            raise ConfigError(f"the store, where the keys are, cannot be asked: {error}") from error
        finally:
            await store.close()
