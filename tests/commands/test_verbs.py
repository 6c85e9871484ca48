"""The verbs that read a configuration: what they print, and their exit status."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli import cli
from tests.commands.shell import CONFIG, Shell
from tests.journeys.house import ROOT, outside


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


# --- check ---


def test_a_good_file_is_ok(shell: Shell) -> None:
    assert shell.good("check") == "OK  gateway.yaml: 2 routes, 2 upstreams\n"
    members = json.loads(shell.good("check", "-o", "json"))
    assert members == {"file": "gateway.yaml", "errors": [], "cautions": [], "answers": []}
    assert shell.good("check", "-o", "github") == ""


def test_every_fault_is_there_in_every_form_and_counted_last(shell: Shell) -> None:
    shell.write(CONFIG.replace("to: web", "to: wep").replace("auth: public", "aut: public"))
    result = shell.run("check")
    said = result.stderr.replace(f"{shell.folder}/", "")
    assert result.exit_code == 1
    assert said.startswith('gateway.yaml:8:23: routes[0].to: no upstream is called "wep"\n')
    assert said.endswith('\n    did you mean "auth"?\n2 errors in gateway.yaml\n')
    members = json.loads(shell.run("check", "-o", "json").stdout)
    assert [(e["line"], e["column"], e["where"], e["hint"]) for e in members["errors"]] == [
        (8, 23, "routes[0].to", 'did you mean "web"?'),
        (8, 28, "routes[0].aut", 'did you mean "auth"?'),
    ]
    lines = shell.run("check", "-o", "github").stdout.replace(f"{shell.folder}/", "").splitlines()
    assert lines[1] == '::error file=gateway.yaml,line=8,col=28,title=routes[0].aut::unknown key; did you mean "auth"?'


def test_what_github_would_read_as_its_own_is_escaped(shell: Shell) -> None:
    shell.write(CONFIG.replace("path: /open", 'path: "/a%zz,b:c"'))
    line = shell.run("check", "-o", "github").stdout
    assert line.count("\n") == 1
    assert "%25" in line


def test_a_missing_file_is_a_fault_in_every_form(tmp_path: Path) -> None:
    missing = str(tmp_path / "nowhere.yaml")
    for form in ("text", "json", "github"):
        result = CliRunner().invoke(cli, ["check", "-c", missing, "-o", form])
        assert (result.exit_code, "there is no such file" in result.output) == (1, True)


def test_cautions_are_told_and_fail_only_when_asked(shell: Shell) -> None:
    shell.write(CONFIG.replace("upstreams: {", "upstreams: {spare: 'http://127.0.0.1:1', "))
    result = shell.run("check")
    assert (result.exit_code, result.stdout.rstrip().endswith("1 caution")) == (0, True)
    assert "upstreams.spare: no route leads there" in result.stderr
    assert shell.run("check", "--strict").exit_code == 1
    assert "::warning " in shell.run("check", "-o", "github").stdout


def test_resolve_asks_the_service_that_knows_the_users(shell: Shell) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        up = f"http://127.0.0.1:{listener.getsockname()[1]}/verify"
        down = "https://127.0.0.1:1/lookup"
        service = f"{{callout: {{url: '{up}', lookup_url: '{down}', token: {'x7' * 4}kq93hf0sld}}}}"
        shell.write(CONFIG.replace("{file: users.yaml}", service).replace("as: ana", "as: user"))
        result = shell.run("check", "--resolve")
    assert f"✓ login.verify.callout.url {up}: connected" in result.stdout
    assert f"✗ login.verify.callout.lookup_url {down}" in result.stdout
    shown = shell.good("config", "show", "login")
    assert (up in shown, "***" in shown, "kq93hf0sld" in shown) == (True, True, False)
    assert shell.good("test").endswith("4 hold\n"), "roles may be asked for without anybody of the files"


def test_resolve_asks_every_place_and_says_which_does_not_answer(shell: Shell) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        text = CONFIG.replace('app: "http://127.0.0.1:1"', f'app: "http://127.0.0.1:{port}"')
        text = text.replace('web: "http://127.0.0.1:1"', 'web: "http://nowhere.invalid:1"')
        issuer = (
            f'{{issuer: "http://127.0.0.1:{port}", jwks: "http://127.0.0.1:1/jwks", insecure_http: true, audience: [a]'
        )
        shell.write(f"{text}trusted_issuers: {{idp: {issuer}, algs: [ES256], subject_prefix: x-}}}}\n")
        result = shell.run("check", "--resolve")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert [line.partition(": ")[0] for line in lines[:4]] == [
        "✗ store",
        "✗ trusted_issuers.idp",
        f"✓ upstreams.app http://127.0.0.1:{port}",
        "✗ upstreams.web http://nowhere.invalid:1",
    ]
    assert "3 places that do not answer" in result.stderr
    assert "hunter2" not in result.output


# --- config show ---


def test_every_value_is_shown_with_where_it_comes_from_and_no_secret(shell: Shell) -> None:
    said = json.loads(shell.good("config", "show", "-o", "json", GATEWAY_LISTEN="127.0.0.1:8000"))
    assert said["server.listen"] == {"value": "127.0.0.1:8000", "source": "GATEWAY_LISTEN"}
    assert said["server.public_url"] == {"value": "https://api.example.com", "source": "gateway.yaml:2"}
    assert said["server.secret"] == {"value": "***", "source": "gateway.yaml:2"}
    assert said["store.url"]["value"] == "redis://***@127.0.0.1:1/0"
    assert said["tokens.issuer"] == {"value": "https://api.example.com", "source": "server.public_url"}
    assert said["tokens.access_ttl"] == {"value": "10m", "source": "default"}
    assert said["routes[1].methods.DELETE.roles"] == {"value": ["admin"], "source": "gateway.yaml:11"}
    everything = shell.good("config", "show")
    assert (shell.folder / "secret").read_text() not in everything
    assert "hunter2" not in everything


def test_a_limit_is_shown_with_what_is_in_force_where_nothing_is_written(shell: Shell) -> None:
    plans = "{claim: plan, free: 2/m, pro: {burst: 9, max_inflight: none}, any: {rate: none}}"
    shell.write(
        CONFIG.replace(
            "tests:",
            "limits:\n  per_ip: {by: address, rate: 5/10s}\n  few: {by: claim.sub, max_inflight: 2}\n"
            f"  user: {{by: claim.sub, rate: 60/m, max_inflight: 4, plans: {plans}}}\n"
            f"  dense: {{by: claim.sub, rate: 60/m, burst: 3, plans: {{claim: plan, free: 2/m}}}}\ntests:",
        )
    )
    said = json.loads(shell.good("config", "show", "limits", "-o", "json"))
    shown = {key.removeprefix("limits."): (one["value"], one["source"]) for key, one in said.items()}
    assert shown["per_ip.burst"] == (5, "limits.per_ip.rate")
    assert shown["few.burst"] == (None, "default")
    assert shown["user.burst"] == (60, "limits.user.rate")
    assert shown["user.plans.free.burst"] == (2, "limits.user.plans.free.rate")
    assert shown["user.plans.free.max_inflight"] == (4, "limits.user.max_inflight")
    assert shown["user.plans.pro.rate"] == ("60/m", "limits.user.rate")
    assert shown["user.plans.pro.burst"][0] == 9
    assert shown["user.plans.pro.max_inflight"][0] is None
    assert shown["user.plans.any.rate"][0] is None
    assert shown["user.plans.any.burst"] == (None, "default")
    assert shown["dense.plans.free.burst"] == (3, "limits.dense.burst")


def test_one_key_can_be_asked_for(shell: Shell) -> None:
    lines = shell.good("config", "show", "server.drain").splitlines()
    assert [line.split() for line in lines] == [
        ["KEY", "VALUE", "FROM"],
        ["server.drain.delay", "5s", "default"],
        ["server.drain.timeout", "30s", "default"],
    ]


def test_a_key_that_there_is_not_is_said_to_be_none(shell: Shell) -> None:
    result = shell.run("config", "show", "server.limit")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == 'nothing is called "server.limit"; did you mean "server.limits"?\n'
    assert shell.good("config", "show", "routes[1].methods.GET").count("\n") > 5


@pytest.mark.parametrize("verb", ["check", "run", "routes"])
def test_whoever_gives_the_file_as_a_word_is_told_how_it_is_named(verb: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, [verb, "other.yaml"])
    assert (result.exit_code, "the configuration is named by -c: -c other.yaml" in result.stderr) == (2, True)


# --- routes, matrix, test ---


def test_routes_are_listed_with_what_they_ask_for(shell: Shell) -> None:
    rows = json.loads(shell.good("routes", "-o", "json"))
    assert [(row["methods"], row["route"], row["asks"], row["place"]) for row in rows] == [
        (["GET"], "/open", "nothing", "gateway.yaml:8"),
        (["GET"], "/orders/{id}", "role admin or user", "gateway.yaml:9"),
        (["DELETE"], "/orders/{id}", "role admin", "gateway.yaml:9"),
    ]
    shell.write(CONFIG.replace("tests:", "defaults: {cors: {origins: [https://b.example, https://a.example]}}\ntests:"))
    rows = json.loads(shell.good("routes", "-o", "json"))
    assert {tuple(row["cors"]) for row in rows} == {("https://a.example", "https://b.example")}
    assert "/auth/**" in shell.good("routes", "--all")
    assert "/auth/**" not in shell.good("routes")


def test_the_matrix_has_everybody_and_every_route(shell: Shell) -> None:
    rows = {(row["route"], *row["methods"]): row["statuses"] for row in json.loads(shell.good("matrix", "-o", "json"))}
    assert rows["/orders/{id}", "DELETE"] == {"anonymous": 401, "no role": 403, "user": 403, "admin": 200}
    assert rows["/orders/{id}", "GET"] == {"anonymous": 401, "no role": 403, "user": 200, "admin": 200}
    assert rows["/open", "GET"] == {"anonymous": 200, "no role": 200, "user": 200, "admin": 200}
    lines = shell.good("matrix").splitlines()
    assert lines[0].split() == ["METHODS", "ROUTE", "anonymous", "no", "role", "user", "admin"]


def test_the_expectations_of_the_file_are_held_against_it(shell: Shell) -> None:
    assert shell.good("test", "-q") == "OK  gateway.yaml: 4 hold\n"
    assert shell.good("test").count("✓") == 4
    shell.write(CONFIG.replace("DELETE: {roles: [admin]}", "DELETE: {roles: [user]}"))
    result = shell.run("test", "-q")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "✗ DELETE /orders/7 as ana (roles: user): allowed, not role_missing  (gateway.yaml:14)",
        "1 of 4 do not hold",
    ]
    shell.write(CONFIG.partition("tests:")[0])
    assert "there is nothing under tests:" in shell.run("test").stderr
    shell.write(CONFIG.replace("as: ana", "as: anna"))
    result = shell.run("test", "-q")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        '✗ DELETE /orders/7: nobody is called "anna"; did you mean "ana"?  (gateway.yaml:14)',
        "1 of 4 do not hold",
    ]


def test_the_matrix_is_about_who_asks_and_not_from_where(shell: Shell) -> None:
    shell.write(CONFIG.replace("to: web, auth: public", "to: web, allow_ips: [2001:db8::/32]"))
    rows = {row["route"]: row["statuses"] for row in json.loads(shell.good("matrix", "-o", "json"))}
    assert rows["/open"] == {"anonymous": 401, "no role": 200, "user": 200, "admin": 200}


def test_the_matrix_has_programs_too(shell: Shell) -> None:
    clients = f"clients: {{job: {{secret_hash: 'sha256:{'ab' * 32}', roles: [admin]}}}}\n"
    shell.write(
        CONFIG.replace("methods: [GET]}", "methods: [GET]}\n  - {path: /job, to: web, caller: program}") + clients
    )
    rows = {row["route"]: row["statuses"] for row in json.loads(shell.good("matrix", "-o", "json"))}
    assert (rows["/job"]["the program job"], rows["/job"]["admin"]) == (200, 403)


# --- init, completion, healthcheck ---


def test_what_init_writes_passes_its_own_checks(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    done = CliRunner().invoke(cli, ["init", str(folder)])
    assert (done.exit_code, sorted(path.name for path in folder.iterdir())) == (
        0,
        ["gateway.schema.json", "gateway.yaml", "users.yaml"],
    )
    config = str(folder / "gateway.yaml")
    for verb in ("check", "test", "matrix"):
        assert CliRunner().invoke(cli, [verb, "-c", config]).exit_code == 0
    again = CliRunner().invoke(cli, ["init", str(folder)])
    assert (again.exit_code, "is there already; nothing was written" in again.stderr) == (1, True)


@pytest.mark.parametrize("shell_name", ["bash", "zsh", "fish"])
def test_the_completion_is_for_this_shell(shell_name: str) -> None:
    script = CliRunner().invoke(cli, ["completion", shell_name]).stdout
    assert "_GATEWAY_COMPLETE" in script


def test_a_shell_gets_the_verbs_from_the_program() -> None:
    environ = outside() | {
        "PYTHONPATH": str(ROOT),
        "_GATEWAY_COMPLETE": "bash_complete",
        "COMP_WORDS": "gateway ex",
        "COMP_CWORD": "1",
    }
    program = "import sys; sys.argv[0] = 'gateway'; from gateway.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True)
    assert done.stdout == "plain,explain\n", done


def test_the_health_check_loads_neither_yaml_nor_the_command_line(tmp_path: Path) -> None:
    """A container asks every few seconds, so what it costs is what it imports."""
    program = (
        "import sys; sys.argv = ['gateway', 'healthcheck']; from gateway.__main__ import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    print(end.code)\n"
        "print(sorted({'yaml', 'click', 'rich_click', 'pydantic', 'aiohttp', 'asyncio'} & sys.modules.keys()))"
    )
    environ = outside() | {"PYTHONPATH": str(ROOT), "GATEWAY_ADMIN_LISTEN": "127.0.0.1:1"}
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.splitlines()[-2:] == ["1", "[]"], done
