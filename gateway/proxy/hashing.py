"""What `balance: hash` goes by: a header, a cookie or a claim of the request."""

from collections.abc import Callable, Mapping

from gateway.proxy.exchange import Exchange


def hash_key(written: str | None) -> Callable[[Exchange], bytes]:
    """Return a function that finds the key *written* names (`header:X`, `cookie:n`, `claim:sub`) in a request.

    A request without it hashes by its client's address, so that it still comes to the same target.
    """
    kind, _, name = (written or "").partition(":")
    if kind == "header":
        wanted = name.lower().encode()
        return lambda exchange: exchange.head.fields.field(wanted) or _address(exchange)
    if kind == "cookie":
        return lambda exchange: _cookie(exchange, name.encode()) or _address(exchange)
    if kind == "claim":
        return lambda exchange: _claim(exchange, name) or _address(exchange)
    return _address


def _address(exchange: Exchange) -> bytes:
    return exchange.head.peer.address.encode()


def _cookie(exchange: Exchange, name: bytes) -> bytes | None:
    for pair in exchange.permit.cookie.split(b";"):
        key, _, value = pair.strip().partition(b"=")
        if key == name:
            return value
    return None


def _claim(exchange: Exchange, name: str) -> bytes | None:
    verified = exchange.permit.verified
    if verified is None:
        return None
    value: object = verified.identity.claims
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return str(value).encode() if isinstance(value, str | int) else None
