"""What may be written and is probably a hole, or a mistake: said by `gateway check`, and once at every start.

Each finding says what can happen, and what to write instead. What nobody can mean is a fault and in `checks`.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gateway.config.addresses import Address
from gateway.config.document import Loc
from gateway.config.entries import RuleConfig
from gateway.config.faults import Fault, in_order
from gateway.config.findings import Finding
from gateway.config.models import Config
from gateway.config.permissions import permission_findings
from gateway.config.roles import held, holders
from gateway.config.rules import opened_at
from gateway.limits.limit import Kind as LimitKind
from gateway.routing.template import Kind, Segment, parse
from gateway.users.file import UserRecord

_ADMINISTRATIVE = frozenset(
    {"admin", "administrator", "internal", "management", "actuator", "debug", "metrics", "console", "private"}
)


def lint(config: Config, users: Mapping[str, UserRecord]) -> list[Fault]:
    """Return what deserves a second look in *config*, with its place, in the order of the file."""
    found = (
        *_opened(config),
        *_audience(config),
        *_plain_upstreams(config),
        *_unreachable(config),
        *_ungranted(config, users),
        *permission_findings(config, users),
        *_evadable(config),
        *_secrets(config),
    )
    return in_order(config.document.fault_at(one.loc, one.reason, one.hint, at_key=one.at_key) for one in found)


class _Rules:
    """What one method of one route asks, with what it inherits."""

    def __init__(self, loc: Loc, levels: list[RuleConfig]) -> None:
        self.loc = loc
        """Where a rule of its own would be."""
        opened = opened_at(levels)
        self.auth = levels[opened].auth
        self._levels = levels if self.auth == "required" else levels[: opened + 1]
        self.limits = next((level.limit for level in levels if "limit" in level.model_fields_set), ())

    def of(self, key: str) -> Any:
        for level in self._levels:
            if key in level.model_fields_set:
                return getattr(level, key)
        return ()


def _rules(config: Config, index: int) -> Iterator[tuple[str, _Rules]]:
    """Yield each method of a route with its rules."""
    route = config.routes[index]
    for method, own in route.method_rules.items():
        levels: list[RuleConfig] = [route, config.defaults]
        if own is None:
            yield method, _Rules(("routes", index), levels)
        else:
            yield method, _Rules(("routes", index, "methods", method), [own, *levels])


def _opened(config: Config) -> Iterator[Finding]:
    """Public routes that are above protected ones, or do not sound as if they were meant to be public."""
    segments = [parse(route.path) for route in config.routes]
    for index in range(len(segments)):
        public = [method for method, rules in _rules(config, index) if rules.auth == "public"]
        if not public:
            continue
        loc: Loc = ("routes", index, "path")
        own = segments[index]
        below = next(
            (at for at in range(len(segments)) if at != index and _is_below(config, at, index, segments)), None
        )
        if below is not None:
            yield Finding(
                loc,
                f"everything below is public, and {config.routes[below].path} in it is not: what is added there later, "
                "or spelled in a way that only the service understands, is open to everybody",
                "protect the prefix, and name the public paths below it",
            )
        words = {segment.literal.decode("utf-8", "replace").lower() for segment in own}
        if named := sorted(words & _ADMINISTRATIVE):
            yield Finding(loc, f'a public route with "{named[0]}" in its path', "write roles: [...], or another path")


def _is_below(config: Config, at: int, index: int, segments: list[tuple[Segment, ...]]) -> bool:
    """Say whether the route *at* is protected and inside of *index*, a prefix other than the whole site."""
    above, below = segments[index], segments[at]
    if len(above) < 2 or above[-1].kind is not Kind.REST or config.routes[index].host != config.routes[at].host:
        return False
    if len(below) < len(above) or below[: len(above) - 1] != above[:-1]:
        return False
    return any(rules.auth == "required" for _, rules in _rules(config, at))


def _audience(config: Config) -> Iterator[Finding]:
    if config.trusted_issuers and config.login is not None and config.tokens.audience is None:
        yield Finding(
            ("tokens",) if "tokens" in config.model_fields_set else ("login",),
            "without tokens.audience our tokens are for everybody who trusts this gateway",
            "write tokens: {audience: [NAME]}",
            True,
        )


def _plain_upstreams(config: Config) -> Iterator[Finding]:
    """Tokens on their way to another machine in clear."""
    for index, route in enumerate(config.routes):
        written = "forward_token" in route.model_fields_set
        upstream = config.upstreams.get(route.to)
        policy = (route if written else config.defaults).forward_token
        if policy == "strip" or upstream is None:
            continue
        for target in upstream.targets:
            if target.url.scheme == "http" and not Address(target.url.host, target.url.port).loopback:
                yield Finding(
                    ("routes", index, "forward_token") if written else ("defaults", "forward_token"),
                    f"the caller's token crosses the network in clear on its way to {target.url.written}",
                    "write https://, or forward_token: strip; the identity headers say who it is",
                )
                break


def _unreachable(config: Config) -> Iterator[Finding]:
    """Routes that nobody gets through, whoever he is."""
    having = holders(config.roles)
    has_tokens = config.login is not None or config.trusted_issuers or config.clients
    for index in range(len(config.routes)):
        for _method, rules in _rules(config, index):
            if rules.auth == "required" and not has_tokens:
                reason = "nobody can get a token for this route"
                yield Finding(("routes", index), reason, "add login: or trusted_issuers:, or write auth: public")
                break
            forbidden = _expanded(rules.of("not_roles"), having)
            one_of = [_expanded(rules.of("roles"), having), *(_expanded([r], having) for r in rules.of("roles_all"))]
            if any(roles and roles <= forbidden for roles in one_of):
                reason = "whoever has the roles for this is kept out by not_roles, so nobody gets through"
                yield Finding(rules.loc, reason, "remove one of them")
                break


def _expanded(roles: Any, having: Mapping[str, frozenset[str]]) -> frozenset[str]:
    return frozenset[str]().union(*(having.get(role, {role}) for role in roles))


def _ungranted(config: Config, users: Mapping[str, UserRecord]) -> Iterator[Finding]:
    """Roles that routes ask for and nobody has."""
    granted = held(config, users)
    if granted is None:
        return
    having = holders(config.roles)
    told: set[str] = set()
    for index in range(len(config.routes)):
        for _method, rules in _rules(config, index):
            wanted = [tuple(rules.of("roles")), *((role,) for role in rules.of("roles_all"))]
            for names in wanted:
                if not names or told.issuperset(names) or not _expanded(names, having).isdisjoint(granted):
                    continue
                told.update(names)
                shown = " or ".join(f'"{name}"' for name in names)
                yield Finding(rules.loc, f"nobody has the role {shown} that is asked for here", "give it to somebody")


def _evadable(config: Config) -> Iterator[Finding]:
    """Limits that hold nobody who does not want to be held, or everybody at once."""
    kinds = {name: limit.by.kind for name, limit in config.limits.items()}
    used: dict[str, Loc] = {}
    for index in range(len(config.routes)):
        for _method, rules in _rules(config, index):
            names = rules.limits
            used |= {name: ("limits", name, "by") for name in names}
            if names and rules.auth == "public" and {kinds[name] for name in names} == {LimitKind.HEADER}:
                reason = "whoever sends another value each time is held by no limit here"
                yield Finding((*rules.loc, "limit"), reason, "name a limit by address beside it")
                break
    server = config.server
    is_behind = config.effective.origin.startswith("https://") and not server.tls
    if is_behind and not server.trusted_proxies:
        for name, loc in used.items():
            if kinds[name] is LimitKind.ADDRESS:
                reason = "what does TLS in front of this gateway has one address, and all clients share its limit"
                yield Finding(loc, reason, "write server.trusted_proxies")


def _secrets(config: Config) -> Iterator[Finding]:
    """Secrets that more people can read than need to (identity.md 4, 168)."""
    server, document = config.server, config.document
    named: dict[Loc, Path | None] = {
        ("server", "secret_file"): server.secret_file,
        ("server", "admin", "token_file"): server.admin.token_file,
        ("store", "password_file"): config.store.password_file,
    }
    named |= {("server", "tls", at, "key_file"): pair.key_file for at, pair in enumerate(server.tls)}
    named |= {("tokens", "keys", "files", at, "file"): key.file for at, key in enumerate(config.tokens.keys.files)}
    for file_loc, path in named.items():
        if path is not None and _is_open(path):
            yield Finding(file_loc, f"everybody on this machine can read {path}", f"chmod 600 {path}")
    written: tuple[Loc, ...] = (("server", "secret"), ("server", "admin", "token"), ("store", "password"))
    for loc in written:
        if loc in document.places and loc not in document.filled_in:
            yield Finding(loc, "a secret in this file is in every copy of it", f'write "${{NAME}}", or {loc[-1]}_file')


def _is_open(path: Path) -> bool:
    """Say whether everybody may read *path*; what an orchestrator has put there is its own affair."""
    try:
        real = path.resolve()
        is_mounted = real.is_relative_to("/run/secrets") or any(part.startswith("..") for part in real.parts)
        return not is_mounted and bool(real.stat().st_mode & 0o004)
    except OSError:
        return False
