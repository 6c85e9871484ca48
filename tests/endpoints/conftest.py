"""The house, once per test; its key once for all."""

from collections.abc import AsyncIterator

import pytest

from gateway.tokens.signing import SigningKey, generate_key
from tests.endpoints.house import House, build


@pytest.fixture(scope="session")
def key() -> SigningKey:
    return generate_key("ES256")


@pytest.fixture
async def house(key: SigningKey) -> AsyncIterator[House]:
    house = await build(key)
    yield house
    await house.client.close()
    house.users._pool.close()  # type: ignore[attr-defined]
