"""The opening handshake of a WebSocket, as far as a gateway must understand it (RFC 6455 sections 1.3 and 4).

A browser cannot set Authorization on a WebSocket, but it can offer subprotocols; where a route allows it, the pair
`bearer, <token>` among them carries the token. It is taken out before the upstream sees the offer.
"""

import base64
import binascii
import hashlib
from typing import NamedTuple

from gateway.errors import Refusal, refuse
from gateway.head import Fields

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
_PROTOCOLS = b"sec-websocket-protocol"


class Handshake(NamedTuple):
    """A client's wish to speak WebSocket, well formed."""

    accept: bytes
    """What the upstream must answer in Sec-WebSocket-Accept."""
    origin: bytes | None
    """Origin, lower case; None when the client is no browser."""
    token: bytes | None
    """The token offered as a subprotocol."""
    protocols: bytes
    """The other offered subprotocols, comma-separated; b"" for none."""


def read_handshake(fields: Fields, method: bytes) -> Handshake | Refusal:
    """Read the handshake among *fields*, whose Upgrade is websocket, or say what is wrong with it."""
    if method != b"GET":
        return refuse("bad_request", "websocket_method")
    if fields.fields(b"sec-websocket-version") != [b"13"]:
        return refuse("upgrade_required", "websocket_version")
    keys = fields.fields(b"sec-websocket-key")
    if len(keys) != 1 or not _is_key(keys[0]):
        return refuse("bad_request", "websocket_key")
    origins = fields.fields(b"origin")
    if len(origins) > 1:
        return refuse("bad_request", "origin_repeated")
    offered = [name.strip(b" \t") for value in fields.fields(_PROTOCOLS) for name in value.split(b",")]
    token = None
    if b"bearer" in offered:
        at = offered.index(b"bearer")
        if at + 1 >= len(offered) or offered.count(b"bearer") > 1:
            return refuse("bad_request", "subprotocol_token")
        token = offered[at + 1]
        del offered[at : at + 2]
    accept = base64.b64encode(hashlib.sha1(keys[0] + _GUID).digest())  # noqa: S324 - RFC 6455 asks for SHA-1
    return Handshake(accept, origins[0].lower() if origins else None, token, b", ".join(offered))


def without_protocols(passed: bytes) -> bytes:
    """Return the rendered fields *passed* less the offered subprotocols."""
    lines = passed.split(b"\r\n")
    return b"\r\n".join(line for line in lines if line.partition(b":")[0].lower() != _PROTOCOLS)


def _is_key(key: bytes) -> bool:
    try:
        return len(key) == 24 and len(base64.b64decode(key, validate=True)) == 16
    except binascii.Error:
        return False
