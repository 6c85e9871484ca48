"""What a whole gateway says of what it does: everything that an operator needs, and nothing that a thief could use."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.journeys.house import ROOT, Gateway, configuration, outside, until
from tests.journeys.house import running as run
from tests.redaction import leaks

ROUTES = "  - {path: /open/**, to: nobody, auth: public}\n  - {path: /any/**, to: nobody}"


def written(folder: Path) -> str:
    return configuration(folder, upstreams={"nobody": "http://127.0.0.1:9"}, routes=ROUTES)


def events(gateway: Gateway, name: str) -> list[dict[str, object]]:
    found = [json.loads(line) for line in gateway.errors.splitlines() if line.startswith("{")]
    return [event for event in found if event["msg"] == name]


def metric(gateway: Gateway, name: str) -> float:
    text = httpx.get(f"{gateway.admin_url}/metrics", trust_env=False).text
    return next((float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"{name} ")), 0.0)


@pytest.mark.item(157, 159)
def test_every_login_refresh_and_logout_is_in_the_audit_without_a_secret(tmp_path: Path) -> None:
    with run(tmp_path, written(tmp_path)) as gateway, gateway.client() as client:
        password = "correct horse battery"
        assert client.post("/auth/login", json={"username": "alice", "password": password}).status_code == 401
        tokens = gateway.login()
        old = tokens.refresh
        assert client.post("/auth/refresh", json={"refresh_token": old}).status_code == 200
        assert client.get("/any/x", headers=tokens.bearer).status_code == 502
        assert client.post("/auth/logout", headers=tokens.bearer).status_code == 204
        assert client.post("/auth/refresh", json={"refresh_token": old}).status_code == 401
        answer = client.post("/auth/login", json={"username": "alice", "password": "demo", "mode": "cookie"})
        jar = [value for name, value in answer.cookies.items() if name != "__Host-gw-csrf"]
        until(lambda: len(events(gateway, "authentication")) == 6)
        audit = events(gateway, "authentication")
        assert [(e["action"], e["status"], e.get("sub")) for e in audit] == [
            ("POST /auth/login", 401, None),
            ("POST /auth/login", 200, "alice"),
            ("POST /auth/refresh", 200, "alice"),
            ("POST /auth/logout", 204, "alice"),
            ("POST /auth/refresh", 401, None),
            ("POST /auth/login", 200, "alice"),
        ]
        assert all(e["audit"] and e["client_ip"] == "127.0.0.1" and e["request_id"] and e["ts"] for e in audit)
        until(lambda: len(gateway.log()) >= 7)
        said = gateway.output + gateway.errors
        for secret in (password, tokens.access, old, tokens.access.rpartition(".")[2], *jar):
            assert secret not in said
        assert leaks(said) == []


def test_a_leak_would_be_seen() -> None:
    token = f"eyJ{'a' * 20}.eyJ{'b' * 20}.{'c' * 40}"
    assert leaks(f'{{"msg": "access", "path": "/x?t={token}"}}')
    assert leaks('{"msg": "x", "authorization": "Bearer abc"}')
    assert leaks('{"msg": "x", "cookie": "__Host-Http-gw-at=abc"}')
    assert leaks('{"msg": "x", "password": "demo"}')
    assert leaks("-----BEGIN PRIVATE KEY-----")
    assert leaks(f'{{"msg": "x", "a": "gwr_{"a" * 88}"}}')
    assert leaks('{"msg": "x", "got": "demo"}')
    assert leaks("09:00:00 [info     ] authentication password=hunter2")
    assert leaks("09:00:00 200 GET /x?password='abc'")
    assert leaks('{"msg": "access", "upstream": "demo"}') == []
    assert leaks("Bearer abc, as a test prints it") == []
    assert leaks('{"msg": "access", "path": "/x", "sub": "alice"}') == []


@pytest.mark.item(158)
def test_nothing_that_a_client_sends_can_begin_a_line_or_colour_one(tmp_path: Path) -> None:
    nasty = 'x\r\n{"msg":"forged"}\x1b[31m\u2028\u0085'
    with run(tmp_path, written(tmp_path)) as gateway, gateway.client() as client:
        client.post("/auth/login", json={"username": nasty, "password": nasty, "device": nasty})
        client.get("/open/%0d%0a%1b%5b31m%E2%80%A8", headers={"User-Agent": "a\x1b[31mb"})
        client.get("/open/x", headers={"Host": "forged.example"})
        until(lambda: len(gateway.log()) >= 3)
        for line in (gateway.output + gateway.errors).splitlines():
            assert line.isprintable(), line
        assert not any(line["msg"] == "forged" for line in gateway.log())
        assert 'forged"}' not in gateway.output + gateway.errors


@pytest.mark.item(163)
def test_no_label_of_a_metric_is_what_a_client_chose(tmp_path: Path) -> None:
    with run(tmp_path, written(tmp_path)) as gateway, gateway.client() as client:
        for at in range(20):
            client.request(f"X{at}", f"/open/chosen{at}?chosen{at}", headers={"Host": f"chosen{at}.example"})
            client.get(f"/chosen{at}", headers={"User-Agent": f"chosen{at}", "Authorization": f"Bearer chosen{at}"})
        client.post("/auth/login", json={"username": "chosen", "password": "chosen"})
        text = httpx.get(f"{gateway.admin_url}/metrics", trust_env=False).text
        assert "chosen" not in text
        assert not re.search(r'method="X\d', text)


# --- the process and what it stands on ---


def command(*before: str, redirected: str = "") -> list[str]:
    run_it = f"exec {' '.join(before)} {sys.executable} -m gateway run -c gateway.yaml {redirected}"
    return ["sh", "-c", run_it]


@pytest.mark.item("disk full for logs")
def test_a_full_disk_costs_the_log_and_is_counted(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, written(tmp_path), command=command(redirected=">/dev/full"))
    try:
        gateway.await_ready(lambda: gateway.readiness() == 200)
        with gateway.client() as client:
            for _ in range(20):
                assert client.get("/open/x").status_code == 502
            until(lambda: metric(gateway, "gateway_access_log_dropped_total") > 0)
            assert client.get("/open/x").status_code == 502
        assert gateway.faults() == []
    finally:
        gateway.hurry()
        gateway.stop()


@pytest.mark.item("log reader blocked")
def test_a_reader_that_does_not_read_stops_nothing(tmp_path: Path) -> None:
    """Neither the access log nor the events: a login is an event, and a pipe holds 64 KiB."""
    for name in ("out", "err"):
        os.mkfifo(tmp_path / name)
    readers = [os.open(tmp_path / name, os.O_RDWR) for name in ("out", "err")]
    gateway = Gateway(tmp_path, written(tmp_path), command=command(redirected=">out 2>err"))
    try:
        gateway.await_ready(lambda: gateway.readiness() == 200)
        with gateway.client() as client:
            for _ in range(500):
                assert client.post("/auth/logout").status_code == 204
                assert client.get("/open/x").status_code == 502
        assert gateway.readiness() == 200
    finally:
        gateway.kill()
        for reader in readers:
            os.close(reader)
        gateway.stop()


@pytest.mark.item("file descriptors run out")
def test_who_is_served_stays_served_when_descriptors_run_out(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, written(tmp_path), command=command("prlimit", "--nofile=64:64"))
    try:
        gateway.await_ready(lambda: gateway.readiness() == 200)
        with gateway.client() as served:
            assert served.get("/auth/csrf").status_code == 200
            others = [gateway.client() for _ in range(80)]
            statuses = []
            for other in others:
                try:
                    statuses.append(other.get("/nowhere", timeout=0.2).status_code)
                except httpx.TransportError:
                    statuses.append(0)
            assert 404 in statuses
            assert set(statuses) != {404}, "the limit was reached"
            assert served.get("/nowhere").status_code == 404
            for other in others:
                other.close()
            until(lambda: gateway.readiness() == 200, 20)
            with gateway.client() as late:
                assert late.get("/nowhere").status_code == 404
    finally:
        gateway.hurry()
        gateway.stop()


def test_a_test_whose_own_process_logs_a_secret_fails(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("from tests.conftest import pytest_runtest_makereport\n")
    (tmp_path / "test_planted.py").write_text(
        "import sys\n"
        """def test_leak(): print('{"msg": "x", "cookie": "__Host-gw-csrf=abc"}', file=sys.stderr)\n"""
        """def test_none(): print('__Host-gw-csrf=abc')\n"""
    )
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", ".", "."]
    done = subprocess.run(
        command, cwd=tmp_path, env=outside() | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60
    )
    assert "2 passed, 1 error" in done.stdout, done
    assert "a log has secrets in it:\na cookie of ours" in done.stdout
