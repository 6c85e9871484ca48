"""One contract for every store of users: the same questions, the same answers, and an outage that is nobody's fault.

Run against the users file, an htpasswd file, SQLite, a PostgreSQL server of this machine, and a service on a socket
that is asked by HTTP; against the gateway's own table and against a table that was there before, by two queries.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import bcrypt
import pytest

from gateway.config.htpasswd import htpasswd_users
from gateway.config.verify import HtpasswdConfig
from gateway.errors import ConfigError
from gateway.tokens.people import Gone, InvalidCredentials, Unavailable
from gateway.tokens.subject import Subject
from gateway.users.checking import Checking
from gateway.users.credentials import CredentialVerifier
from gateway.users.database import OWN, Database, DatabaseUsers, Queries, address
from gateway.users.decoys import Decoys
from gateway.users.file import FileUsers, UserRecord, normal_name
from gateway.users.hashes import Bcrypt, cost_of
from gateway.users.migrating import migrate
from tests.users.conftest import CHEAP, CountingHasher, Inline
from tests.users.postgres import Postgres, running
from tests.users.service import serving

ANN = UserRecord("", roles=("user", "admin"), scopes=("docs",), sub="u-1", tenant="acme", claims={"plan": "pro"})
SHE = Subject("u-1", "Ann", ANN.roles, (), ANN.scopes, ANN.tenant, ANN.claims)
PATIENCE = 20.0
"""Seconds for a question; a busy machine must not fail a test that is not about time."""

_THEIRS = """CREATE TABLE accounts (id INTEGER PRIMARY KEY, email TEXT, pw TEXT, groups TEXT, locked BOOLEAN,
 org TEXT, extra TEXT)"""
_COLUMNS = (
    "id AS sub, email AS username, pw AS password, groups AS roles, locked AS disabled, org AS tenant, extra AS claims"
)
THEIRS = Queries(
    by_name=f"SELECT {_COLUMNS} FROM accounts WHERE lower(email) = :name",
    by_sub=f"SELECT {_COLUMNS} FROM accounts WHERE id = CAST(:sub AS INTEGER)",
    set_password="UPDATE accounts SET pw = :new WHERE id = CAST(:sub AS INTEGER) AND pw = :old",
)


class Place:
    """A store under test, and the two people in it."""

    def __init__(
        self,
        users: CredentialVerifier,
        hasher: CountingHasher,
        *,
        ann: Subject = SHE,
        off: str = "u-2",
        forgets: bool = False,
        calls: Callable[[], int] | None = None,
    ) -> None:
        """*forgets* when nobody can be asked about who has not logged in; *calls* counts those over the network."""
        self.users = users
        self.hasher = hasher
        self.ann = ann
        self.off = off
        self.forgets = forgets
        self.calls = calls


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with running() as server:
        yield server


def people(hasher: CountingHasher) -> dict[str, UserRecord]:
    hashed = hasher.hash("right")
    return {
        "Ann": UserRecord(hashed, ANN.roles, (), ANN.scopes, ANN.sub, ANN.tenant, ANN.claims),
        "off": UserRecord(hashed, sub="u-2", disabled=True),
        "huge": UserRecord("$argon2id$v=19$m=4194304,t=1,p=1$c2FsdHNhbHQ$" + "A" * 43, sub="u-3"),
    }


def in_database(database: Database, queries: Queries = OWN, hasher: CountingHasher | None = None) -> Place:
    hasher = hasher or CountingHasher()
    checking = Checking(Inline(), hasher, Decoys(b"k" * 32, CHEAP))
    return Place(DatabaseUsers(database, checking, queries), hasher)


def in_htpasswd(folder: Path, hasher: CountingHasher) -> Place:
    hashed = bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode().replace("$2b$", "$2y$")
    (folder / "htpasswd").write_text(f"Ann:{hashed}\noff:!{hashed}\nhuge:{{SHA}}0DPiKuNIrrVmD8IUCuw1hQxNqZc=\n")
    (folder / "groups").write_text("admin: Ann nobody\n")
    files = {"file": str(folder / "htpasswd"), "groups_file": str(folder / "groups"), "roles": ["user"]}
    records = htpasswd_users(HtpasswdConfig.model_validate(files), ("user", "admin"))
    users = FileUsers(records, Inline(), hasher, any_hash=True)
    return Place(users, hasher, ann=Subject("Ann", "Ann", ("user", "admin")), off="off")


_INSERT = """INSERT INTO gateway_users (sub, name, username, password, roles, scopes, tenant, claims, disabled)
 VALUES (:sub, :name, :username, :password, :roles, :scopes, :tenant, :claims, :disabled)"""


async def fill(database: Database, records: dict[str, UserRecord]) -> None:
    for name, one in records.items():
        await database.write(
            _INSERT,
            sub=one.sub,
            name=normal_name(name),
            username=name,
            password=one.password,
            roles='["user", "admin"]' if one.roles else "[]",
            scopes='["docs"]' if one.scopes else "[]",
            tenant=one.tenant,
            claims='{"plan": "pro"}' if one.claims else "{}",
            disabled=one.disabled,
        )


STORES = ["file", "htpasswd", "sqlite", "postgresql", "callout", "callout without lookup"]


@pytest.fixture(params=STORES)
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    hasher = CountingHasher()
    records = people(hasher)
    match request.param:
        case "file":
            yield Place(FileUsers(records, Inline(), hasher), hasher)
        case "htpasswd":
            yield in_htpasswd(tmp_path, hasher)
        case "callout" | "callout without lookup" as kind:
            theirs = FileUsers(records, Inline(), hasher)
            async with serving(theirs, lookup=kind == "callout") as callout:
                asked = callout.service.asked
                yield Place(callout.users, hasher, forgets=kind != "callout", calls=lambda: len(asked))
        case _:
            async with opened(request, tmp_path) as database:
                await fill(database, records)
                yield in_database(database, hasher=hasher)


@asynccontextmanager
async def opened(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """An empty database of the kind that the parameter names."""
    url = f"sqlite:///{tmp_path / 'users.db'}"
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        url = server.url
        await answering(url)
    database = Database(url, timeout=PATIENCE, prepare=migrate)
    yield database
    if request.param == "postgresql":
        await database.write("DROP TABLE IF EXISTS accounts")
        await database.write("DROP TABLE gateway_users")
        await database.write("DROP TABLE gateway_users_version")
    await database.close()


async def answering(url: str) -> None:
    """Return when the server answers."""
    database = Database(url, timeout=PATIENCE)
    async with asyncio.timeout(60):
        while True:
            try:
                await database.read("SELECT 1")
                break
            except Exception:
                await asyncio.sleep(0.05)
    await database.close()


@pytest.mark.item(135)
async def test_the_right_password_is_the_persons_in_any_spelling_of_the_name(place: Place) -> None:
    for name in ("Ann", "ann", "ANN", "\uff21nn"):
        who = await place.users.verify(name, "right")
        assert isinstance(who, Subject), who
        assert who == place.ann


NOBODYS = ("a\0b", "\ud800")
"""Names that no claim can hold, so nobody has them."""


@pytest.mark.item(115)
@pytest.mark.parametrize(
    ("name", "password"),
    [("Ann", "wrong"), ("nobody", "right"), ("off", "right"), ("huge", "right"), *((name, "x") for name in NOBODYS)],
    ids=["wrong password", "unknown user", "disabled", "absurd hash", "NUL in the name", "no character"],
)
async def test_each_no_is_the_same_no_for_the_same_work(place: Place, name: str, password: str) -> None:
    """One hash here; or one question to whoever has them, but for names that are nobody's whoever is asked."""
    before, asked = place.hasher.spent, 0 if place.calls is None else place.calls()
    assert isinstance(await place.users.verify(name, password), InvalidCredentials)
    if place.calls is None:
        assert place.hasher.spent == before + 1
    else:
        assert place.calls() - asked == (name not in NOBODYS)


@pytest.mark.item(132)
@pytest.mark.parametrize(("name", "password"), [("", "right"), ("Ann", ""), ("", "")])
async def test_nothing_is_never_a_success(place: Place, name: str, password: str) -> None:
    assert isinstance(await place.users.verify(name, password), InvalidCredentials)


@pytest.mark.item(120)
async def test_a_password_is_taken_as_it_is_up_to_1024_bytes(place: Place) -> None:
    assert isinstance(await place.users.verify("Ann", "x" * 1025), InvalidCredentials)
    assert isinstance(await place.users.verify("Ann", "RIGHT"), InvalidCredentials)
    assert isinstance(await place.users.verify("Ann", "right "), InvalidCredentials)


@pytest.mark.item(94)
async def test_a_refresh_learns_who_somebody_is_now(place: Place) -> None:
    assert isinstance(await place.users.verify("Ann", "right"), Subject)
    assert await place.users.subject(place.ann.sub) == place.ann
    for sub in (place.off, "nobody"):
        assert isinstance(await place.users.subject(sub), Unavailable if place.forgets else Gone)


# --- databases ---


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    async with opened(request, tmp_path) as database:
        await database.ready()
        yield database


async def stored(place: Place) -> str:
    assert isinstance(place.users, DatabaseUsers)
    found = await place.users.stored_password("u-1")
    assert isinstance(found, str)
    return found


@pytest.mark.item(122)
async def test_an_outdated_hash_is_renewed_by_a_login_and_a_current_one_left(database: Database) -> None:
    place = in_database(database)
    await fill(database, {"Ann": UserRecord(Bcrypt(4).decoy(), sub="u-1")})
    await database.write(
        "UPDATE gateway_users SET password = :new", new=bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode()
    )
    assert isinstance(await place.users.verify("ann", "wrong"), InvalidCredentials)
    assert cost_of(await stored(place)) == Bcrypt(4)
    assert isinstance(await place.users.verify("ann", "right"), Subject)
    renewed = await stored(place)
    assert cost_of(renewed) == CHEAP
    assert isinstance(await place.users.verify("ann", "right"), Subject)
    assert await stored(place) == renewed


@pytest.mark.item(122)
async def test_a_password_changed_meanwhile_is_not_overwritten(database: Database) -> None:
    place = in_database(database)
    await fill(database, people(place.hasher))
    assert isinstance(place.users, DatabaseUsers)
    old = await stored(place)
    assert await place.users.set_password("u-1", old, "new")
    assert await place.users.set_password("u-1", old, "newer") is False
    assert await stored(place) == "new"


@pytest.mark.item(116)
async def test_names_nobody_has_cost_what_the_people_of_the_table_cost_from_the_first_login_on(
    database: Database,
) -> None:
    place = in_database(database)
    await fill(database, {f"u{n}": UserRecord(Bcrypt(4).decoy(), sub=f"u-{n}") for n in range(3)})
    for name in ("nobody", "u0", "u0", "somebody"):
        assert isinstance(await place.users.verify(name, "guess"), InvalidCredentials)
    assert [cost_of(encoded) for encoded in place.hasher.verified] == [Bcrypt(4)] * 4


async def test_a_second_factor_is_kept_beside_its_user_by_compare_and_set(database: Database) -> None:
    place = in_database(database)
    await fill(database, people(place.hasher))
    users = place.users
    assert isinstance(users, DatabaseUsers)
    assert await users.factor("u-1") is None
    assert await users.set_factor("u-1", None, "sealed")
    assert await users.set_factor("u-1", None, "other") is False
    assert await users.factor("u-1") == "sealed"
    assert await users.set_factor("u-1", "sealed", None)
    assert await users.factor("u-1") is None
    assert await users.set_factor("nobody", None, "sealed") is False


async def test_an_existing_table_is_mapped_by_two_queries(database: Database) -> None:
    place = in_database(database, THEIRS)
    await database.write(_THEIRS)
    hashed = place.hasher.hash("right")
    insert = "INSERT INTO accounts VALUES (:id, :mail, :pw, 'user,admin', :locked, 'acme', '{\"plan\": \"pro\"}')"
    await database.write(insert, id=7, mail="Ann@x.org", pw=hashed, locked=False)
    await database.write(insert, id=8, mail="off@x.org", pw=hashed, locked=True)
    await database.write(insert, id=9, mail="sso@x.org", pw=None, locked=False)
    who = await place.users.verify("ANN@x.org", "right")
    assert isinstance(who, Subject)
    assert (who.sub, who.username, who.roles, who.tenant) == ("7", "Ann@x.org", ("user", "admin"), "acme")
    assert who.claims == {"plan": "pro"}
    assert isinstance(await place.users.subject("7"), Subject)
    assert isinstance(await place.users.verify("off@x.org", "right"), InvalidCredentials)
    for guess in ("", "right", "None"):
        assert isinstance(await place.users.verify("sso@x.org", guess), InvalidCredentials)


@pytest.mark.parametrize(
    "by_name",
    ["SELECT 1 AS sub", "SELECT nothing", "SELECT * FROM nowhere", "SELECT 'a' AS sub, '' AS username, '' AS password"],
)
async def test_a_query_that_cannot_be_right_is_an_outage_and_never_a_login(database: Database, by_name: str) -> None:
    place = in_database(database, Queries(by_name, by_name))
    assert isinstance(await place.users.verify("ann", "right"), Unavailable)
    assert isinstance(await place.users.subject("u-1"), Unavailable)


async def test_several_gateways_make_the_table_at_once(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    server: Postgres = request.getfixturevalue("postgres")
    await answering(server.url)
    for url in (f"sqlite:///{tmp_path / 'users.db'}", server.url):
        databases = [Database(url, timeout=PATIENCE, prepare=migrate) for _ in range(4)]
        await asyncio.gather(*(one.ready() for one in databases))
        for one in databases:
            assert await one.read("SELECT sub FROM gateway_users") == []
        if url == server.url:
            await databases[0].write("DROP TABLE gateway_users")
            await databases[0].write("DROP TABLE gateway_users_version")
        for one in databases:
            await one.close()


# --- outages ---

Questions = tuple[Callable[[DatabaseUsers], Awaitable[object]], ...]
ALL: Questions = (
    lambda users: users.verify("ann", "right"),
    lambda users: users.subject("u-1"),
    lambda users: users.stored_password("u-1"),
    lambda users: users.set_password("u-1", "a", "b"),
    lambda users: users.factor("u-1"),
    lambda users: users.set_factor("u-1", None, "x"),
)


async def unavailable(users: CredentialVerifier) -> None:
    assert isinstance(users, DatabaseUsers)
    for question in ALL:
        assert isinstance(await question(users), Unavailable)


@pytest.mark.item(132)
async def test_a_sqlite_file_that_is_none_is_an_outage(tmp_path: Path) -> None:
    (tmp_path / "users.db").write_text("this is no database, and long enough for nobody to think so" * 50)
    for url in (f"sqlite:///{tmp_path / 'users.db'}", f"sqlite:///{tmp_path / 'no' / 'folder.db'}"):
        threads = threading.active_count()
        database = Database(url, timeout=PATIENCE, prepare=migrate)
        await unavailable(in_database(database).users)
        await database.close()
        async with asyncio.timeout(PATIENCE):
            while threading.active_count() > threads:  # each connection has one, and those that failed leave none
                await asyncio.sleep(0.01)


@pytest.mark.item(132)
async def test_a_server_that_is_not_there_is_an_outage(tmp_path: Path) -> None:
    for url in (f"postgresql://x@/x?host={tmp_path}", "postgresql://x@127.0.0.1:1/x"):
        database = Database(url, timeout=PATIENCE, prepare=migrate)
        await unavailable(in_database(database).users)
        await database.close()


@pytest.mark.item(132)
async def test_a_frozen_server_is_an_outage_that_ends(request: pytest.FixtureRequest) -> None:
    with running() as server:
        await answering(server.url)
        database = Database(server.url, timeout=1.0, prepare=migrate)
        async with asyncio.timeout(60):
            while isinstance(await in_database(database).users.subject("u-1"), Unavailable):
                pass  # a busy machine
        server.freeze()
        place = in_database(database)
        assert isinstance(await place.users.verify("ann", "right"), Unavailable)
        server.thaw()
        async with asyncio.timeout(60):
            while isinstance(await place.users.verify("ann", "right"), Unavailable):
                await asyncio.sleep(0.05)
        await database.close()


@pytest.mark.parametrize("url", ["mysql://x@y/z", "users.db", "", "redis://x"])
def test_a_database_we_do_not_know_is_said_so(url: str) -> None:
    with pytest.raises(ConfigError):
        address(url)
