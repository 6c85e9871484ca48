"""`gateway config`: what is in force by a file, its defaults and the environment."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import rich_click as click

from gateway.commands.columns import columns
from gateway.commands.option import CONFIG, guarded
from gateway.config.document import dotted
from gateway.config.faults import meant
from gateway.config.leaves import HIDDEN, leaves
from gateway.config.load import load
from gateway.config.models import Config
from gateway.errors import ConfigError


@click.group()
def config() -> None:
    """Show what a configuration amounts to."""


@config.command()
@CONFIG
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.argument("key", default="")
def show(path: Path, output: str, key: str) -> None:
    """Show every value, or those below KEY, with where it comes from. Secrets are masked."""

    def work() -> None:
        every = list(values(load(path, os.environ)))
        found = [value for value in every if _is_below(value.key, key)]
        if not found:
            known = {value.key[:at] for value in every for at, char in enumerate(f"{value.key}.") if char in ".["}
            raise ConfigError(f'nothing is called "{key}"; {meant(key, sorted(known)) or "without KEY, all is shown"}')
        if output == "json":
            members = {value.key: {"value": value.shown, "source": value.source} for value in found}
            click.echo(json.dumps(members, indent=2, ensure_ascii=False))
            return
        for line in columns(["KEY", "VALUE", "FROM"], [[one.key, _text(one.shown), one.source] for one in found]):
            click.echo(line)

    guarded(work)


class Value(NamedTuple):
    """One value that is in force."""

    key: str
    shown: object
    source: str
    """``gateway.yaml:12``, ``GATEWAY_LISTEN``, ``default``, or what it follows from."""


def values(config: Config) -> Iterator[Value]:
    """Yield every value of *config*, and those that follow from others in place of nothing."""
    derived = config.effective
    follows = {
        "tokens.issuer": (derived.issuer, "server.public_url" if config.server.public_url else "server.listen"),
        "tokens.audience": (list(derived.audience), "tokens.issuer"),
        "server.public_url": (derived.origin, "server.listen"),
    }
    document = config.document
    for leaf in leaves(config):
        key = dotted(leaf.loc)
        if leaf.value is None and key in follows:
            yield Value(key, *follows[key])
        elif (name := document.borrowed.get(leaf.loc)) is not None:
            yield Value(key, leaf.shown, name)
        elif leaf.loc in document.places:
            yield Value(key, leaf.shown, config.place(*leaf.loc))
        elif leaf.shown == HIDDEN:
            file = f"{leaf.loc[-1]}_file"
            yield Value(key, leaf.shown, config.place(*leaf.loc[:-1], file))
        else:
            yield Value(key, leaf.shown, "default" if leaf.default else config.place(*leaf.loc))


def _is_below(key: str, asked: str) -> bool:
    return not asked or key == asked or key.startswith((f"{asked}.", f"{asked}["))


def _text(shown: object) -> str:
    match shown:
        case None:
            return "none"
        case bool():
            return str(shown).lower()
        case list():
            return f"[{', '.join(map(str, shown))}]"
        case _:
            return str(shown)
