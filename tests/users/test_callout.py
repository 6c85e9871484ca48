"""A users' service that answers well, wrongly, slowly or not at all: what counts, and what is an outage."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.app.callout import UsersService
from gateway.config.verify import CalloutConfig
from gateway.errors import Refused, StoreUnavailable
from gateway.outbound.client import Outbound
from gateway.tokens.people import Gone, InvalidCredentials, Unavailable
from gateway.tokens.subject import Subject
from gateway.users.callout import MAX_ANSWER, Heard, Silence
from gateway.users.file import FileUsers, UserRecord
from tests.proxy.certificates import Authority
from tests.users.conftest import CountingHasher, Inline
from tests.users.service import Callout, Memory, serving

ANN = b'{"sub": "u-1", "roles": ["user"]}'


def says(status: int, body: bytes, **headers: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=body, headers=headers)

    return answer


@pytest.fixture
def people() -> FileUsers:
    hasher = CountingHasher()
    records = {"Ann": UserRecord(hasher.hash("right"), ("user",), sub="u-1", claims={"plan": "pro"})}
    return FileUsers(records, Inline(), hasher)


@pytest.fixture
async def callout(people: FileUsers) -> AsyncIterator[Callout]:
    async with serving(people) as made:
        yield made


# --- what is asked ---


async def test_one_question_as_it_was_typed_and_the_token_that_says_who_asks(people: FileUsers) -> None:
    async with serving(people, token="s3cr3t-of-the-gateway") as callout:
        assert isinstance(await callout.users.verify("ANN", "right"), Subject)
        assert isinstance(await callout.users.subject("u-1"), Subject)
        assert callout.service.asked == [{"username": "ANN", "password": "right"}, {"sub": "u-1"}]
        for headers in callout.service.headers:
            assert headers["Authorization"] == "Bearer s3cr3t-of-the-gateway"
            assert headers["Content-Type"] == "application/json"


async def test_a_token_may_have_a_header_of_its_own(people: FileUsers) -> None:
    async with serving(people, token="s3cr3t-of-the-gateway", token_header="X-Api-Key") as callout:
        await callout.users.verify("Ann", "right")
        assert callout.service.headers[0]["X-Api-Key"] == "s3cr3t-of-the-gateway"
        assert "Authorization" not in callout.service.headers[0]


# --- what counts ---


@pytest.mark.item(115)
@pytest.mark.parametrize(
    ("status", "body"),
    [(401, b'{"error": "invalid_credentials"}'), (403, b'{"error": "disabled"}'), (404, b'{"error": "unknown_user"}'),
     (200, b'{"sub": "u-1", "disabled": true}')],
)  # fmt: skip
async def test_each_definite_no_is_the_same_no_after_one_question(callout: Callout, status: int, body: bytes) -> None:
    callout.service.answer = says(status, body)
    assert isinstance(await callout.users.verify("Ann", "right"), InvalidCredentials)
    assert len(callout.service.asked) == 1
    assert callout.faults == []


@pytest.mark.parametrize(
    ("status", "body", "gone"),
    [(403, b'{"error": "disabled"}', True), (404, b'{"error": "unknown_user"}', True),
     (200, b'{"sub": "u-1", "disabled": true}', True), (401, b'{"error": "invalid_credentials"}', False),
     (404, b"not found", False), (200, b'{"sub": "u-2"}', False)],
)  # fmt: skip
async def test_a_lookup_ends_sessions_only_when_the_service_says_so_in_words(
    callout: Callout, status: int, body: bytes, gone: bool
) -> None:
    callout.service.answer = says(status, body)
    assert isinstance(await callout.users.subject("u-1"), Gone if gone else Unavailable)


@pytest.mark.item(132)
@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(401, b"", id="a token that the service refuses"),
        pytest.param(401, b'{"error": "invalid_token"}', id="and says so"),
        pytest.param(403, b"<html>forbidden</html>", id="a proxy that refuses"),
        pytest.param(404, b"404 page not found", id="a route that is missing"),
        pytest.param(404, b'{"error": "invalid_credentials"}', id="a word with another status"),
        pytest.param(400, b'{"error": "invalid_credentials"}', id="a status that says nothing"),
        pytest.param(429, b"", id="too many"),
        pytest.param(500, b'{"sub": "u-1"}', id="an error with a person in it"),
        pytest.param(201, b'{"sub": "u-1"}', id="another 2xx"),
        pytest.param(204, b"", id="nothing"),
        pytest.param(302, b'{"sub": "u-1"}', id="a redirect"),
        pytest.param(200, b"", id="an empty yes"),
        pytest.param(200, b"true", id="a bare yes"),
        pytest.param(200, b'{"ok": true}', id="a yes about nobody"),
        pytest.param(200, b'{"error": "invalid_credentials"}', id="a no that says yes"),
        pytest.param(200, b'[{"sub": "u-1"}]', id="a list"),
        pytest.param(200, b'{"sub": "u-1", "sub": "u-2"}', id="two people"),
        pytest.param(200, b'{"sub": "u-1"} {}', id="more behind it"),
        pytest.param(200, '{"sub": "é"}'.encode("latin-1"), id="not UTF-8"),
        pytest.param(200, b'{"sub": "u-1", "a": "' + b"x" * MAX_ANSWER + b'"}', id="too much"),
        *(
            pytest.param(200, b'{"sub": "u-1", %s}' % wrong.encode(), id=wrong)
            for wrong in (
                '"sub": 7', '"username": ""', '"username": null', '"roles": "admin"', '"roles": ["a,b"]',
                '"roles": [1]', '"roles": null', '"permissions": {}', '"scopes": ["a b"]', '"scopes": "a b"',
                '"tenant": 7', '"tenant": ""', '"claims": []', '"disabled": "false"', '"disabled": 1',
            )
        ),
        *(pytest.param(200, b'{"sub": %s}' % wrong, id=wrong.decode()) for wrong in (b"7", b'""', b"null", b'" u"')),
    ],
)  # fmt: skip
async def test_every_other_answer_is_an_outage_and_is_told(callout: Callout, status: int, body: bytes) -> None:
    headers = {"Location": "/lookup"} if status == 302 else {}
    callout.service.answer = says(status, body, **headers)
    assert isinstance(await callout.users.verify("Ann", "right"), Unavailable)
    assert isinstance(await callout.users.subject("u-1"), Unavailable)
    assert len(callout.service.asked) == 2, "no redirect is followed, and nothing asked twice"
    assert len(callout.faults) == 2
    assert "right" not in str(callout.faults)


async def test_without_a_mapping_only_claims_go_into_tokens_and_with_one_all_members_can_be_chosen(
    people: FileUsers,
) -> None:
    body = b'{"sub": "u-1", "email": "ann@x.org", "org": {"slug": "acme"}, "claims": {"plan": "pro"}}'
    for whole, claims in (
        (False, {"plan": "pro"}),
        (True, {"plan": "pro", "email": "ann@x.org", "org": {"slug": "acme"}}),
    ):
        async with serving(people, whole=whole) as callout:
            callout.service.answer = says(200, body)
            who = await callout.users.verify("Ann", "right")
            assert isinstance(who, Subject)
            assert (who.username, dict(who.claims)) == ("u-1", claims)


# --- without a lookup ---


async def test_without_a_lookup_the_service_is_not_asked_again_and_the_last_login_counts(people: FileUsers) -> None:
    async with serving(people, lookup=False) as callout:
        first = await callout.users.verify("Ann", "right")
        assert await callout.users.subject("u-1") == first
        callout.service.answer = says(200, b'{"sub": "u-1", "roles": ["user", "admin"]}')
        second = await callout.users.verify("Ann", "right")
        assert isinstance(second, Subject)
        callout.service.answer = says(500, b"")
        assert await callout.users.subject("u-1") == second
        assert len(callout.service.asked) == 2


async def test_what_is_remembered_can_be_read_and_exchanged_by_nobody(people: FileUsers) -> None:
    async with serving(people, lookup=False) as callout:
        assert isinstance(await callout.users.verify("Ann", "right"), Subject)
        record = callout.memory.records["u-1"]
        assert "pro" not in record
        for changed in (f"{record[:-4]}AAAA", "", '{"sub": "u-1"}'):
            callout.memory.records["u-1"] = changed
            assert isinstance(await callout.users.subject("u-1"), Unavailable)
        callout.memory.records["u-2"] = record
        assert isinstance(await callout.users.subject("u-2"), Unavailable)


async def test_who_is_not_remembered_is_not_gone(people: FileUsers) -> None:
    async with serving(people, lookup=False) as callout:
        assert isinstance(await callout.users.subject("u-1"), Unavailable)


async def test_a_login_that_cannot_be_remembered_is_none(people: FileUsers, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_arguments: str) -> str | None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(Memory, "keep", fail)
    monkeypatch.setattr(Memory, "recall", fail)
    async with serving(people, lookup=False) as callout:
        assert isinstance(await callout.users.verify("Ann", "right"), Unavailable)
        assert isinstance(await callout.users.subject("u-1"), Unavailable)
        assert isinstance(await callout.users.verify("Ann", "wrong"), InvalidCredentials)


# --- the wire ---


@pytest.mark.item(132)
async def test_a_service_that_is_gone_is_an_outage_and_back_when_it_is_back(people: FileUsers) -> None:
    async with serving(people) as callout:
        assert isinstance(await callout.users.verify("Ann", "right"), Subject)
        port = callout.server.port
        await callout.server.close()
        assert isinstance(await callout.users.verify("Ann", "right"), Unavailable)
        assert isinstance(await callout.users.subject("u-1"), Unavailable)
        application = web.Application()
        application.router.add_post("/{path:.*}", callout.service.handle)
        again = TestServer(application, port=port)
        await again.start_server(shutdown_timeout=0.05)
        assert isinstance(await callout.users.verify("Ann", "right"), Subject)
        await again.close()


@pytest.mark.item(132)
async def test_a_service_that_hangs_is_an_outage_that_ends(people: FileUsers) -> None:
    async def hang(_request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        return web.Response()

    async with serving(people, timeout="100ms") as callout:
        callout.service.answer = hang
        assert isinstance(await callout.users.verify("Ann", "right"), Unavailable)
        assert callout.faults == ["the users' service: no answer: timeout"]


@asynccontextmanager
async def raw(answers: list[bytes]) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that gives one of *answers* per request, on connections that it keeps; b"" closes without one."""
    heads: list[bytes] = []
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
                await reader.readexactly(int(size.partition(b":")[2]))
                heads.append(head)
                if not (answer := answers.pop(0)):
                    break
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", heads
    server.close()
    for writer in writers:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def whole(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


@pytest.mark.parametrize(
    ("answers", "heard", "asked"),
    [
        ([whole(ANN), b"", whole(ANN)], Heard(200, ANN), 3),
        ([whole(ANN), b"", b""], Silence("reset"), 3),
        ([whole(ANN), whole(ANN)[:-1]], None, 2),
    ],
    ids=["closed once", "closed twice", "cut in the middle"],
)
async def test_a_kept_connection_that_was_closed_is_no_outage_and_half_an_answer_is_one(
    answers: list[bytes], heard: object, asked: int
) -> None:
    outbound = Outbound()
    async with raw(answers) as (url, heads):
        service = UsersService(outbound, CalloutConfig.model_validate({"url": url, "timeout": "500ms"}))
        assert await service.ask(url, b"{}") == Heard(200, ANN)
        found = await service.ask(url, b"{}")
        assert found == heard or (heard is None and isinstance(found, Silence))
        assert len(heads) == asked
        await outbound.close()


async def test_only_so_many_ask_at_once_and_what_is_too_much_is_refused_at_once(people: FileUsers) -> None:
    most = 0
    asking = 0
    go = asyncio.Event()

    async def slow(_request: web.Request) -> web.StreamResponse:
        nonlocal most, asking
        asking += 1
        most = max(most, asking)
        await go.wait()
        asking -= 1
        return web.Response(body=ANN)

    async with serving(people, connections=2) as callout:
        callout.service.answer = slow
        waiting = [asyncio.create_task(callout.users.verify("Ann", "right")) for _ in range(2 * 17)]
        while len(callout.service.asked) < 2:
            await asyncio.sleep(0)
        with pytest.raises(Refused) as refused:
            await callout.users.verify("Ann", "right")
        assert refused.value.refusal.status == 503
        go.set()
        assert all(isinstance(who, Subject) for who in await asyncio.gather(*waiting))
    assert most == 2


async def test_the_service_proves_itself_and_may_ask_the_gateway_to(tmp_path: Path, people: FileUsers) -> None:
    authority = Authority(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.file))
    context.verify_mode = ssl.CERT_REQUIRED
    ours, theirs = authority.issue("gateway"), authority.issue("localhost")
    context.load_cert_chain(theirs.certificate, theirs.key)

    async def handle(_request: web.Request) -> web.Response:
        return web.Response(body=ANN)

    application = web.Application()
    application.router.add_post("/", handle)
    server = TestServer(application, scheme="https")
    await server.start_server(ssl=context, shutdown_timeout=0.05)
    url = f"https://localhost:{server.port}/"
    outbound = Outbound()
    shown = {"certificate_file": str(ours.certificate), "key_file": str(ours.key)}
    for more, heard in (
        ({"ca_file": str(authority.file), **shown}, Heard),
        ({"ca_file": str(authority.file)}, Silence),
        (shown, Silence),
        ({}, Silence),
    ):
        service = UsersService(outbound, CalloutConfig.model_validate({"url": url, "timeout": "20s", **more}))
        assert isinstance(await service.ask(url, json.dumps({}).encode()), heard), more
    await outbound.close()
    await server.close()
