"""A bar chart as SVG, written by hand: the median as a bar, least and greatest as a whisker."""

from collections.abc import Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

from tests.bench.figures import Spread, spread
from tests.bench.peers import KNOWN
from tests.bench.samples import DIRECT, Cost, Idle, Latency, Outcome, Sample, Slow, Streams
from tests.bench.scenarios import Kind

_WIDTH, _LEFT, _RIGHT, _TOP, _BAR, _GAP = 800, 150, 200, 44, 20, 10

# Readable on light and dark pages alike.
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#24292f}.t{font-weight:600;font-size:14px}.m{fill:#6e7781}"
    ".b{fill:#8c959f}.g{fill:#0969da}.w{stroke:#57606a;stroke-width:1.5}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.m{fill:#8b949e}.b{fill:#6e7681}.g{fill:#58a6ff}"
    ".w{stroke:#c9d1d9}}"
)


class Bar(NamedTuple):
    name: str
    value: Spread


def chart(outcome: Outcome) -> str | None:
    """The picture of a scenario; None when nothing was measured."""
    measured = [
        Bar(name, spread(_figure(sample) for sample in outcome.samples if sample.peer == name))
        for name in (DIRECT, *KNOWN)
        if any(sample.peer == name for sample in outcome.samples)
    ]
    if not measured:
        return None
    return bars(outcome.scenario.headline, _UNITS[outcome.scenario.kind], measured)


_UNITS = {
    Kind.COST: "CPU µs per request, less is better",
    Kind.LATENCY: "p99 latency in µs, less is better",
    Kind.IDLE: "KiB per quiet connection, less is better",
    Kind.STREAMS: "CPU seconds per GB, up and down together, less is better",
    Kind.SLOW: "p99 latency in µs beside the slow heads, less is better",
    Kind.FEATURES: "CPU µs per request, less is better",
}


def _figure(sample: Sample) -> float:
    match sample:
        case Cost():
            return sample.microseconds
        case Latency():
            return sample.load.p99
        case Idle():
            return sample.each / 1024
        case Streams():
            return sample.per_gigabyte
        case Slow():
            return sample.beside.p99


def bars(title: str, unit: str, rows: Sequence[Bar]) -> str:
    """Horizontal bars from the cheapest to the dearest."""
    ordered = sorted(rows, key=lambda row: row.value.middle)
    scale = (_WIDTH - _LEFT - _RIGHT) / (max(row.value.most for row in ordered) or 1.0)
    height = _TOP + len(ordered) * (_BAR + _GAP) + 28
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-label="{escape(title, {chr(34): "&quot;"})}">',
        f"<style>{_STYLE}</style>",
        f'<text class="t" x="8" y="22">{escape(title)}</text>',
    ]
    for index, (name, value) in enumerate(ordered):
        digits = 1 if value.middle >= 10 else 2
        top = _TOP + index * (_BAR + _GAP)
        middle = top + _BAR / 2
        least, most = _LEFT + value.least * scale, _LEFT + value.most * scale
        kind = "g" if name == "gateway" else "b"
        parts += [
            f'<text x="{_LEFT - 8}" y="{middle + 4.5:.1f}" text-anchor="end">{escape(name)}</text>',
            f'<rect class="{kind}" x="{_LEFT}" y="{top}" width="{max(1.0, value.middle * scale):.1f}" '
            f'height="{_BAR}"/>',
            f'<line class="w" x1="{least:.1f}" x2="{most:.1f}" y1="{middle:.1f}" y2="{middle:.1f}"/>',
            f'<text x="{most + 8:.1f}" y="{middle + 4.5:.1f}">{escape(value.text(digits))}</text>',
        ]
    parts += [f'<text class="m" x="{_LEFT}" y="{height - 10}">{escape(unit)}</text>', "</svg>"]
    return "\n".join(parts) + "\n"
