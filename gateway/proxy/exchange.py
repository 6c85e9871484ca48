"""One request and its answer: from the permit to the log line.

The order of events, and where each may end the exchange:

 (1) start      pick a target, take an idle connection or ask for one          502, 503
 (2) send       head rebuilt from parsed pairs, body pieces as they come       504, 413, 400
 (3) first byte head of the answer read; from here on nothing can be refused   502, 504
 (4) relay      body pieces as they come, at the pace of the slower side       break the client's connection
 (5) end        upstream connection back to its pool, one record, next request

Back-pressure is two calls: a full side pauses the reading of the other. Nothing is held whole: at most what one read
brought, plus the transports' own buffers.
"""

from typing import TYPE_CHECKING

from gateway.errors import Refusal, refuse
from gateway.gate import Permit
from gateway.head import RequestHead
from gateway.proxy.answer import AnswerHead
from gateway.proxy.answers import BODILESS, CONTINUE, carrying, refusal_answer
from gateway.proxy.engine import Engine, Plan
from gateway.proxy.health import Outcome, outcome_of_break, outcome_of_refusal, outcome_of_status
from gateway.proxy.tunnel import Tunnel
from gateway.proxy.wheel import NEVER
from gateway.telemetry.record import Record
from gateway.tokens.cache import Verified
from gateway.websocket import without_protocols

if TYPE_CHECKING:
    from gateway.proxy.downstream import Downstream
    from gateway.proxy.pool import Target
    from gateway.proxy.upstream import Upstream

JOIN = 16 * 1024
"""Messages up to this many bytes are joined to one write; larger ones are handed over piece by piece."""
MAX_HELD = 64 * 1024
"""Body bytes held while a connection to the upstream is being made."""
MAX_TRIES = 3
"""Connections a request is written to when upstreams keep closing idle ones under it."""
IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"))
"""RFC 9110 section 9.2.2."""
_new = tuple.__new__
"""Makes a named tuple at a third of the price of calling its class."""
_EXTENSIONS = b"sec-websocket-extensions"
_WITH_BODY = frozenset((b"POST", b"PUT", b"PATCH"))
"""Methods that say so even when their body is empty (RFC 9110 section 8.6)."""


class Exchange:
    """One admitted request on its way to an upstream and back."""

    # Slots, and the parts of head and permit that are asked for again: a field of a named tuple, or a default in the
    # class, costs a general look-up each time, and an instance is made for every request.
    __slots__ = (
        "_answer_chunked",
        "_body_bytes",
        "_body_done",
        "_down",
        "_engine",
        "_first_byte_at",
        "_goes_on",
        "_held",
        "_held_size",
        "_out",
        "_request_id",
        "_retries",
        "_sent_at",
        "_size_out",
        "_started",
        "_total_at",
        "_tried",
        "answered",
        "close_after",
        "due",
        "fields",
        "head",
        "method",
        "peer",
        "permit",
        "plan",
        "refused_by",
        "status",
        "target",
        "up",
        "verified",
    )

    _out: list[bytes]
    """What has been gathered of the answer; from its head on."""
    due: float
    """Of an answer that goes on (see `Streams`)."""

    def __init__(self, engine: Engine, down: "Downstream", head: RequestHead, permit: Permit, plan: Plan) -> None:
        self._engine = engine
        self._down = down
        self.head = head
        self.permit = permit
        self.plan = plan
        self.method, _, _, self.fields, self.peer = head
        self.verified = permit.verified
        self.up: Upstream | None = None
        self.target: Target | None = None
        self.status = 0
        self.answered = False
        """The first byte of the answer has been sent: nothing can be refused any more."""
        self.refused_by: tuple[str, ...] = ()
        """Targets that could not be connected to."""
        self._held: tuple[bytes, ...] = ()
        self._held_size = 0
        self._body_bytes = 0
        self._size_out = 0
        self._answer_chunked = False
        self._first_byte_at = 0.0
        self._total_at = NEVER
        self._tried = 0
        self._retries = 0
        self._goes_on = False
        """The answer did not come whole and is entered in the streams of its session."""
        self._request_id = next(engine.request_ids)
        self._sent_at = self._started = engine.monotonic()
        plan.pool.retries.requests += 1  # here, since it is one request however often it is tried
        fields = self.fields
        self.close_after = fields.close
        """The client's connection ends with this answer."""
        self._body_done = not (fields.length or fields.chunked)

    # --- (1) start ---

    def start(self) -> None:
        plan, down, wheel = self.plan, self._down, self._engine.wheel
        if plan.is_plain and self._body_done:
            deadline = wheel.now + plan.first_byte
        else:
            if plan.total < NEVER and self._total_at == NEVER:
                self._total_at = wheel.now + plan.total
            deadline = self._next_deadline()
        down.deadline = deadline
        if deadline < down.bucket:
            wheel.watch(down, deadline)
        plan.pool.take(self)

    def _next_deadline(self) -> int:
        """Return the tick by which something must happen while no answer has begun."""
        plan, engine = self.plan, self._engine
        if not self._body_done:
            wait = engine.body_idle
        elif plan.per_try < plan.first_byte and self._retries < plan.retry.attempts and self._is_repeatable():
            wait = plan.per_try
        else:
            wait = plan.first_byte
        return min(self._total_at, engine.wheel.now + wait)

    def connected(self, up: "Upstream") -> None:
        """The pool's answer to `take`: a connection that is ours until it is given back."""
        self.up = up
        up.exchange = self
        self.target = up.target
        self._tried += 1
        head = self._request_head(up)
        if not self._held:
            up.write(head)
            return
        held, self._held, self._held_size = self._held, (), 0
        up.send([head, *held])
        if not self._body_done and up.writable:
            self._down.release_body()

    def connected_late(self, up: "Upstream") -> None:
        """As `connected`, after a wait that is not to count as the upstream's time."""
        self.waited()
        self.connected(up)

    def waited(self) -> None:
        """Begin the upstream's time anew: so far it was ours."""
        self._sent_at = self._engine.monotonic()
        self._engine.wheel.watch(self._down, self._next_deadline())

    def unreachable(self, refusal: Refusal) -> None:
        """The pool's answer to `take` when there is no connection to be had."""
        self.fail(refusal)

    def _request_head(self, up: "Upstream") -> bytes:
        plan, method, fields, target, verified = self.plan, self.method, self.fields, up.target, self.verified
        _, _, path, _, _, cookie, shake, _, _ = self.permit
        extra = b""
        if target.builtin:
            # The built-in application alone sees credentials; facts reach it beside the connection, not in headers.
            up.introduce(self._request_id.decode("ascii"), self.peer)
            if fields.authorization is not None:
                extra = b"Authorization: " + fields.authorization + b"\r\n"
            if fields.cookie is not None:
                extra += b"Cookie: " + fields.cookie + b"\r\n"
        else:
            if cookie:
                extra = b"Cookie: " + cookie + b"\r\n"
            if plan.forward_token and fields.authorization is not None:
                extra += b"Authorization: " + fields.authorization + b"\r\n"
        passed = fields.passed
        if shake is not None:
            extra += b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
            if shake.token is not None:
                passed = without_protocols(passed)
                if shake.protocols:
                    extra += b"Sec-WebSocket-Protocol: " + shake.protocols + b"\r\n"
        elif fields.upgrade is not None:
            passed = without_protocols(passed)  # no WebSocket is spoken here, but the offer may hold a token
        if fields.chunked:
            framing = b"\r\nTransfer-Encoding: chunked\r\n\r\n"
        elif fields.length or method in _WITH_BODY:
            framing = b"\r\nContent-Length: %d\r\n\r\n" % fields.length
        else:
            framing = b"\r\n\r\n"
        return b"".join(
            (
                method,
                b" ",
                target.prefix,
                path,
                b" HTTP/1.1\r\nHost: ",
                fields.host if plan.keep_host and fields.host else target.host,
                b"\r\n",
                passed,
                extra,
                b"" if verified is None else verified.head,
                self._down.forwarded_lines,
                b"X-Request-Id: ",
                self._request_id,
                framing,
            )
        )

    # --- (2) the request's body ---

    def invite_body(self) -> None:
        """The client waits for 100 before it sends its body (RFC 9110 section 10.1.1), and it is admitted."""
        self._down.write(CONTINUE)

    def body(self, pieces: list[bytes], *, last: bool) -> None:
        """Send on *pieces* of the request's body."""
        self._body_done = last
        if self.status and self.up is None:
            return  # the answer is complete; what still comes is not wanted
        size = 0
        for piece in pieces:
            size += len(piece)
        self._body_bytes += size
        limit = self.permit.rule.body_limit
        if self._body_bytes > (self.plan.body_limit if limit is None else limit):
            self.fail(refuse("body_too_large", "bytes"))
            return
        if self.fields.chunked:
            framed: list[bytes] = []
            for piece in pieces:
                if piece:
                    framed += (b"%x\r\n" % len(piece), piece, b"\r\n")
            if last:
                framed.append(b"0\r\n\r\n")
            pieces = framed
        if self.up is None:
            self._held += tuple(pieces)
            self._held_size += size
            if self._held_size > MAX_HELD:
                self._down.hold_body()
            return
        down = self._down
        if self.status == 0 and down.writable:
            self._engine.wheel.watch(down, self._next_deadline())
        else:
            self._touch()
        if pieces:
            self.up.send(pieces)

    def waits_for_body(self) -> bool:
        """The client is the one who is late."""
        return not self._body_done and self.up is not None and self.up.writable and not self.status

    def upstream_full(self) -> None:
        if not self._body_done:
            self._down.hold_body()

    def upstream_ready(self) -> None:
        if not self._body_done:
            self._down.release_body()

    # --- (3) the head of the answer ---

    def informational(self, head: AnswerHead) -> None:
        """Pass on 103 to those who can read it; 100 and 102 are between the upstream and us."""
        if head.status == 103 and self.head.minor:
            self._down.write(head.rendered + b"\r\n")

    @property
    def no_body(self) -> bool:
        """The answer has no body whatever its fields say (RFC 9110 section 9.3.2)."""
        return self.method == b"HEAD"

    def answer_whole(self, head: AnswerHead, body: bytes, up: "Upstream", *, reusable: bool) -> None:
        """Take an answer that came in one piece and whose end is known: the way nearly every answer goes."""
        engine = self._engine
        self._first_byte_at = engine.monotonic()
        self.status = head[0]
        if not self._body_done or engine.draining:
            self.close_after = True
        out = b"".join(
            (
                head[5],
                b"X-Request-Id: ",
                self._request_id,
                b"\r\nConnection: close\r\n\r\n" if self.close_after else b"\r\n\r\n",
                body,
            )
        )
        self._size_out = len(out)
        self.answered = True
        self._down.write(out)
        self._release(up, reusable)

    def answer(self, head: AnswerHead) -> None:
        """Take the answer's head; it leaves with the first of the body, in one write."""
        self._first_byte_at = self._engine.monotonic()
        status, length, _, _, _, rendered = head
        self.status = status
        framing = b""
        if length < 0 and status not in BODILESS:
            if self.head.minor:
                self._answer_chunked = True
                framing = b"Transfer-Encoding: chunked\r\n"
            else:
                self.close_after = True
        if not self._body_done or self._engine.draining:
            self.close_after = True
        ending = b"\r\nConnection: close\r\n\r\n" if self.close_after else b"\r\n\r\n"
        self._out = [b"".join((rendered, framing, b"X-Request-Id: ", self._request_id, ending))]

    def switch(self, head: AnswerHead, rest: bytes, up: "Upstream") -> bool:
        """Take a 101; False unless it is the right answer to a handshake that was asked for (safety.md D3, D5)."""
        shake = self.permit.handshake
        fields: dict[bytes, list[bytes]] = {}
        for line in head.rendered.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            fields.setdefault(name.lower(), []).append(value.strip())
        if shake is None or head.upgrade != b"websocket" or fields.get(b"sec-websocket-accept") != [shake.accept]:
            return False
        engine = self._engine
        verdict = engine.snapshot.gate.admit(self.head, waited=True, confirmed=True, counted=True)
        if isinstance(verdict, Refusal):
            self.fail(verdict)  # the session has ended since: nobody would close its tunnel any more
            return True
        self._first_byte_at = engine.monotonic()
        self.status = 101
        self.answered = True
        if up.target.health.suspect:
            self.plan.pool.judge(self, up.target, Outcome.SUCCESS)  # the tunnel may be open for hours
        answer = head.rendered + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
        if shake.token is not None and b"sec-websocket-protocol" not in fields:
            # A browser that offered subprotocols wants one chosen; the token itself is never said back.
            answer += b"Sec-WebSocket-Protocol: bearer\r\n"
        # An extension is agreed on when one side has offered it and the other has taken it (RFC 6455 section 9.1).
        offered = self.fields.field(_EXTENSIONS) or b""
        taken = b",".join(fields.get(_EXTENSIONS, []))
        rsv1 = b"permessage-deflate" in offered and b"permessage-deflate" in taken
        down = self._down
        down.write(answer + b"X-Request-Id: " + self._request_id + b"\r\n\r\n")
        tunnel = Tunnel(engine, self.plan, self, down, up, rsv1=rsv1)
        up.tunnel = tunnel
        up.exchange = None
        down.begin_tunnel(tunnel)
        if rest:
            tunnel.from_upstream(rest)
        if engine.draining:
            tunnel.go_away()
        return True

    def tunnel_over(self, up: "Upstream", reason: str, bytes_in: int, bytes_out: int) -> None:
        """The tunnel has ended: give the connection up and write the record."""
        self.up = None
        up.tunnel = None
        self._body_bytes, self._size_out = bytes_in, bytes_out
        self.plan.pool.give(up, reusable=False)
        self._finish(reason, gone=True)

    # --- (4) the body of the answer ---

    def answer_body(self, pieces: list[bytes]) -> None:
        out = self._out
        if self._answer_chunked:
            for piece in pieces:
                if piece:
                    out += (b"%x\r\n" % len(piece), piece, b"\r\n")
        else:
            out += pieces

    def flush(self) -> None:
        """Send what has been gathered from one read of the upstream."""
        out = self._out
        if not out:
            return
        self._out = []
        self.answered = True
        size = sum(map(len, out))
        self._size_out += size
        if size <= JOIN:
            self._down.write(b"".join(out))
        else:
            self._down.writelines(out)

    def goes_on(self) -> None:
        """The answer's end has not come with its beginning: from now on it ends with the session, if it has one."""
        self._touch()
        owner = self.verified
        if owner is None:
            return
        streams = self._engine.streams
        streams.add(self)
        self._goes_on = True
        if not streams.lives(owner):
            self.end_session()  # it has ended since the request came: nobody would end this answer any more

    @property
    def owner(self) -> Verified | None:
        """Whose request it is."""
        return self.verified

    def end_session(self) -> None:
        """Cut the answer: its owner's session is over. Nothing is injected, and no clean end either."""
        if self.up is not None and self.up.target.health.suspect:
            self.plan.pool.judge(self, self.up.target, Outcome.NOTHING)
        self._drop_upstream()
        self._finish("session ended", cut=True)

    def go_away(self) -> None:
        """The gateway stops: an answer has its time to come to an end."""

    def activity(self) -> None:
        self._touch()

    def _touch(self) -> None:
        down = self._down
        if down.writable:
            down.deadline = min(self._total_at, self._engine.wheel.now + self.plan.idle)
            if down.deadline < down.bucket:
                self._engine.wheel.watch(down, down.deadline)

    def client_full(self) -> None:
        if self.up is not None:
            self.up.pause()

    def client_ready(self) -> None:
        self._touch()
        if self.up is not None:
            self.up.resume()

    # --- (5) ends ---

    def complete(self, up: "Upstream", *, reusable: bool) -> None:
        """The answer is whole."""
        if self._answer_chunked and not self.no_body:
            self._out.append(b"0\r\n\r\n")
        self.flush()
        self._release(up, reusable)

    def _release(self, up: "Upstream", reusable: bool) -> None:
        self.up = None
        up.exchange = None
        target = up.target
        if target.health.suspect or self.status >= 500:
            self.plan.pool.judge(self, target, outcome_of_status(self.status))
        self.plan.pool.give(up, reusable=reusable and self._body_done)
        if up.link is not None:
            subject, code, reason = up.link.told()
            self._finish(reason, code=code, subject=subject)
        else:
            self._finish("")

    def broken(self, reason: str, *, stale: bool) -> None:
        """The upstream's connection ended before the answer did; *stale* when not a byte of an answer had come."""
        up, self.up = self.up, None
        if up is not None:
            up.exchange = None
            self.plan.pool.give(up, reusable=False)
            if self.status == 0 and stale and up.reused and self._is_repeatable() and self._tried < MAX_TRIES:
                # An idle connection that the upstream had just given up: nobody has seen the request.
                self.plan.pool.judge(self, up.target, Outcome.NOTHING)
                self.plan.pool.take(self, fresh=True)
                return
            self.plan.pool.judge(self, up.target, outcome_of_break(reason, begun=self.status != 0))
            if stale and self.status == 0 and self._is_repeatable() and self.may_ask_another("reset"):
                self._again(up)
                return
        if self.answered:
            self._finish(reason, cut=True)
            return
        self.fail(refuse("upstream_unreachable" if stale else "upstream_protocol", reason))

    def retry_instead(self, head: AnswerHead, up: "Upstream") -> bool:
        """Ask another target instead of taking an answer whose status the route wants retried."""
        if str(head.status) not in self.plan.retry.when or not self._is_repeatable():
            return False
        if not self.may_ask_another(str(head.status)):
            return False
        self.plan.pool.judge(self, up.target, outcome_of_status(head.status))
        self.up = None
        up.exchange = None
        self.plan.pool.give(up, reusable=False)
        self._again(up)
        return True

    def may_ask_another(self, cause: str) -> bool:
        """Whether *cause* allows one more try: by the route, by its number, and by the upstream's budget."""
        retry = self.plan.retry
        return (
            cause in retry.when
            and self._retries < retry.attempts
            and self.plan.pool.may_retry()
            and self._count_retry()
        )

    def _count_retry(self) -> bool:
        self._retries += 1
        return True

    def _again(self, up: "Upstream") -> None:
        self.refused_by += (up.target.name,)
        self.start()

    def _is_repeatable(self) -> bool:
        """Only what can be sent again whole, and means the same when sent twice (RFC 9110 section 9.2.2)."""
        fields = self.fields
        return self.method in IDEMPOTENT and not (fields.length or fields.chunked)

    def expire(self, now: int) -> None:
        """The exchange's own deadline: a try's, first byte, idle or total."""
        if now >= self._total_at:
            reason = "total"
        elif self.status:
            reason = "idle"
        elif self.up is None:
            self.plan.pool.late(self)
            return
        else:
            reason = "first_byte"
            up = self.up
            if self.plan.retry.per_try is not None and self._is_repeatable() and self.may_ask_another("reset"):
                self.plan.pool.judge(self, up.target, Outcome.FAILURE)
                self._drop_upstream()
                self._again(up)
                return
        self.fail(refuse("upstream_timeout", reason))

    def fail(self, refusal: Refusal) -> None:
        """End with *refusal*: an answer if none has begun, else a broken connection."""
        if self.up is not None:
            outcome = outcome_of_refusal(refusal, begun=self.status != 0)
            self.plan.pool.judge(self, self.up.target, outcome)
        self._drop_upstream()
        if self.answered:
            self._finish(refusal.reason, cut=True, code=refusal.code.name)
            return
        self._out = []
        self.status = refusal.status
        oauth = self.head.target.startswith(self._engine.snapshot.base_path + b"/")
        close = self.close_after or not self._body_done or self._engine.draining
        lines = self.permit.lines
        answer = refusal_answer(refusal, self._request_id, oauth=oauth, close=close, bodiless=self.no_body, lines=lines)
        self._size_out = len(answer)
        self.answered = True
        self._down.write(answer)
        self.close_after = close
        if refusal.why is not None:
            self._engine.denied(refusal, self.head, self._request_id)
        self._finish(refusal.reason, code=refusal.code.name)

    def client_gone(self) -> None:
        """The client left: 499 in the log, and no mark against the upstream."""
        if self.up is not None and self.up.target.health.suspect:
            self.plan.pool.judge(self, self.up.target, Outcome.NOTHING)
        self._drop_upstream()
        self.status = 499
        self._finish("client_gone", gone=True)

    def _drop_upstream(self) -> None:
        up, self.up = self.up, None
        if up is not None:
            up.exchange = None
            self.plan.pool.give(up, reusable=False)
        else:
            self.plan.pool.forget(self)

    def _finish(self, reason: str, *, code: str = "", subject: str = "", cut: bool = False, gone: bool = False) -> None:
        engine, plan = self._engine, self.plan
        if self._goes_on:
            engine.streams.discard(self)
        now = engine.monotonic()
        verified, target = self.verified, self.target
        engine.record(
            _new(
                Record,
                (
                    engine.wall(),
                    self._request_id,
                    self._body_bytes,
                    self._size_out,
                    now - self._started,
                    self._first_byte_at - self._sent_at if self._first_byte_at else 0.0,
                    self.peer[0],
                    self.method,
                    self.fields.host,
                    self.permit[3],
                    self.status,
                    plan.name,
                    plan.upstream,
                    "" if target is None else target.name,
                    verified.identity[0] if verified is not None else subject,
                    code,
                    reason,
                ),
            )
        )
        if cut:
            self._down.exchange = None
            self._down.abort()
        elif not gone:
            self._down.finished(close=self.close_after)


class CarryingExchange(Exchange):
    """An exchange whose answer carries lines of the gateway's own (`Permit.lines`), whatever the answer is."""

    __slots__ = ()

    def answer_whole(self, head: AnswerHead, body: bytes, up: "Upstream", *, reusable: bool) -> None:
        super().answer_whole(self._carrying(head), body, up, reusable=reusable)

    def answer(self, head: AnswerHead) -> None:
        super().answer(self._carrying(head))

    def _carrying(self, head: AnswerHead) -> AnswerHead:
        status, length, chunked, close, upgrade, rendered = head
        permit = self.permit
        carried = carrying(rendered, permit.lines, shares=permit.route.sharing is not None)
        return _new(AnswerHead, (status, length, chunked, close, upgrade, carried))


class CountedExchange(Exchange):
    """An exchange that is counted as long as it is under way (`Permit.counted`)."""

    __slots__ = ()

    def _finish(self, reason: str, *, code: str = "", subject: str = "", cut: bool = False, gone: bool = False) -> None:
        counted = self.permit.counted
        assert counted is not None
        counted.release()
        super()._finish(reason, code=code, subject=subject, cut=cut, gone=gone)


class CountedCarryingExchange(CountedExchange, CarryingExchange):
    """Both."""

    __slots__ = ()
