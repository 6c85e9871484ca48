"""A WebSocket between a client and an upstream, after both have agreed to it.

Bytes pass both ways as they are, close codes and reasons included. The gateway says goodbye itself in four cases: the
session has ended (1008), the gateway goes away (1001), a side breaks the protocol (1002, 1009), or nothing has been
said for too long. A goodbye comes between two frames and gets a second; then the connections are cut. A side that has
said goodbye itself gets the answer to it within `CLOSING`, or is cut without one.
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
CLOSING = 10.0
"""Seconds between the first close frame that passes and the end, however much else is said meanwhile."""


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
        self._goodbye: tuple[CloseCode, str] | None = None
        """What we say at the end, once we want one; both sides hear it at the end of the frame that is under way."""
        self._told: tuple[Downstream | Upstream, ...] = ()
        """Who has heard it, or can hear nothing any more."""
        self._closing = False
        """One side has said goodbye by itself."""
        self._is_over = False
        self._unsent = 0
        self.owner = exchange.permit.verified
        self.due = float("inf")
        self.bytes_in = 0
        self.bytes_out = 0
        engine.streams.add(self)
        self._touch()

    # --- bytes ---

    def from_client(self, data: bytes) -> None:
        """Send on what the client says."""
        if self._goodbye is not None:
            self._finish_frame(self._from_client, data, self._up)
            return
        try:
            self._from_client.walk(data)
        except FrameError as error:
            self._break_off(self._from_client, error, data, self._up)
            return
        self.bytes_in += len(data)
        self._touch()
        self._up.write(data)

    def from_upstream(self, data: bytes) -> None:
        """Send on what the upstream says."""
        if self._goodbye is not None:
            self._finish_frame(self._from_upstream, data, self._down)
            return
        try:
            self._from_upstream.walk(data)
        except FrameError as error:
            self._break_off(self._from_upstream, error, data, self._down)
            return
        self.bytes_out += len(data)
        self._touch()
        self._down.write(data)

    def _touch(self) -> None:
        down, wheel = self._down, self._engine.wheel
        if not self._closing and (self._from_client.closed or self._from_upstream.closed):
            self._closing = True
            self._ends_at = min(self._ends_at, wheel.now + ticks(CLOSING))
        if down.writable:
            down.deadline = deadline = min(self._ends_at, wheel.now + self._idle)
            if deadline < down.bucket:
                wheel.watch(down, deadline)

    # --- goodbyes ---

    def end_session(self) -> None:
        """The owner's session is over."""
        self.close(CloseCode.POLICY, "session ended")

    def go_away(self) -> None:
        """The gateway stops."""
        self.close(CloseCode.GOING_AWAY, "going away")

    def close(self, code: CloseCode, reason: str) -> None:
        """Say goodbye to both sides, and cut them a second later."""
        if self._goodbye is not None or self._is_over:
            return
        self._goodbye = code, reason
        self._tell(self._from_upstream, self._down)
        self._tell(self._from_client, self._up)
        self._engine.wheel.watch(self._down, self._engine.wheel.now + ticks(GOODBYE))

    def _tell(self, frames: Frames, other: "Downstream | Upstream") -> None:
        """Say our goodbye behind the bytes of *frames* that *other* has got, unless that is in the middle of one."""
        assert self._goodbye is not None
        if other in self._told or not frames.at_boundary:
            return
        self._told += (other,)
        if not frames.closed:
            other.write(close_frame(*self._goodbye, mask=os.urandom(4) if other is self._up else b""))

    def _finish_frame(self, frames: Frames, data: bytes, other: "Downstream | Upstream") -> None:
        """Let a frame that had begun before our goodbye come to its end; nothing behind it passes."""
        if other in self._told or self._is_over:
            return
        try:
            end = frames.rest(data)
        except FrameError:
            self._told += (other,)
            return
        other.write(data[:end])
        self._tell(frames, other)

    def _break_off(self, frames: Frames, error: FrameError, data: bytes, other: "Downstream | Upstream") -> None:
        """Send on what came before the frame that broke the rules, then close."""
        if error.sound:
            other.write(data[: error.sound])
        if not frames.at_boundary:
            self._told += (other,)  # it has the beginning of the bad frame already, so no frame of ours can follow
        self.close(error.code, error.reason)

    def expire(self) -> None:
        """The client connection's deadline has passed."""
        down, wheel = self._down, self._engine.wheel
        if self._is_over or (not down.writable and wheel.now < self._ends_at and self._goodbye is None):
            self._expire_reader()
        elif self._goodbye is not None:
            self._end(self._goodbye[1])
        elif self._closing:
            self._end("closing")
        else:
            self.close(CloseCode.GOING_AWAY, "lifetime" if wheel.now >= self._ends_at else "idle")

    def _expire_reader(self) -> None:
        """A client that reads slowly may go on; one that has stopped reading may not (as for any answer)."""
        if 0 < self._down.transport.get_write_buffer_size() < self._unsent:
            self._watch_reader()
        else:
            self._down.abort()

    def _watch_reader(self) -> None:
        engine = self._engine
        self._unsent = self._down.transport.get_write_buffer_size()
        engine.wheel.watch(self._down, engine.wheel.now + ticks(engine.limits.write_idle))

    def client_eof(self) -> bool:
        """The client will send no more; keep the way back open only if it still has to get a goodbye for its own."""
        waits = self._from_client.closed and not self._from_upstream.closed
        if not waits:
            self._end("" if self._closing else "client_gone")
        return waits

    def client_lost(self) -> None:
        self._end(self._goodbye[1] if self._goodbye else "" if self._closing else "client_gone")

    def upstream_lost(self) -> None:
        self._end(self._goodbye[1] if self._goodbye else "" if self._closing else "reset")

    def _end(self, reason: str) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._engine.streams.discard(self)
        if not self._up.lost:
            self._up.transport.close()
        # `close` lets what has been written reach the client first, the other side's close frame for one.
        self._down.transport.close()
        if self._down.transport.get_write_buffer_size():
            self._watch_reader()
        self._exchange.tunnel_over(self._up, reason, self.bytes_in, self.bytes_out)

    # --- back-pressure ---

    def client_full(self) -> None:
        self._up.pause()
        self._unsent = self._down.transport.get_write_buffer_size()

    def client_ready(self) -> None:
        if not self._is_over:
            self._up.resume()
            if self._goodbye is None:
                self._touch()  # until now the deadline was a reader's

    def upstream_full(self) -> None:
        self._down.hold_body()

    def upstream_ready(self) -> None:
        self._down.release_body()
