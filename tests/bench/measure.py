"""What a load cost: processor time and memory of chosen processes, and how busy others kept the same core."""

import contextlib
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tests.bench.processes import stat

_TICK = os.sysconf("SC_CLK_TCK")


class Cpu(NamedTuple):
    """Processor seconds. The sum is exact to a tick or two; the split is the kernel's sampling."""

    user: float = 0.0
    system: float = 0.0

    @property
    def total(self) -> float:
        return self.user + self.system

    def minus(self, earlier: "Cpu") -> "Cpu":
        return Cpu(self.user - earlier.user, self.system - earlier.system)


def cpu(pids: Iterable[int]) -> Cpu:
    """Seconds used so far by all threads of *pids*."""
    facts = [found for pid in pids if (found := stat(pid)) is not None]
    return Cpu(sum(each.user for each in facts), sum(each.system for each in facts))


def core_busy(core: int) -> float:
    """Seconds *core* has spent on anything at all, interrupts included (proc_stat(5))."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *numbers = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, numbers[:8])
            return (user + nice + system + irq + softirq + steal) / _TICK
    raise ValueError(f"no core {core} here")


def await_quiet(cores: Iterable[int], within: float, *, limit: float = 0.1, window: float = 0.25) -> bool:
    """Wait until each of *cores* was busy for less than *limit* of a *window*; False when that did not come."""
    chosen = sorted(set(cores))
    until = time.monotonic() + within
    while True:
        before, begun = [core_busy(core) for core in chosen], time.monotonic()
        time.sleep(window)
        passed = time.monotonic() - begun
        shares = [(core_busy(core) - busy) / passed for core, busy in zip(chosen, before, strict=True)]
        if max(shares) < limit:
            return True
        if time.monotonic() > until:
            return False


class Memory(NamedTuple):
    """Bytes of some processes together."""

    resident: int = 0
    peak: int = 0
    """The most that was resident since the start, or since `forget_peak`."""


def memory(pids: Iterable[int]) -> Memory:
    """VmRSS and VmHWM of *pids* (proc_pid_status(5))."""
    total = Memory()
    for pid in pids:
        fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        resident, peak = (int(fields[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))
        total = Memory(total.resident + resident, total.peak + peak)
    return total


def forget_peak(pids: Iterable[int]) -> None:
    """Let VmHWM begin anew (proc_pid_clear_refs(5)); where that is not allowed it goes on from the start's."""
    for pid in pids:
        with contextlib.suppress(OSError):
            Path(f"/proc/{pid}/clear_refs").write_text("5")


def resident(pids: Iterable[int]) -> int:
    """Resident bytes of *pids*; pages that parent and worker share are counted once (PSS)."""
    return sum(_proportional(pid) for pid in pids)


def _proportional(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0
