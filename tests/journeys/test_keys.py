"""Keys turn and die while two gateways on one store are under load: nobody with a valid token notices."""

import asyncio
import base64
import contextlib
import json
import random
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.journeys.house import ROOT, Gateway, Program, configuration, free_port, outside, until
from tests.programs import require

SECRET = "5f2a7c9e1b4d8063a7e2f4915c0d6b38e9a1f7c2d4b60853"


class Pair(NamedTuple):
    """Two gateways on one store, and what their operator has."""

    folder: Path
    gateways: tuple[Gateway, Gateway]
    store: Program
    environ: dict[str, str]

    def keys(self, *words: str) -> str:
        """Run `gateway keys`, with the configuration and the secret alone."""
        command = [sys.executable, "-m", "gateway", "keys", *words, "-c", str(self.folder / "gateway.yaml")]
        done = subprocess.run(command, env=self.environ, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def signing(self) -> str:
        rows = json.loads(self.keys("list", "-o", "json"))
        (kid,) = (str(row["kid"]) for row in rows if row["state"] == "current")
        return kid


def settings(
    folder: Path, upstream: str, store: int, tokens: str = '{issuer: "https://gateways.example", keys: {alg: ES256}}'
) -> str:
    (folder / "gateway.secret").write_text(SECRET)
    text = configuration(
        folder,
        upstreams={"echo": upstream},
        routes="  - {path: /**, to: echo}",
        server="  secret_file: gateway.secret",
        store=f"  url: redis://127.0.0.1:{store}",
    )
    return f"{text}tokens: {tokens}\ntelemetry: {{access_log: 'off'}}\n"


@contextlib.contextmanager
def redis(folder: Path, port: int) -> Iterator[Program]:
    """A Redis server that keeps nothing."""
    command = [require("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    program = Program("redis", command, folder, environ=outside(), cwd=folder)
    try:
        program.await_ready(lambda: "Ready to accept connections" in program.output)
        yield program
    finally:
        program.stop()


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    async def echo(_request: web.Request) -> web.Response:
        return web.Response(text="ok")

    app = web.Application()
    app.router.add_get("/{any:.*}", echo)
    async with TestServer(app, host="127.0.0.1") as upstream:
        port = free_port()
        with redis(tmp_path / "redis", port) as store, contextlib.ExitStack() as exits:
            folder = tmp_path / "gateways"
            text = settings_in(folder, f"http://127.0.0.1:{upstream.port}", port)
            environ = {**outside(), "PYTHONPATH": str(ROOT), "GATEWAY_DATA_DIR": str(folder / "nobody")}
            one, other = Gateway(folder / "one", text), Gateway(folder / "two", text)
            for gateway in (one, other):
                exits.callback(gateway.stop)
                exits.callback(gateway.hurry)
            for gateway in (one, other):
                await asyncio.to_thread(gateway.await_ready, ready(gateway))
            yield Pair(folder, (one, other), store, environ)
            assert one.faults() == other.faults() == []


def settings_in(folder: Path, upstream: str, port: int) -> str:
    """Write the files that both gateways use, and one configuration with full paths."""
    folder.mkdir(parents=True)
    text = settings(folder, upstream, port)
    text = re.sub(r"(?<=file: )(\w)", rf"{folder}/\1", text)
    (folder / "gateway.yaml").write_text(text)
    return text


def ready(gateway: Gateway) -> Callable[[], bool]:
    return lambda: gateway.readiness() == 200


class Load:
    """People who log in at one gateway and are served by both."""

    def __init__(self, pair: Pair, client: aiohttp.ClientSession) -> None:
        self._pair = pair
        self._client = client
        self._tokens: list[str] = []
        self.answers: dict[int, int] = {}
        self.kids: set[str] = set()
        self.stopped = False

    async def login(self, gateway: Gateway) -> str:
        body = {"username": "alice", "password": "demo"}
        async with self._client.post(f"{gateway.url}/auth/login", json=body) as answer:
            assert answer.status == 200, await answer.text()
            token: str = (await answer.json())["access_token"]
        self.kids.add(kid_of(token))
        return token

    async def get(self, gateway: Gateway, token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        async with self._client.get(f"{gateway.url}/thing", headers=headers) as answer:
            await answer.read()
            return answer.status

    async def newcomers(self) -> None:
        """Log in at one gateway and go to the other at once, which may not know the key yet."""
        while not self.stopped:
            here, there = random.sample(self._pair.gateways, 2)
            token = await self.login(here)
            for gateway in (there, here):
                self._count(await self.get(gateway, token))
            self._tokens.append(token)

    async def regulars(self) -> None:
        """Come again with every token there is, the oldest too."""
        while not self.stopped:
            if not self._tokens:
                await asyncio.sleep(0.01)
                continue
            self._count(await self.get(random.choice(self._pair.gateways), random.choice(self._tokens)))

    def _count(self, status: int) -> None:
        self.answers[status] = self.answers.get(status, 0) + 1


def kid_of(token: str) -> str:
    head = token.partition(".")[0]
    kid: str = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))["kid"]
    return kid


async def turned_under_load(pair: Pair, turns: int) -> None:
    async with aiohttp.ClientSession(trust_env=False) as client:
        load = Load(pair, client)
        work = [asyncio.ensure_future(one) for one in (load.newcomers(), *(load.regulars() for _ in range(4)))]
        while not load.kids:
            await asyncio.sleep(0.01)
        for _ in range(turns):
            before = len(load.kids)
            await asyncio.to_thread(pair.keys, "rotate", "--now")
            while len(load.kids) == before and not any(one.done() for one in work):
                await asyncio.sleep(0.02)
        load.stopped = True
        await asyncio.gather(*work)
        assert set(load.answers) == {200}, load.answers
        assert len(load.kids) == turns + 1
        print(f"{turns} turns, {sum(load.answers.values())} requests, {load.answers}")
        published = []
        for gateway in pair.gateways:
            async with client.get(f"{gateway.url}/.well-known/jwks.json") as answer:
                published.append({key["kid"] for key in (await answer.json(content_type=None))["keys"]})
        assert load.kids <= published[0] == published[1]


@pytest.mark.item("key turns under load")
async def test_a_key_turns_under_load_and_no_valid_token_is_refused_by_either_gateway(pair: Pair) -> None:
    await turned_under_load(pair, 2)


@pytest.mark.long
async def test_keys_turn_twenty_times_under_load_and_no_valid_token_is_refused(pair: Pair) -> None:
    await turned_under_load(pair, 20)


async def killed(pair: Pair) -> float:
    """Let a key be compromised; return the seconds until both gateways refuse its tokens."""
    async with aiohttp.ClientSession(trust_env=False) as client:
        load = Load(pair, client)
        bad = await asyncio.to_thread(pair.signing)
        tokens = [await load.login(gateway) for gateway in pair.gateways]
        assert {await load.get(gateway, token) for gateway in pair.gateways for token in tokens} == {200}
        await asyncio.to_thread(pair.keys, "retire", "--compromised", bad)
        began = time.monotonic()
        while {await load.get(gateway, token) for gateway in pair.gateways for token in tokens} != {401}:
            assert time.monotonic() - began < 30
            await asyncio.sleep(0.01)
        took = time.monotonic() - began
        fresh = [await load.login(gateway) for gateway in pair.gateways]
        assert {kid_of(token) for token in fresh} == {await asyncio.to_thread(pair.signing)} != {bad}
        assert {await load.get(gateway, token) for gateway in pair.gateways for token in fresh} == {200}
        return took


async def test_a_compromised_keys_tokens_die_on_both_gateways_and_people_go_on(pair: Pair) -> None:
    one = pair.gateways[0]
    session = await asyncio.to_thread(one.login)
    print(f"{await killed(pair):.3f} s")
    async with aiohttp.ClientSession(trust_env=False) as client:
        async with client.post(f"{one.url}/auth/refresh", json={"refresh_token": session.refresh}) as answer:
            assert answer.status == 200
            token = (await answer.json())["access_token"]
        assert await Load(pair, client).get(one, token) == 200


@pytest.mark.long
async def test_compromised_keys_die_within_the_bound_of_a_revocation(pair: Pair) -> None:
    took = [await killed(pair) for _ in range(20)]
    print(f"seconds: median {sorted(took)[10]:.3f}, most {max(took):.3f}")
    assert max(took) < 3


async def test_keys_survive_a_store_that_is_away_and_one_that_lost_everything(pair: Pair) -> None:
    one = pair.gateways[0]
    kid = await asyncio.to_thread(pair.signing)
    async with aiohttp.ClientSession(trust_env=False) as client:
        load = Load(pair, client)
        token = await load.login(one)
        pair.store.kill()
        assert await load.get(one, token) == 200
        head = base64.urlsafe_b64encode(json.dumps({"alg": "ES256", "typ": "at+jwt", "kid": "new"}).encode())
        unknown = f"{head.decode().rstrip('=')}.{token.split('.', 1)[1]}"
        assert await load.get(one, unknown) == 503  # it could be of a key that was made a moment ago
        async with client.get(f"{one.url}/.well-known/jwks.json") as answer:
            assert (await answer.json(content_type=None))["keys"][0]["kid"] == kid
        port = int(re.findall(r"redis://127\.0\.0\.1:(\d+)", (pair.folder / "gateway.yaml").read_text())[0])
        with redis(pair.folder / "redis-again", port):
            # Nobody logs in by the keys of an empty store: those in force are given back to it.
            await asyncio.to_thread(until, lambda: one.readiness() == 200, 30)
            await asyncio.to_thread(until, lambda: given_back(pair), 30)
            assert await asyncio.to_thread(pair.signing) == kid


def given_back(pair: Pair) -> bool:
    command = [sys.executable, "-m", "gateway", "keys", "list", "-c", str(pair.folder / "gateway.yaml")]
    return subprocess.run(command, env=pair.environ, capture_output=True, timeout=60, check=False).returncode == 0


async def test_a_gateway_that_starts_before_its_store_waits_and_answers_503(tmp_path: Path) -> None:
    folder, port = tmp_path / "gateways", free_port()
    gateway = Gateway(folder / "one", settings_in(folder, "http://127.0.0.1:9", port))
    try:
        await asyncio.to_thread(gateway.await_ready, lambda: gateway.readiness() == 503)
        with gateway.client() as client:
            assert client.get("/.well-known/jwks.json").status_code == 503
            assert client.post("/auth/login", json={"username": "alice", "password": "demo"}).status_code == 503
            assert client.get("/x", headers={"Authorization": "Bearer a.b.c"}).status_code == 503
        with redis(tmp_path / "redis", port):
            await asyncio.to_thread(until, lambda: gateway.readiness() == 200, 30)
            assert gateway.login().access
        assert gateway.faults() == []
    finally:
        gateway.hurry()
        gateway.stop()


async def test_another_secret_than_the_keys_are_sealed_with_refuses_the_start(pair: Pair) -> None:
    text = (pair.folder / "gateway.yaml").read_text()
    (pair.folder / "other.secret").write_text(SECRET[::-1])
    gateway = Gateway(pair.folder / "three", text.replace("gateway.secret", "other.secret"))
    try:
        assert await asyncio.to_thread(gateway.await_end) == 1
        assert "sealed with another secret" in gateway.errors
    finally:
        gateway.stop()
