"""What this process lets be seen, made together because each part tells of the others' losses."""

import sys
from collections.abc import Callable, Mapping

from gateway import __version__
from gateway.config.models import Config
from gateway.config.sections import TelemetryConfig
from gateway.telemetry.access_log import JsonLines, TextLines
from gateway.telemetry.events import Events
from gateway.telemetry.metrics import CONTENT_TYPE, Gauge, Metrics
from gateway.telemetry.recorder import Lines, Recorder, Sink


class Sight:
    """Events to standard error, the access log to standard output, metrics for whoever asks."""

    def __init__(self, config: Config) -> None:
        self.events = Events()
        self.metrics = Metrics(version=__version__)
        self.recorder = Recorder(self.metrics, None, None)
        self._sink: Sink | None = None
        self._events_sink: Sink | None = None
        self.adopt(config.telemetry)
        self.gauge(
            "gateway_access_log_dropped_total",
            "Batches of log lines and events given up for a slow reader.",
            self._lost,
        )

    def adopt(self, telemetry: TelemetryConfig) -> None:
        """Write as *telemetry* says from now on."""
        wanted = telemetry.access_log
        is_text = wanted == "text" or (wanted == "auto" and sys.stdout.isatty())
        self.events.write_as(level=telemetry.log_level, text=is_text)
        if wanted == "off":
            self.recorder.write_as(None, None)
            return
        self._sink = self._sink or Sink(sys.stdout.fileno())
        lines: Lines = TextLines(colour=sys.stdout.isatty()) if is_text else JsonLines()
        self.recorder.write_as(lines, self._sink)

    def wait_for_nobody(self) -> None:
        """Write events in a thread, too: a reader who does not read must not stop the process."""
        self._events_sink = Sink(sys.stderr.fileno())
        self.events.write_to(self._events_sink)

    def gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Show *read*'s value under *name*."""
        self.metrics.gauges.append(Gauge(name, text, read))

    def report(self, where: str, error: BaseException) -> None:
        """Tell of a bug: an exception where none may happen."""
        self.metrics.count("faults", "exception")
        self.events.error("fault", {"where": where}, error)

    def audit(self, event: str, facts: Mapping[str, object]) -> None:
        """Tell of a login, a refresh, a revocation."""
        self.metrics.count("audit_events", event)
        self.events.audit(event, facts)

    def exposition(self) -> tuple[bytes, str]:
        """Return the metrics and their content type."""
        self.recorder.flush()
        return self.metrics.expose(), CONTENT_TYPE

    def close(self) -> None:
        """Write what is left."""
        self.recorder.flush()
        for sink in (self._sink, self._events_sink):
            if sink is not None:
                sink.close()

    def _lost(self) -> float:
        return sum(sink.dropped for sink in (self._sink, self._events_sink) if sink is not None)
