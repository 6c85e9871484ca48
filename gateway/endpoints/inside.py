"""The way into the application from inside the process: one server protocol per connection, with a record beside it.

The forwarding engine makes a socket pair, gives one end to the server made here, and keeps the `Inside` as its link:
what it knows of a request goes in by `introduce` before the request's bytes do, and what the log should say comes out
by `told` after the answer.
"""

import asyncio
from collections.abc import Callable
from functools import partial

from aiohttp import web

from gateway.endpoints.facts import Facts


class Inside:
    """The record beside one connection; it carries one request at a time."""

    __slots__ = ("facts", "forget")

    def __init__(self) -> None:
        self.facts = Facts("", "")
        self.forget: Callable[[], None] = _nothing

    def introduce(self, request_id: str, address: str, secure: bool) -> None:
        """Begin a new request's record."""
        self.facts = Facts(request_id, address, secure=secure)

    def told(self) -> tuple[str, str, str]:
        """Return (subject, refusal code, reason) of the request that has just been answered."""
        facts = self.facts
        return facts.subject or "", facts.code, facts.reason

    def close(self) -> None:
        """The connection is gone."""
        self.forget()


def _nothing() -> None:
    """There is nothing to forget before a connection is served."""


class Doorkeeper:
    """Makes server protocols for the application and finds the record of a request."""

    def __init__(self) -> None:
        self._inside: dict[asyncio.Protocol, Inside] = {}
        self._runner: web.AppRunner | None = None

    async def open(self, runner: web.AppRunner) -> None:
        """Serve by *runner*'s application from now on."""
        await runner.setup()
        self._runner = runner

    def serve(self, inside: Inside) -> asyncio.Protocol:
        """Return a server protocol whose requests have *inside* as their record."""
        assert self._runner is not None
        assert self._runner.server is not None
        protocol = self._runner.server()
        self._inside[protocol] = inside
        inside.forget = partial(self._forget, protocol)
        return protocol

    def _forget(self, protocol: asyncio.Protocol) -> None:
        self._inside.pop(protocol, None)

    def facts_of(self, request: web.Request) -> Facts:
        """Return the record of *request*."""
        return self._inside[request.protocol].facts

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
