"""One spelling for every host name, so that two spellings never reach two different rules.

Lower case, without the trailing dot and without the default port (CVE-2021-39155: a route for ``admin.example`` must
not be missed by ``Admin.Example.:443``). Anything that is not plainly a host, or a host and a port, has no spelling.
"""

import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address

# Underscores are no host name by RFC 1123, but container networks are full of them.
_NAME = re.compile(rb"(?=.{1,253}(?::|\Z))([a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*)\.?(?::([1-9][0-9]{0,4}))?")
_LITERAL = re.compile(rb"\[([0-9a-f:.]{2,45})\](?::([1-9][0-9]{0,4}))?")
_DEFAULT_PORTS = (b"80", b"443")

# A name of 253 bytes, its dot, and a port.
_LONGEST = 260


def normal_host(value: bytes) -> bytes | None:
    """Return the one spelling of the Host header or authority *value*, or None when it is no host.

    None for: nothing, userinfo, a port that is none, unbalanced or scoped IPv6, non-ASCII, comma, space, slash.
    """
    return _normal_host(value) if len(value) <= _LONGEST else None


@lru_cache(maxsize=1024)
def _normal_host(value: bytes) -> bytes | None:
    lowered = value.lower()
    if name := _NAME.fullmatch(lowered):
        return _with_port(name[1], name[2])
    if literal := _LITERAL.fullmatch(lowered):
        try:
            address = IPv6Address(literal[1].decode())
        except AddressValueError:
            return None
        return _with_port(b"[%s]" % address.compressed.encode(), literal[2])
    return None


def _with_port(host: bytes, port: bytes | None) -> bytes | None:
    if port is None or port in _DEFAULT_PORTS:
        return host
    return b"%s:%s" % (host, port) if int(port) <= 65535 else None


def without_port(host: bytes) -> bytes:
    """Return *host*, a result of `normal_host`, without its port: routes name hosts, listeners own ports."""
    name, colon, _ = host.rpartition(b":")
    return name if colon and not host.endswith(b"]") else host
