"""`gateway explain`: what the gateway would answer to a request, by which route, and what was compared with what."""

import json
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import rich_click as click

from gateway.commands.deciding import ANONYMOUS, MFA, SERVED, Asked, Deciding, Verdict
from gateway.commands.nearest import Near, nearest
from gateway.commands.option import CONFIG, guarded
from gateway.config.limits import limits_of
from gateway.config.load import load
from gateway.config.users import file_users
from gateway.errors import Refusal
from gateway.limits.limit import Limit
from gateway.routing.explained import written
from gateway.tokens.explain import words
from gateway.tokens.verify import Identity, Invalid


@click.command("explain")
@CONFIG
@click.argument("method")
@click.argument("target", metavar="PATH")
@click.option("--as", "name", help="anonymous (the default), somebody of the users file, a role, or a client.")
@click.option("--mfa", is_flag=True, help="Whoever asks has logged in with a second factor.")
@click.option("--token", help="A token whose owner asks; - reads it from standard input.")
@click.option("--host", default="localhost", show_default=True)
@click.option(
    "--address", default="127.0.0.1", show_default=True, help="Whose connection it is: the client, or a proxy."
)
@click.option("-H", "--header", "headers", metavar="NAME:VALUE", multiple=True, help="A header of the request.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def explain_command(
    path: Path,
    method: str,
    target: str,
    name: str | None,
    mfa: bool,
    token: str | None,
    host: str,
    address: str,
    headers: tuple[str, ...],
    output: str,
) -> None:
    """Say what would be answered to METHOD PATH, and why. The exit status is 1 when it would be refused.

    Nothing is sent, and nothing running is asked: revocations and rate limits are not looked at.
    """
    if token is not None and (name is not None or mfa):
        raise click.UsageError("--token says who asks; --as and --mfa cannot be there as well")
    if not target.startswith("/"):
        raise click.UsageError(f"a path begins with a slash: /{target}")
    asked = Asked(method.upper(), target, host, address, _fields(headers))
    refused = False

    def work() -> None:
        nonlocal refused
        config = load(path, os.environ)
        deciding = Deciding(config, file_users(config))
        if token is None:
            who = deciding.person(name or ANONYMOUS)
            title, verdict = who.title, deciding.decide(replace(who, factors=MFA) if mfa else who, asked)
        else:
            found = _judged(path, token)
            title = "a token that does not count" if isinstance(found, Invalid) else f"the token of {found.subject}"
            verdict = deciding.decide_for(found, asked)
        refused = verdict.refusal is not None
        near = nearest(deciding.routes, asked.method, target) if verdict.code == "no_route" else []
        if output == "json":
            click.echo(json.dumps(members(verdict, title, asked, near), indent=2, ensure_ascii=False))
            return
        for line in _lines(verdict, title, asked, near, limits_of(config.limits)):
            click.echo(line)

    guarded(work)
    sys.exit(1 if refused else 0)


_NOT_HERE = {
    "authorization": "--as and --token say who asks",
    "cookie": "cookies are not looked at; --as and --token say who asks",
    "host": "--host says which",
    "content-length": "bodies are not looked at",
    "transfer-encoding": "bodies are not looked at",
}
"""Fields that say what an option says, or what only a real request can."""


def _fields(headers: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    fields = []
    for header in headers:
        name, colon, value = header.partition(":")
        if not colon or not re.fullmatch(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", name) or not value.isprintable():
            raise click.UsageError(f"-H {header}: a header is written NAME:VALUE")
        if (hint := _NOT_HERE.get(name.lower())) is not None:
            raise click.UsageError(f"-H {name}: {hint}")
        fields.append((name, value.strip()))
    return tuple(fields)


def _judged(path: Path, token: str) -> Identity | Invalid:
    from gateway.commands.shared import house
    from gateway.commands.token import read_token, verifier_of

    return verifier_of(house(path)).verify(read_token(token), time.time())


def members(verdict: Verdict, who: str, asked: Asked, near: Sequence[Near] = ()) -> dict[str, object]:
    """Return *verdict* for programs: what was asked, and the explanation as the audit of a running gateway has it."""
    said = {"request": f"{asked.method} {asked.target}", "host": asked.host, "as": who, "status": verdict.status}
    said |= verdict.explanation.members()
    if near:
        said["near"] = [{"route": one.route.name, "place": one.route.place, "why": one.why} for one in near]
    return said


def _lines(
    verdict: Verdict, who: str, asked: Asked, near: Sequence[Near], limits: Mapping[str, Limit]
) -> Iterator[str]:
    yield f"{asked.method} {asked.target} at {asked.host} as {who}"
    yield from _way(verdict, near)
    yield from _listed(
        "limits", [f"{name}: {limits[name]}" for name in verdict.match.rule.limits] if verdict.match else []
    )
    yield from _rules(verdict)
    refusal, match = verdict.refusal, verdict.match
    if refusal is None and verdict.status != SERVED:
        yield click.style(f"✓ answered by the gateway itself: {verdict.status}", fg="green")
    elif refusal is None:
        upstream = "" if match is None else f", goes to {match.route.upstream}"
        yield click.style(f"✓ allowed{upstream}", fg="green")
    else:
        yield click.style(f"✗ refused: {verdict.status} {verdict.code}{_reason(refusal)}", fg="red")


def _way(verdict: Verdict, near: Sequence[Near]) -> Iterator[str]:
    match, refusal = verdict.match, verdict.refusal
    if match is not None:
        route = match.route
        yield f"route    {route.matches} to {route.upstream}  ({route.place})"
        for key, value in match.params.items():
            yield f"         {key} is {value.decode('utf-8', 'replace')}"
    elif refusal is not None and refusal.allow:
        yield f"route    this path has {refusal.allow} only"
    elif refusal is not None and refusal.code.name == "no_route":
        yield "route    none has this host and path"
        for one in near:
            yield f"         {one.route.matches} {one.why}  ({one.route.place})"


def _rules(verdict: Verdict) -> Iterator[str]:
    explanation = verdict.explanation
    if explanation.rule is None:
        return
    decision = explanation.decision
    yield from _listed("rules", written(decision.steps) if decision.steps else ["none, the route is public"])
    if (shadow := decision.shadow) is not None:
        said = (
            "would be allowed" if shadow.refusal is None else f"would be refused: {shadow.refusal.status} {shadow.code}"
        )
        yield from _listed("shadow", [said, *written(shadow.steps)])


def _listed(title: str, lines: Iterable[str]) -> Iterator[str]:
    for at, line in enumerate(lines):
        yield f"{'' if at else title:<9}{line}"


def _reason(refusal: Refusal) -> str:
    """Return what the log would say beside the code, where the rules have not said it."""
    if refusal.why is not None and refusal.code.name not in _TOKEN_CODES:
        return ""
    return f" ({words(refusal.reason)})" if refusal.reason else ""


_TOKEN_CODES = frozenset(("token_invalid", "token_expired", "token_revoked"))
