"""Reads the tour out of README.md and walks it: the commands a reader would paste, in one shell, one after the other.

A block of the tour is a fence marked `sh` that begins with the line `# tour`, or that stands below a heading with the
word Tour in it. Every command has to succeed. One that is followed by a comment that begins with a status, such as
`# 403` or `# 403: alice is no admin`, also has to print an answer with that status (`curl -i`), and no other.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

_FENCE = re.compile(r"^( {0,3})(`{3,}|~{3,})\s*(\S*)[^\n]*\n(.*?)^ {0,3}\2`*\s*$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#{1,6}) +(.*?)\s*$", re.MULTILINE)
_QUOTED = re.compile(r"\\.|'[^']*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_EXPECTED = re.compile(r"\s#\s*([1-5][0-9][0-9])(?![0-9])")
_STATUS = re.compile(r"HTTP/[0-9.]+ ([0-9]{3})\b")
_INFORMATIONAL = "1"


class Command(NamedTuple):
    """One command of the tour, which may go over several lines."""

    text: str
    status: str
    """What its comment promises; "" when it promises nothing."""


class Step(NamedTuple):
    """A command that was run."""

    command: Command
    exit_status: int
    output: str

    @property
    def statuses(self) -> list[str]:
        """The statuses of the answers it printed."""
        return [status for status in _STATUS.findall(self.output) if not status.startswith(_INFORMATIONAL)]

    @property
    def kept_its_promise(self) -> bool:
        """It succeeded and printed what its comment says."""
        return self.exit_status == 0 and (not self.command.status or self.statuses == [self.command.status])


def blocks(text: str) -> list[str]:
    """Return the blocks of the tour in *text*, which is Markdown."""
    fences = list(_FENCE.finditer(text))
    found = []
    for fence in fences:
        code = fence[4]
        if fence[3] == "sh" and (code.startswith("# tour\n") or _is_below_tour(text, fences, fence.start())):
            found.append(code)
    return found


def _is_below_tour(text: str, fences: list[re.Match[str]], at: int) -> bool:
    """Tell whether one of the headings that *at* stands below has the word Tour in it."""
    above: dict[int, str] = {}
    for heading in _HEADING.finditer(text, 0, at):
        if any(fence.start() < heading.start() < fence.end() for fence in fences):
            continue  # a comment in a block
        level = len(heading[1])
        above = {known: name for known, name in above.items() if known < level} | {level: heading[2]}
    return any(re.search(r"\btour\b", name, re.IGNORECASE) for name in above.values())


def commands(block: str) -> Iterator[Command]:
    """Yield the commands of a block: a line, or as many as the shell needs to find an end."""
    lines: list[str] = []
    for line in block.splitlines():
        if not lines and (not line.strip() or line.lstrip().startswith("#")):
            continue
        lines.append(line)
        text = "\n".join(lines)
        if not text.endswith("\\") and _is_whole(text):
            # What is in quotes is no comment, whatever it looks like.
            expected = _EXPECTED.search(_QUOTED.sub("q", text))
            yield Command(text, expected[1] if expected else "")
            lines = []
    if lines:
        raise ValueError(f"the shell finds no end of {lines[0]!r}")


def _is_whole(text: str) -> bool:
    return subprocess.run(["bash", "-n"], input=f"{text}\n", capture_output=True, text=True).returncode == 0


def here(text: str, addresses: Mapping[str, str]) -> str:
    """Return *text* with *addresses* (host:port) in the place of those the README names."""
    for written, real in addresses.items():
        text = re.sub(rf"(?<![\w.]){re.escape(written)}(?!\d)", real, text)
    return text


def walk(tour: list[Command], folder: Path, environ: Mapping[str, str], *, within: float = 60) -> list[Step]:
    """Run *tour* in one bash in *folder*, and return how each command went; all are run, whatever happens."""
    marks = [f"==== end of step {number}:" for number in range(len(tour))]
    script = "exec 2>&1\n"
    for command, mark in zip(tour, marks, strict=True):
        script += f"{command.text}\nprintf '\\n{mark} %s\\n' \"$?\"\n"
    bash = shutil.which("bash")
    assert bash, "the tour is for bash"
    done = subprocess.run(
        [bash, "--noprofile", "--norc", "-c", script],
        cwd=folder,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=within,
    )
    rest = done.stdout.decode(errors="replace")
    steps = []
    for command, mark in zip(tour, marks, strict=True):
        output, found, rest = rest.partition(f"\n{mark} ")
        status, _, rest = rest.partition("\n")
        steps.append(Step(command, int(status) if found else -1, output))
    return steps
