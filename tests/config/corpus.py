"""The corpus of broken files: `faults.txt` holds, for each case, the files and the exact message.

### what is wrong                 the name of the case
$ NAME=value                      environment, optional
version: 1                        gateway.yaml
@@ users.yaml                     another file beside it, optional
users: {}
>>>                               what `gateway check` says
gateway.yaml:1:1: ...
"""

from pathlib import Path
from typing import NamedTuple

CORPUS = Path(__file__).with_name("faults.txt")


class Case(NamedTuple):
    """One broken configuration."""

    title: str
    environ: dict[str, str]
    files: dict[str, str]
    message: str


def cases(text: str) -> list[Case]:
    return [_case(part) for part in ("\n" + text).split("\n### ")[1:]]


def _case(text: str) -> Case:
    given, _, message = text.partition("\n>>>\n")
    title, *lines = given.split("\n")
    environ: dict[str, str] = {}
    files: dict[str, str] = {}
    name = "gateway.yaml"
    for line in lines:
        if line.startswith("$ "):
            variable, _, value = line.removeprefix("$ ").partition("=")
            environ[variable] = value
        elif line.startswith("@@ "):
            name = line.removeprefix("@@ ")
        else:
            files[name] = files.get(name, "") + line + "\n"
    return Case(title, environ, files, message.rstrip("\n"))
