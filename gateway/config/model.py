"""The base of every section: frozen, no unknown keys, no surprises."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict

from gateway.config.faults import Wrong

Item = TypeVar("Item")


class Model(BaseModel):
    """A section of the file; its attributes are the keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, use_attribute_docstrings=True)


def _listed(value: object) -> object:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        raise Wrong("a list is needed", f"write [{value}]")
    return value


ListOf = Annotated[tuple[Item, ...], BeforeValidator(_listed)]
"""A list; a single word gets told how to become one."""


def short_form(long_form: type[Model], key: str, *, listed: bool = False) -> BeforeValidator:
    """Return what lets ``x: text`` stand for ``x: {key: text}``, or for ``x: {key: [text]}``."""

    def longer(value: object) -> object:
        if isinstance(value, str):
            return {key: [value] if listed else value}
        return value

    return BeforeValidator(longer, json_schema_input_type=str | long_form)


def distinct(values: tuple[Item, ...]) -> tuple[Item, ...]:
    """Return *values*; raise `Wrong` when one of them is there twice."""
    for at, value in enumerate(values):
        if value in values[:at]:
            raise Wrong(f'"{value}" is there twice')
    return values


def paths_in(value: Any) -> Iterator[Path]:
    """Yield every path in *value*, a section or a part of one."""
    if isinstance(value, BaseModel):
        for key in type(value).model_fields:
            yield from paths_in(getattr(value, key))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from paths_in(item)
    elif isinstance(value, tuple):
        for item in value:
            yield from paths_in(item)
    elif isinstance(value, Path):
        yield value
