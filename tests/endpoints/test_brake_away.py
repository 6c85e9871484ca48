"""The store that counts guesses is away: no secret is right or wrong then, whoever asks and whatever is sent."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import NamedTuple

import pytest
from aiohttp import ClientResponse

from gateway.tokens.clients import Client
from gateway.tokens.signing import SigningKey
from gateway.users.passwords import Hasher
from tests.endpoints.house import CHEAP, House, build
from tests.endpoints.test_account import enrolled, first_step
from tests.limits.brake import MemoryThrottle

WHEN = [
    pytest.param(True, frozenset(("reserve",)), id="right, before it is checked"),
    pytest.param(False, frozenset(("reserve",)), id="wrong, before it is checked"),
    pytest.param(True, frozenset(("succeeded",)), id="right, when that is written down"),
    pytest.param(False, frozenset(("failed",)), id="wrong, when that is written down"),
]


@pytest.fixture
async def house(key: SigningKey) -> AsyncIterator[House]:
    house = await build(key, {"thought": Client("thought", (Hasher(CHEAP).hash("correct horse"),))})
    yield house
    await house.client.close()
    house.users._pool.close()  # type: ignore[attr-defined]


class Sending(NamedTuple):
    """What is sent, and what of it is the secret."""

    path: str
    body: Mapping[str, str]
    secret: str
    headers: Mapping[str, str] = {}

    async def send(self, house: House, *, right: bool) -> ClientResponse:
        body = self.body if right else {**self.body, self.secret: "wrong"}
        return await house.client.post(self.path, data=body, headers=self.headers)


async def a_login(_house: House) -> Sending:
    return Sending("/auth/login", {"username": "alice", "password": "wonderland", "mode": "cookie"}, "password")


async def a_code(house: House) -> Sending:
    phone, _ = await enrolled(house)
    token = str((await first_step(house))["mfa_token"])
    return Sending("/auth/login/mfa", {"mfa_token": token, "code": phone.code()}, "code")


async def a_new_password(house: House) -> Sending:
    bearer = {"Authorization": f"Bearer {(await house.login())['access_token']}"}
    body = {"current_password": "wonderland", "new_password": "looking-glass"}
    return Sending("/auth/password", body, "current_password", bearer)


async def a_client(_house: House) -> Sending:
    body = {"grant_type": "client_credentials", "client_id": "thought", "client_secret": "correct horse"}
    return Sending("/auth/token", body, "client_secret")


@pytest.mark.item(132)
@pytest.mark.parametrize(("right", "away"), WHEN)
@pytest.mark.parametrize("prepared", [a_login, a_code, a_new_password, a_client])
async def test_an_outage_is_503_and_neither_a_success_nor_a_refusal(
    house: House, prepared: Callable[[House], Awaitable[Sending]], right: bool, away: frozenset[str]
) -> None:
    sending = await prepared(house)
    before = dict(house.accounts.passwords)
    brake = house.services.turnstile._throttle
    assert isinstance(brake, MemoryThrottle)
    brake.away = away
    response = await sending.send(house, right=right)
    text = await response.text()
    assert (response.status, response.headers["X-Gateway-Error"]) == (503, "store_unavailable"), text
    assert "Retry-After" in response.headers
    assert "Set-Cookie" not in response.headers
    assert "access_token" not in text
    assert "10.0.0.1" not in text
    assert house.accounts.passwords == before


@pytest.mark.parametrize("prepared", [a_login, a_new_password, a_client])
async def test_when_the_store_is_back_the_right_secret_is_right(
    house: House, prepared: Callable[[House], Awaitable[Sending]]
) -> None:
    sending = await prepared(house)
    brake = house.services.turnstile._throttle
    assert isinstance(brake, MemoryThrottle)
    brake.away = frozenset(("reserve",))
    assert [(await sending.send(house, right=False)).status for _ in range(20)] == [503] * 20
    brake.away = frozenset()
    assert (await sending.send(house, right=True)).status in (200, 204)
