"""`gateway revoke`: end tokens and sessions by what they have in common, also when the gateway is down.

Everything is enforced by every running gateway within three seconds, and by one that starts later from the beginning.
"""

from datetime import datetime
from pathlib import Path

import rich_click as click

from gateway.commands.desk import REASON, TENANT, actor, at_the_desk
from gateway.commands.option import CONFIG, ById
from gateway.commands.shared import house
from gateway.errors import ConfigError
from gateway.sessions.operations import Operations, Order
from gateway.sessions.revocations import Kind

_BEFORE = click.option(
    "--before",
    metavar="TIME",
    callback=lambda _context, _option, text: _moment(text),
    help="Only what was issued up to this time, as in 2026-11-28T12:00:00Z; without it, up to now.",
)


def _moment(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise click.BadParameter("write it as in 2026-11-28T12:00:00Z")
    return int(moment.timestamp() * 1000)


@click.group()
def revoke() -> None:
    """End tokens and sessions, also when the gateway is down."""


@revoke.command()
@CONFIG
@click.argument("sub")
@TENANT
@click.option("--issuer", help="Of a user of a trusted issuer: its `iss`.")
@click.option("--keep", metavar="SESSION", help="A session that lives on.")
@_BEFORE
@REASON
def user(
    path: Path, sub: str, tenant: str | None, issuer: str | None, keep: str | None, before: int | None, reason: str
) -> None:
    """End every session and token of a user, by `sub`. They can log in again."""
    if before is not None and keep is not None:
        raise click.UsageError("--before and --keep exclude each other")
    _run(path, Order(Kind.SUBJECT, sub, reason, actor(), before, tenant, issuer, keep))


@revoke.command(cls=ById)
@CONFIG
@click.argument("session")
@REASON
def session(path: Path, session: str, reason: str) -> None:
    """End a session with its tokens, by `sid`."""
    _run(path, Order(Kind.SESSION, session, reason, actor()))


@revoke.command(cls=ById)
@CONFIG
@click.argument("jti")
@REASON
def token(path: Path, jti: str, reason: str) -> None:
    """End one access token, by `jti`; its session lives on."""
    _run(path, Order(Kind.TOKEN, jti, reason, actor()))


@revoke.command()
@CONFIG
@click.argument("client_id")
@_BEFORE
@REASON
def client(path: Path, client_id: str, before: int | None, reason: str) -> None:
    """End every session and token of a client, by `client_id`."""
    _run(path, Order(Kind.CLIENT, client_id, reason, actor(), before))


@revoke.command()
@CONFIG
@click.argument("tenant")
@_BEFORE
@REASON
def tenant(path: Path, tenant: str, before: int | None, reason: str) -> None:
    """End every session and token of a tenant."""
    _run(path, Order(Kind.TENANT, tenant, reason, actor(), before))


@revoke.command(cls=ById)
@CONFIG
@click.argument("kid")
@_BEFORE
@REASON
def key(path: Path, kid: str, before: int | None, reason: str) -> None:
    """End every access token signed with a key, by `kid`, also those it will sign; their sessions live on.

    For a key that leaked, `gateway keys retire --compromised` does this and takes it out of use as well.
    """
    _run(path, Order(Kind.KEY, kid, reason, actor(), before))
    if before is None and _signs(path, kid):
        advice = (
            f"{kid} still signs, and nothing it signs is accepted: let another one sign, `gateway keys rotate --now`"
        )
        click.echo(advice, err=True)


@revoke.command("all")
@CONFIG
@_BEFORE
@click.option("--yes", is_flag=True, help="Do not ask.")
@REASON
def everything(path: Path, before: int | None, reason: str, *, yes: bool) -> None:
    """End every session and token there is: everybody has to log in again."""
    if not yes:
        click.confirm("Everybody has to log in again. Go on?", abort=True)
    _run(path, Order(Kind.ALL, "", reason, actor(), before))


def _signs(path: Path, kid: str) -> bool:
    try:
        return house(path).ring().signing().kid == kid
    except ConfigError:
        return False


def _run(path: Path, order: Order) -> None:
    async def work(found: Operations) -> None:
        done = await found.revoke(order)
        ended = f"; {done.sessions} live sessions ended" if order.kind in (Kind.SUBJECT, Kind.SESSION) else ""
        click.echo(f"{order.kind.word} {order.value}".rstrip() + f" revoked{ended}")

    at_the_desk(path, work)
