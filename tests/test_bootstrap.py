"""The environment that `make run` and `make test` make: what they install, when they do not, and what a cut-off leaves.

The installers are fakes that write down how they were called, so nothing is downloaded here. The real ones are at work
whenever this suite runs: it is `scripts/bootstrap.sh` that started it.
"""

import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from tests.programs import KNOWN

ROOT = Path(__file__).parent.parent
LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-build.lock")

# The environment's own interpreter is never a real one: what gets installed there would land in the real one's home.
MAKE_VENV = "mkdir -p .venv/bin && printf '#!/bin/sh\\nexit 1\\n' >.venv/bin/python && chmod 755 .venv/bin/python"
FAKE_UV = f"""\
#!/bin/sh
echo "uv $*" >>calls
case $1 in
    venv) {MAKE_VENV} ;;
    pip) echo "Collecting something==1" && [ -z "$SLOW" ] || sleep "$SLOW" && [ -z "$BROKEN" ] || exit 1 ;;
esac
"""
FAKE_PYTHON = f"""\
#!/bin/sh
case "$*" in
    -c*) exec "$REAL_PYTHON" "$@" ;;
    *"pip --python"*) [ -z "$NO_PIP" ] || exit 1 ;;
    *"venv --without-pip"*) {MAKE_VENV} ;;
    *"-m venv .venv") exit 1 ;; # Debian without python3-venv
esac
echo "python3 $*" >>calls
"""


class Checkout:
    """A copy of what the bootstrap reads, on a machine that has only the programs put on its PATH."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "bin").mkdir(parents=True)
        (path / "scripts").mkdir()
        for name in (*LOCKS, "pyproject.toml", "scripts/bootstrap.sh"):
            shutil.copy(ROOT / name, path / name)
        for name in ("sh", "cat", "cksum", "grep", "mkdir", "rm", "chmod", "sleep", "tail", "dirname", "kill", "true"):
            found = shutil.which(name)
            if found:
                (path / "bin" / name).symlink_to(found)

    def has(self, name: str, script: str) -> None:
        program = self.path / "bin" / name
        program.write_text(script)
        program.chmod(0o755)

    def environment(self, **settings: str) -> dict[str, str]:
        return {"PATH": str(self.path / "bin"), "REAL_PYTHON": sys.executable, **settings}

    def command(self, kind: str) -> list[str]:
        return ["sh", "scripts/bootstrap.sh", kind, "sh", "-c", "echo the command runs"]

    def start(self, kind: str = "run", **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(kind),
            cwd=self.path,
            env=self.environment(**settings),
            capture_output=True,
            text=True,
            timeout=30,
        )

    @property
    def calls(self) -> list[str]:
        """How the installers were called since the last look."""
        log = self.path / "calls"
        said = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return said


@pytest.fixture
def bare(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "a checkout")


@pytest.fixture
def checkout(bare: Checkout) -> Checkout:
    bare.has("uv", FAKE_UV)
    bare.has("python3", FAKE_PYTHON)
    return bare


def test_the_first_start_installs_by_hash_and_then_becomes_the_command(checkout: Checkout) -> None:
    done = checkout.start()
    assert (done.returncode, done.stdout) == (0, "the command runs\n"), done.stderr
    environment, requirements, project = checkout.calls
    assert environment.startswith("uv venv")
    assert "--require-hashes --only-binary :all: -r requirements.lock -r requirements-build.lock" in requirements
    assert project.endswith("--no-deps --no-build-isolation --editable .")


def test_the_second_start_installs_nothing_and_says_nothing(checkout: Checkout) -> None:
    checkout.start()
    assert checkout.calls
    done = checkout.start()
    assert (done.stdout, done.stderr, checkout.calls) == ("the command runs\n", "", [])


@pytest.mark.parametrize("changed", ["requirements.lock", "pyproject.toml"])
def test_a_changed_lock_or_project_installs_again(checkout: Checkout, changed: str) -> None:
    checkout.start()
    with (checkout.path / changed).open("a") as file:
        file.write("# changed\n")
    assert checkout.calls
    checkout.start()
    assert checkout.calls


def test_a_moved_checkout_installs_again(checkout: Checkout) -> None:
    checkout.start()
    assert checkout.calls
    checkout.path = checkout.path.rename(checkout.path.with_name("elsewhere"))
    assert checkout.start().returncode == 0
    assert checkout.calls


def test_an_environment_for_the_tests_also_serves_the_run(checkout: Checkout) -> None:
    checkout.start("dev")
    assert any("requirements-dev.lock" in call for call in checkout.calls)
    assert checkout.start("run").returncode == 0
    assert checkout.calls == []


def test_an_environment_for_the_run_does_not_serve_the_tests(checkout: Checkout) -> None:
    checkout.start("run")
    assert checkout.calls
    checkout.start("dev")
    assert any("requirements-dev.lock" in call for call in checkout.calls)


def test_a_failed_installation_shows_why_and_is_tried_again(checkout: Checkout) -> None:
    done = checkout.start(BROKEN="1")
    assert done.returncode == 1
    assert "Collecting something" in done.stderr
    assert ".venv/install.log" in done.stderr
    assert done.stdout == ""
    assert checkout.calls
    assert "starting afresh" in checkout.start().stderr
    assert checkout.calls


def test_an_interrupted_installation_ends_at_once_and_leaves_no_stamp(checkout: Checkout) -> None:
    process = subprocess.Popen(
        checkout.command("run"),
        cwd=checkout.path,
        env=checkout.environment(SLOW="30"),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    while "installing" not in (line := process.stderr.readline()):
        assert line, "it ended before it installed anything"
    while not any("pip install" in call for call in checkout.calls):
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # what a terminal does at Ctrl-C
    _, said = process.communicate(timeout=5)
    assert process.returncode == 130, said
    assert not list((checkout.path / ".venv").glob("stamp-*"))
    assert "starting afresh" in checkout.start().stderr


def test_a_terminal_sees_that_it_goes_on(checkout: Checkout) -> None:
    terminal, theirs = pty.openpty()
    with subprocess.Popen(
        checkout.command("run"), cwd=checkout.path, env=checkout.environment(SLOW="1.5", TERM="xterm"), stderr=theirs
    ) as process:
        os.close(theirs)
        said = b""
        while True:
            try:
                said += os.read(terminal, 4096)
            except OSError:  # the other end is closed
                break
        assert process.wait() == 0
    os.close(terminal)
    assert re.search(rb"\r  1 of \d+ packages, 1 s ", said), said


def test_without_uv_the_environment_is_filled_by_a_pip_from_outside(bare: Checkout) -> None:
    bare.has("python3", FAKE_PYTHON)
    assert bare.start().stdout == "the command runs\n"
    calls = bare.calls
    assert "python3 -m venv --without-pip .venv" in calls
    assert any("-m pip --python .venv/bin/python install" in call and "--require-hashes" in call for call in calls)


def test_without_any_pip_it_says_what_to_install(bare: Checkout) -> None:
    bare.has("python3", FAKE_PYTHON)
    done = bare.start(NO_PIP="1")
    assert done.returncode == 1
    assert "apt-get install python3-pip" in done.stderr


def test_without_python_it_says_what_to_install(bare: Checkout) -> None:
    done = bare.start()
    assert done.returncode == 1
    assert "Python 3.11" in done.stderr
    assert "apt-get install python3" in done.stderr


def test_too_old_a_python_is_passed_over(bare: Checkout) -> None:
    bare.has("python3", "#!/bin/sh\nexit 1\n")
    bare.has("python3.12", FAKE_PYTHON)
    assert bare.start().stdout == "the command runs\n"
    assert any("venv --without-pip" in call for call in bare.calls)


def pins(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==([^ ;\\]+)", (ROOT / lock).read_text(), re.MULTILINE))


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_has_one_version_and_hashes_and_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text()
    blocks = [block for block in re.split(r"\n(?=\w)", re.sub(r"^ *#.*\n", "", text, flags=re.MULTILINE)) if block]
    assert len(blocks) == len(pins(lock))
    assert all("--hash=sha256:" in block for block in blocks)
    assert "://" not in text
    assert "index-url" not in text


def test_the_locks_agree_and_cover_what_the_project_asks_for() -> None:
    run, dev, build = (pins(lock) for lock in LOCKS)
    assert run.items() <= dev.items()
    assert {name: dev[name] for name in build.keys() & dev.keys()} == {
        name: build[name] for name in build.keys() & dev.keys()
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())

    def asked(requirements: list[str]) -> set[str]:
        return {re.split(r"[^\w.-]", each, maxsplit=1)[0].lower() for each in requirements}

    extra = project["project"]["optional-dependencies"]["embedded"]
    assert asked(project["project"]["dependencies"] + extra) <= run.keys()
    assert asked(project["dependency-groups"]["dev"]) <= dev.keys()
    assert asked(project["build-system"]["requires"]) <= build.keys()


def test_every_shell_script_parses() -> None:
    for script in (*(ROOT / "scripts").glob("*.sh"), ROOT / ".ci" / "run"):
        shell = "bash" if "bash" in script.read_text().splitlines()[0] else "sh"
        subprocess.run([shell, "-n", script], check=True)


def test_the_programs_that_tests_may_ask_for_are_those_that_get_installed() -> None:
    script = (ROOT / "scripts" / "system-deps.sh").read_text()
    wanted = re.search(r'wanted="(.*?)"', script, re.DOTALL)
    assert wanted is not None
    assert 'missing="$missing postgresql"' in script  # its programs are on nobody's PATH, so it is looked for by folder
    assert {pair.split(":")[0] for pair in wanted[1].split()} | {"postgresql"} == set(KNOWN)


def test_the_image_is_built_from_files_that_docker_may_see() -> None:
    seen = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied: set[str] = set()
    for line in re.findall(r"^COPY (?!--from)(.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE):
        copied |= set(line.split()[:-1])
    assert copied == seen
