"""An identity as header lines for the upstream, rendered once per verified token.

A value that could break a header or be read as two is made harmless here, whoever issued the token: what is not
printable ASCII is percent-encoded as UTF-8, and so is a comma inside a list's member.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import quote

from gateway.paths import reached, steps
from gateway.tokens.verify import Identity

# Printable ASCII without the percent sign, which must stay the sign of an escape.
_PLAIN = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")
_MEMBER = _PLAIN.replace(",", "")

# What most identifiers and roles are made of, and never needs an escape.
_HARMLESS = re.compile(r"[A-Za-z0-9._:@/-]*", re.ASCII).fullmatch

_KNOWN: dict[str, Callable[[Identity], str | Iterable[str] | None]] = {
    "sub": lambda identity: identity.subject,
    # A trusted issuer's token may belong to no session of its own ("name:"), and have no identifier.
    "sid": lambda identity: None if identity.session.endswith(":") else identity.session,
    "jti": lambda identity: identity.token_id or None,
    "iss": lambda identity: identity.issuer,
    "client_id": lambda identity: identity.client,
    "username": lambda identity: _text_only(identity.claims.get("username")),
    "tenant": lambda identity: identity.tenant,
    "roles": lambda identity: sorted(identity.roles),
    "permissions": lambda identity: sorted(identity.permissions),
    "scope": lambda identity: " ".join(sorted(identity.scopes)),
}


def renderer(headers: Mapping[str, str]) -> Callable[[Identity], bytes]:
    """Return a function that renders an identity as the lines *headers* ask for: header name to claim.

    A claim is one of the usual names or a path into the token's claims (`steps`). A claim that is missing, or is an
    object, yields no line.
    """
    lines = [(name, _KNOWN.get(claim) or _path(claim)) for name, claim in headers.items()]

    def render(identity: Identity) -> bytes:
        rendered = []
        for name, find in lines:
            value = find(identity)
            if value is None:
                continue
            text = _escaped(value, _PLAIN) if isinstance(value, str) else ",".join(_escaped(v, _MEMBER) for v in value)
            rendered.append(f"{name}: {text.strip()}\r\n")
        return "".join(rendered).encode("ascii")

    return render


def _escaped(value: str, safe: str) -> str:
    return value if _HARMLESS(value) else quote(value, safe=safe)


def _path(claim: str) -> Callable[[Identity], str | list[str] | None]:
    path = steps(claim)

    def find(identity: Identity) -> str | list[str] | None:
        return _text(reached(identity.claims, path))

    return find


def _text_only(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _text(value: object) -> str | list[str] | None:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case int() | float():
            return str(value)
        case list() | tuple():
            members = [_text(member) for member in value]
            return [member for member in members if isinstance(member, str)]
        case _:
            return None
