"""Ratios are formed within a round; the report and its pictures hold what was measured and why something was not."""

import xml.etree.ElementTree as ET

import pytest

from tests.bench import figures, goals, plot, report, tables
from tests.bench.load import Closed, Paced
from tests.bench.measure import Cpu
from tests.bench.samples import DIRECT, Cost, Flow, Idle, Latency, Outcome, Sample, Slow, Streams, Used
from tests.bench.scenarios import SCENARIOS


def cost(peer: str, number: int, microseconds: float) -> Cost:
    """1,000 requests at *microseconds* each."""
    used = Used(wall=1.0, cpu=Cpu(microseconds / 1e3, 0.0), aside=0.0, others=0.0)
    return Cost(peer, number, Closed(1000, 1_000_000, 0, 0, 1, 1), used)


def latency(peer: str, number: int, p50: float) -> Latency:
    return Latency(peer, number, 10.0, Paced(10, 0, 1.0, p50, p50 * 2, p50 * 3), Used(1.0, Cpu(), 0.0, 0.0))


def slow(peer: str, number: int, alone: float, beside: float) -> Slow:
    return Slow(peer, number, Paced(10, 0, 1.0, 1, alone, alone), Paced(10, 0, 1.0, 1, beside, beside), 5000, 3)


def streams(peer: str, number: int, rate: float, peak: int) -> Streams:
    flow = Flow(1000, Used(1000 / rate, Cpu(1e-6, 0.0), 0.0, 0.0), 0, 0, peak)
    return Streams(peer, number, flow, flow)


# The machine was twice as slow in the second round, for everybody.
NOISY = (cost("gateway", 1, 25), cost("envoy", 1, 50), cost("gateway", 2, 50), cost("envoy", 2, 100))


def test_noise_that_hits_all_alike_leaves_the_ratio_alone() -> None:
    assert figures.ratio(NOISY, "gateway", "envoy") == figures.Spread(0.5, 0.5, 0.5)


def test_there_is_no_ratio_to_what_was_not_measured() -> None:
    assert figures.ratio(NOISY, "gateway", "haproxy") is None


def test_added_latency_is_against_the_upstream_alone_in_the_same_round() -> None:
    samples = [latency(DIRECT, 1, 100), latency("envoy", 1, 150), latency(DIRECT, 2, 200), latency("envoy", 2, 260)]
    assert figures.added(samples, "envoy", lambda sample: sample.load.p50) == figures.Spread(55, 50, 60)


def test_a_proxy_that_is_not_installed_has_a_row_with_the_command() -> None:
    text = tables.section(Outcome(SCENARIOS["small"], NOISY, {"haproxy": "not installed: `apt-get install haproxy`"}))
    row = next(line for line in text.splitlines() if line.startswith("| haproxy"))
    assert "apt-get install haproxy" in row
    assert row.count("|") == text.splitlines()[0].count("|")


@pytest.mark.parametrize(
    ("scenario", "samples"),
    [
        pytest.param("small", NOISY, id="cost"),
        pytest.param("latency", (latency(DIRECT, 1, 100), latency("envoy", 1, 150)), id="latency"),
        pytest.param("streams", (streams("gateway", 1, 10.0, 5), streams("nginx", 1, 10.0, 5)), id="streams"),
        pytest.param("slowloris", (slow("gateway", 1, 100, 150),), id="slowloris"),
        pytest.param("features", (cost("gateway", 1, 25), cost("gateway-nolog", 1, 20)), id="features"),
        pytest.param("idle", (Idle("envoy", 1, 10, 0, 10_240), Idle("gateway", 1, 10, 0, 2048)), id="idle"),
    ],
)
def test_every_kind_of_scenario_has_a_table_and_a_well_formed_picture(
    scenario: str, samples: tuple[Sample, ...]
) -> None:
    outcome = Outcome(SCENARIOS[scenario], samples, {"naive": "did not start: a | b"})
    rows = tables.section(outcome).splitlines()
    assert len({row.replace("\\|", "").count("|") for row in rows}) == 1
    picture = plot.chart(outcome)
    assert picture is not None
    root = ET.fromstring(picture)
    bars = root.findall("{http://www.w3.org/2000/svg}rect")
    assert len(bars) == len({sample.peer for sample in samples})


def test_nothing_measured_gives_no_picture() -> None:
    assert plot.chart(Outcome(SCENARIOS["small"], (), {"envoy": "not installed"})) is None


def test_what_a_feature_costs_is_the_difference_to_everything_on() -> None:
    samples = (
        cost("gateway", 1, 25),
        cost("gateway-nolog", 1, 20),
        cost("gateway", 2, 50),
        cost("gateway-nolog", 2, 41),
    )
    text = tables.section(Outcome(SCENARIOS["features"], samples, {}))
    assert "7.0 (5.0-9.0)" in next(line for line in text.splitlines() if "gateway-nolog" in line)


def judged(*outcomes: Outcome) -> dict[str, tuple[str, ...]]:
    return {row[1]: row[2:] for row in goals.rows({outcome.scenario.name: outcome for outcome in outcomes})}


def test_a_goal_says_target_measured_and_met() -> None:
    found = judged(
        Outcome(SCENARIOS["small"], NOISY, {}), Outcome(SCENARIOS["slowloris"], (slow("gateway", 1, 1, 3),), {})
    )
    assert found["CPU per small GET ÷ Envoy with JWT cache"] == ("≤ 0.70 (goal 0.60)", "0.50", "yes")
    assert found["p99 beside 5,000 slow heads ÷ p99 alone"] == ("≤ 2", "3.00", "**no**")


def test_growth_is_judged_by_the_worst_round_and_throughput_beside_nginx() -> None:
    samples = (
        streams("gateway", 1, 60.0, 10**6),
        streams("nginx", 1, 100.0, 0),
        streams("gateway", 2, 60.0, 80 * 10**6),
        streams("nginx", 2, 100.0, 0),
    )
    found = judged(Outcome(SCENARIOS["streams"], samples, {}))
    assert found["growth over 1 GB up and 1 GB down, MB, worst round"][-1] == "**no**"
    assert found["throughput down ÷ nginx"] == ("≥ 0.5", "0.60", "yes")


def test_a_scenario_that_failed_has_its_reason_in_the_report_and_no_goal_is_met_by_it() -> None:
    broken = Outcome(SCENARIOS["streams"], (), {"gateway": "Failed: it broke"})
    text = report.markdown([broken], machine={}, command="again", plots={}, with_goals=True)
    assert "Failed: it broke" in text
    assert {row[-1] for row in judged(broken).values()} == {"-"}
