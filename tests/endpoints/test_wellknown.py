"""The metadata promises what there is and nothing else (RFC 8414)."""

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gateway.endpoints.wellknown import METADATA_PATH, metadata

ORIGIN = "https://api.example.com"


async def test_the_metadata_promises_only_what_there_is() -> None:
    app = web.Application()
    app.router.add_get(METADATA_PATH, metadata("https://issuer.example", ORIGIN, 120))
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
