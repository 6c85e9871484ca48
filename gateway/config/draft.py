"""A configuration on its way through the checks."""

from collections.abc import Iterator
from typing import NamedTuple

from gateway.config.document import Document, Loc
from gateway.config.entries import RouteConfig
from gateway.config.models import Config


class Draft(NamedTuple):
    """A configuration that is being checked; of a faulty file, what is left of it."""

    document: Document
    config: Config
    """Without the broken sections; of `defaults`, `login` and the sections that have entries, without what is broken in
    them."""
    indexes: tuple[int, ...]
    """Where each of its routes stands in the file."""
    mended: frozenset[Loc]
    """The entries, as ("routes", 3) or ("limits", "api"), that lost keys or are gone; only what is left of them is
    judged, not what it amounts to."""
    broken: frozenset[str]
    """Top keys that have faults; what depends on all of their values is not judged."""

    def routes(self) -> Iterator[tuple[int, RouteConfig]]:
        """Yield all routes with their indexes in the file."""
        return zip(self.indexes, self.config.routes, strict=True)

    def whole_routes(self) -> Iterator[tuple[int, RouteConfig]]:
        """Yield the routes that are as they were written."""
        return ((index, route) for index, route in self.routes() if self.is_whole("routes", index))

    def names(self, section: str) -> tuple[str, ...]:
        """Return the names in *section* as they are written, whether their values are right or not."""
        data = self.document.data
        written = data.get(section) if isinstance(data, dict) else None
        return tuple(written) if isinstance(written, dict) else ()

    def is_whole(self, *entry: str | int) -> bool:
        """Say whether an entry, or what *entry* is a place in, is as it was written."""
        return entry[:2] not in self.mended

    def sound(self, *sections: str) -> bool:
        return self.broken.isdisjoint(sections)
