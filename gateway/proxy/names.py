"""Header field names: which go on, which stop here, and which must be understood.

What to do with a field depends on its name alone, so each spelling of a name is judged once and remembered.

Source: RFC 9110 section 7.6.1 (connection options); the rest are the bypasses of fifteen years.
"""

from collections.abc import Callable, Iterable

PASS, DROP, HOST, AUTHORIZATION, COOKIE, LENGTH, CODING, CONNECTION, EXPECT, UPGRADE, FOR, PROTO, REQUEST_ID, MARK = (
    range(14)
)

# Meant for the next hop only (RFC 9110 section 7.6.1); proxy-connection is not standard but libcurl sends it,
# http2-settings belongs to the h2c upgrade, which we never make.
HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authorization",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
    )
)

# Claims about the request that only a proxy may make; ours are written anew, the rest would be a client's invention.
# x-original-url and friends have bypassed policies elsewhere (safety.md C5, C6, B24).
FORWARDED = frozenset(
    (
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-prefix",
        b"x-forwarded-proto",
        b"x-forwarded-scheme",
        b"x-forwarded-server",
        b"x-forwarded-ssl",
        b"x-forwarded-uri",
        b"x-forwarded-method",
        b"x-forwarded-user",
        b"x-forwarded-email",
        b"x-forwarded-groups",
        b"x-forwarded-preferred-username",
        b"x-forwarded-access-token",
        b"x-real-ip",
        b"x-client-ip",
        b"true-client-ip",
        b"x-original-url",
        b"x-original-uri",
        b"x-original-method",
        b"x-rewrite-url",
        b"x-http-method",
        b"x-http-method-override",
        b"x-method-override",
        b"x-request-id",
        b"x-gateway-error",
        b"x-gateway-decision",
        b"x-user-issuer",
    )
)

_READ = {
    b"host": HOST,
    b"authorization": AUTHORIZATION,
    b"cookie": COOKIE,
    b"content-length": LENGTH,
    b"transfer-encoding": CODING,
    b"connection": CONNECTION,
    b"expect": EXPECT,
    b"upgrade": UPGRADE,
    b"x-forwarded-for": FOR,
    b"x-forwarded-proto": PROTO,
    b"x-request-id": REQUEST_ID,
}

_REMEMBERED = 1024
"""Spellings remembered per table: a client may send any number of names, the table must not grow with them."""
_MEMORABLE = 260
"""Bytes of a spelling worth remembering: a name or a host of any sense is shorter."""


def folded(name: bytes) -> bytes:
    """Return *name* as CGI-style servers confuse it: lower case, with `_` and `.` read as `-`."""
    return name.lower().replace(b"_", b"-").replace(b".", b"-")


class FieldKinds(dict[bytes, int]):
    """What is to be done with a request field, by exact spelling; fills itself on first sight.

    *managed* are the names the gateway sets itself for upstreams: a client's copy is dropped in every spelling, on
    every route (`X_User_Id` and `X.User.Id` have beaten other gateways).
    """

    def __init__(self, managed: Iterable[bytes] = ()) -> None:
        super().__init__()
        self._ours = {folded(name) for name in managed} | FORWARDED | HOP_BY_HOP | _READ.keys()
        self.underscored = 0
        """Fields dropped for an underscore in their name, counted on first sight of each spelling."""

    def __missing__(self, name: bytes) -> int:
        kind = self._judge(name)
        if len(self) < _REMEMBERED and len(name) <= _MEMORABLE:
            self[name] = kind
        return kind

    def _judge(self, name: bytes) -> int:
        low = name.lower()
        if low in _READ:
            return _READ[low]
        if folded(name) in self._ours:
            return DROP
        if b"_" in name:
            self.underscored += 1
            return DROP
        return PASS


class HostForms(dict[bytes, bytes | None]):
    """Normal forms of Host values by what was sent; fills itself on first sight, bounded."""

    def __init__(self, normal: Callable[[bytes], bytes | None]) -> None:
        super().__init__()
        self._normal = normal

    def __missing__(self, value: bytes) -> bytes | None:
        form = self._normal(value)
        if len(self) < _REMEMBERED and len(value) <= _MEMORABLE:
            self[value] = form
        return form


_ANSWER_READ = {
    b"content-length": LENGTH,
    b"transfer-encoding": CODING,
    b"connection": CONNECTION,
    b"set-cookie": COOKIE,
    b"upgrade": UPGRADE,
    b"x-gateway-error": MARK,
}
_ANSWER_OURS = frozenset((b"x-gateway-decision", b"x-request-id"))
# What a service runs on is nobody's business out there (safety.md C13).
_ANSWER_INTERNAL = frozenset((b"server", b"x-powered-by"))
_ANSWER_DROPPED = HOP_BY_HOP | _ANSWER_OURS | _ANSWER_INTERNAL


class AnswerKinds(dict[bytes, int]):
    """What is to be done with an answer's field, by exact spelling.

    The gateway's own marks, hop-by-hop fields and what tells about the service's insides are dropped from upstreams
    (ARCHITECTURE 8.18); Set-Cookie is looked at, so that no upstream plants a cookie of the gateway's name.
    """

    def __missing__(self, name: bytes) -> int:
        low = name.lower()
        kind = _ANSWER_READ.get(low, DROP if low in _ANSWER_DROPPED else PASS)
        if len(self) < _REMEMBERED and len(name) <= _MEMORABLE:
            self[name] = kind
        return kind
