"""The connections to one upstream: idle ones waiting, new ones made, and who gets which.

Idle connections are kept last in, first out, so that surplus ones age and go; each is dropped before the upstream would
drop it (`idle_timeout` must be below the upstream's own keep-alive). `take` answers at once when a connection is idle,
and that is the path nearly every request goes.
"""

import asyncio
import errno
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from gateway.errors import refuse
from gateway.limits.retries import RetryBudget
from gateway.proxy.balancer import Balancer
from gateway.proxy.engine import Engine
from gateway.proxy.exchange import Exchange
from gateway.proxy.health import Outcome, TargetHealth, UpstreamHealth
from gateway.proxy.upstream import Upstream
from gateway.proxy.wheel import ticks

OURS = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL))
"""Errors of connecting that say nothing about the target: this process or machine has run out of something."""


class Link(Protocol):
    """The way to the built-in application beside its connection: facts in, log facts out."""

    def introduce(self, request_id: str, address: str, secure: bool) -> None: ...
    def told(self) -> tuple[str, str, str]:
        """Return (subject, refusal code, reason) of the request that was answered last."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class PoolLimits:
    idle: int = 64
    """Idle connections kept per target."""
    connections: int = 512
    """Connections open to the upstream at once, over all targets."""
    queue: int = 1024
    """Requests that may wait for a connection when all are taken."""
    idle_timeout: float = 50.0


Connect = Callable[["Target"], Awaitable[Upstream]]
"""Opens a connection to a target; raises OSError or TimeoutError."""


@dataclass(slots=True, eq=False)
class Target:
    """One address of an upstream, with its connections."""

    name: str
    """For log and metrics: the address as configured."""
    host: bytes
    """Host field sent to it."""
    connect: Connect
    prefix: bytes = b""
    """Path put before every request's path."""
    weight: int = 1
    builtin: bool = False
    inflight: int = 0
    open: int = 0
    health: TargetHealth = field(init=False)
    """The pool's; set when the target joins it."""
    idle: list[Upstream] = field(default_factory=list)
    drop: Callable[[Upstream], None] = lambda _up: None
    """The pool's; set when the target joins it."""

    def gone(self, up: Upstream) -> None:
        """A connection that nobody uses was closed by the other side."""
        if up in self.idle:
            self.idle.remove(up)
            self.drop(up)


class Pool:
    """One upstream: its targets, its connections, and the requests that wait for one."""

    def __init__(
        self,
        engine: Engine,
        name: str,
        targets: Sequence[Target],
        balancer: Balancer,
        limits: PoolLimits,
        *,
        health: UpstreamHealth | None = None,
        key: Callable[[Exchange], bytes] = lambda _exchange: b"",
        max_inflight: int | None = None,
        retry_percent: int = 20,
    ) -> None:
        """*health* judges the targets, in their order; *key* is what `hash` goes by."""
        self.name = name
        self.targets = tuple(targets)
        self._only = self.targets[0] if len(self.targets) == 1 else None
        self._engine = engine
        self._balancer = balancer
        self._limits = limits
        self._key = key
        self._max_inflight = max_inflight
        self.retries = RetryBudget(retry_percent)
        self.retried = 0
        """How many requests were sent once more; for the metric."""
        self.health = health or UpstreamHealth([target.name for target in targets])
        for target, state in zip(self.targets, self.health.targets, strict=True):
            target.health = state
        self._open = 0
        self._tasks: dict[Exchange, asyncio.Task[None]] = {}
        self._queue: dict[Exchange, None] = {}
        """Waiting exchanges, oldest first."""
        self._idle_ticks = ticks(limits.idle_timeout)
        for target in self.targets:
            target.drop = self._drop

    def take(self, exchange: Exchange, *, fresh: bool = False) -> None:
        """Give *exchange* a connection, now or later, by `connected` or `unreachable`; *fresh* forbids an idle one."""
        target = self._only
        if target is None or target.health.suspect:
            target = self._pick(exchange)
            if target is None:
                retry_after = self.health.retry_after(self._engine.monotonic())
                exchange.unreachable(refuse("no_healthy_target", "all_out", retry_after=retry_after))
                return
        if self._max_inflight is not None and self._in_work() >= self._max_inflight:
            exchange.unreachable(refuse("overloaded", "max_inflight", retry_after=1))
            return
        idle = target.idle
        while idle and not fresh:
            up = idle.pop()
            if up.lost or up.idle_until < self._engine.wheel.now:
                self._drop(up)
                continue
            target.inflight += 1
            if target.health.suspect:
                target.health.begin(exchange, self._engine.monotonic())
            exchange.connected(up)
            return
        if self._open >= self._limits.connections and not self._evict():
            if len(self._queue) >= self._limits.queue:
                exchange.unreachable(refuse("overloaded", "queue", retry_after=1))
            else:
                self._queue[exchange] = None
            return
        self._begin(exchange, target)

    def give(self, up: Upstream, *, reusable: bool) -> None:
        """Take *up* back; it lies idle if it is *reusable* and there is room, else it is closed."""
        target = up.target
        target.inflight -= 1
        if reusable and len(target.idle) < self._limits.idle and not up.lost and not self._engine.draining:
            up.rest()
            up.idle_until = self._engine.wheel.now + self._idle_ticks
            target.idle.append(up)
        else:
            self._drop(up)
        if self._queue:
            self._serve_queue()

    def forget(self, exchange: Exchange) -> None:
        """*exchange* does not want a connection any more."""
        self._queue.pop(exchange, None)
        target = self._give_up(exchange)
        if target is not None:
            self.judge(exchange, target, Outcome.NOTHING)
            self._serve_queue()

    def late(self, exchange: Exchange) -> None:
        """*exchange* has waited as long as it may: for its connection to be made, or for its turn."""
        self._queue.pop(exchange, None)
        target = self._give_up(exchange)
        if target is None:
            exchange.unreachable(refuse("overloaded", "queue_wait", retry_after=1))
        else:
            self._failed(exchange, target, TimeoutError())
            self._serve_queue()

    def sweep(self) -> None:
        """Close idle connections whose time is over, and let the retry budget's window slide."""
        now = self._engine.wheel.now
        self.retries.turn(self._engine.monotonic())
        for target in self.targets:
            for up in [up for up in target.idle if up.idle_until < now]:
                target.idle.remove(up)
                self._drop(up)

    def retire(self) -> None:
        """Serve to its end what has begun: no connection is kept any more, because nobody new will come."""
        self._limits = replace(self._limits, idle=0)
        for target in self.targets:
            for up in target.idle:
                self._drop(up)
            target.idle.clear()

    @property
    def is_done(self) -> bool:
        """Nobody uses it or waits for it."""
        return self._open == 0 and not self._queue

    def close(self) -> None:
        """Close every idle connection and give up on those in the making."""
        self._queue.clear()
        for task in self._tasks.values():
            task.cancel()
        for target in self.targets:
            for up in target.idle:
                up.discard()
            target.idle.clear()

    def _in_work(self) -> int:
        return sum(target.inflight for target in self.targets) + len(self._queue)

    def _pick(self, exchange: Exchange) -> Target | None:
        now = self._engine.monotonic()
        fit = [target for target in self.targets if not target.health.suspect or target.health.is_fit(now)]
        if not fit:
            return None
        fit = [target for target in fit if target.name not in exchange.refused_by] or fit
        return fit[0] if len(fit) == 1 else fit[self._balancer.pick(fit, self._key(exchange))]

    def judge(self, exchange: Exchange, target: Target, outcome: Outcome) -> None:
        """Take note of how a request to *target* ended; needed only when it failed, or its target is suspect."""
        target.health.end(exchange, outcome, self._engine.monotonic())

    def may_retry(self) -> bool:
        """Spend one retry if the budget has room: an outage must not be multiplied by repeating what failed."""
        if not self.retries.spend(self._engine.monotonic()):
            return False
        self.retried += 1
        return True

    def _begin(self, exchange: Exchange, target: Target) -> None:
        if target.health.suspect:
            target.health.begin(exchange, self._engine.monotonic())
        self._open += 1
        target.open += 1
        target.inflight += 1  # from now on, or a target that is slow to connect would look like one with nothing to do
        exchange.target = target
        self._tasks[exchange] = asyncio.get_running_loop().create_task(self._connect(exchange, target))

    async def _connect(self, exchange: Exchange, target: Target) -> None:
        failure: BaseException
        try:
            async with asyncio.timeout(exchange.plan.connect):
                up = await target.connect(target)
        except BaseException as error:
            failure = error
        else:
            del self._tasks[exchange]
            exchange.connected_late(up)
            return
        # Who was given up is no longer here, and may even be here again, by another task.
        if self._tasks.get(exchange) is asyncio.current_task():
            self._unmade(exchange, target)
            self._failed(exchange, target, failure)
            self._serve_queue()
        if not isinstance(failure, Exception):
            raise failure

    def _give_up(self, exchange: Exchange) -> Target | None:
        """Stop connecting for *exchange*; return the target, or None when it was not being connected to any."""
        task = self._tasks.get(exchange)
        if task is None:
            return None
        # Counted here, since a task that is cancelled before its first step never runs at all.
        task.cancel()
        assert exchange.target is not None
        self._unmade(exchange, exchange.target)
        return exchange.target

    def _unmade(self, exchange: Exchange, target: Target) -> None:
        del self._tasks[exchange]
        self._open -= 1
        target.open -= 1
        target.inflight -= 1

    def _failed(self, exchange: Exchange, target: Target, error: BaseException) -> None:
        """Nothing was sent, so another target may be asked whatever the method."""
        if isinstance(error, OSError) and error.errno in OURS:
            # No target can do anything about it, and no other one would be reached.
            self.judge(exchange, target, Outcome.NOTHING)
            exchange.unreachable(refuse("overloaded", "descriptors", retry_after=1))
            return
        if not isinstance(error, OSError):  # TimeoutError is one
            self.judge(exchange, target, Outcome.NOTHING)
            if isinstance(error, Exception):
                self._engine.fault("connect", error)
                exchange.unreachable(refuse("internal_error", "connect"))
            return
        self.judge(exchange, target, Outcome.FAILURE)
        exchange.refused_by += (target.name,)
        if len(exchange.refused_by) < len(self.targets) and exchange.may_ask_another("connect_error"):
            exchange.start()
            return
        if isinstance(error, TimeoutError):
            exchange.unreachable(refuse("upstream_timeout", "connect_timeout"))
        else:
            exchange.unreachable(refuse("upstream_unreachable", "connect_refused"))

    def _serve_queue(self) -> None:
        exchange = next(iter(self._queue), None)
        if exchange is not None:
            del self._queue[exchange]
            exchange.waited()
            self.take(exchange)

    def _evict(self) -> bool:
        """Close one idle connection of whichever target has one, to make room for another target's."""
        for target in self.targets:
            if target.idle:
                self._drop(target.idle.pop(0))
                return True
        return False

    def _drop(self, up: Upstream) -> None:
        self._open -= 1
        up.target.open -= 1
        up.discard()


Pools = Mapping[str, Pool]
