"""Rules of the file, with what they inherit, as the values that the gate asks.

A key that is not written is inherited: a method's from its route, a route's from `defaults`. A `shadow` is the rule as
it would be with those keys in place of its own.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from gateway.config.document import Loc
from gateway.config.entries import ConditionsConfig, RuleConfig
from gateway.config.models import Config
from gateway.config.roles import holders
from gateway.paths import steps
from gateway.routing.conditions import Addresses, AnyOf, Bound, Claim, Condition, FreshLogin, Kind, SecondFactor
from gateway.routing.rules import Access, Rule, wanted

RULE_KEYS = tuple(key for key in ConditionsConfig.model_fields if key != "allow_ips")
"""What is asked of the owner of a token, in the order of the file's documentation."""


class Level(NamedTuple):
    """A place where keys of a rule are written."""

    written: ConditionsConfig
    loc: Loc


class Rules:
    """Makes the rules of one configuration, which `load` has checked."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._having = holders(config.roles)

    def rule(self, levels: Sequence[Level], *, method: bool = False) -> Rule:
        """Return what *levels*, the nearest first, ask of the caller; the first of them is a *method*'s.

        Where `auth` opens a route, rules from farther away end: `defaults: {roles: [user]}` does not close a public
        route.
        """
        access = Access(_nearest(levels, "auth"))
        nearest = levels[0].written
        body = nearest.body if method and isinstance(nearest, RuleConfig) and _says(nearest, "body") else None
        strict = _nearest(levels, "revocation") == "strict"
        limits = tuple(_nearest(levels, "limit"))
        allowed = self._addresses(levels)
        candidate = _nearest(levels, "shadow")
        shadow_loc = self._loc(levels, "shadow")
        if access is not Access.REQUIRED:
            levels = levels[: opened_at([level.written for level in levels]) + 1]
        made = self._of(levels, access)
        shadow = None
        if candidate is not None and access is not Access.PUBLIC and shadow_loc is not None:
            with_candidate = [Level(candidate, shadow_loc), *levels]
            shadow = self._of(with_candidate, access)
            shadow = replace(shadow, addresses=self._addresses(with_candidate))
            shadow = replace(shadow, wanted=wanted(shadow))
        made = replace(made, body_limit=body, strict=strict, addresses=allowed, shadow=shadow, limits=limits)
        return replace(made, wanted=wanted(made))

    def conditions(self, written: ConditionsConfig, loc: Loc) -> tuple[Condition, ...]:
        """Return what is asked by *written* alone, all of it."""
        level = [Level(written, loc)]
        addresses = self._addresses(level)
        return (*self._of(level, Access.REQUIRED).conditions, *([addresses] if addresses else []))

    def _of(self, levels: Sequence[Level], access: Access) -> Rule:
        places = {
            key: self._config.place(*loc, key)
            for key in (*RULE_KEYS, "auth")
            if (loc := self._loc(levels, key, own=True))
        }
        return Rule(
            access=access,
            roles=self._any_of(_nearest(levels, "roles")),
            roles_all=tuple(self._any_of([role]) for role in _nearest(levels, "roles_all")),
            not_roles=self._any_of(_nearest(levels, "not_roles")),
            permissions=frozenset(_nearest(levels, "permissions")),
            scopes=frozenset(_nearest(levels, "scopes")),
            audience=frozenset(_nearest(levels, "audience")),
            further=tuple(self._further(levels, places)),
            places=places,
        )

    def _further(self, levels: Sequence[Level], places: Mapping[str, str]) -> Iterator[Condition]:
        """Yield the conditions beyond names; what a new login would mend comes last, when all else is well."""
        place = {key: places.get(key, "") for key in RULE_KEYS}
        if (caller := _nearest(levels, "caller")) != "any":
            yield Kind(caller == "program", place=place["caller"])
        for path, values in _nearest(levels, "claims").items():
            yield Claim(steps(path), values, place=place["claims"])
        for here, claim in _nearest(levels, "where").items():
            source, _, name = here.partition(".")
            name = name.lower() if source == "header" else name
            yield Bound(source, name, steps(claim.partition(".")[2]), place=place["where"])
        for name in _nearest(levels, "rules"):
            yield from self.conditions(self._config.rules[name], ("rules", name))
        if alternatives := _nearest(levels, "any_of"):
            loc = self._loc(levels, "any_of") or ()
            yield AnyOf(
                tuple(self.conditions(each, (*loc, at)) for at, each in enumerate(alternatives)),
                place=place["any_of"],
            )
        if _nearest(levels, "mfa"):
            yield SecondFactor(place=place["mfa"])
        if (seconds := _nearest(levels, "fresh_login")) is not None:
            yield FreshLogin(seconds, place=place["fresh_login"])

    def _addresses(self, levels: Sequence[Level]) -> Addresses | None:
        networks = tuple(_nearest(levels, "allow_ips"))
        loc = self._loc(levels, "allow_ips")
        return Addresses(networks, place=self._config.place(*loc) if loc else "") if networks else None

    def _any_of(self, roles: Sequence[str]) -> frozenset[str]:
        return frozenset[str]().union(*(self._having.get(role, {role}) for role in roles))

    def _loc(self, levels: Sequence[Level], key: str, *, own: bool = False) -> Loc | None:
        """Return where *key* is written, or with *own* the place it is written in; None when it is not."""
        for written, loc in levels:
            if _says(written, key):
                return loc if own else (*loc, key)
        return None


def opened_at(levels: Sequence[ConditionsConfig]) -> int:
    """Return which of *levels*, the nearest first, says `auth`; the last one when none does."""
    return next((at for at, level in enumerate(levels) if _says(level, "auth")), len(levels) - 1)


def _says(written: ConditionsConfig, key: str) -> bool:
    return key in written.model_fields_set


def _nearest(levels: Sequence[Level], key: str) -> Any:
    """Return *key* from the first of *levels* where it is written, or its default."""
    for written, _ in levels:
        if _says(written, key):
            return getattr(written, key)
    return getattr(levels[-1].written, key)
