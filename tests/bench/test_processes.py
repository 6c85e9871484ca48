"""What the benchmark starts ends with it, and what it reads of a process is that process's own."""

import os
import time
from pathlib import Path

import pytest

from tests.bench import measure
from tests.bench.processes import Failed, Program, family, missing, stat

pytestmark = pytest.mark.skipif(missing("taskset", "setpriv") is not None, reason="util-linux is not here")
CORE = min(os.sched_getaffinity(0))


def test_a_program_and_its_children_end_with_the_block(tmp_path: Path) -> None:
    argv = ["sh", "-c", "setsid sleep 60 & echo ready; wait"]
    with Program("sh", argv, cpu=CORE, directory=tmp_path) as program:
        program.await_ready(lambda: "ready" in program.output.read_text() and len(family(program.pid)) == 2)
        pids = family(program.pid)
    assert not any((facts := stat(pid)) is not None and facts.alive for pid in pids)


def test_a_program_that_ends_at_once_is_reported_with_its_last_words(tmp_path: Path) -> None:
    argv = ["sh", "-c", "echo no such key >&2; exit 3"]
    with (
        pytest.raises(Failed, match=r"status 3: no such key"),
        Program("sh", argv, cpu=CORE, directory=tmp_path) as program,
    ):
        program.await_ready(lambda: False)


def test_processor_time_counts_what_was_used() -> None:
    before = measure.cpu([os.getpid()])
    until = time.process_time() + 0.1
    while time.process_time() < until:
        pass
    used = measure.cpu([os.getpid()]).minus(before).total
    assert 0.07 <= used <= 0.2


def test_a_process_that_is_gone_counts_nothing() -> None:
    assert measure.cpu([2**22 + 1]) == measure.Cpu()
