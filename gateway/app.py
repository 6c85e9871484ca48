"""The house put together: the only place where objects are made and joined, started and stopped.

Order of a start, and what a failure means:

    configuration, secret, keys, users    wrong: say what and where, exit
    embedded store                        wrong: exit;  external store: may be down, then not ready until it is up
    listeners                             taken: say which address, exit
    revocation feed                       in the background; requests with tokens wait for its first full read
"""

import asyncio
import contextlib
import gc
import os
import secrets as entropy
import signal
import ssl
import sys
from collections.abc import Mapping
from functools import partial
from ipaddress import IPv4Network, IPv6Network

from aiohttp import web

from gateway import __version__
from gateway.clock import Clock, SystemClock
from gateway.config.cautions import cautions
from gateway.config.effective import data_dir
from gateway.config.models import Config
from gateway.config.routes import route_table
from gateway.config.upstreams import UpstreamConfig, Url
from gateway.config.users import load_users
from gateway.endpoints.admin import LOOPBACK_NAMES, AdminServices, admin
from gateway.endpoints.application import SERVER_LIMITS, application
from gateway.endpoints.cookies import CookieSettings
from gateway.endpoints.inside import Doorkeeper, Inside
from gateway.endpoints.services import Services
from gateway.errors import ConfigError, StoreUnavailable
from gateway.gate import Gate
from gateway.limits.failures import FailedTokens
from gateway.outbound.client import Outbound
from gateway.outbound.probes import Probe, Prober
from gateway.proxy import connect as ways
from gateway.proxy.balancer import BALANCERS
from gateway.proxy.engine import Engine, Limits, Snapshot, plans
from gateway.proxy.hashing import hash_key
from gateway.proxy.health import Change, Ejection, Probing, TargetHealth, UpstreamHealth
from gateway.proxy.names import FieldKinds, HostForms
from gateway.proxy.pool import Connect, Pool, PoolLimits, Target
from gateway.proxy.server import Server
from gateway.proxy.tls import Certificates, Pair
from gateway.proxy.wheel import Wheel
from gateway.routing.host import normal_host
from gateway.routing.route import BUILTIN
from gateway.routing.table import RouteTable
from gateway.sessions.embedded import EmbeddedStore
from gateway.sessions.ending import Ending
from gateway.sessions.feed import Feed, FeedState
from gateway.sessions.revocations import Entry, Kind, Revocations
from gateway.sessions.service import SessionService
from gateway.sessions.store import Policy, SessionStore
from gateway.sessions.store import connect as connect_store
from gateway.telemetry.access_log import JsonLines, TextLines
from gateway.telemetry.events import Events
from gateway.telemetry.metrics import CONTENT_TYPE, Gauge, Metrics
from gateway.telemetry.recorder import Lines, Recorder, Sink
from gateway.tokens.cache import VerifiedTokens
from gateway.tokens.certificates import read_certificate
from gateway.tokens.headers import renderer
from gateway.tokens.issue import Issuer
from gateway.tokens.keystore import keyring_in
from gateway.tokens.ring import KeyRing, keyring_from
from gateway.tokens.secrets import Secrets, subject_tag
from gateway.tokens.verify import Verifier
from gateway.users.cores import affinity, usable_cores
from gateway.users.file import FileUsers
from gateway.users.passwords import HashPool
from gateway.users.throttle import Throttle
from gateway.users.turnstile import Turnstile

RETENTION_MARGIN = 60
"""Seconds a revocation is kept longer than any token can live (identity.md 3.2)."""
RENEWAL = 5.0
"""Seconds between two looks at the certificate files."""
ADDRESS_FILE = "admin_address"
"""In the data directory: where the running gateway's admin listener is, for `gateway healthcheck`."""


class Gateway:
    """One process's gateway: `start`, `serve`, `stop`."""

    def __init__(self, config: Config, environ: Mapping[str, str], clock: Clock | None = None) -> None:
        """Make everything that needs no I/O beyond reading files.

        Raises:
            ConfigError: a file named by the configuration cannot be used.
        """
        self.config = config
        self.effective = config.effective
        self.clock = clock or SystemClock()
        self.data = data_dir(config, environ).absolute()
        text = config.telemetry.access_log == "text" or (config.telemetry.access_log == "auto" and sys.stdout.isatty())
        self.events = Events(level=config.telemetry.log_level, text=text)
        self.metrics = Metrics(version=__version__)
        self._sink = None if config.telemetry.access_log == "off" else Sink(sys.stdout.fileno())
        lines: Lines = TextLines(colour=sys.stdout.isatty()) if text else JsonLines()
        self.recorder = Recorder(self.metrics, lines if self._sink else None, self._sink)
        self.routes: RouteTable = route_table(config)
        self._prepare_data_dir()
        self.secrets = Secrets(self._master_secret())
        self.ring = self._key_ring()
        self.pool = HashPool(
            (config.login.hash_threads if config.login else None) or max(1, usable_cores(affinity()) - 1)
        )
        self.records = load_users(config.login.verify.file, config) if config.login else {}
        self.people = FileUsers(self.records, self.pool)
        for caution in cautions(config, self.records):
            self.events.warning("caution", {"caution": caution})
        self.embedded: EmbeddedStore | None = None
        self.store: SessionStore | None = None
        self.port = 0
        self.admin_port = 0
        self.cold = True
        """The revocations were never complete, or have been incomplete for too long: no token can be vouched for."""
        self._draining = False
        self._tasks: list[asyncio.Task[None]] = []
        self._exits = contextlib.AsyncExitStack()

    # --- files ---

    def _prepare_data_dir(self) -> None:
        try:
            self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise ConfigError(f"server.data_dir: cannot make {self.data}: {error.strerror}") from error

    def _master_secret(self) -> bytes:
        """The one secret all others derive from (ARCHITECTURE 8.1); made on the first start with the embedded store."""
        given = self.config.server.secret
        if given is not None:
            return given.value
        path = self.data / "secret"
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(entropy.token_bytes(48))
        master = path.read_bytes()
        if len(master) < 32:
            raise ConfigError(f"{path} holds {len(master)} bytes, 32 are needed; remove it to have a new one made")
        return master

    def _key_ring(self) -> KeyRing:
        keys = self.config.tokens.keys
        if keys.files:
            ring = keyring_from((key.file.read_bytes(), key.alg, key.kid, key.state) for key in keys.files)
        else:
            ring = keyring_in(self.data / "keys", keys.alg, self.clock.wall())
        for warning in ring.warnings:
            self.events.warning("keys", {"warning": warning})
        return ring

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
        config, effective = self.config, self.effective
        url = config.store.url
        if effective.embedded:
            self.embedded = EmbeddedStore(on_event=self.events.info)
            url = await self.embedded.start(self.data / "store")
            self._exits.push_async_callback(self.embedded.stop)
        password = config.store.password
        self.store = store = connect_store(
            url, None if password is None else password.value.decode(), config.store.timeout, config.store.prefix
        )
        self._exits.push_async_callback(store.close)
        self._join(store)
        await self._doorkeeper.open(web.AppRunner(self._application, access_log=None, **SERVER_LIMITS))
        self._exits.push_async_callback(self._doorkeeper.close)
        self._tasks.append(asyncio.create_task(self._follow()))
        if effective.embedded:
            # Milliseconds; an external store may be down for long, and then public routes still answer.
            await self.synced()
        listen = effective.listen
        self.port = await self.server.listen(listen.host, listen.port, self._tls())
        self._exits.callback(self.server.stop)
        self._start_probes()
        await self._start_admin()
        # What lives now lives for good: spare the collector from looking at it again and again (performance.md 2.7).
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)

    def _join(self, store: SessionStore) -> None:
        """Make the objects that work on requests, and tell each about those it asks."""
        config, effective, clock = self.config, self.effective, self.clock
        ttl, leeway = config.tokens.access_ttl, config.tokens.leeway
        issuer = effective.issuer
        client_id = config.login.client_id if config.login else "gateway"
        self.table = table = Revocations(
            lambda iss, tenant, sub: subject_tag(self.secrets, iss, tenant, sub).hex(), on_applied=self._revoked
        )
        self.feed = feed = Feed(
            store,
            table,
            clock,
            replica=entropy.token_hex(8),
            retention=ttl + leeway + RETENTION_MARGIN,
            max_stale=min(ttl, 600.0),
            on_event=self.events.info,
        )
        verifier = Verifier(
            self.ring,
            issuer,
            frozenset(effective.audience),
            leeway,
            max_lifetime=round(ttl + leeway),
            max_bytes=config.server.limits.token,
        )
        tokens = VerifiedTokens(verifier, table, renderer(config.identity_headers), self.ring)
        policy = self._policy()
        ending = Ending(store, feed, lambda: policy)
        sessions = SessionService(
            people=self.people,
            store=store,
            issuer=Issuer(
                self.ring, issuer, effective.audience, client_id, round(ttl), max_bytes=config.server.limits.token
            ),
            issuer_name=issuer,
            client_id=client_id,
            secrets=self.secrets,
            table=table,
            ending=ending,
            pool=self.pool.finishing,
            policy=lambda: policy,
            on_event=self._audit,
        )
        self._doorkeeper = Doorkeeper()
        base_path = config.login.base_path if config.login else "/auth"
        self._application = application(
            Services(
                sessions=sessions,
                tokens=tokens,
                verifier=verifier,
                ring=self.ring,
                secrets=self.secrets,
                turnstile=Turnstile(Throttle(clock)),
                clock=clock,
                facts_of=self._doorkeeper.facts_of,
                report=self._report,
                own_origins=effective.own_origins,
                cold=lambda: self.cold,
                cookies=CookieSettings(config.tokens.cookie.same_site.capitalize()),
                base_path=base_path,
            )
        )
        budget = config.server.limits.failed_tokens
        gate = Gate(
            routes=self.routes,
            tokens=tokens,
            feed=self,
            wall=clock.wall,
            secrets=self.secrets,
            own_origins=effective.own_origins,
            read_from=frozenset(config.tokens.read_from),
            log_query=config.telemetry.log_query,
            failures=None if budget is None else FailedTokens(budget, budget / 6),
        )
        self.engine = engine = Engine(
            limits=self._limits(),
            wheel=Wheel(),
            record=self.recorder,
            wall=clock.wall,
            monotonic=clock.monotonic,
            hosts=HostForms(normal_host),
            fault=self._report,
        )
        pools = {name: self._pool(name, upstream) for name, upstream in config.upstreams.items()}
        pools[BUILTIN] = self._builtin_pool()
        engine.snapshot = Snapshot(
            gate=gate,
            plans=plans(self.routes.routes, pools),
            kinds=FieldKinds(name.encode() for name in config.identity_headers),
            base_path=base_path.encode(),
            trusted_proxies=tuple(_networks(config)),
        )
        self.server = Server(engine, self._tick)
        self._pools = pools
        self._gauges()

    def _policy(self) -> Policy:
        tokens = self.config.tokens
        return Policy(
            absolute=tokens.refresh.ttl,
            idle=tokens.refresh.idle,
            grace=tokens.refresh.reuse_grace,
            lost_response_window=tokens.refresh.lost_response_window,
            max_sessions=tokens.max_sessions or 0,
            tombstone=tokens.access_ttl + tokens.leeway + RETENTION_MARGIN,
        )

    def _limits(self) -> Limits:
        limits, timeouts = self.config.server.limits, self.config.server.timeouts
        return Limits(
            head=limits.head,
            headers=limits.headers,
            url=limits.url,
            connections=limits.connections,
            connections_per_address=limits.connections_per_address,
            head_timeout=timeouts.head,
            body_idle=timeouts.body_idle,
            keep_alive=timeouts.keep_alive,
            write_idle=timeouts.write_idle,
        )

    def _pool(self, name: str, upstream: UpstreamConfig) -> Pool:
        tls = _upstream_tls(upstream)
        targets = [
            Target(
                name=target.url.written,
                host=target.url.authority.encode(),
                connect=self._way(target.url, tls, upstream),
                prefix=target.url.prefix.encode(),
                weight=target.weight,
            )
            for target in upstream.targets
        ]
        limits = PoolLimits(
            upstream.pool.idle, upstream.pool.connections, upstream.pool.queue, upstream.pool.idle_timeout
        )
        eject, probe = upstream.eject, upstream.health
        health = UpstreamHealth(
            [target.name for target in targets],
            ejection=None if eject is None else Ejection(eject.failures, eject.time, eject.max_percent),
            probing=None if probe is None else Probing(probe.fall, probe.rise),
            on_change=lambda target, change, reason: self._health_changed(name, target, change, reason),
        )
        return Pool(
            self.engine,
            name,
            targets,
            BALANCERS[upstream.balance](),
            limits,
            health=health,
            key=hash_key(upstream.hash_by),
            max_inflight=upstream.max_inflight,
            retry_percent=upstream.retry.budget_percent,
        )

    def _health_changed(self, upstream: str, target: str, change: Change, reason: str) -> None:
        self.metrics.count("target_changes", change.value)
        facts = {"upstream": upstream, "target": target, "change": change.value, "reason": reason}
        (self.events.warning if change in (Change.DOWN, Change.EJECTED) else self.events.info)("target", facts)

    def _start_probes(self) -> None:
        """Ask every target of every upstream with a `health` section at its pace."""
        self._outbound = Outbound()
        self._exits.push_async_callback(self._outbound.close)
        prober = Prober(self._outbound, monotonic=self.clock.monotonic, fault=self._report)
        self._exits.push_async_callback(prober.stop)
        for name, upstream in self.config.upstreams.items():
            if upstream.health is None:
                continue
            tls = _upstream_tls(upstream)
            for written, state in zip(upstream.targets, self._pools[name].health.targets, strict=True):
                url, health = written.url, upstream.health
                where = f"http://localhost{health.path}" if url.socket else _probe_url(url, health.path)
                prober.start(
                    Probe(
                        target=url.written,
                        url=where,
                        every=health.every,
                        timeout=health.timeout,
                        unix=url.socket,
                        ssl=tls if url.scheme == "https" else None,
                        server_name=upstream.tls.server_name if upstream.tls else None,
                    ),
                    partial(self._probed, state),
                )

    def _probed(self, state: TargetHealth, healthy: bool, reason: str) -> None:
        state.probed(healthy, reason, self.clock.monotonic())

    def _way(self, url: Url, tls: ssl.SSLContext | None, upstream: UpstreamConfig) -> Connect:
        if url.scheme == "unix":
            return ways.unix(self.engine, url.socket)
        if url.scheme == "http":
            return ways.tcp(self.engine, url.host, url.port)
        assert tls is not None
        name = upstream.tls.server_name if upstream.tls and upstream.tls.server_name else url.host
        return ways.tcp(self.engine, url.host, url.port, ways.Tls(tls, name))

    def _builtin_pool(self) -> Pool:
        target = Target(
            name=BUILTIN,
            host=b"gateway",
            connect=ways.builtin(self.engine, self._serve_inside, Inside),
            builtin=True,
        )
        return Pool(self.engine, BUILTIN, [target], BALANCERS["round_robin"](), PoolLimits())

    def _serve_inside(self, link: object) -> asyncio.Protocol:
        assert isinstance(link, Inside)
        return self._doorkeeper.serve(link)

    def _tls(self) -> ssl.SSLContext | None:
        if not self.config.server.tls:
            return None
        self._certificates = Certificates(
            [Pair(entry.certificate_file, entry.key_file) for entry in self.config.server.tls],
            lambda pem, place: read_certificate(pem, place).names,
        )
        self._tasks.append(asyncio.create_task(self._renew_certificates()))
        return self._certificates.context

    async def _renew_certificates(self) -> None:
        """Look every few seconds whether certificates were renewed; a bad new one leaves the old one in use."""
        while True:
            await asyncio.sleep(RENEWAL)
            try:
                if self._certificates.refresh():
                    self.events.info("certificates_reloaded")
            except ConfigError as error:
                self.events.error("certificates_refused", {"reason": str(error)})

    async def _start_admin(self) -> None:
        listen = self.effective.admin_listen
        token = self.config.server.admin.token
        services = AdminServices(
            checks={
                "config": _always,
                "keys": _always,
                "store": self._store_answers,
                "feed": self._feed_synced,
                "running": self._running,
            },
            metrics=self._exposition,
            report=self._report,
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
            raise ConfigError(f"server.admin.listen: cannot listen on {listen}: {error.strerror or error}") from error
        self.admin_port = runner.addresses[0][1]
        host = "127.0.0.1" if listen.host in ("0.0.0.0", "::") else listen.host  # noqa: S104 - compared, not bound
        with contextlib.suppress(OSError):
            (self.data / ADDRESS_FILE).write_text(f"{host}:{self.admin_port}\n")

    # --- running ---

    async def synced(self) -> None:
        """Wait for the revocations to be complete, but not long: a start takes milliseconds, an outage minutes."""
        for _ in range(100):
            self.cold = not self.feed.is_ready
            if not self.cold:
                return
            await asyncio.sleep(0.01)

    async def _follow(self) -> None:
        try:
            await self.feed.follow()
        except Exception as error:
            self._report("feed", error)
            raise

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
        self.events.info("draining", {"signal": first.name, "delay": delay, "timeout": drain.timeout})
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
        self.recorder.flush()
        if self._sink is not None:
            self._sink.close()

    # --- what others ask ---

    async def _store_answers(self) -> bool:
        assert self.store is not None
        try:
            await self.store.ping()
        except StoreUnavailable:
            return False
        return True

    async def _feed_synced(self) -> bool:
        return self.feed.is_ready

    async def _running(self) -> bool:
        return not self._draining

    def _tick(self) -> None:
        """Each turn of the wheel: write the log, and look whether the revocations can still be trusted."""
        self.recorder.push()
        self.cold = not self.feed.is_ready

    def _exposition(self) -> tuple[bytes, str]:
        self.recorder.flush()
        return self.metrics.expose(), CONTENT_TYPE

    def _gauges(self) -> None:
        engine, feed = self.engine, self.feed
        self.metrics.gauges += [
            Gauge("gateway_connections", "Open client connections.", lambda: len(engine.connections)),
            Gauge(
                "gateway_http_requests_in_flight",
                "Requests in work.",
                lambda: sum(target.inflight for pool in self._pools.values() for target in pool.targets),
            ),
            Gauge(
                "gateway_upstream_connections",
                "Open connections to upstreams.",
                lambda: sum(target.open for pool in self._pools.values() for target in pool.targets),
            ),
            Gauge(
                "gateway_upstream_retries_total",
                "Requests sent once more.",
                lambda: sum(pool.retried for pool in self._pools.values()),
            ),
            Gauge(
                "gateway_upstream_targets_out",
                "Targets that get no requests.",
                lambda: sum(pool.health.out for pool in self._pools.values()),
            ),
            Gauge("gateway_password_hash_queue", "Hashes that wait for a thread.", lambda: self.pool.waiting),
            Gauge("gateway_revocations", "Revocations held in memory.", lambda: len(self.table)),
            Gauge(
                "gateway_feed_fresh", "1 while revocations are at most 3 s old.", lambda: feed.state is FeedState.FRESH
            ),
            Gauge("gateway_store_up", "1 while the revocation feed is not stale.", lambda: feed.age <= 15.0),
            Gauge("gateway_clock_offset_seconds", "Store's clock minus ours.", lambda: feed.offset),
            Gauge(
                "gateway_access_log_dropped_total",
                "Batches of log lines given up for a slow reader.",
                lambda: self._sink.dropped if self._sink else 0,
            ),
        ]

    def _revoked(self, entry: Entry) -> None:
        """A revocation was applied: what it concerns must not stay connected."""
        if entry.kind is Kind.SESSION:
            self.engine.end_session(entry.value)

    def _report(self, where: str, error: BaseException) -> None:
        self.metrics.count("faults", "exception")
        self.events.error("fault", {"where": where}, error)

    def _audit(self, event: str, facts: Mapping[str, object]) -> None:
        self.metrics.count("audit_events", event)
        self.events.audit(event, facts)


def _probe_url(url: Url, path: str) -> str:
    host = f"[{url.host}]" if ":" in url.host else url.host
    return f"{url.scheme}://{host}:{url.port}{url.prefix}{path}"


async def _always() -> bool:
    """Hold by construction: a gateway without them does not start."""
    return True


def _networks(config: Config) -> list[IPv4Network | IPv6Network]:
    return list(config.server.trusted_proxies)


def _upstream_tls(upstream: UpstreamConfig) -> ssl.SSLContext | None:
    if not any(target.url.scheme == "https" for target in upstream.targets):
        return None
    tls = upstream.tls
    try:
        context = ssl.create_default_context(cafile=str(tls.ca_file) if tls and tls.ca_file else None)
        if tls and tls.certificate_file:
            context.load_cert_chain(tls.certificate_file, tls.key_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"upstreams: tls files cannot be used: {error}") from error
    if tls and tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context
