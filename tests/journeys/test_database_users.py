"""People in the gateway's own database, from the command line to the second step of a login."""

import time
from pathlib import Path

import httpx
import pyotp
import pytest

from tests.journeys.house import Gateway, running, until
from tests.journeys.people import users
from tests.users.postgres import running as running_postgres

CONFIG = """\
version: 1
login: {verify: {database: %s}}
roles: {user: {}}
"""


def login(gateway: Gateway, password: str, name: str = "ann") -> httpx.Response:
    with gateway.client() as client:
        return client.post("/auth/login", json={"username": name, "password": password})


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_persons_life_in_the_database(tmp_path: Path, kind: str) -> None:
    if kind == "sqlite":
        _life(tmp_path, "{}")
        return
    with running_postgres() as server:
        _life(tmp_path, f'{{url: "{server.url}", timeout: 14s}}')


def _life(folder: Path, database: str) -> None:
    text = CONFIG % database
    (folder / "gateway.yaml").write_text(text)
    for _ in range(60):  # a server that was just started may not answer yet
        try:
            users(folder, "add", "Ann", "--role", "user", "--password-stdin", typed="wonderland\n", says="Ann  added")
            break
        except AssertionError:
            time.sleep(0.5)
    users(folder, "add", "ann", "--password-stdin", typed="wonderland\n", says="already", status=1)
    users(folder, "add", "Bob", "--role", "boss", "--password-stdin", typed="wonderland\n", says="'boss'", status=1)
    users(folder, "add", "Bob", "--password-stdin", typed="short\n", says="at least 8", status=1)
    assert "Ann  user" in users(folder, "list")
    with running(folder, text, GATEWAY_DATA_DIR=str(folder / "data")) as gateway:
        _second_factor(gateway)
        users(folder, "passwd", "ann", "--password-stdin", typed="through-the-glass\n")
        assert login(gateway, "wonderland").status_code == 401
        assert login(gateway, "through-the-glass").status_code == 403
        users(folder, "enable", "ann", "--forget-second-factor")
        granted = login(gateway, "through-the-glass").json()
        with gateway.client(headers={"Authorization": f"Bearer {granted['access_token']}"}) as client:
            new = {"current_password": "through-the-glass", "new_password": "the-red-queen"}
            assert client.post("/auth/password", json=new).status_code == 204
        users(folder, "disable", "ann", says="cannot log in")
        assert login(gateway, "the-red-queen").status_code == 401
        with gateway.client() as client:
            refused = client.post("/auth/refresh", json={"refresh_token": granted["refresh_token"]})
        assert (refused.status_code, refused.json()["error"]) == (401, "invalid_grant")


def _second_factor(gateway: Gateway) -> None:
    token = login(gateway, "wonderland").json()["access_token"]
    with gateway.client(headers={"Authorization": f"Bearer {token}"}) as client:
        shown = client.post("/auth/second-factor/enrol").json()
        code = pyotp.TOTP(shown["secret"]).now()
        confirmed = client.post("/auth/second-factor/confirm", json={"enrolment": shown["enrolment"], "code": code})
        recovery = confirmed.json()["recovery_codes"]
    first = login(gateway, "wonderland")
    assert (first.status_code, first.json()["error"]) == (403, "mfa_required")
    with gateway.client() as client:
        again = client.post("/auth/login/mfa", json={"mfa_token": first.json()["mfa_token"], "code": code})
        assert again.status_code == 401, "the code of the enrolment has been used"
        granted = client.post("/auth/login/mfa", json={"mfa_token": first.json()["mfa_token"], "code": recovery[0]})
        assert granted.status_code == 200, granted.text


def test_a_users_file_moves_into_the_database_as_it_is_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(CONFIG % "{}")
    hashed = "$2b$04$CCCCCCCCCCCCCCCCCCCCC.7uG0VCzI2bS7j6ymqJi9CdcdxiRTWNy"
    file = tmp_path / "users.yaml"
    file.write_text(f"users:\n  ann: {{password: '{hashed}', roles: [user]}}\n  tim: {{password: '{hashed}'}}\n")
    users(tmp_path, "import", str(file), says="2 of 2 users added")
    assert users(tmp_path, "list").splitlines() == ["ann  user", "tim  -"]
    users(tmp_path, "import", str(file), says="already", status=1)
    file.write_text("users: {eve: {password: clear, demo: true}}\n")
    users(tmp_path, "import", str(file), says="not a hash", status=1)


def test_where_users_are_in_a_file_it_is_said_that_the_file_is_changed(tmp_path: Path) -> None:
    (tmp_path / "users.yaml").write_text("users: {}\n")
    (tmp_path / "gateway.yaml").write_text("version: 1\nlogin: {verify: {file: users.yaml}}\n")
    users(tmp_path, "list", says="users.yaml, and are changed where they are kept", status=1)


WITH_ISSUER = CONFIG % "{}" + "tokens: {issuer: http://gateway.test, access_ttl: 5m}\n"
"""Else it would follow from the port, which these gateways get from the environment and the commands do not."""


@pytest.mark.item(87)
@pytest.mark.parametrize("tenant", [(), ("--tenant", "acme")], ids=["no tenant", "a tenant"])
def test_who_is_disabled_or_gets_another_password_is_logged_out_at_once(
    tmp_path: Path, tenant: tuple[str, ...]
) -> None:
    (tmp_path / "gateway.yaml").write_text(WITH_ISSUER)
    for name in ("ann", "bob", "eve"):
        users(tmp_path, "add", name, *tenant, "--sub", f"u-{name}", "--password-stdin", typed="wonderland\n")
    assert "0 sessions ended" in users(tmp_path, "disable", "eve"), "no gateway has run, so nobody has a session"
    with running(tmp_path, WITH_ISSUER, GATEWAY_DATA_DIR=str(tmp_path / "data")) as gateway:
        ann, bob, other = (login(gateway, "wonderland", name).json() for name in ("ann", "bob", "bob"))
        users(tmp_path, "disable", "ann", says="1 session ended")
        until(lambda: status(gateway, ann) == 401)
        assert status(gateway, bob) == 200
        users(tmp_path, "passwd", "bob", "--password-stdin", typed="through-the-glass\n", says="2 sessions ended")
        until(lambda: status(gateway, bob) == status(gateway, other) == 401)
        with gateway.client() as client:
            for ended in (ann, bob, other):
                refused = client.post("/auth/refresh", json={"refresh_token": ended["refresh_token"]})
                assert (refused.status_code, refused.json()["error"]) == (401, "invalid_grant")
        again = login(gateway, "through-the-glass", "bob")
        assert (again.status_code, status(gateway, again.json())) == (200, 200)
        users(tmp_path, "enable", "ann")
        assert login(gateway, "wonderland").status_code == 200


def status(gateway: Gateway, granted: dict[str, str]) -> int:
    with gateway.client(headers={"Authorization": f"Bearer {granted['access_token']}"}) as client:
        return client.get("/auth/session").status_code


def test_what_is_left_is_said_when_sessions_cannot_be_ended(tmp_path: Path) -> None:
    text = f"{WITH_ISSUER}server: {{secret_file: secret}}\nstore: {{url: 'redis://127.0.0.1:1/0'}}\n"
    (tmp_path / "gateway.yaml").write_text(text)
    (tmp_path / "secret").write_text("9f2c4b7e1a6d8035c1e7f4a2b9d06385")
    users(tmp_path, "add", "ann", "--tenant", "acme inc", "--password-stdin", typed="wonderland\n")
    said = users(tmp_path, "disable", "ann", status=1, says="access tokens live on for up to 5m")
    assert said == "ann  cannot log in any more\n"
    assert "ann  -  disabled" in users(tmp_path, "list"), "that is done all the same"
    for says in ("the sessions of ann were not ended: the store does not answer", "old password go on",
                 "gateway revoke user ann --tenant 'acme inc'"):  # fmt: skip
        users(tmp_path, "passwd", "ann", "--password-stdin", typed="through-the-glass\n", status=1, says=says)
