"""Every case of the corpus, word by word; and that no file, however broken, does more than be refused."""

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.config.faults import Fault, Source, meant, one_of, report
from gateway.config.load import load
from gateway.errors import ConfigError
from tests.config.corpus import CORPUS, Case, cases
from tests.config.files import EXAMPLES, FULL_ENVIRON, ROOT, refused

ALL = cases(CORPUS.read_text())


@pytest.mark.parametrize("case", ALL, ids=[case.title for case in ALL])
def test_a_broken_file_is_explained(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, contents in case.files.items():
        Path(name).write_text(contents)
    with pytest.raises(ConfigError) as error:
        load(Path("gateway.yaml"), case.environ)
    assert str(error.value) == case.message


def test_the_corpus_is_large_and_its_titles_are_distinct() -> None:
    titles = [case.title for case in ALL]
    assert len(titles) >= 100
    assert len(set(titles)) == len(titles)
    assert all(case.message for case in ALL)


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: there is no such file"):
        load(tmp_path / "nowhere.yaml", {})


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the file cannot be read: is a directory"):
        load(tmp_path, {})


def test_a_file_in_another_encoding_is_refused_with_the_place(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_bytes(b"version: 1\nroles: {caf\xe9: {}}\n")
    with pytest.raises(ConfigError, match=r"gateway\.yaml:2:12: the file is not UTF-8"):
        load(path, {})


def test_a_control_character_is_refused_with_the_place(tmp_path: Path) -> None:
    message = refused(tmp_path, "roles: {\0: {}}")
    assert message.startswith("gateway.yaml:2:9: control characters are not possible in YAML")


def test_anchors_cannot_make_the_file_grow_without_bound(tmp_path: Path) -> None:
    levels = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]\n" for n in range(1, 9))
    message = refused(tmp_path, f"l0: &l0 [a]\n{levels}")
    assert message.startswith("gateway.yaml:1:1: anchors make the file grow to more than 200000 values")


def test_a_file_that_is_too_large_is_not_parsed(tmp_path: Path) -> None:
    assert "are read at most" in refused(tmp_path, "# " + "x" * (4 << 20))


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 5_000, "x: " + "[" * 60 + "]" * 60, "- " * 50_000])
def test_deep_nesting_is_refused(tmp_path: Path, text: str) -> None:
    assert refused(tmp_path, text).startswith("gateway.yaml")


def test_a_password_in_clear_is_for_demo_users_only(tmp_path: Path) -> None:
    login = "login: {verify: {file: users.yaml}}"
    message = refused(tmp_path, login, users="users: {alice: {password: swordfish}}")
    assert message.startswith("users.yaml:1:9: users.alice: the password is not a hash we know")
    assert "swordfish" not in message


@pytest.mark.parametrize(
    "text",
    [
        "server: {secret: swordfish}",
        "server: {admin: {token: 'swordfish'}}",
        'store: {password: "swordfish", url: x}',
        "store: {url: 'redis://:swordfish@store/x'}",
        "store: {url: 'mysql://me:swordfish@store'}",
        "store: {password: swordfish, password_file: nowhere}",
        "store: {pasword: x, password: swordfish, url: mysql}",
    ],
)
def test_a_secret_is_not_repeated_in_a_fault(tmp_path: Path, text: str) -> None:
    assert "swordfish" not in refused(tmp_path, text)


def test_a_secret_from_the_environment_is_not_repeated_in_a_fault(tmp_path: Path) -> None:
    message = refused(tmp_path, 'store: {url: "${URL}"}\nserver: {secret: "${KEY}"}', {"URL": "x://a:pw", "KEY": "pw"})
    assert "pw" not in message
    assert 'url: "${URL}"' in message


def test_faults_come_in_the_order_of_the_lines_and_once_each() -> None:
    source = Source("x.yaml", ("one", "two"))
    two, one = Fault(source, 2, 1, "b", "bad"), Fault(source, 1, 2, "a", "bad")
    assert report([two, one, two]) == "x.yaml:1:2: a: bad\n    one\n     ^\nx.yaml:2:1: b: bad\n    two\n    ^"


def test_of_a_long_line_the_part_around_the_fault_is_shown() -> None:
    source = Source("x.yaml", ("a" * 300 + "B" + "c" * 300,))
    first, shown, caret = str(Fault(source, 1, 301, "", "bad")).split("\n")
    assert first == "x.yaml:1:301: bad"
    assert len(shown) < 120
    assert shown[caret.index("^")] == "B"


def test_words_are_guessed_only_when_they_are_close() -> None:
    assert meant("weigth", ["weight", "url"]) == 'did you mean "weight"?'
    assert meant("roles-all", ["roles_all", "roles"]) == 'did you mean "roles_all"?'
    assert meant("zzz", ["weight"]) == ""
    assert meant("x", []) == ""


def test_choices_are_enumerated() -> None:
    assert one_of(["a"]) == "a"
    assert one_of(["a", "b", "c"]) == "a, b or c"


WHOLE = (EXAMPLES / "full.yaml").read_text()
PIECES = [
    "",
    " ",
    "\n",
    "  ",
    ":",
    "- ",
    "{",
    "}",
    "[",
    "]",
    "&a ",
    "*a",
    "!!x ",
    "${",
    "}",
    "$",
    "'",
    '"',
    "#",
    "\t",
    "null",
    "1",
    "é",
]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, len(WHOLE)), st.integers(0, 30), st.sampled_from(PIECES)), min_size=1, max_size=4)
)
def test_a_mangled_file_is_loaded_or_explained(tmp_path: Path, cuts: list[tuple[int, int, str]]) -> None:
    text = WHOLE
    for at, length, piece in cuts:
        text = text[:at] + piece + text[at + length :]
    path = tmp_path / "gateway.yaml"
    path.write_text(text)
    if not (tmp_path / "users.yaml").exists():
        os.symlink(EXAMPLES / "users.yaml", tmp_path / "users.yaml")
    with contextlib.suppress(ConfigError):
        load(path, FULL_ENVIRON)


def test_the_gateway_file_of_the_repository_has_no_faults() -> None:
    load(ROOT / "gateway.yaml", {})
