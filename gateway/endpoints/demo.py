"""A service to put behind the gateway while trying it out: it tells what reached it.

    python -m gateway.endpoints.demo --port 9000

Any path answers with the request as JSON, so that one sees what the gateway took away and what it added. Beside that:
`/slow?ms=500`, `/status/503`, `/bytes/1000000` (streamed), `/sse?events=5&ms=100` (0 events: for ever), `/ws` (echo).
"""

import argparse
import asyncio
import ctypes
import os
import signal
import socket
import sys
from collections.abc import Sequence

from aiohttp import WSMsgType, hdrs, web

MAX_BODY = 64 * 1024 * 1024
"""Bytes; the demo counts bodies, it does not keep them."""
_SHOWN = 4096
"""Bytes of a text body that are echoed."""
_PIECE = b"0123456789abcdef" * 4096
_PARENT_POLL = 1.0
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


async def echo(request: web.Request) -> web.StreamResponse:
    """Tell what reached us."""
    size = 0
    start = bytearray()
    try:
        async for piece in request.content.iter_any():
            size += len(piece)
            start += piece[: max(0, _SHOWN - len(start))]
    except ConnectionError:
        return web.Response(status=400)  # whoever asked is gone, so nobody reads this
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    path, _, query = request.raw_path.partition("?")
    told: dict[str, object] = {
        "method": request.method,
        "path": path,
        "query": query,
        "headers": headers,
        "body_size": size,
    }
    if 0 < size <= _SHOWN:
        try:
            told["body"] = start.decode("utf-8")
        except UnicodeDecodeError:
            told["body"] = None
    return web.json_response(told)


async def slow(request: web.Request) -> web.StreamResponse:
    """Answer after a while."""
    await asyncio.sleep(_number(request, "ms", 500, 600_000) / 1000)
    return await echo(request)


async def status(request: web.Request) -> web.StreamResponse:
    """Answer with any final status."""
    code = int(request.match_info["code"])
    if not 200 <= code <= 599:
        raise web.HTTPBadRequest(text="a final status is 200 to 599\n")
    if code in (204, 205, 304):
        return web.Response(status=code)
    return web.json_response({"status": code}, status=code)


async def count(request: web.Request) -> web.StreamResponse:
    """Stream that many bytes, with their length announced."""
    left = int(request.match_info["count"])
    response = web.StreamResponse(headers={"Content-Type": "application/octet-stream", "Content-Length": str(left)})
    await response.prepare(request)
    while left and request.method != hdrs.METH_HEAD:
        piece = _PIECE if left >= len(_PIECE) else _PIECE[:left]
        await response.write(piece)
        left -= len(piece)
    return response


async def events(request: web.Request) -> web.StreamResponse:
    """Send server-sent events."""
    wanted = _number(request, "events", 0, 1_000_000)
    pause = _number(request, "ms", 1000, 600_000) / 1000
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    await response.prepare(request)
    number = 0
    while wanted == 0 or number < wanted:
        number += 1
        await response.write(f"id: {number}\nevent: tick\ndata: {number}\n\n".encode())
        await asyncio.sleep(pause)
    return response


async def websocket(request: web.Request) -> web.StreamResponse:
    """Echo WebSocket messages."""
    offered = [name.strip() for name in request.headers.get("Sec-WebSocket-Protocol", "").split(",") if name.strip()]
    ws = web.WebSocketResponse(protocols=offered[:1], max_msg_size=MAX_BODY)
    await ws.prepare(request)
    async for message in ws:
        if message.type is WSMsgType.TEXT:
            await ws.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await ws.send_bytes(message.data)
    return ws


def demo() -> web.Application:
    """Return the application."""
    app = web.Application(client_max_size=MAX_BODY)
    app.router.add_route("*", "/slow", slow)
    app.router.add_route("*", r"/status/{code:\d{3}}", status)
    app.router.add_get(r"/bytes/{count:\d{1,12}}", count)
    app.router.add_get("/sse", events)
    app.router.add_get("/ws", websocket)
    app.router.add_route("*", "/{path:.*}", echo)
    return app


def _number(request: web.Request, name: str, default: int, most: int) -> int:
    value = request.query.get(name, "")
    return min(int(value), most) if value.isascii() and value.isdigit() and len(value) < 10 else default


def follow_parent(parent: int) -> bool:
    """Ask the kernel to end this process when the process *parent* ends; False when that one is gone already.

    The signal is sent only for deaths after the call, hence the look at who is our parent now (prctl(2)).
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    return os.getppid() == parent


async def _watch(parent: int, stop: asyncio.Event) -> None:
    # The kernel's signal is Linux only, and follows the parent's thread; this works everywhere, a little later.
    while os.getppid() == parent:
        try:
            async with asyncio.timeout(_PARENT_POLL):
                await stop.wait()
        except TimeoutError:
            continue
        return
    stop.set()


async def serve(host: str, port: int, parent: int | None, listener: socket.socket | None = None) -> None:
    """Serve until SIGTERM or SIGINT, or until *parent* is gone; on *listener* when that is given."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    runner = web.AppRunner(
        demo(), access_log=None, shutdown_timeout=1, max_line_size=65_536, max_field_size=65_536, max_headers=1000
    )
    await runner.setup()
    watch = asyncio.create_task(_watch(parent, stop)) if parent is not None else None
    try:
        site: web.BaseSite = web.TCPSite(runner, host, port) if listener is None else web.SockSite(runner, listener)
        await site.start()
        bound = runner.addresses[0][1]
        print(f"listening on http://{f'[{host}]' if ':' in host else host}:{bound}", flush=True)
        await stop.wait()
    finally:
        if watch is not None:
            watch.cancel()
        await runner.cleanup()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo service; the exit status is that of a program."""
    parser = argparse.ArgumentParser(prog="python -m gateway.endpoints.demo", description="A service that echoes.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--fd", type=int, metavar="N", help="serve on this inherited listening socket")
    parser.add_argument(
        "--die-with-parent",
        type=int,
        nargs="?",
        const=0,
        metavar="PID",
        help="end when the parent process ends; PID says which that was, for the case that it is gone already",
    )
    options = parser.parse_args(arguments)
    parent: int | None = options.die_with_parent
    if parent is not None:
        parent = parent or os.getppid()
        if not follow_parent(parent):
            return 1
    listener = None if options.fd is None else socket.socket(fileno=options.fd)
    asyncio.run(serve(options.host, options.port, parent, listener))
    return 0


if __name__ == "__main__":
    sys.exit(main())
