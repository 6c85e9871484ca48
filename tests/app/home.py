"""A whole gateway inside the test's own process, over real sockets and the embedded store, with two services."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.app import Gateway
from gateway.app.reloading import Kept, Outcome, Reloaded
from gateway.clock import Clock
from gateway.config.load import load

USERS = "users:\n  ana: {password: demo, roles: [user], demo: true}\n"
USUAL = """\
login: {verify: {file: users.yaml}}
roles: {user: {}, admin: {includes: [user]}}
upstreams: {one: ONE, two: TWO}
routes:
  - {path: /open/**, to: one, auth: public}
  - {path: /any/**, to: one}
  - {path: /admin/**, to: one, roles: [admin]}
"""


class Service:
    """An upstream that shows what it got, and answers `/slow` when it is told to."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.go_on = asyncio.Event()
        self.held = asyncio.Event()
        """Somebody waits for `go_on`."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self.server = TestServer(app, host="127.0.0.1")

    async def _answer(self, request: web.Request) -> web.Response:
        if request.path.endswith("/slow"):
            self.held.set()
            await self.go_on.wait()
        seen = {name.lower(): value for name, value in request.headers.items()}
        return web.json_response({"service": self.name, "path": request.path, "headers": seen})

    @property
    def url(self) -> str:
        return f'"http://127.0.0.1:{self.server.port}"'


class Home:
    """The gateway, its services and its clients."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.one, self.two = Service("one"), Service("two")
        self.gateway: Gateway
        self.client: httpx.AsyncClient

    def write(self, text: str = USUAL, *, server: str = "", users: str = USERS) -> None:
        """Write the configuration; *server* are further keys of that section."""
        head = (
            f'version: 1\nserver: {{listen: "127.0.0.1:0", admin: {{listen: "127.0.0.1:0"}}, data_dir: data{server}}}\n'
        )
        (self.folder / "users.yaml").write_text(users)
        filled = text.replace("ONE", self.one.url).replace("TWO", self.two.url)
        if "tokens:" not in filled:
            head += "tokens: {keys: {alg: ES256}}\n"  # made in no time
        if "telemetry:" not in filled:
            head += "telemetry: {access_log: json, log_level: debug}\n"  # looked through for secrets
        (self.folder / "gateway.yaml").write_text(head + filled)

    async def taken_up(self) -> tuple[str, ...]:
        """Reload, which must succeed; return what has changed."""
        outcome = await self.gateway.reload()
        assert isinstance(outcome, Reloaded), outcome
        return outcome.changes

    async def refused(self) -> str:
        """Reload, which must be refused; return why."""
        outcome: Outcome = await self.gateway.reload()
        assert isinstance(outcome, Kept), outcome
        return outcome.reason.replace(f"{self.folder}/", "")

    async def login(self, name: str = "ana", password: str = "demo") -> dict[str, str]:
        """Return the Authorization header of a new session."""
        answer = await self.client.post("/auth/login", json={"username": name, "password": password})
        assert answer.status_code == 200, answer.text
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}

    async def status(self, path: str, headers: dict[str, str] | None = None) -> int:
        return (await self.client.get(path, headers=headers)).status_code

    def metric(self, name: str) -> float:
        """Return the value of a metric's only sample, labels included in *name*."""
        text, _ = self.gateway.sight.exposition()
        found = [line for line in text.decode().splitlines() if line.startswith(f"{name} ")]
        return float(found[0].split()[-1]) if found else 0.0


@contextlib.asynccontextmanager
async def home(
    folder: Path, text: str = USUAL, *, server: str = "", users: str = USERS, clock: Clock | None = None
) -> AsyncIterator[Home]:
    """Run the gateway; it is stopped in the end."""
    made = Home(folder)
    async with made.one.server, made.two.server:
        made.write(text, server=server, users=users)
        made.gateway = Gateway(load(folder / "gateway.yaml", {}), {}, clock)
        await made.gateway.start()
        made.client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{made.gateway.port}", verify=False, timeout=20)
        try:
            yield made
        finally:
            made.one.go_on.set()
            made.two.go_on.set()
            await made.client.aclose()
            await made.gateway.stop()
