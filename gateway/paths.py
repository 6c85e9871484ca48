"""Paths into claims: `realm_access.roles`, or with dots in a name `org."https://x.example/role"`."""

import re
from collections.abc import Mapping

Path = tuple[str, ...]

# A step of a path: text without dots and quotes, or anything in quotes.
_STEP = re.compile(r'"([^"]+)"|([^."]+)')


def steps(path: str) -> Path:
    """Take the text of a path apart.

    Raises:
        ValueError: it is none.
    """
    found = []
    place = 0
    while (step := _STEP.match(path, place)) is not None:
        found.append(step[1] or step[2])
        place = step.end()
        if place == len(path):
            return tuple(found)
        if path[place] != ".":
            break
        place += 1
    raise ValueError(f"{path!r} is no path to a claim")


def reached(claims: Mapping[str, object], path: Path) -> object | None:
    """Return the claim that *path* leads to, through objects only; None when there is none."""
    found: object = claims
    for step in path:
        if not isinstance(found, Mapping) or step not in found:
            return None
        found = found[step]
    return found
