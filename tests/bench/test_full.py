"""The full run fits its time, the attacker is heard right, and long bodies are counted to the byte."""

import socket

import pytest

from tests.bench import exchange_cost, full, goals, machine, routing_cost, slow, slowloris, streams
from tests.bench.peers import KNOWN
from tests.bench.scenarios import SCENARIOS
from tests.bench.stage import Options


def test_every_step_names_known_proxies_and_every_goal_a_step() -> None:
    steps = {step.name: step for step in full.STEPS}
    assert set(steps) <= set(SCENARIOS)
    assert {name for step in full.STEPS for name in step.of} <= set(KNOWN)
    assert {goal.scenario for goal in goals.GOALS} <= set(steps)


def test_one_round_of_everything_fits_into_the_time() -> None:
    assert sum(full.least(step) for step in full.STEPS) + sum(table.seconds for table in full.TABLES) < full.WITHIN


def test_the_last_step_may_use_all_that_is_left_and_earlier_ones_leave_room() -> None:
    given = Options(patience=10.0)
    first = full.options(full.STEPS[0], 100.0, full.STEPS[1:], given)
    last = full.options(full.STEPS[-1], 100.0, (), given)
    assert last.until == 100.0 + full.WITHIN - sum(table.seconds for table in full.TABLES)
    assert first.until < last.until
    assert (first.rounds, first.seconds) == (4, 3)


@pytest.mark.parametrize(
    ("configured", "compiled", "said"),
    [
        pytest.param("'--enable-shared'", "-O3", "PGO: no, LTO: no", id="neither"),
        pytest.param("'--enable-optimizations' '--with-lto'", "-O3", "PGO: yes, LTO: yes", id="configured"),
        pytest.param("", "-fprofile-use -flto=auto", "PGO: yes, LTO: yes", id="compiled"),
    ],
)
def test_the_build_record_tells_how_an_interpreter_was_optimised(configured: str, compiled: str, said: str) -> None:
    assert machine.optimisations(configured, compiled).startswith(said)


@pytest.mark.parametrize(
    ("printed", "progress"),
    [
        pytest.param("", (0, 0), id="nothing yet"),
        pytest.param("10 0\n5000 7\n", (5000, 7), id="last line"),
        pytest.param("10 0\n5000 7\n50", (5000, 7), id="half a line"),
    ],
)
def test_the_attacker_is_believed_by_its_last_complete_line(printed: str, progress: tuple[int, int]) -> None:
    assert slowloris.progress(printed) == progress


def test_a_slow_connection_that_was_closed_is_counted_and_opened_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        attack = slow.Attack(server.getsockname()[1], 1)
        attack.open(5)
        victim, _ = server.accept()
        with victim:
            victim.sendall(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
            attack.step(1)
        again, _ = server.accept()
        with again:
            assert (attack.held, attack.refused) == (1, 1)
        attack.close()


def test_the_sink_counts_an_upload_to_the_byte() -> None:
    with streams.Sink() as sink:
        assert streams.upload(sink.port, "token", 300_001) == 300_001
        assert sink.received == 300_001


def test_a_message_without_length_is_not_guessed_at() -> None:
    with pytest.raises(ConnectionError):
        streams.content_length(b"HTTP/1.1 200 OK\r\nServer: x")


def test_a_table_is_what_its_program_prints_and_says_why_when_there_is_none() -> None:
    nothing = full.made(full.Table("Nothing", "tests.bench.no_such_module", 5.0), Options())
    assert nothing.startswith("Not measured: ")
    assert "no_such_module" in nothing


def test_every_feature_has_a_row_and_every_request_is_answered() -> None:
    rows = exchange_cost.table(rounds=1, least=0.001).splitlines()
    assert len(rows) == 3 + len(exchange_cost.WITHOUT) + len(exchange_cost.MORE)
    assert len({row.count("|") for row in rows}) == 1


def test_limits_that_cost_more_than_is_said_are_named() -> None:
    assert set(exchange_cost.HELD) <= set(exchange_cost.MORE)
    costs = dict.fromkeys(exchange_cost.HELD, 0.4)
    assert exchange_cost.dear(8.0, costs) == []
    assert exchange_cost.dear(12.0, {**costs, "a rate limit of the route": 1.25}) == []
    costs["a rate limit of the route"] = 1.25
    assert exchange_cost.dear(8.0, costs) == ["a rate limit of the route costs 1.25 µs, and 1.00 is allowed"]


def test_every_kind_of_question_is_asked_of_tables_of_every_size() -> None:
    rows = routing_cost.table((10, 100), rounds=1, count=20).splitlines()
    assert len(rows) == 3 + len(routing_cost.QUESTION_KINDS) + 2
    assert {row.count("|") for row in rows[:-2]} == {5}
