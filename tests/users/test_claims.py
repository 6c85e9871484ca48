"""Claims chosen from a person's record, whatever store it comes from."""

from dataclasses import replace
from typing import Any

import pytest

from gateway.tokens.issue import Unissuable
from gateway.tokens.people import Gone, InvalidCredentials, Unavailable
from gateway.tokens.subject import Subject
from gateway.users.claims import MappedPeople, mapped

ANA = Subject(
    "7",
    "ana",
    roles=("user",),
    permissions=("read",),
    scopes=("mail", "files"),
    tenant="acme",
    claims={
        "groups": ["admin", "user"],
        "group": "admin",
        "org": {"slug": "north", "admin.name": "o", "size": 7},
        "rights": ["write"],
        "none": None,
    },
)


def test_each_claim_comes_from_the_place_that_is_named_and_nothing_else_goes_into_the_token() -> None:
    found = mapped(
        ANA, {"plan": ("org", "size"), "https://x.example/who": ("username",), "admin": ("org", "admin.name")}
    )
    assert found.claims == {"plan": 7, "https://x.example/who": "ana", "admin": "o"}
    assert (found.roles, found.permissions, found.scopes, found.tenant) == (
        ANA.roles,
        ANA.permissions,
        ANA.scopes,
        ANA.tenant,
    )


@pytest.mark.parametrize(
    ("claim", "path", "member", "value"),
    [
        ("roles", ("groups",), "roles", ("admin", "user")),
        ("roles", ("group",), "roles", ("admin",)),
        ("roles", ("nowhere",), "roles", ()),
        ("roles", ("org", "slug", "deeper"), "roles", ()),
        ("permissions", ("rights",), "permissions", ("write",)),
        ("permissions", ("roles",), "permissions", ("user",)),
        ("scope", ("rights",), "scopes", ("write",)),
        ("scope", ("scope",), "scopes", ("mail", "files")),
        ("tenant", ("org", "slug"), "tenant", "north"),
        ("tenant", ("none",), "tenant", None),
    ],
)
def test_claims_with_a_meaning_are_read_as_what_they_are(
    claim: str, path: tuple[str, ...], member: str, value: object
) -> None:
    assert getattr(mapped(ANA, {claim: path}), member) == value


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("roles", 7),
        ("roles", {"admin": True}),
        ("roles", ["a,b"]),
        ("roles", [["admin"]]),
        ("roles", True),
        ("permissions", ["a\r\nX: 1"]),
        ("scope", 7),
        ("scope", [7]),
        ("tenant", ["acme"]),
        ("tenant", 7),
    ],
)
def test_a_value_of_another_kind_is_nobodys_role(claim: str, value: Any) -> None:
    with pytest.raises(Unissuable, match=claim):
        mapped(Subject("7", "ana", claims={"x": value}), {claim: ("x",)})


class Store:
    """A store that knows one person, whose record is as it is given."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    async def verify(self, username: str, password: str) -> Any:
        return self.answer

    async def subject(self, sub: str) -> Any:
        return self.answer


async def test_login_and_refresh_see_the_same_person() -> None:
    people = MappedPeople(Store(ANA), {"roles": ("groups",)}, {})
    assert await people.verify("ana", "x") == await people.subject("7") == mapped(ANA, {"roles": ("groups",)})


async def test_people_have_the_permissions_of_their_roles_beside_their_own_sorted_and_once() -> None:
    ana = Subject("7", "ana", ("clerk", "unknown"), ("b", "z"), claims={"groups": ["boss"]})
    brought = {"clerk": frozenset({"c", "b"}), "boss": frozenset({"a"})}
    own = await MappedPeople(Store(ana), {}, brought).subject("7")
    by_mapping = await MappedPeople(Store(ana), {"roles": ("groups",)}, brought).subject("7")
    assert isinstance(own, Subject)
    assert own == replace(ana, permissions=("b", "c", "z"))
    assert isinstance(by_mapping, Subject)
    assert by_mapping.permissions == ("a", "b", "z")  # of the roles that the token will state


async def test_a_record_that_cannot_be_read_is_an_outage_of_the_store_and_never_a_login() -> None:
    people = MappedPeople(Store(ANA), {"roles": ("org",)}, {})
    for found in (await people.verify("ana", "x"), await people.subject("7")):
        assert isinstance(found, Unavailable)
        assert "roles must be a list of names" in found.reason


@pytest.mark.parametrize("answer", [InvalidCredentials("password"), Unavailable("x"), Gone()])
async def test_other_answers_are_the_stores_own(answer: object) -> None:
    people = MappedPeople(Store(answer), {"roles": ("groups",)}, {})
    assert await people.verify("ana", "x") == answer
    assert await people.subject("7") == answer
