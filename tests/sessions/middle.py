"""A wire between a store and its server that can be slow, lose answers, or be cut: what `tc netem` would do."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from urllib.parse import unquote


class Middle:
    """Listens on the loopback and passes everything on."""

    def __init__(self, url: str) -> None:
        """*url* of the server, redis:// or unix://."""
        self._url = url
        self.delay = 0.0
        """Seconds added to every answer."""
        self.loses: Callable[[bytes], bool] = lambda answer: False
        """Says of an answer whether it is lost: the server has done its part, and the connection is cut."""
        self.port = 0
        self._server: asyncio.Server | None = None
        self._pipes: set[asyncio.Task[None]] = set()
        self._ends: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for end in tuple(self._ends):
            end.transport.abort()
        await asyncio.gather(*self._pipes, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._pipes.add(task)
        task.add_done_callback(self._pipes.discard)
        if self._url.startswith("unix://"):
            back, forth = await asyncio.open_unix_connection(unquote(self._url.removeprefix("unix://")))
        else:
            host, _, port = self._url.removeprefix("redis://").partition(":")
            back, forth = await asyncio.open_connection(host, int(port))
        there = asyncio.ensure_future(self._forward(reader, forth))
        self._ends |= {writer, forth}
        try:
            while answer := await back.read(1 << 16):
                if self.delay:
                    await asyncio.sleep(self.delay)
                if self.loses(answer):
                    break
                writer.write(answer)
                await writer.drain()
        except OSError:
            pass
        finally:
            there.cancel()
            for end in (writer, forth):
                end.close()
                self._ends.discard(end)
            await asyncio.gather(there, return_exceptions=True)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while question := await reader.read(1 << 16):
                writer.write(question)
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def middle(url: str) -> AsyncIterator[Middle]:
    """Run one."""
    wire = Middle(url)
    await wire.open()
    try:
        yield wire
    finally:
        await wire.close()
