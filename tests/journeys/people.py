"""People of the gateway's own database, by its command."""

import subprocess
import sys
from pathlib import Path


def users(folder: Path, *words: str, says: str = "", typed: str = "", status: int = 0) -> str:
    """Run `gateway users` on the configuration in *folder*."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "users", *words, *(("-c", str(folder / "gateway.yaml")))],
        input=typed,
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": "/usr/bin", "GATEWAY_DATA_DIR": str(folder / "data")},
    )
    assert done.returncode == status, done.stderr
    assert says in done.stdout + done.stderr
    return done.stdout
