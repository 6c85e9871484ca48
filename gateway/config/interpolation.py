"""``${NAME}`` in values, with the syntax of Compose files, on text that YAML has already read.

A comment is never looked into, a value cannot break out of its place, and a variable that is not set is a fault at the
line that asks for it. What comes out is text: its type is the schema's business, not YAML's.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from gateway.config.faults import Wrong

_FORMS = "the forms are ${NAME}, ${NAME:-default}, ${NAME:?message}, ${file:/path}, and $$ for a dollar sign"
_DOLLAR = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<braced>[^{}]*)\}|(?P<bare>[A-Za-z_][A-Za-z0-9_]*)|(?P<open>\{))")
_BRACED = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::(?P<form>[-?])(?P<rest>.*))?", re.DOTALL)
_MAX_FILE = 64 << 10


def expander(
    environ: Mapping[str, str], directory: Path, seen: Callable[[Path], None] = lambda _path: None
) -> Callable[[str], str]:
    """Return the function that fills in *environ*; files are looked for in *directory*, and each is *seen*."""

    def replacement(found: re.Match[str]) -> str:
        if found["dollar"]:
            return "$"
        if found["bare"]:
            raise Wrong(f"${found['bare']} is not replaced", f'write "${{{found["bare"]}}}", or "$$" for a dollar sign')
        if found["open"]:
            raise Wrong('"${" is never closed, or has braces inside', _FORMS)
        braced = found["braced"]
        if braced.startswith("file:"):
            path = directory / braced.removeprefix("file:")
            seen(path)
            return _contents(path)
        if not (parts := _BRACED.fullmatch(braced)):
            raise Wrong(f'"${{{braced}}}" is not understood', _FORMS)
        return _variable(environ, parts["name"], parts["form"], parts["rest"] or "")

    return lambda text: _DOLLAR.sub(replacement, text)


def _variable(environ: Mapping[str, str], name: str, form: str | None, rest: str) -> str:
    value = environ.get(name)
    if form is not None and not value:
        if form == "-":
            return rest
        raise Wrong(f"{name} is not set: {rest}" if rest else f"{name} is not set")
    if value is None:
        raise Wrong(
            f"the environment variable {name} is not set", f'set it, or write a default: "${{{name}:-something}}"'
        )
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        raise Wrong(
            f"the value of {name} is wrapped in quotes",
            "they are part of it: docker run --env-file keeps quotes; remove them where it is set",
        )
    return value


def _contents(path: Path) -> str:
    try:
        return file_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise Wrong(f"{path} is not UTF-8") from error


def file_bytes(path: Path) -> bytes:
    """Return what is in *path* without one newline at its end; raise `Wrong` when it cannot be read."""
    try:
        with path.open("rb") as file:
            contents = file.read(_MAX_FILE + 1)
    except OSError as error:
        raise Wrong(f"{path} cannot be read: {(error.strerror or 'unknown error').lower()}") from error
    except ValueError as error:  # a path with NUL
        raise Wrong("this is not a path") from error
    if len(contents) > _MAX_FILE:
        raise Wrong(f"{path} is larger than {_MAX_FILE} bytes")
    return contents[:-2] if contents.endswith(b"\r\n") else contents.removesuffix(b"\n")
