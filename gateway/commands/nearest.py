"""Why no route was found: the routes that would have been it but for one thing, and what that is."""

from collections.abc import Iterator
from dataclasses import replace
from difflib import get_close_matches
from typing import NamedTuple

from gateway.routing.headers import shown
from gateway.routing.route import BUILTIN, Route, RouteOptions
from gateway.routing.table import NoRoute, RouteTable
from gateway.routing.target import BadTarget, read

MOST = 3


class Near(NamedTuple):
    """A route that was not found, and why not."""

    route: Route
    why: str


def nearest(table: RouteTable, method: str, target: str) -> list[Near]:
    """Return the few routes of *table* that come closest to *target*; none when its path cannot be read."""
    found = read(target.encode("utf-8", "surrogateescape"))
    if isinstance(found, BadTarget):
        return []
    routes = [route for route in table.routes if route.upstream != BUILTIN]
    near = [Near(route, why) for route in routes if (why := _missed_by(route, method.encode(), found.path))]
    if not near:
        by_template = {route.template: route for route in reversed(routes)}
        alike = get_close_matches(found.path.decode("utf-8", "replace"), by_template, MOST)
        near = [Near(by_template[template], "is spelled alike") for template in alike]
    return near[:MOST]


def _missed_by(route: Route, method: bytes, path: bytes) -> str | None:
    """Return what kept *path* from matching *route*; None when it was more than one thing."""
    for why, template, asked in _loosened(route, path):
        if template is None:
            continue
        alone = RouteTable([replace(route, host=None, template=template, options=RouteOptions())])
        if not isinstance(alone.match(method, b"", asked), NoRoute):
            return why
    return None


def _loosened(route: Route, path: bytes) -> Iterator[tuple[str, str | None, bytes]]:
    """Yield what may be other than it was meant, with the template and the path as they would then be."""
    template = route.template
    if route.headers:
        yield f"asks for the header {shown(route.headers)}", template, path
    yield f"is at the host {route.host}", template, path
    yield "is written with other capitals", template.lower(), path.lower()
    below = None if template.endswith("**") else f"{template.rstrip('/')}/**"
    yield f"takes in nothing below it, as {below} would", below, path
