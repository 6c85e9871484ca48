"""Pages of other origins that others than their owner can speak for, and shares that nobody can use."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from gateway.config.addresses import Address
from gateway.config.document import Loc
from gateway.config.findings import Finding
from gateway.config.inherited import inherited
from gateway.config.models import Config
from gateway.routing.cors import ANY


def sharing_findings(config: Config) -> Iterator[Finding]:
    """Yield what may not be meant in the section `cors`, and in the key of that name."""
    if config.cors is not None:
        yield from _weak_origins(config, ("cors", "origins"), config.cors.origins)
    for index, route in enumerate(config.routes):
        written = "cors" in route.model_fields_set
        cors = (route if written else config.defaults).cors
        if cors is None:
            continue
        loc: Loc = ("routes", index, "cors") if written else ("defaults", "cors")
        if cors.credentials:
            yield from _weak_origins(config, (*loc, "origins"), cors.origins)
        rules = [rules for _, rules in inherited(config, index)]
        if ANY in cors.origins and any(one.auth != "required" and one.of("allow_ips") for one in rules):
            reason = "any page in the world can read this through the browser of somebody inside allow_ips"
            yield Finding((*loc, "origins"), reason, "name the origins, or ask for a token")
        by_cookie_alone = tuple(config.tokens.read_from) == ("cookie",)
        if by_cookie_alone and not cors.credentials and all(one.auth == "required" for one in rules):
            reason = "no page can use this: tokens are read from cookies only, and without credentials none are sent"
            yield Finding(loc, reason, "write credentials: true, or let tokens.read_from have bearer")


def _weak_origins(config: Config, loc: Loc, origins: tuple[str, ...]) -> Iterator[Finding]:
    """Yield the *origins* that act with their visitors' cookies and that others than their owner can speak for."""
    for at, one in enumerate(origins):
        if not one.startswith("http://"):
            continue
        if not _is_loopback(one):
            reason = f"whoever is on the way to {one} can write its pages, which may act as the people who open them"
            yield Finding((*loc, at), reason, "write https://")
        elif not _is_loopback(config.effective.origin):
            reason = f"any program on a visitor's own machine can be {one}, and may act as the visitor"
            yield Finding((*loc, at), reason, "leave it to a configuration for development")


def _is_loopback(origin: str) -> bool:
    return Address(urlsplit(origin).hostname or "", 0).loopback
