"""Users written down in a file: the parsed records in, people out.

Names are compared without regard to case and compatibility forms (Unicode default caseless matching), but what goes
into tokens is the name as it is written in the file. Every login computes exactly one argon2 hash, whoever asks:
a name nobody has is checked against a decoy, drawn so that decoys cost what the file's own hashes cost.

Demo users (`demo: true`) may have their password in clear. It is hashed when it is first needed, so that starting
stays fast, and that first check spends its one hash on this.
"""

import hashlib
import hmac
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from gateway.errors import ConfigError
from gateway.tokens.claims import is_text, names
from gateway.tokens.claims import scopes as read_scopes
from gateway.tokens.people import Gone, InvalidCredentials, Unavailable
from gateway.tokens.subject import Subject
from gateway.users.checking import Checking, unhashable
from gateway.users.decoys import Decoys
from gateway.users.passwords import MAX_PASSWORD_BYTES, Hasher, cost_of
from gateway.users.pool import Pool

_LONGEST = 255
"""Longest user name: the same as of a claim, because one is made of it."""


@dataclass(frozen=True, slots=True)
class UserRecord:
    """One user as written in the file; the name is the mapping's key."""

    password: str = field(repr=False)
    """A hash (`hashes` says which kinds); with `demo`, also a password in clear."""
    roles: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    sub: str | None = None
    """Stable identifier for tokens; the name as written when absent."""
    tenant: str | None = None
    claims: Mapping[str, object] = field(default_factory=dict)
    disabled: bool = False
    demo: bool = False


def normal_name(name: str) -> str:
    """Return the one spelling by which users are found (Unicode 15 section 3.13, D146, then composed again)."""
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFD", name).casefold())
    return unicodedata.normalize("NFKC", decomposed.casefold())


def fault(name: str, record: UserRecord, *, any_hash: bool = False) -> str | None:
    """Return why *record* cannot be used at all, as a sentence with its remedy; None when it can.

    With *any_hash*, for files that other programs write, a hash of an unknown kind is no fault, and matches nothing.
    """
    if not is_text(name) or not normal_name(name) or not is_text(record.sub or name):
        return f"user {name!r}: name and sub have 1 to 255 characters, none of them a control, no spaces around"
    if record.tenant is not None and not is_text(record.tenant):
        return f"user {name!r}: the tenant has 1 to 255 characters, none of them a control, no spaces around"
    if names(list(record.roles)) is None or names(list(record.permissions)) is None:
        return f"user {name!r}: a role or permission has 1 to 255 characters, none of them a control or a comma"
    if read_scopes(" ".join(record.scopes)) is None:
        return f"user {name!r}: a scope is printable ASCII without spaces, quotes and backslashes (RFC 6749 3.3)"
    if not record.password and not any_hash:
        return f"user {name!r}: the password is empty"
    if unhashable(record.password) is not None:
        return f"user {name!r}: the password is longer than {MAX_PASSWORD_BYTES} bytes, or no text"
    if cost_of(record.password) is None and not record.demo and not any_hash:
        return f"user {name!r}: the password is not a hash we know; `gateway users hash` makes one"
    return None


def caution(name: str, record: UserRecord) -> str | None:
    """Return what the operator should know although the file can be used: such a user cannot log in."""
    cost = cost_of(record.password)
    if cost is not None and cost.absurd:
        return f"user {name!r}: the hash asks for too much to ever be computed: {cost}"
    if cost is None and not record.demo and not record.disabled:
        return f"user {name!r}: no password matches a hash of this kind; make a new one with: htpasswd -B, bcrypt"
    return None


def subject_of(name: str, record: UserRecord) -> Subject:
    """Return whom the record *record* of *name* is about."""
    return Subject(
        sub=record.sub or name,
        username=name,
        roles=record.roles,
        permissions=record.permissions,
        scopes=record.scopes,
        tenant=record.tenant,
        claims=MappingProxyType(dict(record.claims)),
    )


class _Person:
    """A record made ready for use."""

    __slots__ = ("demo_hash", "record", "subject")

    def __init__(self, name: str, record: UserRecord) -> None:
        self.record = record
        self.demo_hash: str | None = None
        self.subject = subject_of(name, record)


class _People:
    """One consistent set of people, replaced whole."""

    def __init__(self, records: Mapping[str, UserRecord], pool: Pool, hasher: Hasher, any_hash: bool) -> None:
        self.by_name: dict[str, _Person] = {}
        self.by_sub: dict[str, _Person] = {}
        faults: list[str] = []
        for name, record in records.items():
            if (reason := fault(name, record, any_hash=any_hash)) is not None:
                faults.append(reason)
                continue
            person = _Person(name, record)
            same = self.by_name.setdefault(normal_name(name), person)
            if same is not person:
                faults.append(f"users {same.subject.username!r} and {name!r} are the same name in another spelling")
            if self.by_sub.setdefault(person.subject.sub, person) is not person:
                faults.append(f"user {name!r}: the sub {person.subject.sub!r} is another user's too")
        if faults:
            raise ConfigError("\n".join(faults))
        # Which decoy a name gets must not change from one start to the next, or two starts would tell that nobody
        # has that name; so the key is made of what an outsider cannot know: the stored hashes.
        stored = sorted(person.record.password for person in self.by_name.values())
        key = hashlib.sha256("\n".join(stored).encode("utf-8", "surrogatepass")).digest()
        self.checking = Checking(pool, hasher, Decoys(key, hasher.cost, stored))


class FileUsers:
    """A `CredentialVerifier` over records that somebody else has read and parsed."""

    def __init__(
        self, records: Mapping[str, UserRecord], pool: Pool, hasher: Hasher | None = None, *, any_hash: bool = False
    ) -> None:
        """Raise ConfigError listing every record that cannot be used; *any_hash* is that of `fault`."""
        self._pool = pool
        self._hasher = hasher or Hasher()
        self._any_hash = any_hash
        self._people = _People(records, pool, self._hasher, any_hash)

    def replace(self, records: Mapping[str, UserRecord]) -> None:
        """Take *records* instead of all there were; on ConfigError the old ones stay."""
        self._people = _People(records, self._pool, self._hasher, self._any_hash)

    async def verify(self, username: str, password: str) -> Subject | InvalidCredentials | Unavailable:
        """Return whose password this is; raises Refused (overloaded) when too many logins wait already."""
        people = self._people
        if (reason := people.checking.refused(username, password)) is not None:
            return InvalidCredentials(reason)
        person = people.by_name.get(normal_name(username)) if len(username) <= _LONGEST else None
        if person is not None and person.record.demo and cost_of(person.record.password) is None:
            why = None if await self._pool.run(self._check_demo, person, password) else "wrong_password"
        else:
            stored = None if person is None else person.record.password
            why = await people.checking.check(stored, normal_name(username[: _LONGEST + 1]), password)
        if person is None or why is not None:
            return InvalidCredentials(why or "unknown_user")
        return InvalidCredentials("disabled") if person.record.disabled else person.subject

    def _check_demo(self, person: _Person, password: str) -> bool:
        """Compare with a password in clear, in a thread of the pool; one hash is computed on every way through."""
        stored = person.record.password
        if person.demo_hash is not None:
            return self._hasher.verify(person.demo_hash, password)
        person.demo_hash = self._hasher.hash(stored)
        return hmac.compare_digest(stored.encode(), password.encode())

    async def subject(self, sub: str) -> Subject | Gone | Unavailable:
        """Return the person with this identifier as the file has them now."""
        person = self._people.by_sub.get(sub)
        if person is None:
            return Gone("unknown")
        return Gone("disabled") if person.record.disabled else person.subject
