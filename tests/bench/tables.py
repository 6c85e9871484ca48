"""The table of one scenario, in the columns its kind asks for."""

from collections.abc import Sequence
from statistics import median

from tests.bench.figures import added, paired, ratio, spread
from tests.bench.peers import KNOWN
from tests.bench.samples import DIRECT, Cost, Flow, Idle, Latency, Outcome, Slow, Streams
from tests.bench.scenarios import Kind, Tokens

REFERENCES = ("envoy", "haproxy", "nginx")
"""The proxies everything is put in relation to."""


def section(outcome: Outcome) -> str:
    """The table of one scenario."""
    match outcome.scenario.kind:
        case Kind.COST:
            return _costs(outcome)
        case Kind.LATENCY:
            return _latencies(outcome)
        case Kind.IDLE:
            return _idles(outcome)
        case Kind.STREAMS:
            return _streams(outcome)
        case Kind.SLOW:
            return _slow(outcome)
        case Kind.FEATURES:
            return _features(outcome)


def references(outcome: Outcome) -> list[str]:
    """The proxies this scenario puts the others in relation to: those of `REFERENCES` that it has."""
    wanted = [*REFERENCES, "envoy-nocache"] if outcome.scenario.tokens is Tokens.FRESH else REFERENCES
    return [name for name in wanted if name in names(outcome)]


def names(outcome: Outcome) -> list[str]:
    """Proxies of a scenario in the report's order."""
    here = {sample.peer for sample in outcome.samples} | set(outcome.left_out)
    return [name for name in (DIRECT, *KNOWN) if name in here]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; a row that is too short is filled up."""
    lines = [head, ["---"] * len(head), *([*row, *[""] * (len(head) - len(row))] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _costs(outcome: Outcome) -> str:
    rows = []
    for name in names(outcome):
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
                + (f" + {store:.2f} store" if KNOWN[name].only_first_process else ""),
                f"{median(user for user, _ in cpu):.1f} + {median(system for _, system in cpu):.1f}",
                *_ratios(outcome, name),
                f"{median(each.load.rate for each in own):,.0f}",
                spread(each.load.p99 / 1e3 for each in own).text(1),
                f"{median(each.used.cpu.total / each.used.wall for each in own):.0%}",
                f"{median(each.used.others for each in own):.0%}",
            )
        )
    head = ("proxy", "CPU µs / request", "user + system", *(f"÷ {name}" for name in references(outcome)))
    return table((*head, "requests/s", "p99 ms", "core used", "others on it"), rows)


def _latencies(outcome: Outcome) -> str:
    rows = []
    for name in names(outcome):
        own = [sample for sample in outcome.samples if isinstance(sample, Latency) and sample.peer == name]
        if not own:
            rows.append(_absent(name, outcome))
            continue
        plain = [spread(pick(each) for each in own).text(0) for pick in (_p50, p99, _p999)]
        more = [
            found.text(0) if name != DIRECT and (found := added(outcome.samples, name, pick)) is not None else ""
            for pick in (_p50, p99, _p999)
        ]
        cost = "" if name == DIRECT else spread(each.microseconds for each in own).text(1)
        rows.append((_bold(name), f"{median(each.load.rate for each in own):,.0f}", *plain, *more, cost))
    head = ("proxy", "requests/s", "p50 µs", "p99 µs", "p99.9 µs", "added p50", "added p99", "added p99.9")
    return table((*head, "CPU µs / request"), rows)


def _p50(sample: Latency) -> float:
    return sample.load.p50


def p99(sample: Latency) -> float:
    """The 99th percentile of a paced load."""
    return sample.load.p99


def _p999(sample: Latency) -> float:
    return sample.load.p999


def _idles(outcome: Outcome) -> str:
    rows = []
    for name in names(outcome):
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
    head = ("proxy", "KiB / connection", *(f"÷ {name}" for name in references(outcome)))
    return table((*head, "MiB before", "MiB holding", "connections"), rows)


def _streams(outcome: Outcome) -> str:
    rows = []
    for name in names(outcome):
        own = [sample for sample in outcome.samples if isinstance(sample, Streams) and sample.peer == name]
        if not own:
            rows.append(_absent(name, outcome))
            continue
        for direction in ("up", "down"):
            flows: list[Flow] = [each.up if direction == "up" else each.down for each in own]
            rows.append(
                (
                    _bold(name),
                    direction,
                    spread(flow.rate / 1e6 for flow in flows).text(0),
                    spread(flow.per_gigabyte for flow in flows).text(2),
                    spread(flow.growth / 2**20 for flow in flows).text(1),
                    f"{median(flow.after - flow.before for flow in flows) / 2**20:.1f}",
                    f"{median(flow.used.cpu.total / flow.used.wall for flow in flows):.0%}",
                    f"{median(flow.used.others for flow in flows):.0%}",
                )
            )
    head = ("proxy", "", "MB/s", "CPU s / GB", "grew to its peak, MiB", "kept, MiB", "core used", "others on it")
    return table(head, rows)


def _slow(outcome: Outcome) -> str:
    rows = []
    for name in names(outcome):
        own = [sample for sample in outcome.samples if isinstance(sample, Slow) and sample.peer == name]
        if not own:
            rows.append(_absent(name, outcome))
            continue
        rows.append(
            (
                _bold(name),
                f"{median(each.alone.rate for each in own):,.0f}",
                spread(each.alone.p50 for each in own).text(0),
                spread(each.beside.p50 for each in own).text(0),
                spread(each.alone.p99 for each in own).text(0),
                spread(each.beside.p99 for each in own).text(0),
                _bold(spread(each.factor for each in own).text(2), name),
                f"{min(each.held for each in own):,}",
                f"{median(each.refused for each in own):,.0f}",
            )
        )
    head = ("proxy", "requests/s", "p50 µs alone", "p50 beside", "p99 µs alone", "p99 beside", "p99 times")
    return table((*head, "slow held", "given up on"), rows)


def _features(outcome: Outcome) -> str:
    rows = []
    for name in names(outcome):
        own = [sample for sample in outcome.samples if isinstance(sample, Cost) and sample.peer == name]
        if not own:
            rows.append(_absent(name, outcome))
            continue
        saved = paired(outcome.samples, "gateway", name, lambda everything, without: everything - without)
        rows.append(
            (
                _bold(name),
                KNOWN[name].title if name != "gateway" else "everything on",
                spread(each.microseconds for each in own).text(1),
                "" if saved is None or name == "gateway" else _bold(saved.text(1), "gateway"),
                f"{median(each.load.rate for each in own):,.0f}",
                f"{median(each.used.others for each in own):.0%}",
            )
        )
    return table(
        ("configuration", "", "CPU µs / request", "what is off costs, µs", "requests/s", "others on its core"), rows
    )


def _ratios(outcome: Outcome, name: str) -> list[str]:
    found = [
        None if reference == name else ratio(outcome.samples, name, reference) for reference in references(outcome)
    ]
    return ["" if each is None else each.text(2) for each in found]


def _absent(name: str, outcome: Outcome) -> tuple[str, ...]:
    reason = " ".join(outcome.left_out.get(name, "not measured").split())[:300].replace("|", "\\|")
    return (_bold(name), reason)


def _bold(text: str, name: str | None = None) -> str:
    return f"**{text}**" if (name or text) == "gateway" else text
