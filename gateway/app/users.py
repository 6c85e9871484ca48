"""The store of users that a configuration asks for; databases stay connected over reloads."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gateway.app.callout import UsersService
from gateway.config.models import Config
from gateway.config.roles import bringing
from gateway.config.verify import CalloutConfig, DatabaseConfig
from gateway.errors import ConfigError
from gateway.outbound.client import Outbound
from gateway.sessions.remembered import RememberedPeople
from gateway.sessions.store import SessionStore
from gateway.tokens.sealing import Seal
from gateway.tokens.secrets import Secrets
from gateway.users.callout import CalloutUsers
from gateway.users.change import PasswordStore
from gateway.users.checking import Checking
from gateway.users.claims import MappedPeople
from gateway.users.credentials import CredentialVerifier
from gateway.users.decoys import Decoys
from gateway.users.file import FileUsers, UserRecord
from gateway.users.passwords import Hasher
from gateway.users.pool import Pool
from gateway.users.second_factor import FactorStore

if TYPE_CHECKING:
    from gateway.users.database import Database


class People(NamedTuple):
    """Who may log in, and what may be written about them."""

    verifier: CredentialVerifier
    passwords: PasswordStore | None = None
    factors: FactorStore | None = None


class UserStores:
    """Opens what is asked for, once; `close` closes all of it."""

    def __init__(
        self,
        secrets: Secrets,
        pool: Pool,
        data: Path,
        *,
        outbound: Outbound,
        store: SessionStore,
        on_fault: Callable[[str], None],
    ) -> None:
        """*on_fault* is told what is wrong with a database or a service, for the operator's log.

        *store* is where sessions are, and what a service said of people that cannot be asked again.
        """
        self._secrets = secrets
        self._pool = pool
        self._data = data
        self._outbound = outbound
        self._store = store
        self._on_fault = on_fault
        self._databases: dict[DatabaseConfig, tuple[Database, People]] = {}

    def of(self, config: Config, records: Mapping[str, UserRecord]) -> People:
        """Return the people of *config*; *records* are those of its file of users.

        Raises:
            ConfigError: a database or service that cannot be used, or libraries that are not installed.
        """
        login = config.login
        if login is None:
            return People(FileUsers({}, self._pool))
        verify = login.verify
        if verify.callout is not None:
            people = People(self._service(verify.callout, config))
        elif verify.database is not None:
            if verify.database not in self._databases:
                self._databases[verify.database] = self._opened(verify.database)
            people = self._databases[verify.database][1]
        else:
            people = People(FileUsers(records, self._pool, any_hash=verify.htpasswd is not None))
        return people._replace(verifier=MappedPeople(people.verifier, login.claim_map, bringing(config.roles)))

    async def close(self) -> None:
        """Close every connection."""
        for database, _ in self._databases.values():
            await database.close()

    def _service(self, written: CalloutConfig, config: Config) -> CalloutUsers:
        longest = config.tokens.refresh.ttl
        return CalloutUsers(
            UsersService(self._outbound, written),
            written.url,
            written.lookup_url,
            RememberedPeople(self._store, self._secrets.subject_tag, longest),
            Seal(self._secrets.people),
            whole=bool(config.login and config.login.claims),
            on_fault=self._on_fault,
        )

    def _opened(self, written: DatabaseConfig) -> "tuple[Database, People]":
        from gateway.users.database import OWN, DatabaseUsers, Queries

        database = open_database(written, self._data)
        hasher = Hasher()
        queries = OWN
        if (given := written.queries) is not None:
            queries = Queries(given.by_name, given.by_sub, given.set_password)
        checking = Checking(self._pool, hasher, Decoys(self._secrets.decoy, hasher.cost))
        users = DatabaseUsers(database, checking, queries, on_fault=self._on_fault)
        return database, People(
            users,
            passwords=users if queries.set_password is not None else None,
            factors=users if queries.factor is not None else None,
        )


def open_database(written: DatabaseConfig, data: Path) -> "Database":
    """Return the database that *written* names, not connected yet; the own table is made at the first question.

    Raises:
        ConfigError: the URL cannot be used, or the libraries are not installed.
    """
    try:
        from gateway.users.database import Database
        from gateway.users.migrating import migrate
    except ImportError as error:
        raise ConfigError("login.verify.database needs the extra sql: pip install 'jwt-gateway[sql]'") from error
    password = None if written.password is None else written.password.value.decode()
    url = written.url or f"sqlite:///{data / 'users.db'}"
    return Database(
        url, password=password, timeout=written.timeout, prepare=migrate if written.queries is None else None
    )
