"""What a token says of a person, chosen from their record: the mapping of `login.claims`.

A record is what the user store knows: `sub`, `username`, `roles`, `permissions`, `scope`, `tenant`, and all further
claims by their names. A mapping names a claim and the place in the record its value comes from; with one, of the
further claims only those that it names go into tokens. It holds for every store alike, at login and at refresh. So do
the permissions that roles bring along: they are added to the person's own.
"""

from collections.abc import Mapping
from dataclasses import replace

from gateway.paths import reached
from gateway.tokens.claims import names
from gateway.tokens.issue import Unissuable
from gateway.tokens.people import Gone, InvalidCredentials, Unavailable
from gateway.tokens.subject import Brought, Subject
from gateway.users.credentials import CredentialVerifier

Paths = Mapping[str, tuple[str, ...]]

OWN = frozenset({"roles", "permissions", "scope", "tenant"})
"""Claims with a meaning of their own that a mapping may fill; `sub` names the person in the store and stays."""


def mapped(subject: Subject, mapping: Paths) -> Subject:
    """Return *subject* with its claims chosen by *mapping*; what is not there makes no claim, and no role.

    Raises:
        Unissuable: a value is not of the kind that its claim asks for.
    """
    record: dict[str, object] = {
        **subject.claims,
        "sub": subject.sub,
        "username": subject.username,
        "roles": list(subject.roles),
        "permissions": list(subject.permissions),
        "scope": " ".join(subject.scopes),
        "tenant": subject.tenant,
    }
    found = {claim: reached(record, path) for claim, path in mapping.items()}
    more = {claim: value for claim, value in found.items() if claim not in OWN and value is not None}
    changed = replace(subject, claims=more)
    if "roles" in found:
        changed = replace(changed, roles=_names("roles", found["roles"]))
    if "permissions" in found:
        changed = replace(changed, permissions=_names("permissions", found["permissions"]))
    if "scope" in found:
        changed = replace(changed, scopes=_scopes(found["scope"]))
    if "tenant" in found:
        changed = replace(changed, tenant=_tenant(found["tenant"]))
    return changed


class MappedPeople:
    """A user store whose people are read through a mapping, and have the permissions of their roles."""

    def __init__(self, people: CredentialVerifier, mapping: Paths, brought: Brought) -> None:
        self._people = people
        self._mapping = mapping
        self._brought = brought

    async def verify(self, username: str, password: str) -> Subject | InvalidCredentials | Unavailable:
        """As the store's own; a record that cannot be read is no answer."""
        found = await self._people.verify(username, password)
        return self._mapped(found) if isinstance(found, Subject) else found

    async def subject(self, sub: str) -> Subject | Gone | Unavailable:
        """As the store's own; a record that cannot be read is no answer."""
        found = await self._people.subject(sub)
        return self._mapped(found) if isinstance(found, Subject) else found

    def _mapped(self, subject: Subject) -> Subject | Unavailable:
        try:
            return stated(subject, self._mapping, self._brought)
        except Unissuable as error:
            return Unavailable(f"claims: {error}")


def stated(subject: Subject, mapping: Paths, brought: Brought) -> Subject:
    """Return *subject* as a token states them: by *mapping* when there is one, with what their roles bring along.

    Raises:
        Unissuable: as `mapped`.
    """
    return (mapped(subject, mapping) if mapping else subject).endowed(brought)


def _names(claim: str, value: object) -> tuple[str, ...]:
    """Read *value* as every claim of names is read: a list, or text, which is one name and never split."""
    if value is None:
        return ()
    found = names(value)
    if found is None:
        raise Unissuable(f"{claim} must be a list of names without commas, or one name")
    return tuple(sorted(found))


def _scopes(value: object) -> tuple[str, ...]:
    match value:
        case None | "":
            return ()
        case str():
            return tuple(value.split(" "))
        case list() if all(isinstance(name, str) for name in value):
            return tuple(value)
        case _:
            raise Unissuable("scope must be a list of scopes, or text with spaces between them")


def _tenant(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise Unissuable("tenant must be text")
