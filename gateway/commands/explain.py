"""`gateway explain`: what the gateway would answer to a request, by which route, and what was compared with what."""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import rich_click as click

from gateway.commands.deciding import ANONYMOUS, Asked, Deciding, Verdict
from gateway.commands.option import CONFIG, guarded
from gateway.config.limits import limits_of
from gateway.config.load import load
from gateway.config.users import file_users
from gateway.errors import ConfigError
from gateway.limits.limit import Limit
from gateway.tokens.verify import Identity, Invalid


@click.command("explain")
@CONFIG
@click.argument("method")
@click.argument("target", metavar="PATH")
@click.option("--as", "name", help="anonymous (the default), somebody of the users file, or a role.")
@click.option("--token", help="A token whose owner asks; - reads it from standard input.")
@click.option("--host", default="localhost", show_default=True)
@click.option("--address", default="127.0.0.1", show_default=True, help="The client's.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def explain_command(
    path: Path,
    method: str,
    target: str,
    name: str | None,
    token: str | None,
    host: str,
    address: str,
    output: str,
) -> None:
    """Say what would be answered to METHOD PATH, and why. The exit status is 1 when it would be refused.

    Nothing is sent, and nothing running is asked: revocations and rate limits are not looked at.
    """
    if name is not None and token is not None:
        raise click.UsageError("--as and --token cannot be combined")
    refused = False

    def work() -> None:
        nonlocal refused
        config = load(path, os.environ)
        deciding = Deciding(config, file_users(config))
        asked = Asked(method.upper(), target, host, address)
        if token is None:
            who = deciding.person(name or ANONYMOUS)
            title, verdict = who.title, deciding.decide(who, asked)
        else:
            identity = _owner(path, token)
            title, verdict = f"the token of {identity.subject}", deciding.decide_for(identity, asked)
        refused = verdict.refusal is not None
        if output == "json":
            click.echo(json.dumps(members(verdict, title, asked), indent=2, ensure_ascii=False))
            return
        for line in _lines(verdict, title, asked, limits_of(config.limits)):
            click.echo(line)

    guarded(work)
    sys.exit(1 if refused else 0)


def _owner(path: Path, token: str) -> Identity:
    from gateway.commands.shared import house
    from gateway.commands.token import read_token, verifier_of
    from gateway.tokens.explain import words

    match verifier_of(house(path)).verify(read_token(token), _now()):
        case Invalid(code=code, reason=reason):
            raise ConfigError(f"401 {code} on every route that asks for a token ({reason}: {words(reason)})")
        case identity:
            return identity


def _now() -> float:
    import time

    return time.time()


def members(verdict: Verdict, who: str, asked: Asked) -> dict[str, object]:
    """Return *verdict* for programs."""
    match, refusal = verdict.match, verdict.refusal
    return {
        "request": f"{asked.method} {asked.target}",
        "host": asked.host,
        "as": who,
        "allowed": refusal is None,
        "status": verdict.status,
        "code": verdict.code,
        "reason": "" if refusal is None else refusal.reason,
        "route": None
        if match is None
        else {
            "name": match.route.name,
            "place": match.route.place,
            "upstream": match.route.upstream,
            "parameters": {key: value.decode("utf-8", "replace") for key, value in match.params.items()},
            "asks": match.rule.wanted,
            "limits": list(match.rule.limits),
        },
    }


def _lines(verdict: Verdict, who: str, asked: Asked, limits: Mapping[str, Limit]) -> Iterator[str]:
    match, refusal = verdict.match, verdict.refusal
    yield f"{asked.method} {asked.target} at {asked.host} as {who}"
    if match is None:
        yield "route    none has this host, path and method"
    else:
        route = match.route
        yield f"route    {route.host or ''}{route.template} to {route.upstream}  ({route.place})"
        for key, value in match.params.items():
            yield f"         {key} is {value.decode('utf-8', 'replace')}"
        yield f"asks     {match.rule.wanted}"
        for name in match.rule.limits:
            yield f"limit    {name}: {limits[name]}"
    if verdict.identity is not None:
        one = verdict.identity
        held = (("roles", one.roles), ("permissions", one.permissions), ("scopes", one.scopes))
        yield f"has      {'; '.join(f'{key}: {_listed(names)}' for key, names in held)}"
    if refusal is None:
        upstream = "" if match is None else f", goes to {match.route.upstream}"
        yield click.style(f"✓ allowed{upstream}", fg="green")
    else:
        reason = f" ({refusal.reason})" if refusal.reason else ""
        yield click.style(f"✗ refused: {verdict.status} {verdict.code}{reason}", fg="red")


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "none"
