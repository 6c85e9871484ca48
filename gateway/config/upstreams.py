"""The section `upstreams`: the services behind the gateway, and how they are called."""

import re
from typing import Annotated, Literal, NamedTuple
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, Field, PlainSerializer, PlainValidator, WithJsonSchema, model_validator

from gateway.config.faults import Wrong
from gateway.config.model import ListOf, Model, distinct, short_form
from gateway.config.values import (
    Count,
    CountOrNone,
    CountOrZero,
    Duration,
    DurationOrNone,
    FilePath,
    Flag,
    Percent,
    Text,
    text,
)
from gateway.routing.host import normal_host, without_port
from gateway.routing.target import Target as RequestTarget
from gateway.routing.target import read


class Url(NamedTuple):
    """One address of an upstream."""

    written: str
    scheme: Literal["http", "https", "unix"]
    host: str
    """A name or address without brackets; "localhost" for `unix`."""
    port: int
    prefix: str = ""
    """Put before every path: empty, or "/" and more, without a trailing slash."""
    socket: str = ""
    """The socket's path, for `unix`."""

    @property
    def authority(self) -> str:
        """The Host header for this address (RFC 9110 section 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port in (0, {"http": 80, "https": 443}.get(self.scheme)) else f"{host}:{self.port}"


def _url(value: object) -> Url:
    if isinstance(value, Url):
        return value
    written = text(value)
    if written.startswith("unix:"):
        return _socket(written)
    try:
        url = urlsplit(written)
        port = url.port
    except ValueError as error:
        raise Wrong("this is no URL", "write it like http://orders:8000") from error
    if url.scheme not in ("http", "https") or not url.hostname:
        raise Wrong("a URL with http://, https:// or unix:// is needed", _with_scheme(written))
    if url.username is not None:
        raise Wrong("user names and passwords are not sent to upstreams")
    if url.query or url.fragment or "?" in written or "#" in written:
        raise Wrong("an upstream's URL ends with its path; remove what follows it")
    host = normal_host(url.netloc.encode("ascii", "replace"))
    if host is None:
        raise Wrong(f'"{url.netloc}" is no host', "write it like http://orders:8000")
    scheme: Literal["http", "https"] = "https" if url.scheme == "https" else "http"
    name = without_port(host).decode().strip("[]")
    return Url(written, scheme, name, port or {"http": 80, "https": 443}[scheme], _prefix(url))


def _with_scheme(written: str) -> str:
    plain = re.fullmatch(r"[A-Za-z0-9._-]+(:[0-9]+)?(/.*)?", written)
    return f"write http://{written}" if plain else "write it like http://orders:8000"


def _prefix(url: SplitResult) -> str:
    if url.path in ("", "/"):
        return ""
    reading = read(url.path.encode("utf-8", "replace"))
    if not isinstance(reading, RequestTarget) or reading.encoded_slash:
        raise Wrong("the path of the URL is not canonical", "no //, dot segments, ; or escaped slashes")
    return reading.path.decode().rstrip("/")


def _socket(written: str) -> Url:
    path = written.removeprefix("unix://")
    if not path.startswith("/") or path.endswith("/"):
        raise Wrong("a socket needs its full path", "write it like unix:///run/orders.sock")
    # The kernel's limit for sun_path, without its final zero.
    if len(path.encode()) > 107:
        raise Wrong("the path of the socket is longer than the 107 bytes that are possible")
    return Url(written, "unix", "localhost", 0, "", path)


_TargetUrl = Annotated[
    Url,
    PlainValidator(_url),
    PlainSerializer(lambda url: url.written),
    WithJsonSchema({"type": "string", "description": "http://host:port[/prefix], https://… or unix:///path"}),
]


class TargetConfig(Model):
    """One address of an upstream."""

    url: _TargetUrl
    weight: Count = 1
    """Share of the requests, relative to the other targets."""


class TimeoutsConfig(Model):
    """How long to wait for an upstream; a key that is not written is inherited."""

    connect: DurationOrNone = 5.0
    first_byte: DurationOrNone = 60.0
    """From the end of the request to the first byte of the answer."""
    idle: DurationOrNone = 60.0
    """Between two bytes of the answer."""
    total: DurationOrNone = None


class PoolConfig(Model):
    """Connections kept to an upstream."""

    idle: CountOrZero = 64
    connections: Count = 512
    queue: CountOrZero = 1024
    """Requests that may wait for a connection."""
    idle_timeout: Duration = 50.0
    """Less than the upstream's own, or it closes while a request is on its way."""


def _probe_path(value: str) -> str:
    reading = read(value.encode("utf-8", "replace"))
    if not isinstance(reading, RequestTarget) or reading.authority or not reading.path.startswith(b"/"):
        raise Wrong(f'"{value}" is no path', "write it like /healthz")
    return (reading.path + reading.query).decode()


class HealthConfig(Model):
    """Active probes: GET, and any status below 400 is healthy."""

    path: Annotated[Text, AfterValidator(_probe_path)]
    every: Duration = 5.0
    timeout: Duration = 1.0
    fall: Count = 3
    rise: Count = 2


class EjectConfig(Model):
    """A target that fails in a row gets no requests for a while."""

    failures: Count = 5
    time: Duration = 30.0
    max_percent: Percent = 50
    """So much of the upstream may be ejected at once."""


def _condition(value: object) -> str:
    if value in ("connect_error", "reset"):
        return str(value)
    if isinstance(value, int | str) and re.fullmatch(r"5[0-9][0-9]|429|408|425", str(value)):
        return str(value)
    raise Wrong(f'"{value}" is nothing to retry on', "write connect_error, reset, or a status like 502")


class RetryConfig(Model):
    """When a request is sent once more."""

    attempts: CountOrZero = 1
    """In addition to the first; 0 never retries."""
    when: ListOf[
        Annotated[
            str,
            PlainValidator(_condition),
            WithJsonSchema({"anyOf": [{"enum": ["connect_error", "reset"]}, {"type": "integer"}]}),
        ]
    ] = ("connect_error", "reset")
    per_try: DurationOrNone = None
    budget_percent: Percent = 20


class UpstreamTlsConfig(Model):
    """How https targets are verified, and what is shown to them."""

    ca_file: FilePath | None = None
    certificate_file: FilePath | None = None
    key_file: FilePath | None = None
    server_name: Text | None = None
    insecure_skip_verify: Flag = False

    @model_validator(mode="after")
    def _both_or_none(self) -> "UpstreamTlsConfig":
        if (self.certificate_file is None) != (self.key_file is None):
            raise Wrong("certificate_file and key_file belong together")
        return self


def _hash_by(value: str) -> str:
    if re.fullmatch(r"header:[A-Za-z0-9-]{1,64}|cookie:[A-Za-z0-9_.-]{1,64}|claim:[A-Za-z0-9_.-]{1,64}", value):
        return value
    raise Wrong(f'"{value}" is nothing to hash by', "write header:X-Name, cookie:name or claim:sub")


class UpstreamConfig(Model):
    """A service: one or more addresses that answer alike."""

    targets: ListOf[Annotated[TargetConfig, short_form(TargetConfig, "url")]] = Field(min_length=1)
    balance: Literal["round_robin", "least_inflight", "p2c", "hash"] = "least_inflight"
    hash_by: Annotated[Text, AfterValidator(_hash_by)] | None = None
    host: Literal["target", "keep"] = "target"
    """The Host header the service sees: its own address, or what the client sent."""
    paths: Literal["case_sensitive", "case_insensitive"] = "case_sensitive"
    """case_insensitive: the service reads /Admin as /admin, so its routes match in any case."""

    @property
    def any_case(self) -> bool:
        """Routes to it match in any case."""
        return self.paths == "case_insensitive"

    timeouts: TimeoutsConfig = TimeoutsConfig()
    pool: PoolConfig = PoolConfig()
    health: HealthConfig | None = None
    eject: EjectConfig | None = None
    max_inflight: CountOrNone = None
    retry: RetryConfig = RetryConfig()
    tls: UpstreamTlsConfig | None = None

    @model_validator(mode="after")
    def _fits(self) -> "UpstreamConfig":
        if (self.balance == "hash") != (self.hash_by is not None):
            raise Wrong(
                "balance: hash and hash_by belong together", "hash_by is header:X-Name, cookie:name or claim:sub"
            )
        distinct(tuple(target.url.written for target in self.targets))
        return self


UpstreamEntry = Annotated[UpstreamConfig, short_form(UpstreamConfig, "targets", listed=True)]
