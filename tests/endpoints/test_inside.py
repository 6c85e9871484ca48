"""The way in from inside the process: a socket pair, and a record beside it."""

import asyncio
import socket

from aiohttp import web

from gateway.endpoints.answers import guard
from gateway.endpoints.facts import FACTS
from gateway.endpoints.inside import Doorkeeper, Inside
from gateway.errors import Refused, refuse


async def test_what_is_known_goes_in_beside_the_bytes_and_what_is_learnt_comes_out() -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        facts = request[FACTS]
        facts.subject = "alice"
        if "fail" in request.query:
            raise Refused(refuse("csrf_failed", "cookie"))
        return web.json_response({"address": facts.client_address, "secure": facts.secure})

    door = Doorkeeper()
    app = web.Application(middlewares=[guard(door.facts_of, lambda _id, _error: None)])
    app.router.add_get("/x", handle)
    await door.open(web.AppRunner(app, access_log=None))
    ours, theirs = socket.socketpair()
    inside = Inside()
    await asyncio.get_running_loop().connect_accepted_socket(lambda: door.serve(inside), theirs)
    reader, writer = await asyncio.open_connection(sock=ours)
    try:
        inside.introduce("req-1", "192.0.2.7", True)
        writer.write(b"GET /x HTTP/1.1\r\nHost: gw\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readuntil(b"}")
        assert b"X-Request-Id: req-1\r\n" in head
        assert body == b'{"address": "192.0.2.7", "secure": true}'
        assert inside.told() == ("alice", "", "")

        inside.introduce("req-2", "", False)
        writer.write(b"GET /x?fail HTTP/1.1\r\nHost: gw\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 403 ")
        assert inside.told() == ("alice", "csrf_failed", "cookie")
    finally:
        writer.close()
        await writer.wait_closed()
        await door.close()
