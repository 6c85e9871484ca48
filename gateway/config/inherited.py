"""What each method of a route asks, as it is written: with what it inherits, and before it becomes conditions."""

from collections.abc import Iterator
from typing import Any

from gateway.config.document import Loc
from gateway.config.entries import RuleConfig
from gateway.config.models import Config
from gateway.config.rules import opened_at


class Inherited:
    """What one method of one route asks, with what it inherits."""

    def __init__(self, loc: Loc, levels: list[RuleConfig]) -> None:
        self.loc = loc
        """Where a rule of its own would be."""
        opened = opened_at(levels)
        self.auth = levels[opened].auth
        self._levels = levels if self.auth == "required" else levels[: opened + 1]
        self.limits = next((level.limit for level in levels if "limit" in level.model_fields_set), ())

    def of(self, key: str) -> Any:
        for level in self._levels:
            if key in level.model_fields_set:
                return getattr(level, key)
        return ()


def inherited(config: Config, index: int) -> Iterator[tuple[str, Inherited]]:
    """Yield each method of a route with its rules."""
    route = config.routes[index]
    for method, own in route.method_rules.items():
        levels: list[RuleConfig] = [route, config.defaults]
        if own is None:
            yield method, Inherited(("routes", index), levels)
        else:
            yield method, Inherited(("routes", index, "methods", method), [own, *levels])
