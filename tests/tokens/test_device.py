"""The mark of a browser that is known: for one account, for half a year, and made by nobody else."""

import pytest

from gateway.tokens.base64url import decode, encode
from gateway.tokens.device import DEVICE_TTL, mint, read
from gateway.tokens.secrets import Secrets

SECRETS = Secrets(bytes(range(7, 39)))
NOW = 1_800_000_000.5


def test_a_mark_names_its_browser() -> None:
    mark = mint(SECRETS, "alice", NOW)
    name = read(SECRETS, "alice", mark, NOW)
    assert len(name) == 32
    assert name != read(SECRETS, "alice", mint(SECRETS, "alice", NOW), NOW)


def test_a_browser_keeps_its_name_when_its_mark_is_renewed() -> None:
    name = read(SECRETS, "alice", mint(SECRETS, "alice", NOW), NOW)
    renewed = mint(SECRETS, "alice", NOW + DEVICE_TTL, name)
    assert read(SECRETS, "alice", renewed, NOW + DEVICE_TTL) == name


def test_a_mark_is_too_old_after_half_a_year() -> None:
    mark = mint(SECRETS, "alice", NOW)
    assert read(SECRETS, "alice", mark, int(NOW) + DEVICE_TTL - 1)
    assert read(SECRETS, "alice", mark, int(NOW) + DEVICE_TTL) == ""


def test_a_mark_is_good_for_its_account_and_installation_only() -> None:
    mark = mint(SECRETS, "alice", NOW)
    assert read(SECRETS, "bob", mark, NOW) == ""
    assert read(SECRETS, "", mark, NOW) == ""
    assert read(Secrets(bytes(range(8, 40))), "alice", mark, NOW) == ""


def test_the_account_cannot_be_read_from_the_mark() -> None:
    assert b"alice" not in (decode(mint(SECRETS, "alice", NOW).encode()) or b"")


@pytest.mark.parametrize("at", [0, 15, 16, 21, 22, 53])
def test_a_mark_that_was_changed_anywhere_counts_for_nothing(at: int) -> None:
    raw = bytearray(decode(mint(SECRETS, "alice", NOW).encode()) or b"")
    raw[at] ^= 1
    assert read(SECRETS, "alice", encode(bytes(raw)), NOW) == ""


@pytest.mark.parametrize("mark", [None, "", "x", "A" * 72, "A" * 73, "\N{SNOWMAN}" * 72, "=" * 72, "a" * 5000])
def test_what_is_no_mark_counts_for_nothing(mark: str | None) -> None:
    assert read(SECRETS, "alice", mark, NOW) == ""


def test_any_name_can_be_marked() -> None:
    for account in ("", "\udcff", "a\0b", "x" * 1000):
        assert read(SECRETS, account, mint(SECRETS, account, NOW), NOW)
