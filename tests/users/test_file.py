"""Users from a file: one answer, one price, whoever asks."""

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ConfigError
from gateway.tokens.people import Gone, InvalidCredentials
from gateway.tokens.subject import Subject
from gateway.users.credentials import CredentialVerifier
from gateway.users.file import FileUsers, UserRecord, caution, fault, normal_name
from gateway.users.hashes import AnyCost
from gateway.users.passwords import Cost, Hasher, HashPool, cost_of
from tests.users.conftest import CHEAP, CountingHasher, Inline

ALICE = UserRecord(
    password=Hasher(CHEAP).hash("wonderland"),
    roles=("user", "editor"),
    permissions=("docs:write",),
    scopes=("docs",),
    tenant="acme",
    claims={"department": "tea"},
)
EVE = UserRecord(password=Hasher(CHEAP).hash("apple"), disabled=True)
DEMO = UserRecord(password="demo", roles=("user",), demo=True)
HUGE = UserRecord(password=Hasher().decoy(Cost(4 * 1024 * 1024, 1, 1)))

RECORDS = {"Alice": ALICE, "eve": EVE, "demo": DEMO, "huge": HUGE}


@pytest.fixture
def users(hasher: CountingHasher) -> FileUsers:
    return FileUsers(RECORDS, Inline(), hasher)


async def test_the_right_password_brings_the_person_as_the_file_has_them(users: FileUsers) -> None:
    assert await users.verify("Alice", "wonderland") == Subject(
        sub="Alice",
        username="Alice",
        roles=("user", "editor"),
        permissions=("docs:write",),
        scopes=("docs",),
        tenant="acme",
        claims={"department": "tea"},
    )


async def test_real_costs_in_real_threads_work_the_same(pool: HashPool) -> None:
    users: CredentialVerifier = FileUsers({"bob": UserRecord(password=Hasher().hash("builder"))}, pool)
    right, wrong, unknown = await asyncio.gather(
        users.verify("bob", "builder"), users.verify("bob", "Builder"), users.verify("nobody", "builder")
    )
    assert isinstance(right, Subject)
    assert wrong == InvalidCredentials("wrong_password")
    assert unknown == InvalidCredentials("unknown_user")


@pytest.mark.item(135)
@pytest.mark.parametrize(
    "spelling",
    [
        pytest.param("alice", id="lower case"),
        pytest.param("ALICE", id="upper case"),
        pytest.param("\uff21lice", id="full-width A"),
    ],
)
async def test_a_name_is_found_in_any_spelling_and_the_stored_form_goes_into_the_token(
    users: FileUsers, spelling: str
) -> None:
    person = await users.verify(spelling, "wonderland")
    assert isinstance(person, Subject)
    assert (person.sub, person.username) == ("Alice", "Alice")


async def test_a_name_is_not_trimmed(users: FileUsers) -> None:
    assert await users.verify(" Alice", "wonderland") == InvalidCredentials("unknown_user")


@given(st.text(max_size=40))
def test_the_normal_spelling_of_a_name_is_its_own_normal_spelling(name: str) -> None:
    assert normal_name(normal_name(name)) == normal_name(name)


@given(st.text(max_size=40))
def test_case_does_not_matter(name: str) -> None:
    assert normal_name(name.casefold()) == normal_name(name)


@pytest.mark.item(116, "F13")
@pytest.mark.parametrize(
    ("username", "password", "reason"),
    [
        pytest.param("nobody", "x", "unknown_user", id="unknown user"),
        pytest.param("n" * 5000, "x", "unknown_user", id="a name beyond any length"),
        pytest.param("\ud800", "x", "unknown_user", id="a name that is no text"),
        pytest.param("alice", "x", "wrong_password", id="wrong password"),
        pytest.param("eve", "apple", "disabled", id="disabled user with the right password"),
        pytest.param("eve", "x", "wrong_password", id="disabled user with a wrong password"),
        pytest.param("huge", "x", "hash_unusable", id="absurd stored cost"),
        pytest.param("demo", "x", "wrong_password", id="demo user"),
    ],
)
async def test_every_failure_is_one_type_and_costs_one_hash_at_the_current_cost(
    users: FileUsers, hasher: CountingHasher, username: str, password: str, reason: str
) -> None:
    assert await users.verify(username, password) == InvalidCredentials(reason)
    assert hasher.spent == 1
    assert all(cost_of(encoded) == CHEAP for encoded in hasher.verified)


@pytest.mark.parametrize("username", ["Alice", "demo"])
async def test_a_success_costs_one_hash_too(users: FileUsers, hasher: CountingHasher, username: str) -> None:
    passwords = {"Alice": "wonderland", "demo": "demo"}
    for spent in (1, 2, 3):
        assert isinstance(await users.verify(username, passwords[username]), Subject)
        assert hasher.spent == spent


@pytest.mark.parametrize(
    ("username", "password", "reason"),
    [
        pytest.param("", "x", "empty", id="no name"),
        pytest.param("Alice", "", "empty", id="no password"),
        pytest.param("Alice", "x" * 1025, "password_too_long", id="1025 bytes"),
        pytest.param("Alice", "é" * 513, "password_too_long", id="1026 bytes in 513 letters"),
        pytest.param("Alice", "\ud800", "password_not_unicode", id="lone surrogate"),
    ],
)
async def test_what_cannot_be_a_password_is_refused_before_hashing(
    users: FileUsers, hasher: CountingHasher, username: str, password: str, reason: str
) -> None:
    assert await users.verify(username, password) == InvalidCredentials(reason)
    assert hasher.spent == 0


async def test_a_stored_hash_of_the_empty_password_lets_nobody_in(hasher: CountingHasher) -> None:
    users = FileUsers({"void": UserRecord(password=Hasher(CHEAP).hash(""))}, Inline(), hasher)
    assert await users.verify("void", "") == InvalidCredentials("empty")


async def test_a_demo_password_is_hashed_once_and_only_when_it_is_needed(
    users: FileUsers, hasher: CountingHasher
) -> None:
    assert hasher.hashed == []
    assert isinstance(await users.verify("demo", "demo"), Subject)
    assert await users.verify("demo", "dem") == InvalidCredentials("wrong_password")
    assert isinstance(await users.verify("demo", "demo"), Subject)
    assert hasher.hashed == ["demo"]


async def test_a_demo_user_may_also_have_a_hash(hasher: CountingHasher) -> None:
    users = FileUsers({"d": UserRecord(password=ALICE.password, demo=True)}, Inline(), hasher)
    assert isinstance(await users.verify("d", "wonderland"), Subject)
    assert await users.verify("d", ALICE.password) == InvalidCredentials("wrong_password")


async def test_without_any_user_everybody_is_unknown_at_the_current_cost(hasher: CountingHasher) -> None:
    users = FileUsers({}, Inline(), hasher)
    assert await users.verify("admin", "admin") == InvalidCredentials("unknown_user")
    assert [cost_of(encoded) for encoded in hasher.verified] == [CHEAP]


async def test_decoys_cost_what_the_files_own_hashes_cost_and_a_name_keeps_its_decoy_over_restarts() -> None:
    other = Cost(16, 1, 1)
    records = {f"u{i}": UserRecord(password=Hasher(CHEAP if i % 2 else other).hash("x")) for i in range(20)}
    seen: list[list[AnyCost | None]] = []
    for _start in range(2):
        hasher = CountingHasher(Cost(32, 1, 1))
        users = FileUsers(records, Inline(), hasher)
        for i in range(60):
            await users.verify(f"nobody{i}", "x")
        seen.append([cost_of(encoded) for encoded in hasher.verified])
    assert seen[0] == seen[1]
    assert set(seen[0]) == {CHEAP, other}


async def test_people_are_found_again_by_their_subject() -> None:
    users = FileUsers({"ann": UserRecord(password=ALICE.password, sub="id-7"), "eve": EVE}, Inline())
    person = await users.subject("id-7")
    assert isinstance(person, Subject)
    assert person.username == "ann"
    assert await users.subject("ann") == Gone("unknown")
    assert await users.subject("eve") == Gone("disabled")


async def test_the_file_is_replaced_whole(users: FileUsers) -> None:
    users.replace({"zoe": ALICE})
    assert await users.subject("Alice") == Gone("unknown")
    assert isinstance(await users.verify("zoe", "wonderland"), Subject)


async def test_a_broken_file_leaves_the_old_people_in_place(users: FileUsers) -> None:
    with pytest.raises(ConfigError):
        users.replace({"zoe": UserRecord(password="clear text")})
    assert isinstance(await users.verify("alice", "wonderland"), Subject)


@pytest.mark.parametrize(
    ("records", "complaint"),
    [
        pytest.param({"bob": UserRecord(password="secret")}, "not a hash we know", id="clear text without demo"),
        pytest.param({"bob": UserRecord(password="")}, "password is empty", id="empty password"),
        pytest.param({"bob": UserRecord(password="", demo=True)}, "password is empty", id="empty demo password"),
        pytest.param({"bob": UserRecord("x" * 1025, demo=True)}, "longer than 1024", id="endless demo password"),
        pytest.param({"": ALICE}, "1 to 255", id="empty name"),
        pytest.param({" ": ALICE}, "1 to 255", id="blank name"),
        pytest.param({"b\nob": ALICE}, "none of them a control", id="control character"),
        pytest.param({"bob": UserRecord(ALICE.password, roles=("a,b",))}, "comma", id="role with a comma"),
        pytest.param({"bob": UserRecord(ALICE.password, roles=("a" * 256,))}, "1 to 255", id="long role"),
        pytest.param({"bob": UserRecord(ALICE.password, tenant=" a ")}, "tenant", id="tenant with spaces around"),
        pytest.param({"bob": UserRecord(ALICE.password, scopes=('"a"',))}, "scope", id="quoted scope"),
        pytest.param({"bob": ALICE, "BOB": ALICE}, "another spelling", id="one name twice"),
        pytest.param(
            {"bob": UserRecord(ALICE.password, sub="ann"), "ann": ALICE}, "another user's", id="one sub twice"
        ),
    ],
)
def test_a_record_that_cannot_be_used_refuses_the_start_and_never_shows_the_password(
    records: dict[str, UserRecord], complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint) as error:
        FileUsers(records, Inline())
    assert "secret" not in str(error.value)


def test_every_fault_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        FileUsers({"bob": UserRecord(password="a"), "ann": UserRecord(password="b")}, Inline())
    assert "'bob'" in str(error.value)
    assert "'ann'" in str(error.value)


def test_an_absurd_cost_is_a_warning_and_not_a_fault() -> None:
    assert fault("huge", HUGE) is None
    assert "memory_kib=4194304" in (caution("huge", HUGE) or "")
    assert caution("alice", ALICE) is None


@pytest.mark.parametrize("show", [repr, str])
def test_a_record_does_not_print_its_password(show: Callable[[object], str]) -> None:
    assert "demo-secret" not in show(UserRecord(password="demo-secret", demo=True))
