"""Names in the file that end up in requests, URLs and keys, and those that are taken."""

import re

from gateway.config.faults import Wrong
from gateway.routing.route import BUILTIN
from gateway.routing.template import Kind, parse
from gateway.sessions.address import BadAddress
from gateway.sessions.address import parse as parse_store

# Ends at the next hop (RFC 9110 section 7.6.1), or frames and describes the message (RFC 9112 section 6).
_HOP_BY_HOP = frozenset(
    {
        *("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
        *("content-length", "content-encoding", "content-type", "host", "expect"),
    }
)
# Clients, the gateway or the proxies around it say something else with these.
_TAKEN = frozenset(
    {
        *("authorization", "cookie", "set-cookie", "forwarded", "via", "x-real-ip", "x-request-id", "x-csrf-token"),
        *("date", "range", "if-range", "origin", "referer"),
        *("x-http-method-override", "x-original-url", "x-rewrite-url"),
    }
)
_TAKEN_PREFIXES = ("x-forwarded-", "x-gateway-", "sec-", "access-control-", "proxy-")


def header_name(value: str) -> str:
    """Return *value* when upstreams can be given an identity by this header."""
    if re.fullmatch(r"[A-Za-z0-9-]{1,64}", value) is None:
        # Servers that follow CGI read "_" and "-" as one, so a client could speak under the other spelling.
        hint = f"write {value.replace('_', '-')}" if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", value) else ""
        raise Wrong(f'"{value}" is no name for an identity header: letters, digits and "-"', hint)
    lower = value.lower()
    if lower in _HOP_BY_HOP:
        raise Wrong(f"{value} belongs to the connection or frames the message", "choose a name like X-User-Id")
    if lower in _TAKEN or lower.startswith(_TAKEN_PREFIXES):
        raise Wrong(f"{value} has a meaning of its own in front of an upstream", "choose a name like X-User-Id")
    return value


# Read or set by the gateway itself, so that no service sees a client's own. A test holds them to `proxy.names`.
_STOPPED = frozenset(
    {
        *("authorization", "cookie", "host", "content-length", "expect", "connection", "keep-alive", "te", "trailer"),
        *("transfer-encoding", "upgrade", "http2-settings", "proxy-connection", "proxy-authorization"),
        *("proxy-authenticate", "proxy-authentication-info", "forwarded", "true-client-ip", "x-user-issuer"),
        *("x-real-ip", "x-client-ip", "x-original-url", "x-original-uri", "x-original-method", "x-rewrite-url"),
        *("x-http-method", "x-http-method-override", "x-method-override", "x-request-id"),
        *("x-gateway-error", "x-gateway-decision"),
        *(
            f"x-forwarded-{what}"
            for what in ("for", "host", "port", "prefix", "proto", "scheme", "server", "ssl", "uri")
        ),
        *(
            f"x-forwarded-{what}"
            for what in ("method", "user", "email", "groups", "preferred-username", "access-token")
        ),
    }
)


def passed_header(value: str) -> str:
    """Return *value* when clients can send a header of this name, and services see it."""
    if re.fullmatch(r"[A-Za-z0-9-]{1,64}", value) is None:
        hint = f"write {value.replace('_', '-')}" if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", value) else ""
        raise Wrong(f'"{value}" is no name of a header that passes: letters, digits and "-"', hint)
    if value.lower() in _STOPPED:
        raise Wrong(f"{value} stops at the gateway, whatever a client sends", "choose another header")
    return value


_VALUES = ("sub", "username", "roles", "permissions", "scope", "sid", "jti", "tenant", "iss")


def header_value(value: str) -> str:
    """Return *value* when it names a claim: one of ours, or the path of one like ``org.slug``."""
    if re.fullmatch(r"[A-Za-z0-9_:/-]+(\.[A-Za-z0-9_:/-]+)*", value) is None:
        raise Wrong(f'"{value}" names no claim', f"write one of {', '.join(_VALUES)}, or a claim like org.slug")
    return value


def role_name(value: str) -> str:
    """Return *value* when it can stand in a comma-separated header."""
    if "," in value or len(value) > 255:
        raise Wrong("a role is at most 255 characters and has no comma, because roles are comma-joined for upstreams")
    return value


def rule_name(value: str) -> str:
    """Return *value* when explanations can hold it."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", value) is None:
        raise Wrong(f'"{value}" is no name for a rule: letters, digits, "-", "_" and "."')
    return value


def upstream_name(value: str) -> str:
    """Return *value* when logs and metrics can hold it and it is not taken."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", value) is None:
        raise Wrong(f'"{value}" is no name for an upstream: letters, digits, "-", "_" and "."')
    if value == BUILTIN:
        raise Wrong(f'"{BUILTIN}" is the gateway itself', "choose another name")
    return value


def issuer_name(value: str) -> str:
    """Return *value* when identifiers of a trusted issuer can begin with it: ``legacy:9f2c…``."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}", value) is None:
        raise Wrong(f'"{value}" is no name for an issuer: at most 32 letters, digits, "-", "_" and "."')
    return value


def base_path(value: str) -> str:
    """Return *value* when the gateway's own endpoints can live below it."""
    try:
        segments = parse(value)
    except ValueError as error:
        raise Wrong(str(error)) from error
    if not segments or any(segment.kind is not Kind.LITERAL for segment in segments) or not value.isascii():
        raise Wrong("the gateway's own endpoints need a plain path of their own", "write it like /auth")
    if value.endswith("/"):
        raise Wrong("a base path ends without a slash", f"write {value.rstrip('/')}")
    if re.fullmatch(r"[A-Za-z0-9/._-]+", value) is None:
        raise Wrong("a base path is made of letters, digits, '-', '_' and '.'", "write it like /auth")
    return value


def issuer(value: str) -> str:
    """Return *value* when it can be an issuer: a plain name, or a URL without query (RFC 8414 section 2)."""
    if "://" in value and not re.fullmatch(r"https?://[^?#\s]+", value):
        raise Wrong("an issuer is a URL without query and fragment", "write it like https://api.example.com")
    return value


def store_url(value: str) -> str:
    """Return *value* when a store can be reached by it. It may hold a password, so no message repeats it."""
    if value != "embedded":
        try:
            parse_store(value)
        except BadAddress as error:
            raise Wrong(error.reason, error.hint) from None
    return value
