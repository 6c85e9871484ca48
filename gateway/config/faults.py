"""What is wrong in a file, where, and what to write instead, for the person who wrote it.

    gateway.yaml:8:5: upstreams.api.weigth: unknown key
        weigth: 3
        ^
        did you mean "weight"?

Secrets written into the file are blotted out of the quoted line, because a fault ends up in terminals and logs.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import NamedTuple

from gateway.errors import ConfigError


class Wrong(ValueError):
    """A value that cannot be used: the reason and, where one can be guessed, the remedy."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


class Source(NamedTuple):
    """A file as it was read."""

    name: str
    lines: tuple[str, ...]


class Fault(NamedTuple):
    """One thing that keeps a file from being used. Lines and columns count from 1; line 0 is the file as a whole."""

    source: Source
    line: int
    column: int
    where: str
    """The keys that lead there: ``upstreams.api.targets[0]``."""
    reason: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.source.name}:{self.line}:{self.column}" if self.line else self.source.name
        text = f"{place}: {self.where}: {self.reason}" if self.where else f"{place}: {self.reason}"
        for line in (*_quoted(self.source, self.line, self.column), *self.hint.splitlines()):
            text += f"\n    {line}"
        return text


def report(faults: Iterable[Fault]) -> str:
    """Return all *faults* as one text, in the order of the files' lines and each of them once."""
    return "\n".join(map(str, in_order(faults)))


def in_order(faults: Iterable[Fault]) -> list[Fault]:
    """Return *faults* in the order of the files' lines, each of them once."""
    ordered = sorted(faults, key=lambda fault: (fault.source.name, fault.line, fault.column))
    return list({str(fault): fault for fault in ordered}.values())


class FaultyFile(ConfigError):
    """A file that cannot be used, with every fault; as text, their report."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = in_order(faults)
        super().__init__(report(self.faults))


_SECRET = re.compile(
    r"(?<![A-Za-z0-9_])((?:password|secret|secret_hash|token)[\"']?\s*:\s*)(?=\S)(?!\$\{)(\"[^\"]*\"?|'[^']*'?|[^\s,}]+)"
)
_IN_URL = re.compile(r"(?<=://)[^/@\s]*(?=@)")
_WIDEST = 110


def _quoted(source: Source, line: int, column: int) -> list[str]:
    """Return the line and its caret, without the indentation and with the middle of a long line only."""
    if not 1 <= line <= len(source.lines):
        return []
    text = source.lines[line - 1].replace("\t", " ").rstrip()
    at = min(column - 1, len(text))
    blotted = _IN_URL.sub(lambda found: "*" * len(found[0]), text)
    blotted = _SECRET.sub(lambda found: found[1] + "*" * len(found[2]), blotted)
    start = len(blotted) - len(blotted.lstrip())
    start = min(start, at)
    if at - start > _WIDEST - 20:
        start = at - 40
    shown = blotted[start : start + _WIDEST]
    if not shown.strip():
        return []
    return [shown, " " * (at - start) + "^"]


def meant(word: str, known: Iterable[str]) -> str:
    """Return ``did you mean "weight"?`` when one of the *known* words is close to *word*, else nothing."""
    candidates = list(known)
    folded = {candidate.lower().replace("-", "_"): candidate for candidate in candidates}
    close = get_close_matches(word.lower().replace("-", "_"), folded, n=1, cutoff=0.6)
    return f'did you mean "{folded[close[0]]}"?' if close else ""


def one_of(known: Iterable[str]) -> str:
    """Return *known* as an enumeration: ``lax or strict``."""
    words = list(known)
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
