"""Ratios are formed within a round; the report and its pictures hold what was measured and why something was not."""

import xml.etree.ElementTree as ET

import pytest

from tests.bench import figures, plot, tables
from tests.bench.load import Closed, Paced
from tests.bench.measure import Cpu
from tests.bench.samples import DIRECT, Cost, Idle, Latency, Outcome, Sample, Used
from tests.bench.scenarios import SCENARIOS


def cost(peer: str, number: int, microseconds: float) -> Cost:
    """1,000 requests at *microseconds* each."""
    used = Used(wall=1.0, cpu=Cpu(microseconds / 1e3, 0.0), aside=0.0, others=0.0)
    return Cost(peer, number, Closed(1000, 1_000_000, 0, 0, 1, 1), used)


def latency(peer: str, number: int, p50: float) -> Latency:
    return Latency(peer, number, 10.0, Paced(10, 0, 1.0, p50, p50 * 2, p50 * 3), Used(1.0, Cpu(), 0.0, 0.0))


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
