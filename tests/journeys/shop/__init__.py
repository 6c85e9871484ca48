"""The shop: one small service, served by three servers that nobody here wrote.

Below `/NAME`, where NAME is nginx, uvicorn or node:

    echo/…        the request's body; what else was seen is in X-Method, X-Target, X-Host, X-User, X-Token, X-Long and
                  X-Framing (length or coding), each only if there was something
    empty         204
    page          with an ETag, 304 when asked with If-None-Match
    moved         302 to another site;   moved-here  308, relative
    cookies       three Set-Cookie, two of one name
    lines         chunked
    broken        503 with Retry-After, the service's own
    files/NAME    PUT, GET, DELETE
"""

import contextlib
import json
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.journeys.house import ROOT, Program, free_port, outside
from tests.journeys.shop.goods import COOKIES, LINES, LOCATION, PAGE
from tests.programs import require

HERE = Path(__file__).parent


def answers(port: int) -> bool:
    """Tell whether something accepts connections at *port*."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            return True
    except OSError:
        return False


@contextlib.contextmanager
def _served(name: str, command: Sequence[str | Path], folder: Path, port: int) -> Iterator[str]:
    program = Program(name, command, folder, environ=outside(), cwd=ROOT)
    try:
        program.await_ready(lambda: answers(port))
        yield f"http://127.0.0.1:{port}"
    finally:
        program.stop()


@contextlib.contextmanager
def nginx(folder: Path) -> Iterator[str]:
    """Run the shop on nginx; yields its address. Its files are in *folder*/files."""
    port = free_port()
    (folder / "files").mkdir(parents=True)
    (folder / "page.txt").write_bytes(PAGE)
    (folder / "lines.txt").write_bytes(b"".join(LINES))
    text = (HERE / "nginx.conf").read_text()
    # As root nginx would run its worker as somebody who may not enter the folder.
    user = "user root;" if os.geteuid() == 0 else ""
    values = {"@USER@": user, "@FOLDER@": str(folder), "@PORT@": str(port), "@ECHO@": str(free_port())}
    for mark, value in values.items():
        text = text.replace(mark, value)
    (folder / "nginx.conf").write_text(text)
    command: list[str | Path] = [require("nginx"), "-e", "stderr", "-p", folder, "-c", folder / "nginx.conf"]
    with _served("nginx", command, folder, port) as url:
        yield url


@contextlib.contextmanager
def uvicorn(folder: Path) -> Iterator[str]:
    """Run the shop on uvicorn; yields its address."""
    port = free_port()
    settings = ["--host", "127.0.0.1", "--port", str(port), "--lifespan", "off", "--log-level", "warning"]
    command = [sys.executable, "-m", "uvicorn", "tests.journeys.shop.application:app", *settings]
    with _served("uvicorn", command, folder, port) as url:
        yield url


@contextlib.contextmanager
def node(folder: Path) -> Iterator[str]:
    """Run the shop on Node; yields its address."""
    port = free_port()
    folder.mkdir(parents=True)
    goods = {
        "page": PAGE.decode(),
        "lines": [line.decode() for line in LINES],
        "location": LOCATION,
        "cookies": COOKIES,
    }
    (folder / "goods.json").write_text(json.dumps(goods))
    command: list[str | Path] = [require("node"), HERE / "server.js", str(port), folder / "goods.json"]
    with _served("node", command, folder, port) as url:
        yield url


SERVERS = {"nginx": nginx, "uvicorn": uvicorn, "node": node}
