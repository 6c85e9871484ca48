"""What is sent: one row per question the benchmark answers."""

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """How a scenario is measured."""

    COST = "processor time per request under a closed loop (wrk)"
    LATENCY = "added latency at half load, paced (h2load --rps)"
    IDLE = "memory per idle keep-alive connection"
    STREAMS = "large bodies: throughput, memory growth, processor time per GB"
    SLOW = "latency of good traffic beside connections that never finish their heads"
    FEATURES = "processor time per request with one feature after the other switched off (wrk)"


class Tokens(Enum):
    """How often a token comes again."""

    FEW = "32 tokens in turn: every cache is hit"
    FRESH = "every request carries a token never seen before: every cache misses"


@dataclass(frozen=True, slots=True)
class Call:
    """One request of a scenario; `share` is how often it comes among its neighbours."""

    method: str
    path: str
    body: int = 0
    """Bytes of request body."""
    share: int = 1


SMALL = Call("GET", "/api/small")
LARGE = Call("GET", "/api/large")
HUGE = Call("GET", "/api/huge")
POST = Call("POST", "/api/echo", body=1024)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One load, the same for every proxy."""

    name: str
    title: str
    calls: tuple[Call, ...] = (SMALL,)
    connections: int = 32
    alg: str = "RS256"
    tokens: Tokens = Tokens.FEW
    tls: bool = False
    kind: Kind = Kind.COST
    peers: tuple[str, ...] = ()
    """Measured instead of the proxies asked for, where the question is about these only."""
    slow: int = 0
    """Connections held open beside the load that send a byte of their heads now and then."""

    @property
    def headline(self) -> str:
        """The title with everything that an option may have changed."""
        noun = "connection" if self.connections == 1 else "connections"
        return f"{self.title}, {self.alg}, {self.connections:,} {noun}"


_ALL = (
    Scenario("small", "GET, 400-byte answer, token seen before"),
    Scenario("miss", "GET, 400-byte answer, a new token in every request", tokens=Tokens.FRESH),
    Scenario("large", "GET, 16 KiB answer", calls=(LARGE,)),
    Scenario("large-1mib", "GET, 1 MiB answer", calls=(HUGE,)),
    Scenario("post", "POST of 1 KiB, 400-byte answer", calls=(POST,)),
    Scenario(
        "mixed",
        "70 % small GET, 20 % GET of 16 KiB, 10 % POST of 1 KiB",
        calls=(
            Call(SMALL.method, SMALL.path, share=7),
            Call(LARGE.method, LARGE.path, share=2),
            Call(POST.method, POST.path, body=POST.body, share=1),
        ),
    ),
    Scenario("c1", "GET, 400-byte answer", connections=1),
    Scenario("c256", "GET, 400-byte answer", connections=256),
    Scenario("hs256", "GET, 400-byte answer, token seen before", alg="HS256"),
    Scenario("hs256-miss", "GET, 400-byte answer, a new token in every request", alg="HS256", tokens=Tokens.FRESH),
    Scenario("tls", "GET over TLS 1.3, 400-byte answer", tls=True),
    Scenario("latency", "added latency at half load, GET, 400-byte answer", connections=64, kind=Kind.LATENCY),
    Scenario("idle", "memory per idle keep-alive connection", connections=10_000, kind=Kind.IDLE),
    Scenario(
        "streams",
        "1 GB up, then 1 GB down, 100 MB per client",
        connections=10,
        kind=Kind.STREAMS,
        peers=("nginx", "gateway"),
    ),
    Scenario(
        "slowloris",
        "p99 of small GETs at a fifth of saturation, alone and beside 5,000 slow heads",
        connections=64,
        kind=Kind.SLOW,
        peers=("gateway",),
        slow=5_000,
    ),
    Scenario(
        "features",
        "small GET with one feature switched off at a time",
        kind=Kind.FEATURES,
        peers=("gateway", "gateway-nolog", "gateway-noheaders", "gateway-public", "gateway-bare"),
    ),
)

SCENARIOS = {scenario.name: scenario for scenario in _ALL}
DEFAULT = "small"
