"""`gateway routes`: every route in the order in which they are looked at, the most specific first."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import rich_click as click

from gateway.commands.columns import columns
from gateway.commands.option import CONFIG, guarded
from gateway.config.load import load
from gateway.config.routes import route_table
from gateway.routing.route import Route


@click.command("routes")
@CONFIG
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--all", "every", is_flag=True, help="Also the gateway's own.")
def routes_command(path: Path, output: str, every: bool) -> None:
    """Show every route: what it matches, what it asks of the caller, where it leads, and where it is written."""

    def work() -> None:
        config = load(path, os.environ)
        rows = [
            row for route in route_table(config).routes if every or route.place != "built in" for row in _rows(route)
        ]
        if output == "json":
            click.echo(json.dumps([row._asdict() for row in rows], indent=2, ensure_ascii=False))
            return
        cells = [[" ".join(row.methods), row.route, row.asks, row.upstream, row.place] for row in rows]
        for line in columns(["METHODS", "ROUTE", "ASKS FOR", "UPSTREAM", "WRITTEN"], cells):
            click.echo(line)

    guarded(work)


class Row(NamedTuple):
    """A route, or those of its methods that ask for the same."""

    methods: list[str]
    route: str
    name: str
    asks: str
    upstream: str
    place: str


def _rows(route: Route) -> Iterator[Row]:
    by_asks: dict[str, list[str]] = {}
    for method, rule in route.rules.items():
        by_asks.setdefault(rule.wanted, []).append(method.decode())
    for asks, methods in by_asks.items():
        yield Row(methods, f"{route.host or ''}{route.template}", route.name, asks, route.upstream, route.place)
