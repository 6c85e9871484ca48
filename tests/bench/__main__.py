"""`python -m tests.bench`: the command line."""

import argparse
import contextlib
import dataclasses
import json
import os
import platform
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.bench import idle, plays, plot, report
from tests.bench.peers import DEFAULT, PEERS, Peer
from tests.bench.processes import ended_on_signals, missing
from tests.bench.samples import Outcome
from tests.bench.scenarios import DEFAULT as DEFAULT_SCENARIO
from tests.bench.scenarios import SCENARIOS, Scenario
from tests.bench.stage import Options, say
from tests.bench.tokens import material

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
    scenarios, peers = _scenarios(asked), [PEERS[name] for name in asked.peers]
    options = Options(
        seconds=asked.seconds or (2 if asked.quick else 5),
        rounds=asked.rounds or (1 if asked.quick else 5),
        proxy_core=asked.proxy_core,
        load_core=asked.load_core,
        patience=asked.patience,
    )
    os.sched_setaffinity(0, {options.load_core})
    idle.raise_file_limit()
    outcomes = []
    # Short paths: the embedded store of the gateway listens at a socket file, and those names are bounded.
    with ended_on_signals(), _workplace(keep=asked.keep) as directory:
        keys = material(directory / "keys")
        for scenario in scenarios:
            say(f"{scenario.name}: {scenario.headline}")
            outcomes.append(plays.run(scenario, _fitting(peers, scenario), options, directory, keys))
    _write(outcomes, options, asked)
    for outcome in outcomes:
        print(report.summary(outcome))
    broken = {name for each in outcomes for name, why in each.left_out.items() if not why.startswith("not installed")}
    return 1 if broken else 0


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
    parser.add_argument("--keep", action="store_true", help="keep keys, configuration and logs of the run")
    parser.add_argument("--out", type=Path, help="Markdown report, pictures beside it; default .data/bench/report.md")
    return parser


def _names(text: str) -> list[str]:
    names = list(PEERS) if text == "all" else text.split(",")
    if unknown := [name for name in names if name not in PEERS]:
        raise argparse.ArgumentTypeError(f"no proxy {', '.join(unknown)}; there are {', '.join(PEERS)}")
    return list(dict.fromkeys(names))


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


def _fitting(peers: Sequence[Peer], scenario: Scenario) -> list[Peer]:
    return [peer for peer in peers if scenario.alg in peer.algs]


def _write(outcomes: Sequence[Outcome], options: Options, asked: argparse.Namespace) -> None:
    out: Path = asked.out or _KEPT / "report.md"
    out.parent.mkdir(parents=True, exist_ok=True)
    plots = {}
    for outcome in outcomes:
        if (picture := plot.chart(outcome)) is not None:
            path = out.with_name(f"{out.stem}-{outcome.scenario.name}.svg")
            path.write_text(picture)
            plots[outcome.scenario.name] = path.name
    command = shlex.join([".venv/bin/python", "-m", "tests.bench", *sys.argv[1:]])
    out.write_text(report.markdown(outcomes, machine=_machine(options), command=command, plots=plots))
    samples = [
        {"scenario": outcome.scenario.name, **dataclasses.asdict(sample)}
        for outcome in outcomes
        for sample in outcome.samples
    ]
    _KEPT.mkdir(parents=True, exist_ok=True)
    (_KEPT / "samples.json").write_text(json.dumps(samples, indent=1))
    say(f"report: {out}")


def _machine(options: Options) -> dict[str, str]:
    model = "unknown"
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "processor": f"{model}, {os.cpu_count()} cores; shared virtual machine unless you know better",
        "kernel": platform.release().partition("-")[0],
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "rounds": f"{options.rounds} of {options.seconds} s after {options.warm_up} s of warm-up",
    }


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
