"""People of the gateway's own database, by its command."""

import os
from pathlib import Path

from click.testing import CliRunner

from gateway.cli import cli


def command(folder: Path, *words: str, says: str = "", typed: str = "", status: int = 0) -> str:
    """Run `gateway` on the configuration in *folder*; in this process, because to start one takes longer than the rest.

    Returns what it wrote to standard output; *says* may be in what it complained of, too.
    """
    unset = {name: None for name in os.environ if name.startswith("GATEWAY_")}
    environ = {**unset, "GATEWAY_DATA_DIR": str(folder / "data")}
    done = CliRunner().invoke(cli, [*words, "-c", str(folder / "gateway.yaml")], input=typed, env=environ)
    assert done.exit_code == status, done.output
    assert says in done.output
    return done.stdout


def users(folder: Path, *words: str, says: str = "", typed: str = "", status: int = 0) -> str:
    """Run `gateway users` as `command` does."""
    return command(folder, "users", *words, says=says, typed=typed, status=status)
