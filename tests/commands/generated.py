"""Configurations nobody has thought of: routes with every key of a rule, drawn at random, and their callers."""

import random
from typing import Any, NamedTuple

from gateway.commands.deciding import MFA, Person
from gateway.tokens.subject import Subject

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
ROLES = ("r0", "r1", "r2", "r3", "r4")
SEGMENTS = ("a", "b", "{id}", "{id:int}", "{id:uuid}")
HERE, ELSEWHERE = "127.0.0.0/8", "10.0.0.0/8"

USERS = "\n".join(
    (
        "users:",
        *(f"  u{at}: {{password: demo, demo: true, roles: [{role}]}}" for at, role in enumerate(ROLES)),
        "  u9: {password: demo, demo: true, permissions: [p1, p3]}",
        "",
    )
)
NAMED = ("anonymous", *(f"u{at}" for at in range(len(ROLES))), "u9")
"""Callers whom the configuration knows."""


def _person(sub: str, *roles: str, **more: Any) -> Subject:
    return Subject(sub, sub, roles, **more)


DESCRIBED = (
    Person("second factor", _person("m1", "r1"), MFA),
    Person("an hour ago", _person("m2", "r2", "r4"), MFA, 3600.0),
    Person(
        "of 1",
        _person("m3", "r0", tenant="1", scopes=("s0", "s1"), claims={"plan": "pro", "verified": True, "n": 3}),
    ),
    Person(
        "of acme",
        _person("m4", "r3", tenant="acme", permissions=("p0", "p2"), scopes=("s2",), claims={"plan": ["free", "x"]}),
    ),
    Person("a program", _person("client:c1", "r1", "r3", scopes=("s0",)), program="c1"),
)
"""Callers whom only their tokens describe."""
HOST = "api.example"
SHAKE = (("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"))
FIELDS: tuple[tuple[tuple[str, str], ...], ...] = (
    (),
    (("X-Tenant", "1"),),
    (("X-Tenant", "acme"), ("X-Kind", "a")),
    (("X-Kind", "a"), ("X-Kind", "a")),
    (("X-Tenant", "acme"), ("x-tenant", "1")),
    (("Connection", "X-Kind"), ("X-Kind", "a")),
    (("X-Forwarded-For", "10.0.0.1"),),
    (("Origin", "https://a.example"), ("X-Kind", "b")),
    (("Origin", "https://a.example"), ("Access-Control-Request-Method", "POST")),
    (("Origin", "https://b.example"), ("Access-Control-Request-Method", "GET")),
    (("Expect", "the best"),),
    SHAKE,
    (*SHAKE, ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="), ("Origin", "https://evil.example")),
)
"""What requests bring along. No WebSocket comes about."""


class Generated(NamedTuple):
    """A configuration, without upstreams' addresses."""

    text: str
    paths: list[str]
    """Of its routes."""


def generated(draw: random.Random) -> Generated:
    """Return a configuration with twelve routes to the upstream `one`."""
    roles = []
    for at, role in enumerate(ROLES):
        includes = [other for other in ROLES[:at] if draw.random() < 0.3]
        permissions = [f"p{at}"] if draw.random() < 0.5 else []
        roles.append(f"  {role}: {{includes: [{', '.join(includes)}], permissions: [{', '.join(permissions)}]}}")
    rules = [f"  k{at}: {{{_conditions(draw, (), 2)}}}" for at in range(3)]
    defaults = draw.choice(
        ("", "scopes: [s0]", "not_roles: [r2]", f"allow_ips: [{HERE}]", "shadow: {roles: [r4], mfa: true}")
    )
    paths: dict[str, str] = {}
    while len(paths) < 12:
        parts = [draw.choice(SEGMENTS[:2])] + [draw.choice(SEGMENTS) for _ in range(draw.randrange(3))]
        parts = [part.replace("{id", f"{{n{at}") for at, part in enumerate(parts)]
        path = "/" + "/".join(parts) + draw.choice(("", "", "/**"))
        paths.setdefault(path.replace("n1", "n").replace("n2", "n"), path)
    routes = [_route(draw, path) for path in paths.values()]
    routes += [_route(draw, path, ", headers: {X-Kind: a}") for path in paths.values() if draw.random() < 0.2]
    routes += [_route(draw, path, f", host: {HOST}") for path in paths.values() if draw.random() < 0.2]
    text = "\n".join(
        (
            "login: {verify: {file: users.yaml}}",
            "roles:",
            *roles,
            "rules:",
            *rules,
            f"defaults: {{{defaults}}}",
            "upstreams: {one: ONE}",
            "routes:",
            *routes,
            "",
        )
    )
    return Generated(text, list(paths.values()))


def _route(draw: random.Random, path: str, more: str = "") -> str:
    params = [name for name in ("n1", "n2") if f"{{{name}" in path]
    if draw.random() < 0.4:
        chosen = draw.sample(METHODS, draw.randrange(1, 5))
        methods = f", methods: {{{', '.join(f'{method}: {{{_rule(draw, params)}}}' for method in chosen)}}}"
    else:
        methods = draw.choice(("", ", methods: [GET, POST]"))
    if draw.random() < 0.3:
        more += ", cors: {origins: [https://a.example]}"
    if draw.random() < 0.2:
        more += ", websocket: true"
    return f'  - {{path: "{path}", to: one{methods}, {_rule(draw, params)}{more}}}'


def _rule(draw: random.Random, params: list[str]) -> str:
    if (kind := draw.random()) < 0.15:
        closed = f", allow_ips: [{draw.choice((HERE, ELSEWHERE))}]" if draw.random() < 0.3 else ""
        return f"auth: {draw.choice(('public', 'optional'))}{closed}"
    if kind < 0.25:
        return "auth: required"
    keys = ["auth: required", _conditions(draw, params, 3)]
    if draw.random() < 0.3:
        keys.append(f"rules: [{', '.join(draw.sample(('k0', 'k1', 'k2'), draw.randrange(1, 3)))}]")
    if draw.random() < 0.3:
        each = (f"{{{_conditions(draw, params, 2)}}}" for _ in range(draw.randrange(2, 4)))
        keys.append(f"any_of: [{', '.join(each)}]")
    if draw.random() < 0.2:
        keys.append(f"shadow: {{{_conditions(draw, params, 2)}}}")
    return ", ".join(keys)


def _conditions(draw: random.Random, params: list[str] | tuple[str, ...], most: int) -> str:
    """Return up to *most* keys of a rule, and one at least."""
    names = {key: draw.sample(ROLES, draw.randrange(1, 4)) for key in ("roles", "roles_all", "not_roles")}
    names["roles_all"] = names["roles_all"][:1]
    names["not_roles"] = names["not_roles"][:1]
    bound = "header.x-tenant" if not params or draw.random() < 0.3 else f"path.{draw.choice(params)}"
    keys = [
        *(f"{key}: [{', '.join(chosen)}]" for key, chosen in names.items()),
        f"permissions: [p{draw.randrange(5)}]",
        f"scopes: [s{draw.randrange(3)}]",
        f"caller: {draw.choice(('user', 'user', 'program'))}",
        f"claims: {draw.choice(('{plan: [pro, free]}', '{verified: true}', '{n: [1, 3], plan: pro}', '{roles: r0}'))}",
        f"where: {{{bound}: claim.{draw.choice(('tenant', 'plan', 'sub'))}}}",
        "mfa: true",
        "fresh_login: 5m",
        f"allow_ips: [{draw.choice((HERE, HERE, ELSEWHERE))}]",
    ]
    return ", ".join(draw.sample(keys, draw.randrange(1, most + 1)))
