"""`gateway reload`: tell the running gateway to take up what is written now, and say what came of it."""

import os
from pathlib import Path

import rich_click as click

from gateway.commands.option import CONFIG, guarded
from gateway.config.effective import data_dir
from gateway.config.load import data_dir_of, load
from gateway.errors import ConfigError
from gateway.presence import Answer, Running, running

PATIENCE = 30.0
"""Seconds to wait for one gateway's answer; a large file on a busy machine takes one."""


@click.command("reload")
@CONFIG
def reload_command(path: Path) -> None:
    """Have the running gateway take up the configuration, without dropping a connection.

    It is found by its data directory. What it refuses is said here, and what was in force stays so.
    """

    def work() -> None:
        data = _data_dir(path)
        found = list(running(data))
        if not found:
            raise ConfigError(f"no gateway runs here with the data directory {data}")
        for one in found:
            _tell(one)

    guarded(work)


def _data_dir(path: Path) -> Path:
    """Return where the gateway that runs with *path* keeps its data, also when the file is wrong just now."""
    try:
        return data_dir(load(path, os.environ), os.environ).absolute()
    except ConfigError:
        written = data_dir_of(path, os.environ)
        if written is None:
            raise
        return written.absolute()


def _tell(one: Running) -> None:
    match one.reload(PATIENCE):
        case Answer(outcome="reloaded", changes=changes):
            click.echo(f"gateway {one.pid}: reloaded")
            for line in changes:
                click.echo(f"  {line}")
        case Answer(outcome="unchanged"):
            click.echo(f"gateway {one.pid}: nothing has changed")
        case Answer(reason=reason):
            raise ConfigError(f"{reason}\ngateway {one.pid}: refused; what was in force stays so")
        case None:
            raise ConfigError(f"gateway {one.pid} did not say in {PATIENCE:.0f} s what came of it; its log does")
