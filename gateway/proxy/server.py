"""The public listener: accepts clients, turns the wheel, and says goodbye in good order.

Draining (ecosystem.md 2.3): not ready at once, still serving for `delay` so that load balancers notice; then no new
connections, idle ones closed, running requests get a grace; what is left is cut.
"""

import asyncio
import os
import ssl
from collections.abc import Callable, Iterable

from gateway.errors import ConfigError
from gateway.proxy.downstream import IDLE, LINGER_SECONDS, Downstream
from gateway.proxy.engine import Engine
from gateway.proxy.keepalive import stay_alive
from gateway.proxy.pool import Pool
from gateway.proxy.wheel import TICK

BACKLOG = 4096
"""Connections the kernel holds until they are accepted; it clips this to net.core.somaxconn."""
_SWEEP = 20
"""Turns of the wheel between two sweeps of the pools."""


def _why(error: OSError) -> str:
    """Return the system's words for *error*: "Address already in use", without the event loop's own around them."""
    return os.strerror(error.errno) if error.errno else str(error)


class Server:
    """One listener and the clockwork of its engine."""

    def __init__(self, engine: Engine, flush: Callable[[], None]) -> None:
        """*flush* writes what has been recorded; it is called with every turn of the wheel."""
        self._engine = engine
        self._flush = flush
        self._listeners: list[asyncio.Server] = []
        self._timer: asyncio.TimerHandle | None = None

    async def listen(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Accept clients at *host*:*port*; return the port, which matters when 0 was given.

        Raises:
            ConfigError: the address cannot be had; the message says who may be in the way.
        """
        engine = self._engine
        secure = tls is not None
        try:
            server = await asyncio.get_running_loop().create_server(
                lambda: Downstream(engine, secure=secure),
                host,
                port,
                ssl=tls,
                backlog=BACKLOG,
                # Before the handshake there is no connection yet that the wheel could end.
                ssl_handshake_timeout=engine.limits.head_timeout if secure else None,
                ssl_shutdown_timeout=LINGER_SECONDS if secure else None,
            )
        except OSError as error:
            raise ConfigError(f"server.listen: cannot listen on {host}:{port}: {_why(error)}") from error
        for sock in server.sockets:
            stay_alive(sock)  # what is accepted inherits it
        self._listeners.append(server)
        if self._timer is None:
            self._turn()
        name = server.sockets[0].getsockname()
        return int(name[1])

    async def drain(self, delay: float, grace: float) -> None:
        """Go away in good order, taking at most *delay* + *grace* seconds."""
        engine = self._engine
        await asyncio.sleep(delay)
        engine.draining = True
        for server in self._listeners:
            server.close()
        for stream in engine.streams:
            stream.go_away()
        self._close_idle()
        end = engine.monotonic() + grace
        while engine.connections and engine.monotonic() < end:
            await asyncio.sleep(TICK / 5)
            self._close_idle()

    def stop(self) -> None:
        """Cut what is left."""
        for server in self._listeners:
            server.close()
        for connection in list(self._engine.connections):
            connection.abort()
        for pool in self._pools():
            pool.close()
        if self._timer is not None:
            self._timer.cancel()
        self._flush()

    def _close_idle(self) -> None:
        for connection in list(self._engine.connections):
            if connection.state == IDLE:
                connection.transport.close()

    def _pools(self) -> Iterable[Pool]:
        return {plan.pool for plan in self._engine.snapshot.plans.values()}

    def _turn(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(TICK, self._turn)
        wheel = self._engine.wheel
        wheel.advance()
        self._expire()
        self._flush()
        if wheel.now % _SWEEP == 0:
            for pool in self._pools():
                pool.sweep()

    def _expire(self) -> None:
        """End what is due, a few at a time: requests that come meanwhile are served in between."""
        if self._engine.wheel.expire():
            asyncio.get_running_loop().call_soon(self._expire)
