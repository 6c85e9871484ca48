"""The demo service: it tells what reached it."""

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestClient, TestServer

from gateway.endpoints.demo import demo

Client = TestClient[web.Request, web.Application]
COMMAND = [sys.executable, "-m", "gateway.endpoints.demo", "--port", "0"]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    client: Client = TestClient(TestServer(demo()))
    await client.start_server()
    yield client
    await client.close()


async def test_it_tells_method_path_query_headers_and_body(client: Client) -> None:
    response = await client.put("/a%2Fb/c?x=1&y=%20", data=b"hello", headers={"X-User-Id": "alice"})
    told = await response.json()
    assert told["method"] == "PUT"
    assert told["path"] == "/a%2Fb/c"
    assert told["query"] == "x=1&y=%20"
    assert told["headers"]["X-User-Id"] == "alice"
    assert (told["body_size"], told["body"]) == (5, "hello")


async def test_a_header_sent_twice_is_shown_with_both_values(client: Client) -> None:
    response = await client.get("/", headers=[("X-Role", "a"), ("X-Role", "b")])
    assert (await response.json())["headers"]["X-Role"] == "a, b"


async def test_a_long_or_binary_body_is_counted_and_not_shown(client: Client) -> None:
    assert (await (await client.post("/", data=b"\xff\xfe")).json())["body"] is None
    told = await (await client.post("/", data=b"x" * 100_000)).json()
    assert told["body_size"] == 100_000
    assert "body" not in told


async def test_slow_answers_after_all(client: Client) -> None:
    assert (await (await client.get("/slow?ms=1")).json())["path"] == "/slow"


@pytest.mark.parametrize("code", [200, 204, 304, 404, 503, 599])
async def test_any_final_status_can_be_asked_for(client: Client, code: int) -> None:
    assert (await client.get(f"/status/{code}")).status == code


@pytest.mark.parametrize("code", ["101", "999"])
async def test_other_statuses_are_refused(client: Client, code: str) -> None:
    assert (await client.get(f"/status/{code}")).status == 400


@pytest.mark.parametrize("count", [0, 1, 65_536, 200_001])
async def test_bytes_are_streamed_to_the_last(client: Client, count: int) -> None:
    response = await client.get(f"/bytes/{count}")
    assert response.headers["Content-Length"] == str(count)
    assert len(await response.read()) == count


async def test_events_are_sent_as_a_stream(client: Client) -> None:
    response = await client.get("/sse?events=2&ms=0")
    assert response.headers["Content-Type"] == "text/event-stream"
    assert await response.text() == "id: 1\nevent: tick\ndata: 1\n\nid: 2\nevent: tick\ndata: 2\n\n"


async def test_the_web_socket_echoes_text_and_bytes(client: Client) -> None:
    async with client.ws_connect("/ws") as ws:
        await ws.send_str("hello")
        assert await ws.receive_str() == "hello"
        await ws.send_bytes(b"\x00\x01")
        message = await ws.receive()
        assert (message.type, message.data) == (WSMsgType.BINARY, b"\x00\x01")


async def test_as_a_program_it_says_where_it_listens_and_ends_at_sigterm() -> None:
    process = await asyncio.create_subprocess_exec(*COMMAND, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        line = (await process.stdout.readline()).decode()
        assert line.startswith("listening on http://127.0.0.1:")
        async with aiohttp.ClientSession() as session, session.get(line.split()[-1] + "/x") as response:
            assert (await response.json())["path"] == "/x"
        process.terminate()
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_it_serves_on_a_socket_that_it_inherits() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        process = await asyncio.create_subprocess_exec(
            *COMMAND, "--fd", str(listener.fileno()), pass_fds=(listener.fileno(),), stdout=asyncio.subprocess.DEVNULL
        )
    try:
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/x") as response:
            assert (await response.json())["path"] == "/x"
    finally:
        process.terminate()
        assert await process.wait() == 0


def test_it_ends_when_its_parent_is_killed() -> None:
    # A parent between us and the demo, which is killed without a chance to clean up.
    script = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen({[*COMMAND, '--die-with-parent']!r}, stdout=subprocess.PIPE, text=True)\n"
        "print(child.pid, child.stdout.readline().strip(), flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    try:
        pid, said = parent.stdout.readline().split(" ", 1)
        assert said.startswith("listening on ")
        watch = os.pidfd_open(int(pid))
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        assert select.select([watch], [], [], 10)[0], "the demo outlived its parent"
        os.close(watch)
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()


def test_a_parent_that_is_gone_already_is_noticed() -> None:
    gone = subprocess.run([*COMMAND, "--die-with-parent", "1234567"], capture_output=True, timeout=20)
    assert gone.returncode == 1
    assert gone.stdout == b""


def test_following_the_real_parent_is_fine() -> None:
    script = "import os; from gateway.endpoints.demo import follow_parent as f; print(f(os.getppid()))"
    assert subprocess.check_output([sys.executable, "-c", script], text=True) == "True\n"
