"""The store as this process sees it: opened, its trouble told once and counted always, its settings looked at."""

import asyncio
import time
from collections.abc import Callable

from gateway.app.sight import Sight
from gateway.config.sections import StoreConfig
from gateway.config.values import Secret
from gateway.errors import StoreUnavailable
from gateway.sessions.store import SessionStore, connect
from gateway.sessions.trouble import ADVICE

_SAID_EVERY = 60.0
"""Seconds until the same kind of trouble is told again: an outage must not fill the log."""
_LOOK_EVERY = 60.0


class Troubles:
    """Counts every failed call by its kind, and tells of each kind once a minute, with what to do about it."""

    def __init__(self, sight: Sight, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._sight = sight
        self._monotonic = monotonic
        self._told: dict[str, float] = {}

    def __call__(self, trouble: StoreUnavailable) -> None:
        kind = trouble.kind
        self._sight.metrics.count("store_errors", kind)
        now = self._monotonic()
        if now - self._told.get(kind, -_SAID_EVERY) < _SAID_EVERY:
            return
        self._told[kind] = now
        facts = {"kind": kind, "reason": str(trouble), "remedy": ADVICE.get(kind, "")}
        self._sight.events.warning("store_trouble", facts)


def open_store(written: StoreConfig, url: str, sight: Sight) -> SessionStore:
    """Return the store at *url*, which is *written*'s or that of the embedded server."""
    store = reached(written, url, Troubles(sight))
    lost = "Logins and logouts that too few replicas had in time; see store.wait_for_replicas."
    sight.gauge("gateway_store_unreplicated", lost, lambda: store.link.unreplicated)
    return store


def reached(
    written: StoreConfig, url: str, on_trouble: Callable[[StoreUnavailable], None] = lambda trouble: None
) -> SessionStore:
    """Return the store at *url* with nothing told of it but trouble."""
    return connect(
        url,
        _text(written.password),
        written.timeout,
        written.prefix,
        replicas=written.wait_for_replicas or 0,
        sentinel_password=_text(written.sentinel_password),
        on_trouble=on_trouble,
    )


class Settings:
    """Looks at the store's settings now and then, and tells once of each that endangers sessions."""

    def __init__(self, store: SessionStore, sight: Sight) -> None:
        self._store = store
        self._sight = sight
        self._told: frozenset[str] = frozenset()
        sight.gauge("gateway_store_warnings", "Settings of the store to be mended.", lambda: len(self._told))

    async def look(self) -> None:
        """Look once; a store that does not answer is told of elsewhere."""
        try:
            found = await self._store.warnings()
        except StoreUnavailable:
            return
        for warning in found:
            if warning not in self._told:
                self._sight.events.warning("store_settings", {"warning": warning})
        self._told = frozenset(found)

    async def watch(self, is_reached: Callable[[], bool]) -> None:
        """Look once a minute, from the first moment that *is_reached*."""
        while True:
            if is_reached():
                await self.look()
                await asyncio.sleep(_LOOK_EVERY)
            else:
                await asyncio.sleep(_LOOK_EVERY / 60)


def _text(secret: Secret | None) -> str | None:
    return None if secret is None else secret.value.decode()
