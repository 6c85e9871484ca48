"""What the figures were made with, in words that name no machine."""

import contextlib
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

_LIBRARIES = ("uvloop", "httptools", "PyJWT", "cryptography", "aiohttp", "msgspec")
_NUMBERS = {1: "one core", 2: "two cores", 4: "four cores", 8: "eight cores"}


# Asked of the interpreter that runs the gateway, which need not be the one that runs this.
_ASK = """\
import json, platform, ssl, sys, sysconfig
from importlib.metadata import PackageNotFoundError, version
def found(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return None
print(json.dumps({
    "version": platform.python_implementation() + " " + " ".join(sys.version.split()),
    "configured": sysconfig.get_config_var("CONFIG_ARGS") or "",
    "compiled": sysconfig.get_config_var("PY_CORE_CFLAGS") or "",
    "prefix": sys.base_prefix,
    "openssl": ssl.OPENSSL_VERSION,
    "libraries": {name: found(name) for name in sys.argv[1:]},
}))
"""


def facts(python: str = sys.executable) -> dict[str, str]:
    """Rows for the report's table; *python* is the interpreter that runs the gateway."""
    cores = os.cpu_count() or 1
    asked = json.loads(subprocess.check_output([python, "-c", _ASK, *_LIBRARIES], text=True))
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": f"{_NUMBERS.get(cores, f'{cores} cores')} of {_processor()}, perhaps shared with others; "
        f"Linux {platform.release().partition('-')[0]}",
        "interpreter": asked["version"],
        "built with": optimisations(asked["configured"], asked["compiled"], debian=_is_debians(asked["prefix"])),
        "libraries": ", ".join(f"{name} {found}" for name, found in asked["libraries"].items() if found),
        "OpenSSL of Python": asked["openssl"],
        "load": f"wrk {_said('wrk', '-v', word=1)}, h2load {_said('h2load', '--version', word=1)}",
    }


def optimisations(configured: str, compiled: str, *, debian: bool = False) -> str:
    """Whether an interpreter was built with profile-guided and link-time optimisation, by its own build record.

    *configured* is what `configure` was given, *compiled* the compiler flags of its core (sysconfig). *debian* says
    that it is Debian's own, whose record is that of another build (the shared library's).
    """
    if debian:
        return "PGO: yes, LTO: yes (Debian's package: its changelog says so, its sysconfig does not)"
    both = f"{configured} {compiled}"
    pgo = any(flag in both for flag in ("--enable-optimizations", "-fprofile-use", "-fprofile-instr-use"))
    lto = any(flag in both for flag in ("--with-lto", "-flto"))
    return f"PGO: {'yes' if pgo else 'no'}, LTO: {'yes' if lto else 'no'} (sysconfig: CONFIG_ARGS, PY_CORE_CFLAGS)"


def _is_debians(prefix: str) -> bool:
    return prefix == "/usr" and Path("/etc/debian_version").exists() and platform.machine() in ("x86_64", "aarch64")


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return f"an {name}" if (name := line.partition(":")[2].strip())[:1] in "AEIOU" else f"a {name}"
    return "an unknown processor"


def _said(program: str, option: str, *, word: int) -> str:
    with contextlib.suppress(OSError):
        done = subprocess.run([program, option], capture_output=True, text=True, check=False)
        words = (done.stdout or done.stderr).split()
        if len(words) > word:
            return words[word].removeprefix("nghttp2/")
    return "?"
