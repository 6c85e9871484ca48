"""The store and the secrets that a configuration names, for verbs that work on sessions.

The gateway may be up or down. An external store is spoken to as the gateway does; the embedded one is joined where it
runs, and otherwise started for as long as the verb takes.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeVar

import rich_click as click

from gateway.app.sessions import RETENTION_MARGIN, policy
from gateway.app.storing import reached
from gateway.app.users import UserStores
from gateway.clock import SystemClock
from gateway.commands.option import guarded
from gateway.commands.shared import House, house
from gateway.config.users import file_users
from gateway.errors import ConfigError, Refused, StoreUnavailable
from gateway.outbound.client import Outbound
from gateway.sessions.embedded import EmbeddedStore, running_at
from gateway.sessions.ending import Ending
from gateway.sessions.feed import Feed
from gateway.sessions.operations import Operations, Order
from gateway.sessions.revocations import Kind, Revocations
from gateway.sessions.store import SessionStore
from gateway.telemetry.events import Events
from gateway.tokens.secrets import Secrets, subject_tag
from gateway.users.passwords import HashPool

T = TypeVar("T")


def at_the_desk(path: Path, work: Callable[[Operations], Awaitable[None]]) -> None:
    """Run *work* on the sessions that the configuration at *path* speaks of; what fails is told in words."""

    async def run() -> None:
        async with operations(house(path)) as found:
            await work(found)

    guarded(lambda: _told(run()))


def end_sessions(found: House, sub: str, tenant: str | None, reason: str) -> int:
    """End every session and token of a user of our own; return how many sessions were alive.

    Raises:
        ConfigError: that is not certain; the message says why.
    """
    if found.config.effective.embedded and found.config.server.secret is None and not found.secret_file.exists():
        return 0  # no gateway has ever run here

    async def run() -> int:
        async with operations(found) as desk:
            order = Order(Kind.SUBJECT, sub, reason, actor(), tenant=tenant or "")  # and nobody is asked for it
            return (await desk.revoke(order)).sessions

    return _told(run())


def _told(work: Coroutine[object, object, T]) -> T:
    """Return what *work* does; ConfigError says what failed."""
    try:
        return asyncio.run(work)
    except StoreUnavailable as error:
        raise ConfigError(f"the store does not answer ({error}); nothing is certain, ask again") from error
    except Refused as error:
        raise ConfigError(error.refusal.detail or error.refusal.code.detail) from error


@asynccontextmanager
async def operations(found: House) -> AsyncIterator[Operations]:
    """Yield what an operator may do, on the store of *found*.

    Raises:
        ConfigError: the store or a secret cannot be had.
    """
    config, issuer = found.config, found.config.effective.issuer
    secrets = Secrets(found.master())
    events = Events(level=config.telemetry.log_level)

    def tag_of(iss: str, tenant: str | None, sub: str) -> bytes:
        return subject_tag(secrets, iss, tenant, sub)

    async with AsyncExitStack() as exits:
        store = await exits.enter_async_context(_store(found))
        pool = HashPool(1)
        exits.callback(pool.close)
        outbound = Outbound()
        exits.push_async_callback(outbound.close)
        users = UserStores(
            secrets,
            pool,
            found.data,
            outbound=outbound,
            store=store,
            on_fault=lambda reason: events.error("user_store", {"reason": reason}),
        )
        exits.push_async_callback(users.close)
        feed = Feed(
            store,
            Revocations(lambda *person: tag_of(*person).hex()),
            SystemClock(),
            replica=f"command-{os.getpid()}",
            retention=config.effective.longest_life + RETENTION_MARGIN,
        )
        yield Operations(
            store=store,
            ending=Ending(store, feed, lambda: policy(config), on_event=events.audit),
            people=users.of(config, file_users(config)).verifier,
            tag_of=tag_of,
            issuer=issuer,
        )


@asynccontextmanager
async def _store(found: House) -> AsyncIterator[SessionStore]:
    url: str | None = found.config.store.url
    server: EmbeddedStore | None = None
    if found.config.effective.embedded:
        url = await running_at(found.data / "store")
        if url is None:
            server = EmbeddedStore()
            url = await server.start(found.data / "store")
    assert url is not None
    store = reached(found.config.store, url)
    try:
        yield store
    finally:
        await store.close()
        if server is not None:
            await server.stop()


def actor() -> str:
    """Return what the audit calls whoever runs a command."""
    return f"command:{os.environ.get('SUDO_USER') or os.environ.get('USER') or os.getuid()}"


TENANT = click.option("--tenant", help="Of the user, when the users file does not say.")
REASON = click.option("--reason", default="command", show_default=True, help="For the audit.")
