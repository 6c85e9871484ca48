"""The shop (see `__init__`) as a bare ASGI application, for uvicorn."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from tests.journeys.shop.goods import COOKIES, LINES, LOCATION, PAGE

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Fields = list[tuple[bytes, bytes]]

TAG = b'"the-only-version"'
_files: dict[str, bytes] = {}


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """Serve one request."""
    assert scope["type"] == "http"
    given: dict[bytes, bytes] = dict(scope["headers"])
    what, _, name = scope["path"].removeprefix("/uvicorn/").partition("/")
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    if what == "lines":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"Content-Type", b"text/plain")]})
        for line in LINES:
            await send({"type": "http.response.body", "body": line, "more_body": True})
        await send({"type": "http.response.body"})
        return
    status, fields, content = _answer(scope, given, what, name, body)
    if status not in (204, 304):
        fields += [(b"Content-Type", b"text/plain"), (b"Content-Length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": content})


def _answer(scope: Message, given: dict[bytes, bytes], what: str, name: str, body: bytes) -> tuple[int, Fields, bytes]:
    match what, scope["method"]:
        case "echo", method:
            target: bytes = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
            told = {
                b"X-Method": method.encode(),
                b"X-Target": target,
                b"X-Host": given.get(b"host", b""),
                b"X-User": given.get(b"x-user-id", b""),
                b"X-Token": given.get(b"authorization", b""),
                b"X-Long": given.get(b"x-long", b""),
                b"X-Framing": given.get(b"transfer-encoding", given.get(b"content-length", b"")),
            }
            return 200, [(field, value) for field, value in told.items() if value], body
        case "empty", _:
            return 204, [], b""
        case "page", _ if given.get(b"if-none-match") == TAG:
            return 304, [(b"ETag", TAG)], b""
        case "page", _:
            return 200, [(b"ETag", TAG)], PAGE
        case "moved", _:
            return 302, [(b"Location", LOCATION.encode())], b"over there\n"
        case "moved-here", _:
            return 308, [(b"Location", b"page?again=1")], b""
        case "cookies", _:
            return 200, [(b"Set-Cookie", cookie.encode()) for cookie in COOKIES], b"cookies\n"
        case "broken", _:
            return 503, [(b"Retry-After", b"7")], b"out of order\n"
        case "files", "PUT":
            status = 204 if name in _files else 201
            _files[name] = body
            return status, [], b""
        case "files", "DELETE" if name in _files:
            del _files[name]
            return 204, [], b""
        case "files", "GET" | "HEAD" if name in _files:
            return 200, [], _files[name]
        case _:
            return 404, [], b"no such thing\n"
