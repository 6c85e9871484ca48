"""Active health checks: a probe for every target of every upstream that has a `health` section."""

import ssl
from functools import partial

from gateway.clock import Clock
from gateway.config.upstreams import UpstreamConfig, Url
from gateway.outbound.probes import Probe, Prober
from gateway.proxy.health import TargetHealth
from gateway.proxy.pool import Pool


def start_probes(
    upstream: UpstreamConfig, tls: ssl.SSLContext | None, pool: Pool, prober: Prober, clock: Clock
) -> None:
    """Ask every target of *upstream* at its pace, and tell its health to *pool*."""
    for target, state in zip(upstream.targets, pool.health.targets, strict=True):
        prober.start(_probe(upstream, target.url, tls), partial(_told, state, clock))


def _told(state: TargetHealth, clock: Clock, healthy: bool, reason: str) -> None:
    state.probed(healthy, reason, clock.monotonic())


def _probe(upstream: UpstreamConfig, url: Url, tls: ssl.SSLContext | None) -> Probe:
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
        ssl=tls if url.scheme == "https" else None,
        server_name=upstream.tls.server_name if upstream.tls else None,
    )
