"""`gateway check`: everything that is wrong with a configuration, what deserves a second look, and what answers.

Forms: text for people, JSON for programs, and workflow commands, which GitHub shows beside the lines of a change.
"""

import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import rich_click as click

from gateway.commands.option import CONFIG
from gateway.config.cautions import cautions
from gateway.config.faults import Fault, FaultyFile, Source
from gateway.config.lint import lint
from gateway.config.load import load
from gateway.config.models import Config
from gateway.config.routes import route_table
from gateway.config.users import file_users
from gateway.errors import ConfigError

Form = Literal["text", "json", "github"]


@dataclass(slots=True)
class Findings:
    """What a check has found."""

    path: Path
    config: Config | None = None
    errors: list[Fault] = field(default_factory=list)
    cautions: list[Fault] = field(default_factory=list)
    answers: list["Answered"] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        return bool(self.errors) or any(not answer.good for answer in self.answers)

    @property
    def summary(self) -> str:
        """``2 errors, 1 caution in gateway.yaml``, or ``OK`` and what is in the file."""
        silent = sum(not answer.good for answer in self.answers)
        parts = [
            _counted(len(self.errors), "error"),
            _counted(silent, "place that does not answer", "places that do not answer"),
            _counted(len(self.cautions), "caution"),
        ]
        if self.failed or self.config is None:
            return f"{', '.join(filter(None, parts))} in {self.path}"
        routes, upstreams = len(self.config.routes), len(self.config.upstreams)
        good = (_counted(routes, "route") or "no routes", _counted(upstreams, "upstream") or "no upstreams", parts[-1])
        return f"OK  {self.path}: {', '.join(filter(None, good))}"


@dataclass(frozen=True, slots=True)
class Answered:
    """A place that was asked whether it is there."""

    what: str
    good: bool
    said: str


@click.command("check")
@CONFIG
@click.option(
    "-o", "--output", "form", type=click.Choice(["text", "json", "github"]), default="text", show_default=True
)
@click.option("--strict", is_flag=True, help="Fail for cautions, too.")
@click.option("--resolve", is_flag=True, help="Also connect to every upstream, the store and every issuer's keys.")
def check_command(path: Path, form: Form, strict: bool, resolve: bool) -> None:
    """Read the configuration as `run` would; list every fault, and what deserves a second look."""
    found = examined(path, os.environ)
    if resolve and found.config is not None and not found.errors:
        from gateway.commands.resolve import answers

        found.answers = answers(found.config)
    _FORMS[form](found)
    sys.exit(1 if found.failed or (strict and found.cautions) else 0)


def examined(path: Path, environ: Mapping[str, str]) -> Findings:
    """Return what is wrong with the configuration at *path*; connects to nothing."""
    found = Findings(path)
    try:
        config = load(path, environ)
        route_table(config)
        users = file_users(config)
    except FaultyFile as error:
        found.errors = list(error.faults)
        return found
    except ConfigError as error:
        found.errors = [_without_place(path, str(error))]
        return found
    found.config = config
    found.cautions = [*(_without_place(path, text) for text in cautions(config, users)), *lint(config, users)]
    return found


def _without_place(path: Path, text: str) -> Fault:
    own = f"{path}: "
    return Fault(Source(str(path), ()), 0, 0, "", text.removeprefix(own))


def _text(found: Findings) -> None:
    for answer in found.answers:
        mark = click.style("✓", fg="green") if answer.good else click.style("✗", fg="red")
        click.echo(f"{mark} {answer.what}: {answer.said}")
    for caution in found.cautions:
        click.echo(click.style(f"caution: {caution}", fg="yellow"), err=True)
    for error in found.errors:
        click.echo(click.style(str(error), fg="red"), err=True)
    click.echo(found.summary, err=found.failed)


def _json(found: Findings) -> None:
    members = {
        "file": str(found.path),
        "errors": [_members(fault) for fault in found.errors],
        "cautions": [_members(fault) for fault in found.cautions],
        "answers": [{"what": one.what, "good": one.good, "said": one.said} for one in found.answers],
    }
    click.echo(json.dumps(members, indent=2, ensure_ascii=False))


def _members(fault: Fault) -> dict[str, object]:
    return {
        "file": fault.source.name,
        "line": fault.line,
        "column": fault.column,
        "where": fault.where,
        "reason": fault.reason,
        "hint": fault.hint,
    }


def _github(found: Findings) -> None:
    for kind, faults in (("error", found.errors), ("warning", found.cautions)):
        for fault in faults:
            click.echo(_workflow_command(kind, fault))
    for answer in found.answers:
        if not answer.good:
            click.echo(f"::error::{_escaped(f'{answer.what}: {answer.said}')}")


def _workflow_command(kind: str, fault: Fault) -> str:
    places: Iterable[tuple[str, object]] = (
        ("file", fault.source.name),
        ("line", max(fault.line, 1)),
        ("col", max(fault.column, 1)),
        ("title", fault.where or "gateway check"),
    )
    listed = ",".join(f"{name}={_escaped(str(value), ',', ':')}" for name, value in places)
    return f"::{kind} {listed}::{_escaped('; '.join(filter(None, (fault.reason, fault.hint))))}"


def _escaped(text: str, *more: str) -> str:
    """Return *text* as a value of a workflow command, where some characters mean something."""
    for char in ("%", "\r", "\n", *more):
        text = text.replace(char, f"%{ord(char):02X}")
    return text


def _counted(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or f'{one}s'}" if count else ""


_FORMS = {"text": _text, "json": _json, "github": _github}
