"""Requests become log lines and metrics, in batches, and a slow reader of the log stops nobody."""

import json
import os
import threading
from typing import Any

import pytest

from gateway.telemetry.access_log import JsonLines, TextLines
from gateway.telemetry.metrics import Gauge, Metrics
from gateway.telemetry.record import Record
from gateway.telemetry.recorder import BATCH, MAX_WAITING, Recorder, Sink


def record(**changes: Any) -> Record:
    """Return a finished request; *changes* replace what a test is about."""
    usual = Record(
        1_795_000_000.25, b"id1", 7, 498, 0.0031, 0.002, "192.0.2.1", b"GET", b"api.test", b"/api/x", 200,
        "api", "orders", "http://orders:1", "alice", "", "",
    )  # fmt: skip
    return usual._replace(**changes)


class Memory:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data


def lines_of(*records: Record) -> list[dict[str, object]]:
    """Return the JSON lines of *records*."""
    form = JsonLines()
    return [json.loads(form.line(one, form.common(one))) for one in records]


def test_a_json_line_holds_what_an_operator_asks_for() -> None:
    assert lines_of(record()) == [
        {
            "ts": "2026-11-18T11:06:40.250Z",
            "msg": "access",
            "request_id": "id1",
            "bytes_in": 7,
            "bytes_out": 498,
            "duration_ms": 3.1,
            "upstream_ms": 2.0,
            "overhead_ms": 1.1,
            "client_ip": "192.0.2.1",
            "method": "GET",
            "host": "api.test",
            "path": "/api/x",
            "status": 200,
            "route": "api",
            "upstream": "orders",
            "target": "http://orders:1",
            "sub": "alice",
        }
    ]


def test_what_a_client_sent_cannot_break_out_of_its_json_string() -> None:
    (line,) = lines_of(record(path=b'/a"b\\c', subject='x"\n', host=b"h"))

    assert (line["path"], line["sub"]) == ('/a"b\\c', 'x"\n')


def test_a_text_line_shows_no_escape_sequences_of_a_client() -> None:
    line = TextLines(colour=False).line(record(path=b"/\x1b[31m", subject="\u2028x"), b"")

    assert b"\x1b" not in line
    assert "\u2028".encode() not in line


def test_an_upstream_that_failed_is_named_in_the_text_line() -> None:
    line = TextLines(colour=False).line(record(status=502, code="upstream_unreachable", reason="connect_refused"), b"")

    assert b"upstream_unreachable: connect_refused [orders http://orders:1]" in line


def test_a_batch_is_written_as_soon_as_it_is_full() -> None:
    sink = Memory()
    recorder = Recorder(Metrics(version="1"), JsonLines(), sink)  # type: ignore[arg-type]

    for _ in range(BATCH):
        recorder(record())

    assert sink.data.count(b"\n") == BATCH


def test_metrics_count_by_route_method_and_status() -> None:
    metrics = Metrics(version="1")
    recorder = Recorder(metrics, None, None)
    for one in (record(), record(), record(status=401, code="token_missing", upstream="", upstream_seconds=0.0)):
        recorder(one)
    recorder.flush()

    text = metrics.expose().decode()

    assert 'gateway_http_requests_total{code="200",method="GET",route="api"} 2.0' in text
    assert 'gateway_refusals_total{code="token_missing",reason="",route="api"} 1.0' in text
    assert 'gateway_http_request_duration_seconds_bucket{le="0.005",method="GET",route="api"} 3.0' in text
    assert "gateway_overhead_seconds_count 2.0" in text


def test_a_method_nobody_knows_makes_no_label_of_its_own() -> None:
    metrics = Metrics(version="1")
    recorder = Recorder(metrics, None, None)
    recorder(record(method=b"BREW"))
    recorder.flush()

    assert 'method="_OTHER"' in metrics.expose().decode()
    assert "BREW" not in metrics.expose().decode()


def test_a_gauge_is_read_when_somebody_asks() -> None:
    values = iter((1.0, 2.0))
    metrics = Metrics(version="1", gauges=[Gauge("gateway_x", "X.", lambda: next(values))])

    assert "gateway_x 1.0" in metrics.expose().decode()
    assert "gateway_x 2.0" in metrics.expose().decode()


def test_a_blocked_reader_of_the_log_blocks_nobody() -> None:
    """A pipe that nobody reads holds 64 KiB; everything beyond waits, and what is too much is dropped and counted."""
    read, write = os.pipe()
    sink = Sink(write)
    line = b"x" * 1024 * 1024

    for _ in range(2 + MAX_WAITING // len(line)):
        sink.write(line)
    done = threading.Thread(target=sink.close, args=(0.05,))
    done.start()
    done.join(5)

    assert not done.is_alive()
    assert sink.dropped >= 1
    os.close(read)
    os.close(write)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_disk_loses_lines_and_nothing_else() -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    sink = Sink(descriptor)
    sink.write(b"line\n")
    sink.close()

    assert sink.dropped == 1
    os.close(descriptor)
