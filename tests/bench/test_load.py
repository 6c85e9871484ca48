"""What the load generators print is read as it was meant."""

import pytest

from tests.bench import load, logins
from tests.bench.processes import Failed
from tests.bench.scenarios import Call

_WRK = """\
Running 2s test @ http://127.0.0.1:1
  35998 requests in 2.00s, 20.05MB read
BENCH {"requests": 35998, "microseconds": 2000100, "refused": 3, "broken": 1, "p50": 900, "p99": 2100}
"""


def test_the_summary_of_wrk_is_found_among_its_talk() -> None:
    closed = load.parse_wrk(_WRK)
    assert (closed.requests, closed.refused, closed.broken) == (35998, 3, 1)
    assert closed.rate == pytest.approx(17998.1, abs=0.1)


def test_a_wrk_without_summary_failed() -> None:
    with pytest.raises(Failed, match="unable to connect"):
        load.parse_wrk("unable to connect to 127.0.0.1:1")


@pytest.mark.parametrize(
    ("paced", "met"),
    [
        (load.Paced(8000, 0, 8.0, 500.0, 20_000.0, 30_000.0), True),
        (load.Paced(8000, 0, 8.0, 500.0, 20_100.0, 30_000.0), False),
        (load.Paced(8000, 1, 8.0, 500.0, 600.0, 700.0), False),
        (load.Paced(0, 0, 8.0, 0.0, 0.0, 0.0), False),
    ],
    ids=["met", "too slow", "refused", "nothing was asked"],
)
def test_what_people_who_log_in_may_cost_others_is_judged(paced: load.Paced, met: bool) -> None:
    said, judged = logins.goal(paced)
    assert judged is met
    assert said.endswith("| yes |" if met else "| **no** |")


def test_latencies_of_the_settling_time_do_not_count_and_their_requests_do() -> None:
    rows = ["0\t200\t90000", "100000\t200\t80000", "500000\t200\t100", "600000\t200\t300", "1000000\t401\t200"]
    paced = load.parse_h2load("\n".join(rows))
    assert (paced.requests, paced.refused, paced.seconds) == (5, 1, 1.0)
    assert (paced.p50, paced.p999) == (200, 300)


@pytest.mark.parametrize("log", ["", "5\t200\t100\n"], ids=["empty", "too short"])
def test_a_paced_load_without_latencies_failed(log: str) -> None:
    with pytest.raises(Failed):
        load.parse_h2load(log)


@pytest.mark.parametrize(
    ("rank", "value"),
    [pytest.param(50, 5, id="median"), pytest.param(99, 10, id="p99"), pytest.param(0.1, 1, id="lowest")],
)
def test_a_percentile_is_the_nearest_rank(rank: float, value: float) -> None:
    assert load.percentile(range(1, 11), rank) == value


def test_calls_come_as_often_as_their_share_and_spread_out() -> None:
    common, rare = Call("GET", "/a", share=4), Call("GET", "/b", share=1)
    order = load.interleaved([common, rare])
    assert order.count(common) == 4
    assert order.index(rare) == 2
