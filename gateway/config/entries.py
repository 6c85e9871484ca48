"""The sections `routes` and `defaults`: what may be asked, by whom, and how it is forwarded.

A key that is not written is inherited: a method's from its route, a route's from `defaults`.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    WrapValidator,
)

from gateway.config.addresses import Network, OriginOrAny
from gateway.config.cors import RouteCors
from gateway.config.faults import Wrong
from gateway.config.limits import LimitNames
from gateway.config.model import ListOf, Model, distinct
from gateway.config.names import passed_header
from gateway.config.upstreams import TimeoutsConfig
from gateway.config.values import DurationOrNone, Flag, Size, Text, kind_of, switch, text
from gateway.paths import steps
from gateway.routing.headers import Headers, wanted
from gateway.routing.route import DEFAULT_METHODS, KNOWN_METHODS, host_pattern, matching
from gateway.routing.template import parse

Words = Annotated[ListOf[Text], AfterValidator(distinct)]


def _template(value: str) -> str:
    try:
        parse(value)
    except ValueError as error:
        raise Wrong(str(error)) from error
    return value


def _host(value: str) -> str:
    try:
        return host_pattern(value)
    except ValueError as error:
        raise Wrong(str(error)) from error


def _method(value: object) -> str:
    name = text(value)
    if re.fullmatch(r"[A-Za-z-]{1,32}", name) is None:
        raise Wrong(f'"{name}" is no method')
    if name != name.upper():
        raise Wrong("methods are written in capitals, and compared letter by letter", f"write {name.upper()}")
    if name in ("TRACE", "CONNECT"):
        raise Wrong(f"{name} is never served")
    if name not in KNOWN_METHODS:
        raise Wrong(f"{name} is no method that HTTP servers know")
    return name


def _claim(value: str) -> str:
    try:
        steps(value)
    except ValueError as error:
        raise Wrong(f'"{value}" names no claim', "write a claim like plan, or a path like org.slug") from error
    return value


def _source(value: str) -> str:
    source, _, name = value.partition(".")
    if source == "header" and name:
        return f"{source}.{passed_header(name)}"
    if source != "path" or not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        hint = "a claim is on the other side: {path.NAME: claim.NAME}" if source == "claim" else ""
        raise Wrong(f'"{value}" is no part of a request', hint or "write path.NAME or header.NAME")
    return value


def _bound(value: str) -> str:
    source, _, path = value.partition(".")
    if source != "claim":
        raise Wrong(f'"{value}" is no claim', "write claim.NAME")
    return f"{source}.{_claim(path)}"


def _scalar(value: object) -> object:
    if value is None or isinstance(value, list | dict):
        raise Wrong(f"text, a number, true or false are needed, not {kind_of(value)}")
    return value


ClaimScalar = Annotated[str | int | float | bool, PlainValidator(_scalar, json_schema_input_type=str | float | bool)]
Template = Annotated[Text, AfterValidator(_template)]
Method = Annotated[str, BeforeValidator(_method)]


ClaimValue = Annotated[
    tuple[ClaimScalar, ...],
    Field(min_length=1),
    BeforeValidator(
        lambda value: value if isinstance(value, list | tuple) else [value],
        json_schema_input_type=ClaimScalar | list[ClaimScalar],
    ),
]
ClaimsConfig = Annotated[Mapping[Annotated[Text, AfterValidator(_claim)], ClaimValue], Field(min_length=1)]
BindingsConfig = Annotated[
    Mapping[Annotated[Text, AfterValidator(_source)], Annotated[Text, AfterValidator(_bound)]], Field(min_length=1)
]
Alternatives = Annotated[ListOf["ConditionsConfig"], Field(min_length=1)]


class ConditionsConfig(Model):
    """What is asked of the caller. Keys are ANDed; `roles` is any of, all other lists are all of."""

    roles: Annotated[Words, Field(min_length=1)] = ()
    """Any of these, or a role that includes one of them."""
    roles_all: Words = ()
    """All of these."""
    not_roles: Words = ()
    """None of these."""
    permissions: Words = ()
    scopes: Words = ()
    audience: Words = ()
    """Any of these in the token's `aud`; absent: what tokens.audience asks of every token."""
    caller: Literal["any", "user", "program"] = "any"
    """A person, or a program with a token of its own."""
    claims: ClaimsConfig = Field(default_factory=dict)
    """Claim to what it must be, or to a list of which it is one: {plan: [pro, team]}."""
    where: BindingsConfig = Field(default_factory=dict)
    """Part of the request to the claim it must equal: {path.tenant: claim.tenant}."""
    rules: Words = ()
    """Rules of the section `rules`; all of them hold."""
    any_of: Alternatives = ()
    """One of these alternatives."""
    mfa: Flag = False
    """The login had a second factor."""
    fresh_login: DurationOrNone = None
    """How old the login may be; a refresh does not make it younger."""
    allow_ips: Annotated[ListOf[Network], Field(min_length=1)] = ()
    """Where the request may come from."""


class RuleConfig(ConditionsConfig):
    """What is asked of the caller, and whether there must be one."""

    auth: Literal["required", "optional", "public"] = "required"
    shadow: ConditionsConfig | None = None
    """A candidate for the rule: what it would deny is logged and counted, and denied to nobody."""
    limit: LimitNames = ()
    """Names of the section `limits`; all of them hold. none: not even those of `defaults`."""
    body: Size = 1 << 20
    """The largest request body; absent: server.limits.body."""
    revocation: Literal["normal", "strict"] = "normal"
    """strict: while revocations may be missing here, ask the store about each token, and refuse if it is silent."""


class WebSocketConfig(Model):
    """How WebSocket handshakes and tunnels are held."""

    origins: ListOf[OriginOrAny] = ()
    """Sites that may connect from a browser, beside our own; "*" for all."""
    token_from: ListOf[Literal["bearer", "cookie", "subprotocol"]] = ("bearer", "cookie", "subprotocol")
    idle: DurationOrNone = 600.0
    """A tunnel without a frame for so long is closed."""
    lifetime: DurationOrNone = None


WebSocket = Annotated[WebSocketConfig | None, WrapValidator(switch, json_schema_input_type=bool | WebSocketConfig)]


class ForwardingConfig(RuleConfig):
    """What can be said for one route, or in `defaults` for all."""

    forward_token: Literal["strip", "keep"] = "strip"  # noqa: S105 - a policy, no password
    """Whether the service sees the Authorization header."""
    allow_encoded_slash: Flag = False
    """Let %2F through, as data; for services that need it."""
    host_header: Literal["target", "keep"] = "target"
    """The Host header the service sees; absent: what its upstream says."""
    timeouts: TimeoutsConfig = TimeoutsConfig()
    websocket: WebSocket = None
    stream: Flag = False
    """An answer without an end: no total timeout, and silence is no error."""
    silent_refresh: Flag = False
    """Renew a browser's access cookie on the way of its requests, when its refresh cookie allows."""
    cors: RouteCors = None
    """Pages of other origins that may ask, and read the answers; absent or false: what the service says of that."""
    csrf: Literal["unsafe", "always"] = "unsafe"
    """Which requests by cookie must prove that our own page sent them: those of methods that change something, or
    all, for a GET that does."""


class DefaultsConfig(ForwardingConfig):
    """What every route starts from."""


def _shape(value: object) -> str | None:
    match value:
        case list() | tuple() | str():
            return "list"
        case dict():
            return "map"
        case _:
            return None


_MethodList = Annotated[ListOf[Method], Field(min_length=1), AfterValidator(distinct)]
_MethodMap = Annotated[Mapping[Method, RuleConfig], Field(min_length=1)]
Methods = Annotated[
    Annotated[_MethodList, Tag("list")] | Annotated[_MethodMap, Tag("map")],
    Discriminator(
        _shape,
        custom_error_type="methods",
        custom_error_message="a list of methods is needed, or a mapping of methods to their rules",
    ),
]


def _field_value(value: object) -> object:
    if value is True:
        return value
    if value is False or value is None:
        raise Wrong("a route cannot ask for a header not to be there", "write a route without headers: for the rest")
    if not (written := text(value)).isascii():
        raise Wrong("a header's value is plain ASCII here")
    return written


def _told_apart(headers: Mapping[str, object]) -> Mapping[str, object]:
    seen: dict[str, str] = {}
    for name in headers:
        if (first := seen.setdefault(name.lower(), name)) != name:
            raise Wrong(f"{name} is the same header as {first}; case does not matter")
    return headers


HeadersConfig = Annotated[
    Mapping[
        Annotated[Text, AfterValidator(passed_header)],
        Annotated[
            str | bool,
            PlainValidator(_field_value, json_schema_input_type=Annotated[str, Field(min_length=1)] | Literal[True]),
        ],
    ],
    AfterValidator(_told_apart),
]


class RouteConfig(ForwardingConfig):
    """One route. The most specific one wins, whatever the order; two equal ones refuse to load."""

    name: Annotated[Text, Field(max_length=100)] | None = None
    """For logs and metrics; absent: host and path."""
    host: Annotated[Text, AfterValidator(_host)] | None = None
    """api.example.com, or "*.example.com" for every name below; absent: any."""
    path: Template
    """/orders, /orders/{id}, /orders/{id:int}, /orders/{id:uuid}, or /orders/** for everything below."""
    headers: HeadersConfig = Field(default_factory=dict)
    """Further, headers of the request: {X-Version: "2"} for this value, {X-Canary: true} for any."""
    to: Text
    """The name of an upstream."""
    methods: Methods = tuple(method.decode() for method in DEFAULT_METHODS)
    """A list, or a mapping to extra rules: {GET: {roles: [viewer]}}. Others are 405; HEAD follows GET."""
    strip_prefix: Template | None = None
    """Taken away before forwarding; whole segments."""
    rewrite: Template | None = None
    """The path the service sees: /orders/**, /users/{id}."""

    @property
    def method_rules(self) -> Mapping[str, RuleConfig | None]:
        """Every method with what is said for it alone."""
        return self.methods if isinstance(self.methods, Mapping) else dict.fromkeys(self.methods)

    @property
    def title(self) -> str:
        """What logs and metrics call this route."""
        return self.name or matching(self.host, self.path, self.wanted_headers)

    @property
    def wanted_headers(self) -> Headers:
        """`headers` as the table of routes has them."""
        return wanted({name: None if value is True else str(value) for name, value in self.headers.items()})
