"""Fetching the keys of trusted issuers: from servers that are well, slow, down, lying, or that turn without notice."""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from gateway.outbound.client import Answer, Failed
from gateway.outbound.jwks import COOLDOWN, MAX_STALE, KeyFetcher, Place
from gateway.tokens.jwks import MAX_BYTES, ForeignKeys
from tests.tokens.forge import key_for

URL = "https://idp.example/jwks.json"
ONE, TWO = key_for("ES256", 1), key_for("ES256", 2)


def jwks(*keys: Any, **more: object) -> bytes:
    return json.dumps({"keys": [key.jwk() | more for key in keys]}).encode()


class Provider:
    """A provider's web server, and the clock everybody goes by."""

    def __init__(self, body: bytes = b"") -> None:
        self.pages: dict[str, Answer | Failed] = {URL: Answer(200, {}, body)}
        self.asked: list[str] = []
        self.now = 1000.0
        self.gate: asyncio.Event | None = None
        self.pauses: list[float] = []
        self.events: list[str] = []
        self.renewed = 0

    async def get(
        self,
        url: str,
        *,
        timeout: float,
        max_bytes: int,
        headers: Mapping[str, str] | None = None,
        decompress: bool = False,
    ) -> Answer | Failed:
        assert timeout <= 5
        self.asked.append(url)
        if self.gate is not None:
            await self.gate.wait()
        page = self.pages.get(url, Answer(404, {}, b""))
        too_large = isinstance(page, Answer) and len(page.body) > max_bytes
        return Failed("too_large", 200) if too_large else page

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
        if len(self.pauses) >= 5:
            await asyncio.Event().wait()
        await asyncio.sleep(0)

    def renew(self) -> None:
        self.renewed += 1

    def put(self, body: bytes, **fields: str) -> None:
        self.pages[URL] = Answer(200, {name.replace("_", "-"): value for name, value in fields.items()}, body)

    def fetcher(self, keys: ForeignKeys, draw: Callable[[], float] = lambda: 0.0, **place: Any) -> KeyFetcher:
        settings: dict[str, Any] = {"ttl": 600.0, "algorithms": ("ES256",), "url": URL} | place
        return KeyFetcher(
            Place("legacy", "https://idp.example", **settings),
            keys,
            self,
            monotonic=lambda: self.now,
            renew=self.renew,
            event=lambda event, facts: self.events.append(event),
            sleep=self.sleep,
            draw=draw,
        )


async def test_keys_are_fetched_and_in_force() -> None:
    provider, keys = Provider(jwks(ONE)), ForeignKeys()
    fetcher = provider.fetcher(keys)
    assert not keys.known
    await fetcher.refresh()
    assert keys.find(ONE.kid, "ES256") is not None
    assert provider.events == ["jwks_changed"]
    assert provider.renewed == 0


async def test_everybody_shares_one_call_and_who_leaves_does_not_end_it() -> None:
    provider, keys = Provider(jwks(ONE)), ForeignKeys()
    provider.gate = asyncio.Event()
    fetcher = provider.fetcher(keys)
    waiting = [asyncio.create_task(fetcher.refresh()) for _ in range(50)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    wait = fetcher.ask()
    assert wait is not None
    waiting[0].cancel()
    provider.gate.set()
    await asyncio.gather(*waiting[1:], wait())
    assert len(provider.asked) == 1
    assert len(keys) == 1


@pytest.mark.item("E6", 6)
async def test_unknown_keys_cause_one_call_in_thirty_seconds() -> None:
    provider, keys = Provider(jwks(ONE)), ForeignKeys()
    fetcher = provider.fetcher(keys)
    for _ in range(1000):
        if (wait := keys.ask()) is not None:
            await wait()
        provider.now += 0.1
    assert len(provider.asked) == 4
    assert fetcher.fetches == 4


@pytest.mark.parametrize(("draw", "share"), [(0.0, 0.5), (0.999999, 0.8)])
async def test_the_next_fetch_comes_at_50_to_80_percent_of_the_lifetime(draw: float, share: float) -> None:
    provider, keys = Provider(jwks(ONE)), ForeignKeys()
    fetcher = provider.fetcher(keys, lambda: draw)
    fetcher.start()
    while len(provider.pauses) < 5:
        await asyncio.sleep(0)
    await fetcher.stop()
    assert provider.pauses == pytest.approx([600 * share] * 5, rel=1e-5)
    assert len(provider.asked) == 5


@pytest.mark.parametrize(
    ("said", "ttl"),
    [
        ("public, max-age=120", 120),
        ("max-age=5", 60),
        ("max-age=99999", 600),
        ("no-store", 60),
        ("s-maxage=70", 600),
        ("", 600),
    ],
)
async def test_the_lifetime_is_what_the_server_says_within_reason(said: str, ttl: float) -> None:
    provider = Provider()
    provider.put(jwks(ONE), Cache_Control=said)
    fetcher = provider.fetcher(ForeignKeys())
    await fetcher.refresh()
    assert fetcher._pause() == ttl / 2


@pytest.mark.parametrize(("is_known", "pauses"), [(True, [30, 60, 120, 150, 150]), (False, [0.5, 1, 2, 4, 8])])
async def test_failures_are_tried_again_ever_more_slowly_and_told_once(is_known: bool, pauses: list[float]) -> None:
    provider, keys = Provider(jwks(ONE)), ForeignKeys()
    fetcher = provider.fetcher(keys)
    if is_known:
        await fetcher.refresh()
        provider.events.clear()
    provider.pages = {URL: Failed("connect")}
    fetcher.start()
    while len(provider.pauses) < 5:
        await asyncio.sleep(0)
    assert provider.pauses == pauses
    assert provider.events == ["jwks_failed"]
    provider.put(jwks(ONE))
    await fetcher.refresh()
    await fetcher.stop()
    assert provider.events == ["jwks_failed", "jwks_back", *([] if is_known else ["jwks_changed"])]


BAD = {
    "down": Failed("connect"),
    "slow": Failed("timeout"),
    "an error": Answer(500, {}, jwks(TWO)),
    "a page": Answer(200, {}, b"<html>"),
    "no key set": Answer(200, {}, b'{"a": 1}'),
    "keys that are none": Answer(200, {}, b'{"keys": {"a": 1}}'),
    "nested without end": Answer(200, {}, b'{"keys": ' + b"[" * 5000 + b"]" * 5000 + b"}"),
    "members twice": Answer(200, {}, b'{"keys": [], "keys": []}'),
    "too large": Answer(200, {}, b'{"keys": [' + b" " * MAX_BYTES + b"]}"),
    "too many": Answer(200, {}, json.dumps({"keys": [TWO.jwk()] * 51}).encode()),
    "elsewhere": Answer(302, {"Location": "https://evil.example/jwks.json"}, b""),
    "another port": Answer(302, {"Location": "https://idp.example:8443/jwks.json"}, b""),
    "without TLS": Answer(302, {"Location": "http://idp.example/jwks.json"}, b""),
    "in circles": Answer(302, {"Location": URL}, b""),
    "nowhere": Answer(302, {}, b""),
}


@pytest.mark.item("E6", "key server is down")
@pytest.mark.parametrize("bad", BAD.values(), ids=list(BAD))
async def test_the_last_good_set_counts_for_a_day_whatever_its_server_does(bad: Answer | Failed) -> None:
    provider, keys = Provider(jwks(ONE)), ForeignKeys()
    provider.pages["https://evil.example/jwks.json"] = Answer(200, {}, jwks(TWO))
    fetcher = provider.fetcher(keys)
    await fetcher.refresh()
    provider.pages[URL] = bad
    provider.now += MAX_STALE - 1
    await fetcher.refresh()
    assert keys.find(ONE.kid, "ES256") is not None
    assert keys.find(TWO.kid, "ES256") is None
    assert provider.renewed == 0
    assert len(provider.asked) <= 5
    provider.now += 2
    await fetcher.refresh()
    assert keys.find(ONE.kid, "ES256") is None
    assert not keys.known
    assert provider.renewed == 1
    assert provider.events[-1] == "jwks_forgotten"
    assert "evil" not in "".join(provider.asked)


async def test_a_key_that_is_gone_from_a_new_set_is_dead_at_once() -> None:
    provider, keys = Provider(jwks(ONE, TWO)), ForeignKeys()
    fetcher = provider.fetcher(keys)
    await fetcher.refresh()
    provider.put(jwks(TWO))
    await fetcher.refresh()
    assert keys.find(ONE.kid, "ES256") is None
    assert keys.find(TWO.kid, "ES256") is not None
    assert provider.renewed == 1


async def test_another_key_under_the_same_name_replaces_the_old_one() -> None:
    provider, keys = Provider(jwks(ONE, kid="k")), ForeignKeys()
    fetcher = provider.fetcher(keys)
    await fetcher.refresh()
    provider.put(jwks(TWO, kid="k"))
    await fetcher.refresh()
    found = keys.find("k", "ES256")
    assert found is not None
    assert found.fingerprint == TWO.fingerprint
    assert provider.renewed == 1


async def test_a_redirect_on_the_same_host_is_followed() -> None:
    provider, keys = Provider(), ForeignKeys()
    provider.pages[URL] = Answer(307, {"Location": "/new"}, b"")
    provider.pages["https://idp.example/new"] = Answer(200, {}, jwks(ONE))
    await provider.fetcher(keys).refresh()
    assert len(keys) == 1


DISCOVERY = "https://idp.example/.well-known/openid-configuration"


@pytest.mark.parametrize(
    ("document", "good"),
    [
        ({"issuer": "https://idp.example", "jwks_uri": URL}, True),
        ({"issuer": "https://idp.example", "jwks_uri": "https://keys.example/k"}, True),
        ({"issuer": "https://idp.example/", "jwks_uri": URL}, False),
        ({"issuer": "https://idp.example", "jwks_uri": "https://evil.example/k"}, False),
        ({"issuer": "https://idp.example", "jwks_uri": "http://idp.example/jwks.json"}, False),
        ({"issuer": "https://idp.example", "jwks_uri": "https://idp.example@evil.example/k"}, False),
        ({"issuer": "https://idp.example", "jwks_uri": "file:///etc/passwd"}, False),
        ({"issuer": "https://idp.example"}, False),
    ],
)
async def test_discovery_leads_only_to_hosts_that_were_named(document: object, good: bool) -> None:
    provider, keys = Provider(jwks(ONE)), ForeignKeys()
    provider.pages["https://keys.example/k"] = provider.pages[URL]
    provider.pages[DISCOVERY] = Answer(200, {}, json.dumps(document).encode())
    await provider.fetcher(keys, url=DISCOVERY, discover=True, hosts=frozenset({"keys.example"})).refresh()
    assert keys.known is good
    assert not any("evil" in url or url.startswith(("http:", "file:")) for url in provider.asked)


async def test_a_server_that_never_answers_holds_nobody_for_longer_than_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.outbound.jwks.TIMEOUT", 0.02)
    provider, keys = Provider(jwks(ONE)), ForeignKeys()
    provider.gate = asyncio.Event()
    fetcher = provider.fetcher(keys)
    await asyncio.wait_for(fetcher.refresh(), 2)
    assert fetcher.failures == 1
    assert keys.ask() is None
    provider.now += COOLDOWN
    assert keys.ask() is not None
