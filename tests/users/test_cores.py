"""How many cores may be used, read from control groups made of plain files."""

from pathlib import Path

import pytest

from gateway.users.cores import affinity, hash_threads, usable_cores


def tree(tmp_path: Path, own: str, files: dict[str, str]) -> tuple[Path, Path]:
    """Write control group files; return (root, the file that names our groups)."""
    root = tmp_path / "cgroup"
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    mine = tmp_path / "own"
    mine.write_text(own)
    return root, mine


@pytest.mark.parametrize(
    ("own", "files", "cores"),
    [
        pytest.param("0::/\n", {"cpu.max": "max 100000\n"}, 8, id="no limit"),
        pytest.param("0::/\n", {"cpu.max": "200000 100000\n"}, 2, id="two cores"),
        pytest.param("0::/\n", {"cpu.max": "150000 100000\n"}, 1, id="one and a half counts as one"),
        pytest.param("0::/\n", {"cpu.max": "20000 100000\n"}, 1, id="a fifth counts as one"),
        pytest.param("0::/\n", {"cpu.max": "9900000 100000\n"}, 8, id="more than there are"),
        pytest.param("0::/\n", {"cpu.max": "nonsense\n"}, 8, id="unreadable text says nothing"),
        pytest.param(
            "0::/a/b\n", {"a/b/cpu.max": "400000 100000", "a/cpu.max": "300000 100000"}, 3, id="parent is less"
        ),
        pytest.param("0::/host/only\n", {"cpu.max": "200000 100000"}, 2, id="a path of the host, not mounted here"),
        pytest.param(
            "3:cpuset:/\n2:cpu,cpuacct:/x\n",
            {"cpu/x/cpu.cfs_quota_us": "300000\n", "cpu/x/cpu.cfs_period_us": "100000\n"},
            3,
            id="version 1",
        ),
        pytest.param(
            "2:cpu:/x\n",
            {"cpu/x/cpu.cfs_quota_us": "-1\n", "cpu/x/cpu.cfs_period_us": "100000\n"},
            8,
            id="version 1 without a limit",
        ),
        pytest.param("", {}, 8, id="no control groups"),
    ],
)
def test_the_least_of_all_limits_holds(tmp_path: Path, own: str, files: dict[str, str], cores: int) -> None:
    root, mine = tree(tmp_path, own, files)
    assert usable_cores(8, root=root, own=mine) == cores


def test_this_machine_has_at_least_one_core() -> None:
    assert usable_cores(affinity()) >= 1


def test_hashing_leaves_one_core_to_the_event_loop_when_there_is_more_than_one() -> None:
    assert hash_threads() == max(1, usable_cores(affinity()) - 1)
