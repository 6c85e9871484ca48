"""Addresses in the file: where to listen, which networks to trust, and how the world calls this site."""

import ipaddress
import re
from typing import Annotated, NamedTuple
from urllib.parse import urlsplit

from pydantic import PlainSerializer, PlainValidator

from gateway.config.faults import Wrong
from gateway.config.values import schema_of, text
from gateway.routing.host import normal_host


class Address(NamedTuple):
    """Where to listen."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def _address(value: object) -> Address:
    if isinstance(value, Address):
        return value
    if isinstance(value, int):
        raise Wrong("an address to listen on is needed, not a port alone", f"write 127.0.0.1:{value}")
    written = text(value)
    host, colon, port = written.rpartition(":")
    if not colon or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise Wrong(f'"{written}" has no port to listen on', "write it like 127.0.0.1:8080")
    if host in ("", "*"):
        raise Wrong("the address is missing", f"write 127.0.0.1:{port}, or 0.0.0.0:{port} for all networks")
    bare = host.removeprefix("[").removesuffix("]")
    try:
        if host == bare and ":" in host:
            raise Wrong("an IPv6 address needs brackets", f"write [{host}]:{port}")
        return Address(str(ipaddress.ip_address(bare)), int(port))
    except Wrong:
        raise
    except ValueError as error:
        if host != bare or normal_host(host.encode()) is None:
            raise Wrong(f'"{host}" is no address', "write it like 127.0.0.1:8080") from error
        return Address(host.lower(), int(port))


def _network(value: object) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    written = text(value)
    try:
        return ipaddress.ip_network(written)
    except ValueError as error:
        try:
            loose = ipaddress.ip_network(written, strict=False)
        except ValueError:
            raise Wrong(f'"{written}" is no network', "write it like 10.0.0.0/8 or 2001:db8::/32") from error
        raise Wrong(
            f'"{written}" has bits behind its prefix', f"write {loose}, or a single address without /"
        ) from error


def origin(value: object) -> str:
    """Return the one spelling of a site's origin (RFC 6454 section 6.2)."""
    written = text(value)
    if written == "null":
        raise Wrong(
            '"null" is no origin: every sandboxed frame and every saved page says it, whoever made it',
            "serve the page from a site of its own",
        )
    try:
        url = urlsplit(written)
        port = url.port
    except ValueError as error:
        raise Wrong(f'"{written}" is no URL') from error
    if url.scheme not in ("http", "https") or not url.hostname:
        raise Wrong(f'"{written}" is not the URL of a site', "write it like https://api.example.com")
    if url.path not in ("", "/") or url.query or url.fragment or url.username is not None:
        raise Wrong("only scheme, host and port belong here", f"write {url.scheme}://{url.netloc.rpartition('@')[2]}")
    if "*" in url.netloc:
        raise Wrong("there are no patterns here: a name that somebody else may get would count, too", "name each site")
    host = normal_host(url.netloc.encode("ascii", "replace"))
    if host is None or port == 0:
        raise Wrong(f'"{url.netloc}" is no host', "write it like https://api.example.com")
    default = {"http": 80, "https": 443}[url.scheme]
    name = url.hostname.rstrip(".").lower()
    name = f"[{name}]" if ":" in name else name
    return f"{url.scheme}://{name}" + (f":{port}" if port not in (None, default) else "")


Listen = Annotated[
    Address, PlainValidator(_address), PlainSerializer(str), schema_of("Where to listen", "127.0.0.1:8080")
]
Network = Annotated[
    ipaddress.IPv4Network | ipaddress.IPv6Network,
    PlainValidator(_network),
    PlainSerializer(str),
    schema_of("A network", "10.0.0.0/8"),
]
Origin = Annotated[str, PlainValidator(origin), schema_of("A site", "https://api.example.com")]
OriginOrAny = Annotated[
    str,
    PlainValidator(lambda value: value if value == "*" else origin(value)),
    schema_of('A site, or "*" for all', "https://app.example.com"),
]
