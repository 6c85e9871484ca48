"""`gateway keys` and `gateway token`, as they are typed; on a data directory of its own, with no gateway running."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import rich_click as click
from click.testing import CliRunner, Result

from gateway.cli import cli
from gateway.tokens.keys import kept_in

CONFIG = """\
version: 1
tokens: {keys: {alg: ES256%s}}
roles: {user: {}}
"""


class Shell:
    """One configuration and one data directory."""

    def __init__(self, directory: Path, more: str = "") -> None:
        self.path = directory / "gateway.yaml"
        self.path.write_text(CONFIG % more)
        self.keys = directory / "data" / "keys"
        self.environ = {"GATEWAY_DATA_DIR": str(directory / "data")}

    def run(self, *words: str, stdin: str = "") -> Result:
        given = words if words[:2] == ("token", "decode") else (*words, "-c", str(self.path))
        return CliRunner().invoke(cli, given, input=stdin, env=self.environ)

    def good(self, *words: str, stdin: str = "") -> str:
        result = self.run(*words, stdin=stdin)
        assert result.exit_code == 0, result.output
        return result.stdout

    def states(self) -> list[str]:
        return [row["state"] for row in json.loads(self.good("keys", "list", "-o", "json"))]

    def kid(self, state: str) -> str:
        return next(one.kid for one in kept_in(self.keys) if one.state == state)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    made = Shell(tmp_path)
    made.good("keys", "generate")
    yield made
    for text in (one.key for one in kept_in(made.keys)):
        assert "PRIVATE" in text


def test_keys_go_through_their_life_by_hand(shell: Shell) -> None:
    assert shell.states() == ["current"]
    assert "may sign in 59 min" in shell.good("keys", "rotate")
    assert shell.states() == ["current", "next"]
    assert "signs from now on" in shell.good("keys", "rotate", "--now")
    assert sorted(shell.states()) == ["current", "retired"]
    assert "verifies until" in shell.good("keys", "list")


def test_a_second_generated_key_waits(shell: Shell) -> None:
    assert "is published" in shell.good("keys", "generate")
    assert "will not sign" in shell.good("keys", "retire", shell.kid("next"))
    assert sorted(shell.states()) == ["current", "retired"]


def test_the_signing_key_is_only_taken_away_when_it_is_compromised(shell: Shell) -> None:
    bad = shell.kid("current")
    refused = shell.run("keys", "retire", bad)
    assert refused.exit_code == 1
    assert "gateway keys rotate" in refused.stderr
    shell.good("keys", "retire", bad, "--compromised")
    assert shell.states() == ["current"]
    assert shell.kid("current") != bad


def test_the_published_set_has_no_secret(shell: Shell) -> None:
    (key,) = json.loads(shell.good("keys", "jwks"))["keys"]
    assert set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg"}


def test_without_keys_looking_makes_none(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    for words in (("keys", "list"), ("keys", "jwks"), ("keys", "rotate"), ("token", "mint", "--sub", "a")):
        result = shell.run(*words)
        assert result.exit_code == 1
        assert "has no keys yet" in result.stderr
    assert not shell.keys.exists()


def test_keys_from_files_are_listed_and_not_turned(tmp_path: Path) -> None:
    (tmp_path / "a.secret").write_bytes(b"9f2c4b7e1a6d8035c1e7f4a2b9d06385")
    shell = Shell(tmp_path, ", files: [{file: a.secret, alg: HS256, kid: mine}]")
    assert shell.good("keys", "list").startswith("mine  HS256")
    assert json.loads(shell.good("keys", "jwks")) == {"keys": []}
    result = shell.run("keys", "rotate")
    assert result.exit_code == 1
    assert "these keys are yours" in result.stderr


def test_sealed_keys_work_by_command_too(tmp_path: Path) -> None:
    shell = Shell(tmp_path, ", seal: true")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "secret").write_bytes(b"9f2c4b7e1a6d8035c1e7f4a2b9d06385")
    shell.good("keys", "generate")
    shell.good("keys", "rotate", "--now")
    assert all(one.key.startswith("sealed1:") for one in kept_in(shell.keys))
    assert "good for" in shell.good("token", "verify", stdin=shell.good("token", "mint", "--sub", "ana"))


def test_a_minted_token_is_good_and_a_changed_one_is_not(shell: Shell) -> None:
    token = shell.good("token", "mint", "--sub", "ana", "--role", "user", "--ttl", "60").strip()
    assert "good for 59 s" in shell.good("token", "verify", token)
    head, body, signature = token.split(".")
    bad = shell.run("token", "verify", f"{head}.{body}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}")
    assert bad.exit_code == 1
    assert "refused (signature)" in bad.stderr
    assert signature not in shell.good("token", "decode", token)


def test_what_would_be_refused_is_not_minted(shell: Shell) -> None:
    assert "no role is called 'boss'" in shell.run("token", "mint", "--sub", "a", "--role", "boss").stderr
    assert "are refused" in shell.run("token", "mint", "--sub", "a", "--ttl", "601").stderr
    assert "sub must be" in shell.run("token", "mint", "--sub", "a\nb").stderr


def test_a_token_of_a_key_that_is_gone_is_explained(shell: Shell) -> None:
    token = shell.good("token", "mint", "--sub", "ana")
    shell.good("keys", "retire", shell.kid("current"), "--compromised")
    result = shell.run("token", "verify", stdin=token)
    assert "refused (kid)" in result.stderr
    assert shell.kid("current") in result.stderr


@pytest.mark.parametrize(
    "words", [("keys", "retire"), ("revoke", "session"), ("revoke", "token"), ("revoke", "key"), ("sessions", "revoke")]
)
@pytest.mark.parametrize(
    "name", ["-kcompromisedWWdJjS0cc", "-kiXXoWaWXdJjSWT0S6a848rc2PzzCts94JWDV9AidU", "--c" + "c" * 19]
)
def test_an_id_that_begins_with_a_dash_is_no_option(words: tuple[str, ...], name: str, tmp_path: Path) -> None:
    verb: click.Command = cli
    context = click.Context(cli)
    for word in words:
        assert isinstance(verb, click.Group)
        found = verb.get_command(context, word)
        assert found is not None
        verb = found
    made = verb.make_context(words[-1], [name, "-c", str(tmp_path / "x.yaml")])
    assert name in made.params.values()
    assert made.params["path"] == tmp_path / "x.yaml"


def test_decoding_needs_no_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, ["token", "decode"], input="Bearer abc")
    assert result.exit_code == 1
    assert 'begins with "Bearer "' in result.stderr


def test_help_imports_neither_the_cryptography_nor_the_models() -> None:
    code = "import sys, gateway.cli; print([m for m in ('cryptography', 'pydantic', 'jwt') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
