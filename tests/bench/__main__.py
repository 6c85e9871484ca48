"""`python -m tests.bench`: the command line."""

import argparse
import contextlib
import dataclasses
import json
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.bench import full, idle, machine, plays, plot, report
from tests.bench.peers import DEFAULT, KNOWN, PEERS, Peer
from tests.bench.processes import ended_on_signals, missing
from tests.bench.samples import Outcome
from tests.bench.scenarios import DEFAULT as DEFAULT_SCENARIO
from tests.bench.scenarios import SCENARIOS, Scenario
from tests.bench.stage import Options, say
from tests.bench.tokens import Material, material

_ROOT = Path(__file__).resolve().parents[2]
_KEPT = _ROOT / ".data" / "bench"


def main(argv: Sequence[str]) -> int:
    """Run what was asked for; 0 unless a proxy that is installed could not be measured."""
    asked = _parser().parse_args(argv)
    if (command := missing("nginx", "wrk", "h2load", "taskset", "setpriv")) is not None:
        say(f"the benchmark needs programs that are not here: {command}")
        return 2
    cores = os.sched_getaffinity(0)
    if lacking := {asked.proxy_core, asked.load_core} - cores:
        say(f"no core {min(lacking)} here; there are {sorted(cores)}: --proxy-core, --load-core")
        return 2
    options = Options(
        seconds=asked.seconds or (2 if asked.quick else 5),
        rounds=asked.rounds or (1 if asked.quick else 5),
        proxy_core=asked.proxy_core,
        load_core=asked.load_core,
        patience=asked.patience,
        python=asked.python,
    )
    os.sched_setaffinity(0, {options.load_core})
    idle.raise_file_limit()
    outcomes: list[Outcome] = []
    extras: dict[str, str] = {}
    begun = full.now()
    # Short paths: the embedded store of the gateway listens at a socket file, and those names are bounded.
    with ended_on_signals(), _workplace(keep=asked.keep) as directory:
        keys = material(directory / "keys")
        try:
            # One after the other, so that those already measured are written down if a signal ends the run.
            outcomes.extend(_played(part, directory, keys) for part in _parts(asked, options, begun))
            if asked.full:
                extras.update({table.title: full.made(table, options) for table in full.TABLES})
        finally:
            if outcomes:
                _write(outcomes, extras, asked)
    for outcome in outcomes:
        print(report.summary(outcome))
    say(f"took {full.now() - begun:.0f} s")
    broken = {name for each in outcomes for name, why in each.left_out.items() if not why.startswith("not installed")}
    return 1 if broken else 0


class _Part(NamedTuple):
    """One scenario of this run."""

    scenario: Scenario
    peers: Sequence[Peer]
    options: Options


def _parts(asked: argparse.Namespace, options: Options, begun: float) -> Iterator[_Part]:
    """What is to be played, each with its options as they are when its turn has come."""
    if asked.full:
        for place, step in enumerate(full.STEPS):
            now = full.options(step, begun, full.STEPS[place + 1 :], options)
            yield _Part(step.scenario, [KNOWN[name] for name in step.of], now)
        return
    for scenario in _scenarios(asked):
        peers = [KNOWN[name] for name in scenario.peers or asked.peers]
        yield _Part(scenario, [peer for peer in peers if scenario.alg in peer.algs], options)


def _played(part: _Part, directory: Path, keys: Material) -> Outcome:
    """The outcome of one scenario; one that breaks as a whole has its reason in every row."""
    scenario = part.scenario
    say(f"{scenario.name}: {scenario.headline}")
    try:
        outcome = plays.run(scenario, part.peers, part.options, directory, keys)
    except Exception as error:  # whatever it was, the other scenarios still have an answer
        say(f"  {scenario.name} failed: {error}")
        left_out = {peer.name: f"{type(error).__name__}: {error}" for peer in part.peers}
        outcome = Outcome(scenario, (), left_out, part.options.seconds)
    # Reasons quote programs, and those quote paths.
    tidy = {name: why.replace(str(directory), "...").replace(str(_ROOT), ".") for name, why in outcome.left_out.items()}
    return dataclasses.replace(outcome, left_out=tidy)


@contextlib.contextmanager
def _workplace(*, keep: bool) -> Iterator[Path]:
    """The directory of the run: keys, configuration, logs."""
    directory = Path(tempfile.mkdtemp(prefix="gwb-"))
    try:
        yield directory
    finally:
        if keep:
            say(f"kept: {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="CPU time per enforced request.")
    parser.add_argument("--full", action="store_true", help="every scenario of docs/benchmarks.md, within 12 minutes")
    parser.add_argument("--quick", action="store_true", help="one round of 2 s: a look, not a figure")
    parser.add_argument(
        "--scenario",
        action="append",
        choices=[*SCENARIOS, "all"],
        help=f"may be repeated; default {DEFAULT_SCENARIO}",
    )
    parser.add_argument("--peers", type=_names, default=list(DEFAULT), help=f"comma-separated, of {', '.join(PEERS)}")
    parser.add_argument("--seconds", type=_positive, help="load per proxy and round; default 5")
    parser.add_argument("--rounds", type=_positive, help="default 5")
    parser.add_argument("--connections", type=_positive, help="instead of the scenario's own number")
    parser.add_argument("--proxy-core", type=int, default=0)
    parser.add_argument("--load-core", type=int, default=1, help="for the load generator and the upstream")
    parser.add_argument("--patience", type=float, default=10.0, help="seconds to wait for quiet cores before each load")
    parser.add_argument(
        "--python", type=_interpreter, default=sys.executable, help="runs the gateway; default: this one"
    )
    parser.add_argument("--keep", action="store_true", help="keep keys, configuration and logs of the run")
    parser.add_argument("--out", type=Path, help="Markdown report, pictures beside it; default .data/bench/report.md")
    return parser


def _names(text: str) -> list[str]:
    names = list(PEERS) if text == "all" else text.split(",")
    if unknown := [name for name in names if name not in PEERS]:
        raise argparse.ArgumentTypeError(f"no proxy {', '.join(unknown)}; there are {', '.join(PEERS)}")
    return list(dict.fromkeys(names))


def _interpreter(text: str) -> str:
    if shutil.which(text) is None:
        raise argparse.ArgumentTypeError(f"{text} is no program")
    return str(Path(text).absolute())  # not resolved: an environment's interpreter is a link


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _scenarios(asked: argparse.Namespace) -> list[Scenario]:
    wanted = asked.scenario or [DEFAULT_SCENARIO]
    chosen = list(SCENARIOS.values()) if "all" in wanted else [SCENARIOS[name] for name in dict.fromkeys(wanted)]
    if asked.connections is None:
        return chosen
    return [dataclasses.replace(scenario, connections=asked.connections) for scenario in chosen]


def _write(outcomes: Sequence[Outcome], extras: Mapping[str, str], asked: argparse.Namespace) -> None:
    out: Path = asked.out or _KEPT / "report.md"
    out.parent.mkdir(parents=True, exist_ok=True)
    plots = {}
    for outcome in outcomes:
        if (picture := plot.chart(outcome)) is not None:
            path = out.with_name(f"{out.stem}-{outcome.scenario.name}.svg")
            path.write_text(picture)
            plots[outcome.scenario.name] = path.name
    command = shlex.join([".venv/bin/python", "-m", "tests.bench", *sys.argv[1:]])
    out.write_text(
        report.markdown(
            outcomes,
            machine=machine.facts(asked.python),
            command=command,
            plots=plots,
            extras=extras,
            with_goals=asked.full,
        )
    )
    samples = [
        {"scenario": outcome.scenario.name, **dataclasses.asdict(sample)}
        for outcome in outcomes
        for sample in outcome.samples
    ]
    _KEPT.mkdir(parents=True, exist_ok=True)
    (_KEPT / "samples.json").write_text(json.dumps(samples, indent=1))
    say(f"report: {out}")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
