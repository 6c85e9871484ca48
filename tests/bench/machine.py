"""What the figures were made with, in words that name no machine."""

import contextlib
import os
import platform
import ssl
import subprocess
import sys
import sysconfig
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_LIBRARIES = ("uvloop", "httptools", "PyJWT", "cryptography", "aiohttp", "msgspec")
_NUMBERS = {1: "one core", 2: "two cores", 4: "four cores", 8: "eight cores"}


def facts() -> dict[str, str]:
    """Rows for the report's table."""
    cores = os.cpu_count() or 1
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": f"{_NUMBERS.get(cores, f'{cores} cores')} of {_processor()}, perhaps shared with others; "
        f"Linux {platform.release().partition('-')[0]}",
        "interpreter": f"{platform.python_implementation()} {' '.join(sys.version.split())}",
        "built with": optimisations(
            str(sysconfig.get_config_var("CONFIG_ARGS") or ""), str(sysconfig.get_config_var("PY_CORE_CFLAGS") or "")
        ),
        "libraries": ", ".join(f"{name} {found}" for name in _LIBRARIES if (found := _installed(name))),
        "OpenSSL of Python": ssl.OPENSSL_VERSION,
        "load": f"wrk {_said('wrk', '-v', word=1)}, h2load {_said('h2load', '--version', word=1)}",
    }


def optimisations(configured: str, compiled: str) -> str:
    """Whether an interpreter was built with profile-guided and link-time optimisation, by its own build record.

    *configured* is what `configure` was given, *compiled* the compiler flags of its core (sysconfig).
    """
    both = f"{configured} {compiled}"
    pgo = any(flag in both for flag in ("--enable-optimizations", "-fprofile-use", "-fprofile-instr-use"))
    lto = any(flag in both for flag in ("--with-lto", "-flto"))
    return f"PGO: {'yes' if pgo else 'no'}, LTO: {'yes' if lto else 'no'} (sysconfig: CONFIG_ARGS, PY_CORE_CFLAGS)"


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return f"an {name}" if (name := line.partition(":")[2].strip())[:1] in "AEIOU" else f"a {name}"
    return "an unknown processor"


def _installed(name: str) -> str | None:
    with contextlib.suppress(PackageNotFoundError):
        return version(name)
    return None


def _said(program: str, option: str, *, word: int) -> str:
    with contextlib.suppress(OSError):
        done = subprocess.run([program, option], capture_output=True, text=True, check=False)
        words = (done.stdout or done.stderr).split()
        if len(words) > word:
            return words[word].removeprefix("nghttp2/")
    return "?"
