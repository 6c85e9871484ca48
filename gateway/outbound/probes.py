"""Active health checks: each target is asked at its own pace, and what it answers is told to whoever keeps count.

A probe says how one asking went; how many bad ones make a target unfit is the business of the state that listens
(`proxy/health.py`). The first probe comes after a random part of the interval, so that neither the probes of one
gateway nor the gateways of one fleet ask in step. Every probe opens a connection of its own: a service that still
answers on old connections but accepts no new one is not healthy.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from ssl import SSLContext
from typing import Protocol

from gateway.outbound.client import Answer, Failed

MAX_BODY = 64 * 1024
"""Bytes of an answer that are read, out of politeness; the status alone decides."""
HEALTHY_BELOW = 400

Report = Callable[[bool, str], None]
"""Told how a probe went: healthy or not, and why in one word, like `status_503` or `timeout`."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What to ask of one target, and how often; seconds."""

    target: str
    """Its name, for the task and for reports of bugs."""
    url: str
    every: float
    timeout: float
    host: str = ""
    """Host field, when it is not the one of the URL."""
    unix: str = ""
    """Path of the socket to connect to, for a target that is one."""
    ssl: SSLContext | None = None
    server_name: str | None = None


class Client(Protocol):
    """What a prober asks of the HTTP client."""

    async def get(
        self,
        url: str,
        *,
        timeout: float,  # noqa: ASYNC109 - one deadline over everything belongs to the call's contract
        max_bytes: int,
        headers: Mapping[str, str] | None = None,
        ssl: SSLContext | None = None,
        server_name: str | None = None,
        unix: str = "",
    ) -> Answer | Failed: ...


class Prober:
    """Runs probes, one task each, until it is stopped."""

    def __init__(
        self,
        outbound: Client,
        *,
        monotonic: Callable[[], float],
        fault: Callable[[str, BaseException], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """*fault* is told about bugs, which never end a probe; *draw* returns a number from 0 up to 1."""
        self._outbound = outbound
        self._monotonic = monotonic
        self._fault = fault
        self._sleep = sleep
        self._draw = draw
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, probe: Probe, report: Report) -> asyncio.Task[None]:
        """Ask *probe* from now on, and tell *report*; cancelling the task ends it."""
        task = asyncio.get_running_loop().create_task(self._run(probe, report), name=f"probe {probe.target}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def stop(self) -> None:
        """End every probe, also one that waits for its answer."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, probe: Probe, report: Report) -> None:
        await self._sleep(self._draw() * probe.every)
        while True:
            began = self._monotonic()
            try:
                await self._ask(probe, report)
            except Exception as error:  # a bug is no sign of a sick target, and must not end the watch over it
                self._fault("probe", error)
            await self._sleep(max(0.0, probe.every - (self._monotonic() - began)))

    async def _ask(self, probe: Probe, report: Report) -> None:
        headers = {"Connection": "close"}
        if probe.host:
            headers["Host"] = probe.host
        match await self._outbound.get(
            probe.url,
            timeout=probe.timeout,
            max_bytes=MAX_BODY,
            headers=headers,
            ssl=probe.ssl,
            server_name=probe.server_name,
            unix=probe.unix,
        ):
            case Answer(status=status) | Failed(reason="too_large", status=status):
                report(status < HEALTHY_BELOW, f"status_{status}")
            case Failed(reason="local" | "closed"):
                pass  # our own trouble: it says nothing about the target
            case Failed(reason=reason):
                report(False, reason)
