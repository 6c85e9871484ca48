"""Which roles stand for which: inheritance, spelled out."""

from collections.abc import Iterable, Mapping

from gateway.config.models import Config
from gateway.config.sections import RoleConfig
from gateway.users.file import UserRecord


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


def bringing(roles: Mapping[str, RoleConfig]) -> dict[str, frozenset[str]]:
    """Return for every role that brings permissions along all of them, those of the roles it includes among them."""
    brought: dict[str, set[str]] = {}
    for permission, having in granting(roles).items():
        for name in having:
            brought.setdefault(name, set()).add(permission)
    return {name: frozenset(permissions) for name, permissions in brought.items()}


def held(config: Config, users: Mapping[str, UserRecord]) -> frozenset[str] | None:
    """Return the roles that somebody has; None when that is not in the files, or nobody has any yet."""
    login = config.login
    if login is not None and (login.verify.users_file is None or "roles" in login.claims):
        return None
    named: list[Iterable[str]] = [
        *(user.roles for user in users.values()),
        *(client.roles for client in config.clients.values()),
    ]
    named += [names for issuer in config.trusted_issuers.values() for names in issuer.role_map.values()]
    return frozenset[str]().union(*named) or None


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
