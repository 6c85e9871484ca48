"""What deserves a second look about permissions: those that nobody can have, and more than a token can carry."""

import json
from collections.abc import Iterator, Mapping

from gateway.config.findings import Finding
from gateway.config.models import Config
from gateway.config.roles import bringing, granting, held
from gateway.config.rule_checks import every_part
from gateway.tokens.subject import Subject, permissions_of
from gateway.users.claims import stated
from gateway.users.file import UserRecord, subject_of

_COOKIE = 4096 - 80
"""Bytes of a token that browsers keep: a cookie has a name and attributes, too."""
_SESSION = "A" * 22
_KEY = 123
"""Bytes of a token's header, dots included."""


def permission_findings(config: Config, users: Mapping[str, UserRecord]) -> Iterator[Finding]:
    """Yield what may not be meant; *users* are those of the users file."""
    yield from _ungranted(config, users)
    yield from _too_many(config, users)


def _ungranted(config: Config, users: Mapping[str, UserRecord]) -> Iterator[Finding]:
    """Permissions that rules ask for and nobody has; said only where all that can give one is in the files."""
    login = config.login
    if login is not None and (login.verify.users_file is None or "permissions" in login.claims):
        return
    if any(issuer.permissions is not None for issuer in config.trusted_issuers.values()):
        return
    own = {name for user in users.values() for name in user.permissions}
    own |= {name for client in config.clients.values() for name in client.permissions}
    roles, bringers = held(config, users), granting(config.roles)
    for loc, written in every_part(config):
        for at, name in enumerate(written.permissions):
            if name in own:
                continue
            bringing_it = bringers.get(name)
            if bringing_it is None:
                reason = f'nobody has the permission "{name}", and no role brings it along'
                yield Finding((*loc, "permissions", at), reason, f'write roles: {{NAME: {{permissions: ["{name}"]}}}}')
            elif roles is not None and bringing_it.isdisjoint(roles):
                reason = f'the permission "{name}" comes with {" or ".join(sorted(bringing_it))}, which nobody is'
                yield Finding((*loc, "permissions", at), reason, "give the role to somebody")


def _too_many(config: Config, users: Mapping[str, UserRecord]) -> Iterator[Finding]:
    """People, roles and programs whose tokens would be too large: they could not log in, and would see a 500."""
    brought, most = bringing(config.roles), config.server.limits.token
    for name, client in config.clients.items():
        permissions = permissions_of(client.roles, brought).union(client.permissions)
        who = Subject(f"client:{name}", name, client.roles, tuple(permissions), client.scopes, client.tenant)
        if (size := _about(who, config)) > most:
            yield Finding(("clients", name), f"its tokens would have about {size} bytes, {most} are allowed", _FEWER)
    login = config.login
    if login is None:
        return
    where = "are allowed"
    if config.effective.cookies and most > _COOKIE:
        most, where = _COOKIE, "fit into a cookie"
    for role in brought:
        size = _about(Subject(role, role, (role,)).endowed(brought), config)
        if size > most:
            yield Finding(
                ("roles", role),
                f"a token of somebody with this role would have about {size} bytes, {most} {where}",
                _FEWER,
                at_key=True,
            )
    for name, record in users.items():
        subject = stated(subject_of(name, record), login.claim_map, brought)
        size = _about(subject, config)
        if size > most:
            reason = f"the token of {name} would have about {size} bytes, {most} {where}"
            yield Finding(("login", "verify"), reason, _FEWER)
            return  # one is enough to see why


_FEWER = "give fewer permissions, or broader ones; what a token need not say, the service can look up"


def _about(subject: Subject, config: Config) -> int:
    """Return about how many bytes a token of *subject* has."""
    derived = config.effective
    claims = {
        **subject.claims,
        "iss": derived.issuer,
        "sub": subject.sub,
        "aud": derived.audience,
        "client_id": config.login.client_id if config.login else "gateway",
        "iat": 1_000_000_000,
        "exp": 1_000_000_000,
        "jti": _SESSION,
        "iat_ms": 1_000_000_000_000,
        "sid": _SESSION,
        "auth_time": 1_000_000_000,
        "amr": ["pwd", "otp", "mfa"],
        "roles": subject.roles,
        "scope": " ".join(subject.scopes),
        "permissions": subject.permissions,
        "tenant": subject.tenant or "",
    }
    signature = 342 if config.tokens.keys.alg[0] in "RP" else 176
    length = len(json.dumps(claims, separators=(",", ":"), ensure_ascii=False, default=str).encode())
    return _KEY + -(-length * 4 // 3) + signature
