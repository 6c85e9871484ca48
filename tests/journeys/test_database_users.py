"""People in the gateway's own database, from the command line to the second step of a login."""

import time
from pathlib import Path

import httpx
import pyotp
import pytest

from tests.journeys.house import Gateway, running
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
        _life(tmp_path, f'{{url: "{server.url}", timeout: 20s}}')


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
    users(tmp_path, "list", says="users.yaml, which is changed where it is kept", status=1)
