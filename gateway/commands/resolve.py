"""Whether everything that a configuration names is there: names resolve, ports answer, TLS holds, keys can be read."""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from functools import partial

from gateway.app.forwarding import upstream_tls
from gateway.app.issuers import place
from gateway.commands.check import Answered
from gateway.config.issuers import TrustedIssuerConfig
from gateway.config.models import Config
from gateway.config.upstreams import UpstreamConfig, Url
from gateway.errors import ConfigError, StoreUnavailable
from gateway.outbound.client import Outbound
from gateway.outbound.jwks import KeyFetcher
from gateway.sessions.store import connect
from gateway.tokens.jwks import ForeignKeys

PATIENCE = 5.0
"""Seconds for each place; all are asked at once."""


def answers(config: Config) -> list[Answered]:
    """Ask every place that *config* names; in the order of the file."""
    return asyncio.run(_answers(config))


async def _answers(config: Config) -> list[Answered]:
    outbound = Outbound()
    try:
        asked: list[Awaitable[Answered]] = []
        if not config.effective.embedded:
            asked.append(_asked("store", partial(_store, config)))
        for name, issuer in config.trusted_issuers.items():
            if issuer.fetched:
                asked.append(_asked(f"trusted_issuers.{name}", partial(_keys, name, issuer, outbound)))
        for name, upstream in config.upstreams.items():
            for target in upstream.targets:
                what = f"upstreams.{name} {target.url.written}"
                asked.append(_asked(what, partial(_target, upstream, target.url)))
        return list(await asyncio.gather(*asked))
    finally:
        await outbound.close()


async def _asked(what: str, ask: Callable[[], Awaitable[str]]) -> Answered:
    began = time.monotonic()
    try:
        async with asyncio.timeout(PATIENCE):
            said = await ask()
    except TimeoutError:
        return Answered(what, False, f"no answer in {PATIENCE:g} s")
    except (OSError, ConfigError, StoreUnavailable) as error:
        return Answered(what, False, str(error) or type(error).__name__)
    return Answered(what, True, f"{said} in {(time.monotonic() - began) * 1000:.0f} ms")


async def _target(upstream: UpstreamConfig, url: Url) -> str:
    if url.scheme == "unix":
        _, writer = await asyncio.open_unix_connection(url.socket)
        said = "connected"
    elif url.scheme == "https":
        context = upstream_tls(upstream)
        name = (upstream.tls.server_name if upstream.tls else None) or url.host
        _, writer = await asyncio.open_connection(url.host, url.port, ssl=context, server_hostname=name)
        secure = writer.get_extra_info("ssl_object")
        assert isinstance(secure, ssl.SSLObject)
        said = f"connected with {secure.version()}"
    else:
        _, writer = await asyncio.open_connection(url.host, url.port)
        said = "connected"
    writer.close()
    return said


async def _store(config: Config) -> str:
    written = config.store
    password = None if written.password is None else written.password.value.decode()
    store = connect(written.url, password, written.timeout, written.prefix)
    try:
        await store.ping()
    finally:
        await store.close()
    return "answered"


async def _keys(name: str, issuer: TrustedIssuerConfig, outbound: Outbound) -> str:
    reasons: list[str] = []
    keys = ForeignKeys(None)
    fetcher = KeyFetcher(
        place(name, issuer),
        keys,
        outbound,
        monotonic=time.monotonic,
        renew=lambda: None,
        event=lambda _event, facts: reasons.append(str(facts.get("reason", ""))),
    )
    await fetcher.refresh()
    if fetcher.failures:
        raise ConfigError(f"no keys: {reasons[-1]}")
    return f"{len(keys)} keys"
