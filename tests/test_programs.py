"""A test whose program is absent is skipped and named at the very end; where nothing may be missing, it fails."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.programs import require

HERE = Path(__file__).parent

SUITE = """\
import pytest
from tests.programs import KNOWN, missing, require

def test_that_can_run(): pass
@pytest.mark.parametrize("n", [1, 2])
def test_with_an_absent_program(n): missing("nginx")
def test_with_a_reason_of_its_own(): pytest.skip("HAProxy is not installed here")
@pytest.mark.skipif(True, reason="curl: too old")
def test_marked(): pass
def test_skipped_for_another_reason(): pytest.skip("not on a Tuesday")
@pytest.mark.xfail(reason="wrk is wrong here")
def test_expected_to_fail(): assert False
"""


def run(folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    (folder / "tests").mkdir()
    for name in ("__init__.py", "conftest.py", "programs.py", "redaction.py"):
        shutil.copy(HERE / name, folder / "tests" / name)
    shutil.copy(HERE.parent / "pyproject.toml", folder)
    (folder / "tests" / "test_suite.py").write_text(SUITE)
    (folder / "tests" / "test_module.py").write_text(
        "from tests.programs import missing\nmissing('node')\ndef test_never(): pass\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "REQUIRE_ALL"} | settings
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--continue-on-collection-errors", "-p", "no:cacheprovider"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_last_line_names_each_missing_program_and_how_to_get_it(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1] == (
        "not run: curl (1 test), haproxy (1 test), nginx (2 tests), node (1 test); `make system-deps` installs them"
    )


def test_where_nothing_may_be_missing_exactly_those_tests_fail(tmp_path: Path) -> None:
    done = run(tmp_path, REQUIRE_ALL="1")
    assert done.returncode == 1, done.stdout
    assert "3 failed, 1 passed, 1 skipped, 1 xfailed, 2 errors" in done.stdout
    assert "not on a Tuesday" in done.stdout
    assert "not run:" not in done.stdout


def test_a_program_nobody_installs_cannot_be_asked_for() -> None:
    with pytest.raises(AssertionError, match=r"scripts/system-deps\.sh"):
        require("netcat")
