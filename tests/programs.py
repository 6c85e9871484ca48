"""Programs that some tests run beside the gateway, and what becomes of a test whose program is not installed.

`make test` installs nothing outside its environment, so such a test is skipped and its program is named in the last
line of the run (see `conftest.py`). With `REQUIRE_ALL=1`, as in continuous integration, it fails instead.
"""

import shutil
from typing import NoReturn

import pytest

KNOWN = (
    "buildah",
    "chromium",
    "curl",
    "debootstrap",
    "h2load",
    "haproxy",
    "nginx",
    "node",
    "postgresql",
    "redis-cli",
    "redis-server",
    "wrk",
)
"""What `make system-deps` installs, so all that a test may ask for.

A skip whose reason names one of them counts as a missing program, however the test worded it.
"""

_SERVERS_LIVE_HERE = "/usr/sbin:/sbin:/usr/local/sbin"


def find(program: str) -> str | None:
    """Where a program is: Debian keeps servers in folders that are not on everybody's PATH."""
    return shutil.which(program) or shutil.which(program, path=_SERVERS_LIVE_HERE)


def require(program: str) -> str:
    """The path of a program; without it the test ends here. At the top of a module, the whole module ends."""
    assert program in KNOWN, f"add {program} here and to scripts/system-deps.sh"
    return find(program) or missing(program)


def missing(program: str, detail: str = "not installed") -> NoReturn:
    """Ends a test that cannot run for want of a program, or of something in it (`nginx`, `built without njs`)."""
    pytest.skip(f"{program}: {detail}", allow_module_level=True)
