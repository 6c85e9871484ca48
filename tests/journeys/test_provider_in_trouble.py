"""An identity provider in trouble stalls nobody else: a real gateway, and a provider that this test can hold still."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.journeys.house import Gateway, configuration
from tests.tokens.forge import key_for, signed

ONE, TWO = key_for("ES256", 1), key_for("ES256", 2)


class Provider:
    """Publishes one key, when it is let."""

    def __init__(self) -> None:
        self.asked = 0
        self.well = asyncio.Event()
        self.url = ""

    async def keys(self, _request: web.Request) -> web.Response:
        self.asked += 1
        await self.well.wait()
        return web.json_response({"keys": [ONE.jwk()]})

    def token(self, key: Any = ONE) -> str:
        # A store that is new ends every token from before; theirs tell time by the second, so this one is younger.
        now = int(time.time()) + 2
        body = {"iss": self.url, "sub": "al", "aud": "orders", "iat": now, "exp": now + 60}
        return signed(key, {"alg": "ES256", "typ": "JWT", "kid": key.kid}, body).decode()


class Street:
    """The gateway, the provider, and somebody who asks."""

    def __init__(self, gateway: Gateway, provider: Provider, client: aiohttp.ClientSession) -> None:
        self.gateway = gateway
        self.provider = provider
        self._client = client

    async def get(self, token: str) -> tuple[int, dict[str, str]]:
        headers = {"Authorization": f"Bearer {token}"}
        async with self._client.get(f"{self.gateway.url}/x", headers=headers) as answer:
            await answer.read()
            return answer.status, dict(answer.headers)


@pytest.fixture
async def street(tmp_path: Path) -> AsyncIterator[Street]:
    provider = Provider()

    async def echo(_request: web.Request) -> web.Response:
        return web.Response(text="ok")

    app = web.Application()
    app.router.add_get("/keys", provider.keys)
    app.router.add_get("/x", echo)
    async with TestServer(app, host="127.0.0.1") as server, aiohttp.ClientSession(trust_env=False) as client:
        provider.url = f"http://127.0.0.1:{server.port}"
        text = configuration(tmp_path, upstreams={"echo": provider.url}, routes="  - {path: /**, to: echo}")
        issuer = {
            "issuer": provider.url,
            "jwks": f"{provider.url}/keys",
            "insecure_http": True,
            "audience": "orders",
            "algs": ["ES256"],
        }
        text += f"trusted_issuers: {{idp: {json.dumps(issuer)}}}\n"
        gateway = Gateway(tmp_path, text)
        try:
            await asyncio.to_thread(gateway.await_ready, lambda: gateway.readiness() == 200)
            yield Street(gateway, provider, client)
        finally:
            gateway.hurry()
            provider.well.set()
            await asyncio.to_thread(gateway.stop)
        assert gateway.faults() == []


@pytest.mark.item("E6")
async def test_a_provider_that_says_nothing_delays_its_own_tokens_and_nobody_elses(street: Street) -> None:
    # It is silent since the start, and the gateway was ready all the same.
    own = (await asyncio.to_thread(street.gateway.login)).access
    theirs = [asyncio.ensure_future(street.get(street.provider.token())) for _ in range(20)]
    for _ in range(200):
        assert (await street.get(own))[0] == 200
    assert street.provider.asked == 1  # everybody waits for one call
    for status, fields in await asyncio.gather(*theirs):
        assert (status, fields["X-Gateway-Error"]) == (503, "store_unavailable")
        assert int(fields["Retry-After"]) > 0
    street.provider.well.set()
    async with asyncio.timeout(30):
        while (await street.get(street.provider.token()))[0] != 200:
            await asyncio.sleep(0.1)
    assert (await street.get(own))[0] == 200


async def test_a_provider_that_is_away_keeps_its_known_keys_and_is_not_asked_for_every_unknown_one(
    street: Street,
) -> None:
    street.provider.well.set()
    async with asyncio.timeout(30):
        while (await street.get(street.provider.token()))[0] != 200:
            await asyncio.sleep(0.1)
    street.provider.well.clear()
    before = street.provider.asked
    unknown = await asyncio.gather(*(street.get(street.provider.token(TWO)) for _ in range(50)))
    assert {status for status, _ in unknown} == {401}
    assert street.provider.asked - before <= 1
    assert (await street.get(street.provider.token()))[0] == 200
