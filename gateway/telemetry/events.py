"""Events of the gateway itself: what started, what was refused, what broke. One line each, keys always the same.

They go to standard error, so that the access log on standard output stays a stream of one kind.
"""

import sys
from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, TextIO, cast

import structlog

from gateway.telemetry.recorder import Sink

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}

_ASKED: ContextVar[Mapping[str, object]] = ContextVar("asked", default=MappingProxyType({}))


def asked_by(request_id: str, address: str) -> None:
    """From now on the audit of this task says by which request something was done, and from where."""
    _ASKED.set({"request_id": request_id, "client_ip": address} if address else {"request_id": request_id})


class Through:
    """A text file that is written by a sink's thread."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def write(self, text: str) -> None:
        self._sink.write(text.encode("utf-8", "backslashreplace"))

    def flush(self) -> None:
        self._sink.push()


class Events:
    """Writes events; never a token, a cookie or a password (callers pass ids and words, not input)."""

    def __init__(self, *, level: str = "info", text: bool = False) -> None:
        self._file: TextIO | Through = sys.stderr
        self._form = (level, text)
        self.write_as(level=level, text=text)

    def write_to(self, sink: Sink) -> None:
        """Write by *sink* from now on, so that nobody waits for a slow reader."""
        self._file = Through(sink)
        level, text = self._form
        self.write_as(level=level, text=text)

    def write_as(self, *, level: str, text: bool) -> None:
        """Write what is at least *level*, in this form, from now on."""
        self._form = (level, text)
        renderer: Any = (
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()) if text else structlog.processors.JSONRenderer()
        )
        self._log = structlog.wrap_logger(
            structlog.PrintLogger(cast("TextIO", self._file)),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
                structlog.processors.EventRenamer("msg"),
                structlog.processors.format_exc_info,
                renderer,
            ]
            if not text
            else [
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
                structlog.processors.format_exc_info,
                renderer,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        )

    def info(self, event: str, facts: Mapping[str, object] | None = None) -> None:
        self._log.info(event, **dict(facts or {}))

    def warning(self, event: str, facts: Mapping[str, object] | None = None) -> None:
        self._log.warning(event, **dict(facts or {}))

    def error(self, event: str, facts: Mapping[str, object] | None = None, error: BaseException | None = None) -> None:
        self._log.error(event, **dict(facts or {}), exc_info=error)

    def audit(self, event: str, facts: Mapping[str, object]) -> None:
        """Write an event of the audit trail: login, refresh, reuse, revocation."""
        self._log.info(event, audit=True, **{**_ASKED.get(), **facts})
