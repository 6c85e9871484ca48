"""A connection to one target of an upstream: requests out, one answer at a time back.

Answers are read as strictly as requests: one framing, counted to the byte. What follows an answer without being asked
for, or comes while nothing is asked, ends the connection, so that no client ever gets bytes meant for another.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import httptools

from gateway.head import Peer
from gateway.proxy.answer import AnswerHead, read_answer
from gateway.proxy.answers import BODILESS
from gateway.proxy.engine import Engine
from gateway.proxy.framing import BodyFraming, Chunked, Counted, FramingError, UntilClose
from gateway.proxy.pairs import answer_pairs

if TYPE_CHECKING:
    from gateway.proxy.exchange import Exchange
    from gateway.proxy.pool import Link, Target
    from gateway.proxy.tunnel import Tunnel

MAX_HEAD = 64 * 1024
MAX_HEADERS = 200
MAX_INFORMATIONAL = 8
"""1xx answers before the real one; an upstream that sends more is not well (safety.md G6)."""
JOIN = 16 * 1024
REMEMBERED = 256
"""Heads of answers kept by the byte: a service answers many requests of one second with the very same head."""
MAX_REMEMBERED = 1024


class Upstream(asyncio.Protocol):
    """One connection to a target. `exchange` is whose request is on it; None while it lies in the pool."""

    __slots__ = (
        "_body",
        "_buffer",
        "_complete",
        "_engine",
        "_informational",
        "_pairs",
        "_parser",
        "_paused",
        "_seen",
        "exchange",
        "idle_until",
        "link",
        "lost",
        "on_header",
        "reused",
        "target",
        "transport",
        "tunnel",
        "writable",
        "write",
    )

    write: Callable[[bytes], None]

    def __init__(self, engine: Engine, target: "Target", link: "Link | None" = None) -> None:
        self._engine = engine
        self.target = target
        self.link = link
        self.exchange: Exchange | None = None
        self.tunnel: Tunnel | None = None
        self.transport: asyncio.Transport = None  # type: ignore[assignment]  # set in connection_made, before any use
        self.reused = False
        self.lost = False
        self.writable = True
        self.idle_until = 0
        # As in Downstream: fields go straight into a dictionary, and repeated names are noticed by counting lines.
        self._pairs: dict[bytes, bytes] = {}
        self.on_header = self._pairs.__setitem__
        self._parser = httptools.HttpResponseParser(self)
        self._buffer = b""
        self._body: BodyFraming | None = None
        self._paused = False
        self._informational = 0
        self._seen = False

    # --- the transport's callbacks ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop does not derive from it
        self.transport = transport
        self.write = transport.write

    def data_received(self, data: bytes) -> None:
        if self.tunnel is not None:
            self.tunnel.from_upstream(data)
            return
        exchange = self.exchange
        if exchange is None:
            # Nobody asked: a late or forged answer for whoever comes next (safety.md G3).
            self.discard()
            return
        try:
            self._seen = True
            if self._body is None:
                if self._buffer:
                    data = self._buffer + data
                    self._buffer = b""
                # A known head and its whole body in one segment, as nearly always. What the built-in application may
                # say, nobody else may: its heads are neither kept among the others' nor found there.
                end = data.find(b"\r\n\r\n") + 4
                head = None if self.target.builtin else self._engine.answers.get(data[:end])
                if (
                    head is not None
                    and 200 <= head[0] < 300
                    and head[1] == len(data) - end
                    and head[0] != 204
                    and exchange.method != b"HEAD"
                ):
                    exchange.answer_whole(head, data[end:], self, reusable=not (head[3] or self.lost))
                else:
                    self._take_heads(exchange, data)
            else:
                self._take_body(exchange, self._body, data)
                if self.exchange is exchange:
                    exchange.activity()
        except Exception as error:  # a bug must end this exchange, not the loop
            self._engine.fault("upstream", error)
            exchange.broken("fault", stale=False)

    def eof_received(self) -> bool:
        if self.exchange is None:
            self.lost = True  # not to be taken from the pool in the moment before it is closed
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if self.link is not None:
            self.link.close()
        if self.tunnel is not None:
            self.tunnel.upstream_lost()
            return
        exchange = self.exchange
        if exchange is None:
            self.target.gone(self)
            return
        if isinstance(self._body, UntilClose) and exc is None:
            self._end(exchange, reusable=False)
        else:
            exchange.broken("reset" if self._seen else "closed", stale=not self._seen)

    def pause_writing(self) -> None:
        self.writable = False
        if self.tunnel is not None:
            self.tunnel.upstream_full()
        elif self.exchange is not None:
            self.exchange.upstream_full()

    def resume_writing(self) -> None:
        self.writable = True
        if self.tunnel is not None:
            self.tunnel.upstream_ready()
        elif self.exchange is not None:
            self.exchange.upstream_ready()

    # --- what the exchange asks of us ---

    def send(self, pieces: list[bytes]) -> None:
        if len(pieces) == 1:
            self.transport.write(pieces[0])
        elif sum(map(len, pieces)) <= JOIN:
            self.transport.write(b"".join(pieces))
        else:
            self.transport.writelines(pieces)

    def pause(self) -> None:
        if not self._paused and not self.lost:
            self._paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            if not self.lost:
                self.transport.resume_reading()

    def introduce(self, request_id: str, peer: Peer) -> None:
        """Tell the built-in application about the request it is going to get (ARCHITECTURE 7)."""
        assert self.link is not None
        self.link.introduce(request_id, peer.address, peer.secure)

    def discard(self) -> None:
        """Close for good; from now on the pool passes it over."""
        if not self.lost:
            self.lost = True
            self.transport.abort()

    def rest(self) -> None:
        """Become ready for the next request."""
        self.reused = True
        self._seen = False
        self._informational = 0
        if self._paused:
            self.resume()

    # --- reading answers ---

    def _take_heads(self, exchange: "Exchange", data: bytes) -> None:
        engine = self._engine
        while True:
            end = data.find(b"\r\n\r\n") + 4
            if end < 4 or end > MAX_HEAD:
                self._buffer = data
                if len(data) > MAX_HEAD or b"\n\n" in data:
                    self._protocol_error(exchange, "head")
                return
            block = data[:end]
            head = None if self.target.builtin else engine.answers.get(block)
            if head is None:
                head = self._read(block)
                if head is None:
                    self._protocol_error(exchange, "head")
                    return
            status = head[0]
            if status >= 200:
                break
            if status == 101:
                if not exchange.switch(head, data[end:], self):
                    self._protocol_error(exchange, "unasked_101")
                return
            self._informational += 1
            if self._informational > MAX_INFORMATIONAL:
                self._protocol_error(exchange, "informational")
                return
            exchange.informational(head)
            data = data[end:]
            if not data:
                return
        self._answer(exchange, head, data[end:])

    def _read(self, block: bytes) -> AnswerHead | None:
        """Parse and read the head *block*; None when it is not one. Short ones are remembered."""
        engine = self._engine
        line = engine.status_lines[block[: block.find(b"\r\n")]]
        count = block.count(b"\r\n") - 2
        if line is None or count > MAX_HEADERS:
            return None
        pairs = self._pairs
        pairs.clear()
        try:
            self._parser.feed_data(block)
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserError:
            return None
        trusted = self.target.builtin
        head = read_answer(
            line, pairs.items() if len(pairs) == count else answer_pairs(block), engine.answer_kinds, trusted=trusted
        )
        if head is None:
            return None
        if head.status < 200 or head.length != 0:
            # The parser waits for a body now, or for a tunnel; bodies are framed here, so a new one starts clean.
            self._parser = httptools.HttpResponseParser(self)
        if len(block) <= MAX_REMEMBERED and not trusted:
            answers = engine.answers
            if len(answers) >= REMEMBERED:
                answers.clear()
            answers[block] = head
        return head

    def _answer(self, exchange: "Exchange", head: AnswerHead, rest: bytes) -> None:
        status, length, chunked, close, _, _ = head
        if status >= 400 and exchange.plan.retry.when and exchange.retry_instead(head, self):
            return
        if length == len(rest) and exchange.method != b"HEAD" and status not in BODILESS:
            exchange.answer_whole(head, rest, self, reusable=not (close or self.lost))
            return
        exchange.answer(head)
        if exchange.no_body or status in BODILESS:
            self._end(exchange, reusable=not close and not rest)
            return
        self._body = body = Counted(length) if length >= 0 else Chunked() if chunked else UntilClose()
        self._complete = not close
        if rest:
            self._take_body(exchange, body, rest)
        else:
            exchange.flush()
        if self.exchange is exchange:
            exchange.goes_on()

    def _take_body(self, exchange: "Exchange", body: BodyFraming, data: bytes) -> None:
        try:
            pieces, rest = body.feed(data)
        except FramingError:
            self._protocol_error(exchange, "body")
            return
        exchange.answer_body(pieces)
        if rest is None:
            exchange.flush()
        else:
            self._end(exchange, reusable=self._complete and not rest)

    def _end(self, exchange: "Exchange", *, reusable: bool) -> None:
        self._body = None
        exchange.complete(self, reusable=reusable and not self.lost)

    def _protocol_error(self, exchange: "Exchange", reason: str) -> None:
        exchange.broken(reason, stale=False)
