"""Every kind of trouble has a name, a remedy, and a line in the documentation; the breaker waits for nobody twice."""

from pathlib import Path

import pytest
from redis.exceptions import (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    BusyLoadingError,
    MovedError,
    NoScriptError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.errors import StoreUnavailable
from gateway.sessions.breaker import Breaker
from gateway.sessions.trouble import ADVICE, SILENT, Elsewhere, unavailable

_DEAD = "READONLY You can't write against a read only replica. script: abc, on @user_script:12."


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RedisTimeoutError("Timeout reading from h:6379"), "timeout"),
        (TimeoutError(), "timeout"),
        (RedisConnectionError("Error 111 connecting to h:6379. Connection refused."), "connection"),
        (ConnectionResetError(104, "reset"), "connection"),
        (RedisConnectionError("No connection available."), "pool"),
        (RedisConnectionError("max number of clients reached"), "maxclients"),
        (RedisConnectionError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"), "tls"),
        (AuthenticationError("invalid username-password pair or user is disabled."), "auth"),
        (ResponseError("NOAUTH Authentication required."), "auth"),
        (AuthenticationWrongNumberOfArgsError("wrong number of arguments for 'auth' command"), "refused"),
        (ResponseError("NOPERM this user has no permissions to run the 'evalsha' command"), "permission"),
        (ResponseError(_DEAD), "readonly"),
        (ResponseError(f"Error running script (call to f_1): @user_script:3: -{_DEAD}"), "readonly"),
        (BusyLoadingError("Redis is loading the dataset in memory"), "loading"),
        (
            ResponseError("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."),
            "masterdown",
        ),
        (ResponseError("-OOM command not allowed when used memory > 'maxmemory'."), "memory"),
        (ResponseError("MISCONF Redis is configured to save RDB snapshots"), "disk"),
        (ResponseError("NOREPLICAS Not enough good replicas to write."), "noreplicas"),
        (ResponseError("BUSY Redis is busy running a script."), "busy"),
        (NoScriptError("No matching script. Please use EVAL."), "noscript"),
        (ResponseError("unknown command 'EVALSHA'"), "refused"),
    ],
)
def test_what_a_server_says_has_a_name(error: Exception, kind: str) -> None:
    trouble = unavailable("EVALSHA", error)
    assert trouble.kind == kind
    assert trouble.kind in ADVICE


def test_a_node_that_names_another_says_which() -> None:
    trouble = unavailable("EVALSHA", MovedError("7398 10.0.0.7:7001"))
    assert isinstance(trouble, Elsewhere)
    assert (trouble.kind, *trouble.node) == ("moved", "10.0.0.7", 7001)


def test_trouble_stays_what_it_is() -> None:
    trouble = StoreUnavailable("x", "busy")
    assert unavailable("EVALSHA", trouble) is trouble
    assert unavailable("EVALSHA", RedisError()).kind == "refused"


def test_every_kind_is_explained_and_none_is_invented() -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "operation.md").read_text()
    table = page.partition("| Kind | What to do |\n")[2].partition("\n\n")[0]
    names = {name.strip("` ") for line in table.splitlines()[1:] for name in line.split("|")[1].split(",")}
    assert names == set(ADVICE)
    assert set(ADVICE) >= SILENT


class TestBreaker:
    def breaker(self) -> Breaker:
        self.now = 100.0
        return Breaker(lambda: self.now, limit=3, pause=1.0)

    def test_it_opens_after_some_silences_in_a_row(self) -> None:
        breaker = self.breaker()
        for _ in range(3):
            assert breaker.admits()
            breaker.silent()
        assert not breaker.admits()
        assert breaker.is_open

    def test_any_answer_counts_as_one(self) -> None:
        breaker = self.breaker()
        for _ in range(10):
            breaker.silent()
            breaker.silent()
            breaker.answered()
        assert breaker.admits()

    def test_one_call_a_pause_is_let_through(self) -> None:
        breaker = self.breaker()
        for _ in range(3):
            breaker.silent()
        self.now += 1.0
        assert [breaker.admits() for _ in range(5)] == [True, False, False, False, False]
        breaker.silent()
        assert not breaker.admits()
        self.now += 1.0
        assert breaker.admits()
        breaker.answered()
        assert [breaker.admits() for _ in range(5)] == [True] * 5
