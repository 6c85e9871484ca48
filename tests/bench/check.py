"""Does a proxy enforce at all? Asked before anything is measured; a figure without this is worth nothing."""

import http.client
import ssl
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tests.bench.scenarios import Call
from tests.bench.tokens import Mint
from tests.bench.upstream import SIZES, SMALL_BYTES

_GOOD = frozenset({200})
_UNKNOWN = frozenset({401})
_FORBIDDEN = frozenset({401, 403})


class Answer(NamedTuple):
    status: int
    length: int


def ask(port: int, call: Call, token: str | None, *, tls: bool) -> Answer:
    """Send one request on a connection of its own."""
    connection = (
        http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=trusting())
        if tls
        else http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    )
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        connection.request(call.method, call.path, body=b"x" * call.body if call.body else None, headers=headers)
        answer = connection.getresponse()
        return Answer(answer.status, len(answer.read()))
    finally:
        connection.close()


def trusting() -> ssl.SSLContext:
    """A context that takes the run's self-signed certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def faults(port: int, calls: Sequence[Call], mint: Mint, *, tls: bool, enforces: bool) -> list[str]:
    """What the proxy at *port* gets wrong; empty when it may be measured."""
    found = []
    for call in calls:
        answer = ask(port, call, mint.token(), tls=tls)
        wanted = SIZES.get(call.path, SMALL_BYTES)
        if answer.status not in _GOOD or answer.length != wanted:
            found.append(f"{call.method} {call.path} with a good token: {answer.status}, {answer.length} bytes")
    for what, token, allowed in _attempts(mint) if enforces else ():
        status = ask(port, calls[0], token, tls=tls).status
        if status not in allowed:
            found.append(f"{what}: {status}")
    return found


def _attempts(mint: Mint) -> Iterator[tuple[str, str | None, frozenset[int]]]:
    yield "no token", None, _UNKNOWN
    yield "a token without the role", mint.token(roles=("guest",)), _FORBIDDEN
    yield "a token with a wrong signature", mint.forged(), _UNKNOWN
    yield "a token that has expired", mint.token(lifetime=-600), _UNKNOWN
    yield "a token without a signature", mint.unsigned(), _UNKNOWN
    if mint.alg != "HS256":
        yield "a token signed with the public key as HMAC secret", mint.confused(), _UNKNOWN
