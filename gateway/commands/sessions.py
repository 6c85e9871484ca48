"""`gateway sessions`: who is logged in, and ending that."""

import json
import time
from pathlib import Path

import rich_click as click

from gateway.commands.desk import REASON, TENANT, actor, at_the_desk
from gateway.commands.option import CONFIG, ById
from gateway.sessions.operations import Operations, Order
from gateway.sessions.outcomes import SessionView
from gateway.sessions.revocations import Kind
from gateway.tokens.explain import when

_USER = click.option("--user", "sub", help="A user, by `sub`.")


@click.group()
def sessions() -> None:
    """List and end sessions, also when the gateway is down."""


@sessions.command("list")
@CONFIG
@click.option("--user", "sub", required=True, help="Whose sessions, by `sub`.")
@TENANT
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def list_(path: Path, sub: str, tenant: str | None, output: str) -> None:
    """List the live sessions of a user, the one used last first."""

    async def work(found: Operations) -> None:
        views = sorted(await found.sessions(sub, tenant), key=lambda view: view.used_ms, reverse=True)
        if output == "json":
            click.echo(json.dumps([view._asdict() for view in views], indent=2))
            return
        for view in views:
            click.echo(_line(view, time.time()))
        if not views:
            click.echo(f"{sub} has no session", err=True)

    at_the_desk(path, work)


@sessions.command(cls=ById)
@CONFIG
@click.argument("session", required=False)
@_USER
@TENANT
@REASON
def revoke(path: Path, session: str | None, sub: str | None, tenant: str | None, reason: str) -> None:
    """End one session by its id, or all of a user."""
    if (session is None) == (sub is None):
        raise click.UsageError("name a session, or a user with --user")

    async def work(found: Operations) -> None:
        kind = Kind.SESSION if session is not None else Kind.SUBJECT
        done = await found.revoke(Order(kind, session or sub or "", reason, actor(), tenant=tenant))
        click.echo(f"{done.sessions} session{'' if done.sessions == 1 else 's'} ended")

    at_the_desk(path, work)


def _line(view: SessionView, now: float) -> str:
    used, idle = when(view.used_ms / 1000, now), when(view.idle_ends_ms / 1000, now)
    about = " ".join(part for part in (view.device, view.address, view.user_agent) if part)
    return f"{view.session}  used {used}, ends {idle} unless used  {about}".rstrip()
