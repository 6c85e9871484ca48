"""Tokens of a trusted issuer through a whole gateway: fetched keys, keys that turn, and what they are not good for."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.app import Gateway
from gateway.config.load import load
from tests.tokens.forge import key_for, signed
from tests.tokens.turns import expel

ONE, TWO = key_for("ES256", 1), key_for("ES256", 2)

CONFIG = """\
version: 1
server: {listen: "127.0.0.1:0", admin: {listen: "127.0.0.1:0"}, data_dir: data}
tokens: {issuer: "https://us.example", audience: [ours, orders], keys: {alg: ES256}}
telemetry: {access_log: "off", log_level: error}
login: {verify: {file: users.yaml}}
roles: {admin: {}}
trusted_issuers:
  idp:
    issuer: IDP
    insecure_http: true
    audience: [orders, other]
    algs: [ES256]
    roles: groups
    map_roles: {Admins: admin}
upstreams: {echo: UP}
routes:
  - {path: /any, to: echo}
  - {path: /admin, to: echo, roles: [admin]}
  - {path: /orders, to: echo, audience: [orders]}
"""


class Street:
    """A gateway, a service that shows the headers it gets, and a provider."""

    def __init__(self, gateway: Gateway, issuer: str, provider: dict[str, Any]) -> None:
        self.gateway = gateway
        self.issuer = issuer
        self.provider = provider
        self.client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{gateway.port}", verify=False)

    def token(self, key: Any = ONE, **changes: object) -> str:
        # A store that is new ends every token from before; theirs tell time by the second, so this one is younger.
        now = int(time.time()) + 2
        body = {"iss": self.issuer, "sub": "al", "aud": "orders", "iat": now, "exp": now + 60, "groups": ["Admins"]}
        return signed(key, {"alg": "ES256", "typ": "JWT", "kid": key.kid}, body | changes).decode()

    async def get(self, path: str, token: str, **fields: str) -> httpx.Response:
        return await self.client.get(path, headers={"Authorization": f"Bearer {token}", **fields})


@pytest.fixture
async def street(tmp_path: Path) -> AsyncIterator[Street]:
    provider: dict[str, Any] = {"keys": [ONE], "asked": 0}

    async def echo(request: web.Request) -> web.Response:
        return web.json_response({name.lower(): value for name, value in request.headers.items()})

    async def discovery(request: web.Request) -> web.Response:
        issuer = f"http://{request.host}"
        return web.json_response({"issuer": issuer, "jwks_uri": f"{issuer}/keys"})

    async def keys(_request: web.Request) -> web.Response:
        provider["asked"] += 1
        return web.json_response({"keys": [key.jwk() for key in provider["keys"]]})

    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", discovery)
    app.router.add_get("/keys", keys)
    app.router.add_get("/{any:.*}", echo)
    async with TestServer(app, host="127.0.0.1") as server:
        origin = f"http://127.0.0.1:{server.port}"
        (tmp_path / "users.yaml").write_text("users: {}\n")
        (tmp_path / "gateway.yaml").write_text(CONFIG.replace("IDP", f'"{origin}"').replace("UP", f'"{origin}"'))
        gateway = Gateway(load(tmp_path / "gateway.yaml", {}), {})
        await gateway.start()
        made = Street(gateway, origin, provider)
        try:
            yield made
        finally:
            await made.client.aclose()
            await gateway.stop()


@pytest.mark.item(44)
async def test_a_trusted_issuers_token_is_good_for_services_and_for_nothing_of_ours(street: Street) -> None:
    token = street.token()
    for _ in range(2):  # verified, and found in the cache
        answer = await street.get("/admin", token, **{"X-User-Issuer": "https://us.example"})
        assert answer.status_code == 200
        seen = answer.json()
        assert (seen["x-user-id"], seen["x-user-roles"], seen["x-user-issuer"]) == ("al", "admin", street.issuer)
    assert (await street.get("/auth/session", token)).status_code == 401
    assert (await street.client.post("/auth/logout", headers={"Authorization": f"Bearer {token}"})).status_code != 204
    assert (await street.get("/admin", street.token(groups=["admin"]))).status_code == 403
    assert (await street.get("/any", street.token(key=TWO))).status_code == 401
    assert (await street.get("/orders", street.token(aud="other"))).status_code == 401
    assert (await street.get("/any", street.token(aud="other"))).status_code == 200


async def test_a_provider_that_turns_its_keys_without_notice_is_asked_once(street: Street) -> None:
    old = street.token()
    assert (await street.get("/any", old)).status_code == 200
    street.provider["keys"] = [TWO]
    (fetcher,) = street.gateway.serving.fetchers.values()
    fetcher._tried_at -= 60  # the last call was a minute ago
    before = street.provider["asked"]
    answers = await asyncio.gather(*(street.get("/any", street.token(key=TWO, jti=str(n))) for n in range(20)))
    assert [answer.status_code for answer in answers] == [200] * 20
    assert street.provider["asked"] == before + 1
    assert (await street.get("/any", old)).status_code == 401


async def test_the_metadata_is_published(street: Street) -> None:
    answer = await street.client.get("/.well-known/oauth-authorization-server")
    assert answer.json()["jwks_uri"].endswith("/.well-known/jwks.json")


async def test_a_compromised_key_of_ours_is_gone_within_seconds(street: Street, tmp_path: Path) -> None:
    kid = street.gateway.ring.signing().kid
    expel(tmp_path / "data" / "keys", kid, time.time())
    for _ in range(100):
        published = json.loads((await street.client.get("/.well-known/jwks.json")).content)["keys"]
        if [key["kid"] for key in published] != [kid]:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("the old key is still published")
