"""A person as the user store knows them: what a login proves and an access token states."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

Brought = Mapping[str, frozenset[str]]
"""Role to all permissions that it brings along."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Who logged in, and what they may do."""

    sub: str
    """The identifier that never changes; goes into the token (RFC 7519 section 4.1.2)."""
    username: str
    """What the person types at login; may change."""
    roles: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    tenant: str | None = None
    claims: Mapping[str, object] = field(default_factory=dict)
    """Extra claims for the token; a name that the gateway sets itself is ignored."""

    def endowed(self, brought: Brought) -> "Subject":
        """Return the same person with the permissions of their roles, sorted, each once."""
        return replace(self, permissions=tuple(sorted(permissions_of(self.roles, brought).union(self.permissions))))


def permissions_of(roles: Iterable[str], brought: Brought) -> frozenset[str]:
    """Return the permissions that *roles* bring along."""
    return frozenset[str]().union(*(brought[role] for role in roles if role in brought))
