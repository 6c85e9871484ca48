"""What every verb has: the option that names the file, and faults of it told in words."""

import sys
from collections.abc import Callable
from pathlib import Path

import rich_click as click

from gateway.errors import ConfigError

CONFIG = click.option(
    "-c",
    "--config",
    "path",
    type=click.Path(path_type=Path),
    envvar="GATEWAY_CONFIG",
    default=Path("gateway.yaml"),
    show_default=True,
    help="The configuration file.",
)


def guarded(work: Callable[[], None]) -> None:
    """Run *work*; a fault of the configuration is told on standard error, without a traceback."""
    try:
        work()
    except ConfigError as error:
        click.echo(click.style(str(error), fg="red"), err=True)
        sys.exit(1)
