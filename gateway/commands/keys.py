"""`gateway keys`: the signing keys in the data directory or in the store, and their turns.

A running gateway takes up every change within seconds; so do all others that share the place.
"""

import json
import time
from pathlib import Path

import rich_click as click

from gateway.commands.option import CONFIG, ById, guarded
from gateway.commands.shared import House, house
from gateway.errors import ConfigError
from gateway.tokens.explain import span, when
from gateway.tokens.kept import Kept, expelled, fitted, made, oldest_next, promoted, withdrawn
from gateway.tokens.keys import SigningKey, VerifyingKey
from gateway.tokens.rotation import published_at


@click.group()
def keys() -> None:
    """List, make and turn the keys that tokens are signed with."""


@keys.command("list")
@CONFIG
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def list_keys(path: Path, output: str) -> None:
    """Show every key: what it is for, since when, and what comes next."""

    def work() -> None:
        found = house(path)
        if found.config.tokens.keys.files:
            rows = [_of_file(key) for key in found.ring().keys]
        else:
            rows = [_row(one, found, time.time()) for one in found.kept()]
        if output == "json":
            click.echo(json.dumps(rows, indent=2))
            return
        for row in rows:
            click.echo(f"{row['kid']}  {row['alg']:6}{row['state']:9}{row['note']}")

    guarded(work)


@keys.command()
@CONFIG
def generate(path: Path) -> None:
    """Make a next key and publish it; it signs after `gateway keys rotate`, or at its time.

    Where there is none yet this makes the first key, which signs at once.
    """

    def work() -> None:
        found = house(path)
        alg, now, seal = found.config.tokens.keys.alg, time.time(), found.seal
        new = made(alg, "next", now, seal)
        # Whether it is the first is for the change to see: a gateway may be making one at this moment.
        kept = found.place.change(lambda kept: (*kept, new) if kept else fitted((), alg, now, seal))
        if all(one.kid != new.kid for one in kept):
            click.echo(f"{kept[0].kid}  {alg} signs from now on")
            return
        ahead = span(found.schedule.publish_ahead)
        click.echo(f"{new.kid}  {alg} is published; everybody will have fetched it in {ahead}")

    guarded(work)


@keys.command()
@CONFIG
@click.option("--now", "at_once", is_flag=True, help="Also when others may not have fetched the new key yet.")
def rotate(path: Path, at_once: bool) -> None:
    """Let the next key sign. Tokens of the one before it stay valid until they expire.

    Without a next key one is made and published, and has to wait: whoever verifies our tokens caches the old set.
    """

    def work() -> None:
        found = house(path)
        now, schedule = time.time(), found.schedule
        waiting = oldest_next(found.kept(), schedule.alg)
        if waiting is None:
            new = made(schedule.alg, "next", now, found.seal)
            kept = found.place.change(lambda kept: kept if oldest_next(kept, new.alg) else (*kept, new))
            waiting = oldest_next(kept, schedule.alg)
            assert waiting is not None
        ready = published_at(waiting, schedule)
        if now < ready and not at_once:
            click.echo(f"{waiting.kid}  is published and may sign in {span(ready - now)}; run this again then")
            click.echo("--now does it at once; whoever caches our keys may refuse new tokens for a while", err=True)
            return
        kid = waiting.kid
        found.place.change(lambda kept: promoted(kept, kid, now))
        click.echo(f"{waiting.kid}  signs from now on; the one before it verifies for {span(schedule.keep)}")

    guarded(work)


@keys.command(cls=ById)
@CONFIG
@click.argument("kid")
@click.option("--compromised", is_flag=True, help="Somebody else has it: no token signed with it counts any more.")
def retire(path: Path, kid: str, compromised: bool) -> None:
    """Take a key out of use; with --compromised, at once and with every token it signed."""

    def work() -> None:
        found = house(path)
        place, now, seal = found.place, time.time(), found.seal
        one = next((kept for kept in found.kept() if kept.kid == kid), None)
        if one is None:
            raise ConfigError(f"there is no key {kid!r}; see: gateway keys list")
        if compromised:
            place.change(lambda kept: expelled(kept, kid, now, seal))
            why_not = place.tell(kid)
            click.echo(f"{kid}  is gone; tokens signed with it are refused, and people refresh or log in again")
            if why_not is not None:
                click.echo(f"running gateways could not be told and take it up within seconds: {why_not}", err=True)
            return
        match one.state:
            case "next":
                place.change(lambda kept: withdrawn(kept, kid, now))
                click.echo(f"{kid}  will not sign")
            case "current":
                raise ConfigError(f"{kid} signs; `gateway keys rotate` lets another one sign, and then it retires")
            case "retired":
                note = _row(one, found, now)["note"]
                raise ConfigError(f"{kid} is retired ({note}); --compromised ends its tokens at once")

    guarded(work)


@keys.command()
@CONFIG
def jwks(path: Path) -> None:
    """Print the public keys, as /.well-known/jwks.json publishes them."""

    def work() -> None:
        ring = house(path).ring()
        click.echo(json.dumps(ring.jwks(), indent=2))
        if not ring.jwks()["keys"]:
            click.echo("HS keys are secrets; nothing of them is published", err=True)

    guarded(work)


def _of_file(key: VerifyingKey) -> dict[str, str]:
    note = "from a file" if isinstance(key, SigningKey) else "from a file, public part only"
    return {"kid": key.kid, "alg": key.alg, "state": key.state, "note": note}


def _row(one: Kept, found: House, now: float) -> dict[str, str]:
    schedule = found.schedule
    match one.state:
        case "retired":
            note = f"verifies until {when(one.since + schedule.keep, now)}"
        case "next":
            ready = published_at(one, schedule)
            note = "published, can sign" if now >= ready else f"published, can sign {when(ready, now)}"
        case "current":
            note = f"signs since {when(one.since, now)}"
            if one.alg != schedule.alg:
                note += f"; until a key for {schedule.alg} has been published for long enough"
            elif schedule.rotate is not None:
                turn = one.since + schedule.rotate
                note += f"; the next one signs {when(turn, now)}" if turn > now else "; its turn is due"
    return {"kid": one.kid, "alg": one.alg, "state": one.state, "note": note}
