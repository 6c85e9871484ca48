"""The key sets of trusted issuers, fetched before they are needed and kept when their server is in trouble.

    in the background   at 50 to 80 % of the set's lifetime, at random, so that a fleet does not ask in step
    on an unknown kid   at most once in 30 s for each issuer, and all who wait for it share one call
    on failure          the last good set counts for at most 24 h; each failure is tried again, ever more slowly:
                        while there is no set at all after 1 s, 2 s, 4 s to 30 s, else after 1 min to 5 min
    on success          a key that is not in the new set is dead at once

No request ever waits but one whose token names a key that nobody knows, and that one not for longer than one call.
Only hosts the operator named are asked; a redirect to any other is a failure (safety.md E6, identity.md 3.9).
"""

import asyncio
import random
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urljoin, urlsplit

from gateway.outbound.client import Answer, Failed
from gateway.routing.host import normal_host, without_port
from gateway.tokens.jwks import MAX_BYTES, ForeignKeys, KeySet, read_set
from gateway.tokens.ring import Wait
from gateway.tokens.strict import strict_json_object

TIMEOUT = 5.0
"""Seconds for everything: discovery, redirects and the set."""
COOLDOWN = 30.0
"""Seconds between two calls that unknown keys cause."""
MAX_STALE = 24 * 3600.0
LEAST_TTL = 60.0
MOST_PAUSE = 300.0
"""Seconds between two tries while a server is in trouble."""
REDIRECTS = 3

_ACCEPT = {"Accept": "application/jwk-set+json, application/json"}
_MAX_AGE = re.compile(r"(?:^|[,\s])max-age=\"?([0-9]{1,9})", re.IGNORECASE)
_NOT_CACHED = re.compile(r"(?:^|[,\s])no-(?:store|cache)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the keys of an issuer are."""

    name: str
    issuer: str
    url: str
    """Of the set; with `discover`, of the document whose `jwks_uri` names it."""
    algorithms: tuple[str, ...]
    ttl: float
    discover: bool = False
    hosts: frozenset[str] = frozenset()
    """Hosts that `jwks_uri` may name beside the issuer's own."""
    insecure: bool = False
    """Plain http is allowed."""


class Client(Protocol):
    """What a fetcher asks of the HTTP client."""

    async def get(
        self,
        url: str,
        *,
        timeout: float,  # noqa: ASYNC109 - one deadline over everything belongs to the call's contract
        max_bytes: int,
        headers: Mapping[str, str] | None = None,
        decompress: bool = False,
    ) -> Answer | Failed: ...


Tell = Callable[[str, Mapping[str, object]], None]


class KeyFetcher:
    """Keeps the keys of one issuer fresh."""

    def __init__(
        self,
        place: Place,
        keys: ForeignKeys,
        outbound: Client,
        *,
        monotonic: Callable[[], float],
        renew: Callable[[], None],
        event: Tell = lambda name, facts: None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """Fetch into *keys*; *renew* ends cached verifications when a key is gone, *event* is told what happens."""
        self.place = place
        self.failures = 0
        """In a row."""
        self.fetches = 0
        self._keys = keys
        self._outbound = outbound
        self._monotonic = monotonic
        self._renew = renew
        self._event = event
        self._sleep = sleep
        self._draw = draw
        self._good_at: float | None = None
        self._tried_at = float("-inf")
        self._ttl = place.ttl
        self._call: asyncio.Task[None] | None = None
        self._loop: asyncio.Task[None] | None = None
        keys.ask = self.ask

    @property
    def age(self) -> float | None:
        """Seconds since the set was last confirmed; None when it never was."""
        return None if self._good_at is None else self._monotonic() - self._good_at

    def start(self) -> None:
        """Fetch now and from time to time, until stopped."""
        self._loop = asyncio.get_running_loop().create_task(self._keep_fresh(), name=f"keys of {self.place.name}")

    async def stop(self) -> None:
        tasks = [task for task in (self._loop, self._call) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def ask(self) -> Wait | None:
        """Return how to wait for newer keys; None when they were asked for a moment ago."""
        if self._call is None and self._monotonic() - self._tried_at < COOLDOWN:
            return None
        return self.refresh

    async def refresh(self) -> None:
        """Fetch the set, or wait for the call that is under way; never raises for trouble of the other side."""
        if self._call is None:
            self._call = asyncio.get_running_loop().create_task(self._fetch(), name=f"fetch keys of {self.place.name}")
            self._call.add_done_callback(self._called)
        # Whoever waits may leave; the call is everybody's.
        await asyncio.shield(self._call)

    def _called(self, task: asyncio.Task[None]) -> None:
        self._call = None
        if not task.cancelled():
            task.exception()  # seen here as well, in case that nobody waits any more

    async def _keep_fresh(self) -> None:
        while True:
            try:
                await self.refresh()
            except Exception as error:  # a bug must not end the watch over the keys
                self._failed(f"bug_{type(error).__name__}")
            await self._sleep(self._pause())

    def _pause(self) -> float:
        share = 0.5 + 0.3 * self._draw()
        if self.failures and not self._keys.known:
            # Every token of this issuer is 503 meanwhile; the two may just have been started together.
            return share * min(float(1 << min(self.failures - 1, 10)), COOLDOWN)
        if self.failures:
            return share * min(COOLDOWN * (1 << min(self.failures, 10)), self._ttl, MOST_PAUSE)
        return share * self._ttl

    async def _fetch(self) -> None:
        self._tried_at = self._monotonic()
        self.fetches += 1
        try:
            async with asyncio.timeout(TIMEOUT):
                found = await self._found()
        except TimeoutError:
            found = "timeout"
        if isinstance(found, str):
            self._failed(found)
            return
        keys, ttl = found
        self._ttl = ttl
        self._good_at = self._monotonic()
        if self.failures:
            self._event("jwks_back", {"issuer": self.place.name, "failures": self.failures})
        self.failures = 0
        before = len(self._keys)
        if self._keys.replace(keys.keys):
            self._renew()
        elif before == len(self._keys):
            return
        self._event("jwks_changed", {"issuer": self.place.name, "keys": len(keys.keys), "skipped": list(keys.skipped)})

    def _failed(self, reason: str) -> None:
        self.failures += 1
        age = self.age
        if self._keys.known and (age is None or age > MAX_STALE):
            if self._keys.forget():
                self._renew()
            self._event("jwks_forgotten", {"issuer": self.place.name, "reason": reason})
        elif self.failures == 1:
            self._event("jwks_failed", {"issuer": self.place.name, "reason": reason})

    async def _found(self) -> tuple[KeySet, float] | str:
        """Return the set and its lifetime, or a word for why there is none."""
        url = self.place.url
        if self.place.discover:
            discovered = await self._discovered()
            if discovered.startswith("!"):
                return discovered[1:]
            url = discovered
        answer = await self._get(url)
        if isinstance(answer, str):
            return answer
        try:
            # In a thread: fifty large keys take the time of many requests.
            return await asyncio.to_thread(read_set, answer.body, self.place.algorithms), self._lifetime(answer)
        except ValueError as error:
            return f"garbage: {error}"

    async def _discovered(self) -> str:
        """Return the place of the set, or "!" and a word (OpenID Connect Discovery section 4.3, RFC 8414 3.3)."""
        answer = await self._get(self.place.url)
        if isinstance(answer, str):
            return f"!{answer}"
        try:
            document = strict_json_object(answer.body)
        except ValueError as error:
            return f"!garbage: {error}"
        if document.get("issuer") != self.place.issuer:
            return "!another issuer"
        url = document.get("jwks_uri")
        if not isinstance(url, str) or not self._allowed(url):
            return "!host"
        return url

    def _allowed(self, url: str) -> bool:
        found = _origin(url)
        if found is None:
            return False
        scheme, host = found
        if scheme != "https" and not self.place.insecure:
            return False
        own = _origin(self.place.url)
        bare = without_port(host.encode()).decode()
        return bare in self.place.hosts or (own is not None and host == own[1])

    async def _get(self, url: str) -> Answer | str:
        """GET *url*, following redirects on its own host only; a word when there is no good answer."""
        start = _origin(url)
        for _ in range(REDIRECTS + 1):
            answer = await self._outbound.get(
                url, timeout=TIMEOUT, max_bytes=MAX_BYTES, headers=_ACCEPT, decompress=True
            )
            if isinstance(answer, Failed):
                return answer.reason
            if answer.status == 200:
                return answer
            if answer.status not in (301, 302, 303, 307, 308):
                return f"status_{answer.status}"
            url = urljoin(url, answer.headers.get("Location", ""))
            if start is None or _origin(url) != start:
                return "redirect"
        return "redirect"

    def _lifetime(self, answer: Answer) -> float:
        """Return how long the set may be used: as its server says, but neither shorter nor longer than is sensible."""
        written = answer.headers.get("Cache-Control", "")
        if _NOT_CACHED.search(written):
            return min(LEAST_TTL, self.place.ttl)
        stated = _MAX_AGE.search(written)
        return self.place.ttl if stated is None else min(self.place.ttl, max(LEAST_TTL, float(stated[1])))


def _origin(url: str) -> tuple[str, str] | None:
    """Return scheme and host with port; None for what is no web address, or hides a name before an @."""
    try:
        parts = urlsplit(url)
        host = normal_host(parts.netloc.encode("ascii", "replace"))
    except ValueError:
        return None
    if host is None or parts.scheme not in ("https", "http"):
        return None
    return parts.scheme, host.decode()
