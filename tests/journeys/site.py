"""A small web application to put behind the gateway, and another site that means it no good."""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

APP = b"""<!doctype html><meta charset="utf-8"><title>app</title><p id="state">loading</p>
<script type="module">
import { gateway } from "/auth/client.js";
const say = (text) => { document.getElementById("state").textContent = text; };
window.changes = [];
window.gw = gateway({ onchange: (state, reason) => { changes.push([state, reason]); say(`${state} ${reason}`); } });
const session = await gw.session();
say(session ? `hello ${session.sub}` : "nobody");
</script>
"""

ATTACKS = """<!doctype html><meta charset="utf-8"><title>evil</title>
<form id="f" method="post" action="{target}{path}" enctype="{kind}">{fields}</form>
"""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.seen.append((self.command, self.path, dict(self.headers)))  # type: ignore[attr-defined]
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length).decode()
        if self.path.startswith("/app"):
            self._answer(APP, "text/html; charset=utf-8")
        else:
            told = {"method": self.command, "user": self.headers.get("X-User-Id"), "body": body}
            self._answer(json.dumps(told).encode(), "application/json")

    do_POST = do_PUT = do_GET  # noqa: N815 - http.server finds them by these names

    def _answer(self, content: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Site(ThreadingHTTPServer):
    """A server on the loopback; `seen` is what was asked of it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[tuple[str, str, dict[str, str]]] = []

    def url(self, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.server_port}"


@contextlib.contextmanager
def site() -> Iterator[Site]:
    """Run one."""
    server = Site()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
