"""Secrets that more people can read than need to (identity.md 4, 168)."""

import re
from collections.abc import Iterator
from pathlib import Path

from gateway.config.document import Loc
from gateway.config.findings import Finding
from gateway.config.leaves import Leaf, leaves
from gateway.config.models import Config
from gateway.config.values import Secret

_FILES = frozenset({"secret_file", "token_file", "password_file", "sentinel_password_file", "key_file"})
"""Keys that name a file with a secret in it."""
_DEFAULT = re.compile(r"\$\{[^}:]+:-[^}]+\}")
_PASSWORD = re.compile(r"://[^/@\s]*:[^/@\s$]+@")


def secret_findings(config: Config) -> Iterator[Finding]:
    """Yield the secrets of *config* that are in the file itself, or in a file that everybody can read."""
    for leaf in leaves(config):
        if isinstance(leaf.value, Path):
            if _is_secret(leaf) and _is_open(leaf.value):
                reason = f"everybody on this machine can read {leaf.value}"
                yield Finding(leaf.loc, reason, f"chmod 600 {leaf.value}")
        elif (isinstance(leaf.value, Secret) or "url" in leaf.loc) and leaf.loc in config.document.places:
            yield from _in_the_file(config, leaf)


def _is_secret(leaf: Leaf) -> bool:
    *above, key = leaf.loc
    return key in _FILES or (key == "file" and above[:3] == ["tokens", "keys", "files"])


def _in_the_file(config: Config, leaf: Leaf) -> Iterator[Finding]:
    document, loc = config.document, leaf.loc
    is_secret = isinstance(leaf.value, Secret)
    if loc in document.filled_in:
        if is_secret and _DEFAULT.search(_line(config, loc)):
            reason = "where the variable is not set, everybody who has a copy of this file knows the secret"
            yield Finding(loc, reason, 'leave the default away: "${NAME:?message}" refuses to start without it')
    elif is_secret:
        yield Finding(loc, "a secret in this file is in every copy of it", f'write "${{NAME}}", or {loc[-1]}_file')
    elif _PASSWORD.search(str(leaf.value)):
        yield Finding(loc, "a password in this file is in every copy of it", "write password_file beside it")


def _line(config: Config, loc: Loc) -> str:
    """Return the line on which *loc* is written, from its value on."""
    fault = config.document.fault_at(loc, "")
    lines = fault.source.lines
    return lines[fault.line - 1][fault.column - 1 :] if 0 < fault.line <= len(lines) else ""


def _is_open(path: Path) -> bool:
    """Say whether everybody may read *path*; what an orchestrator has put there is its own affair."""
    try:
        real = path.resolve()
        is_mounted = real.is_relative_to("/run/secrets") or any(part.startswith("..") for part in real.parts)
        return not is_mounted and bool(real.stat().st_mode & 0o004)
    except OSError:
        return False
