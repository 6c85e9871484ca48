"""The store on both servers, and beside the model of its state table."""

from collections.abc import AsyncIterator

import pytest

from gateway.errors import ConfigError, StoreUnavailable
from gateway.sessions import replies
from gateway.sessions.store import SessionStore, connect

from .conftest import Server, emptied
from .contract import SessionStoreContract


class TestOnEmbeddedValkey(SessionStoreContract):
    @pytest.fixture
    async def store(self, valkey: Server) -> AsyncIterator[SessionStore]:
        async for store in emptied(valkey):
            yield store


class TestOnRedisServer(SessionStoreContract):
    @pytest.fixture
    async def store(self, redis: Server) -> AsyncIterator[SessionStore]:
        async for store in emptied(redis):
            yield store


@pytest.mark.parametrize(
    ("url", "said"),
    [
        pytest.param("http://127.0.0.1", "redis://", id="another protocol"),
        pytest.param("redis+cluster://a,b", "redis://", id="cluster"),
        pytest.param("unix://", "path of a socket", id="socket without a path"),
        pytest.param("redis://h?retry_on_timeout=1", "retry_on_timeout", id="hidden retries"),
        pytest.param("redis://h?socket_timeout=60", "socket_timeout", id="another deadline"),
        pytest.param("redis://h:99999", "store.url", id="impossible port"),
    ],
)
def test_an_address_that_cannot_be_used_is_a_config_error(url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        connect(url)


@pytest.mark.parametrize("prefix", ["", "a{b}", "a b", "ä", "a\n"])
def test_a_prefix_that_would_move_keys_is_a_config_error(prefix: str) -> None:
    with pytest.raises(ConfigError, match=r"store\.prefix"):
        connect("redis://127.0.0.1", prefix=prefix)


@pytest.mark.parametrize("url", ["valkey://h:1", "redis://h/2", "rediss://h", "valkeys://u:p@h", "unix:///a%20b?db=1"])
async def test_the_usual_addresses_are_understood(url: str) -> None:
    await connect(url, "secret").close()


def test_a_password_is_never_printed() -> None:
    assert "secret" not in repr(connect("redis://:secret@h", "secret").address)


@pytest.mark.parametrize("reply", [[b"strange"], [b"rotated", 1], [b"rotated", b"x", 1, 1, 1, b"", *[b""] * 6], []])
def test_an_answer_that_is_not_ours_counts_as_no_answer(reply: list[replies.Reply]) -> None:
    with pytest.raises(StoreUnavailable):
        replies.refresh(reply)
