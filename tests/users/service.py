"""A users' service on a socket of its own, as a customer would write one over the users they have."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.app.callout import UsersService
from gateway.config.verify import CalloutConfig
from gateway.outbound.client import Outbound
from gateway.tokens.people import Gone, InvalidCredentials
from gateway.tokens.sealing import Seal
from gateway.tokens.subject import Subject
from gateway.users.callout import CalloutUsers
from gateway.users.credentials import CredentialVerifier

Answer = tuple[int, object]
ERRORS = {"disabled": (403, "disabled"), "unknown_user": (404, "unknown_user"), "unknown": (404, "unknown_user")}


class Service:
    """Answers for *people*, or with what `answer` is set to; remembers what it was asked."""

    def __init__(self, people: CredentialVerifier) -> None:
        self._people = people
        self.answer: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None
        self.asked: list[Mapping[str, str]] = []
        self.headers: list[Mapping[str, str]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        question = json.loads(await request.read())
        self.asked.append(question)
        self.headers.append(dict(request.headers))
        if self.answer is not None:
            return await self.answer(request)
        status, body = await (self._lookup(question) if request.path == "/lookup" else self._verify(question))
        return web.json_response(body, status=status)

    async def _verify(self, question: Mapping[str, str]) -> Answer:
        who = await self._people.verify(question["username"], question["password"])
        if isinstance(who, InvalidCredentials):
            status, word = ERRORS.get(who.reason, (401, "invalid_credentials"))
            return status, {"error": word}
        assert isinstance(who, Subject)
        return 200, members(who)

    async def _lookup(self, question: Mapping[str, str]) -> Answer:
        who = await self._people.subject(question["sub"])
        if isinstance(who, Gone):
            status, word = ERRORS[who.reason]
            return status, {"error": word}
        assert isinstance(who, Subject)
        return 200, members(who)


def members(who: Subject) -> dict[str, object]:
    return {
        "sub": who.sub,
        "username": who.username,
        "roles": list(who.roles),
        "scopes": list(who.scopes),
        "tenant": who.tenant,
        "claims": dict(who.claims),
    }


class Memory:
    """Remembers in a dictionary."""

    def __init__(self) -> None:
        self.records: dict[str, str] = {}

    async def keep(self, sub: str, record: str) -> None:
        self.records[sub] = record

    async def recall(self, sub: str) -> str | None:
        return self.records.get(sub)


class Callout(NamedTuple):
    """A service that is up, and the store of users that asks it."""

    service: Service
    server: TestServer
    users: CalloutUsers
    memory: Memory
    faults: list[str]


@asynccontextmanager
async def serving(
    people: CredentialVerifier, *, lookup: bool = True, whole: bool = False, **written: object
) -> AsyncIterator[Callout]:
    """Run a service over *people*; *written* are further keys of the section."""
    service, memory, outbound = Service(people), Memory(), Outbound()
    application = web.Application()
    application.router.add_post("/{path:.*}", service.handle)
    server = TestServer(application)
    await server.start_server(shutdown_timeout=0.05)
    url = str(server.make_url("")).rstrip("/")
    keys = {"url": f"{url}/verify", "timeout": "20s", **({"lookup_url": f"{url}/lookup"} if lookup else {}), **written}
    config = CalloutConfig.model_validate(keys)
    faults: list[str] = []
    users = CalloutUsers(
        UsersService(outbound, config),
        config.url,
        config.lookup_url,
        memory,
        Seal(b"k" * 32),
        whole=whole,
        on_fault=faults.append,
    )
    try:
        yield Callout(service, server, users, memory, faults)
    finally:
        await outbound.close()
        await asyncio.wait_for(server.close(), 20)
