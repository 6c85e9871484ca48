"""Three HTTP clients that nobody here wrote, asked in one way and answering in one form: what came over the wire."""

import asyncio
import io
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import NamedTuple, Protocol

import aiohttp
import httpx
import yarl

from tests.journeys.house import outside
from tests.programs import require

_LARGEST_FIELD = 64 * 1024
_PIECE = 16 * 1024
_PATIENCE = 30


class Answer(NamedTuple):
    """An answer as it came: nothing followed, unpacked or put in order."""

    status: int
    fields: tuple[tuple[str, str], ...]
    body: bytes

    def all(self, name: str) -> list[str]:
        """Return the values of a field, in order."""
        return [value for field, value in self.fields if field.lower() == name.lower()]

    def one(self, name: str) -> str:
        """Return the value of a field that is there once; "" when it is not there at all."""
        values = self.all(name)
        assert len(values) < 2, values
        return values[0] if values else ""


class Client(Protocol):
    """One of the clients."""

    def ask(
        self, method: str, url: str, fields: Mapping[str, str], body: bytes | None = None, *, chunked: bool = False
    ) -> Answer:
        """Send a request, its target exactly as it is written in *url*, and return the answer."""
        ...

    def close(self) -> None: ...


class Curl:
    """The curl command: a process, and so a connection, for each request."""

    def __init__(self) -> None:
        self._program = require("curl")

    def ask(
        self, method: str, url: str, fields: Mapping[str, str], body: bytes | None = None, *, chunked: bool = False
    ) -> Answer:
        command = [self._program, "-q", "-sS", "-i", "-g", "--path-as-is", "--max-time", str(_PATIENCE)]
        command += ["-I"] if method == "HEAD" else ["-X", method]
        for name, value in fields.items():
            command += ["-H", f"{name}: {value}"]
        if body is not None:
            command += ["--data-binary", "@-", "-H", "Content-Type: application/octet-stream"]
        if chunked:
            command += ["-H", "Transfer-Encoding: chunked"]
        done = subprocess.run([*command, url], input=body or b"", capture_output=True, env=outside())
        assert done.returncode == 0, (command, done.stderr)
        rest = done.stdout
        while True:
            head, _, rest = rest.partition(b"\r\n\r\n")
            line, *lines = head.decode("latin-1").split("\r\n")
            status = int(line.split()[1])
            if status >= 200:
                pairs = (field.split(":", 1) for field in lines)
                return Answer(status, tuple((name, value.strip()) for name, value in pairs), rest)

    def close(self) -> None:
        pass


class Httpx:
    """The httpx library, which keeps its connections open."""

    def __init__(self) -> None:
        self._client = httpx.Client(trust_env=False, timeout=_PATIENCE)

    def ask(
        self, method: str, url: str, fields: Mapping[str, str], body: bytes | None = None, *, chunked: bool = False
    ) -> Answer:
        origin, target = _split(url)
        request = self._client.build_request(
            method,
            origin,
            headers=fields,
            content=_pieces(body) if chunked and body is not None else body,
            extensions={"target": target.encode()},
        )
        response = self._client.send(request, stream=True)
        try:
            body = b"".join(response.iter_raw())
        finally:
            response.close()
        pairs = response.headers.raw
        return Answer(
            response.status_code,
            tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs),
            body,
        )

    def close(self) -> None:
        self._client.close()


class Aiohttp:
    """The client of aiohttp, which keeps its connections open."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._session = self._runner.run(self._open())

    async def _open(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=_PATIENCE),
            max_line_size=_LARGEST_FIELD,
            max_field_size=_LARGEST_FIELD,
        )

    def ask(
        self, method: str, url: str, fields: Mapping[str, str], body: bytes | None = None, *, chunked: bool = False
    ) -> Answer:
        return self._runner.run(self._ask(method, url, fields, body, chunked=chunked))

    async def _ask(
        self, method: str, url: str, fields: Mapping[str, str], body: bytes | None, *, chunked: bool
    ) -> Answer:
        async with self._session.request(
            method,
            yarl.URL(url, encoded=True),
            headers=fields,
            data=None if body is None else _async_pieces(body) if chunked else io.BytesIO(body),
            allow_redirects=False,
        ) as response:
            return Answer(
                response.status,
                tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in response.raw_headers),
                await response.read(),
            )

    def close(self) -> None:
        self._runner.run(self._session.close())
        self._runner.close()


CLIENTS: dict[str, type[Client]] = {"curl": Curl, "httpx": Httpx, "aiohttp": Aiohttp}


def _split(url: str) -> tuple[str, str]:
    scheme, _, rest = url.partition("://")
    authority, slash, target = rest.partition("/")
    return f"{scheme}://{authority}/", slash + target


def _pieces(body: bytes) -> Iterator[bytes]:
    for at in range(0, len(body), _PIECE):
        yield body[at : at + _PIECE]


async def _async_pieces(body: bytes) -> AsyncIterator[bytes]:
    for piece in _pieces(body):
        yield piece
