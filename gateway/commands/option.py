"""What every verb has: the option that names the file, and faults of it told in words."""

import re
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


_ID = re.compile(r"-[A-Za-z0-9_-]{21}(?:[A-Za-z0-9_-]{21})?")
"""A session, a token or a key by its name, which is base64url and may begin with a dash; no option is so long."""


class ById(click.RichCommand):
    """A verb whose argument is an id, and is not taken for an option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ids = [] if "--" in args else [word for word in args if _ID.fullmatch(word)]
        if ids:
            args = [*(word for word in args if word not in ids), "--", *ids]
        return super().parse_args(ctx, args)


def guarded(work: Callable[[], None]) -> None:
    """Run *work*; a fault of the configuration is told on standard error, without a traceback."""
    try:
        work()
    except ConfigError as error:
        click.echo(click.style(str(error), fg="red"), err=True)
        sys.exit(1)
