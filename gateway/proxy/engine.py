"""What all connections share: the snapshot in force, the limits, the wheel and the recorder.

The `Snapshot` is replaced whole by a reload; a request keeps the one it began with.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from itertools import count
from typing import TYPE_CHECKING, Protocol

from gateway.errors import Refusal
from gateway.gate import Gate
from gateway.head import RequestHead
from gateway.proxy.answer import AnswerHead
from gateway.proxy.answers import StatusLines
from gateway.proxy.blocks import Blocks
from gateway.proxy.names import AnswerKinds, FieldKinds, HostForms
from gateway.proxy.request import RequestLines
from gateway.proxy.streams import Streams
from gateway.proxy.wheel import NEVER, Wheel, ticks
from gateway.routing.table import Retry, Route, WebSocketOptions
from gateway.telemetry.record import Record

if TYPE_CHECKING:
    from gateway.proxy.downstream import Downstream
    from gateway.proxy.pool import Pool


REST = 5.0
"""Seconds an idle connection keeps its parser."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what a client may send or hold."""

    head: int = 32 * 1024
    """Bytes of request line and header fields together."""
    headers: int = 100
    url: int = 8 * 1024
    connections: int = 10_000
    connections_per_address: int | None = None
    head_timeout: float = 10.0
    """Seconds from the first byte of a head to its last."""
    body_idle: float = 30.0
    keep_alive: float = 75.0
    write_idle: float = 30.0
    """Seconds a client may take without reading anything of an answer that is ready."""


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """How one route forwards, with everything looked up and converted that can be beforehand."""

    name: str
    upstream: str
    pool: "Pool"
    body_limit: int
    connect: float | None
    """Seconds; the other times are ticks of the wheel."""
    first_byte: int
    idle: int
    total: int
    keep_host: bool
    forward_token: bool
    websocket: WebSocketOptions | None
    retry: Retry
    per_try: int
    """Ticks a try may wait for its first byte while another is allowed."""
    is_plain: bool
    """Neither a total time nor one per try: only the wait for the first byte counts until it comes."""


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """One loaded configuration, as the engine needs it; replaced whole by a reload."""

    gate: Gate
    plans: Mapping[Route, Plan]
    kinds: FieldKinds
    base_path: bytes
    """Below it, refusals take the OAuth form."""
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    clearing: bytes = b""
    """Header lines that end the gateway's own cookies."""
    blocks: Blocks = field(default_factory=Blocks)
    """Fields that were read under this configuration; what they mean depends on it."""


def plans(routes: Iterable[Route], pools: Mapping[str, "Pool"]) -> dict[Route, Plan]:
    """Return the plan of every route; an upstream without a pool is a bug and raises KeyError."""
    made = {}
    for route in routes:
        options, timeouts = route.options, route.options.timeouts
        first_byte = ticks(timeouts.first_byte)
        total = NEVER if options.stream else ticks(timeouts.total)
        per_try = min(first_byte, ticks(options.retry.per_try))
        made[route] = Plan(
            name=route.name,
            upstream=route.upstream,
            pool=pools[route.upstream],
            body_limit=options.body_limit,
            connect=timeouts.connect,
            first_byte=first_byte,
            idle=ticks(timeouts.idle),
            total=total,
            keep_host=options.host == "keep",
            forward_token=options.forward_token,
            websocket=options.websocket,
            retry=options.retry,
            per_try=per_try,
            is_plain=total == NEVER and per_try == first_byte < NEVER,
        )
    return made


class Recorder(Protocol):
    """Takes records; must return at once."""

    def __call__(self, record: Record, /) -> None: ...


@dataclass(slots=True, eq=False)
class Engine:
    """The shared state of one worker's forwarding engine."""

    limits: Limits
    wheel: Wheel
    record: Recorder
    wall: Callable[[], float]
    monotonic: Callable[[], float]
    hosts: HostForms
    snapshot: Snapshot = None  # type: ignore[assignment]  # set before the first connection is accepted
    answer_kinds: AnswerKinds = field(default_factory=AnswerKinds)
    answers: dict[bytes, AnswerHead] = field(default_factory=dict)
    """Heads of answers that have been read, by their bytes; kept by Upstream."""
    request_lines: RequestLines = field(default_factory=RequestLines)
    status_lines: StatusLines = field(default_factory=StatusLines)
    connections: set["Downstream"] = field(default_factory=set)
    by_address: dict[str, int] = field(default_factory=dict)
    streams: Streams = field(default_factory=Streams)
    draining: bool = False
    fault: Callable[[str, BaseException], None] = lambda _what, _error: None
    """Told about bugs: an exception where none may happen."""
    denied: Callable[[Refusal, RequestHead, bytes], None] = lambda _refusal, _head, _request_id: None
    """Told of every request that a rule refused, and its id; must return at once."""
    request_ids: Iterator[bytes] = field(default_factory=lambda: _request_ids(os.urandom(8)))
    keep_alive: int = 0
    """Ticks; from the limits."""
    body_idle: int = 0
    """Ticks a client may pause within a body."""
    rest: int = 0
    """Ticks after which an idle connection gives back what it remembers."""

    def __post_init__(self) -> None:
        self.bound(self.limits)

    def bound(self, limits: Limits) -> None:
        """Hold clients to *limits* from now on."""
        self.limits = limits
        self.keep_alive = ticks(self.limits.keep_alive)
        self.body_idle = ticks(self.limits.body_idle)
        self.rest = min(self.keep_alive, ticks(REST))


def _request_ids(prefix: bytes) -> Iterator[bytes]:
    """Yield ids that are unique over restarts and replicas by 64 random bits, and ordered within the process."""
    return map((prefix.hex().encode() + b"%08x").__mod__, count())
