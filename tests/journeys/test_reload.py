"""Reloads as operators cause them: by a signal, by the command, by saving the file."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from gateway.presence import Running, running
from tests.journeys.house import ROOT, Gateway, configuration, outside, until
from tests.journeys.house import running as run

ROUTES = "  - {path: /one/**, to: nobody, auth: public}"


def written(folder: Path, routes: str = ROUTES, *, watch: bool = False) -> str:
    server = "" if watch else "  watch: false"
    return configuration(folder, upstreams={"nobody": "http://127.0.0.1:9"}, routes=routes, server=server)


def reloaded(gateway: Gateway, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run `gateway reload` beside *gateway*."""
    own = {"PYTHONPATH": str(ROOT), "GATEWAY_DATA_DIR": str(gateway.folder / "data")}
    command = [sys.executable, "-m", "gateway", "reload", "-c", "gateway.yaml"]
    return subprocess.run(
        command, cwd=gateway.folder, env=outside() | own | environ, capture_output=True, text=True, timeout=60
    )


def status(gateway: Gateway, path: str) -> int:
    with gateway.client() as client:
        return client.get(path).status_code


def test_the_command_says_what_has_changed_and_a_refusal_with_its_line(tmp_path: Path) -> None:
    with run(tmp_path, written(tmp_path)) as gateway:
        done = reloaded(gateway)
        assert (done.returncode, done.stdout) == (0, f"gateway {gateway.pid}: nothing has changed\n"), done
        (tmp_path / "gateway.yaml").write_text(written(tmp_path, ROUTES.replace("/one", "/two")))
        done = reloaded(gateway)
        said = f"gateway {gateway.pid}: reloaded\n  routes[/one/**]: removed\n  routes[/two/**]: added\n"
        assert (done.returncode, done.stdout) == (0, said), done
        assert (status(gateway, "/two/x"), status(gateway, "/one/x")) == (502, 404)
        (tmp_path / "gateway.yaml").write_text(written(tmp_path, ROUTES.replace("auth", "aut")))
        done = reloaded(gateway)
        assert done.returncode == 1
        assert done.stdout == ""
        assert done.stderr.splitlines() == [
            "gateway.yaml:10:33: routes[0].aut: unknown key",
            "    - {path: /one/**, to: nobody, aut: public}",
            "                                  ^",
            '    did you mean "auth"?',
            f"gateway {gateway.pid}: refused; what was in force stays so",
        ]
        assert status(gateway, "/two/x") == 502
        assert gateway.faults() == []


def test_a_hang_up_takes_up_the_file_and_ends_nothing(tmp_path: Path) -> None:
    with run(tmp_path, written(tmp_path)) as gateway:
        (tmp_path / "gateway.yaml").write_text(written(tmp_path, ROUTES.replace("/one", "/two")))
        os.kill(gateway.pid, signal.SIGHUP)
        until(lambda: status(gateway, "/two/x") == 502)
        assert "config_reloaded" in gateway.errors


def test_a_file_that_is_saved_is_taken_up_by_itself(tmp_path: Path) -> None:
    with run(tmp_path, written(tmp_path, watch=True)) as gateway:
        beside = tmp_path / "gateway.yaml.new"
        beside.write_text(written(tmp_path, ROUTES.replace("/one", "/two"), watch=True))
        beside.replace(tmp_path / "gateway.yaml")
        until(lambda: status(gateway, "/two/x") == 502, 20)
        (tmp_path / "gateway.yaml").write_text("nonsense\n")
        until(lambda: "config_refused" in gateway.errors, 20)
        text = httpx.get(f"{gateway.admin_url}/metrics", trust_env=False).text
        assert "gateway_config_last_reload_successful 0.0" in text
        assert status(gateway, "/two/x") == 502


def test_the_gateway_is_found_although_its_file_is_broken_or_the_environment_lacks_something(tmp_path: Path) -> None:
    text = written(tmp_path).replace("  watch: false", '  data_dir: "own"\n  watch: false\n  public_url: "${URL}"')
    with run(tmp_path, text, URL="https://api.example") as gateway:
        done = reloaded(gateway, GATEWAY_DATA_DIR="/nowhere")
        assert (done.returncode, done.stdout) == (0, f"gateway {gateway.pid}: nothing has changed\n"), done


def test_without_a_gateway_the_command_says_so(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, written(tmp_path))
    gateway.await_ready(lambda: gateway.readiness() == 200)
    data = tmp_path / "data"
    until(lambda: [one.pid for one in running(data)] == [gateway.pid])
    gateway.kill()
    done = reloaded(gateway)
    assert done.returncode == 1
    assert done.stderr == f"no gateway runs here with the data directory {data}\n"
    assert list((data / "running").iterdir()), "a crash leaves its file"
    again = Gateway(tmp_path, written(tmp_path))
    try:
        again.await_ready(lambda: again.readiness() == 200)
        until(lambda: [one.pid for one in running(data)] == [again.pid])
        assert len(list((data / "running").iterdir())) == 2, "the next start removes it"
    finally:
        again.hurry()
        again.stop()
    assert list((data / "running").iterdir()) == []


def test_a_process_of_another_container_is_not_signalled(tmp_path: Path) -> None:
    folder = tmp_path / "running"
    folder.mkdir()
    (folder / "elsewhere.1").touch()
    assert list(running(tmp_path)) == []


def test_a_gateway_that_ends_meanwhile_gives_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"host.{os.getpid()}"
    path.touch()
    monkeypatch.setattr(os, "kill", lambda _pid, _signal: None)
    assert Running(path).reload(5) is None
