"""What is left of a faulty file without its broken keys, entries and sections, so that the rest can be judged."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from gateway.config.document import Loc
from gateway.config.models import Config

_ENTRIES = frozenset(("trusted_issuers", "roles", "rules", "limits", "upstreams", "clients", "routes"))
"""Sections of which each entry stands by itself."""
_DEPTHS = {"defaults": 2, "login": 2} | dict.fromkeys(_ENTRIES, 3)
"""How long the place of a key is that can be missing alone; of any other section all is missing."""


def mended(locs: Iterable[Loc]) -> frozenset[Loc]:
    """Return the entries that faults at *locs* are in."""
    return frozenset(loc[:2] for loc in locs if loc[0] in _ENTRIES and len(loc) > 1)


def left_of(
    data: Mapping[Any, Any], locs: Iterable[Loc], validate: Callable[[object], Config]
) -> tuple[Config, tuple[int, ...]]:
    """Return *data* without what is at *locs*, valid; and which of its routes are left.

    A broken key goes alone; its entry goes with it where it cannot be without.
    """
    left = {section: _copied(section, value) for section, value in data.items()}
    step = 0
    while True:
        for loc in locs:
            _cut(left, loc[: max(1, _DEPTHS.get(str(loc[0]), 1) - step)])
        left["version"] = 1
        routes: dict[int, object] = left.get("routes", {})
        indexes = tuple(routes)
        try:
            return validate({**left, "routes": list(routes.values())}), indexes
        except ValidationError as invalid:
            found: list[Loc] = [error["loc"] for error in invalid.errors(include_url=False)]
        locs = [(loc[0], indexes[int(loc[1])], *loc[2:]) if loc[0] == "routes" and loc[1:] else loc for loc in found]
        step += 1


def _copied(section: object, value: Any) -> Any:
    """Return a *value* from which keys can be cut; routes by their indexes."""
    if section not in _DEPTHS:
        return value
    entries = dict(enumerate(value)) if section == "routes" and isinstance(value, list) else value
    if not isinstance(entries, dict):
        return value
    return {name: dict(entry) if isinstance(entry, dict) else entry for name, entry in entries.items()}


def _cut(left: Any, loc: Loc) -> None:
    *way, last = loc
    for step in way:
        left = left.get(step) if isinstance(left, dict) else None
    if isinstance(left, dict):
        left.pop(last, None)
