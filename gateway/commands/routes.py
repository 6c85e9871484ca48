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
        cells = [
            [" ".join(row.methods), row.route, row.asks, " ".join(row.limits) or "none", row.upstream, row.place]
            for row in rows
        ]
        for line in columns(["METHODS", "ROUTE", "ASKS FOR", "LIMITS", "UPSTREAM", "WRITTEN"], cells):
            click.echo(line)

    guarded(work)


class Row(NamedTuple):
    """A route, or those of its methods that ask for the same and have the same limits."""

    methods: list[str]
    route: str
    name: str
    asks: str
    limits: tuple[str, ...]
    cors: list[str]
    """Origins whose pages may ask; in JSON only."""
    upstream: str
    place: str


def _rows(route: Route) -> Iterator[Row]:
    alike: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for method, rule in route.rules.items():
        alike.setdefault((rule.wanted, rule.limits), []).append(method.decode())
    where = route.matches
    cors = sorted(route.options.cors.origins) if route.options.cors is not None else []
    for (asks, limits), methods in alike.items():
        yield Row(methods, where, route.name, asks, limits, cors, route.upstream, route.place)
