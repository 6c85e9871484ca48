"""What may be written and is probably a hole, or a mistake: said by `gateway check`, and once at every start.

Each finding says what can happen, and what to write instead. What nobody can mean is a fault and in `checks`.
"""

from collections.abc import Iterator, Mapping

from gateway.config.addresses import Address
from gateway.config.document import Loc
from gateway.config.faults import Fault, in_order
from gateway.config.findings import Finding
from gateway.config.inherited import inherited
from gateway.config.models import Config
from gateway.config.permissions import permission_findings
from gateway.config.reach import reach_findings
from gateway.config.rule_checks import every_part
from gateway.config.secrecy import secret_findings
from gateway.config.sharing import sharing_findings
from gateway.config.variants import variant_findings
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
        *reach_findings(config, users),
        *sharing_findings(config),
        *_single_alternatives(config),
        *_capitals(config),
        *permission_findings(config, users),
        *_evadable(config),
        *variant_findings(config),
        *secret_findings(config),
    )
    return in_order(config.document.fault_at(one.loc, one.reason, one.hint, at_key=one.at_key) for one in found)


def _opened(config: Config) -> Iterator[Finding]:
    """Public routes that are above protected ones, or do not sound as if they were meant to be public."""
    segments = [parse(route.path) for route in config.routes]
    protected = _protected(config, segments)
    for index in range(len(segments)):
        public = [method for method, rules in inherited(config, index) if rules.auth == "public"]
        if not public:
            continue
        loc: Loc = ("routes", index, "path")
        own = segments[index]
        below = None
        if len(own) >= 2 and own[-1].kind is Kind.REST:  # a prefix other than the whole site
            inside = protected.get((config.routes[index].host, own[:-1]), ())
            below = next((at for at in inside if segments[at] != own), None)  # those of its very path: see variants
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


def _protected(
    config: Config, segments: list[tuple[Segment, ...]]
) -> dict[tuple[str | None, tuple[Segment, ...]], list[int]]:
    """Return the routes that ask for a token by their host and by every path that they are below of."""
    found: dict[tuple[str | None, tuple[Segment, ...]], list[int]] = {}
    for index, own in enumerate(segments):
        if any(rules.auth == "required" for _, rules in inherited(config, index)):
            for length in range(1, len(own)):
                found.setdefault((config.routes[index].host, own[:length]), []).append(index)
    return found


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


def _evadable(config: Config) -> Iterator[Finding]:
    """Limits that hold nobody who does not want to be held, or everybody at once."""
    kinds = {name: limit.by.kind for name, limit in config.limits.items()}
    used: dict[str, Loc] = {}
    for index in range(len(config.routes)):
        for _method, rules in inherited(config, index):
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


def _capitals(config: Config) -> Iterator[Finding]:
    """Routes of one service that capitals tell apart; many services do not."""
    seen: dict[tuple[str, str | None, str], str] = {}
    for index, route in enumerate(config.routes):
        upstream = config.upstreams.get(route.to)
        if upstream is None or upstream.any_case:
            continue
        other = seen.setdefault((route.to, route.host, route.path.lower()), route.path)
        if other != route.path:
            reason = f"only capitals tell this from {other}, and a service that ignores them has one rule for both"
            yield Finding(("routes", index, "path"), reason, f"write paths: case_insensitive at upstreams.{route.to}")


def _single_alternatives(config: Config) -> Iterator[Finding]:
    """`any_of` with one entry, which may be a forgotten one."""
    for loc, written in every_part(config):
        if len(written.any_of) == 1:
            reason = "one alternative is none: this asks for the same as its entry does without any_of"
            yield Finding((*loc, "any_of"), reason, "write the keys of the entry here, or add another entry")
