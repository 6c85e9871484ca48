"""What people write who know it from elsewhere, and what it is called here."""

from collections.abc import Mapping

from gateway.config.document import Loc

_TOP: Mapping[str, str] = {
    "users": "people are in a file of their own: login: {verify: {file: users.yaml}}",
    "redis": 'write store: {url: "redis://…"}',
    "jwt": "write tokens:",
    "auth": "write login:, and auth: or roles: at a route",
    "services": "write upstreams:",
    "backends": "write upstreams:",
    "permissions": "they come with roles: {NAME: {permissions: [...]}}",
    "logging": "write telemetry:",
    "rate_limits": "write limits:",
}
"""Keys at the top of the file."""
_OF_RULES: Mapping[str, str] = {
    "role": "write roles: [...]",
    "permission": "write permissions: [...]",
    "scope": "write scopes: [...]",
    "claim": "write claims: {NAME: VALUE}",
    "public": "write auth: public",
    "anonymous": "write auth: public, or auth: optional",
    "protected": "leave it away: a route asks for a token unless it says auth: public",
    "authenticated": "leave it away: a route asks for a token unless it says auth: public",
    "upstream": "write to:",
    "service": "write to:",
    "backend": "write to:",
    "url": "write to: and the name of an upstream",
    "target": "write to: and the name of an upstream",
    "prefix": "write path: with /** at its end",
    "method": "write methods: [...]",
    "strip_path": "write strip_prefix:",
    "rate_limit": "write limit: and the name of an entry of limits:",
    "ip_whitelist": "write allow_ips:",
}
"""Keys of a route, of a method or of `defaults`."""


def key_instead(loc: Loc) -> str:
    """Return what to write for the unknown key at *loc*; "" for what nobody knows from anywhere."""
    key = str(loc[-1])
    match loc[:-1]:
        case ():
            return _TOP.get(key, "")
        case ("login",) if key in ("file", "htpasswd", "database", "callout", "users"):
            return f"write verify: {{{'file' if key == 'users' else key}: …}}"
        case ("upstreams", _) if key in ("url", "address", "host"):
            return "write targets: [URL], or the URL itself in the place of these keys"
        case ("roles", _) if key in ("inherits", "extends", "parents", "children"):
            return "write includes: [...], the roles that this one has as well"
        case ("routes" | "defaults", *_):
            return _OF_RULES.get(key, "")
    return ""


def shape_instead(loc: Loc) -> str:
    """Return how the value at *loc*, which has the wrong shape, is written; "" for what says so by itself."""
    match loc:
        case ("routes",):
            return "each begins with a dash: - {path: /orders, to: NAME}"
        case ("roles",):
            return "each has keys of its own: {user: {}, admin: {includes: [user]}}"
        case ("upstreams",):
            return "each has a name: {orders: http://orders:8000}"
        case ("login",):
            return "write {verify: {file: users.yaml}}"
        case ("rules",):
            return "each has a name: {own_tenant: {where: {path.tenant: claim.tenant}}}"
        case (*_, "any_of") | (*_, "any_of", int()):
            return "write a list of keys: [{roles: [admin]}, {scopes: [emergency]}]"
        case (*_, "shadow"):
            return "write the keys that it would have: {roles: [admin]}"
        case (*_, "claims"):
            return "write each with its value: {plan: pro}"
        case (*_, "where"):
            return "write {path.NAME: claim.NAME}"
    return ""
