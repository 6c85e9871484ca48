"""What a route demands of an identity, and the verdict.

The keys of a rule are ANDed. Inheritance is expanded when the rule is made: where `admin` includes `user`, a rule that
asks for `user` holds both names, and one that forbids `user` forbids both. So the verdict is a few set operations.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Access(Enum):
    """Whether a route asks for a token."""

    REQUIRED = "required"
    OPTIONAL = "optional"
    """No token is an anonymous caller; a bad one is still refused."""
    PUBLIC = "public"


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """What one method of one route demands."""

    access: Access = Access.REQUIRED
    roles: frozenset[str] = frozenset()
    """Any of these; empty asks for none."""
    roles_all: tuple[frozenset[str], ...] = ()
    """One of each set."""
    not_roles: frozenset[str] = frozenset()
    permissions: frozenset[str] = frozenset()
    """All of these, from the token or by `granting`."""
    scopes: frozenset[str] = frozenset()
    """All of these."""
    audience: frozenset[str] = frozenset()
    """Any of these in the token's `aud`; empty asks for none beyond what every token must be for."""
    granting: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Permission to the roles that bring it along without the token saying so."""
    body_limit: int | None = None
    """Bytes; None leaves the route's own limit."""
    strict: bool = False
    """Refuse rather than let a token pass whose revocation may not have arrived here."""
    wanted: str = ""
    """`wanted(rule)` in the words of the file, for the log."""


def judge(rule: Rule, roles: frozenset[str], permissions: frozenset[str], scopes: frozenset[str]) -> str | None:
    """Return None when an identity with these *roles*, *permissions* and *scopes* passes, else the refusal's code.

    `role_missing`, `permission_missing` and `scope_missing` say what to ask for; a role that is in the way is
    `rule_failed`, because nothing is missing.
    """
    if rule.roles and rule.roles.isdisjoint(roles):
        return "role_missing"
    for one_of in rule.roles_all:
        if one_of.isdisjoint(roles):
            return "role_missing"
    if rule.not_roles and not rule.not_roles.isdisjoint(roles):
        return "rule_failed"
    if not rule.permissions <= permissions:
        for permission in rule.permissions - permissions:
            if rule.granting.get(permission, frozenset()).isdisjoint(roles):
                return "permission_missing"
    if not rule.scopes <= scopes:
        return "scope_missing"
    return None


def wanted(rule: Rule) -> str:
    """Return what *rule* asks for as one line for people: ``role admin or user; permission orders:write``."""
    if rule.access is Access.PUBLIC:
        return "nothing"
    parts = []
    if rule.roles:
        parts.append(f"role {_either(rule.roles)}")
    parts += [f"role {_either(one_of)}" for one_of in rule.roles_all]
    if rule.not_roles:
        parts.append(f"not role {_either(rule.not_roles)}")
    if rule.permissions:
        parts.append(f"permission {_each(rule.permissions)}")
    if rule.scopes:
        parts.append(f"scope {_each(rule.scopes)}")
    if rule.audience:
        parts.append(f"audience {_either(rule.audience)}")
    if not parts:
        return "a valid token" if rule.access is Access.REQUIRED else "a valid token or none"
    return "; ".join(parts)


def _either(names: frozenset[str]) -> str:
    return " or ".join(sorted(names))


def _each(names: frozenset[str]) -> str:
    return " and ".join(sorted(names))
