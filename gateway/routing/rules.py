"""What one method of one route demands, and the verdict.

The keys of a rule are ANDed. Inheritance is expanded when the rule is made: where `admin` includes `user`, a rule that
asks for `user` holds both names, and one that forbids `user` forbids both. So the verdict is a few set operations.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from gateway.errors import Refusal, refuse
from gateway.routing.conditions import (
    Addresses,
    Asked,
    Audience,
    Caller,
    Condition,
    NotRoles,
    Permissions,
    Roles,
    Scopes,
    first_unmet,
    together,
)


class Access(Enum):
    """Whether a route asks for a token."""

    REQUIRED = "required"
    OPTIONAL = "optional"
    """No token is an anonymous caller; a bad one is still refused."""
    PUBLIC = "public"


NOTHING_ASKED = Asked()
"""For rules that look at the caller alone."""


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
    """All of these."""
    scopes: frozenset[str] = frozenset()
    """All of these."""
    audience: frozenset[str] = frozenset()
    """Any of these in the token's `aud`; empty asks for none beyond what every token must be for."""
    further: tuple[Condition, ...] = ()
    """Conditions beyond names: claims, bindings, alternatives, the login's age; asked after the names."""
    addresses: Addresses | None = None
    """Where the request must come from; asked first of all, of public routes too."""
    places: Mapping[str, str] = field(default_factory=dict)
    """Key to where it was written, ``gateway.yaml:31``, for `explained`."""
    shadow: "Rule | None" = None
    """A candidate: what it would deny is told, and denied to nobody."""
    body_limit: int | None = None
    """Bytes; None leaves the route's own limit."""
    strict: bool = False
    """Refuse rather than let a token pass whose revocation may not have arrived here."""
    limits: tuple[str, ...] = ()
    """Names of the limits that requests count against."""
    wanted: str = ""
    """`wanted(rule)` in the words of the file, for the log."""
    conditions: tuple[Condition, ...] = field(init=False, repr=False)
    """Everything that is asked of a caller with a valid token, in order."""
    looks: bool = field(init=False, repr=False)
    """Some condition, here or in the candidate, looks at the request."""

    def __post_init__(self) -> None:
        conditions = (*self._of_names(), *self.further)
        object.__setattr__(self, "conditions", conditions)  # the dataclass is frozen; these follow from the others
        by_shadow = self.shadow is not None and (self.shadow.looks or self.shadow.addresses is not None)
        object.__setattr__(self, "looks", by_shadow or any(condition.looks for condition in conditions))

    def _of_names(self) -> list[Condition]:
        place = self.places.get
        made: list[Condition] = []
        if self.audience:
            made.append(Audience(self.audience, place=place("audience", "")))
        if self.roles:
            made.append(Roles(self.roles, place=place("roles", "")))
        made += [Roles(one_of, "roles_all", place("roles_all", "")) for one_of in self.roles_all]
        if self.not_roles:
            made.append(NotRoles(self.not_roles, place=place("not_roles", "")))
        if self.permissions:
            made.append(Permissions(self.permissions, place=place("permissions", "")))
        if self.scopes:
            made.append(Scopes(self.scopes, place=place("scopes", "")))
        return made


def judge(rule: Rule, who: Caller, asked: Asked = NOTHING_ASKED) -> Condition | None:
    """Return None when *who*, the owner of a valid token, may do what is *asked*, else the first condition in the way.

    `role_missing`, `permission_missing` and `scope_missing` say what to ask for; a role that is in the way is
    `rule_failed`, because nothing is missing. `rule.addresses` has been asked before.
    """
    return first_unmet(rule.conditions, who, asked)


def denied(rule: Rule, who: Caller, asked: Asked) -> Refusal | None:
    """Return what *rule* as a whole would refuse *who*, the owner of a valid token; None when it would not."""
    if rule.addresses is not None and not rule.addresses.has(asked.address):
        return refuse("address_denied", rule.addresses.wanted)
    unmet = judge(rule, who, asked)
    return None if unmet is None else unmet.refusal(who, asked, wanted(rule))


def wanted(rule: Rule) -> str:
    """Return what *rule* asks for as one line for people: ``role admin or user; permission orders:write``."""
    addresses = () if rule.addresses is None else (rule.addresses,)
    if rule.access is Access.PUBLIC:
        return together(addresses)
    if conditions := (*addresses, *rule.conditions):
        return together(conditions)
    return "a valid token" if rule.access is Access.REQUIRED else "a valid token or none"
