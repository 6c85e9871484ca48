"""One master, many keys; and the tag under which the store knows a person."""

import hashlib
import hmac
import secrets as randomness

import pytest

from gateway.errors import ConfigError
from gateway.tokens.secrets import Secrets, subject_tag

MASTER = hashlib.sha512(b"one installation").digest()
PURPOSES = ("refresh_mac", "subject_tag", "csrf", "seal", "second_factor", "login", "device", "decoy")


def keys(secrets: Secrets) -> list[bytes]:
    return [getattr(secrets, purpose) for purpose in PURPOSES]


def test_each_purpose_has_a_key_of_its_own() -> None:
    made = keys(Secrets(MASTER))
    assert {len(key) for key in made} == {32}
    assert len(set(made)) == len(PURPOSES)
    assert MASTER[:32] not in made


def test_the_same_master_gives_the_same_keys_on_every_replica() -> None:
    assert keys(Secrets(MASTER)) == keys(Secrets(bytes(bytearray(MASTER))))
    assert not set(keys(Secrets(MASTER))) & set(keys(Secrets(MASTER[:-1])))


def test_keys_are_derived_as_rfc_5869_says() -> None:
    extracted = hmac.digest(b"\x00" * 32, MASTER, "sha256")
    for purpose, label in (
        ("refresh_mac", b"gateway refresh token mac v1"),
        ("subject_tag", b"gateway subject tag v1"),
        ("csrf", b"gateway csrf token v1"),
        ("seal", b"gateway seal v1"),
        ("second_factor", b"gateway second factor v1"),
        ("login", b"gateway begun login v1"),
        ("device", b"gateway known device v1"),
        ("decoy", b"gateway decoy hash v1"),
    ):
        assert getattr(Secrets(MASTER), purpose) == hmac.digest(extracted, label + b"\x01", "sha256")


@pytest.mark.parametrize(
    "master",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(MASTER[:31], id="31 bytes"),
        pytest.param(b"changeme" * 8, id="placeholder"),
        pytest.param(b"a" * 64, id="one character"),
        pytest.param(b"your-256-bit-secret-your-256-bit-secret", id="out of a manual"),
    ],
)
def test_a_weak_master_refuses_the_start_with_the_command_for_a_right_one(master: bytes) -> None:
    with pytest.raises(ConfigError, match="openssl rand -base64 48"):
        Secrets(master)


def test_secrets_do_not_show_when_printed() -> None:
    assert repr(Secrets(MASTER)) == "Secrets(...)"


def test_a_tag_is_the_same_for_the_same_person_and_tells_nobody_who_it_is() -> None:
    secrets = Secrets(MASTER)
    tag = subject_tag(secrets, "https://a.example", "acme", "alice")
    assert len(tag) == 12
    assert tag == subject_tag(secrets, "https://a.example", "acme", "alice")
    assert tag != subject_tag(Secrets(randomness.token_bytes(32)), "https://a.example", "acme", "alice")


def test_different_people_never_share_a_tag() -> None:
    secrets = Secrets(MASTER)
    people = [
        ("https://a.example", None, "alice"),
        ("https://b.example", None, "alice"),
        ("https://a.example", "acme", "alice"),
        ("https://a.example", "alice", "acme"),
        ("https://a.exampleacme", None, "alice"),
        ("https://a.example", "acmealice", ""),
        ("https://a.example", None, "acmealice"),
        ("https://a.example", "acm", "ealice"),
        ("https://a.example", None, "Alice"),
    ]
    assert len({subject_tag(secrets, *person) for person in people}) == len(people)


@pytest.mark.parametrize(
    "person", [("i", "a\0b", "c"), ("i", "a", "b\0c"), ("i\0a", "b", "c"), ("i", None, "a\ud800")], ids=repr
)
def test_a_part_that_could_be_read_as_two_has_no_tag(person: tuple[str, str | None, str]) -> None:
    with pytest.raises(ValueError, match=r"NUL|surrogates"):
        subject_tag(Secrets(MASTER), *person)
