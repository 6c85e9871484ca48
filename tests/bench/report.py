"""The answer as Markdown: one table per scenario, ratios paired round by round."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import NamedTuple

from tests.bench.peers import PEERS
from tests.bench.samples import DIRECT, Cost, Idle, Latency, Outcome, Sample
from tests.bench.scenarios import Kind

REFERENCES = ("envoy", "haproxy", "nginx")
"""The proxies everything is put in relation to."""


class Spread(NamedTuple):
    """Median, least and greatest of some rounds."""

    middle: float
    least: float
    most: float

    def text(self, digits: int) -> str:
        """`23.1 (22.8-24.0)`; the middle alone when there was one round."""
        if self.least == self.most:
            return f"{self.middle:,.{digits}f}"
        return f"{self.middle:,.{digits}f} ({self.least:,.{digits}f}-{self.most:,.{digits}f})"


def spread(values: Iterable[float]) -> Spread:
    found = list(values)
    return Spread(median(found), min(found), max(found))


def value(sample: Sample) -> float:
    """The figure a scenario is about: microseconds, or bytes of a quiet connection."""
    match sample:
        case Cost() | Latency():
            return sample.microseconds
        case Idle():
            return sample.each


def ratio(samples: Sequence[Sample], peer: str, reference: str) -> Spread | None:
    """*peer* divided by *reference*, both of the same round; below 1 is cheaper than the reference."""
    others = {sample.round: value(sample) for sample in samples if sample.peer == reference}
    own = {sample.round: value(sample) for sample in samples if sample.peer == peer}
    pairs = [own[number] / others[number] for number in own if others.get(number)]
    return spread(pairs) if pairs else None


def added(samples: Sequence[Sample], peer: str, pick: Callable[[Latency], float]) -> Spread | None:
    """What *peer* adds to the latency of the upstream alone, microseconds, paired by round."""
    paced = [sample for sample in samples if isinstance(sample, Latency)]
    alone = {sample.round: pick(sample) for sample in paced if sample.peer == DIRECT}
    pairs = [pick(sample) - alone[sample.round] for sample in paced if sample.peer == peer and sample.round in alone]
    return spread(pairs) if pairs else None


def markdown(outcomes: Sequence[Outcome], *, machine: Mapping[str, str], command: str, plots: Mapping[str, str]) -> str:
    """The whole report; *plots* maps a scenario to the address of its picture."""
    names = sorted({name for each in outcomes for name in _names(each) if name in PEERS}, key=list(PEERS).index)
    parts = [_INTRODUCTION, f"```sh\n{command}\n```", _table(("machine", ""), list(machine.items()))]
    for outcome in outcomes:
        parts.append(f"## `{outcome.scenario.name}`: {outcome.scenario.headline}")
        parts.append(section(outcome))
        if outcome.scenario.name in plots:
            parts.append(f"![{outcome.scenario.headline}]({plots[outcome.scenario.name]})")
    measured = {sample.peer for outcome in outcomes for sample in outcome.samples}
    rows = [
        (
            name,
            PEERS[name].title,
            PEERS[name].version() if name in measured else "-",
            PEERS[name].does,
            PEERS[name].records,
        )
        for name in names
    ]
    parts += ["## What was on", _table(("name", "proxy", "version", "does per request", "log and metrics"), rows)]
    return "\n\n".join(parts) + "\n"


def section(outcome: Outcome) -> str:
    """The table of one scenario."""
    match outcome.scenario.kind:
        case Kind.COST:
            return _costs(outcome)
        case Kind.LATENCY:
            return _latencies(outcome)
        case Kind.IDLE:
            return _idles(outcome)


def summary(outcome: Outcome) -> str:
    """The ratios in lines for the terminal."""
    lines = [f"{outcome.scenario.name}: {outcome.scenario.headline}"]
    for name in _names(outcome):
        own = [value(sample) for sample in outcome.samples if sample.peer == name]
        if name in outcome.left_out:
            lines.append(f"  {name:14} {outcome.left_out[name].splitlines()[0]}")
        elif own and name != DIRECT:
            against = [
                f"{found.text(2)} of {reference}"
                for reference in REFERENCES
                if reference != name and (found := ratio(outcome.samples, name, reference)) is not None
            ]
            unit = "B/connection" if outcome.scenario.kind is Kind.IDLE else "us/request"
            lines.append(f"  {name:14} {spread(own).text(1)} {unit}; " + ", ".join(against))
    return "\n".join(lines)


def _costs(outcome: Outcome) -> str:
    rows = []
    for name in _names(outcome):
        own = [sample for sample in outcome.samples if isinstance(sample, Cost) and sample.peer == name]
        if not own:
            rows.append(_absent(name, outcome))
            continue
        cpu = [
            (each.used.cpu.user / each.load.requests * 1e6, each.used.cpu.system / each.load.requests * 1e6)
            for each in own
        ]
        store = median(each.used.aside / each.load.requests * 1e6 for each in own)
        rows.append(
            (
                _bold(name),
                _bold(spread(each.microseconds for each in own).text(1), name)
                + (f" + {store:.2f} store" if PEERS[name].only_first_process else ""),
                f"{median(user for user, _ in cpu):.1f} + {median(system for _, system in cpu):.1f}",
                *_ratios(outcome, name),
                f"{median(each.load.rate for each in own):,.0f}",
                f"{median(each.used.cpu.total / each.used.wall for each in own):.0%}",
                f"{median(each.used.others for each in own):.0%}",
            )
        )
    head = ("proxy", "CPU µs / request", "user + system", *(f"÷ {name}" for name in REFERENCES))
    return _table((*head, "requests/s", "core used", "others on it"), rows)


def _latencies(outcome: Outcome) -> str:
    rows = []
    for name in _names(outcome):
        own = [sample for sample in outcome.samples if isinstance(sample, Latency) and sample.peer == name]
        if not own:
            rows.append(_absent(name, outcome))
            continue
        plain = [spread(pick(each) for each in own).text(0) for pick in (_p50, _p99, _p999)]
        more = [
            found.text(0) if name != DIRECT and (found := added(outcome.samples, name, pick)) is not None else ""
            for pick in (_p50, _p99, _p999)
        ]
        cost = "" if name == DIRECT else spread(each.microseconds for each in own).text(1)
        rows.append((_bold(name), f"{median(each.load.rate for each in own):,.0f}", *plain, *more, cost))
    head = ("proxy", "requests/s", "p50 µs", "p99 µs", "p99.9 µs", "added p50", "added p99", "added p99.9")
    return _table((*head, "CPU µs / request"), rows)


def _p50(sample: Latency) -> float:
    return sample.load.p50


def _p99(sample: Latency) -> float:
    return sample.load.p99


def _p999(sample: Latency) -> float:
    return sample.load.p999


def _idles(outcome: Outcome) -> str:
    rows = []
    for name in _names(outcome):
        own = [sample for sample in outcome.samples if isinstance(sample, Idle) and sample.peer == name]
        if not own:
            rows.append(_absent(name, outcome))
            continue
        rows.append(
            (
                _bold(name),
                _bold(spread(each.each / 1024 for each in own).text(2), name),
                *_ratios(outcome, name),
                f"{median(each.before for each in own) / 2**20:.1f}",
                f"{median(each.holding for each in own) / 2**20:.1f}",
                f"{own[0].connections:,}",
            )
        )
    head = ("proxy", "KiB / connection", *(f"÷ {name}" for name in REFERENCES))
    return _table((*head, "MiB before", "MiB holding", "connections"), rows)


def _ratios(outcome: Outcome, name: str) -> list[str]:
    found = [None if reference == name else ratio(outcome.samples, name, reference) for reference in REFERENCES]
    return ["" if each is None else each.text(2) for each in found]


def _names(outcome: Outcome) -> list[str]:
    """Proxies of a scenario in the report's order."""
    here = {sample.peer for sample in outcome.samples} | set(outcome.left_out)
    return [name for name in (DIRECT, *PEERS) if name in here]


def _absent(name: str, outcome: Outcome) -> tuple[str, ...]:
    reason = " ".join(outcome.left_out.get(name, "not measured").split())[:300].replace("|", "\\|")
    return (_bold(name), reason)


def _bold(text: str, name: str | None = None) -> str:
    return f"**{text}**" if (name or text) == "gateway" else text


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; a row that is too short is filled up."""
    lines = [head, ["---"] * len(head), *([*row, *[""] * (len(head) - len(row))] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


_INTRODUCTION = """\
# Benchmarks

What one request costs the proxy itself: processor time, user and system, of all its processes on the request's way,
read from `/proc/PID/stat` before and after a counted load, divided by the requests. Every proxy has one worker thread
and is pinned to one core; the load generator and the upstream share another. All of it is on the loopback. Before a
proxy is measured it must answer 200 to a good token, 401 to none, to a forged, an expired, an unsigned and a
key-confused one, and 401 or 403 to one without the role; a proxy that fails this gets no figure.

Each round starts every proxy afresh, in an order that turns from round to round. Figures are the median of the rounds
with the least and the greatest; ratios are formed within a round and their median shown, so they suffer less from a
shared machine than the figures themselves: **read the ratios**. `÷ envoy` 0.50 means half of Envoy's processor time.
"Others on it" is what everything else did to the proxy's core meanwhile; a load with more than a tenth of that is
repeated up to twice and the least disturbed one counts. A proxy that leaves its core partly idle was
faster than the load core; its cost per request is then a little higher than under saturation, as it finds fewer
requests ready at a time. Added latency is against the same paced load sent to the upstream itself."""
