"""Where the store is: one server, one that Sentinels name, or a cluster, read from one URL.

    redis://user:password@host:6379/0                    one server; rediss:// for TLS, unix:///path for a socket
    redis+sentinel://host1:26379,host2/primary/0         the primary the Sentinels agree on, and its database
    redis+cluster://host1:6379,host2:6379                any nodes of a cluster; the others are learned from them

`valkey` may be written for `redis`. Nothing here does I/O, so a configuration is checked by the same rules that the
wire is opened with. The URL may hold a password and is never part of a message.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from gateway.errors import ConfigError
from gateway.routing.host import normal_host


class Topology(Enum):
    """How many servers there are, and who says which of them to ask."""

    SINGLE = "single"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


class BadAddress(ConfigError):
    """A URL that names no store; `hint` says how one is written."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(f"store.url: {reason}{f' ({hint})' if hint else ''}")
        self.reason = reason
        self.hint = hint


class HostPort(NamedTuple):
    """One server's address; *host* without brackets."""

    host: str
    port: int


class Place(NamedTuple):
    """A store's URL, taken apart."""

    topology: Topology
    is_tls: bool
    hosts: tuple[HostPort, ...]
    socket: str
    """Path of a unix socket; "" when there are hosts."""
    primary: str
    """The name by which Sentinels know the primary."""
    database: int
    username: str | None
    password: str | None
    options: Mapping[str, str]
    """TLS settings, by the names redis-py gives them."""


_HINT = (
    "write embedded, redis://host:6379/0, rediss://…, valkey://…, unix:///path, redis+sentinel://host1,host2/primary "
    "or redis+cluster://host1,host2"
)
_PORTS = {Topology.SINGLE: 6379, Topology.SENTINEL: 26379, Topology.CLUSTER: 6379}
_TLS = {"redis": False, "valkey": False, "rediss": True, "valkeys": True}

# Whatever else a client library reads from URLs could undo our deadlines (`socket_timeout`, `retry_on_timeout`).
_OPTIONS = ("db", "ssl_ca_certs", "ssl_certfile", "ssl_cert_reqs", "ssl_check_hostname", "ssl_keyfile")
_ANSWERS = {"ssl_cert_reqs": ("none", "optional", "required"), "ssl_check_hostname": ("true", "false")}


def parse(url: str) -> Place:
    """Take *url* apart.

    Raises:
        BadAddress: it names no store that the gateway can use.
    """
    scheme, mark, rest = url.partition("://")
    if not mark:
        raise BadAddress("this is no URL of a store", _HINT)
    rest, _, query = rest.partition("?")
    options = _options(query)
    if scheme == "unix":
        if not rest.startswith("/"):
            raise BadAddress("a socket needs its full path", "write it like unix:///run/valkey.sock")
        return Place(Topology.SINGLE, False, (), unquote(rest), "", _database(options, ""), None, None, options)
    kind, plus, how = scheme.partition("+")
    try:
        is_tls, topology = _TLS[kind], Topology(how) if plus else Topology.SINGLE
    except (KeyError, ValueError):
        raise BadAddress(f'stores of the kind "{scheme}" are not known', _HINT) from None
    authority, _, path = rest.partition("/")
    userinfo, at, listed = authority.rpartition("@")
    username, colon, password = userinfo.partition(":")
    hosts = tuple(_host(item, scheme, _PORTS[topology]) for item in listed.split(","))
    if topology is Topology.SINGLE and len(hosts) > 1:
        raise BadAddress(
            "several hosts are a cluster or Sentinels", f"write {scheme}+cluster:// or {scheme}+sentinel://"
        )
    primary, _, number = path.partition("/") if topology is Topology.SENTINEL else ("", "", path)
    if topology is Topology.SENTINEL and not primary:
        raise BadAddress(
            "Sentinels are asked for a primary by its name", f"write it like {scheme}://host1,host2/mymaster"
        )
    database = _database(options, number)
    if topology is Topology.CLUSTER and database:
        raise BadAddress("a cluster has no databases but 0", f"write it like {scheme}://host1,host2")
    return Place(
        topology=topology,
        is_tls=is_tls,
        hosts=hosts,
        socket="",
        primary=unquote(primary),
        database=database,
        username=unquote(username) or None if at else None,
        password=unquote(password) if colon else None,
        options=options,
    )


def _options(query: str) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name, value in options.items():
        if name not in _OPTIONS:
            raise BadAddress(f'the URL has the option "{name}"', f"possible are {', '.join(_OPTIONS)}")
        if name in _ANSWERS and value.lower() not in _ANSWERS[name]:
            raise BadAddress(f"the option {name} is one of {', '.join(_ANSWERS[name])}")
    return options


def _host(text: str, scheme: str, port: int) -> HostPort:
    normal = normal_host(text.encode("ascii", "replace"))
    if normal is None:
        raise BadAddress("the URL has no proper host", f"write it like {scheme}://store:6379/0")
    bracket, _, tail = text.rpartition("]")
    name, colon, digits = (f"{bracket}]", tail[:1], tail[1:]) if bracket else text.partition(":")
    return HostPort(name.strip("[]").rstrip(".").lower(), int(digits) if colon else port)


def _database(options: Mapping[str, str], path: str) -> int:
    number = path or options.get("db", "") or "0"
    if not number.isdecimal() or len(number) > 4:
        raise BadAddress("the path of a store's URL is the number of a database", "write it like redis://store:6379/0")
    return int(number)


@dataclass(frozen=True, slots=True)
class Address:
    """Where the store is, how long one call to it may take, and what it takes for a write to count."""

    url: str = field(repr=False)
    password: str | None = field(default=None, repr=False)
    timeout: float = 0.5
    """Seconds; the whole of a call, with connecting and finding the right server."""
    replicas: int = 0
    """Writes that end or begin sessions wait for so many replicas to have them, for a moment."""
    sentinel_password: str | None = field(default=None, repr=False)
    """Sentinels have users of their own."""
    place: Place = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "place", parse(self.url))
