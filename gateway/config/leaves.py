"""A configuration value by value: for `gateway config show`, and to say what a reload changes."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel

from gateway.config.document import Loc, dotted
from gateway.config.models import Config
from gateway.config.values import Secret

HIDDEN = "***"
"""Stands for a secret."""


class Leaf(NamedTuple):
    """One value."""

    loc: Loc
    value: object
    """As the program uses it; to be compared, never to be shown."""
    shown: object
    """As it is written in the file, for JSON; secrets are `HIDDEN`."""
    default: bool
    """Nobody wrote it."""


def leaves(config: BaseModel) -> Iterator[Leaf]:
    """Yield every value of *config* that has no further keys, in the order of the model."""
    yield from _leaves(config, config.model_dump(mode="json", by_alias=True), (), default=False)


def _leaves(value: Any, shown: Any, loc: Loc, *, default: bool) -> Iterator[Leaf]:
    if isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            is_default = default or name not in value.model_fields_set
            key = field.alias or name
            yield from _leaves(getattr(value, name), shown[key], (*loc, key), default=is_default)
        for key, item in (value.model_extra or {}).items():
            yield from _leaves(item, shown[key], (*loc, key), default=default)
    elif isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _leaves(item, shown[str(key)], (*loc, str(key)), default=default)
    elif isinstance(value, Sequence) and not isinstance(value, str) and any(isinstance(v, BaseModel) for v in value):
        for at, item in enumerate(value):
            yield from _leaves(item, shown[at], (*loc, at), default=default)
    else:
        yield Leaf(loc, value, HIDDEN if isinstance(value, Secret) else _without_password(shown), default)


def _without_password(shown: object) -> object:
    """Return *shown* without what stands before the @ of a URL."""
    if not isinstance(shown, str) or "://" not in shown or "@" not in shown:
        return shown
    scheme, _, rest = shown.partition("://")
    return f"{scheme}://{HIDDEN}@{rest.rpartition('@')[2]}"


_NAMED = frozenset({"routes", "upstreams", "roles", "trusted_issuers", "limits", "rules"})
"""Sections whose entries come and go as a whole, which one line says."""


def difference(old: Config, new: Config) -> list[str]:
    """Return one line for each value that is another in *new*, and for what is gone or new; secrets are not shown."""
    before, after = _entries(old), _entries(new)
    said = []
    for entry in dict.fromkeys((*before, *after)):
        if entry not in after:
            said.append(f"{entry}: removed")
        elif entry not in before:
            said.append(f"{entry}: added")
        else:
            said += _changes(entry, before[entry], after[entry])
    return said


def _changes(entry: str, before: Mapping[str, Leaf], after: Mapping[str, Leaf]) -> Iterator[str]:
    for where in dict.fromkeys((*before, *after)):
        was, is_ = before.get(where), after.get(where)
        if (None if was is None else was.value) != (None if is_ is None else is_.value):
            yield f"{entry}{'.' if where else ''}{where}: {_text(was)} → {_text(is_)}"


def _entries(config: Config) -> dict[str, dict[str, Leaf]]:
    """Return the values by entry and by key; a route's entry is its name, so that moving it changes nothing."""
    titles = _titles(config)
    found: dict[str, dict[str, Leaf]] = {}
    for leaf in leaves(config):
        top, *rest = leaf.loc
        entry = str(top)
        if top in _NAMED and rest:
            name, *rest = rest
            entry = f"routes[{titles[name]}]" if isinstance(name, int) else f"{top}.{name}"
        keys = found.setdefault(entry, {})
        if leaf.value is not None:
            keys[dotted(tuple(rest))] = leaf
    return found


def _titles(config: Config) -> list[str]:
    titles: list[str] = []
    for route in config.routes:
        methods = f" {' '.join(route.method_rules)}" if "methods" in route.model_fields_set else ""
        title = f"{route.title}{methods}"
        titles.append(title if title not in titles else f"{title} #{len(titles)}")
    return titles


def _text(leaf: Leaf | None) -> str:
    if leaf is None:
        return "none"
    match leaf.shown:
        case bool() as flag:
            return str(flag).lower()
        case list() as items:
            return f"[{', '.join(map(str, items))}]"
        case shown:
            return str(shown)
