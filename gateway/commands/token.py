"""`gateway token`: what a token says, whether it counts, and one for trying things out.

A token given as `-` is read from standard input and so leaves no trace in the shell's history. No key and no signature
is ever printed.
"""

import secrets
import sys
import time
from pathlib import Path

import rich_click as click

from gateway.commands.option import CONFIG, guarded
from gateway.commands.shared import House, house
from gateway.config.roles import bringing
from gateway.config.trusted import trusted_issuers
from gateway.errors import ConfigError
from gateway.tokens.explain import explain, lines, span, words
from gateway.tokens.issue import Issuer, Unissuable
from gateway.tokens.subject import Subject
from gateway.tokens.trusted import Verifiers
from gateway.tokens.verify import Identity, Invalid, Verifier

_TOKEN = click.argument("text", metavar="TOKEN", default="-")


@click.group()
def token() -> None:
    """Explain, verify and make access tokens."""


@token.command()
@_TOKEN
def decode(text: str) -> None:
    """Say what a token states and what is wrong with its form. Believes nothing: the signature is not checked."""
    raw = read_token(text)
    explanation = explain(raw)
    for line in lines(explanation, time.time()):
        click.echo(line)
    for fault in explanation.faults:
        click.echo(click.style(f"✗ {fault}", fg="red"), err=True)
    if explanation.faults:
        sys.exit(1)
    click.echo("the form is right; `gateway token verify` checks signature and claims")


@token.command()
@CONFIG
@_TOKEN
def verify(path: Path, text: str) -> None:
    """Say whether a token would be accepted, and if not, why. Revocations are not asked."""

    def work() -> None:
        raw = read_token(text)
        found = house(path)
        verifier = verifier_of(found)
        now = time.time()
        explanation = explain(raw, found.config.server.limits.token)
        for line in lines(explanation, now):
            click.echo(line)
        for fault in explanation.faults:
            click.echo(click.style(f"✗ {fault}", fg="red"), err=True)
        match verifier.verify(raw, now):
            case Invalid(reason=reason):
                detail = _detail(reason, found)
                click.echo(click.style(f"✗ refused ({reason}): {words(reason)}{detail}", fg="red"), err=True)
                sys.exit(1)
            case Identity() as identity:
                left = span(identity.expires - now)
                click.echo(click.style(f"✓ good for {left}, signed with {identity.key}", fg="green"))

    guarded(work)


@token.command()
@CONFIG
@click.option("--sub", required=True, help="Whom it speaks for.")
@click.option("--role", "roles", multiple=True)
@click.option("--permission", "permissions", multiple=True)
@click.option("--scope", "scopes", multiple=True)
@click.option("--tenant")
@click.option("--ttl", type=click.IntRange(1), help="Seconds; at most tokens.access_ttl, which is the default.")
def mint(
    path: Path,
    sub: str,
    roles: tuple[str, ...],
    permissions: tuple[str, ...],
    scopes: tuple[str, ...],
    tenant: str | None,
    ttl: int | None,
) -> None:
    """Make an access token with the current key, for tests and scripts. It belongs to no session and no user."""

    def work() -> None:
        found = house(path)
        config, derived = found.config, found.config.effective
        longest = round(config.tokens.access_ttl)
        if (ttl or 0) > longest:
            raise ConfigError(f"--ttl: tokens that live longer than tokens.access_ttl ({longest} s) are refused")
        unknown = sorted(set(roles).difference(config.roles))
        if unknown:
            raise ConfigError(f"--role: no role is called {unknown[0]!r}; there is {', '.join(config.roles) or 'none'}")
        client = config.login.client_id if config.login else "gateway"
        issuer = Issuer(
            found.ring(),
            derived.issuer,
            derived.audience,
            client,
            ttl or longest,
            max_bytes=config.server.limits.token,
        )
        now = time.time()
        subject = Subject(sub, sub, roles, permissions, scopes, tenant).endowed(bringing(config.roles))
        try:
            made = issuer.access_token(
                subject,
                session=secrets.token_urlsafe(16),
                stamp_ms=int(now * 1000),
                auth_time=int(now),
                amr=("mint",),
            )
        except Unissuable as error:
            raise ConfigError(str(error)) from error
        click.echo(made.token)
        click.echo(f"good for {span(made.expires_in)}; jti {made.jti}, by which it can be revoked", err=True)

    guarded(work)


def read_token(text: str) -> bytes:
    """Return the token *text*, or that on standard input for a dash."""
    return sys.stdin.buffer.read(1 << 20).strip() if text == "-" else text.encode("utf-8", "surrogateescape")


def verifier_of(found: House) -> Verifiers:
    """Return what judges as the gateway does; of trusted issuers it has the keys that come from files."""
    tokens, derived = found.config.tokens, found.config.effective
    own = Verifier(
        found.ring(),
        derived.issuer,
        frozenset(derived.audience),
        tokens.leeway,
        max_lifetime=round(tokens.access_ttl + tokens.leeway),
        max_bytes=found.config.server.limits.token,
    )
    return Verifiers(own, trusted_issuers(found.config), bringing(found.config.roles))


def _detail(reason: str, found: House) -> str:
    """Return what was expected, where saying so helps."""
    derived = found.config.effective
    match reason:
        case "issuer":
            others = [one.issuer for one in found.config.trusted_issuers.values()]
            return f"; expected {' or '.join([derived.issuer, *others])}"
        case "audience":
            return f"; expected one of {', '.join(derived.audience)}"
        case "kid":
            return f"; there is {', '.join(key.kid for key in found.ring().keys)}"
        case "lifetime":
            return f"; at most {span(found.config.tokens.access_ttl)} from iat to exp"
        case _:
            return ""
