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
from gateway.config.limits import limits_of
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
        **dict(_limits(config)),
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


def _limits(config: Config) -> Iterator[tuple[str, tuple[object, str]]]:
    """Yield what is in force where a limit or a plan says nothing, and the key that says it instead."""
    for name, limit in limits_of(config.limits).items():
        written = config.limits[name]
        usual = dotted(("limits", name))
        if written.burst is None and limit.allowed.rate is not None:
            yield f"{usual}.burst", (limit.allowed.burst, f"{usual}.rate")
        for plan, own in ({} if written.plans is None else written.plans.named).items():
            here, allowed = dotted(("limits", name, "plans", plan)), limit.plans[plan]
            rated = here if "rate" in own.model_fields_set else usual
            if rated == usual and allowed.rate is not None:
                yield f"{here}.rate", (str(allowed.rate), f"{usual}.rate")
            if own.burst is None and allowed.rate is not None:
                yield f"{here}.burst", (allowed.burst, f"{rated}.rate" if written.burst is None else f"{usual}.burst")
            if "max_inflight" not in own.model_fields_set and allowed.inflight is not None:
                yield f"{here}.max_inflight", (allowed.inflight, f"{usual}.max_inflight")


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
