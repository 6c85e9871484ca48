"""The container image, built and run for real; see `scripts/image-test.sh` for what it shows."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.programs import require

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.long
def test_the_image_is_built_runs_confined_and_ends_when_told() -> None:
    for program in ("buildah", "debootstrap", "curl"):
        require(program)
    if os.geteuid() != 0:
        pytest.skip("making a base image needs root")
    done = subprocess.run(
        ["bash", ROOT / "scripts" / "image-test.sh"], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "image-test: passed" in done.stdout
