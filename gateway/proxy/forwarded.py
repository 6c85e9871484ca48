"""Who the client is, and what upstreams are told about it (X-Forwarded-*).

Nobody is believed unless its address is in `trusted_proxies`; then the rightmost address that is not a trusted proxy
is the client (identity.md 4, 66). The fields themselves are always written anew.
"""

import re
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import NamedTuple

from gateway.head import Fields, Peer

_WITH_PORT = re.compile(r"([0-9.]+):[0-9]{1,5}|\[([0-9A-Fa-f:.]+)\](?::[0-9]{1,5})?")


class Forwarded(NamedTuple):
    """The client as seen through trusted proxies, and the fields for the upstream."""

    peer: Peer
    lines: bytes


def is_trusted(address: str, trusted: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    """Whether *address* lies in one of the *trusted* networks; what is not an address never does."""
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    return any(ip in network for network in trusted if network.version == ip.version)


def forwarded(fields: Fields, peer: Peer, trusted: tuple[IPv4Network | IPv6Network, ...]) -> Forwarded:
    """Return who the client behind *fields* is, which came from *peer*, and the forwarding fields to send on."""
    chain: list[str] = []
    secure = peer.secure
    if trusted and is_trusted(peer.address, trusted):
        if fields.forwarded_for is not None:
            chain = [part.strip() for part in fields.forwarded_for.decode("latin-1").split(",")]
        if fields.forwarded_proto is not None:
            secure = fields.forwarded_proto.strip().lower() == b"https"
    client = peer.address
    kept: list[str] = []
    for entry in reversed(chain):
        address = _address(entry)
        if address is None:
            break  # what stands left of a broken entry is hearsay
        kept.insert(0, address)
        client = address
        if not is_trusted(address, trusted):
            break
    lines = f"X-Forwarded-For: {', '.join([*kept, peer.address])}\r\n" if peer.address else ""
    lines += f"X-Forwarded-Proto: {'https' if secure else 'http'}\r\n"
    text = lines.encode("latin-1")
    if fields.host:
        text += b"X-Forwarded-Host: " + fields.host + b"\r\n"
    return Forwarded(Peer(client, secure), text)


def _address(entry: str) -> str | None:
    """Return the address in *entry*, which some proxies write with brackets and port; None when there is none."""
    with_port = _WITH_PORT.fullmatch(entry)
    address = entry if with_port is None else with_port[1] or with_port[2]
    try:
        ip_address(address)
    except ValueError:
        return None
    return address
