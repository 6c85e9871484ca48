"""Rules that nobody meets and routes that nobody reaches, or not by the rule that was meant for them."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from gateway.config.document import Loc
from gateway.config.faults import meant
from gateway.config.findings import Finding
from gateway.config.inherited import inherited
from gateway.config.models import Config
from gateway.config.roles import held, holders
from gateway.config.rule_checks import every_part
from gateway.routing.template import Kind, parse
from gateway.users.file import UserRecord, normal_name


def reach_findings(config: Config, users: Mapping[str, UserRecord]) -> Iterator[Finding]:
    """Yield what may not be meant; *users* are those of the users file."""
    yield from _unreachable(config)
    yield from _ungranted(config, users)
    yield from _hidden(config)
    yield from _everywhere(config)
    yield from _patterns(config)
    yield from _nobodies(config, users)


class _Demand(Protocol):
    """Some keys of a rule."""

    def of(self, key: str) -> Any:
        """Return what is written for *key*; what is empty asks for nothing."""
        ...


class _Written:
    """The keys of a rule with a name, or of an alternative."""

    def __init__(self, written: object) -> None:
        self._written = written

    def of(self, key: str) -> Any:
        return getattr(self._written, key)


def _unreachable(config: Config) -> Iterator[Finding]:
    """Routes that nobody gets through, whoever he is."""
    nobody = _Nobody(config)
    for index in range(len(config.routes)):
        for _method, rules in inherited(config, index):
            if rules.auth != "required":
                continue
            if not nobody.has_tokens:
                reason = "nobody can get a token for this route"
                yield Finding(("routes", index), reason, "add login: or trusted_issuers:, or write auth: public")
                break
            if why := nobody.gets_through([rules]):
                yield Finding(rules.loc, *why)
                break


class _Nobody:
    """Finds why nobody can meet some demands together, where keys of two kinds are enough to see it."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._having = holders(config.roles)
        self._people = config.login is not None or bool(config.trusted_issuers)
        self._programs = bool(config.clients or config.trusted_issuers)
        self.has_tokens = self._people or self._programs

    def gets_through(self, demands: Sequence[_Demand]) -> tuple[str, str] | None:
        """Return why nobody meets all *demands*, and what to do; None when somebody may."""
        together = self._with_named(demands)
        if why := self._blocked(together):
            return why
        for one in together:
            entries = [self._with_named([*together, _Written(entry)]) for entry in one.of("any_of")]
            if entries and all(map(self._blocked, entries)):
                return "nobody who meets the rest can meet an entry of any_of, so nobody gets through", ""
        return None

    def _with_named(self, demands: Sequence[_Demand]) -> list[_Demand]:
        named = [_Written(self._config.rules[name]) for one in demands for name in one.of("rules")]
        return [*demands, *named]

    def _blocked(self, demands: Sequence[_Demand]) -> tuple[str, str] | None:
        return self._by_roles(demands) or self._by_caller(demands)

    def _by_roles(self, demands: Iterable[_Demand]) -> tuple[str, str] | None:
        forbidden = expanded((role for one in demands for role in one.of("not_roles")), self._having)
        for one in demands:
            for wanted in (one.of("roles"), *((role,) for role in one.of("roles_all"))):
                if wanted and expanded(wanted, self._having) <= forbidden:
                    reason = "whoever has the roles for this is kept out by not_roles, so nobody gets through"
                    return reason, "remove one of them"
        return None

    def _by_caller(self, demands: Sequence[_Demand]) -> tuple[str, str] | None:
        callers = {one.of("caller") or "any" for one in demands} - {"any"}
        logins = [key for key in ("mfa", "fresh_login") if any(one.of(key) for one in demands)]
        if len(callers) > 1:
            return "nobody is a user and a program at once, so nobody gets through", "remove one of them"
        if "program" in callers:
            if logins:
                return f"a program has no login, so with {logins[0]} nobody gets through", "remove one of them"
            if not self._programs:
                return "no program can get a token here", "add it to clients:"
        elif not self._people and ("user" in callers or logins):
            return "nobody logs in here, so nobody gets through", "add login:"
        return None


def expanded(roles: Iterable[str], having: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """Return *roles* with all that include one of them."""
    return frozenset[str]().union(*(having.get(role, {role}) for role in roles))


def _ungranted(config: Config, users: Mapping[str, UserRecord]) -> Iterator[Finding]:
    """Roles that rules ask for and nobody has."""
    granted = held(config, users)
    if granted is None:
        return
    having = holders(config.roles)
    told: set[str] = set()
    for loc, written in every_part(config):
        wanted: list[tuple[Loc, tuple[str, ...]]] = [((*loc, "roles"), written.roles)]
        wanted += [((*loc, "roles_all", at), (role,)) for at, role in enumerate(written.roles_all)]
        for place, names in wanted:
            if not names or told.issuperset(names) or not expanded(names, having).isdisjoint(granted):
                continue
            told.update(names)
            shown = " or ".join(f'"{name}"' for name in names)
            yield Finding(place, f"nobody has the role {shown} that is asked for here", "give it to somebody")
    debug = config.telemetry.debug_role
    if debug is not None and expanded((debug,), having).isdisjoint(granted):
        yield Finding(("telemetry", "debug_role"), f'nobody has the role "{debug}"', "give it to somebody")


def _hidden(config: Config) -> Iterator[Finding]:
    """Protected routes whose requests a public one of a more specific host takes to the same service."""
    segments = [parse(route.path) for route in config.routes]
    for index, route in enumerate(config.routes):
        above = segments[index]
        if route.host is None or not above or above[-1].kind is not Kind.REST:
            continue
        if not any(rules.auth == "public" for _, rules in inherited(config, index)):
            continue
        for at, other in enumerate(config.routes):
            is_below = segments[at][: len(above) - 1] == above[:-1]
            if not is_below or route.to != other.to or not _is_within(route.host, other.host):
                continue
            if _is_written_for(config, route.host, other.path):
                continue
            if any(rules.auth == "required" for _, rules in inherited(config, at)):
                where = config.document.nearby(("routes", at))
                yield Finding(
                    ("routes", index, "path"),
                    f"at {route.host} this comes before {other.path} of {where}, which asks for a token: a host comes "
                    "before a path, so everybody gets through there",
                    f"write {other.path} for this host as well, or protect this route",
                )
                break


def _is_within(host: str, other: str | None) -> bool:
    """Say whether every name that *host* stands for is one of *other*'s, which are more."""
    if other is None:
        return True
    return other.startswith("*.") and other != host and host.removeprefix("*").endswith(other[1:])


def _is_written_for(config: Config, host: str, path: str) -> bool:
    return any(route.host == host and route.path == path for route in config.routes)


def _everywhere(config: Config) -> Iterator[Finding]:
    """Networks that everybody is in."""
    for loc, written in every_part(config):
        for at, network in enumerate(written.allow_ips):
            if network.prefixlen == 0:
                yield Finding((*loc, "allow_ips", at), "every address is in this, so it asks for nothing", "remove it")
    for at, network in enumerate(config.server.trusted_proxies):
        if network.prefixlen < (8 if network.version == 4 else 16):
            reason = "whoever connects from there says who the client is: its address, its limits and allow_ips"
            yield Finding(("server", "trusted_proxies", at), reason, "write the addresses of your proxies alone")


_PATTERN = re.compile(r"[\[\]()|^<>]|\.[+*]|\$$")
_NAMED = re.compile(r":[A-Za-z_]\w*|<(?:\w+:)?[A-Za-z_]\w*>")


def _patterns(config: Config) -> Iterator[Finding]:
    """Paths with what means something elsewhere, and stands for itself here."""
    for index, route in enumerate(config.routes):
        for segment in route.path.split("/"):
            if "{" in segment:
                continue
            if _NAMED.fullmatch(segment):
                name = re.sub(r"[:<>]", "", segment.rpartition(":")[2])
                reason = f'"{segment}" stands for itself; a parameter is written in braces'
                yield Finding(("routes", index, "path"), reason, f"write {{{name}}}")
            elif _PATTERN.search(segment):
                reason = f'"{segment}" stands for itself: there are no regular expressions'
                yield Finding(("routes", index, "path"), reason, "write {name}, {name:int}, or /** at the end")


def _nobodies(config: Config, users: Mapping[str, UserRecord]) -> Iterator[Finding]:
    """Expectations about people whom nobody knows; they may be in another users file."""
    login = config.login
    if login is not None and login.verify.users_file is None:
        return
    known = {"anonymous", *config.roles, *config.clients, *map(normal_name, users)}
    for at, one in enumerate(config.tests):
        if isinstance(one.who, str) and one.who not in known and normal_name(one.who) not in known:
            yield Finding(("tests", at, "as"), f'nobody is called "{one.who}"', meant(one.who, known))
