"""What is wrong with roles and rules beyond single values: unknown names, and rules that ask nobody."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from gateway.config.document import Loc
from gateway.config.draft import Draft
from gateway.config.entries import ConditionsConfig, RuleConfig
from gateway.config.faults import meant
from gateway.config.findings import Finding
from gateway.config.models import IDENTITY_HEADERS, Config
from gateway.config.roles import circle
from gateway.config.rules import RULE_KEYS, opened_at
from gateway.routing.template import param_names, parse

_ROLE_KEYS = ("roles", "roles_all", "not_roles")


class Place(NamedTuple):
    """A rule of a route, of a method or of `defaults`, with what it inherits, the nearest first."""

    loc: Loc
    levels: list[RuleConfig]


def places(draft: Draft) -> Iterator[Place]:
    """Yield every place where a route's rule can stand."""
    defaults = draft.config.defaults
    yield Place(("defaults",), [defaults])
    for index, route in draft.routes():
        yield Place(("routes", index), [route, defaults])
        for method, own in route.method_rules.items():
            if own is not None:
                yield Place(("routes", index, "methods", method), [own, route, defaults])


def parts(loc: Loc, written: ConditionsConfig) -> Iterator[tuple[Loc, ConditionsConfig]]:
    """Yield *written* and every set of conditions inside it."""
    yield loc, written
    if isinstance(written, RuleConfig) and written.shadow is not None:
        yield from parts((*loc, "shadow"), written.shadow)
    for at, alternative in enumerate(written.any_of):
        yield from parts((*loc, "any_of", at), alternative)


def every_part(config: Config) -> Iterator[tuple[Loc, ConditionsConfig]]:
    """Yield every set of conditions in a *config* that has no faults."""
    yield from parts(("defaults",), config.defaults)
    for name, named in config.rules.items():
        yield from parts(("rules", name), named)
    for index, route in enumerate(config.routes):
        yield from parts(("routes", index), route)
        for method, own in route.method_rules.items():
            if own is not None:
                yield from parts(("routes", index, "methods", method), own)


def _written(draft: Draft) -> Iterator[tuple[Loc, ConditionsConfig]]:
    """Yield every set of conditions in the file."""
    for loc, levels in places(draft):
        yield from parts(loc, levels[0])
    for name, named in draft.config.rules.items():
        yield from parts(("rules", name), named)


def role_findings(draft: Draft) -> Iterator[Finding]:
    """Yield what is wrong with the names of roles, and with what they include."""
    known = draft.names("roles")
    for loc, written in _written(draft):
        for key in _ROLE_KEYS:
            for at, role in enumerate(getattr(written, key)):
                if role not in known:
                    yield Finding((*loc, key, at), *unknown_role(role, known))
    debug = draft.config.telemetry.debug_role if draft.sound("telemetry") else None
    if debug is not None and debug not in known:
        yield Finding(("telemetry", "debug_role"), *unknown_role(debug, known))
    for name, role_config in draft.config.roles.items():
        for at, included in enumerate(role_config.includes):
            if included not in known:
                yield Finding(("roles", name, "includes", at), *unknown_role(included, known))
        if way := circle(draft.config.roles, name):
            yield Finding(("roles", name, "includes"), f"the role includes itself: {' > '.join(way)}")


def unknown_role(role: str, known: Iterable[str]) -> tuple[str, str]:
    """Return what is wrong with *role*, which is none of the *known*, and what to do."""
    return f'no role is called "{role}"', meant(role, known) or f"add {role}: {{}} to roles:"


def rule_findings(draft: Draft) -> Iterator[Finding]:
    """Yield what is wrong with rules."""
    yield from _open_routes(draft)
    yield from _names(draft)
    yield from _parameters(draft)
    yield from _identity_headers(draft)
    yield from _audiences(draft)


def _open_routes(draft: Draft) -> Iterator[Finding]:
    if not draft.sound("defaults"):
        return
    for loc, levels in places(draft):
        if not draft.is_whole(*loc):
            continue
        opened = opened_at(levels)
        auth = levels[opened].auth
        if auth == "required":
            continue
        for key in (*RULE_KEYS, "shadow"):
            if key in levels[0].model_fields_set and getattr(levels[0], key):
                who = "asks nobody" if auth == "public" else "lets callers without a token in, so it cannot ask"
                yield Finding(
                    (*loc, key), f"auth: {auth} {who} for {key}", "write auth: required, or remove one of them", True
                )


def _names(draft: Draft) -> Iterator[Finding]:
    known = draft.names("rules")
    for loc, written in _written(draft):
        for at, name in enumerate(written.rules):
            if loc[0] == "rules":
                yield Finding((*loc, "rules"), "a rule with a name uses no other", "write its keys here", True)
            elif name not in known:
                hint = meant(name, known) or f"add {name}: to rules:"
                yield Finding((*loc, "rules", at), f'no rule is called "{name}"', hint)


def _parameters(draft: Draft) -> Iterator[Finding]:
    """``path.tenant`` needs a {tenant} in the path of every route that it is asked on."""
    for index, route in draft.whole_routes():
        params = param_names(parse(route.path))
        here: list[tuple[Loc, ConditionsConfig]] = [(("routes", index), route)]
        here += [(("routes", index, "methods", name), own) for name, own in route.method_rules.items() if own]
        inherits = route.auth == "required" and "where" not in route.model_fields_set
        if inherits and (missing := _missing(draft.config.defaults, params)):
            loc: Loc = ("routes", index, "path")
            yield Finding(loc, f"defaults: where: asks for {{{missing}}}, which is not in this path")
        for place, rule in here:
            for loc, written in parts(place, rule):
                if missing := _missing(written, params):
                    yield Finding((*loc, "where"), f"there is no {{{missing}}} in the path of the route", "", True)
                for at, name in enumerate(written.rules):
                    named = draft.config.rules.get(name)
                    inner = [] if named is None else [part for _, part in parts((), named)]
                    if missing := next((gap for part in inner if (gap := _missing(part, params))), None):
                        reason = f'the rule "{name}" needs a {{{missing}}}, and there is none in the path of the route'
                        yield Finding((*loc, "rules", at), reason)


def _identity_headers(draft: Draft) -> Iterator[Finding]:
    """An identity header comes from the gateway, so no client's copy of it is ever compared."""
    if not draft.sound("identity_headers"):
        return
    own = {name.lower() for name in (*IDENTITY_HEADERS, *draft.config.identity_headers)}
    for loc, written in _written(draft):
        for here in written.where:
            source, _, name = here.partition(".")
            if source == "header" and name.lower() in own:
                reason = f"{name} is an identity header, which clients cannot send, so nobody could meet this"
                yield Finding((*loc, "where", here), reason, "compare another header, or a part of the path", True)


def _missing(written: ConditionsConfig, params: tuple[str, ...]) -> str | None:
    named = [here.partition(".") for here in written.where]
    return next((name for source, _, name in named if source == "path" and name not in params), None)


def _audiences(draft: Draft) -> Iterator[Finding]:
    if not draft.sound("tokens", "server", "trusted_issuers"):
        return
    config = draft.config
    meant_for = {
        *config.effective.audience,
        *(name for one in config.trusted_issuers.values() for name in one.audience),
    }
    for loc, written in _written(draft):
        for at, name in enumerate(written.audience):
            if name not in meant_for:
                reason = f'no token for "{name}" is ever accepted'
                yield Finding((*loc, "audience", at), reason, meant(name, meant_for) or "add it to tokens.audience")
