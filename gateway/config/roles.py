"""Which roles stand for which: inheritance, spelled out."""

from collections.abc import Iterable, Mapping

from gateway.config.sections import RoleConfig


def holders(roles: Mapping[str, RoleConfig]) -> dict[str, frozenset[str]]:
    """Return for every role all roles that have it: itself, and those that include it over any number of steps."""
    having: dict[str, set[str]] = {name: {name} for name in roles}
    for name in roles:
        for included in _below(roles, name):
            having.setdefault(included, {included}).add(name)
    return {name: frozenset(names) for name, names in having.items()}


def granting(roles: Mapping[str, RoleConfig]) -> dict[str, frozenset[str]]:
    """Return for every permission that a role brings along all roles that have such a role."""
    having = holders(roles)
    granted: dict[str, frozenset[str]] = {}
    for name, role in roles.items():
        for permission in role.permissions:
            granted[permission] = granted.get(permission, frozenset()) | having[name]
    return granted


def circle(roles: Mapping[str, RoleConfig], name: str) -> tuple[str, ...] | None:
    """Return the way from *name* back to itself, or None when it does not include itself."""
    ways: list[tuple[str, ...]] = [(name,)]
    seen = set()
    while ways:
        way = ways.pop()
        for included in _includes(roles, way[-1]):
            if included == name:
                return (*way, name)
            if included not in seen:
                seen.add(included)
                ways.append((*way, included))
    return None


def _below(roles: Mapping[str, RoleConfig], name: str) -> set[str]:
    seen: set[str] = set()
    todo = [name]
    while todo:
        for included in _includes(roles, todo.pop()):
            if included not in seen:
                seen.add(included)
                todo.append(included)
    return seen


def _includes(roles: Mapping[str, RoleConfig], name: str) -> Iterable[str]:
    role = roles.get(name)
    return role.includes if role else ()
