"""`include:`, so that a file of thousands of routes can be many: each part stands as if it were written here.

Lists (`routes`, `tests`) go behind each other, in the order of the files' names; mappings of entries (`upstreams`,
`roles`, …) are put together, and an entry that is there twice is a fault; every other section stands in one file alone.
Parts do not include. They are below the directory of the file that includes them, and paths in them start there, too.
"""

import glob
from collections.abc import Callable
from pathlib import Path

from gateway.config.document import Document, Loc
from gateway.errors import ConfigError

_LISTS = frozenset({"routes", "tests"})
_MAPPINGS = frozenset({"upstreams", "roles", "trusted_issuers", "clients", "rules", "limits"})


def include(
    document: Document, directory: Path, read: Callable[[Path], Document], seen: Callable[[Path], None]
) -> None:
    """Put the parts that *document* names into it; what is wrong with them is noted in it, at its own place.

    *read* reads one part; what must be looked at to notice a change is *seen*.
    """
    data = document.data
    assert isinstance(data, dict)
    patterns = data.get("include")
    if isinstance(patterns, str):
        document.fault(("include",), "a list is needed", f"write [{patterns}]")
        return
    done: set[Path] = set()
    for at, pattern in enumerate(patterns if isinstance(patterns, list) else ()):
        if isinstance(pattern, str):
            for path in _files(document, ("include", at), pattern, directory, seen):
                if path not in done:
                    done.add(path)
                    _take(document, ("include", at), path, read)


def _files(document: Document, loc: Loc, pattern: str, directory: Path, seen: Callable[[Path], None]) -> list[Path]:
    if pattern.startswith("/") or ".." in Path(pattern).parts:
        document.fault(loc, "parts are below the directory of this file", "write it like routes/*.yaml")
        return []
    if not glob.has_magic(pattern):
        return [directory / pattern]
    seen((directory / pattern).parent)  # another file may come
    found = sorted(directory.glob(pattern))
    if not found:
        document.fault(loc, f"no file is called so in {directory}")
    return found


def _take(document: Document, loc: Loc, path: Path, read: Callable[[Path], Document]) -> None:
    try:
        part = read(path)
    except ConfigError as error:
        document.fault(loc, str(error))
        return
    document.faults += part.faults
    if isinstance(part.data, dict):
        for key, value in part.data.items():
            _put(document, part, key, value)
    elif not part.faults:
        part.fault((), "keys with values are needed at the top, such as routes:")
        document.faults += part.faults


def _put(document: Document, part: Document, key: str, value: object) -> None:
    data = document.data
    assert isinstance(data, dict)
    here = data.get(key)
    if key == "version":
        return
    if key == "include":
        document.faults.append(part.fault_at((key,), "a part cannot include others", at_key=True))
    elif here is None:
        data[key] = value
        document.adopt(part, (key,), (key,))
    elif key in _LISTS and isinstance(here, list) and isinstance(value, list):
        for at in range(len(value)):
            document.adopt(part, (key, at), (key, len(here) + at))
        here += value
    elif key in _MAPPINGS and isinstance(here, dict) and isinstance(value, dict):
        for name, entry in value.items():
            if name in here:
                reason = f"this is there already, at {document.where((key, name))}"
                document.faults.append(part.fault_at((key, name), reason, "remove one of them", at_key=True))
            else:
                here[name] = entry
                document.adopt(part, (key, name), (key, name))
    else:
        reason = f"this section is there already, at {document.where((key,))}"
        document.faults.append(part.fault_at((key,), reason, "it stands in one file alone", at_key=True))
