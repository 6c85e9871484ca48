"""A WebSocket between a client and an upstream, after both have agreed to it.

Bytes pass both ways as they are, close codes and reasons included. The gateway says goodbye itself in four cases: the
session has ended (1008), the gateway goes away (1001), a side breaks the protocol (1002, 1009), or nothing has been
said for too long. A goodbye comes between two frames and gets a second; then the connections are cut.
"""

import os
from typing import TYPE_CHECKING

from gateway.proxy.engine import Engine, Plan
from gateway.proxy.frames import CloseCode, FrameError, Frames, close_frame
from gateway.proxy.wheel import NEVER, ticks

if TYPE_CHECKING:
    from gateway.proxy.downstream import Downstream
    from gateway.proxy.exchange import Exchange
    from gateway.proxy.upstream import Upstream

GOODBYE = 1.0
"""Seconds between our close frame and the cut."""


class Tunnel:
    """Two connections joined."""

    def __init__(
        self, engine: Engine, plan: Plan, exchange: "Exchange", down: "Downstream", up: "Upstream", *, rsv1: bool
    ) -> None:
        options = plan.websocket
        assert options is not None
        self._engine = engine
        self._exchange = exchange
        self._down = down
        self._up = up
        self._from_client = Frames(masked=True, rsv1=rsv1, max_message=options.max_message)
        self._from_upstream = Frames(masked=False, rsv1=rsv1, max_message=options.max_message)
        self._idle = ticks(options.idle)
        self._ends_at = NEVER if options.lifetime is None else engine.wheel.now + ticks(options.lifetime)
        self._leaving = ""
        self._is_over = False
        verified = exchange.permit.verified
        self.identity = None if verified is None else verified.identity
        self.session = "" if verified is None else verified.identity.session
        self.bytes_in = 0
        self.bytes_out = 0
        engine.tunnels.setdefault(self.session, set()).add(self)
        self._touch()

    # --- bytes ---

    def from_client(self, data: bytes) -> None:
        if self._leaving:
            return
        try:
            self._from_client.walk(data)
        except FrameError as error:
            self.close(error.code, error.reason)
            return
        self.bytes_in += len(data)
        self._touch()
        self._up.write(data)

    def from_upstream(self, data: bytes) -> None:
        if self._leaving:
            return
        try:
            self._from_upstream.walk(data)
        except FrameError as error:
            self.close(error.code, error.reason)
            return
        self.bytes_out += len(data)
        self._touch()
        self._down.write(data)

    def _touch(self) -> None:
        down, wheel = self._down, self._engine.wheel
        down.deadline = deadline = min(self._ends_at, wheel.now + self._idle)
        if deadline < down.bucket:
            wheel.watch(down, deadline)

    # --- goodbyes ---

    def close(self, code: CloseCode, reason: str) -> None:
        """Say goodbye to both sides, and cut them a second later."""
        if self._leaving or self._is_over:
            return
        self._leaving = reason
        if self._from_upstream.at_boundary and not self._from_upstream.closed:
            self._down.write(close_frame(code, reason))
        if self._from_client.at_boundary and not self._from_client.closed:
            self._up.write(close_frame(code, reason, mask=os.urandom(4)))
        self._engine.wheel.watch(self._down, self._engine.wheel.now + ticks(GOODBYE))

    def expire(self) -> None:
        """The client connection's deadline has passed."""
        if self._leaving:
            self._end(self._leaving)
        else:
            self.close(CloseCode.GOING_AWAY, "lifetime" if self._engine.wheel.now >= self._ends_at else "idle")

    def client_eof(self) -> bool:
        """The client will send no more; keep the way back open only if it has said goodbye properly."""
        if not self._from_client.closed:
            self._end("client_gone")
        return self._from_client.closed

    def client_lost(self) -> None:
        self._end(self._leaving or ("" if self._from_client.closed else "client_gone"))

    def upstream_lost(self) -> None:
        self._end(self._leaving or ("" if self._from_upstream.closed else "reset"))

    def _end(self, reason: str) -> None:
        if self._is_over:
            return
        self._is_over = True
        others = self._engine.tunnels.get(self.session)
        if others is not None:
            others.discard(self)
            if not others:
                del self._engine.tunnels[self.session]
        if not self._up.lost:
            self._up.transport.close()
        # `close` lets what has been written reach the client first, the other side's close frame for one.
        self._down.transport.close()
        self._exchange.tunnel_over(self._up, reason, self.bytes_in, self.bytes_out)

    # --- back-pressure ---

    def client_full(self) -> None:
        self._up.pause()

    def client_ready(self) -> None:
        self._up.resume()

    def upstream_full(self) -> None:
        self._down.hold_body()

    def upstream_ready(self) -> None:
        self._down.release_body()
