"""Whole gateways over every store of users: what an outage of each is to people, at the login and at the refresh.

Of SQLite: its table is not there. Of PostgreSQL: all its processes stand still. Of a users' service: it is gone, or
stands still, or answers nonsense. Of a file there is none: the last good one is in force.
"""

import os
import re
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import bcrypt
import httpx
import pytest

from tests.journeys.house import Gateway, Program, free_port, outside, running, until
from tests.journeys.pair import Redis
from tests.journeys.people import command, users
from tests.users.postgres import running as running_postgres

ROOT = Path(__file__).parents[2]
PASSWORD = "wonderland"
TOKEN = "c7e1f4a2b9d063859f2c4b7e1a6d8035"
BCRYPT = bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode().replace("$2b$", "$2y$")
"""As htpasswd writes it."""


class People(Program):
    """The service of the manual, as it is printed there."""

    def __init__(self, folder: Path) -> None:
        page = (ROOT / "docs" / "users.md").read_text()
        code = re.search(r"```python\n(# users_service\.py\n.*?)```", page, re.DOTALL)
        assert code is not None
        folder.mkdir(exist_ok=True)
        (folder / "users_service.py").write_text(code[1])
        self.port = free_port()
        self.begin(folder)

    def begin(self, folder: Path) -> None:
        environ = {**outside(), "TOKEN": TOKEN, "PORT": str(self.port)}
        super().__init__("people", [sys.executable, "users_service.py"], folder, environ=environ, cwd=folder)
        self.await_ready(self._answers)

    def _answers(self) -> bool:
        try:
            httpx.post(f"http://127.0.0.1:{self.port}/", json={}, trust_env=False)
        except httpx.TransportError:
            return False
        return True


def config(verify: str, more: str = "") -> str:
    return f"version: 1\nlogin:\n  verify: {verify}\nroles: {{user: {{}}, admin: {{}}}}\n{more}"


def callout(port: int, *, lookup: bool = True) -> str:
    place = f"http://127.0.0.1:{port}"
    second = f", lookup_url: '{place}/lookup'" if lookup else ""
    return f"{{callout: {{url: '{place}/verify'{second}, token: {TOKEN}, timeout: 1s}}}}"


def login(gateway: Gateway, password: str = PASSWORD, name: str = "ana") -> httpx.Response:
    with gateway.client() as client:
        return client.post("/auth/login", json={"username": name, "password": password})


def refresh(gateway: Gateway, token: str) -> httpx.Response:
    with gateway.client() as client:
        return client.post("/auth/refresh", json={"refresh_token": token})


def unavailable(answer: httpx.Response) -> None:
    """Check the failure rule: 503 that says when to come back, no 401, no cookie touched."""
    assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable"), answer.text
    assert int(answer.headers["Retry-After"]) >= 1
    assert "Set-Cookie" not in answer.headers
    assert "WWW-Authenticate" not in answer.headers


Outage = tuple[Callable[[], object], Callable[[], object]]
"""Begins it, and ends it."""


@contextmanager
def sqlite(folder: Path) -> Iterator[tuple[str, list[Outage]]]:
    def rename(old: str, new: str) -> Callable[[], None]:
        def work() -> None:
            connection = sqlite3.connect(folder / "users.db", timeout=20)
            connection.execute(f"ALTER TABLE {old} RENAME TO {new}")
            connection.close()

        return work

    outage = (rename("gateway_users", "elsewhere"), rename("elsewhere", "gateway_users"))
    yield f"{{database: {{url: 'sqlite:///{folder / 'users.db'}', timeout: 5s}}}}", [outage]


@contextmanager
def postgresql(folder: Path) -> Iterator[tuple[str, list[Outage]]]:
    with running_postgres() as server:
        yield f"{{database: {{url: '{server.url}', timeout: 2s}}}}", [(server.freeze, server.thaw)]


@contextmanager
def service(folder: Path) -> Iterator[tuple[str, list[Outage]]]:
    people = People(folder / "people")

    def signalled(number: signal.Signals) -> Callable[[], None]:
        return lambda: os.kill(people.pid, number)

    try:
        gone = (people.kill, lambda: people.begin(people.folder))
        yield callout(people.port), [(signalled(signal.SIGSTOP), signalled(signal.SIGCONT)), gone]
    finally:
        people.stop()


@pytest.mark.item(132)
@pytest.mark.parametrize("store", [sqlite, postgresql, service])
def test_an_outage_of_the_users_is_503_at_login_and_refresh_and_costs_nobody_their_session(
    store: Callable[[Path], AbstractContextManager[tuple[str, list[Outage]]]], tmp_path: Path
) -> None:
    with store(tmp_path) as (verify, outages):
        text = config(verify)
        (tmp_path / "gateway.yaml").write_text(text)
        if store is not service:
            add_ana(tmp_path)
        with running(tmp_path, text, GATEWAY_DATA_DIR=str(tmp_path / "data")) as gateway:
            until(lambda: login(gateway).status_code == 200, 60, what="the users' store did not answer")
            token = login(gateway).json()["refresh_token"]
            for begin, end in outages:
                begin()
                for answer in (login(gateway), login(gateway, "wrong"), login(gateway, name="nobody")):
                    unavailable(answer)
                unavailable(refresh(gateway, token))
                end()
                until(lambda: login(gateway).status_code == 200, 60, what="the users' store did not come back")
                renewed = refresh(gateway, token)
                assert renewed.status_code == 200, "the outage spent no token"
                token = renewed.json()["refresh_token"]
            assert login(gateway, "wrong").status_code == 401
            assert '"user_store"' in gateway.errors
            assert PASSWORD not in gateway.errors + gateway.output
            assert TOKEN not in gateway.errors + gateway.output
            assert gateway.faults() == []


def add_ana(folder: Path) -> None:
    for _ in range(60):  # a server that was just started may not answer yet
        try:
            users(folder, "add", "ana", "--role", "user", "--password-stdin", typed=f"{PASSWORD}\n")
            break
        except AssertionError:
            time.sleep(0.5)


@pytest.mark.item(132)
def test_a_service_without_lookup_is_not_needed_at_a_refresh_and_a_record_that_is_lost_is_no_401(
    tmp_path: Path,
) -> None:
    people, redis = People(tmp_path / "people"), Redis(tmp_path / "redis")
    (tmp_path / "secret").write_text("9f2c4b7e1a6d8035c1e7f4a2b9d06385")
    (tmp_path / "secret").chmod(0o600)
    more = f"server: {{secret_file: secret}}\nstore: {{url: '{redis.url}', timeout: 5s}}\n"
    more += "tokens: {issuer: http://gateway.test}\n"  # the command does not know the gateway's port
    try:
        with running(tmp_path, config(callout(people.port, lookup=False), more)) as gateway:
            granted = login(gateway).json()
            people.kill()
            unavailable(login(gateway))
            renewed = refresh(gateway, granted["refresh_token"])
            assert renewed.status_code == 200, renewed.text
            forget = ("EVAL", "\"for _,k in ipairs(redis.call('KEYS','gw:{p:*')) do redis.call('DEL',k) end\"", "0")
            redis.ask(*forget)
            token = renewed.json()["refresh_token"]
            unavailable(refresh(gateway, token))
            people.begin(people.folder)
            assert login(gateway).status_code == 200
            renewed = refresh(gateway, token)
            assert renewed.status_code == 200, "the session has outlived it"
            command(tmp_path, "revoke", "user", "7f1c2a", says="2 live sessions ended")
            ended = refresh(gateway, renewed.json()["refresh_token"])
            assert (ended.status_code, ended.json()["error"]) == (401, "invalid_grant")
            redis.ask(*forget)
            command(tmp_path, "revoke", "user", "7f1c2a", status=1, says="name it, or an empty one")
            command(tmp_path, "revoke", "user", "7f1c2a", "--tenant", "")
    finally:
        people.stop()
        redis.stop()


def test_what_the_service_says_of_somebody_counts_at_their_next_refresh(tmp_path: Path) -> None:
    people = People(tmp_path / "people")
    code = tmp_path / "people" / "users_service.py"
    try:
        with running(tmp_path, config(callout(people.port))) as gateway:
            token = login(gateway).json()["refresh_token"]
            people.kill()
            code.write_text(code.read_text().replace('["user"]', '["user", "admin"]'))
            people.begin(people.folder)
            renewed = refresh(gateway, token).json()
            with gateway.client(headers={"Authorization": f"Bearer {renewed['access_token']}"}) as client:
                assert client.get("/auth/session").json()["roles"] == ["admin", "user"]
            people.kill()
            code.write_text(code.read_text().replace('"sub": "7f1c2a"', '"sub": "another"'))
            people.begin(people.folder)
            ended = refresh(gateway, renewed["refresh_token"])
            assert (ended.status_code, ended.json()["error"]) == (401, "invalid_grant")
            with gateway.client(headers={"Authorization": f"Bearer {renewed['access_token']}"}) as client:
                until(lambda: client.get("/auth/session").status_code == 401)
    finally:
        people.stop()


def _told_again(gateway: Gateway, told: int) -> bool:
    return gateway.errors.count("config_refused") > told


HTPASSWD = "{htpasswd: {file: people, roles: [user]}}"
YAML = "{file: people}"


@pytest.mark.item(133)
@pytest.mark.parametrize("verify", [YAML, HTPASSWD])
def test_a_file_is_taken_up_by_itself_and_a_broken_one_keeps_the_last_good_one(verify: str, tmp_path: Path) -> None:
    """There is no outage of a file: what was read stays in force, and the answers stay right."""
    file = tmp_path / "people"

    def write(*names: str) -> None:
        lines = (f"{name}: {{password: '{BCRYPT}', roles: [user]}}" for name in names)
        is_yaml = verify == YAML
        file.write_text(
            f"users: {{{', '.join(lines)}}}\n" if is_yaml else "".join(f"{name}:{BCRYPT}\n" for name in names)
        )

    def status(name: str, password: str = "right") -> int:
        return login(gateway, password, name).status_code

    write("ana")
    with running(tmp_path, config(verify)) as gateway:
        token = login(gateway, "right").json()["refresh_token"]
        assert status("ben") == 401
        write("ana", "ben")
        until(lambda: status("ben") == 200, 60)
        for spoil in (lambda: file.write_text("no file of users\n"), lambda: file.write_text(""), file.unlink):
            told = gateway.errors.count("config_refused")
            spoil()
            until(partial(_told_again, gateway, told), 60)
            assert (status("ana"), status("ben"), status("ana", "wrong"), status("carl")) == (200, 200, 401, 401)
            renewed = refresh(gateway, token)
            assert renewed.status_code == 200
            token = renewed.json()["refresh_token"]
        write("ben")
        until(lambda: status("ana") == 401, 60)
        ended = refresh(gateway, token)
        assert (ended.status_code, ended.json()["error"]) == (401, "invalid_grant")
    file.unlink()
    command(tmp_path, "run", status=1, says="there is no such file")
