"""The forwarding engine as the configuration wants it: limits, pools, and a plan for every route."""

import ssl
from collections.abc import Callable, Iterable, Mapping

from gateway.app.denials import Denials
from gateway.app.sight import Sight
from gateway.app.tls import client_tls
from gateway.clock import Clock
from gateway.config.models import IDENTITY_HEADERS, Config
from gateway.config.upstreams import UpstreamConfig, Url
from gateway.gate import Gate
from gateway.proxy import connect as ways
from gateway.proxy.balancer import BALANCERS
from gateway.proxy.engine import Engine, Limits, Snapshot, plans
from gateway.proxy.hashing import hash_key
from gateway.proxy.health import Change, Ejection, Probing, UpstreamHealth
from gateway.proxy.names import FieldKinds, HostForms
from gateway.proxy.pool import Connect, Pool, PoolLimits, Target
from gateway.proxy.wheel import Wheel
from gateway.routing.host import normal_host
from gateway.routing.route import BUILTIN
from gateway.routing.table import RouteTable


def client_limits(config: Config) -> Limits:
    """Return what clients are held to."""
    limits, timeouts = config.server.limits, config.server.timeouts
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


def engine(config: Config, clock: Clock, sight: Sight) -> Engine:
    """Return an engine that has no snapshot yet."""
    return Engine(
        limits=client_limits(config),
        wheel=Wheel(),
        record=sight.recorder.__call__,  # bound here, once
        wall=clock.wall,
        monotonic=clock.monotonic,
        hosts=HostForms(normal_host),
        fault=sight.report,
        denied=Denials(sight, clock).__call__,
    )


def field_kinds(config: Config) -> FieldKinds:
    """Return what is done with the fields of requests."""
    return FieldKinds(name.encode() for name in {*config.effective.identity_headers, *IDENTITY_HEADERS})


def snapshot(
    config: Config, gate: Gate, routes: RouteTable, made: Mapping[str, Pool], *, clearing: bytes = b""
) -> Snapshot:
    """Return what requests are served by from now on; *clearing* are the lines that end the gateway's cookies."""
    return Snapshot(
        gate=gate,
        plans=plans(routes.routes, made),
        kinds=field_kinds(config),
        base_path=(config.login.base_path if config.login else "/auth").encode(),
        trusted_proxies=tuple(config.server.trusted_proxies),
        clearing=clearing,
    )


def pools(
    upstreams: Mapping[str, UpstreamConfig],
    tls: Mapping[str, ssl.SSLContext | None],
    kept: Mapping[str, Pool],
    builtin: Connect,
    engine: Engine,
    sight: Sight,
) -> dict[str, Pool]:
    """Return a pool for every upstream, those of *kept* as they are, and one to the application behind *builtin*."""
    made = {}
    for name, upstream in upstreams.items():
        made[name] = kept.get(name) or _pool(name, upstream, tls[name], engine, sight)
    inside = Target(name=BUILTIN, host=b"gateway", connect=builtin, builtin=True)
    made[BUILTIN] = Pool(engine, BUILTIN, [inside], BALANCERS["round_robin"](), PoolLimits())
    return made


def upstream_tls(upstream: UpstreamConfig) -> ssl.SSLContext | None:
    """Return how an upstream's https targets are spoken to; None when it has none.

    Raises:
        ConfigError: a file cannot be used.
    """
    if not any(target.url.scheme == "https" for target in upstream.targets):
        return None
    tls = upstream.tls
    context = client_tls("upstreams", tls)
    if tls and tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _pool(name: str, upstream: UpstreamConfig, tls: ssl.SSLContext | None, engine: Engine, sight: Sight) -> Pool:
    targets = [
        Target(
            name=target.url.written,
            host=target.url.authority.encode(),
            connect=_way(engine, target.url, tls, upstream),
            prefix=target.url.prefix.encode(),
            weight=target.weight,
        )
        for target in upstream.targets
    ]
    kept = upstream.pool
    eject, probe = upstream.eject, upstream.health
    health = UpstreamHealth(
        [target.name for target in targets],
        ejection=None if eject is None else Ejection(eject.failures, eject.time, eject.max_percent),
        probing=None if probe is None else Probing(probe.fall, probe.rise),
        on_change=_teller(name, sight),
    )
    return Pool(
        engine,
        name,
        targets,
        BALANCERS[upstream.balance](),
        PoolLimits(kept.idle, kept.connections, kept.queue, kept.idle_timeout),
        health=health,
        key=hash_key(upstream.hash_by),
        max_inflight=upstream.max_inflight,
        retry_percent=upstream.retry.budget_percent,
    )


def _way(engine: Engine, url: Url, tls: ssl.SSLContext | None, upstream: UpstreamConfig) -> Connect:
    if url.scheme == "unix":
        return ways.unix(engine, url.socket)
    if url.scheme == "http":
        return ways.tcp(engine, url.host, url.port)
    assert tls is not None
    name = upstream.tls.server_name if upstream.tls and upstream.tls.server_name else url.host
    return ways.tcp(engine, url.host, url.port, ways.Tls(tls, name))


def _teller(upstream: str, sight: Sight) -> Callable[[str, Change, str], None]:
    def tell(target: str, change: Change, reason: str) -> None:
        sight.metrics.count("target_changes", change.value)
        say = sight.events.warning if change in (Change.DOWN, Change.EJECTED) else sight.events.info
        say("target", {"upstream": upstream, "target": target, "change": change.value, "reason": reason})

    return tell


class PoolGauges:
    """Shows what the pools do: those in use, and retired ones until their last request is over."""

    def __init__(self, engine: Engine, sight: Sight) -> None:
        self._pools: dict[Pool, None] = {}
        self._retried = 0
        """By pools that are gone: a counter never goes back."""
        for name, text, what in (
            ("gateway_http_requests_in_flight", "Requests in work.", self._inflight),
            ("gateway_upstream_connections", "Open connections to upstreams.", self._open),
            ("gateway_upstream_retries_total", "Requests sent once more.", self._retries),
            ("gateway_upstream_targets_out", "Targets that get no requests.", self._out),
        ):
            sight.gauge(name, text, what)
        sight.gauge("gateway_connections", "Open client connections.", lambda: len(engine.connections))
        self._current: frozenset[Pool] = frozenset()

    def show(self, current: Iterable[Pool]) -> None:
        """Show *current* from now on, beside those that are not done yet."""
        self._current = frozenset(current)
        self._pools |= dict.fromkeys(self._current)
        self.forget_done()

    def forget_done(self) -> None:
        """Let go of retired pools whose last request is over."""
        for pool in [pool for pool in self._pools if pool not in self._current and pool.is_done]:
            del self._pools[pool]
            self._retried += pool.retried

    def _inflight(self) -> int:
        return sum(target.inflight for pool in self._pools for target in pool.targets)

    def _open(self) -> int:
        return sum(target.open for pool in self._pools for target in pool.targets)

    def _retries(self) -> int:
        return self._retried + sum(pool.retried for pool in self._pools)

    def _out(self) -> int:
        return sum(pool.health.out for pool in self._current)
