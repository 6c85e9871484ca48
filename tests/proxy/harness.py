"""One engine on a real loop with real sockets, between clients that send raw bytes and an origin that keeps them.

The tests are transcripts: these bytes in, these bytes at the origin, these bytes out. Nothing sleeps: deadlines pass
because the wheel is turned by hand, and where two sides must not race, the origin waits for a word from the test.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count
from typing import cast

from gateway.clock import SystemClock
from gateway.errors import Refusal, refuse
from gateway.gate import Gate, Pending
from gateway.proxy.balancer import RoundRobin
from gateway.proxy.connect import WRITE_HIGH
from gateway.proxy.downstream import Downstream
from gateway.proxy.engine import Engine, Limits, Snapshot, plans
from gateway.proxy.names import FieldKinds, HostForms
from gateway.proxy.pool import Pool, PoolLimits, Target
from gateway.proxy.upstream import Upstream
from gateway.proxy.wheel import TICK, Wheel
from gateway.routing.host import normal_host
from gateway.routing.route import DEFAULT_METHODS
from gateway.routing.table import Access, Retry, Route, RouteOptions, RouteTable, Rule, Timeouts, WebSocketOptions
from gateway.telemetry.record import Record
from gateway.tokens.cache import Verified
from gateway.tokens.secrets import Secrets
from gateway.tokens.verify import Identity, Invalid
from tests.proxy.strict import Answer, Request, head_is_whole, read_answer, read_request

PATIENCE = 20.0
"""Seconds until a test that waits for something is given up; never waited for when the test passes."""
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
OWN_ORIGIN = b"https://gw.test"
SECRETS = Secrets(bytes(range(7, 55)))
_RST = struct.pack("ii", 1, 0)


def identity(subject: str, *roles: str, session: str = "s-1", scopes: str = "", permissions: str = "") -> Identity:
    return Identity(
        subject=subject,
        session=session,
        token_id="jti-1",
        issuer="https://gw.test",
        client="gateway",
        audience=frozenset({"https://gw.test"}),
        roles=frozenset(roles),
        permissions=frozenset(permissions.split()),
        scopes=frozenset(scopes.split()),
        tenant=None,
        expires=2_000_000_000,
        not_before=0,
        issued_ms=0,
        auth_time=0,
        key="k-1",
        claims={},
    )


def verified(who: Identity) -> Verified:
    lines = (
        f"X-User-Id: {who.subject}\r\nX-User-Roles: {','.join(sorted(who.roles))}\r\nX-Session-Id: {who.session}\r\n"
    )
    return Verified(who, lines.encode(), 0, 2e9, 0)


class Tokens:
    """Tokens that are words; everything else is no token."""

    def __init__(self) -> None:
        self.known: dict[bytes, Verified | Invalid] = {
            b"good": verified(identity("alice", "user")),
            b"again": verified(identity("alice", "user")),
            b"elsewhere": verified(identity("alice", "user", session="s-2")),
            b"admin": verified(identity("root", "user", "admin", session="s-3")),
            b"nobody": verified(identity("norole", session="s-4")),
            b"expired": Invalid("token_expired", "expired"),
            b"revoked": Invalid("token_revoked", "revoked"),
        }
        self.asked: list[bytes] = []
        self.judged_at = 0.0

    def check(self, token: bytes, now: float) -> Verified | Invalid:
        self.asked.append(token)
        self.judged_at = now
        if token.startswith(b"forged"):
            return Invalid("token_invalid", "signature")
        return self.known.get(token, Invalid("token_invalid", "malformed"))

    def remembers(self, token: bytes) -> bool:
        return isinstance(self.known.get(token), Verified)


class Failures:
    """The budget of bad tokens: boundless, unless a test spends it."""

    def __init__(self) -> None:
        self.left = 1 << 60

    def is_spent(self, address: str, now: float) -> bool:
        return self.left <= 0

    def spend(self, address: str, now: float) -> None:
        self.left -= 1

    def retry_after(self, address: str, now: float) -> int:
        return 7


class Feed:
    """The revocation table: complete, unless a test says otherwise."""

    def __init__(self) -> None:
        self.cold = False
        self.fresh = True
        self.offset = 0.0
        self.warm = asyncio.Event()
        self._verdict: Refusal | None = None
        self._fault: Exception | None = None

    def refuses(self, code: str) -> None:
        """Let the store be against every token on a strict route."""
        self._verdict = refuse(code)
        self.warm.set()

    def breaks(self) -> None:
        """Let asking the store be a bug."""
        self._fault = RuntimeError("planted")
        self.warm.set()

    async def synced(self) -> None:
        await self.warm.wait()

    def doubt(self, identity: Identity) -> Refusal | Pending:
        return Pending(self._ask, confirms=True)

    async def _ask(self) -> Refusal | None:
        await self.warm.wait()
        if self._fault is not None:
            raise self._fault
        return self._verdict


USER, ADMIN = Rule(roles=frozenset({"user", "admin"})), Rule(roles=frozenset({"admin"}))
PUBLIC, OPTIONAL = Rule(access=Access.PUBLIC), Rule(access=Access.OPTIONAL)


def route(
    index: int,
    template: str,
    rule: Rule = PUBLIC,
    options: RouteOptions = RouteOptions(),  # noqa: B008 - frozen
    upstream: str = "app",
    host: str | None = None,
) -> Route:
    return Route(
        name=template.strip("/*") or "root",
        index=index,
        place=f"gateway.yaml:{10 + index}",
        host=host,
        template=template,
        upstream=upstream,
        rules=dict.fromkeys(DEFAULT_METHODS, rule),
        options=options,
    )


def usual_routes() -> list[Route]:
    return [
        route(0, "/public/**"),
        route(1, "/optional/**", OPTIONAL),
        route(2, "/api/**", USER),
        route(3, "/admin/**", ADMIN),
        route(4, "/slashes/**", PUBLIC, RouteOptions(allow_encoded_slash=True)),
        route(5, "/token/**", USER, RouteOptions(forward_token=True)),
        route(6, "/keep/**", PUBLIC, RouteOptions(host="keep")),
        route(7, "/small/**", PUBLIC, RouteOptions(body_limit=10)),
        route(8, "/stripped/**", PUBLIC, RouteOptions(strip_prefix="/stripped")),
        route(9, "/auth/**", PUBLIC, upstream="builtin"),
        route(10, "/second/**", PUBLIC, upstream="second"),
        route(11, "/only/**", PUBLIC, host="only.test"),
        route(12, "/big/**", PUBLIC, RouteOptions(body_limit=1 << 40)),
        route(13, "/short/**", PUBLIC, RouteOptions(body_limit=1 << 40, timeouts=Timeouts(5.0, 2.0, 4.0, 20.0))),
        route(14, "/once/**", PUBLIC, RouteOptions(body_limit=1 << 40, retry=Retry(0, frozenset()))),
        route(15, "/ws/**", USER, RouteOptions(websocket=WebSocketOptions())),
        route(16, "/strict/**", replace(USER, strict=True)),
        route(17, "/silent/**", USER, RouteOptions(silent_refresh=True)),
        route(18, "/silent-admin/**", ADMIN, RouteOptions(silent_refresh=True)),
        route(19, "/silent-optional/**", OPTIONAL, RouteOptions(silent_refresh=True)),
        route(20, "/silent-ws/**", USER, RouteOptions(silent_refresh=True, websocket=WebSocketOptions())),
    ]


class Step:
    """Something a connection of the origin does beside sending bytes."""

    def __init__(self, name: str) -> None:
        self.name = name


END = Step("end")
"""Close in good order."""
RESET = Step("reset")
"""Close with RST."""

Steps = tuple["bytes | Step | asyncio.Event", ...]


class Line(asyncio.Protocol):
    """One connection at the origin, with every byte that came."""

    def __init__(self, origin: "Origin") -> None:
        self.origin = origin
        self.received = b""
        self.requests: list[Request] = []
        self.fault: AssertionError | None = None
        self.ended = False
        """The gateway has closed or broken the connection."""
        self.clean = True
        self.tail = b""
        self.transport: asyncio.Transport = None  # type: ignore[assignment]
        self._task: asyncio.Task[None] | None = None
        self._early = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.origin.lines.append(self)
        if self.origin.deaf:
            self.transport.pause_reading()
        if self.origin.greeting:
            self.transport.write(self.origin.greeting)

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.tail += data
        self._read()

    def _read(self) -> None:
        origin = self.origin
        try:
            while self._task is None and self.tail:
                if origin.early and not self._early and head_is_whole(self.tail):
                    self._early = True
                    self._play(origin.early.pop(0))
                    return
                found = read_request(self.tail)
                if found is None:
                    return
                request, size = found
                self.tail = self.tail[size:]
                self.requests.append(request)
                origin.requests.append(request)
                if not self._early:
                    answer = origin.answer
                    if request.method == b"HEAD":
                        answer = answer[: answer.find(b"\r\n\r\n") + 4]
                    self._play(origin.script.pop(0) if origin.script else (answer,))
        except AssertionError as error:
            self.fault = error
            self.transport.abort()

    def _play(self, steps: Steps) -> None:
        if len(steps) == 1 and isinstance(steps[0], bytes):
            self.transport.write(steps[0])
            return
        self._task = asyncio.get_running_loop().create_task(self._perform(steps))

    async def _perform(self, steps: Steps) -> None:
        for step in steps:
            if isinstance(step, bytes):
                self.transport.write(step)
                await settle()
            elif isinstance(step, asyncio.Event):
                await step.wait()
            else:
                if step is END:
                    self.transport.close()
                else:
                    reset(self.transport)
                return
        self._task = None
        self._read()

    def eof_received(self) -> bool:
        self.ended = True
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        self.clean = exc is None
        if self._task is not None:
            self._task.cancel()


class Origin:
    """A server that writes down what it gets and says what it is told to say.

    `script` holds what follows each whole request, `early` what follows a head whose body has not been looked at; when
    both are used up, the answer is `answer`.
    """

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.requests: list[Request] = []
        self.script: list[Steps] = []
        self.early: list[Steps] = []
        self.answer = OK
        self.greeting = b""
        """Sent at once to whoever connects."""
        self.deaf = False
        """New connections are not read until `listen_up`."""
        self.receive_buffer: int | None = None
        """Bytes the kernel may hold for a connection that is not read; to be set before `open`."""
        self.port = 0
        self._server: asyncio.Server | None = None

    def says(self, *steps: "bytes | Step | asyncio.Event") -> None:
        """Let *steps* follow the next request."""
        self.script.append(steps)

    def interrupts(self, *steps: "bytes | Step | asyncio.Event") -> None:
        """Let *steps* follow the next head, before its body has come."""
        self.early.append(steps)

    @property
    def received(self) -> bytes:
        return b"".join(line.received for line in self.lines)

    @property
    def only(self) -> Request:
        assert len(self.requests) == 1, [request.raw for request in self.requests]
        return self.requests[0]

    async def open(self) -> None:
        sock = socket.socket()
        if self.receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", self.port))
        self.port = sock.getsockname()[1]
        self._server = await asyncio.get_running_loop().create_server(lambda: Line(self), sock=sock)

    def shut(self) -> None:
        """Refuse connections from now on."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def listen_up(self) -> None:
        self.deaf = False
        for line in self.lines:
            line.transport.resume_reading()

    def close(self) -> None:
        self.shut()
        for line in self.lines:
            line.transport.abort()


class Inside:
    """The built-in application's side channel."""

    def __init__(self) -> None:
        self.introduced: list[tuple[str, str, bool]] = []

    def introduce(self, request_id: str, address: str, secure: bool) -> None:
        self.introduced.append((request_id, address, secure))

    def told(self) -> tuple[str, str, str]:
        return "bob", "", ""

    def close(self) -> None:
        pass


class Client:
    """A client that sends exactly the bytes it is given, and reads what comes strictly."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._loop = asyncio.get_running_loop()
        self._ended = False
        self.unread = b""

    async def send(self, data: bytes) -> None:
        async with asyncio.timeout(PATIENCE):
            await self._loop.sock_sendall(self._socket, data)

    async def dribble(self, data: bytes) -> None:
        """Send *data* one byte at a time, each in a segment of its own."""
        for at in range(len(data)):
            await self.send(data[at : at + 1])
            await settle(3)

    async def read(self, size: int = 65536) -> bytes:
        """Return what has come, at least a byte unless the connection is closed; a broken one raises."""
        async with asyncio.timeout(PATIENCE):
            return await self._loop.sock_recv(self._socket, size)

    async def answer(self, method: bytes = b"GET") -> Answer:
        """Read exactly one answer to *method*; what follows it stays unread."""
        while True:
            found = read_answer(self.unread, method, ended=self._ended)
            if found is not None:
                answer, size = found
                self.unread = self.unread[size:]
                return answer
            assert not self._ended, f"closed after {self.unread!r}"
            data = await self.read()
            self._ended = not data
            self.unread += data

    async def until(self, mark: bytes) -> bytes:
        """Read up to and including *mark*."""
        while mark not in self.unread:
            data = await self.read()
            assert data, f"closed after {self.unread!r}"
            self.unread += data
        at = self.unread.find(mark) + len(mark)
        head, self.unread = self.unread[:at], self.unread[at:]
        return head

    async def rest(self) -> bytes:
        """Read until the gateway closes in good order; a reset raises."""
        while not self._ended:
            data = await self.read()
            self._ended = not data
            self.unread += data
        rest, self.unread = self.unread, b""
        return rest

    async def closed(self) -> None:
        """Wait for the gateway to close, in good order and without another byte."""
        rest = await self.rest()
        assert rest == b"", f"before closing came {rest!r}"

    async def ask(self, request: bytes) -> Answer:
        await self.send(request)
        return await self.answer(request[: request.find(b" ")])

    def shutdown(self) -> None:
        """Close the sending side only."""
        self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._socket.close()

    def reset(self) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
        self._socket.close()


class Counting(Downstream):
    """A client's connection that tells how much of what was sent has come in."""

    __slots__ = ("_house",)

    def __init__(self, house: "House") -> None:
        super().__init__(house.engine)
        self._house = house

    def data_received(self, data: bytes) -> None:
        self._house.taken += len(data)
        super().data_received(data)


class House:
    """The engine and everything around it."""

    def __init__(self, *, limits: Limits, routes: list[Route], pool: PoolLimits) -> None:
        self.clock = SystemClock()
        self.records: list[Record] = []
        self.faults: list[BaseException] = []
        self.tokens = Tokens()
        self.feed = Feed()
        self.failures = Failures()
        self.origin, self.second, self.inside = Origin(), Origin(), Origin()
        self.link = Inside()
        self.connecting = asyncio.Event()
        """Cleared, it holds every attempt to connect to an origin."""
        self.connecting.set()
        self.wheel = Wheel()
        self.table = RouteTable(routes)
        self.engine = Engine(
            limits=limits,
            wheel=self.wheel,
            record=self.records.append,
            wall=self.clock.wall,
            monotonic=self.clock.monotonic,
            hosts=HostForms(normal_host),
            fault=lambda _what, error: self.faults.append(error),
            request_ids=map(b"id-%d".__mod__, count()),
        )
        self.pools = {
            "app": self._pool("app", self.origin, pool),
            "second": self._pool("second", self.second, pool),
            "builtin": self._pool("builtin", self.inside, pool),
        }
        self.load()
        self.address = ("", 0)
        self.taken = 0
        """Bytes that have come in from clients."""
        self._clients: list[Client] = []
        self._server: asyncio.Server | None = None

    @classmethod
    def usual(cls) -> "House":
        """The house of most tests, still closed."""
        return cls(limits=Limits(), routes=usual_routes(), pool=PoolLimits())

    def _pool(self, name: str, origin: Origin, limits: PoolLimits) -> Pool:
        builtin = name == "builtin"

        async def connect(target: Target) -> Upstream:
            await self.connecting.wait()
            link = self.link if builtin else None
            transport, up = await asyncio.get_running_loop().create_connection(
                lambda: Upstream(self.engine, target, link), "127.0.0.1", origin.port
            )
            transport.set_write_buffer_limits(high=WRITE_HIGH)
            return up

        target = Target(name=name, host=b"%s.internal" % name.encode(), connect=connect, builtin=builtin)
        return Pool(self.engine, name, [target], RoundRobin(), limits)

    def load(
        self,
        *,
        table: RouteTable | None = None,
        identity: tuple[bytes, ...] = (b"X-User-Id",),
        settings: Mapping[str, object] | None = None,
        **more: object,
    ) -> None:
        """Put a new snapshot in force, as a start and a reload do; *settings* are the gate's."""
        self.table = table or self.table
        gate = Gate(
            routes=self.table,
            tokens=self.tokens,
            feed=self.feed,
            wall=self.clock.wall,
            secrets=SECRETS,
            own_origins=frozenset({OWN_ORIGIN}),
            failures=self.failures,
            **(settings or {}),  # type: ignore[arg-type]
        )
        names = (*identity, b"X-User-Roles", b"X-Session-Id")
        self.engine.snapshot = Snapshot(
            gate=gate,
            plans=plans(self.table.routes, self.pools),
            kinds=FieldKinds(names),
            base_path=b"/auth",
            **more,  # type: ignore[arg-type]
        )

    async def open(self) -> None:
        for origin in (self.origin, self.second, self.inside):
            await origin.open()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Counting(self), "127.0.0.1", 0)
        self.address = self._server.sockets[0].getsockname()

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for client in self._clients:
            client.close()
        for connection in list(self.engine.connections):
            connection.abort()
        for pool in self.pools.values():
            pool.close()
        for origin in (self.origin, self.second, self.inside):
            origin.close()
        await settle()

    async def client(self, *, receive_buffer: int | None = None) -> Client:
        sock = socket.socket()
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        client = Client(sock)
        self._clients.append(client)
        await asyncio.get_running_loop().sock_connect(sock, self.address)
        return client

    def forget(self, client: Client) -> None:
        """*client* has been closed."""
        self._clients.remove(client)

    async def ask(self, request: bytes) -> Answer:
        """Send *request* on a connection of its own and return the answer."""
        client = await self.client()
        return await client.ask(request)

    async def refusal(self, request: bytes, *, closes: bool | None = None) -> Answer:
        """Send *request*; it must be refused with 4xx, and the origin must not have seen a byte of it.

        *closes* says whether the connection must end with it.
        """
        client = await self.client()
        before = self.origin.received
        answer = await client.ask(request)
        assert 400 <= answer.status < 500, answer.raw
        assert answer.code, answer.raw
        if closes is not None:
            assert answer.closes == closes, answer.raw
        if closes:
            await client.closed()
        await settle()
        assert self.origin.received == before
        assert self.record.status == answer.status
        return answer

    @property
    def record(self) -> Record:
        """The last record."""
        return self.records[-1]

    @property
    def client_is_full(self) -> bool:
        """Whether the only client has more to read than it does read."""
        return bool(self.engine.connections) and not self.downstream.writable

    @property
    def client_is_held(self) -> bool:
        """Whether the only client is not read from."""
        return bool(self.engine.connections) and self.downstream._paused

    @property
    def upstream(self) -> Upstream:
        """The connection that the only request in work has to its origin."""
        exchange = self.downstream.exchange
        assert exchange is not None
        assert exchange.up is not None
        return exchange.up

    @property
    def downstream(self) -> Downstream:
        """The only client connection."""
        (connection,) = self.engine.connections
        return connection

    def turn(self, seconds: float) -> None:
        """Let *seconds* pass on the wheel, and a tick."""
        for _ in range(round(seconds / TICK) + 1):
            self.wheel.turn()


async def settle(rounds: int = 12) -> None:
    """Let the loop go round until what is on its way has arrived: within one process a hop takes one round."""
    for _ in range(rounds):
        await asyncio.sleep(0)


async def until(condition: Callable[[], object], what: str = "") -> None:
    """Wait for *condition*."""
    loop = asyncio.get_running_loop()
    end = loop.time() + PATIENCE
    rounds = 0
    while not condition():
        assert loop.time() < end, f"in vain: {what or condition}"
        rounds += 1
        await asyncio.sleep(0 if rounds < 200 else 0.002)


def reset(transport: asyncio.Transport) -> None:
    """Break *transport*'s connection with RST."""
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
    transport.abort()


@asynccontextmanager
async def house(
    *,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    routes: list[Route] | None = None,
    pool: PoolLimits = PoolLimits(),  # noqa: B008 - frozen
    origin_buffer: int | None = None,
) -> AsyncIterator[House]:
    """A house that is open; at its end nothing unexpected may have happened in it."""
    made = House(limits=limits, routes=usual_routes() if routes is None else routes, pool=pool)
    made.origin.receive_buffer = origin_buffer
    await made.open()
    try:
        yield made
    finally:
        await made.close()
    assert made.faults == []
    for line in (*made.origin.lines, *made.second.lines, *made.inside.lines):
        assert line.fault is None, f"the origin got {line.received!r}"


def get(
    path: str = "/public/x",
    headers: Mapping[str, str] | str = "",
    *,
    method: str = "GET",
    token: str | None = None,
    version: str = "1.1",
) -> bytes:
    """Return a plain request; *headers* are a mapping or whole lines, each ended by CRLF."""
    lines = headers if isinstance(headers, str) else "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    bearer = f"Authorization: Bearer {token}\r\n" if token is not None else ""
    return f"{method} {path} HTTP/{version}\r\nHost: gw.test\r\n{bearer}{lines}\r\n".encode("latin-1")


def post(
    path: str = "/public/x",
    body: bytes = b"hello",
    headers: str = "",
    *,
    method: str = "POST",
    token: str | None = None,
) -> bytes:
    """Return a request with a counted *body*."""
    return get(path, f"Content-Length: {len(body)}\r\n{headers}", method=method, token=token) + body


def chunked(
    *chunks: bytes, path: str = "/public/x", headers: str = "", end: bytes = b"0\r\n\r\n", token: str | None = None
) -> bytes:
    """Return a POST whose body comes in *chunks*."""
    head = get(path, f"Transfer-Encoding: chunked\r\n{headers}", method="POST", token=token)
    return head + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + end
