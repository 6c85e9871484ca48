"""A route and its options, as the configuration made them: frozen values, shared by every request."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from gateway.errors import ConfigError
from gateway.routing.cors import Cors, Sharing
from gateway.routing.headers import Headers, shown
from gateway.routing.host import normal_host, without_port
from gateway.routing.rewriting import UNCHANGED, Rewriting, rewriting
from gateway.routing.rules import Rule
from gateway.routing.template import Segment, param_names, parse

DEFAULT_METHODS = (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS")
"""What a route without `methods` serves. Neither TRACE nor CONNECT is ever served."""

KNOWN_METHODS = frozenset(
    [
        "GET",
        "HEAD",
        "POST",
        "PUT",
        "PATCH",
        "DELETE",
        "OPTIONS",
        "QUERY",
        "COPY",
        "LOCK",
        "UNLOCK",
        "MOVE",
        "MKCOL",
        "PROPFIND",
        "PROPPATCH",
        "SEARCH",
        "BIND",
        "REBIND",
        "UNBIND",
        "ACL",
        "REPORT",
        "MKACTIVITY",
        "CHECKOUT",
        "MERGE",
        "M-SEARCH",
        "NOTIFY",
        "SUBSCRIBE",
        "UNSUBSCRIBE",
        "PURGE",
        "MKCALENDAR",
        "LINK",
        "UNLINK",
        "SOURCE",
    ]
)
"""Methods the HTTP parser can read, apart from TRACE and CONNECT."""

BUILTIN = "builtin"
"""The upstream that is the gateway's own application."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds; None waits for ever."""

    connect: float | None = 5.0
    first_byte: float | None = 30.0
    """From the request's end to the first byte of the answer."""
    idle: float | None = 60.0
    """Between two bytes of the answer."""
    total: float | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """When a request may be sent once more; never after a byte of an answer went to the client."""

    attempts: int = 1
    """In addition to the first."""
    when: frozenset[str] = frozenset({"connect_error", "reset"})
    """`connect_error`, `reset`, or a status as text; statuses only for idempotent requests without a body."""
    per_try: float | None = None
    budget_percent: int = 20
    """Retries may add this much load at most."""


@dataclass(frozen=True, slots=True)
class WebSocketOptions:
    """How WebSocket handshakes and tunnels are held."""

    origins: tuple[str, ...] = ()
    """Allowed origins beside our own; "*" allows any."""
    token_from: tuple[str, ...] = ("bearer", "cookie", "subprotocol")
    idle: float | None = 600.0
    lifetime: float | None = None
    max_message: int = 16 << 20
    """Bytes of one message, over all its frames."""


@dataclass(frozen=True, slots=True)
class RouteOptions:
    """How a route forwards; every value is final, defaults and upstream settings already applied."""

    body_limit: int = 1 << 20
    timeouts: Timeouts = Timeouts()
    strip_prefix: str | None = None
    rewrite: str | None = None
    forward_token: bool = False
    allow_encoded_slash: bool = False
    host: Literal["target", "keep"] = "target"
    """Whose name the upstream sees in Host: its own, or the client's."""
    websocket: WebSocketOptions | None = None
    stream: bool = False
    """No total timeout; a long idle answer is no error."""
    silent_refresh: bool = False
    """Renew a browser's access cookie on the way, when its refresh cookie allows."""
    csrf_always: bool = False
    """Also GET needs the forgery check here, because it changes something."""
    retry: Retry = Retry()
    any_case: bool = False
    """Plain segments match in capitals and small letters alike, because the service reads them so."""
    cors: Cors | None = None
    """Pages of other origins that may ask and read; the methods are those of the route, not of this."""


def allow_of(methods: Iterable[bytes]) -> str:
    """Return the value of an `Allow` header, usual methods first; GET brings HEAD along."""
    offered = set(methods)
    if b"GET" in offered:
        offered.add(b"HEAD")
    usual = [method for method in DEFAULT_METHODS if method in offered]
    return ", ".join(method.decode() for method in (*usual, *sorted(offered.difference(usual))))


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """What may be asked, of whom, and where it goes.

    Raises:
        ConfigError: the template, host, strip_prefix or rewrite cannot be used; the message starts with `place`.
    """

    name: str
    index: int
    place: str
    """Where it was written: ``gateway.yaml:31``."""
    host: str | None
    """Exact name, ``*.example.com`` for every name below, or None for any."""
    template: str
    upstream: str
    rules: Mapping[bytes, Rule]
    """Method to rule; a method that is not listed is 405, only HEAD follows GET."""
    allow: str = ""
    """The `Allow` header; derived from `rules` when not given."""
    options: RouteOptions = RouteOptions()
    headers: Headers = ()
    """Fields that have to be there, too."""
    segments: tuple[Segment, ...] = field(init=False, repr=False)
    params: tuple[str, ...] = field(init=False, repr=False)
    rewriting: Rewriting = field(init=False, repr=False, default=UNCHANGED)
    sharing: Sharing | None = field(init=False, repr=False, default=None)
    """What answers say to pages of other origins; None for nothing."""

    def __post_init__(self) -> None:
        put = object.__setattr__  # the dataclass is frozen; these follow from the other fields
        try:
            put(self, "host", None if self.host is None else host_pattern(self.host))
            put(self, "segments", parse(self.template))
            put(self, "params", param_names(self.segments))
            put(self, "rewriting", rewriting(self.segments, self.options.strip_prefix, self.options.rewrite))
        except ValueError as error:
            raise ConfigError(f"{self.place}: {error}") from error
        put(self, "allow", self.allow or allow_of(self.rules))
        if self.options.cors is not None:
            put(self, "sharing", Sharing(self.options.cors))

    @property
    def matches(self) -> str:
        """What it matches, methods apart, for people: ``api.example.com/orders/** (x-version: 2)``."""
        return matching(self.host, self.template, self.headers)


def matching(host: str | None, template: str, headers: Headers) -> str:
    """Return the words of `Route.matches`."""
    return f"{host or ''}{template}" + (f" ({shown(headers)})" if headers else "")


def host_pattern(text: str) -> str:
    """Return the spelling in which *text*, a host name or ``*.`` and one, is compared.

    Raises:
        ValueError: it is no host name; the message is made for the person who wrote it.
    """
    if not text.isascii():
        raise ValueError(f'write the name as it is on the wire: "{_punycode(text)}"')
    name = text.removeprefix("*.")
    if "*" in name:
        raise ValueError('"*." is the only wildcard and comes first: "*.example.com" is every name below example.com')
    host = normal_host(name.encode())
    if host is None:
        raise ValueError(f'"{text}" is not a host name')
    if without_port(host) != host:
        raise ValueError("a route names a host without a port; ports belong to server.listen")
    return ("*." if name != text else "") + host.decode()


def _punycode(text: str) -> str:
    try:
        return text.encode("idna").decode()
    except UnicodeError:
        return "xn--..."
