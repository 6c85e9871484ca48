"""Active health checks: a probe for every target of every upstream that has a `health` section."""

from collections.abc import Mapping
from functools import partial

from gateway.app.forwarding import upstream_tls
from gateway.clock import Clock
from gateway.config.models import Config
from gateway.config.upstreams import UpstreamConfig, Url
from gateway.outbound.probes import Probe, Prober
from gateway.proxy.health import TargetHealth
from gateway.proxy.pool import Pool


def start_probes(config: Config, pools: Mapping[str, Pool], prober: Prober, clock: Clock) -> None:
    """Ask every target at its upstream's pace, and tell its health."""
    for name, upstream in config.upstreams.items():
        if upstream.health is None:
            continue
        for target, state in zip(upstream.targets, pools[name].health.targets, strict=True):
            prober.start(_probe(upstream, target.url), partial(_told, state, clock))


def _told(state: TargetHealth, clock: Clock, healthy: bool, reason: str) -> None:
    state.probed(healthy, reason, clock.monotonic())


def _probe(upstream: UpstreamConfig, url: Url) -> Probe:
    health = upstream.health
    assert health is not None
    host = f"[{url.host}]" if ":" in url.host else url.host
    where = "http://localhost" if url.socket else f"{url.scheme}://{host}:{url.port}{url.prefix}"
    return Probe(
        target=url.written,
        url=where + health.path,
        every=health.every,
        timeout=health.timeout,
        unix=url.socket,
        ssl=upstream_tls(upstream) if url.scheme == "https" else None,
        server_name=upstream.tls.server_name if upstream.tls else None,
    )
