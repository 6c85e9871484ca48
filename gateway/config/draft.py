"""A configuration on its way through the checks."""

from collections.abc import Iterator
from typing import NamedTuple

from gateway.config.document import Document
from gateway.config.entries import RouteConfig
from gateway.config.models import Config


class Draft(NamedTuple):
    """A configuration that is being checked; of a faulty file, what is left of it."""

    document: Document
    config: Config
    """Without the broken sections and without the broken keys of routes, which have their defaults here."""
    indexes: tuple[int, ...]
    """Where each of its routes stands in the file."""
    mended: frozenset[int]
    """The routes, by these indexes, that lost keys; only what is left of them is judged, not what it amounts to."""
    broken: frozenset[str]
    """Top keys that have faults; what depends on them is not judged."""

    def routes(self) -> Iterator[tuple[int, RouteConfig]]:
        """Yield all routes with their indexes in the file."""
        return zip(self.indexes, self.config.routes, strict=True)

    def whole_routes(self) -> Iterator[tuple[int, RouteConfig]]:
        """Yield the routes that are as they were written."""
        return ((index, route) for index, route in self.routes() if index not in self.mended)

    def names(self, section: str) -> tuple[str, ...]:
        """Return the names in *section* as they are written, whether their values are right or not."""
        data = self.document.data
        written = data.get(section) if isinstance(data, dict) else None
        return tuple(written) if isinstance(written, dict) else ()

    def sound(self, *sections: str) -> bool:
        return self.broken.isdisjoint(sections)
