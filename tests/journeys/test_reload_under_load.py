"""Reloads while people are being served: no request fails, no connection ends, and nothing is left behind.

Every second reload is of a broken file, and every good one changes the routes, an upstream or a header. The load is
half of what the gateway takes on this machine, measured first.
"""

import asyncio
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway.presence import Answer, running
from tests.journeys.house import Gateway, configuration, until
from tests.journeys.house import running as run

CONNECTIONS = 16
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
REQUEST = b"GET /always/x HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer %b\r\n\r\n"
BETWEEN = 0.2
"""Seconds between two reloads; without a pause they alone would take the machine."""
ROOM = 3 << 20
"""Bytes by which the process may have grown in the end; former models that stay would be more."""


class Service(asyncio.Protocol):
    """Answers every request at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(ANSWER * data.count(b"\r\n\r\n"))


class Load(NamedTuple):
    """What came of it."""

    requests: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


class Clients:
    """Connections that are kept, each with one request at a time; anything but 200 is an error and raised."""

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._request = REQUEST % token.encode()

    async def load(self, until: asyncio.Event, rate: float | None) -> Load:
        """Send *rate* requests a second, as many as possible for None, until told to stop."""
        began = time.monotonic()
        counts = await asyncio.gather(*(self._one(at, until, rate) for at in range(CONNECTIONS)))
        return Load(sum(counts), time.monotonic() - began)

    async def _one(self, at: int, until: asyncio.Event, rate: float | None) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        pause = 0.0 if rate is None else CONNECTIONS / rate
        next_at = time.monotonic() + pause * at / CONNECTIONS
        count = 0
        while not until.is_set():
            if (early := next_at - time.monotonic()) > 0:
                await asyncio.sleep(early)
            next_at += pause
            writer.write(self._request)
            # The connection must still be the first one: whatever ends it raises here.
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 "), head
            await reader.readexactly(2)
            count += 1
        writer.close()
        return count


def written(folder: Path, service: int, number: int) -> str:
    """Return a good configuration, another one for each *number*; some of its 50 routes differ."""
    routes = "\n".join(f"  - {{path: /r{n}/v{number % 7}/**, to: service, roles: [user]}}" for n in range(50))
    routes += "\n  - {path: /always/**, to: service, roles: [user]}"
    upstreams = {"service": f"http://127.0.0.1:{service}", "other": f"http://127.0.0.1:{9000 + number}"}
    text = configuration(folder, upstreams=upstreams, routes=routes, server="  watch: false")
    return text + (f"identity_headers: {{X-User-Id: sub, X-N{number}: sid}}\n" if number % 3 == 0 else "")


@pytest.mark.parametrize("reloads", [20, pytest.param(200, marks=pytest.mark.long)])
@pytest.mark.item("reload under load", "invalid reload", "memory")
async def test_reloads_under_load_cost_no_request_no_connection_and_no_memory(tmp_path: Path, reloads: int) -> None:
    server = await asyncio.get_running_loop().create_server(Service, "127.0.0.1", 0)
    service = server.sockets[0].getsockname()[1]
    try:
        with run(tmp_path, written(tmp_path, service, 0)) as gateway:
            clients = Clients(gateway.port, (await asyncio.to_thread(gateway.login)).access)
            enough = asyncio.Event()
            asyncio.get_running_loop().call_later(1.5, enough.set)
            most = await clients.load(enough, None)
            stop = asyncio.Event()
            loaded = asyncio.create_task(clients.load(stop, most.rate / 2))
            try:
                grown = await _reloaded(gateway, tmp_path, service, reloads)
            finally:
                stop.set()
            found = await loaded
            assert gateway.faults() == []
            print(
                f"\n{reloads} reloads, half of them refused, in {found.seconds:.1f} s; "
                f"{found.requests} requests at {found.rate:.0f}/s ({found.rate / most.rate:.0%} of the most), none "
                f"failed, {CONNECTIONS} connections kept; memory {grown / 1024:+.0f} KiB"
            )
            assert grown < ROOM
    finally:
        server.close()


async def _reloaded(gateway: Gateway, folder: Path, service: int, reloads: int) -> int:
    """Reload again and again; return by how many bytes the process has grown since it was warm."""
    data = folder / "data"
    until(lambda: bool(list(running(data))))
    (one,) = running(data)
    warm, memory = min(10, reloads // 2), 0
    for number in range(1, reloads + 1):
        text = written(folder, service, number)
        (folder / "gateway.yaml").write_text(text.replace("to: service", "to: nowhere", 1) if number % 2 else text)
        answer = await asyncio.to_thread(one.reload, 60.0)
        assert isinstance(answer, Answer)
        await asyncio.sleep(BETWEEN)
        assert answer.outcome == ("refused" if number % 2 else "reloaded"), answer
        if number == warm:
            memory = gateway.memory()
    return gateway.memory() - memory
