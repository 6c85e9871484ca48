"""Routes of one path that header fields tell apart, and that do not ask for the same: a client chooses among them."""

from collections.abc import Iterator

from gateway.config.document import Loc
from gateway.config.findings import Finding
from gateway.config.models import Config
from gateway.config.routes import route_table
from gateway.routing.headers import joint, shown
from gateway.routing.route import Route
from gateway.routing.rules import Access, Rule
from gateway.routing.template import shape

_LEVEL = {Access.PUBLIC: 0, Access.OPTIONAL: 1, Access.REQUIRED: 2}


def variant_findings(config: Config) -> Iterator[Finding]:
    """Yield every route that is less protected than another of its path which a client avoids by its headers.

    One without headers, beside one with them that leads elsewhere, is two services on one path and is not told.
    """
    if not any(route.headers for route in config.routes):
        return
    by_path: dict[object, list[Route]] = {}
    for route in route_table(config).routes:
        by_path.setdefault((route.host, shape(route.segments)), []).append(route)
    for routes in by_path.values():
        for route in routes:
            other = next((one for one in routes if one is not route and _is_way_around(route, one)), None)
            if other is not None:
                yield _finding(route, other)


def _is_way_around(route: Route, other: Route) -> bool:
    if not route.headers and (not other.headers or route.upstream != other.upstream):
        return False
    return any(is_weaker(rule, other.rules[method]) for method, rule in route.rules.items() if method in other.rules)


def _finding(route: Route, other: Route) -> Finding:
    loc: Loc = ("routes", route.index, "headers" if route.headers else "path")
    method = next(
        name for name, rule in route.rules.items() if name in other.rules and is_weaker(rule, other.rules[name])
    )
    how = f"whoever sends {shown(route.headers)}" if route.headers else f"whoever leaves out {shown(other.headers)}"
    if route.headers and other.headers and joint(route.headers, other.headers) is None:
        how += f" in place of {shown(other.headers)}"
    return Finding(
        loc,
        f"{how} is not asked for {other.rules[method].wanted} as at {other.place}: clients choose their headers",
        "ask for the same in both",
    )


def is_weaker(rule: Rule, than: Rule) -> bool:
    """Return whether somebody may get through *rule* who does not get through *than*."""
    if _LEVEL[rule.access] != _LEVEL[than.access]:
        return _LEVEL[rule.access] < _LEVEL[than.access]
    if than.addresses is not None and (rule.addresses is None or rule.addresses.networks != than.addresses.networks):
        return True
    one_of = [*([rule.roles] if rule.roles else []), *rule.roles_all]
    asked = [*([than.roles] if than.roles else []), *than.roles_all]
    if any(not any(own <= names for own in one_of) for names in asked):
        return True
    if than.audience and not (rule.audience and rule.audience <= than.audience):
        return True
    for own, names in (
        (rule.not_roles, than.not_roles),
        (rule.permissions, than.permissions),
        (rule.scopes, than.scopes),
        ({one.wanted for one in rule.further}, {one.wanted for one in than.further}),
    ):
        if names - own:
            return True
    return than.strict and not rule.strict
