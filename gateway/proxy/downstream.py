"""A client's connection: heads are framed, parsed and handed to the gate; bodies flow to the exchange.

One request is in work at a time. Bytes behind it wait, unread, until its answer is out, so pipelined requests are
served strictly in order and a client cannot pile up work. The states, and what may happen in each:

    IDLE   between requests            the first byte starts a head deadline
    HEAD   part of a head has come     more of it, or 408
    BODY   a request body is arriving  pieces go to the exchange
    WAIT   the request is complete     bytes are held back; the answer is under way
    TUNNEL after 101                   bytes go to the tunnel
    LINGER our last word is said       bytes are discarded, shortly, so that the client can read it
"""

import asyncio
import contextlib
import re
import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import httptools

from gateway.errors import Refusal, refuse
from gateway.gate import Answered, Pending, Permit
from gateway.head import Fields, Peer, RequestHead
from gateway.proxy.answers import empty_answer, refusal_answer
from gateway.proxy.engine import Engine, Snapshot
from gateway.proxy.exchange import CarryingExchange, CountedCarryingExchange, CountedExchange, Exchange
from gateway.proxy.forwarded import forwarded, is_trusted
from gateway.proxy.framing import BodyFraming, Chunked, Counted, FramingError
from gateway.proxy.pairs import request_pairs
from gateway.proxy.request import read_fields
from gateway.proxy.wheel import NEVER, ticks
from gateway.telemetry.record import Record
from gateway.tokens.carriers import COOKIE_REPEATED

if TYPE_CHECKING:
    from gateway.proxy.tunnel import Tunnel

IDLE, HEAD, BODY, WAIT, TUNNEL, LINGER, CLOSED = range(7)

_START = re.compile(rb"[A-Z]")
_new = tuple.__new__
"""Makes a named tuple at a third of the price of calling its class."""
_AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER: closing sends RST and forgets what is unsent."""

MAX_HELD = 64 * 1024
"""Bytes of further requests held while one is in work, and of a body held while its upstream is being connected."""
LINGER_BYTES = 64 * 1024
LINGER_SECONDS = 2.0


class Downstream(asyncio.Protocol):
    """One client connection."""

    __slots__ = (
        "_body",
        "_buffer",
        "_client",
        "_discarded",
        "_ended",
        "_engine",
        "_pairs",
        "_parser",
        "_paused",
        "_plain_host",
        "_running",
        "_task",
        "_unsent",
        "address",
        "bucket",
        "deadline",
        "exchange",
        "forwarded_lines",
        "on_header",
        "peer",
        "secure",
        "state",
        "transport",
        "tunnel",
        "writable",
        "write",
    )

    def __init__(self, engine: Engine, *, secure: bool = False) -> None:
        self._engine = engine
        self.secure = secure
        self.state = IDLE
        self.transport: asyncio.Transport = None  # type: ignore[assignment]  # set in connection_made, before any use
        self.peer = Peer("", secure)
        self.exchange: Exchange | None = None
        self.tunnel: Tunnel | None = None
        self.writable = True
        self.deadline = NEVER
        self.bucket = NEVER
        # The parser puts fields straight into a dictionary, without a Python frame for each. A name that comes twice
        # would be lost there: so lines are counted, and a block with repeated names is read again (`request_pairs`).
        self._pairs: dict[bytes, bytes] = {}
        self.on_header = self._pairs.__setitem__
        self._parser: httptools.HttpRequestParser | None = None
        self._client = self.peer
        """Who the client is, as seen through trusted proxies."""
        self.forwarded_lines = b""
        """The forwarding fields for the request in work."""
        self._plain_host: bytes | None = None
        self._buffer = b""
        self._body: BodyFraming | None = None
        self._paused = False
        self._running = False
        self._ended = False
        self._discarded = 0
        self._unsent = 0
        self._task: asyncio.Task[None] | None = None
        self.address = ""

    # --- the transport's callbacks ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop does not derive from it
        self.transport = transport
        self.write = transport.write
        engine = self._engine
        name = transport.get_extra_info("peername")
        address = name[0] if isinstance(name, tuple) else ""
        self.peer = Peer(address, self.secure)
        self.address = address
        mine = engine.by_address.get(address, 0) + 1
        engine.by_address[address] = mine
        engine.connections.add(self)
        if len(engine.connections) > engine.limits.connections or self._is_one_too_many(mine):
            self._refuse(None, refuse("overloaded", "connections", retry_after=1), close=True)
            return
        engine.wheel.watch(self, engine.wheel.now + engine.keep_alive)

    def _is_one_too_many(self, mine: int) -> bool:
        """Whether the peer, with *mine* connections, has too many; a proxy we trust has those of all its clients."""
        cap = self._engine.limits.connections_per_address
        return cap is not None and mine > cap and not is_trusted(self.address, self._engine.snapshot.trusted_proxies)

    def data_received(self, data: bytes) -> None:
        try:
            state = self.state
            if state <= HEAD:
                if self._buffer:
                    data = self._buffer + data
                    self._buffer = b""
                end = data.find(b"\r\n\r\n") + 4
                if 3 < end == len(data) <= self._engine.limits.head and data[0] != 13:
                    self._request(data, end)  # one whole head and nothing else, as nearly always
                else:
                    self._take(data)
            elif state == BODY:
                self._take_body(data)
            elif state == WAIT:
                self._buffer += data
                if len(self._buffer) > MAX_HELD:
                    self._pause()
            elif state == TUNNEL:
                assert self.tunnel is not None
                self.tunnel.from_client(data)
            elif state == LINGER:
                self._discarded += len(data)
                if self._discarded > LINGER_BYTES:
                    self._pause()
        except Exception as error:  # a bug must end this connection, not the loop
            self._engine.fault("downstream", error)
            self.abort()

    def eof_received(self) -> bool:
        if self.state == TUNNEL and self.tunnel is not None:
            return self.tunnel.client_eof() and not self.secure
        if self.state == WAIT:
            # Some clients close their sending side once the requests are out; they still want the answers.
            self._ended = True
            if self.exchange is not None and not self._buffer:
                self.exchange.close_after = True
            return not self.secure
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        engine = self._engine
        self.state = CLOSED
        engine.connections.discard(self)
        left = engine.by_address.get(self.address, 1) - 1
        if left > 0:
            engine.by_address[self.address] = left
        else:
            engine.by_address.pop(self.address, None)
        engine.wheel.forget(self)
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self.tunnel is not None:
            self.tunnel.client_lost()
        if self.exchange is not None:
            self.exchange.client_gone()

    def pause_writing(self) -> None:
        self.writable = False
        self._watch_reader()
        if self.tunnel is not None:
            self.tunnel.client_full()
        elif self.exchange is not None:
            self.exchange.client_full()

    def resume_writing(self) -> None:
        self.writable = True
        if self.tunnel is not None:
            self.tunnel.client_ready()
        elif self.exchange is not None:
            self.exchange.client_ready()
        elif self.state == WAIT and self._task is None:
            self.finished(close=self._ended and not self._buffer)  # it was put off until the client had read

    def expire(self) -> None:
        """The deadline has passed: of a head, a body, an idle connection, an unread answer, or of the exchange."""
        try:
            self._expire()
        except Exception as error:  # as in data_received; the wheel has others to look after
            self._engine.fault("downstream", error)
            self.abort()

    def _expire(self) -> None:
        if self.state == TUNNEL and self.tunnel is not None:
            self.tunnel.expire()
        elif not self.writable or self.state == LINGER:
            self._expire_reader()
        elif self.state == IDLE:
            self._rest()
        elif self.state == HEAD:
            self._refuse(None, refuse("request_timeout", "head"), close=True)
        elif self.exchange is None:
            self.abort()
        elif self.state == BODY and self.exchange.waits_for_body():
            self.exchange.fail(refuse("request_timeout", "body"))
        else:
            self.exchange.expire(self._engine.wheel.now)

    def _rest(self) -> None:
        """Idle for a while: give memory back first, close when the keep-alive time is over."""
        if self._parser is None:
            self._close()
            return
        engine = self._engine
        self._parser = None
        self._pairs.clear()
        left = engine.keep_alive - engine.rest
        if left <= 0:
            self._close()
        else:
            engine.wheel.watch(self, engine.wheel.now + left)

    def _watch_reader(self) -> None:
        """Give the client some time to read of what is ready for it."""
        self._unsent = self.transport.get_write_buffer_size()
        self._engine.wheel.watch(self, self._engine.wheel.now + ticks(self._engine.limits.write_idle))

    def _expire_reader(self) -> None:
        """A client that reads slowly may go on; one that has stopped reading, or has it all, may not."""
        unsent = self.transport.get_write_buffer_size()
        if 0 < unsent < self._unsent:
            self._watch_reader()
        elif unsent:
            self.abort()
        else:
            self.state = CLOSED
            self.transport.abort()

    # --- heads ---

    def _take(self, data: bytes) -> None:
        """Take as many requests from *data* as can be answered at once; keep the rest."""
        self._running = True
        try:
            while data and self.state <= HEAD:
                self._buffer = b""
                if data[0] == 13:
                    data = self._behind_empty_line(data)
                    continue
                end = data.find(b"\r\n\r\n") + 4
                if end < 4 or end > self._engine.limits.head:
                    self._partial(data)
                    return
                self._request(data, end)
                data = self._buffer if self.state <= HEAD else b""
        finally:
            self._running = False

    def _behind_empty_line(self, data: bytes) -> bytes:
        """Return what follows an empty line before a request, which is forgiven once (RFC 9112 section 2.2)."""
        if data == b"\r":
            self._buffer = data
            return b""
        if data[1] != 10 or data[2:3] == b"\r":
            self._refuse(None, refuse("bad_request", "request_line"), close=True)
            return b""
        return data[2:]

    def _partial(self, data: bytes) -> None:
        limits = self._engine.limits
        if _START.match(data) is None or data.count(b"\n") != data.count(b"\r\n") or b"\x00" in data:
            self._refuse(None, refuse("bad_request", "request_line"), close=True)
        elif len(data) >= limits.url + 32 and b"\n" not in data[: limits.url + 32]:
            self._refuse(None, refuse("url_too_long"), close=True)
        elif len(data) >= limits.head:
            self._refuse(None, refuse("head_too_large", "bytes"), close=True)
        else:
            if self.state == IDLE:
                wheel = self._engine.wheel
                wheel.watch(self, wheel.now + ticks(limits.head_timeout))
                self.state = HEAD
            self._buffer = data

    def _request(self, data: bytes, end: int) -> None:
        """Read the head data[:end], ask the gate, and set what follows in motion."""
        engine = self._engine
        snapshot = engine.snapshot
        whole = len(data) == end
        eol = data.find(b"\r\n")
        line = engine.request_lines[data[:eol]]
        if line is None:
            self._refuse(None, refuse("bad_request", "request_line"), close=True)
            return
        method, target, minor = line
        block = data[eol:end]
        fields = snapshot.blocks.young.get(block)
        if fields is None or not minor:
            read = self._read(data if whole else data[:end], block, minor, snapshot)
            if isinstance(read, Refusal):
                self._refuse(None, read, close=True)
                return
            fields = read
        if fields.host != self._plain_host or fields.relayed:
            self._client, self.forwarded_lines = forwarded(fields, self.peer, snapshot.trusted_proxies)
            # A trusted proxy may speak for another client with every request.
            self._plain_host = None if fields.relayed else fields.host
        head: RequestHead = _new(RequestHead, (method, target, minor, fields, self._client))
        if len(target) > engine.limits.url:
            self._refuse(head, refuse("url_too_long"), close=True)
            return
        if fields.length or fields.chunked:
            if fields.upgrade is not None:
                # Bytes behind such a head are a body to one reader and a tunnel to another (safety.md D1).
                self._refuse(None, refuse("bad_request", "upgrade_with_body"), close=True)
                return
            self._body = Chunked() if fields.chunked else Counted(fields.length)
            self.state = BODY
        else:
            self._body = None
            self.state = WAIT
        self._buffer = b"" if whole else data[end:]
        self._decide(head, snapshot, waited=False)

    def _read(self, data: bytes, block: bytes, minor: int, snapshot: Snapshot) -> Fields | Refusal:
        """Return the fields of the head *data*, which are *block*; remember them if they may come again."""
        engine, blocks = self._engine, snapshot.blocks
        if minor and (known := blocks.aged(block)) is not None:
            return known
        pairs = self._pairs
        pairs.clear()
        parser = self._parser
        if parser is None:
            parser = self._parser = httptools.HttpRequestParser(self)
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._parser = None
        except httptools.HttpParserError:
            return refuse("bad_request", "syntax")
        count = block.count(b"\r\n") - 2
        if count > engine.limits.headers:
            return refuse("head_too_large", "count")
        fields = read_fields(
            pairs.items() if len(pairs) == count else request_pairs(data), minor, snapshot.kinds, engine.hosts
        )
        if isinstance(fields, Refusal):
            return fields
        if fields.length or fields.chunked:
            # The parser now waits for a body that it will not get, since bodies are framed here: the next is new.
            self._parser = None
        if minor and fields.upgrade is None and not fields.expect_continue:
            blocks.keep(block, fields)
        return fields

    def _decide(self, head: RequestHead, snapshot: Snapshot, *, waited: bool, confirmed: bool = False) -> None:
        try:
            verdict = snapshot.gate.admit(head, waited=waited, confirmed=confirmed)
        except Exception as error:  # whatever broke in a decision, the decision is no (identity.md 4, 171)
            self._engine.fault("gate", error)
            verdict = refuse("internal_error", "gate")
        if type(verdict) is Permit:
            route, rule, _, _, _, _, _, lines, counted = verdict
            plan = snapshot.plans[route]
            if self.state == BODY:
                limit = plan.body_limit if rule.body_limit is None else rule.body_limit
                if head.fields.length > limit:
                    if counted is not None:
                        counted.release()
                    self._refuse(head, refuse("body_too_large", "length")._replace(route=plan.name))
                    return
            if counted is None:
                made = CarryingExchange if lines else Exchange
            else:
                made = CountedCarryingExchange if lines else CountedExchange
            self.exchange = exchange = made(self._engine, self, head, verdict, plan)
            if self.state == BODY and not self._begin_body(exchange, head):
                return
            exchange.start()
        elif isinstance(verdict, Refusal):
            # A byte that no target has (a line feed, say) may mean that somebody else saw the head end there.
            # Behind a CONNECT one reader sees a tunnel where another sees the next request.
            self._refuse(head, verdict, close=verdict.reason == "target_byte" or head.method == b"CONNECT")
        elif isinstance(verdict, Pending):
            wheel = self._engine.wheel
            wheel.watch(self, wheel.now + ticks(self._engine.limits.head_timeout))
            self._task = asyncio.get_running_loop().create_task(self._wait(verdict, head, snapshot))
        else:
            assert isinstance(verdict, Answered)
            self._answer_empty(head, verdict)

    async def _wait(self, pending: Pending, head: RequestHead, snapshot: Snapshot) -> None:
        refusal: Refusal | None = None
        try:
            told = await pending.wait()
            if isinstance(told, Refusal):
                refusal = told
            elif told is not None:
                head = told
        except Exception as error:
            self._engine.fault("pending", error)
            refusal = refuse("internal_error", "pending") if pending.confirms else None
        self._task = None
        if self.state in (BODY, WAIT):
            try:
                if refusal is not None:
                    self._refuse(head, refusal._replace(route=pending.route))
                else:
                    self._decide(head, snapshot, waited=True, confirmed=pending.confirms)
                self._go_on()
            except Exception as error:  # as in data_received
                self._engine.fault("downstream", error)
                self.abort()

    def _begin_body(self, exchange: Exchange, head: RequestHead) -> bool:
        """Hand over what has come of the body, to leave in one write with the head; False if that was the end of it."""
        self._resume()  # the verdict may have taken so long that too much was held
        held, self._buffer = self._buffer, b""
        if held:
            self._take_body(held)
        elif head.fields.expect_continue:
            exchange.invite_body()
        return self.exchange is exchange

    # --- bodies ---

    def _take_body(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None:  # still waiting for the verdict
            self._buffer += data
            if len(self._buffer) > MAX_HELD:
                self._pause()
            return
        assert self._body is not None
        try:
            pieces, rest = self._body.feed(data)
        except FramingError:
            exchange.fail(refuse("bad_request", "body_framing"))
            return
        if rest is None:
            if pieces:
                exchange.body(pieces, last=False)
            return
        self._body = None
        self._buffer = rest
        self.state = WAIT
        exchange.body(pieces, last=True)

    # --- what the exchange asks of us ---

    write: Callable[[bytes], None]

    def writelines(self, pieces: list[bytes]) -> None:
        self.transport.writelines(pieces)

    def hold_body(self) -> None:
        """Stop reading: the upstream cannot take more."""
        self._pause()

    def release_body(self) -> None:
        self._resume()

    def begin_tunnel(self, tunnel: "Tunnel") -> None:
        """From now on bytes belong to *tunnel*; the first may have come already, behind the handshake."""
        self.exchange = None
        self.tunnel = tunnel
        self.state = TUNNEL
        held, self._buffer = self._buffer, b""
        self._resume()
        if held:
            tunnel.from_client(held)

    def finished(self, *, close: bool) -> None:
        """The exchange is over and its answer is out; *close* when the connection cannot go on."""
        self.exchange = None
        state = self.state
        if state == CLOSED:
            return
        if state in (BODY, LINGER):
            # The answer came before the body was read: let the client read it, then go (RFC 9112 section 9.6).
            self.linger()
            return
        if close or self._engine.draining:
            self._close()
            return
        if not self.writable:
            # The client has yet to read this answer; until then it gets no other, or they would pile up here.
            self.state = WAIT
            return
        self.state = IDLE
        engine = self._engine
        self.deadline = deadline = engine.wheel.now + (engine.keep_alive if self._parser is None else engine.rest)
        if deadline < self.bucket:
            engine.wheel.watch(self, deadline)
        if self._paused:
            self._resume()
        if self._buffer and not self._running:
            self._go_on()

    def abort(self) -> None:
        """Break the connection: no clean end, so that a cut answer cannot pass for a whole one."""
        self.state = CLOSED
        # An answer to HTTP/1.0 may have no other end than the connection's, so that end must not look like one.
        with contextlib.suppress(OSError, ValueError):  # it may be closed already
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self.transport.abort()

    def linger(self) -> None:
        """Say no more, and read on for a moment: closing with unread bytes would destroy our answer on its way."""
        self.state = LINGER
        self._buffer = b""
        self._watch_reader()
        if not self._unsent:
            wheel = self._engine.wheel
            wheel.watch(self, wheel.now + ticks(LINGER_SECONDS))
        self._resume()
        if not self.secure and self.transport.can_write_eof():
            self.transport.write_eof()

    def _close(self) -> None:
        self.state = LINGER
        self._watch_reader()
        self.transport.close()

    # --- our own answers ---

    def _refuse(self, head: RequestHead | None, refusal: Refusal, *, close: bool = False) -> None:
        """Answer with *refusal*; *close* when the framing of what follows is in doubt."""
        engine = self._engine
        request_id = next(engine.request_ids)
        base = engine.snapshot.base_path
        oauth = head is not None and (head.target.startswith(base + b"/") or head.target == base)
        unread = self.state == BODY and not self._skip_body()
        in_doubt = close
        close = close or unread or (head is not None and head.fields.close) or engine.draining
        bodiless = head is not None and head.method == b"HEAD"
        lines = b"" if head is None else engine.snapshot.gate.lines(head)
        if refusal.reason == COOKIE_REPEATED:
            lines += engine.snapshot.clearing  # else nobody could get rid of them (identity.md 4, 62)
        answer = refusal_answer(refusal, request_id, oauth=oauth, close=close, bodiless=bodiless, lines=lines)
        self.transport.write(answer)
        self._record(head, refusal.status, len(answer), request_id, refusal)
        if refusal.why is not None and head is not None:
            engine.denied(refusal, head, request_id)
        if unread or in_doubt:
            self.linger()
        else:
            self.finished(close=close)

    def _skip_body(self) -> bool:
        """Pass over the body of a refused request if it has come whole: then the connection can go on."""
        assert self._body is not None
        try:
            _, rest = self._body.feed(self._buffer)
        except FramingError:
            return False
        if rest is None:
            return False
        self._buffer = rest
        self.state = WAIT
        return True

    def _answer_empty(self, head: RequestHead, answered: Answered) -> None:
        request_id = next(self._engine.request_ids)
        unread = self.state == BODY and not self._skip_body()
        close = head.fields.close or unread or self._engine.draining
        lines = answered.lines or self._engine.snapshot.gate.lines(head)
        if answered.location:
            lines += b"Location: " + answered.location + b"\r\nCache-Control: no-store\r\nContent-Length: 0\r\n"
        answer = empty_answer(answered.status, request_id, close=close, lines=lines)
        self.transport.write(answer)
        self._record(head, answered.status, len(answer), request_id, answered.refusal, answered.route)
        self.finished(close=close)

    def _record(
        self,
        head: RequestHead | None,
        status: int,
        size: int,
        request_id: bytes,
        refusal: Refusal | None,
        route: str = "",
    ) -> None:
        self._engine.record(
            Record(
                self._engine.wall(),
                request_id,
                0,
                size,
                0.0,
                0.0,
                self.peer.address if head is None else head.peer.address,
                b"-" if head is None else head.method,
                b"" if head is None else head.fields.host,
                b"-" if head is None else head.target.partition(b"?")[0],
                status,
                route if refusal is None else refusal.route,
                "",
                "",
                "" if refusal is None else refusal.subject,
                "" if refusal is None else refusal.code.name,
                "" if refusal is None else refusal.reason,
            )
        )

    # --- reading ---

    def _go_on(self) -> None:
        """Take what has been held back; a client that has closed its side is done when nothing is left of that."""
        if self._buffer and self.state <= HEAD:
            self._take(self._buffer)
        if self._ended:
            if self.state <= BODY:
                self._close()  # the rest of this request will never come
            elif self.exchange is not None and not self._buffer:
                self.exchange.close_after = True

    def _pause(self) -> None:
        if not self._paused and not self.transport.is_closing():
            self._paused = True
            self.transport.pause_reading()

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            if not self.transport.is_closing():
                self.transport.resume_reading()
