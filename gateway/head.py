"""The head of one request, as the gate and the forwarding engine see it: read once, by one parser.

A head is a request line and a block of fields. A client that keeps its connection sends the same block, byte for byte,
with nearly every request, so a block that has been read is kept and what was learned from it is reused; `Fields` is
therefore apart from the line. Names are RFC 9110's.
"""

from copy import copy
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from gateway.errors import Refusal


class Peer(NamedTuple):
    """Who is at the other end of a downstream connection."""

    address: str
    """Address of the TCP peer, or of the client behind a trusted proxy; "" for a unix socket."""
    secure: bool
    """The client's own connection uses TLS (ours, or as a trusted proxy reports)."""


class Credentials(NamedTuple):
    """What a block of fields carries of credentials, taken apart by the gate."""

    token: bytes | None
    """The bearer token, else the access cookie's value."""
    by_cookie: bool
    cookie_token: bytes | None
    """The access cookie's value when a bearer token came beside it."""
    cookie: bytes
    """The client's cookies without the gateway's own; b"" when none are left."""


class Renewal(NamedTuple):
    """What became of a silent refresh: the request goes on with what it gave."""

    token: bytes | None = None
    """The new access token; None when there is none."""
    lines: bytes = b""
    """Header lines for the answer, whatever it will be: the new cookies, or the end of the old ones."""
    unavailable: "Refusal | None" = None
    """Why nobody could say: nothing was lost, and the request may go on with what it had."""


class Fields:
    """A block of header fields. Filled by `proxy.request`; a value afterwards.

    Everything that decides (host, credentials, framing) has an attribute of its own; everything else is already
    rendered in `passed` for the upstream.
    """

    __slots__ = (
        "authorization",
        "chunked",
        "close",
        "cookie",
        "credentials",
        "expect_continue",
        "forwarded_for",
        "forwarded_proto",
        "host",
        "length",
        "limits",
        "named",
        "origins",
        "passed",
        "relayed",
        "renewal",
        "request_id",
        "upgrade",
    )

    def __init__(self) -> None:
        self.host = b""
        """Host in normal form: lower case, no default port; b"" only for HTTP/1.0 without one."""
        self.authorization: bytes | None = None
        self.cookie: bytes | None = None
        self.length = 0
        """Content-Length; 0 when there is none."""
        self.chunked = False
        self.expect_continue = False
        self.upgrade: bytes | None = None
        """The Upgrade field, lower case, when Connection names it too."""
        self.close = False
        """The client asks for the connection to be closed after the answer."""
        self.forwarded_for: bytes | None = None
        self.forwarded_proto: bytes | None = None
        self.relayed = False
        """One of the two is there: who the client is has to be asked anew (`proxy.forwarded`)."""
        self.request_id: bytes | None = None
        self.named: tuple[bytes, ...] = ()
        """Lower-case field names that Connection nominated, beside the usual options."""
        self.passed = b""
        """The fields that go on to the upstream, in order, each ended by CRLF."""
        self.credentials: Credentials | None = None
        """The gate's own note; None until it has looked."""
        self.origins: list[bytes] | None = None
        """Every Origin field; None until `origin` was asked for."""
        self.limits: dict[str, Any] | None = None
        """What limits have read of it, by their names."""
        self.renewal: Renewal | None = None
        """What a silent refresh gave; only in a copy that is made for one request."""

    @property
    def origin(self) -> bytes | None:
        """The origin of the page that asks, or None; several are one that nobody has."""
        found = self.origins
        if found is None:
            found = self.origins = self.fields(b"origin")
        return (found[0] if len(found) == 1 else b", ".join(found)) if found else None

    def renewed(self, renewal: Renewal) -> "Fields":
        """Return a copy for one request, to be judged by what *renewal* gave."""
        made = copy(self)
        made.renewal = renewal
        if renewal.token is not None and self.credentials is not None:
            made.credentials = self.credentials._replace(token=renewal.token, by_cookie=True, cookie_token=None)
        return made

    def field(self, name: bytes) -> bytes | None:
        """Return the passed field called *name* (lower case), or None; a scan, for the rare questions.

        One that came more than once is one list (RFC 9110 section 5.3), so who asks sees every value or none.
        """
        found = self.fields(name)
        return b", ".join(found) if found else None

    def fields(self, name: bytes) -> list[bytes]:
        """Return the values of every passed field called *name* (lower case)."""
        if b"\r\n%b:" % name not in b"\r\n" + self.passed.lower():
            return []
        return [
            value.strip(b" \t")
            for key, _, value in (line.partition(b":") for line in self.passed.split(b"\r\n"))
            if key.lower() == name
        ]


class RequestHead(NamedTuple):
    """A request line, its fields, and who sent them."""

    method: bytes
    target: bytes
    """The request target exactly as sent (RFC 9112 section 3.2)."""
    minor: int
    """Minor HTTP version: 0 or 1."""
    fields: Fields
    peer: Peer
