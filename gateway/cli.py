"""The command line. Heavy imports happen inside the verbs, so that `--help` is quick.

Exit status: 0 done, 1 failed (the message says what and where), 2 wrong usage.
"""

import re
import sys
from pathlib import Path

import rich_click as click

from gateway import __version__
from gateway.commands.lazy import verb, verbs
from gateway.commands.option import CONFIG
from gateway.commands.option import guarded as _guarded


class _Program(click.RichGroup):
    """All verbs; whoever gives the configuration as a word of its own is told how it is named."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            word = re.search(r"unexpected extra argument \((.+\.ya?ml)\)", error.message)
            if word is None:
                raise
            raise click.UsageError(f"the configuration is named by -c: -c {word[1]}", error.ctx) from error


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="gateway")
def cli() -> None:
    """An API gateway that logs people in, issues JWTs, enforces them on every request and forwards what is allowed."""


@cli.command()
@CONFIG
@click.option("--demo", is_flag=True, help="Also start the demo upstream, and print what to try.")
def run(path: Path, demo: bool) -> None:
    """Run the gateway until SIGTERM or Ctrl-C."""
    from gateway.running import run as run_gateway

    _guarded(lambda: run_gateway(path, demo=demo))


@cli.command()
def schema() -> None:
    """Print the JSON Schema of the configuration file, for editors."""
    from gateway.config.schema import schema as made

    click.echo(made(), nl=False)


@cli.command()
def healthcheck() -> None:
    """Ask the running gateway whether it is ready; exit status 0 if so."""
    from gateway.healthcheck import check as ask

    sys.exit(ask())


for _name, _words in (
    ("check", "List every fault of the configuration, and what deserves a second look."),
    ("routes", "Show every route, the most specific first."),
    ("matrix", "Show which role gets through where."),
    ("explain", "Say what the gateway would answer to a request, and why."),
    ("test", "Run the expectations under `tests:` of the file."),
    ("init", "Write a first configuration."),
    ("reload", "Have the running gateway take up the configuration."),
    ("completion", "Print what a shell needs to complete verbs and options."),
):
    cli.add_command(verb(_name, _words))
cli.add_command(verbs("config", "Show what a configuration amounts to."))
cli.add_command(verbs("keys", "List, make and turn the keys that tokens are signed with."))
cli.add_command(verbs("sessions", "List and end sessions, also when the gateway is down."))
cli.add_command(verbs("revoke", "End tokens and sessions, also when the gateway is down."))
cli.add_command(verbs("users", "Add, list, change and disable users; hash passwords."))
cli.add_command(verbs("token", "Explain, verify and make access tokens."))
