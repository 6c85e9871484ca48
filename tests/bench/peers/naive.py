"""The naive aiohttp proxy of `naive_proxy`, as a peer."""

import sys
from importlib.metadata import version
from pathlib import Path

from tests.bench.peers.base import Launch, Peer, Place
from tests.bench.tokens import AUDIENCE, ISSUER, ROLE


def _launch(place: Place) -> Launch:
    material = place.material
    argv = [sys.executable, str(Path(__file__).with_name("naive_proxy.py"))]
    argv += ["--port", str(place.port), "--upstream", f"http://127.0.0.1:{place.upstream}"]
    argv += ["--key", str(material.public_key if place.alg == "RS256" else material.secret), "--alg", place.alg]
    argv += ["--issuer", ISSUER, "--audience", AUDIENCE, "--role", ROLE]
    if place.tls:
        argv += ["--certificate", str(material.certificate), "--certificate-key", str(material.certificate_key)]
    return Launch(argv)


def _nothing() -> str | None:
    return None


def _version() -> str:
    return f"aiohttp {version('aiohttp')}, PyJWT {version('PyJWT')}"


NAIVE = Peer(
    name="naive",
    title="aiohttp server + ClientSession + PyJWT per request",
    does="signature, alg, exp, iss, aud, role by PyJWT; sub to the upstream, Authorization removed",
    records="aiohttp's access log through logging to a file; no metrics",
    launch=_launch,
    missing=_nothing,
    version=_version,
    holds_rate=False,
)
