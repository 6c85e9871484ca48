"""The answer as Markdown: goals first, one table per scenario, and what was measured with what."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from tests.bench import goals
from tests.bench.figures import ratio, spread, value
from tests.bench.peers import KNOWN
from tests.bench.samples import DIRECT, Outcome
from tests.bench.scenarios import Kind
from tests.bench.tables import names, references, section, table


def markdown(
    outcomes: Sequence[Outcome],
    *,
    machine: Mapping[str, str],
    command: str,
    plots: Mapping[str, str],
    extras: Mapping[str, str] = MappingProxyType({}),
    with_goals: bool = False,
) -> str:
    """The whole report; *plots* maps a scenario to the address of its picture, *extras* a title to what is below it."""
    parts = [
        _INTRODUCTION,
        "## How to repeat it",
        f"```sh\n{command}\n```",
        table(("made with", ""), list(machine.items())),
    ]
    if with_goals:
        judged = goals.rows({outcome.scenario.name: outcome for outcome in outcomes})
        parts += ["## What it must show", table(("", "figure", "target", "measured", "met"), judged)]
    for outcome in outcomes:
        scenario = outcome.scenario
        parts += [f"## `{scenario.name}`: {scenario.headline}", section(outcome)]
        if note := " ".join(filter(None, (_length(outcome), _NOTES.get(scenario.kind)))):
            parts.append(note)
        if scenario.name in plots:
            parts.append(f"![{scenario.headline}]({plots[scenario.name]})")
    for title, text in extras.items():
        parts += [f"## {title}", text]
    measured = {sample.peer for outcome in outcomes for sample in outcome.samples}
    here = {name for each in outcomes for name in names(each)}
    rows = [
        (name, peer.title, peer.version() if name in measured else "-", peer.does, peer.records)
        for name, peer in KNOWN.items()
        if name in here
    ]
    parts += ["## What was on", table(("name", "proxy", "version", "does per request", "log and metrics"), rows)]
    return "\n\n".join(parts) + "\n"


def _length(outcome: Outcome) -> str:
    """How often and how long."""
    if not outcome.samples or not outcome.seconds:
        return ""
    rounds = max(sample.round for sample in outcome.samples)
    noun = "round" if rounds == 1 else "rounds"
    timed = outcome.scenario.kind not in (Kind.IDLE, Kind.STREAMS)
    return f"{rounds} {noun}" + (f" of {outcome.seconds} s." if timed else ".")


def summary(outcome: Outcome) -> str:
    """The ratios in lines for the terminal."""
    lines = [f"{outcome.scenario.name}: {outcome.scenario.headline}"]
    for name in names(outcome):
        own = [value(sample) for sample in outcome.samples if sample.peer == name]
        if name in outcome.left_out:
            lines.append(f"  {name:14} {(outcome.left_out[name].splitlines() or ['failed'])[0]}")
        elif own and name != DIRECT:
            against = [
                f"{found.text(2)} of {reference}"
                for reference in references(outcome)
                if reference != name and (found := ratio(outcome.samples, name, reference)) is not None
            ]
            lines.append(f"  {name:14} {spread(own).text(2)} {_UNITS[outcome.scenario.kind]}; " + ", ".join(against))
    return "\n".join(lines)


_UNITS = {
    Kind.COST: "us/request",
    Kind.FEATURES: "us/request",
    Kind.LATENCY: "us/request",
    Kind.IDLE: "B/connection",
    Kind.STREAMS: "s/GB",
    Kind.SLOW: "us p99 beside slow heads",
}

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

_NOTES = {
    Kind.STREAMS: "Ten clients at once, 100 MB each, first all up, then all down, through the same process. Down comes "
    "from nginx; up goes to a reader of our own, because nginx would answer an upload before it has read it. nginx as "
    "the proxy passes bodies on as they come (`proxy_request_buffering off`, no files). Growth is the highest VmHWM "
    "less VmRSS before. Clients, upstream and reader share the load's core.",
    Kind.SLOW: "Slow connections send a byte of a header every 3 s and are opened over 10 s; those the proxy gives up "
    "on are opened anew at once. They are sent from the load's core, so what they disturb there counts too.",
    Kind.FEATURES: "What a feature costs is the difference to everything on, formed within a round. What has no "
    "switch is listed below, measured without sockets.",
    Kind.IDLE: "Read after 8 s of quiet, as the gateway gives a part back after 5 s.",
}
"""What a reader has to know of a kind of scenario."""
