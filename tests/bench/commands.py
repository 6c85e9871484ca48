"""What the commands cost when nothing is warm: `python -m tests.bench.commands`.

Each is started five times as a process of its own, in turn with a bare interpreter, and the best of each is shown, with
its ratio to the bare interpreter's: the machine's own speed and load are in both.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.bench.processes import Failed
from tests.journeys.house import ROOT, outside

ROUTES = 500
TIMES = 5

MOST = {"gateway healthcheck": 0.06, "gateway --help": 0.3, "gateway check": 1.0}
"""Seconds that are promised."""


def large(folder: Path, routes: int = ROUTES) -> Path:
    """Write a configuration with so many routes below *folder*; return its path."""
    (folder / "users.yaml").write_text("users: {}\n")
    lines = ["version: 1", "login: {verify: {file: users.yaml}}", "roles: {user: {}, admin: {includes: [user]}}"]
    lines += ["upstreams:", *(f"  service{n}: http://127.0.0.1:{9000 + n}" for n in range(20)), "routes:"]
    for n in range(routes):
        lines += [
            f"  - path: /service{n % 20}/things{n}/{{id}}",
            f"    to: service{n % 20}",
            "    methods: {GET: {roles: [user]}, DELETE: {roles: [admin]}}",
        ]
    path = folder / "gateway.yaml"
    path.write_text("\n".join((*lines, "")))
    return path


def measured(commands: Mapping[str, Sequence[str]], folder: Path) -> dict[str, float]:
    """Return the least seconds of wall clock each command took."""
    best = dict.fromkeys(commands, float("inf"))
    environ = {**outside(), "PYTHONPATH": str(ROOT), "GATEWAY_DATA_DIR": str(folder)}
    for _ in range(TIMES):
        for name, command in commands.items():
            began = time.perf_counter()
            subprocess.run(command, env=environ, cwd=folder, capture_output=True)
            best[name] = min(best[name], time.perf_counter() - began)
    return best


def main() -> None:
    """Print what each command takes.

    Raises:
        Failed: one took longer than is promised.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = str(large(folder))
        gateway = [sys.executable, "-m", "gateway"]
        bare = "python -c pass"
        found = measured(
            {
                bare: [sys.executable, "-c", "pass"],
                "gateway healthcheck": [*gateway, "healthcheck"],
                "gateway --help": [*gateway, "--help"],
                f"gateway check, {ROUTES} routes": [*gateway, "check", "-c", path],
                f"gateway matrix, {ROUTES} routes": [*gateway, "matrix", "-c", path],
            },
            folder,
        )
    for title, seconds in found.items():
        print(f"{title:32} {seconds * 1000:7.0f} ms  {seconds / found[bare]:5.1f} times a bare interpreter")
    for name, most in MOST.items():
        if (took := next(took for title, took in found.items() if title.startswith(name))) > most:
            raise Failed(f"{name} took {took * 1000:.0f} ms, and {most * 1000:.0f} are promised")


if __name__ == "__main__":
    main()
