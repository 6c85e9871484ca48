"""POST /auth/revoke; checklist 105 of the identity chapter (RFC 7009)."""

from collections.abc import AsyncIterator

import pytest

from gateway.errors import StoreUnavailable
from gateway.tokens.clients import Client, digest
from gateway.tokens.signing import SigningKey
from gateway.tokens.verify import Identity
from tests.endpoints.house import ACCESS_TTL, House, build
from tests.endpoints.test_logout import bearing
from tests.endpoints.test_oauth import SECRET, ask, basic
from tests.endpoints.test_refresh import forged


@pytest.fixture
async def house(key: SigningKey) -> AsyncIterator[House]:
    house = await build(key, {"reports": Client("reports", (digest(SECRET),))})
    yield house
    await house.client.close()
    house.users._pool.close()  # type: ignore[attr-defined]


async def revoke(house: House, token: str, headers: dict[str, str] | None = None, **more: str) -> int:
    answer = await house.client.post("/auth/revoke", data={"token": token, **more}, headers=headers or {})
    if answer.status == 200:
        assert await answer.read() == b""
    return answer.status


async def is_good(house: House, token: str) -> bool:
    return (await house.client.get("/auth/session", headers=bearing(token))).status == 200


@pytest.mark.item(105)
@pytest.mark.parametrize("hint", ["", "refresh_token", "access_token", "nonsense"])
async def test_a_refresh_token_ends_its_session_whatever_the_hint(house: House, hint: str) -> None:
    members = await house.login()
    for _ in range(2):
        assert await revoke(house, members["refresh_token"], token_type_hint=hint) == 200
    assert house.sessions.live == {}
    assert not await is_good(house, members["access_token"])


@pytest.mark.item(105)
@pytest.mark.parametrize("hint", ["", "refresh_token", "access_token"])
async def test_an_access_token_ends_itself_and_no_sibling(house: House, hint: str) -> None:
    members = await house.login()
    sibling = await (await house.client.post("/auth/refresh", json={"refresh_token": members["refresh_token"]})).json()
    for _ in range(2):
        assert await revoke(house, members["access_token"], token_type_hint=hint, client_id="gateway") == 200
    assert not await is_good(house, members["access_token"])
    assert await is_good(house, sibling["access_token"])


@pytest.mark.item(105)
async def test_a_token_that_means_nothing_is_200_and_ends_nothing(house: House) -> None:
    members = await house.login()
    for token in ("x", "gwr_x", "a.b.c", forged(members["refresh_token"]), members["access_token"] + "x", "é"):
        assert await revoke(house, token) == 200
    assert list(house.sessions.live) == [members["session_id"]]
    assert await is_good(house, members["access_token"])


@pytest.mark.item(105)
async def test_an_expired_token_is_200_and_told_to_nobody(house: House) -> None:
    members = await house.login()
    house.clock.now += ACCESS_TTL + 3600
    assert await revoke(house, members["access_token"]) == 200
    assert house.sessions.dead.tokens == set()


@pytest.mark.item(105)
async def test_a_token_of_tomorrow_is_revoked_today(house: House) -> None:
    members = await house.login()
    house.clock.now -= 3600
    assert await revoke(house, members["access_token"]) == 200
    identity = house.services.verifier.verify(members["access_token"].encode(), house.clock.now + 3600)
    assert isinstance(identity, Identity)
    assert house.sessions.dead.tokens == {identity.token_id}


@pytest.mark.item(105)
async def test_without_a_token_it_is_400(house: House) -> None:
    answer = await house.client.post("/auth/revoke", data={"token_type_hint": "access_token"})
    assert (answer.status, (await answer.json())["error"]) == (400, "invalid_request")


@pytest.mark.item(105)
async def test_another_clients_token_is_200_and_not_revoked(house: House) -> None:
    members = await house.login()
    _, program = await ask(house, headers=basic("reports", SECRET), grant_type="client_credentials")
    for token in (members["access_token"], members["refresh_token"]):
        assert await revoke(house, token, basic("reports", SECRET)) == 200
    assert await is_good(house, members["access_token"])
    assert list(house.sessions.live) == [members["session_id"]]
    assert await revoke(house, program["access_token"]) == 200  # having it is no proof of being that program
    assert await is_good(house, program["access_token"])
    assert await revoke(house, program["access_token"], basic("reports", SECRET)) == 200
    assert not await is_good(house, program["access_token"])


async def test_a_wrong_proof_is_401(house: House) -> None:
    members = await house.login()
    answer = await house.client.post(
        "/auth/revoke", data={"token": members["refresh_token"]}, headers=basic("reports", "wrong")
    )
    assert (answer.status, (await answer.json())["error"]) == (401, "invalid_client")
    assert list(house.sessions.live) == [members["session_id"]]


async def test_a_silent_store_is_503_so_that_the_client_asks_again(house: House) -> None:
    members = await house.login()
    house.sessions.fails = StoreUnavailable("down")
    for token in (members["access_token"], members["refresh_token"]):
        assert await revoke(house, token) == 503
