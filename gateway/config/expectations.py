"""The section `tests`: what must hold of the routes and rules, whatever is changed in them; run by `gateway test`."""

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import Discriminator, Field, PlainSerializer, PlainValidator, Tag, WithJsonSchema

from gateway.config.entries import Words
from gateway.config.faults import Wrong, meant
from gateway.config.model import Model
from gateway.config.values import DurationOrZero, Flag, Text, text
from gateway.errors import CODES
from gateway.routing.route import KNOWN_METHODS


class CallerConfig(Model):
    """Somebody who need not be in any file."""

    sub: Text = "somebody"
    roles: Words = ()
    permissions: Words = ()
    scopes: Words = ()
    tenant: Text | None = None
    claims: Mapping[str, object] = Field(default_factory=dict)
    mfa: Flag = False
    """The login was proved by a second factor, too."""
    login_age: DurationOrZero = 0.0


def _form(value: object) -> str | None:
    match value:
        case str():
            return "name"
        case dict() | CallerConfig():
            return "keys"
        case _:
            return None


Caller = Annotated[
    Annotated[Text, Tag("name")] | Annotated[CallerConfig, Tag("keys")],
    Discriminator(
        _form,
        custom_error_type="caller",
        custom_error_message="anonymous, a user, a role, or {roles: [...]} is needed",
    ),
]


class Call:
    """A method and a target, as a request line has them."""

    __slots__ = ("method", "target")

    def __init__(self, method: str, target: str) -> None:
        self.method = method
        self.target = target

    def __str__(self) -> str:
        return f"{self.method} {self.target}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Call) and str(other) == str(self)

    def __hash__(self) -> int:
        return hash(str(self))


def _call(value: object) -> Call:
    if isinstance(value, Call):
        return value
    found = re.fullmatch(r"([A-Z-]+) (/\S*)", text(value))
    if found is None or found[1] not in KNOWN_METHODS:
        raise Wrong("a call is a method and a path", "write it like GET /api/orders/1")
    return Call(found[1], found[2])


ALLOW = "allow"


def _expected(value: object) -> int | str:
    if isinstance(value, int) and not isinstance(value, bool):
        if not 400 <= value <= 599:
            raise Wrong(
                f"the gateway refuses nothing with {value}",
                "write allow, a status like 403, or a code like role_missing",
            )
        return value
    written = text(value)
    if re.fullmatch(r"[45][0-9][0-9]", written):
        return int(written)
    if written != ALLOW and written not in CODES:
        hint = meant(written, (ALLOW, *CODES)) or "write allow, a status like 403, or a code like role_missing"
        raise Wrong(f'"{written}" is nothing that the gateway answers', hint)
    return written


class ExpectationConfig(Model):
    """One call, by whom, and what comes of it."""

    who: Caller = Field("anonymous", alias="as")
    """anonymous, a user, a role, or somebody with these roles and claims."""
    call: Annotated[
        Call,
        PlainValidator(_call),
        PlainSerializer(str),
        WithJsonSchema({"type": "string", "description": "A method and a path, like GET /api/orders/1"}),
    ]
    expect: Annotated[
        int | str, PlainValidator(_expected), WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string"}]})
    ]
    """allow, a status, or an error code."""
    host: Text | None = None
    address: Text | None = None
    """The client's; absent: 127.0.0.1."""
