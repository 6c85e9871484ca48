"""What one request costs in the gateway's own code, sockets left out, and what each feature adds. Prints Markdown.

    python -m tests.bench.exchange_cost

It fails when a rate limit by address, by claim or of a route costs more than a microsecond, and more than an eighth of
the whole: a machine that is slow at the moment is slow at both.

Real objects, from a client connection's `data_received` to its answer's `write`; only the two transports are stand-ins
that take bytes and do nothing. One thread's processor time; the best of many rounds, because everything else on the
machine only adds.
"""

import asyncio
import gc
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import cycle, repeat
from typing import cast

from gateway.clock import SystemClock
from gateway.errors import Refusal
from gateway.gate import Answered, Gate, Pending, Permit
from gateway.head import RequestHead
from gateway.limits.counter import Counter, Owner
from gateway.limits.limit import Allowance, By, Kind, Limit, Rate
from gateway.limits.routes import RouteLimits
from gateway.limits.shared import SharedBuckets
from gateway.proxy.balancer import RoundRobin
from gateway.proxy.downstream import Downstream
from gateway.proxy.engine import Engine, Limits, Snapshot, plans
from gateway.proxy.names import FieldKinds, HostForms
from gateway.proxy.pool import Pool, PoolLimits, Target
from gateway.proxy.upstream import Upstream
from gateway.proxy.wheel import Wheel
from gateway.routing.cors import Cors
from gateway.routing.host import normal_host
from gateway.routing.route import DEFAULT_METHODS
from gateway.routing.table import Access, Route, RouteOptions, RouteTable, Rule
from gateway.sessions.revocations import Revocations
from gateway.telemetry.access_log import JsonLines
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.record import Record
from gateway.telemetry.recorder import Recorder, Sink
from gateway.tokens.cache import Verified, VerifiedTokens
from gateway.tokens.headers import renderer
from gateway.tokens.secrets import Secrets
from gateway.tokens.subject import Subject
from gateway.tokens.verify import Identity, Invalid
from tests.tokens.forge import NOW, issued, ring_for, verifier

ROUNDS = 60
LEAST = 0.02
"""Seconds one round of one configuration lasts at least."""
TOKENS = 32

_HEADERS = {"X-User-Id": "sub", "X-User-Roles": "roles", "X-Session-Id": "sid"}
_ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Tue, 24 Nov 2026 10:00:00 GMT\r\n"
    b"Content-Type: application/json\r\nContent-Length: 400\r\nConnection: keep-alive\r\n\r\n" + b"n" * 400
)


@dataclass(frozen=True, slots=True)
class Parts:
    """What is on."""

    access_log: bool = True
    metrics: bool = True
    identity_headers: bool = True
    authentication: bool = True
    revocation: bool = True
    role: bool = True
    remembered_paths: bool = True
    limits: tuple[Limit, ...] = ()
    cors: Cors | None = None


class _Transport:
    """Takes bytes and forgets them."""

    def write(self, data: bytes) -> None: ...
    def writelines(self, pieces: Sequence[bytes]) -> None: ...
    def get_extra_info(self, name: str) -> object:
        return ("127.0.0.1", 40000) if name == "peername" else None


class _Feed:
    cold = False
    fresh = True
    offset = 0.0

    async def synced(self) -> None: ...
    def doubt(self, _identity: Identity) -> Refusal:
        raise AssertionError("the feed is fresh")


class _Unrevoked:
    """Tokens without the question whether they were revoked."""

    def __init__(self, tokens: VerifiedTokens, now: float) -> None:
        self._kept: dict[bytes, Verified] = {}
        self._tokens = tokens

    def check(self, token: bytes, now: float) -> Verified | Invalid:
        entry = self._kept.get(token)
        if entry is not None and now < entry.expires:
            return entry
        found = self._tokens.check(token, now)
        if isinstance(found, Verified):
            self._kept[token] = found
        return found

    def remembers(self, token: bytes) -> bool:
        return token in self._kept


def _subject(owner: Owner, _path: tuple[str, ...]) -> str:
    return owner.subject


def _buckets(allowed: Allowance, _plan: str) -> SharedBuckets | None:
    return allowed.rate and SharedBuckets("limit", allowed.rate.requests, allowed.burst)


def _nobody(_issuer: str, _tenant: str | None, _subject: str) -> str:
    return ""


class _Forgetful(Gate):
    """Reads and matches every target anew."""

    def admit(
        self, head: RequestHead, *, waited: bool = False, confirmed: bool = False, counted: bool = False
    ) -> Permit | Refusal | Pending | Answered:
        self._ways.clear()
        return super().admit(head, waited=waited, confirmed=confirmed, counted=counted)


@contextmanager
def exchange(parts: Parts) -> Iterator[Callable[[], None]]:
    """A gateway made of *parts*; the callable is one request with its answer."""
    ring = ring_for("RS256")
    tokens = [issued(ring, Subject(f"user{n}", f"user{n}", ("user",)), f"s-{n}") for n in range(TOKENS)]
    revocations = Revocations(_nobody)
    cache = VerifiedTokens(verifier(ring), revocations, renderer(_HEADERS if parts.identity_headers else {}), ring)
    sink = Sink(os.open(os.devnull, os.O_WRONLY)) if parts.access_log else None
    lines = JsonLines() if parts.access_log else None
    record: Callable[[Record], None] = Recorder(Metrics(version="0"), lines, sink).__call__
    if not parts.metrics:
        record = _forget
    clock = SystemClock()
    engine = Engine(
        limits=Limits(),
        wheel=Wheel(),
        record=record,
        wall=clock.wall,
        monotonic=clock.monotonic,
        hosts=HostForms(normal_host),
        fault=_raise,
    )
    names = tuple(limit.name for limit in parts.limits)
    rule = Rule(roles=frozenset({"user"}) if parts.role else frozenset(), limits=names)
    if not parts.authentication:
        rule = Rule(access=Access.PUBLIC)
    routes = [
        Route(
            name=name,
            index=index,
            place="gateway.yaml:1",
            host=None,
            template=template,
            upstream="app",
            rules=dict.fromkeys(DEFAULT_METHODS, rule),
            options=RouteOptions(cors=parts.cors),
        )
        for index, (name, template) in enumerate((("public", "/public/**"), ("orders", "/orders/**"), ("api", "/**")))
    ]
    table = RouteTable(routes)
    counters = [Counter(limit, _subject, _buckets, {}) for limit in parts.limits]
    route_limits = RouteLimits("api", counters, clock.monotonic)
    gate = (Gate if parts.remembered_paths else _Forgetful)(
        routes=table,
        tokens=cache if parts.revocation else _Unrevoked(cache, NOW),
        feed=_Feed(),
        wall=repeat(NOW + 1.0).__next__,  # in C, as the machine's clock
        secrets=Secrets(bytes(range(48))),
        own_origins=frozenset(),
        limits=lambda route, rule: route_limits if rule.limits else None,
    )
    target = Target(name="app:80", host=b"app:80", connect=None)  # type: ignore[arg-type]  # it has a connection
    pool = Pool(engine, "app", [target], RoundRobin(), PoolLimits())
    kinds = FieldKinds(map(str.encode, _HEADERS))
    engine.snapshot = Snapshot(gate, plans(table.routes, {"app": pool}), kinds, b"/auth")
    transport = cast("asyncio.Transport", _Transport())
    up = Upstream(engine, target)
    up.connection_made(transport)
    up.idle_until = 1 << 40
    target.idle.append(up)
    clients = [Downstream(engine) for _ in range(TOKENS)]
    for client in clients:
        client.connection_made(transport)
    asking = b"" if parts.cors is None else b"Origin: https://app.example.com\r\n"
    requests = cycle(
        b"GET /api/small HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAuthorization: Bearer %b\r\nAccept: */*\r\n"
        b"X-Key: 7f3a\r\n%b\r\n" % (token, asking)
        for token in tokens
    )
    # An odd step, so that each connection gets another token every time.
    order = cycle([(n * 5) % (TOKENS - 1) for n in range(TOKENS - 1)])

    def once() -> None:
        clients[next(order)].data_received(next(requests))
        up.data_received(_ANSWER)

    for _ in range(200):
        once()
    assert pool.retries.requests == 200, "a request was refused"
    assert not target.inflight, "an answer did not end its exchange"
    try:
        yield once
    finally:
        if sink is not None:
            sink.close()


def _forget(_record: Record) -> None: ...


def _raise(_what: str, error: BaseException) -> None:
    raise error


ALL = Parts()
WITHOUT = {
    "access log (JSON)": Parts(access_log=False),
    "access log and metrics": Parts(access_log=False, metrics=False),
    "identity headers": Parts(identity_headers=False),
    "revocation check (its epoch and the key ring's)": Parts(revocation=False),
    "rule: a role": Parts(role=False),
    "authentication: token, its cache, revocation, rule, identity headers": Parts(authentication=False),
}
PLENTY = Allowance(Rate(10_000_000, 1), 1_000_000)
BY_ADDRESS = Limit("ip", By(Kind.ADDRESS), PLENTY)
BY_CLAIM = Limit("user", By(Kind.CLAIM, "sub"), PLENTY)
BY_ROUTE = Limit("all", By(Kind.ROUTE), PLENTY)
BY_HEADER = Limit("key", By(Kind.HEADER, "x-key"), PLENTY)
TOLD = Limit("user", By(Kind.CLAIM, "sub"), PLENTY, headers=True)
UNDER_WAY = Allowance(inflight=100)
HELD = "a rate limit by address", "a rate limit by claim", "a rate limit of the route"
"""What is held to ALLOWED."""
ALLOWED = 1.0
"""Microseconds."""
SHARE = 1 / 8
"""Of everything on, where that is more."""
AGAIN = 2
"""How often what cost too much is measured once more: the machine's other work only adds."""
MORE = {
    "routing: each target read and matched as if it were new": Parts(remembered_paths=False),
    "a rate limit by address": Parts(limits=(BY_ADDRESS,)),
    "a rate limit by claim": Parts(limits=(BY_CLAIM,)),
    "a rate limit of the route": Parts(limits=(BY_ROUTE,)),
    "a rate limit by a header, sent by all": Parts(limits=(BY_HEADER,)),
    "a rate limit by address, and one by claim": Parts(limits=(BY_ADDRESS, BY_CLAIM)),
    "a rate limit by claim, and one of the route": Parts(limits=(BY_CLAIM, BY_ROUTE)),
    "a limit of requests in flight by address": Parts(limits=(Limit("ip", By(Kind.ADDRESS), UNDER_WAY),)),
    "a limit of requests in flight by claim": Parts(limits=(Limit("user", By(Kind.CLAIM, "sub"), UNDER_WAY),)),
    "a limit of requests in flight on the route": Parts(limits=(Limit("all", By(Kind.ROUTE), UNDER_WAY),)),
    "a rate limit by claim that tells what is left (`headers: true`)": Parts(limits=(TOLD,)),
    "cors on the route, asked by a page of another origin": Parts(
        cors=Cors(frozenset(("https://app.example.com", "https://admin.example.com")))
    ),
}
"""What comes on top: what usually is remembered and here is not, and what a route may have."""


def measure(configurations: Sequence[Parts], rounds: int = ROUNDS, least: float = LEAST) -> list[float]:
    """Microseconds of one request with each of *configurations*, which take turns."""
    best = [float("inf")] * len(configurations)
    with ExitStack() as exits:
        made = [exits.enter_context(exchange(parts)) for parts in configurations]
        gc.collect()
        gc.freeze()
        for _ in range(rounds):
            for place, once in enumerate(made):
                best[place] = min(best[place], _timed(once, least))
    return best


def _timed(work: Callable[[], None], least: float) -> float:
    count, begun = 0, time.thread_time()
    spent = 0.0
    while spent < least:
        for _ in range(200):
            work()
        count += 200
        spent = time.thread_time() - begun
    return spent / count * 1e6


def _cost(difference: float) -> str:
    return f"{difference:.1f}" if difference >= 0.1 else "< 0.1"


def table(rounds: int = ROUNDS, least: float = LEAST) -> str:
    """Return the whole table."""
    return rendered(measure([ALL, *WITHOUT.values(), *MORE.values()], rounds, least))


def rendered(figures: Sequence[float]) -> str:
    """Return the table of what `measure` gave for everything on, for WITHOUT and for MORE."""
    everything, *others = figures
    lines = ["| what | µs / request | costs, µs |", "|---|--:|--:|", f"| everything on | {everything:.1f} | |"]
    without, more = others[: len(WITHOUT)], others[len(WITHOUT) :]
    lines += [
        f"| without {name} | {one:.1f} | {_cost(everything - one)} |"
        for name, one in zip(WITHOUT, without, strict=True)
    ]
    lines += [f"| with {name} | {one:.1f} | {_cost(one - everything)} |" for name, one in zip(MORE, more, strict=True)]
    return "\n".join(lines)


def dear(everything: float, costs: Mapping[str, float]) -> list[str]:
    """Return what of HELD costs more than is allowed, by the microseconds that everything on, and each of it, costs."""
    allowed = max(ALLOWED, everything * SHARE)
    return [
        f"{name} costs {costs[name]:.2f} µs, and {allowed:.2f} is allowed" for name in HELD if costs[name] > allowed
    ]


def main() -> int:
    figures = measure([ALL, *WITHOUT.values(), *MORE.values()])
    print(f"The gateway's own code for one small GET, sockets left out, one core.\n\n{rendered(figures)}")
    costs = {name: one - figures[0] for name, one in zip(MORE, figures[1 + len(WITHOUT) :], strict=True)}
    faults = dear(figures[0], costs)
    for _ in range(AGAIN if faults else 0):
        everything, *held = measure([ALL, *(MORE[name] for name in HELD)])
        costs.update((name, min(costs[name], one - everything)) for name, one in zip(HELD, held, strict=True))
        faults = dear(figures[0], costs)
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
