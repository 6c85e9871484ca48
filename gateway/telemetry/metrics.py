"""Prometheus metrics, counted in plain dictionaries and turned into families only when somebody asks.

Labels hold names from the configuration and from fixed vocabularies, never anything a client chose.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeVar

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from gateway.telemetry.record import Record

# OpenTelemetry's advice for http.server.request.duration, in seconds.
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
OVERHEAD_BOUNDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1)
_QUICK = BOUNDS[0]
METHODS = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS"))

K = TypeVar("K")
CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


class Series:
    """One combination of route, method, status, code and upstream."""

    __slots__ = ("buckets", "bytes_in", "bytes_out", "count", "overhead", "overhead_buckets", "seconds")

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0
        self.overhead = 0.0
        self.bytes_in = 0
        self.bytes_out = 0
        self.buckets = [0] * (len(BOUNDS) + 1)
        self.overhead_buckets = [0] * (len(OVERHEAD_BOUNDS) + 1)

    def observe(self, bytes_in: int, bytes_out: int, seconds: float, waited: float) -> None:
        """Count one request; *waited* seconds of *seconds* were the upstream's."""
        self.count += 1
        self.seconds += seconds
        self.bytes_in += bytes_in
        self.bytes_out += bytes_out
        self.buckets[0 if seconds <= _QUICK else bisect_left(BOUNDS, seconds)] += 1
        if waited:
            self.overhead += seconds - waited
            self.overhead_buckets[bisect_left(OVERHEAD_BOUNDS, seconds - waited)] += 1


class _Key(NamedTuple):
    route: str
    method: bytes
    status: int
    code: str
    reason: str
    upstream: str


class Gauge(NamedTuple):
    """A value read at scrape time."""

    name: str
    help: str
    read: Callable[[], float]


class Metrics:
    """Counts of everything recorded, and gauges that are read when asked for."""

    def __init__(self, *, version: str, gauges: Iterable[Gauge] = ()) -> None:
        self._version = version
        self._series: dict[tuple[str, bytes, int, str, str, str], Series] = {}
        self._events: dict[tuple[str, str], int] = {}
        self.gauges = list(gauges)
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def series(self, record: Record) -> "Series":
        """Return where requests like *record* are counted."""
        method = record.method if record.method in METHODS else b"_OTHER"
        key = (record.route, method, record.status, record.code, record.reason, record.upstream)
        found = self._series.get(key)
        if found is None:
            found = self._series[key] = Series()
        return found

    def count(self, event: str, result: str) -> None:
        """Count one *event* ("login", "refresh", "log_dropped") with its *result*, both from fixed vocabularies."""
        key = (event, result)
        self._events[key] = self._events.get(key, 0) + 1

    def expose(self) -> bytes:
        """Return the text exposition format."""
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Nothing is known beforehand (the registry asks at registration)."""
        return ()

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("gateway_build", "The running version.", value={"version": self._version})
        requests = CounterMetricFamily(
            "gateway_http_requests", "Requests by route, method and status.", labels=("route", "method", "code")
        )
        decisions = CounterMetricFamily(
            "gateway_refusals", "Requests the gateway refused, and why.", labels=("route", "code", "reason")
        )
        upstream = CounterMetricFamily(
            "gateway_upstream_requests", "Requests sent to an upstream, by status.", labels=("upstream", "code")
        )
        received = CounterMetricFamily("gateway_http_request_bytes", "Request body bytes.", labels=("route",))
        sent = CounterMetricFamily("gateway_http_response_bytes", "Answer bytes.", labels=("route",))
        by_request: dict[tuple[str, str, str], int] = {}
        by_refusal: dict[tuple[str, str, str], int] = {}
        by_upstream: dict[tuple[str, str], int] = {}
        by_route: dict[str, tuple[int, int]] = {}
        durations: dict[tuple[str, str], Series] = {}
        total = Series()
        for raw, series in self._series.items():
            key = _Key(*raw)
            method = key.method.decode("latin-1")
            _add(by_request, (key.route, method, str(key.status)), series.count)
            if key.code:
                _add(by_refusal, (key.route, key.code, key.reason), series.count)
            if key.upstream:
                _add(by_upstream, (key.upstream, str(key.status)), series.count)
            bytes_in, bytes_out = by_route.get(key.route, (0, 0))
            by_route[key.route] = (bytes_in + series.bytes_in, bytes_out + series.bytes_out)
            duration = durations.setdefault((key.route, method), Series())
            duration.seconds += series.seconds
            duration.buckets = [a + b for a, b in zip(duration.buckets, series.buckets, strict=True)]
            total.overhead += series.overhead
            total.overhead_buckets = [
                a + b for a, b in zip(total.overhead_buckets, series.overhead_buckets, strict=True)
            ]
        for labels, value in by_request.items():
            requests.add_metric(labels, value)
        for labels, value in by_refusal.items():
            decisions.add_metric(labels, value)
        for pair, value in by_upstream.items():
            upstream.add_metric(pair, value)
        for route, (bytes_in, bytes_out) in by_route.items():
            received.add_metric((route,), bytes_in)
            sent.add_metric((route,), bytes_out)
        histogram = HistogramMetricFamily(
            "gateway_http_request_duration_seconds",
            "From first byte of the request to last of the answer.",
            labels=("route", "method"),
        )
        for pair, series in durations.items():
            histogram.add_metric(pair, _buckets(BOUNDS, series.buckets), series.seconds)
        overhead = HistogramMetricFamily("gateway_overhead_seconds", "Time spent in the gateway itself.")
        overhead.add_metric((), _buckets(OVERHEAD_BOUNDS, total.overhead_buckets), total.overhead)
        yield from (requests, decisions, upstream, received, sent, histogram, overhead)
        events: dict[str, CounterMetricFamily] = {}
        for (event, result), value in self._events.items():
            family = events.get(event)
            if family is None:
                family = events[event] = CounterMetricFamily(
                    f"gateway_{event}", f"{event}, by result.", labels=("result",)
                )
            family.add_metric((result,), value)
        yield from events.values()
        for gauge in self.gauges:
            yield GaugeMetricFamily(gauge.name, gauge.help, value=gauge.read())


def _add(table: dict[K, int], key: K, value: int) -> None:
    table[key] = table.get(key, 0) + value


def _buckets(bounds: tuple[float, ...], counts: list[int]) -> list[tuple[str, float]]:
    """Return cumulative buckets as the exposition format wants them."""
    total = 0
    out: list[tuple[str, float]] = []
    for bound, count in zip((*map(str, bounds), "+Inf"), counts, strict=True):
        total += count
        out.append((bound, float(total)))
    return out
