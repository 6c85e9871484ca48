"""One process's gateway: made, started, served and stopped.

Order of a start, and what a failure means:

    configuration, secret, keys, users    wrong: say what and where, exit
    embedded store                        wrong: exit;  external store: may be down, then not ready until it is up
    revocation feed                       in the background; requests with tokens wait for its first full read
    listeners                             taken: say which address, exit
"""

import asyncio
import contextlib
import gc
import os
import signal
import ssl
from collections.abc import Iterable, Mapping
from pathlib import Path

from aiohttp import web

from gateway.app import issuers
from gateway.app.files import ADDRESS_FILE, master_secret, prepare
from gateway.app.forwarding import PoolGauges, client_limits, engine
from gateway.app.keys import Keys
from gateway.app.lag import Lag
from gateway.app.limiting import Limiting
from gateway.app.model import Model, modelled
from gateway.app.reloading import LOOK, Kept, Outcome, Reloaded, Reloads, Unchanged, Watch, as_answer, changes, reread
from gateway.app.serving import Lasting, Serving, serving
from gateway.app.sessions import max_stale, retention, revoking
from gateway.app.sight import Sight
from gateway.app.storing import Settings, open_store
from gateway.app.streams import StreamKeeper
from gateway.app.trust import Trust
from gateway.app.users import UserStores
from gateway.clock import Clock, ShiftedClock, SystemClock
from gateway.config.cautions import cautions
from gateway.config.effective import Effective, data_dir
from gateway.config.lint import lint
from gateway.config.models import Config
from gateway.endpoints.admin import LOOPBACK_NAMES, AdminServices, admin
from gateway.endpoints.application import require_compiled_parser
from gateway.errors import ConfigError
from gateway.outbound.client import Outbound
from gateway.outbound.jwks import KeyFetcher
from gateway.presence import Presence
from gateway.proxy.server import Server
from gateway.proxy.tls import Certificates
from gateway.proxy.wheel import TICK
from gateway.sessions.embedded import EmbeddedStore
from gateway.sessions.guesses import StoredThrottle
from gateway.sessions.rates import StoredRates
from gateway.sessions.revocations import Entry
from gateway.sessions.store import SessionStore
from gateway.tokens.secrets import Secrets
from gateway.users.cores import affinity, usable_cores
from gateway.users.passwords import HashPool
from gateway.users.turnstile import Turnstile

CLOCK_LIMIT = 60.0
"""Seconds between our clock and the store's beyond which this process is not ready."""
RENEWAL = 5.0
"""Seconds between two looks at the certificate files."""


class Gateway:
    """`start`, `serve`, `stop`."""

    def __init__(self, config: Config, environ: Mapping[str, str], clock: Clock | None = None) -> None:
        """Make everything that needs no I/O beyond reading files.

        Raises:
            ConfigError: a file named by the configuration cannot be used.
        """
        self.clock = clock or SystemClock()
        self.environ = environ
        self.model = model = modelled(config)
        self.data = data_dir(config, environ).absolute()
        self.sight = Sight(config)
        prepare(self.data)
        self.secrets = Secrets(master_secret(config, self.data))
        self.keys = Keys(config, model.ring, self.secrets, self.data, self.clock.wall())
        self.ring = self.keys.ring
        threads = config.login.hash_threads if config.login else None
        self.pool = HashPool(threads or max(1, usable_cores(affinity()) - 1))
        waiting = "Hashes that wait for a thread."
        self.sight.gauge("gateway_password_hash_queue", waiting, lambda: self.pool.waiting)
        for warning in self.ring.warnings:
            self.sight.events.warning("keys", {"warning": warning})
        self._caution(model)
        self.embedded: EmbeddedStore | None = None
        self.port = 0
        self.admin_port = 0
        self._reloads = Reloads(self.sight, self.clock)
        self._watch = Watch(model.digests)
        self._leaving: set[asyncio.Task[None]] = set()
        self._certificates: Certificates | None = None
        self._draining = False
        self._tasks: list[asyncio.Task[None]] = []
        self._exits = contextlib.AsyncExitStack()

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self.model.config

    @property
    def effective(self) -> Effective:
        return self.model.effective

    def _caution(self, model: Model) -> None:
        for caution in cautions(model.config, model.records):
            self.sight.events.warning("caution", {"caution": caution})
        for found in lint(model.config, model.records):
            place = f"{found.source.name}:{found.line}: {found.where}"
            self.sight.events.warning("caution", {"caution": f"{place}: {found.reason}; {found.hint}"})

    # --- start ---

    async def start(self) -> None:
        """Bring everything up.

        Raises:
            ConfigError: something the configuration asks for cannot be had; what was started is stopped again.
        """
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        require_compiled_parser()
        self.store = store = await self._open_store()
        self.engine = engine(self.config, self.clock, self.sight)
        self.revoking = revoking(
            self.config,
            store,
            secrets=self.secrets,
            clock=self.clock,
            sight=self.sight,
            on_revoked=self._revoked,
        )
        self.trust = Trust(self.revoking.feed, self.revoking.asking, self.ring)
        self.store_clock = ShiftedClock(self.clock, lambda: self.trust.offset)
        self.streams = self._keeper()
        settings = Settings(store, self.sight)
        for work in (self._follow(), self.streams.run(), settings.watch(lambda: self.revoking.feed.is_ready)):
            self._tasks.append(asyncio.create_task(work))
        self._exits.push_async_callback(self.keys.stop)
        if (
            watch := await self.keys.start(store, self.clock, lambda: self.revoking.feed.offset, self.sight)
        ) is not None:
            self._tasks.append(watch)
        outbound = Outbound()
        self._exits.push_async_callback(outbound.close)
        users = UserStores(
            self.secrets,
            self.pool,
            self.data,
            outbound=outbound,
            store=store,
            on_fault=self._user_store_fault,
        )
        self._exits.push_async_callback(users.close)
        turnstile = Turnstile(StoredThrottle(store, self.secrets.subject_tag))
        self._exits.push_async_callback(turnstile.close)
        tell = None if self.effective.embedded else StoredRates(store, self.secrets.limits).spend
        limiting = Limiting(self.clock.monotonic, self.sight, tell)
        self._tasks.append(asyncio.create_task(limiting.run()))
        self._lasting = Lasting(
            clock=self.clock,
            store_clock=self.store_clock,
            sight=self.sight,
            limiting=limiting,
            secrets=self.secrets,
            ring=self.ring,
            hashes=self.pool,
            turnstile=turnstile,
            users=users,
            store=store,
            revoking=self.revoking,
            engine=self.engine,
            outbound=outbound,
            feed=self.trust,
        )
        self._gauges = PoolGauges(self.engine, self.sight)
        self.serving = await serving(self.model, self._lasting)
        self._exits.push_async_callback(self._end_serving)
        await self.serving.begin(self._lasting, None)
        self._gauges.show(self.serving.pools.values())
        issuers.gauge(self.sight, self._fetchers)
        if self.effective.embedded:
            # Milliseconds; an external store may be down for long, and then public routes still answer.
            await self.trust.synced()
        self._lag = Lag(self.sight, self.clock.monotonic, TICK)
        self.server = Server(self.engine, self._tick)
        listen = self.effective.listen
        self.port = await self.server.listen(listen.host, listen.port, self._tls())
        self._exits.callback(self.server.stop)
        await self._start_admin()
        # What lives now lives for good: spare the collector from looking at it again and again (performance.md 2.7).
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)

    async def _open_store(self) -> SessionStore:
        written = self.config.store
        url = written.url
        if self.effective.embedded:
            self.embedded = EmbeddedStore(on_event=self.sight.events.info)
            url = await self.embedded.start(self.data / "store")
            self._exits.push_async_callback(self.embedded.stop)
        store = open_store(written, url, self.sight)
        self._exits.push_async_callback(store.close)
        return store

    def _keeper(self) -> StreamKeeper:
        streams, revoking = self.engine.streams, self.revoking
        self.sight.gauge("gateway_streams", "Open WebSockets and answers under way.", lambda: len(streams))
        ttl, patience = self.config.tokens.access_ttl, max_stale(self.config)
        return StreamKeeper(
            streams, revoking.table, revoking.asking.is_live, self.store_clock, every=ttl, patience=patience
        )

    def _tls(self) -> ssl.SSLContext | None:
        self._certificates = certificates = self.model.certificates
        if certificates is None:
            return None
        self._tasks.append(asyncio.create_task(self._renew(certificates)))
        return certificates.context

    async def _renew(self, certificates: Certificates) -> None:
        """Look every few seconds whether certificates were renewed; a bad new one leaves the old one in use."""
        while True:
            await asyncio.sleep(RENEWAL)
            try:
                if certificates.refresh():
                    self.sight.events.info("certificates_reloaded")
            except ConfigError as error:
                self.sight.events.error("certificates_refused", {"reason": str(error)})

    async def _start_admin(self) -> None:
        listen = self.effective.admin_listen
        services = AdminServices(
            checks={
                # By construction: a gateway without them does not start.
                "config": _holds,
                "keys": self._keys_known,
                "feed": self._feed_synced,
                "clock": self._clock_agrees,
                "running": self._running,
            },
            metrics=self.sight.exposition,
            report=self.sight.report,
            request_id=lambda: next(self.engine.request_ids).decode(),
            token=self._admin_token,
            operations=lambda: self.serving.sessions.operations,
            revoked=self.revoking.known,
            hosts=LOOPBACK_NAMES | {(f"[{listen.host}]" if ":" in listen.host else listen.host).encode()},
        )
        runner = web.AppRunner(admin(services), access_log=None)
        await runner.setup()
        self._exits.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, listen.host, listen.port)
        try:
            await site.start()
        except OSError as error:
            why = os.strerror(error.errno) if error.errno else str(error)
            raise ConfigError(f"server.admin.listen: cannot listen on {listen}: {why}") from error
        self.admin_port = runner.addresses[0][1]
        host = "127.0.0.1" if listen.host in ("0.0.0.0", "::") else listen.host  # noqa: S104 - compared, not bound
        with contextlib.suppress(OSError):
            (self.data / ADDRESS_FILE).write_text(f"{host}:{self.admin_port}\n")

    def _admin_token(self) -> str | None:
        token = self.config.server.admin.token
        return None if token is None else token.value.decode("utf-8", "surrogateescape")

    def _user_store_fault(self, reason: str) -> None:
        self.sight.events.error("user_store", {"reason": reason})

    # --- reload ---

    async def reload(self) -> Outcome:
        """Take up what is written now. Whatever is wrong with it, what is in force stays so; never raises for that.

        Requests that have begun are served by what was in force then. Calls wait for each other.
        """
        async with self._reloads:
            outcome = self._reloads.note(await self._reload())
            self._watch.took(outcome)
        return outcome

    async def _reload(self) -> Outcome:
        before = self.model
        found: dict[Path, bytes] = {}
        try:
            model = await asyncio.to_thread(reread, before.config.source, self.environ, before, found)
            if model.digests == before.digests:
                return Unchanged(model.digests)
            made = await serving(model, self._lasting, self.serving)
        except ConfigError as error:
            return Kept(found, str(error))
        await self._take_up(made)
        self._caution(model)
        return Reloaded(model.digests, tuple(changes(before, model)))

    async def _take_up(self, made: Serving) -> None:
        """Put *made* in force: nothing that can fail comes between the first step and the last."""
        model, before = made.model, self.serving
        if model.ring is not None and model.ring.keys != self.ring.keys:
            self.ring.replace(model.ring.keys, model.ring.warnings)
        if model.certificates is not None and self._certificates is not None:
            self._certificates.adopt(model.certificates)
        patience = max_stale(model.config)
        self.keys.renew(model.config)
        self.revoking.feed.renew(retention(model.config), patience)
        self.streams.renew(every=model.config.tokens.access_ttl, patience=patience)
        self.sight.adopt(model.config.telemetry)
        self.engine.bound(client_limits(model.config))
        self.model, self.serving = model, made
        await made.begin(self._lasting, before)
        self._gauges.show(made.pools.values())
        leaving = asyncio.create_task(before.end(made))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._left)

    def _left(self, leaving: "asyncio.Task[None]") -> None:
        self._leaving.discard(leaving)
        self._gauges.forget_done()
        # A model is full of circles, and the collector, which is told to be rare, would let many of them gather. What
        # lived at the start is frozen, so this takes a few milliseconds.
        gc.collect()
        if not leaving.cancelled() and (error := leaving.exception()) is not None:
            self.sight.report("reload", error)

    def _fetchers(self) -> Iterable[KeyFetcher]:
        return self.serving.fetchers.values()

    async def _end_serving(self) -> None:
        for leaving in list(self._leaving):
            leaving.cancel()
        await asyncio.gather(*self._leaving, return_exceptions=True)
        await self.serving.end()

    # --- running ---

    async def serve(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain; a second signal ends at once. SIGHUP reloads."""
        self.sight.wait_for_nobody()
        loop = asyncio.get_running_loop()
        asked: asyncio.Queue[signal.Signals] = asyncio.Queue()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, asked.put_nowait, number)
        hang_ups: asyncio.Queue[None] = asyncio.Queue()
        loop.add_signal_handler(signal.SIGHUP, hang_ups.put_nowait, None)
        with Presence(self.data) as presence:
            self._tasks.append(asyncio.create_task(self._obey(hang_ups, presence)))
            self._tasks.append(asyncio.create_task(self._watch_files()))
            first = await asked.get()
        self._draining = True
        drain = self.config.server.drain
        delay = drain.delay if first is signal.SIGTERM else 0.0
        self.sight.events.info("draining", {"signal": first.name, "delay": delay, "timeout": drain.timeout})
        draining = asyncio.create_task(self.server.drain(delay, drain.timeout))
        second = asyncio.create_task(asked.get())
        await asyncio.wait((draining, second), return_when=asyncio.FIRST_COMPLETED)
        for task in (draining, second):
            task.cancel()

    async def _obey(self, hang_ups: "asyncio.Queue[None]", presence: Presence) -> None:
        """Reload when told to, and tell what came of it; signals that come meanwhile are answered by one reload."""
        while True:
            await hang_ups.get()
            told = 1
            while not hang_ups.empty():
                hang_ups.get_nowait()
                told += 1
            presence.answer(told, as_answer(await self.reload()))

    async def _watch_files(self) -> None:
        while True:
            await asyncio.sleep(LOOK)
            if self.config.server.watch and await self._watch.look():
                await self.reload()

    async def stop(self) -> None:
        """Stop everything, in the reverse order of its start."""
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task
        self._tasks.clear()
        await self._exits.aclose()
        self.sight.close()

    async def _follow(self) -> None:
        try:
            await self.revoking.feed.follow()
        except Exception as error:
            self.sight.report("feed", error)
            raise

    def _tick(self) -> None:
        """Each turn of the wheel: write the log, and look whether the revocations can still be trusted."""
        self._lag.turn()
        self.sight.recorder.push()
        self.trust.look()

    def _revoked(self, entry: Entry) -> None:
        self.streams.applied(entry)
        self.keys.applied(entry, self.sight)

    # --- readiness ---

    # That the store answers is not asked: without it logins are 503, and everybody who has a token is served as before.
    # A gateway that called itself unready then would turn all of that traffic away as well, every replica at once.

    async def _keys_known(self) -> bool:
        return self.ring.is_known

    async def _feed_synced(self) -> bool:
        return self.revoking.feed.is_ready

    async def _clock_agrees(self) -> bool:
        return abs(self.revoking.feed.offset) <= CLOCK_LIMIT

    async def _running(self) -> bool:
        return not self._draining


async def _holds() -> bool:
    return True
