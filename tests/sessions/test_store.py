"""The store on both servers, and beside the model of its state table."""

from collections.abc import AsyncIterator

import pytest

from gateway.errors import ConfigError, StoreUnavailable
from gateway.sessions import replies
from gateway.sessions.address import parse
from gateway.sessions.replies import text
from gateway.sessions.store import SessionStore, connect

from .conftest import Server, emptied
from .contract import SessionStoreContract
from .servers import Nodes


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


class TestOnTheOldestRedis(SessionStoreContract):
    """6.2: no command and no option of a script is newer."""

    @pytest.fixture
    async def store(self, oldest_redis: Server) -> AsyncIterator[SessionStore]:
        async for store in emptied(oldest_redis):
            yield store

    async def test_it_is_the_oldest(self, store: SessionStore) -> None:
        assert "redis_version:6.2." in text(await store.link.command("INFO", "server"))


class TestOnACluster(SessionStoreContract):
    """Three nodes: whatever a call names is in one slot."""

    @pytest.fixture
    async def store(self, nodes: Nodes) -> AsyncIterator[SessionStore]:
        async for store in emptied(nodes):
            yield store


@pytest.mark.parametrize(
    ("url", "said"),
    [
        pytest.param("http://127.0.0.1", "redis://", id="another protocol"),
        pytest.param("127.0.0.1", "no URL", id="no protocol"),
        pytest.param("unix://", "full path", id="socket without a path"),
        pytest.param("redis://h?retry_on_timeout=1", "retry_on_timeout", id="hidden retries"),
        pytest.param("redis://h?socket_timeout=60", "socket_timeout", id="another deadline"),
        pytest.param("redis://h?ssl_cert_reqs=maybe", "required", id="half a check"),
        pytest.param("redis://h:99999", "proper host", id="impossible port"),
        pytest.param("redis://h/main", "number", id="a named database"),
        pytest.param("redis://a,b", r"redis\+cluster", id="two servers"),
        pytest.param("redis+sentinel://a,b", "by its name", id="Sentinels without a name"),
        pytest.param("redis+cluster://a,b/1", "no databases", id="database of a cluster"),
        pytest.param("redis+ring://a,b", "not known", id="another topology"),
    ],
)
def test_an_address_that_cannot_be_used_is_a_config_error(url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        connect(url)


@pytest.mark.parametrize("prefix", ["", "a{b}", "a b", "ä", "a\n"])
def test_a_prefix_that_would_move_keys_is_a_config_error(prefix: str) -> None:
    with pytest.raises(ConfigError, match=r"store\.prefix"):
        connect("redis://127.0.0.1", prefix=prefix)


@pytest.mark.parametrize(
    ("url", "hosts", "rest"),
    [
        ("valkey://h:1", [("h", 1)], {}),
        ("redis://h/2", [("h", 6379)], {"database": 2}),
        ("rediss://H?ssl_ca_certs=ca.pem", [("h", 6379)], {"is_tls": True}),
        ("valkeys://u:p%40@h", [("h", 6379)], {"is_tls": True, "username": "u", "password": "p@"}),
        ("redis://u@[::1]:7", [("::1", 7)], {"username": "u", "password": None}),
        ("unix:///a%20b?db=1", [], {"socket": "/a b", "database": 1}),
        ("redis+sentinel://a,b:1/main/3", [("a", 26379), ("b", 1)], {"primary": "main", "database": 3}),
        ("valkeys+sentinel://:p@a/main", [("a", 26379)], {"is_tls": True, "password": "p", "username": None}),
        ("rediss+cluster://a:1,[fe80::1]:80", [("a", 1), ("fe80::1", 80)], {"is_tls": True}),
    ],
)
async def test_the_usual_addresses_are_understood(
    url: str, hosts: list[tuple[str, int]], rest: dict[str, object]
) -> None:
    place = parse(url)
    assert list(place.hosts) == hosts
    assert {name: getattr(place, name) for name in rest} == rest
    await connect(url, "secret").close()


def test_a_password_is_never_printed() -> None:
    assert "secret" not in repr(connect("redis://:secret@h", "secret").address)


@pytest.mark.parametrize("reply", [[b"strange"], [b"rotated", 1], [b"rotated", b"x", 1, 1, 1, b"", *[b""] * 6], []])
def test_an_answer_that_is_not_ours_counts_as_no_answer(reply: list[replies.Reply]) -> None:
    with pytest.raises(StoreUnavailable):
        replies.refresh(reply)
