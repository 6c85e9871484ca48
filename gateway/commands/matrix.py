"""`gateway matrix`: every role against every route, as the gate decides it."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import rich_click as click

from gateway.commands.columns import columns
from gateway.commands.deciding import ANONYMOUS, Asked, Deciding, Person, sample
from gateway.commands.option import CONFIG, guarded
from gateway.config.load import load
from gateway.config.users import file_users
from gateway.routing.route import Route
from gateway.routing.rules import Rule
from gateway.tokens.subject import Subject

_ROLELESS = "no role"


class Row(NamedTuple):
    """Methods of one route for which everybody gets the same."""

    methods: list[str]
    route: str
    statuses: dict[str, int]
    place: str


@click.command("matrix")
@CONFIG
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def matrix_command(path: Path, output: str) -> None:
    """Show which role gets through where, and what the others are told.

    Parameters of paths are 1, and requests come from where they may come from.
    """

    def work() -> None:
        config = load(path, os.environ)
        deciding = Deciding(config, file_users(config))
        people = [Person(ANONYMOUS, None), Person(_ROLELESS, Subject("somebody", "somebody"))]
        people += [Person(role, Subject(role, role, roles=(role,))) for role in config.roles]
        people += [deciding.client(name) for name in config.clients]
        rows = [
            row
            for route in deciding.routes.routes
            if route.place != "built in"
            for row in _rows(deciding, people, route)
        ]
        if output == "json":
            click.echo(json.dumps([row._asdict() for row in rows], indent=2, ensure_ascii=False))
            return
        cells = [
            [" ".join(row.methods), row.route, *(_mark(status) for status in row.statuses.values())] for row in rows
        ]
        for line in columns(["METHODS", "ROUTE", *(person.title for person in people)], cells):
            click.echo(line)

    guarded(work)


def _rows(deciding: Deciding, people: list[Person], route: Route) -> Iterator[Row]:
    host = (route.host or "localhost").replace("*", "any", 1)
    fields = tuple((name.decode(), "1" if value is None else value.decode()) for name, value in route.headers)
    alike: dict[tuple[int, ...], list[str]] = {}
    for method in route.rules:
        asked = Asked(method.decode(), sample(route.template), host, _address(route.rules[method]), fields)
        statuses = tuple(deciding.decide(person, asked).status for person in people)
        alike.setdefault(statuses, []).append(method.decode())
    for statuses, methods in alike.items():
        titles = (person.title for person in people)
        yield Row(methods, route.matches, dict(zip(titles, statuses, strict=True)), route.place)


def _address(rule: Rule) -> str:
    """Return an address from which *rule* can be met, since the table is about who asks and not from where."""
    networks = () if rule.addresses is None else rule.addresses.networks
    return str(networks[0][0]) if networks else "127.0.0.1"


def _mark(status: int) -> str:
    return "✓" if status == 200 else str(status)
