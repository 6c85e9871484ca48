"""How many cores this process may really use: the machine's count is a lie inside a container.

Two limits hold at once: the CPUs the scheduler may place us on (affinity), and the share of CPU time the control
groups grant, ours and every group above it. Both versions of control groups are read, because both are in the field.

Sources: Linux Documentation/admin-guide/cgroup-v2.rst (`cpu.max`), Documentation/scheduler/sched-bwc.rst
(`cpu.cfs_quota_us`, `cpu.cfs_period_us`), proc_pid_cgroup(5).
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


def affinity() -> int:
    """Return the number of CPUs this process may be scheduled on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def usable_cores(schedulable: int, *, root: Path = CGROUP_ROOT, own: Path = OWN_CGROUPS) -> int:
    """Return whole cores, at least 1: *schedulable*, or less when a control group grants less time than that."""
    shares = [schedulable, *(math.floor(quota) for quota in _quotas(root, own))]
    return max(1, min(shares))


def hash_threads() -> int:
    """Return how many threads this machine spares for hashing: all its cores but one, which the event loop keeps."""
    return max(1, usable_cores(affinity()) - 1)


def _quotas(root: Path, own: Path) -> Iterator[float]:
    """Yield the cores granted by each group from ours up to the root; unlimited ones yield nothing."""
    for line in _text(own).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, place = rest.partition(":")
        if not controllers:
            for group in _upwards(root, place):
                quota, _, period = _text(group / "cpu.max").strip().partition(" ")
                yield from _share(quota, period)
        elif "cpu" in controllers.split(","):
            for group in _upwards(root / "cpu", place):
                yield from _share(_text(group / "cpu.cfs_quota_us"), _text(group / "cpu.cfs_period_us"))


def _upwards(root: Path, place: str) -> Iterator[Path]:
    # Inside a container the path may name the host's tree, which is not mounted here: missing files say nothing,
    # and the walk always ends at the root of what is mounted.
    group = root / place.strip("/")
    while group != root:
        yield group
        group = group.parent
    yield root


def _share(quota: str, period: str) -> Iterator[float]:
    quota, period = quota.strip(), period.strip()
    if quota.isdigit() and period.isdigit() and int(period) > 0:
        yield int(quota) / int(period)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
