"""Whether everything that a configuration names is there: names resolve, ports answer, TLS holds, keys can be read."""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from functools import partial
from urllib.parse import urlsplit

from gateway.app.callout import service_tls
from gateway.app.forwarding import upstream_tls
from gateway.app.issuers import place
from gateway.commands.check import Answered
from gateway.config.issuers import TrustedIssuerConfig
from gateway.config.models import Config
from gateway.config.upstreams import UpstreamConfig, Url
from gateway.config.verify import CalloutConfig
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
        callout = None if config.login is None else config.login.verify.callout
        if callout is not None:
            for key, url in callout.urls.items():
                asked.append(_asked(f"login.verify.callout.{key} {url}", partial(_service, callout, url)))
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
        writer.close()
        return "connected"
    name = (upstream.tls.server_name if upstream.tls else None) or url.host
    return await _connected(url.host, url.port, upstream_tls(upstream) if url.scheme == "https" else None, name)


async def _service(callout: CalloutConfig, place: str) -> str:
    url = urlsplit(place)
    is_tls = url.scheme == "https"
    host, port = url.hostname or "", url.port or (443 if is_tls else 80)
    context = (service_tls(callout) or ssl.create_default_context()) if is_tls else None
    return await _connected(host, port, context, host)


async def _connected(host: str, port: int, context: ssl.SSLContext | None, name: str) -> str:
    """Connect, by TLS when there is a *context*, to whoever proves to be *name*."""
    server_name = None if context is None else name
    _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=server_name)
    secure = writer.get_extra_info("ssl_object")
    writer.close()
    return f"connected with {secure.version()}" if isinstance(secure, ssl.SSLObject) else "connected"


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
