"""The users file: people and their password hashes, read with the same care as gateway.yaml.

Dollar signs stay as they are, because every hash is full of them.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, ValidationError

from gateway.config.document import Document, Loc, contents, read
from gateway.config.draft import Draft
from gateway.config.entries import Words
from gateway.config.explain import note_all
from gateway.config.faults import Fault, FaultyFile, Wrong
from gateway.config.htpasswd import htpasswd_users, read_htpasswd
from gateway.config.model import Model
from gateway.config.models import Config
from gateway.config.rule_checks import unknown_role
from gateway.config.values import Flag, Text
from gateway.errors import ConfigError
from gateway.tokens.issue import RESERVED, Unissuable
from gateway.tokens.subject import Subject
from gateway.users.claims import mapped
from gateway.users.file import UserRecord, fault, normal_name

# What tokens say about themselves, or what the file has a key of its own for.
_RESERVED = RESERVED | {"username"}


def _password(value: object) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise Wrong("a password is text", "put quotes around it")
    if not isinstance(value, str):
        raise Wrong("a password is text", "an argon2id hash, as `gateway users hash` makes them")
    return value


class UserConfig(Model):
    """One person."""

    password: Annotated[str, BeforeValidator(_password)] = Field(repr=False)
    """An argon2id hash; with `demo`, also a password in clear."""
    roles: Words = ()
    permissions: Words = ()
    scopes: Words = ()
    sub: Text | None = None
    """The lasting identifier in tokens; absent: the name."""
    tenant: Text | None = None
    claims: Mapping[str, object] = Field(default_factory=dict)
    """More claims for the tokens of this person."""
    disabled: Flag = False
    demo: Flag = False
    """For trying out: the gateway then serves this machine only."""

    def record(self) -> UserRecord:
        return UserRecord(
            password=self.password,
            roles=self.roles,
            permissions=self.permissions,
            scopes=self.scopes,
            sub=self.sub,
            tenant=self.tenant,
            claims=self.claims,
            disabled=self.disabled,
            demo=self.demo,
        )


class UsersFile(Model):
    """The users file."""

    users: Mapping[str, UserConfig]


def load_users(path: Path, config: Config) -> Mapping[str, UserRecord]:
    """Return the people in *path* by their names.

    Raises:
        ConfigError: the file cannot be used with *config*; every fault is listed with its line.
    """
    document = _document(path)
    users = _validated(document)
    if users is not None:
        _check(document, users, config, config.roles)
    if document.faults or users is None:
        raise FaultyFile(document.faults)
    return {name: user.record() for name, user in users.items()}


def file_users(config: Config) -> Mapping[str, UserRecord]:
    """Return the people of the file that *config* names; nobody when it names none. Raises as `load_users`."""
    verify = None if config.login is None else config.login.verify
    if verify is not None and verify.htpasswd is not None:
        return htpasswd_users(verify.htpasswd, config.roles)
    path = None if verify is None else verify.file
    return {} if path is None else load_users(path, config)


def user_faults(draft: Draft) -> list[Fault]:
    """Return what is wrong with the file of users that *draft* names; nothing when it names none."""
    verify = None if draft.config.login is None else draft.config.login.verify
    if verify is None or verify.users_file is None:
        return []
    loc: Loc = ("login", "verify", "file" if verify.htpasswd is None else "htpasswd")
    known = draft.names("roles")
    try:
        if verify.htpasswd is not None:
            unknown = [
                draft.document.fault_at((*loc, "roles", at), *unknown_role(role, known))
                for at, role in enumerate(verify.htpasswd.roles)
                if role not in known
            ]
            return [*unknown, *read_htpasswd(verify.htpasswd, known)[1]]
        document = _document(verify.users_file)
    except ConfigError as error:
        return [draft.document.fault_at(loc, str(error))]
    if (users := _validated(document)) is not None:
        _check(document, users, draft.config if draft.sound("server") else None, known)
    return document.faults


def _document(path: Path) -> Document:
    document = read(str(path), contents(path))
    if not isinstance(document.data, dict) and not document.faults:
        document.fault((), "keys with values are needed at the top, beginning with users:")
    return document


def _validated(document: Document) -> Mapping[str, UserConfig] | None:
    if not isinstance(document.data, dict):
        return None
    try:
        return UsersFile.model_validate(document.data).users
    except ValidationError as invalid:
        note_all(document, UsersFile, invalid)
        return None


def _check(document: Document, users: Mapping[str, UserConfig], config: Config | None, roles: Iterable[str]) -> None:
    known = tuple(roles)
    names: dict[str, str] = {}
    subs: dict[str, str] = {}
    for name, user in users.items():
        loc: Loc = ("users", name)
        if (reason := fault(name, user.record())) is not None:
            document.fault(loc, reason.removeprefix(f"user {name!r}: "), at_key=True)
        for at, role in enumerate(user.roles):
            if role not in known:
                document.fault((*loc, "roles", at), *unknown_role(role, known))
        for claim in _RESERVED.intersection(user.claims):
            document.fault((*loc, "claims", claim), f'the claim "{claim}" is the gateway\'s own', at_key=True)
        if (same := names.setdefault(normal_name(name), name)) != name:
            document.fault(loc, f'the same name as "{same}" in another spelling', at_key=True)
        if (other := subs.setdefault(user.sub or name, name)) != name:
            document.fault(loc, f'the same sub as of "{other}"; two people would be one', at_key=True)
    if config is not None and config.login is not None and config.login.claims:
        _check_mapped(document, users, config.login.claim_map, known)
    if config is not None:
        for reason, hint in _demo_dangers(config):
            demo = [name for name, user in users.items() if user.demo]
            if demo:
                text = f"{', '.join(demo)}: demo users are for this machine only, but {reason}"
                document.fault(("users", demo[0], "demo"), text, hint)


def _check_mapped(
    document: Document, users: Mapping[str, UserConfig], mapping: Mapping[str, tuple[str, ...]], known: tuple[str, ...]
) -> None:
    """Note whom the mapping of `login.claims` would give no token, or a role that there is not."""
    for name, user in users.items():
        record = user.record()
        person = Subject(
            record.sub or name,
            name,
            record.roles,
            record.permissions,
            record.scopes,
            record.tenant,
            record.claims,
        )
        try:
            roles = mapped(person, mapping).roles
        except Unissuable as error:
            document.fault(("users", name), f"by login.claims, {error}", at_key=True)
            continue
        for role in sorted(set(roles).difference(known, user.roles)):
            reason, hint = unknown_role(role, known)
            document.fault(("users", name), f"by login.claims, {reason}", hint, at_key=True)


def _demo_dangers(config: Config) -> Iterator[tuple[str, str]]:
    """Their passwords are in every manual, so nobody else may come near (architecture 8.3)."""
    remedy = "remove the demo users, or "
    for key, address in (("server.listen", config.server.listen), ("server.admin.listen", config.server.admin.listen)):
        if not address.loopback:
            yield f"{key} is {address}", f"{remedy}listen on 127.0.0.1:{address.port}"
    if config.server.trusted_proxies:
        yield "server.trusted_proxies is not empty", f"{remedy}remove the proxies"
