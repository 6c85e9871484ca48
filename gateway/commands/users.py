"""`gateway users`: people in the gateway's own database; for files, hashes to put into them.

Passwords are asked for, or read from standard input; they are never options, which everybody on the machine can see.
"""

import asyncio
import json
import shlex
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import rich_click as click

from gateway.app.users import open_database
from gateway.commands.desk import end_sessions
from gateway.commands.option import CONFIG, guarded
from gateway.commands.shared import house
from gateway.config.sections import LoginConfig
from gateway.config.users import load_users
from gateway.config.values import duration_text
from gateway.errors import ConfigError
from gateway.tokens.subject import Subject
from gateway.users.change import unfit
from gateway.users.file import UserRecord
from gateway.users.passwords import Hasher

if TYPE_CHECKING:
    from gateway.users.keeping import Keeping

T = TypeVar("T")

_STDIN = click.option("--password-stdin", is_flag=True, help="Read the password from standard input instead of asking.")
_NAME = click.argument("name")


@click.group()
def users() -> None:
    """Work on users."""


@users.command("hash")
@_STDIN
def hash_password(password_stdin: bool) -> None:
    """Print the argon2id hash of a password, for a users file."""
    guarded(lambda: click.echo(Hasher().hash(_password(password_stdin))))


@users.command()
@CONFIG
@_NAME
@click.option("--role", "roles", multiple=True, help="A role they have; may be repeated.")
@click.option("--permission", "permissions", multiple=True, help="A permission; may be repeated.")
@click.option("--scope", "scopes", multiple=True, help="A scope; may be repeated.")
@click.option("--sub", help="The lasting identifier in tokens; without it, the name.")
@click.option("--tenant", help="Whose user they are.")
@_STDIN
def add(
    path: Path,
    name: str,
    roles: tuple[str, ...],
    permissions: tuple[str, ...],
    scopes: tuple[str, ...],
    sub: str | None,
    tenant: str | None,
    password_stdin: bool,
) -> None:
    """Add a user to the database."""

    def work() -> None:
        known = house(path).config.roles
        if unknown := sorted(set(roles) - set(known)):
            raise ConfigError(f"no role is called {unknown[0]!r}; there are {', '.join(known) or 'none'}")
        password = _password(password_stdin)
        if (sentence := unfit(password, name)) is not None:
            raise ConfigError(sentence)
        record = UserRecord(Hasher().hash(password), roles, permissions, scopes, sub, tenant)
        _kept(path, lambda keeping: keeping.add(name, record))
        click.echo(f"{name}  added")

    guarded(work)


@users.command()
@CONFIG
@_NAME
@_STDIN
def passwd(path: Path, name: str, password_stdin: bool) -> None:
    """Give a user another password, and end their sessions."""

    def work() -> None:
        password = _password(password_stdin)
        if (sentence := unfit(password, name)) is not None:
            raise ConfigError(sentence)
        encoded = Hasher().hash(password)
        who = _kept(path, lambda keeping: keeping.set_password(name, encoded))
        click.echo(f"{name}  has a new password")
        _logged_out(path, who, "password_changed", "sessions that began with the old password go on")

    guarded(work)


@users.command("list")
@CONFIG
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def list_users(path: Path, output: str) -> None:
    """Show every user of the database."""

    def work() -> None:
        rows: list[dict[str, object]] = []

        async def read(keeping: "Keeping") -> None:
            for one in await keeping.people():
                who = one.subject
                rows.append(
                    {
                        "name": who.username,
                        "sub": who.sub,
                        "roles": list(who.roles),
                        "tenant": who.tenant,
                        "disabled": one.disabled,
                    }
                )

        _kept(path, read)
        if output == "json":
            click.echo(json.dumps(rows, indent=2))
            return
        for row in rows:
            roles = row["roles"]
            assert isinstance(roles, list)
            click.echo(f"{row['name']}  {','.join(roles) or '-'}{'  disabled' if row['disabled'] else ''}")

    guarded(work)


@users.command()
@CONFIG
@_NAME
def disable(path: Path, name: str) -> None:
    """Let a user log in no more, and end their sessions."""

    def work() -> None:
        who = _kept(path, lambda keeping: keeping.set_disabled(name, True))
        click.echo(f"{name}  cannot log in any more")
        life = duration_text(house(path).config.tokens.access_ttl)
        _logged_out(path, who, "disabled", f"nothing is refreshed any more, but access tokens live on for up to {life}")

    guarded(work)


@users.command()
@CONFIG
@_NAME
@click.option("--forget-second-factor", is_flag=True, help="They have lost their phone and their recovery codes.")
def enable(path: Path, name: str, forget_second_factor: bool) -> None:
    """Let a disabled user log in again."""

    async def both(keeping: "Keeping") -> None:
        if forget_second_factor:
            await keeping.forget_second_factor(name)
        await keeping.set_disabled(name, False)

    def work() -> None:
        _kept(path, both)
        click.echo(f"{name}  can log in")

    guarded(work)


@users.command("import")
@CONFIG
@click.argument("file", type=click.Path(path_type=Path))
def import_users(path: Path, file: Path) -> None:
    """Add everybody of a users file to the database, with the hashes they have; logins replace old ones."""

    def work() -> None:
        from gateway.users.keeping import importable

        records = load_users(file, house(path).config)
        if faults := importable(records):
            raise ConfigError("\n".join(faults))
        added = 0

        async def every(keeping: "Keeping") -> None:
            nonlocal added
            progress = click.progressbar(length=len(records), label="users", file=sys.stderr)
            with progress as bar:
                for name, record in records.items():
                    await keeping.add(name, record)
                    added += 1
                    bar.update(1)

        try:
            _kept(path, every)
        finally:
            click.echo(f"{added} of {len(records)} users added")

    guarded(work)


def _password(from_stdin: bool) -> str:
    if from_stdin:
        password = sys.stdin.readline().rstrip("\n")
    else:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    if not password:
        raise ConfigError("an empty password is none")
    return str(password)


def _elsewhere(login: LoginConfig | None) -> str:
    if login is None:
        return "nowhere, as there is no section login"
    if login.verify.callout is not None:
        return f"behind {login.verify.callout.url}"
    return "in the table of somebody else" if login.verify.database is not None else f"in {login.verify.users_file}"


def _logged_out(path: Path, who: Subject, reason: str, otherwise: str) -> None:
    """End the sessions of *who*, everywhere; when that cannot be done, say what is left: *otherwise*."""
    try:
        ended = end_sessions(house(path), who.sub, who.tenant, reason)
    except ConfigError as error:
        tenant = f" --tenant {shlex.quote(who.tenant)}" if who.tenant else ""
        again = f"gateway revoke user {shlex.quote(who.sub)}{tenant}"
        raise ConfigError(
            f"the sessions of {who.username} were not ended: {error}\n{otherwise}; end them with: {again}"
        ) from error
    click.echo(f"{ended} session{'' if ended == 1 else 's'} ended")


def _kept(path: Path, work: "Callable[[Keeping], Awaitable[T]]") -> T:
    """Return what *work* does on the database of the configuration at *path*."""
    found = house(path)
    login = found.config.login
    written = None if login is None else login.verify.database
    if written is None or written.queries is not None:
        raise ConfigError(f"the users are {_elsewhere(login)}, and are changed where they are kept, not here")
    found.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    database = open_database(written, found.data)
    from gateway.users.database import DOWN
    from gateway.users.keeping import Keeping

    async def run() -> T:
        try:
            return await work(Keeping(database))
        finally:
            await database.close()

    try:
        return asyncio.run(run())
    except DOWN as error:
        raise ConfigError(f"the database does not answer: {type(error).__name__}") from error
