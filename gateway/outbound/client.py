"""The one HTTP client for everything that is not forwarding: probes, key sets and callouts alike.

A call has one deadline, a bound on what it reads, and two outcomes: `Answer` or `Failed`. Trouble of the network is a
value, never an exception, because every caller has to decide what it means for him. No cookie is kept, no redirect
followed, no proxy or credential taken from the environment.
"""

import asyncio
import errno
from collections.abc import Mapping
from ssl import SSLContext, SSLError
from typing import NamedTuple

import aiohttp
from yarl import URL

from gateway import __version__

CONNECT_TIMEOUT = 5.0
"""Seconds to connect, unless the whole call has less."""
CONNECTIONS = 1024
"""Calls at once; far above the number of probes, or a service that hangs would make others look late."""
KEEP_ALIVE = 15.0


class Answer(NamedTuple):
    """The service answered, with whatever status."""

    status: int
    headers: Mapping[str, str]
    """Names in any case."""
    body: bytes


class Failed(NamedTuple):
    """There is no answer, or not a whole one."""

    reason: str
    """One of REASONS."""
    status: int = 0
    """Of the answer that had begun; 0 when none had."""


# The first line that fits names the reason; aiohttp's errors are of several of these classes at once.
_ERRORS: tuple[tuple[type[Exception], str], ...] = (
    (aiohttp.ConnectionTimeoutError, "connect_timeout"),
    (aiohttp.ServerTimeoutError, "timeout"),
    (aiohttp.ClientConnectorDNSError, "dns"),
    (UnicodeError, "dns"),  # the IDNA codec, about a host name that cannot be one
    (aiohttp.ClientSSLError, "tls"),
    (SSLError, "tls"),
    (aiohttp.ClientConnectorError, "connect"),
    (aiohttp.InvalidURL, "url"),
    (aiohttp.NonHttpUrlClientError, "url"),
    (aiohttp.ClientPayloadError, "body"),
    (aiohttp.ClientResponseError, "protocol"),
    (aiohttp.ServerConnectionError, "reset"),
    (OSError, "reset"),
    (aiohttp.ClientError, "protocol"),
)
REASONS = frozenset((*(reason for _, reason in _ERRORS), "timeout", "too_large", "closed", "local"))

_OURS = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS))
"""Errors of connecting that say nothing about the other side: this process or machine has run out of something."""


class Outbound:
    """Makes calls; holds one session for TCP and one for each unix socket, each made when it is first needed."""

    def __init__(self) -> None:
        self._sessions: dict[str, aiohttp.ClientSession] = {}
        """By the path of the socket; "" for TCP, because aiohttp's connectors reach either one socket or none."""
        self._closed = False

    async def get(
        self,
        url: str,
        *,
        timeout: float,  # noqa: ASYNC109 - one deadline over everything belongs to the call's contract
        max_bytes: int,
        headers: Mapping[str, str] | None = None,
        ssl: SSLContext | None = None,
        server_name: str | None = None,
        unix: str = "",
        decompress: bool = False,
    ) -> Answer | Failed:
        """GET *url*, which is sent as it is written, within *timeout* seconds over everything.

        Args:
            max_bytes: more body than this, counted after decompression, is `Failed("too_large")`.
            ssl: for https; the machine's certificate authorities when None.
            server_name: what the certificate has to name, when it is not the host of *url*.
            unix: path of a socket to connect to instead of the host of *url*.
            decompress: accept and undo gzip and deflate.
        """
        fields = {"Accept-Encoding": "gzip, deflate" if decompress else "identity", **(headers or {})}
        return await self._call(
            "GET",
            url,
            None,
            fields,
            timeout=timeout,
            max_bytes=max_bytes,
            ssl=ssl,
            server_name=server_name,
            unix=unix,
            decompress=decompress,
        )

    async def post(
        self,
        url: str,
        body: bytes,
        *,
        timeout: float,  # noqa: ASYNC109 - as for `get`
        max_bytes: int,
        headers: Mapping[str, str],
        ssl: SSLContext | None = None,
    ) -> Answer | Failed:
        """POST *body* to *url*, once; the rest is as for `get`. *headers* say of which type it is."""
        fields = {"Accept-Encoding": "identity", **headers}
        return await self._call("POST", url, body, fields, timeout=timeout, max_bytes=max_bytes, ssl=ssl)

    async def _call(
        self,
        method: str,
        url: str,
        content: bytes | None,
        fields: Mapping[str, str],
        *,
        timeout: float,  # noqa: ASYNC109
        max_bytes: int,
        ssl: SSLContext | None,
        server_name: str | None = None,
        unix: str = "",
        decompress: bool = False,
    ) -> Answer | Failed:
        if self._closed:
            return Failed("closed")
        try:
            target = URL(url, encoded=True)
            host = target.host  # an encoded URL is taken apart when it is first asked
        except ValueError:
            host = None
        if not host:
            return Failed("url")
        status = 0
        try:
            async with (
                asyncio.timeout(timeout),
                self._session(unix).request(
                    method,
                    target,
                    data=content,
                    headers=fields,
                    ssl=True if ssl is None else ssl,
                    server_hostname=server_name,
                    allow_redirects=False,
                    auto_decompress=decompress,
                    timeout=aiohttp.ClientTimeout(total=None, sock_connect=min(timeout, CONNECT_TIMEOUT)),
                ) as answer,
            ):
                status = answer.status
                body = await _bounded(answer.content, max_bytes)
                if body is None:
                    answer.close()
                    return Failed("too_large", status)
                return Answer(status, answer.headers, body)
        except (aiohttp.ClientError, OSError, UnicodeError) as error:
            return Failed(_reason(error), status)

    async def close(self) -> None:
        """Close every connection; calls from now on fail."""
        self._closed = True
        sessions = list(self._sessions.values())
        self._sessions.clear()
        for session in sessions:
            await session.close()

    def _session(self, unix: str) -> aiohttp.ClientSession:
        session = self._sessions.get(unix)
        if session is None:
            connector: aiohttp.BaseConnector
            if unix:
                connector = aiohttp.UnixConnector(unix, limit=CONNECTIONS, keepalive_timeout=KEEP_ALIVE)
            else:
                # Names are resolved anew for each connection, as forwarding does it, so both meet the same machine.
                connector = aiohttp.TCPConnector(limit=CONNECTIONS, keepalive_timeout=KEEP_ALIVE, use_dns_cache=False)
            session = self._sessions[unix] = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": f"jwt-gateway/{__version__}"},
                trust_env=False,
                auto_decompress=False,
            )
        return session


async def _bounded(content: aiohttp.StreamReader, max_bytes: int) -> bytes | None:
    """Read to the end; None as soon as there are more than *max_bytes*."""
    pieces: list[bytes] = []
    room = max_bytes
    while piece := await content.read(room + 1):
        room -= len(piece)
        if room < 0:
            return None
        pieces.append(piece)
    return b"".join(pieces)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno in _OURS:
        return "local"
    if type(error) is TimeoutError:
        return "timeout"
    return next(reason for kind, reason in _ERRORS if isinstance(error, kind))
