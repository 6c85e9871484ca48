"""What an operator does to the gateway's own table of users: add people, list them, change and disable them."""

import json
from collections.abc import Mapping
from dataclasses import replace

from sqlalchemy.exc import IntegrityError

from gateway.errors import ConfigError
from gateway.tokens.subject import Subject
from gateway.users.database import Database
from gateway.users.file import UserRecord, fault, normal_name
from gateway.users.rows import Person, person

_INSERT = """INSERT INTO gateway_users
 (sub, name, username, password, roles, permissions, scopes, tenant, claims, disabled)
 VALUES (:sub, :name, :username, :password, :roles, :permissions, :scopes, :tenant, :claims, :disabled)"""


class Keeping:
    """The own table; every method raises what the driver raises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, name: str, record: UserRecord) -> None:
        """Add the user *name*.

        Raises:
            ConfigError: the record cannot be used, or the name or `sub` is somebody's already.
        """
        # A demo user's password may lie in clear in a file; here nobody's does.
        if (reason := fault(name, replace(record, demo=False))) is not None:
            raise ConfigError(reason)
        lists = {"roles": record.roles, "permissions": record.permissions, "scopes": record.scopes}
        try:
            await self._database.write(
                _INSERT,
                sub=record.sub or name,
                name=normal_name(name),
                username=name,
                password=record.password,
                tenant=record.tenant,
                claims=json.dumps(dict(record.claims)),
                disabled=record.disabled,
                **{column: json.dumps(words) for column, words in lists.items()},
            )
        except IntegrityError as error:
            raise ConfigError(f"there is a user {name!r}, or with their sub, already") from error

    async def people(self) -> list[Person]:
        """Return everybody, by name."""
        query = "SELECT * FROM gateway_users ORDER BY name"
        return [person(row) for row in await self._database.read(query, most=None)]

    async def set_password(self, name: str, encoded: str) -> Subject:
        """Give the user *name* the password that was hashed to *encoded*, and return who that is.

        Raises:
            ConfigError: there is no such user.
        """
        await self._change("UPDATE gateway_users SET password = :new WHERE name = :name", name, new=encoded)
        return await self._who(name)

    async def set_disabled(self, name: str, disabled: bool) -> Subject:
        """Let the user *name* log in no more, or again, and return who that is; raises as `set_password`."""
        await self._change("UPDATE gateway_users SET disabled = :off WHERE name = :name", name, off=disabled)
        return await self._who(name)

    async def forget_second_factor(self, name: str) -> None:
        """Let the user *name* log in by password alone again: the phone is lost and so are the recovery codes."""
        await self._change("UPDATE gateway_users SET second_factor = NULL WHERE name = :name", name)

    async def _who(self, name: str) -> Subject:
        rows = await self._database.read("SELECT * FROM gateway_users WHERE name = :name", name=normal_name(name))
        if not rows:
            raise ConfigError(f"there is no user {name!r} any more")
        return person(rows[0]).subject

    async def _change(self, query: str, name: str, **values: object) -> None:
        if await self._database.write(query, name=normal_name(name), **values) != 1:
            raise ConfigError(f"there is no user {name!r}; see: gateway users list")


def importable(records: Mapping[str, UserRecord]) -> list[str]:
    """Return what is wrong with *records* before any of them is added, one sentence each."""
    found = (fault(name, replace(record, demo=False)) for name, record in records.items())
    return [reason for reason in found if reason is not None]
