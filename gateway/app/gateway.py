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
from collections.abc import Mapping

from aiohttp import web

from gateway.app.files import ADDRESS_FILE, given_keys, keystore, master_secret, prepare
from gateway.app.forwarding import engine, pools, snapshot
from gateway.app.issuers import fetchers
from gateway.app.probing import start_probes
from gateway.app.sessions import MOST_STALE, Sessions, sessions
from gateway.app.sight import Sight
from gateway.app.storing import Settings, open_store
from gateway.app.streams import StreamKeeper
from gateway.app.trust import Trust
from gateway.clock import Clock, SystemClock
from gateway.config.cautions import cautions
from gateway.config.clients import registered
from gateway.config.effective import data_dir
from gateway.config.models import Config
from gateway.config.routes import route_table
from gateway.config.trusted import trusted_issuers
from gateway.config.users import load_users
from gateway.endpoints.admin import LOOPBACK_NAMES, AdminServices, admin
from gateway.endpoints.application import SERVER_LIMITS, application, require_compiled_parser
from gateway.endpoints.cookies import CookieSettings
from gateway.endpoints.inside import Doorkeeper, Inside
from gateway.endpoints.services import Services
from gateway.errors import ConfigError, Refused, StoreUnavailable
from gateway.gate import Gate
from gateway.limits.failures import FailedTokens
from gateway.outbound.client import Outbound
from gateway.outbound.probes import Prober
from gateway.proxy import connect as ways
from gateway.proxy.server import Server
from gateway.proxy.tls import Certificates, Pair
from gateway.sessions.begun import BegunLogins
from gateway.sessions.embedded import EmbeddedStore
from gateway.sessions.revocations import Entry
from gateway.sessions.store import SessionStore
from gateway.tokens.certificates import read_certificate
from gateway.tokens.keystore import Keystore
from gateway.tokens.sealing import Seal
from gateway.tokens.secrets import Secrets
from gateway.tokens.trusted import OwnTokens
from gateway.users.change import PasswordChange
from gateway.users.cores import affinity, usable_cores
from gateway.users.file import FileUsers
from gateway.users.passwords import Hasher, HashPool
from gateway.users.second_factor import SecondFactor
from gateway.users.throttle import Throttle
from gateway.users.turnstile import Turnstile

KEY_LOOK = 2.0
"""Seconds between two looks at the key file."""
RENEWAL = 5.0
"""Seconds between two looks at the certificate files."""


class Gateway:
    """`start`, `serve`, `stop`."""

    def __init__(self, config: Config, environ: Mapping[str, str], clock: Clock | None = None) -> None:
        """Make everything that needs no I/O beyond reading files.

        Raises:
            ConfigError: a file named by the configuration cannot be used.
        """
        self.config = config
        self.effective = config.effective
        self.trusted = trusted_issuers(config)
        self.clock = clock or SystemClock()
        self.data = data_dir(config, environ).absolute()
        self.sight = Sight(config)
        self.routes = route_table(config)
        prepare(self.data)
        self.secrets = Secrets(master_secret(config, self.data))
        self.keystore = (
            None if config.tokens.keys.files else keystore(config, self.secrets, self.data, self.clock.wall())
        )
        self.ring = self.keystore.ring if self.keystore else given_keys(config)
        threads = config.login.hash_threads if config.login else None
        self.pool = HashPool(threads or max(1, usable_cores(affinity()) - 1))
        self.records = load_users(config.login.verify.file, config) if config.login else {}
        self.people = FileUsers(self.records, self.pool)
        self.clients = registered(config.clients)
        for warning in self.ring.warnings:
            self.sight.events.warning("keys", {"warning": warning})
        for caution in cautions(config, self.records):
            self.sight.events.warning("caution", {"caution": caution})
        self.embedded: EmbeddedStore | None = None
        self.port = 0
        self.admin_port = 0
        self._draining = False
        self._tasks: list[asyncio.Task[None]] = []
        self._exits = contextlib.AsyncExitStack()

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
        self.sessions = sessions(
            self.config,
            store,
            ring=self.ring,
            secrets=self.secrets,
            people=self.people,
            pool=self.pool,
            clock=self.clock,
            sight=self.sight,
            trusted=self.trusted,
            on_revoked=self._revoked,
        )
        self.trust = Trust(self.sessions.feed, self.sessions.asking)
        self.streams = self._keeper(self.sessions)
        settings = Settings(store, self.sight)
        for work in (self._follow(), self.streams.run(), settings.watch(lambda: self.sessions.feed.is_ready)):
            self._tasks.append(asyncio.create_task(work))
        outbound = Outbound()
        self._exits.push_async_callback(outbound.close)
        self.fetchers = fetchers(
            self.config, self.trusted, outbound, clock=self.clock, renew=self.ring.renew, sight=self.sight
        )
        for fetcher in self.fetchers:
            fetcher.start()
            self._exits.push_async_callback(fetcher.stop)
        doorkeeper = Doorkeeper()
        inside = web.AppRunner(self._application(doorkeeper, self.sessions), access_log=None, **SERVER_LIMITS)
        await doorkeeper.open(inside)
        self._exits.push_async_callback(doorkeeper.close)
        builtin = ways.builtin(self.engine, doorkeeper.serve, Inside)
        made = pools(self.config, self.engine, builtin, self.sight)
        self.engine.snapshot = snapshot(self.config, self._gate(self.sessions), self.routes, made)
        if self.effective.embedded:
            # Milliseconds; an external store may be down for long, and then public routes still answer.
            await self.trust.synced()
        if self.keystore is not None:
            self._tasks.append(asyncio.create_task(self._turn_keys(self.keystore)))
        self.server = Server(self.engine, self._tick)
        listen = self.effective.listen
        self.port = await self.server.listen(listen.host, listen.port, self._tls())
        self._exits.callback(self.server.stop)
        prober = Prober(outbound, monotonic=self.clock.monotonic, fault=self.sight.report)
        self._exits.push_async_callback(prober.stop)
        start_probes(self.config, made, prober, self.clock)
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

    def _application(self, doorkeeper: Doorkeeper, made: Sessions) -> web.Application:
        config = self.config
        turnstile = Turnstile(Throttle(self.clock))
        begun = BegunLogins(self.store, self.secrets.subject_tag)
        return application(
            Services(
                sessions=made.service,
                programs=made.programs,
                # A foreign token is good for services, and says nothing about a session of ours.
                tokens=OwnTokens(made.tokens, self.effective.issuer),
                verifier=made.verifier,
                ring=self.ring,
                secrets=self.secrets,
                turnstile=turnstile,
                second_factor=SecondFactor(
                    None,
                    begun,
                    turnstile,
                    seal=Seal(self.secrets.second_factor),
                    begun=Seal(self.secrets.login),
                    issuer=self.effective.issuer,
                    clock=self.clock,
                ),
                begun=begun,
                passwords=PasswordChange(None, self.pool, turnstile, Hasher()),
                clock=self.clock,
                facts_of=doorkeeper.facts_of,
                report=self.sight.report,
                own_origins=self.effective.own_origins,
                slow_check=self._slow_check,
                clients=self.clients,
                logins=config.login is not None,
                client_id=config.login.client_id if config.login else "gateway",
                cold=lambda: self.trust.cold,
                cookies=CookieSettings(config.tokens.cookie.same_site.capitalize()),
                base_path=config.login.base_path if config.login else "/auth",
                origin=self.effective.origin,
                jwks_max_age=round(config.tokens.keys.jwks_max_age),
            )
        )

    async def _slow_check(self, stored: str, secret: str) -> bool:
        return await self.pool.run(Hasher().verify, stored, secret)

    def _gate(self, made: Sessions) -> Gate:
        budget = self.config.server.limits.failed_tokens
        return Gate(
            routes=self.routes,
            tokens=made.tokens,
            feed=self.trust,
            wall=self.clock.wall,
            secrets=self.secrets,
            own_origins=self.effective.own_origins,
            read_from=frozenset(self.config.tokens.read_from),
            log_query=self.config.telemetry.log_query,
            failures=None if budget is None else FailedTokens(budget, budget / 6),
        )

    def _keeper(self, made: Sessions) -> StreamKeeper:
        streams, ttl = self.engine.streams, self.config.tokens.access_ttl
        streams.lives = made.tokens.lives
        self.sight.gauge("gateway_streams", "Open WebSockets and answers under way.", lambda: len(streams))
        return StreamKeeper(
            streams, made.table, made.asking.is_live, self.clock, every=ttl, patience=min(ttl, MOST_STALE)
        )

    def _tls(self) -> ssl.SSLContext | None:
        if not self.config.server.tls:
            return None
        certificates = Certificates(
            [Pair(entry.certificate_file, entry.key_file) for entry in self.config.server.tls],
            lambda pem, place: read_certificate(pem, place).names,
        )
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

    async def _turn_keys(self, keys: Keystore) -> None:
        """Turn the signing keys when their time comes, and take up what `gateway keys` has changed."""
        while True:
            await asyncio.sleep(KEY_LOOK)
            try:
                if await self.pool.run(keys.refresh, self.clock.wall()):
                    self.sight.audit("keys_changed", {"kid": self.ring.signing().kid})
            except ConfigError as error:
                self.sight.events.error("keys_refused", {"reason": str(error)})
            except Refused:
                continue  # the hash pool is busy with logins; the next look is soon

    async def _start_admin(self) -> None:
        listen = self.effective.admin_listen
        token = self.config.server.admin.token
        services = AdminServices(
            checks={
                # By construction: a gateway without them does not start.
                "config": _holds,
                "keys": _holds,
                "store": self._store_answers,
                "feed": self._feed_synced,
                "running": self._running,
            },
            metrics=self.sight.exposition,
            report=self.sight.report,
            request_id=lambda: next(self.engine.request_ids).decode(),
            token=None if token is None else token.value.decode("utf-8", "surrogateescape"),
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

    # --- running ---

    async def serve(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain; a second signal ends at once."""
        loop = asyncio.get_running_loop()
        asked: asyncio.Queue[signal.Signals] = asyncio.Queue()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, asked.put_nowait, number)
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
            await self.sessions.feed.follow()
        except Exception as error:
            self.sight.report("feed", error)
            raise

    def _tick(self) -> None:
        """Each turn of the wheel: write the log, and look whether the revocations can still be trusted."""
        self.sight.recorder.push()
        self.trust.look()

    def _revoked(self, entry: Entry) -> None:
        self.streams.applied(entry)

    # --- readiness ---

    async def _store_answers(self) -> bool:
        try:
            await self.store.ping()
        except StoreUnavailable:
            return False
        return True

    async def _feed_synced(self) -> bool:
        return self.sessions.feed.is_ready

    async def _running(self) -> bool:
        return not self._draining


async def _holds() -> bool:
    return True
