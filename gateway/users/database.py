"""Users in an SQL database: the gateway's own table, or a table that is there already, by two queries.

The database decides nothing: it is asked for the row of a name or of a subject, and `checking` does the rest. What can
be written is the password (only where nobody has changed it meanwhile) and, in the own table, the second factor. Every
question has a deadline; whatever goes wrong with the database is `Unavailable`, never a wrong password.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from sqlalchemy import String, TextClause, bindparam, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from gateway.errors import ConfigError
from gateway.tokens.claims import is_text
from gateway.tokens.people import Gone, InvalidCredentials, Unavailable
from gateway.tokens.subject import Subject
from gateway.users.checking import Checking
from gateway.users.file import normal_name
from gateway.users.rows import BadRow, Person, person

_CONNECTIONS = 8
_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
_COLUMNS = "sub, username, password, roles, permissions, scopes, tenant, claims, disabled"


@dataclass(frozen=True, slots=True)
class Queries:
    """How people are found; what may be written is None where it may not."""

    by_name: str
    """With `:name` (the normal spelling) or `:username` (as typed); at most one row."""
    by_sub: str
    """With `:sub`."""
    set_password: str | None = None
    """With `:sub`, `:old` and `:new`; must change a row only where the password is `:old`."""
    factor: str | None = None
    set_factor: str | None = None
    sample: str | None = None
    """What some people have as `sub` and `password`, for decoys that cost as much from the first login on."""


OWN = Queries(
    by_name=f"SELECT {_COLUMNS} FROM gateway_users WHERE name = :name",  # noqa: S608 - a constant
    by_sub=f"SELECT {_COLUMNS} FROM gateway_users WHERE sub = :sub",  # noqa: S608
    set_password="UPDATE gateway_users SET password = :new WHERE sub = :sub AND password = :old",  # noqa: S106
    factor="SELECT second_factor FROM gateway_users WHERE sub = :sub",
    set_factor=(
        "UPDATE gateway_users SET second_factor = :new WHERE sub = :sub AND COALESCE(second_factor, '') = :old"
    ),
    sample="SELECT sub, password FROM gateway_users ORDER BY sub LIMIT 1000",
)
"""The gateway's own table."""

_TEXTS = {"name", "username", "sub", "old", "new"}
DOWN = (SQLAlchemyError, OSError, TimeoutError)
"""What a database that cannot be asked raises."""


class Database:
    """One database, asked within a deadline."""

    def __init__(
        self,
        url: str,
        *,
        password: str | None = None,
        timeout: float = 3.0,
        prepare: Callable[[AsyncEngine], Awaitable[None]] | None = None,
    ) -> None:
        """Nothing is connected yet; *prepare* is done once, before the first question.

        Raises:
            ConfigError: the URL is none that we know.
        """
        self.timeout = timeout
        self.engine = _engine(address(url, password), timeout)
        self._clauses: dict[str, TextClause] = {}
        self._prepare = prepare
        self._preparing = asyncio.Lock()

    async def ready(self) -> None:
        """Return when the tables are as they have to be; raises what the driver raises, and tries again next time."""
        if self._prepare is None:
            return
        async with self._preparing:
            if self._prepare is not None:
                await self._prepare(self.engine)
                self._prepare = None

    async def read(self, query: str, *, most: int | None = 2, **values: object) -> list[Mapping[str, object]]:
        """Return the rows of *query*, at most so many; raises what the driver raises."""
        await self.ready()
        clause = self._clause(query)
        async with asyncio.timeout(self.timeout), self.engine.connect() as connection:
            found = await connection.execute(clause, _used(clause, values))
            rows = found.mappings()
            return [dict(row) for row in (rows.all() if most is None else rows.fetchmany(most))]

    async def write(self, query: str, **values: object) -> int:
        """Run *query* in a transaction; return how many rows it changed."""
        await self.ready()
        clause = self._clause(query)
        async with asyncio.timeout(self.timeout), self.engine.begin() as connection:
            done = await connection.execute(clause, _used(clause, values))
            return int(done.rowcount)

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()

    def _clause(self, query: str) -> TextClause:
        if query not in self._clauses:
            clause = text(query)
            # Said to be text, PostgreSQL lets a query cast it to the type of its column.
            texts = [bindparam(name, type_=String()) for name in _TEXTS & clause._bindparams.keys()]
            self._clauses[query] = clause.bindparams(*texts)
        return self._clauses[query]


class DatabaseUsers:
    """A `CredentialVerifier`, a `PasswordStore`, and with the own table a `FactorStore`."""

    def __init__(
        self,
        database: Database,
        checking: Checking,
        queries: Queries = OWN,
        *,
        on_fault: Callable[[str], None] = lambda reason: None,
    ) -> None:
        """*on_fault* is told, for the operator's log, what is wrong with the database or one of its rows."""
        self._database = database
        self._checking = checking
        self._queries = queries
        self._on_fault = on_fault
        self._sampled = queries.sample is None

    async def verify(self, username: str, password: str) -> Subject | InvalidCredentials | Unavailable:
        """Return whose password this is; raises Refused (overloaded) when too many logins wait already."""
        if (reason := self._checking.refused(username, password)) is not None:
            return InvalidCredentials(reason)
        if not self._sampled and (down := await self._sample()) is not None:
            return down
        name, found = normal_name(username), None
        if is_text(username):  # what no claim can hold is nobody's name, and some databases take it for a fault
            asked = await self._one(self._queries.by_name, name=name, username=username)
            if isinstance(asked, Unavailable):
                return asked
            found = asked
        stored = None if found is None else found.password
        if found is not None and stored:
            self._checking.saw(found.subject.sub, stored)
        if (why := await self._checking.check(stored, name, password)) is not None:
            return InvalidCredentials(why)
        assert found is not None
        if found.disabled:
            return InvalidCredentials("disabled")
        await self._renew(found, password)
        return found.subject

    async def subject(self, sub: str) -> Subject | Gone | Unavailable:
        """Return the person as the table has them now."""
        found = await self._one(self._queries.by_sub, sub=sub)
        if found is None:
            return Gone("unknown")
        if isinstance(found, Unavailable):
            return found
        return Gone("disabled") if found.disabled else found.subject

    async def stored_password(self, sub: str) -> str | Gone | Unavailable:
        """Return the hash of *sub*; Gone when there is no such person, or they are disabled."""
        found = await self._one(self._queries.by_sub, sub=sub)
        if isinstance(found, Unavailable):
            return found
        return Gone("unknown") if found is None or found.disabled else found.password

    async def set_password(self, sub: str, old: str, new: str) -> bool | Unavailable:
        """Put the hash *new* in the place of *old*."""
        return await self._set(self._queries.set_password, sub, old, new)

    async def factor(self, sub: str) -> str | Unavailable | None:
        """Return the sealed second factor of *sub*."""
        assert self._queries.factor is not None
        try:
            rows = await self._database.read(self._queries.factor, sub=sub)
        except DOWN as error:
            return self._down(error)
        value = rows[0]["second_factor"] if rows else None
        return value if isinstance(value, str) and value else None

    async def set_factor(self, sub: str, old: str | None, new: str | None) -> bool | Unavailable:
        """Put *new* in the place of *old*."""
        return await self._set(self._queries.set_factor, sub, old or "", new)

    async def _sample(self) -> Unavailable | None:
        """Learn what hashes cost here, once; two first logins may both do it, which counts nobody twice."""
        assert self._queries.sample is not None
        try:
            rows = await self._database.read(self._queries.sample, most=None)
        except DOWN as error:
            return self._down(error)
        for row in rows:
            if isinstance(stored := row["password"], str) and stored:
                self._checking.saw(str(row["sub"]), stored)
        self._sampled = True
        return None

    async def _renew(self, found: Person, password: str) -> None:
        """Make the hash a current one; a login never fails because of it."""
        if self._queries.set_password is None:
            return
        new = await self._checking.renewed(found.password, password)
        if new is not None:
            await self.set_password(found.subject.sub, found.password, new)

    async def _set(self, query: str | None, sub: str, old: str, new: str | None) -> bool | Unavailable:
        assert query is not None
        try:
            return await self._database.write(query, sub=sub, old=old, new=new) == 1
        except DOWN as error:
            return self._down(error)

    async def _one(self, query: str, **values: str) -> Person | Unavailable | None:
        try:
            rows = await self._database.read(query, most=2, **values)
        except DOWN as error:
            return self._down(error)
        if not rows:
            return None
        if len(rows) > 1:
            self._on_fault("the query by name or subject finds two people")
            return Unavailable("two_rows")
        try:
            return person(rows[0])
        except BadRow as error:
            self._on_fault(f"the column {error} of a row cannot be used")
            return Unavailable("bad_row")

    def _down(self, error: BaseException) -> Unavailable:
        # The text may hold the statement with its values: only the kind of error is for the log.
        inner = getattr(error, "orig", None)
        self._on_fault(f"{type(error).__name__}{'' if inner is None else f': {type(inner).__name__}'}")
        return Unavailable("database")


def address(url: str, password: str | None = None) -> URL:
    """Return where the database is, with the driver we use.

    Raises:
        ConfigError: neither SQLite nor PostgreSQL, or no URL.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigError("the URL of the database cannot be read; write sqlite:///file or postgresql://…") from error
    driver = _DRIVERS.get(parsed.drivername)
    if driver is None:
        raise ConfigError(f"no database is called {parsed.drivername!r}; there are sqlite and postgresql")
    return parsed.set(drivername=driver) if password is None else parsed.set(drivername=driver, password=password)


def _prepare(connection: DBAPIConnection) -> None:
    """Make a new connection to SQLite ready; raises what the driver raises."""
    cursor = connection.cursor()
    # Readers and a writer do not wait for one another. The file remembers it; whoever finds it locked comes while
    # another gateway does just this, and SQLite does not wait for that.
    with contextlib.suppress(sqlite3.OperationalError):
        cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def _engine(url: URL, timeout: float) -> AsyncEngine:
    if url.get_backend_name() == "sqlite":
        engine = create_async_engine(url, connect_args={"timeout": timeout})

        @event.listens_for(engine.sync_engine, "connect")
        def prepare(connection: DBAPIConnection, _record: object) -> None:
            try:
                _prepare(connection)
            except Exception:
                connection.close()  # nobody else would, and it holds a thread
                raise

        return engine
    return create_async_engine(
        url,
        pool_size=_CONNECTIONS,
        max_overflow=0,
        pool_timeout=timeout,
        pool_pre_ping=True,  # a database that was restarted costs a ping, not a failed login
        pool_recycle=1800,
        connect_args={"timeout": timeout, "command_timeout": timeout},
    )


def _used(clause: TextClause, values: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if name in clause._bindparams}
