"""The metadata promises what there is and nothing else (RFC 8414)."""

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gateway.endpoints.wellknown import METADATA_PATH, metadata
from tests.endpoints.house import House

ORIGIN = "https://api.example.com"


async def test_without_logins_the_metadata_promises_the_keys_alone() -> None:
    app = web.Application()
    app.router.add_get(METADATA_PATH, metadata("https://issuer.example", ORIGIN, None, 120))
    async with TestClient(TestServer(app)) as client:
        answer = await client.get(METADATA_PATH)
        assert await answer.json() == {
            "issuer": "https://issuer.example",
            "jwks_uri": "https://api.example.com/.well-known/jwks.json",
            "response_types_supported": [],
            "grant_types_supported": [],
        }
        assert answer.headers["Cache-Control"] == "public, max-age=120"
        again = await client.get(METADATA_PATH, headers={"If-None-Match": answer.headers["ETag"]})
        assert again.status == 304


async def test_without_clients_it_promises_the_refresh_of_logins_alone(house: House) -> None:
    got = await (await house.client.get(METADATA_PATH)).json()
    assert got["grant_types_supported"] == ["refresh_token"]
    assert got["token_endpoint_auth_methods_supported"] == ["none"]
    assert "introspection_endpoint" not in got
    assert (await house.client.post("/auth/introspect", data={"token": "x"})).status == 404
