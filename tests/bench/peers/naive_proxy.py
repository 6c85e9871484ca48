"""The proxy one writes in an afternoon: aiohttp in front, `ClientSession` behind, PyJWT for every request.

Written as well as that design allows: the key is loaded once, connections are kept, bodies are streamed.
"""

import argparse
import asyncio
import logging
import ssl
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "host"}
)


def verifying_key(path: Path, alg: str) -> RSAPublicKey | bytes:
    """The key object, made once: a PEM text would be parsed again at every call."""
    if alg.startswith("HS"):
        return path.read_bytes()
    key = load_pem_public_key(path.read_bytes())
    if not isinstance(key, RSAPublicKey):
        raise TypeError("an RSA public key is needed")
    return key


def proxy(
    options: argparse.Namespace, key: RSAPublicKey | bytes, session: aiohttp.ClientSession
) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
    """The request handler."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return web.Response(status=401)
        try:
            claims = jwt.decode(token, key, algorithms=[options.alg], issuer=options.issuer, audience=options.audience)
        except jwt.InvalidTokenError:
            return web.Response(status=401)
        if options.role not in claims.get("roles", ()):
            return web.Response(status=403)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        headers["X-User-Id"] = claims["sub"]
        headers.pop("Authorization")
        body = request.content if request.can_read_body else None
        async with session.request(
            request.method, options.upstream + request.raw_path, headers=headers, data=body, allow_redirects=False
        ) as upstream:
            kept = [(name, value) for name, value in upstream.headers.items() if name.lower() not in HOP_BY_HOP]
            answer = web.StreamResponse(status=upstream.status)
            answer.headers.extend(kept)
            await answer.prepare(request)
            async for chunk in upstream.content.iter_any():
                await answer.write(chunk)
            await answer.write_eof()
            return answer

    return handle


async def serve(options: argparse.Namespace) -> None:
    """Run until the process is told to end."""
    context = None
    if options.certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(options.certificate, options.certificate_key)
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
        handler = proxy(options, verifying_key(options.key, options.alg), session)
        log = logging.getLogger("access")
        log.setLevel(logging.INFO)
        log.addHandler(logging.StreamHandler(sys.stdout))
        server = web.Server(handler, access_log=log, keepalive_timeout=300)
        runner = web.ServerRunner(server)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", options.port, ssl_context=context, backlog=4096).start()
        await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", required=True)
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--alg", required=True)
    parser.add_argument("--issuer", required=True)
    parser.add_argument("--audience", required=True)
    parser.add_argument("--role", required=True)
    parser.add_argument("--certificate")
    parser.add_argument("--certificate-key")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
