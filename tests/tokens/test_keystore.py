"""The directory of signing keys: made once, found again, never lost, never open to others."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.tokens import keystore
from gateway.tokens.keys import exposure, keyring_in
from gateway.tokens.verify import Identity

from .forge import ALGORITHMS, NOW, issued, verifier
from .turns import forget, promote, stage

ALG = "ES256"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "data" / "keys"


@pytest.fixture
def strict_umask() -> Iterator[None]:
    before = os.umask(0)  # the friendliest of all: what we create must be closed by our own doing
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def on_disk(directory: Path) -> dict[str, str]:
    """Return the state of each key in the file, by kid."""
    entries = json.loads((directory / keystore.FILE).read_bytes())["keys"]
    return {entry["kid"]: entry["state"] for entry in entries}


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_key_made_at_the_first_start_is_found_at_the_next(alg: str, directory: Path) -> None:
    first = keyring_in(directory, alg, NOW)
    token = issued(first)
    second = keyring_in(directory, alg, NOW + 1)
    assert second.signing().kid == first.signing().kid
    assert second.signing().alg == alg
    assert isinstance(verifier(second).verify(token, NOW), Identity)
    assert second.jwks_bytes() == first.jwks_bytes()
    assert second.warnings == ()


def test_files_and_directory_are_closed_to_other_users(directory: Path, strict_umask: None) -> None:
    keyring_in(directory, ALG, NOW)
    assert mode(directory) == 0o700
    for file in directory.iterdir():
        assert mode(file) == 0o600


def test_nothing_is_left_beside_the_keys(directory: Path) -> None:
    keyring_in(directory, ALG, NOW)
    stage(directory, ALG, NOW)
    assert {file.name for file in directory.iterdir()} == {keystore.FILE, ".signing-keys.lock"}


def test_an_open_key_file_is_closed_and_the_operator_warned(directory: Path) -> None:
    keyring_in(directory, ALG, NOW)
    file = directory / keystore.FILE
    for open_mode in (0o644, 0o640, 0o604, 0o666):
        file.chmod(open_mode)
        ring = keyring_in(directory, ALG, NOW)
        assert mode(file) == 0o600
        assert len(ring.warnings) == 1
        assert "rotate" in ring.warnings[0]
    assert keyring_in(directory, ALG, NOW).warnings == ()


def test_an_open_key_file_that_cannot_be_closed_is_warned_about_each_time(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyring_in(directory, ALG, NOW)
    file = directory / keystore.FILE
    file.chmod(0o644)

    def not_ours(self: Path, mode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", not_ours)
    for _ in range(2):
        (warning,) = keyring_in(directory, ALG, NOW).warnings
        assert f"chmod 600 {file}" in warning


def test_a_key_file_given_by_the_operator_is_only_warned_about(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    assert exposure(file) is None
    file.write_bytes(b"")
    file.chmod(0o600)
    assert exposure(file) is None
    file.chmod(0o644)
    assert exposure(file) == f"{file} is open to other users (mode 0644); close it with: chmod 600 {file}"
    assert mode(file) == 0o644


def test_the_key_of_another_algorithm_signs_on_until_the_new_one_is_known(directory: Path) -> None:
    old = keyring_in(directory, "RS256", NOW)
    ring = keyring_in(directory, "EdDSA", NOW + 10)
    assert ring.signing().kid == old.signing().kid
    staged = stage(directory, "EdDSA", NOW)
    unwanted = stage(directory, "RS256", NOW)
    assert keyring_in(directory, "EdDSA", NOW + 1).signing().kid == old.signing().kid
    promote(directory, staged, NOW + 3600)
    assert on_disk(directory) == {staged: "current", old.signing().kid: "retired", unwanted: "retired"}
    assert isinstance(verifier(keyring_in(directory, "EdDSA", NOW)).verify(issued(old), NOW), Identity)


@pytest.mark.parametrize(("one", "other"), [("RS256", "HS256"), ("HS256", "EdDSA")])
def test_changing_between_secrets_and_public_keys_retires_all_of_the_other_kind(
    one: str, other: str, directory: Path
) -> None:
    keyring_in(directory, one, NOW)
    stage(directory, one, NOW)
    ring = keyring_in(directory, other, NOW)
    assert [(key.alg, key.state) for key in ring.keys] == [
        (other, "current"),
        (one, "retired"),
        (one, "retired"),
    ]


def test_a_staged_key_is_published_and_signs_only_after_it_is_promoted(directory: Path) -> None:
    first = keyring_in(directory, ALG, NOW).signing().kid
    staged = stage(directory, ALG, NOW + 60)
    ring = keyring_in(directory, ALG, NOW + 61)
    assert ring.signing().kid == first
    assert {key["kid"] for key in ring.jwks()["keys"]} == {first, staged}
    promote(directory, staged, NOW + 600)
    ring = keyring_in(directory, ALG, NOW + 601)
    assert ring.signing().kid == staged
    assert on_disk(directory) == {staged: "current", first: "retired"}


def test_a_key_is_forgotten_only_when_it_is_retired(directory: Path) -> None:
    first = keyring_in(directory, ALG, NOW).signing().kid
    staged = stage(directory, ALG, NOW)
    for kid in (first, staged, "other"):
        with pytest.raises(ConfigError, match="retired"):
            forget(directory, kid)
    promote(directory, staged, NOW)
    with pytest.raises(ConfigError, match="next"):
        promote(directory, first, NOW)
    forget(directory, first)
    assert on_disk(directory) == {staged: "current"}


def test_a_secret_is_not_staged_beside_public_keys(directory: Path) -> None:
    keyring_in(directory, ALG, NOW)
    before = (directory / keystore.FILE).read_bytes()
    with pytest.raises(ConfigError, match="algorithm confusion"):
        stage(directory, "HS256", NOW)
    assert (directory / keystore.FILE).read_bytes() == before


def test_the_times_of_a_key_are_kept(directory: Path) -> None:
    first = keyring_in(directory, ALG, NOW).signing().kid
    promote(directory, stage(directory, ALG, NOW + 60), NOW + 600)
    entries = {e["kid"]: e for e in json.loads((directory / keystore.FILE).read_bytes())["keys"]}
    old = entries.pop(first)
    (new,) = entries.values()
    assert (old["created"], old["since"]) == (NOW, NOW + 600)
    assert (new["created"], new["since"]) == (NOW + 60, NOW + 600)


def entry(**changes: object) -> dict[str, object]:
    return {"kid": "k", "alg": "ES256", "state": "current", "created": 1, "since": 1, "key": "x"} | changes


DAMAGED = {
    "no key": entry(key="no key"),
    "key is a number": entry(key=7),
    "kid is null": entry(kid=None),
    "unknown algorithm": entry(alg="none"),
    "unknown state": entry(state="active"),
    "state is a list": entry(state=[]),
    "time is text": entry(created="1"),
    "time is true": entry(since=True),
    "a member too many": entry(more=1),
}


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="cut off"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"{}", id="no version"),
        pytest.param(b'{"version":2,"keys":[]}', id="another version"),
        pytest.param(b'{"version":1,"keys":{}}', id="keys are no list"),
        pytest.param(b'{"version":1,"keys":[7]}', id="a key is no object"),
        pytest.param(b'{"version":1,"keys":[],"keys":[]}', id="a member twice"),
        pytest.param(b"\xff", id="not UTF-8"),
        *(pytest.param(json.dumps({"version": 1, "keys": [e]}).encode(), id=why) for why, e in DAMAGED.items()),
    ],
)
def test_a_damaged_file_refuses_the_start_and_is_left_as_it_is(content: bytes, directory: Path) -> None:
    directory.mkdir(parents=True)
    file = directory / keystore.FILE
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(ConfigError, match=keystore.FILE):
        keyring_in(directory, ALG, NOW)
    with pytest.raises(ConfigError):
        stage(directory, ALG, NOW)
    assert file.read_bytes() == content


def test_a_file_without_keys_gets_one(directory: Path) -> None:
    directory.mkdir(parents=True)
    (directory / keystore.FILE).write_bytes(b'{"version":1,"keys":[]}')
    assert keyring_in(directory, ALG, NOW).signing().alg == ALG


def test_a_crash_before_the_rename_leaves_the_old_keys_and_the_next_start_mends_it(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kid = keyring_in(directory, ALG, NOW).signing().kid
    before = (directory / keystore.FILE).read_bytes()

    def crash(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(Path, "rename", crash)
        with pytest.raises(KeyboardInterrupt):
            stage(directory, ALG, NOW)
    assert (directory / keystore.FILE).read_bytes() == before
    assert keyring_in(directory, ALG, NOW).signing().kid == kid
    staged = stage(directory, ALG, NOW)
    assert on_disk(directory) == {kid: "current", staged: "next"}
    assert mode(directory / keystore.FILE) == 0o600


def test_a_full_disk_leaves_the_old_keys_and_says_so(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keyring_in(directory, ALG, NOW)
    before = (directory / keystore.FILE).read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match="No space left on device"):
        stage(directory, ALG, NOW)
    assert (directory / keystore.FILE).read_bytes() == before


def test_a_link_laid_in_the_way_is_not_followed(directory: Path, tmp_path: Path) -> None:
    keyring_in(directory, ALG, NOW)
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (directory / f"{keystore.FILE}.tmp").symlink_to(victim)
    stage(directory, ALG, NOW)
    assert victim.read_bytes() == b"precious"


def test_keys_are_flushed_to_disk_before_they_get_their_name(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def noted_fsync(descriptor: int) -> None:
        steps.append("directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def noted_rename(self: Path, target: Path) -> Path:
        steps.append("rename")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "rename", noted_rename)
    keyring_in(directory, ALG, NOW)
    assert steps == ["file", "rename", "directory"]


def test_of_many_that_start_together_one_makes_the_key(directory: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        rings = list(pool.map(lambda _: keyring_in(directory, ALG, NOW), range(16)))
    assert len({ring.signing().kid for ring in rings}) == 1
    assert len(on_disk(directory)) == 1


def test_of_two_processes_that_start_together_one_makes_the_key(directory: Path) -> None:
    program = (
        "import sys, pathlib; from gateway.tokens.keys import keyring_in;"
        f"print(keyring_in(pathlib.Path(sys.argv[1]), {ALG!r}, {NOW}).signing().kid)"
    )
    command = [sys.executable, "-c", program, str(directory)]
    root = Path(__file__).parents[2]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root) for _ in range(2)]
    said = {process.communicate(timeout=60)[0] for process in started}
    assert len(said) == 1
    assert list(on_disk(directory)) == [said.pop().decode().strip()]


def test_many_keys_staged_at_once_are_all_kept(directory: Path) -> None:
    first = keyring_in(directory, ALG, NOW).signing().kid
    with ThreadPoolExecutor(8) as pool:
        staged = list(pool.map(lambda _: stage(directory, ALG, NOW), range(12)))
    assert on_disk(directory).keys() == {first, *staged}


def test_keys_are_read_from_a_directory_that_cannot_be_written(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kid = keyring_in(directory, ALG, NOW).signing().kid

    def read_only(*_: object, **__: object) -> int:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "open", read_only)
    assert keyring_in(directory, ALG, NOW).signing().kid == kid
    with pytest.raises(ConfigError, match=r"Read-only file system.*data_dir"):
        stage(directory, ALG, NOW)


def test_a_directory_that_is_none_refuses_the_start_with_the_reason(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    with pytest.raises(ConfigError, match=r"signing.keys"):
        keyring_in(blocked, ALG, NOW)
    with pytest.raises(ConfigError, match="RS256"):
        keyring_in(tmp_path, "none", NOW)
    assert not (tmp_path / keystore.FILE).exists()
