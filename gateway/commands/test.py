"""`gateway test`: the expectations of the file, held against its own routes and rules."""

import os
import sys
from pathlib import Path

import rich_click as click

from gateway.commands.deciding import MFA, Asked, Deciding, Person, Verdict
from gateway.commands.option import CONFIG, guarded
from gateway.config.expectations import ALLOW, CallerConfig, ExpectationConfig
from gateway.config.load import load
from gateway.config.models import Config
from gateway.config.users import file_users
from gateway.errors import ConfigError
from gateway.tokens.subject import Subject


@click.command("test")
@CONFIG
@click.option("-q", "--quiet", is_flag=True, help="Show only what does not hold.")
def test_command(path: Path, quiet: bool) -> None:
    """Decide every call under `tests:` and say which expectations do not hold. The exit status is 1 if any."""
    failed = 0

    def work() -> None:
        nonlocal failed
        config = load(path, os.environ)
        if not config.tests:
            raise ConfigError(f"{path}: there is nothing under tests:")
        deciding = Deciding(config, file_users(config))
        for at, written in enumerate(config.tests):
            try:
                verdict, title = _decided(deciding, written)
            except ConfigError as error:
                failed += 1
                click.echo(click.style(f"✗ {written.call}: {error}  ({_place(config, at)})", fg="red"), err=True)
                continue
            line = f"{written.call} as {title}: {_said(verdict)}"
            if holds(written.expect, verdict):
                if not quiet:
                    click.echo(f"{click.style('✓', fg='green')} {line}")
                continue
            failed += 1
            click.echo(click.style(f"✗ {line}, not {written.expect}  ({_place(config, at)})", fg="red"), err=True)
        count = len(config.tests)
        click.echo(f"{failed} of {count} do not hold" if failed else f"OK  {path}: {count} hold", err=bool(failed))

    guarded(work)
    sys.exit(1 if failed else 0)


def holds(expected: int | str, verdict: Verdict) -> bool:
    """Say whether *verdict* is what was *expected*: allow, a status, or a code."""
    if expected == ALLOW:
        return verdict.refusal is None
    return verdict.refusal is not None and expected in (verdict.status, verdict.code)


def _decided(deciding: Deciding, written: ExpectationConfig) -> tuple[Verdict, str]:
    who = caller(written.who) if isinstance(written.who, CallerConfig) else deciding.person(written.who)
    usual = Asked(written.call.method, written.call.target)
    asked = Asked(usual.method, usual.target, written.host or usual.host, written.address or usual.address)
    return deciding.decide(who, asked), who.title


def caller(written: CallerConfig) -> Person:
    """Return the person who is described in the file."""
    title = f"{written.sub} (roles: {', '.join(written.roles) or 'none'})"
    subject = Subject(
        written.sub, written.sub, written.roles, written.permissions, written.scopes, written.tenant, written.claims
    )
    return Person(title, subject, MFA if written.mfa else ("pwd",), written.login_age)


def _said(verdict: Verdict) -> str:
    return "allowed" if verdict.refusal is None else f"{verdict.status} {verdict.code}"


def _place(config: Config, at: int) -> str:
    return config.place("tests", at)
