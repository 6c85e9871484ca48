"""Front ends of other origins: the section `cors` for the gateway's own endpoints, and the key of routes."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidatorFunctionWrapHandler, WrapValidator, model_validator

from gateway.config.addresses import Origin, OriginOrAny
from gateway.config.faults import Wrong
from gateway.config.model import ListOf, Model, distinct
from gateway.config.values import Duration, Flag, Text
from gateway.routing.cors import ANY

MaxAge = Annotated[Duration, Field(le=86400.0)]


def _field(value: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9-]{1,64}", value) is None:
        hint = "name each one; with cookies or Authorization browsers take no *" if value == "*" else ""
        raise Wrong(f'"{value}" is no header name', hint)
    return value


FieldNames = Annotated[ListOf[Annotated[Text, AfterValidator(_field)]], AfterValidator(distinct)]


class CorsConfig(Model):
    """Whose pages may log people in, refresh and log out from another origin."""

    origins: Annotated[ListOf[Origin], Field(min_length=1), AfterValidator(distinct)]
    """Exact origins: https://app.example.com. Cookies work for those of the same site only."""
    max_age: MaxAge = 600.0
    """How long a browser may remember that it may."""


class RouteCorsConfig(Model):
    """Whose pages may ask a route from another origin, and read its answers. Its methods are the route's."""

    origins: Annotated[ListOf[OriginOrAny], Field(min_length=1), AfterValidator(distinct)]
    """Exact origins: https://app.example.com; or "*" alone, for every page there is."""
    credentials: Flag = False
    """Pages act with the cookies of their visitors; without, by an Authorization header of their own."""
    headers: FieldNames = ()
    """What they may send beside Authorization, Content-Type and X-CSRF-Token."""
    expose: FieldNames = ()
    """What they may read beside the gateway's own fields."""
    max_age: MaxAge = 600.0
    """How long a browser may remember a preflight's answer."""

    @model_validator(mode="after")
    def _fits(self) -> "RouteCorsConfig":
        if ANY not in self.origins:
            return self
        if len(self.origins) > 1:
            raise Wrong(
                '"*" is every origin, so the others beside it say nothing', 'write origins: ["*"], or remove it'
            )
        if self.credentials:
            raise Wrong(
                '"*" with credentials would let every page in the world act as whoever looks at it',
                "name the origins; or remove credentials, and pages send an Authorization header of their own",
            )
        return self


def _or_false(value: object, handler: ValidatorFunctionWrapHandler) -> object:
    match value:
        case False | "false":
            return None
        case True | "true":
            raise Wrong("true does not say whose pages", "write cors: {origins: [https://app.example.com]}")
        case _:
            return handler(value)


RouteCors = Annotated[
    RouteCorsConfig | None, WrapValidator(_or_false, json_schema_input_type=Literal[False] | RouteCorsConfig)
]
