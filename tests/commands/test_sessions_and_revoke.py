"""`gateway sessions` and `gateway revoke`, as they are typed: the gateway is up, or down, or was never there."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from click.testing import CliRunner, Result

from gateway.cli import cli
from tests.journeys.house import Gateway, Tokens, configuration, running, until

PATIENCE = 60


class Place:
    """A gateway with an embedded store, and a shell beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Without an issuer it would follow from the port, which these gateways get from the environment.
        self.text = "tokens: {issuer: http://gateway.test}\n" + configuration(
            folder, upstreams={"app": "http://127.0.0.1:9"}, routes="  - {path: /api/**, to: app}"
        )

    def run(self, *words: str) -> Result:
        environ = {"GATEWAY_DATA_DIR": str(self.folder / "data"), "USER": "otto", "SUDO_USER": None}
        return CliRunner().invoke(cli, [*words, "-c", str(self.folder / "gateway.yaml")], env=environ)

    def good(self, *words: str) -> str:
        done = self.run(*words)
        assert done.exit_code == 0, done.output
        self.audit = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
        return done.stdout

    def sessions(self, user: str = "alice") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.good("sessions", "list", "--user", user, "-o", "json"))
        return found


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def up(place: Place) -> Iterator[Gateway]:
    with running(place.folder, place.text) as gateway:
        yield gateway


def status(gateway: Gateway, tokens: Tokens) -> int:
    with gateway.client() as client:
        return client.get("/auth/session", headers=tokens.bearer).status_code


def refreshed(gateway: Gateway, tokens: Tokens) -> int:
    with gateway.client() as client:
        return client.post("/auth/refresh", json={"refresh_token": tokens.refresh}).status_code


def claim(tokens: Tokens, name: str) -> str:
    stated: dict[str, str] = jwt.decode(tokens.access, options={"verify_signature": False})
    return stated[name]


def until_refused(gateway: Gateway, tokens: Tokens) -> None:
    until(lambda: status(gateway, tokens) == 401, PATIENCE)


def test_while_the_gateway_is_up(place: Place, up: Gateway) -> None:
    first, second, other = up.login(), up.login(), up.login("admin")
    assert {one["session"] for one in place.sessions()} == {first.session, second.session}
    assert first.session in place.good("sessions", "list", "--user", "alice")

    assert place.good("sessions", "revoke", first.session) == "1 session ended\n"
    assert place.audit[0] | {"ts": ""} == {
        "msg": "revoked", "level": "info", "ts": "", "audit": True,
        "kind": "session", "value": first.session, "reason": "command", "actor": "command:otto",
    }  # fmt: skip
    until_refused(up, first)
    assert (status(up, second), refreshed(up, first)) == (200, 401)
    assert place.good("sessions", "revoke", first.session) == "0 sessions ended\n"

    assert place.good("revoke", "user", "alice", "--reason", "left") == "user alice revoked; 1 live sessions ended\n"
    until_refused(up, second)
    assert (refreshed(up, second), status(up, other)) == (401, 200)
    again = up.login()
    assert status(up, again) == 200

    place.good("revoke", "token", claim(again, "jti"))
    until_refused(up, again)
    assert refreshed(up, again) == 200

    place.good("revoke", "all", "--yes")
    until_refused(up, other)
    assert refreshed(up, other) == 401
    assert status(up, up.login()) == 200


def test_what_is_wide_reaches_sessions_too(place: Place, up: Gateway) -> None:
    tokens = up.login()
    place.good("revoke", "client", "gateway", "--before", "2001-01-01T00:00:00Z")
    place.good("revoke", "tenant", "acme")
    assert (status(up, tokens), refreshed(up, tokens)) == (200, 200)  # younger than that, and of no tenant
    assert place.good("revoke", "client", "gateway") == "client gateway revoked\n"
    until_refused(up, tokens)
    assert refreshed(up, tokens) == 401

    tokens = up.login()
    done = place.run("revoke", "key", jwt.get_unverified_header(tokens.access)["kid"])
    assert done.exit_code == 0
    assert "gateway keys rotate --now" in done.stderr, (done.stdout, done.stderr)
    until_refused(up, tokens)
    assert refreshed(up, tokens) == 200


def test_while_the_gateway_is_down(place: Place) -> None:
    with running(place.folder, place.text) as gateway:
        ended, kept, token_only = (gateway.login() for _ in range(3))
    assert len(place.sessions()) == 3
    place.good("revoke", "session", ended.session)
    place.good("revoke", "token", claim(token_only, "jti"))
    assert {one["session"] for one in place.sessions()} == {kept.session, token_only.session}
    with running(place.folder, place.text) as gateway:
        assert [status(gateway, tokens) for tokens in (ended, kept, token_only)] == [401, 200, 401]
        assert [refreshed(gateway, tokens) for tokens in (ended, kept, token_only)] == [401, 200, 200]


@pytest.mark.parametrize(
    ("words", "exit_status", "says"),
    [
        (("sessions", "revoke"), 2, "name a session"),
        (("sessions", "revoke", "x", "--user", "y"), 2, "name a session"),
        (("revoke", "user", "x", "--before", "yesterday"), 2, "2026-11-28T12:00:00Z"),
        (("revoke", "user", "x", "--before", "2026-11-28T12:00:00Z", "--keep", "s"), 2, "exclude"),
        (("revoke", "all"), 1, "Go on?"),
        (("sessions", "list", "--user", "alice"), 1, "secret"),
    ],
)
def test_what_cannot_be_done_is_told_in_words(
    place: Place, words: tuple[str, ...], exit_status: int, says: str
) -> None:
    (place.folder / "gateway.yaml").write_text(place.text)
    done = place.run(*words)
    assert done.exit_code == exit_status, done.stderr
    assert says in done.output
    assert "Traceback" not in done.stderr


def test_a_store_that_does_not_answer_is_told_in_words(place: Place) -> None:
    text = place.text.replace("login:", "store: {url: 'redis://127.0.0.1:9/0', timeout: 200ms}\nlogin:")
    secret = place.folder / "secret"
    secret.write_text(os.urandom(32).hex())
    (place.folder / "gateway.yaml").write_text(text.replace("server:", f"server:\n  secret_file: {secret}"))
    done = place.run("revoke", "user", "alice")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "the store does not answer" in done.stderr
