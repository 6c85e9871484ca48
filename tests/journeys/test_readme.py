"""What README.md says is true: its tour is walked line by line, and its own gateway.yaml is one."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.journeys.house import ROOT, Gateway, outside, running
from tests.journeys.tour import Command, Step, blocks, commands, here, walk
from tests.programs import require

README = ROOT / "README.md"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder that looks like the checkout, where the tour may leave its files."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for entry in ROOT.iterdir():
        if not entry.name.startswith(".") or entry.name == ".venv":
            (folder / entry.name).symlink_to(entry)
    return folder


def test_the_tour_goes_as_the_readme_says(demo: Gateway, tmp_path: Path, checkout: Path) -> None:
    require("curl")
    found = blocks(README.read_text())
    assert found, "README.md has no tour: a block marked sh, beginning with `# tour` or below a heading with Tour in it"
    addresses = {
        "127.0.0.1:8080": f"127.0.0.1:{demo.port}",
        "localhost:8080": f"localhost:{demo.port}",
        "127.0.0.1:9901": f"127.0.0.1:{demo.admin_port}",
    }
    tour = [command for block in found for command in commands(here(block, addresses))]
    assert not [command for command in tour if re.match(r"\s*make (run|test)\b", command.text)], (
        "the tour is walked beside a running gateway, so `make run` belongs above it"
    )
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    steps = walk(tour, checkout, {**outside(), "PATH": path, "HOME": str(tmp_path)})
    assert [told(step) for step in steps if not step.kept_its_promise] == []
    promised = {command.status for command in tour}
    assert {"200", "401", "403", "204"} <= promised, "the tour shows the good case, who is not let in, and the end"


def told(step: Step) -> str:
    """Return what went wrong, for the one who mends the README or the gateway."""
    wanted = f", promised {step.command.status}" if step.command.status else ""
    return f"{step.command.text}\n  exit status {step.exit_status}{wanted}, answered {step.statuses}:\n{step.output}"


def test_the_gateway_yaml_of_ones_own_is_one(tmp_path: Path) -> None:
    """With a real hash in the place of the shortened one, and no other change."""
    files = re.findall(r"^```yaml\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    assert len(files) == 2, "README.md shows a gateway.yaml and a users.yaml"
    gateway = [sys.executable, "-m", "gateway"]
    environ = {**outside(), "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    hashed = subprocess.run(
        [*gateway, "users", "hash", "--password-stdin"], input="secret\n", capture_output=True, text=True, env=environ
    )
    assert hashed.returncode == 0, hashed.stderr
    users, replaced = re.subn(r'"\$argon2id\$[^"]*"', f'"{hashed.stdout.strip()}"', files[1])
    assert replaced == 1
    (tmp_path / "gateway.yaml").write_text(files[0])
    (tmp_path / "users.yaml").write_text(users)
    checked = subprocess.run([*gateway, "check"], cwd=tmp_path, capture_output=True, text=True, env=environ)
    assert checked.returncode == 0, checked.stderr
    with running(tmp_path, files[0]) as house:
        assert house.login("ana", "secret").access
        with house.client() as client:
            assert client.get("/anything").status_code == 401
            assert client.get("/health").headers["X-Gateway-Error"] == "upstream_unreachable"


# --- the guide itself ---


def test_only_the_tours_blocks_are_taken() -> None:
    text = """\
# A gateway

```sh
make run
```

## Quick tour

```sh
# it begins
first
```

```yaml
not: this
```

### Cookies

```sh
second
```

## Elsewhere, see the tour

no block here

## Other

```sh
never
```

```sh
# tour
third
```
"""
    assert blocks(text) == ["# it begins\nfirst\n", "second\n", "# tour\nthird\n"]


def test_commands_go_over_as_many_lines_as_they_need() -> None:
    block = """\
# a comment
TOKEN=$(curl -s http://127.0.0.1:8080/auth/login \\
  -d '{"a":
       1}' | sed 's/#/ /')
curl -i http://127.0.0.1:8080/api -H "X: # 500"   # 403: it's alice, "no admin"

curl -i http://127.0.0.1:8080/  # 20 seconds
"""
    first, second, third = commands(block)
    assert (first.text.count("\n"), first.status) == (2, "")
    assert second.status == "403"
    assert third.status == ""
    with pytest.raises(ValueError, match="finds no end"):
        list(commands("echo 'for ever\n"))


def test_a_step_that_breaks_its_promise_is_noticed(tmp_path: Path) -> None:
    assert shutil.which("bash")
    steps = walk(
        [
            Command("N=7", ""),
            Command("printf 'HTTP/1.1 100 Continue\\r\\n\\r\\nHTTP/1.1 200 OK\\r\\n\\r\\n%s' $N  # 200", "200"),
            Command("echo HTTP/1.1 200 OK", "401"),
            Command("echo nothing", "200"),
            Command("false", ""),
            Command("echo last >&2", ""),
        ],
        tmp_path,
        outside(),
    )
    assert [step.kept_its_promise for step in steps] == [True, True, False, False, False, True]
    assert steps[1].output.endswith("7")
    assert steps[-1].output == "last\n"


def test_addresses_are_replaced_whole() -> None:
    text = "http://127.0.0.1:8080/x 127.0.0.1:80801 http://10.127.0.0.1:8080"
    assert (
        here(text, {"127.0.0.1:8080": "127.0.0.1:5"}) == "http://127.0.0.1:5/x 127.0.0.1:80801 http://10.127.0.0.1:8080"
    )
