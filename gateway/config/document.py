"""A YAML file as plain data, with the place of every key and value.

The rules are those of YAML 1.2, read strictly: ``on``, ``off``, ``yes`` and ``no`` are text, ``8080:80`` is no number
to base 60, a key that is there twice is a fault, and merge keys and tags are none of ours. Anchors may be used, but a
file cannot grow without bound by them. Everything else is libyaml's.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

from gateway.config.faults import Fault, Source, Wrong
from gateway.config.syntax import explained
from gateway.errors import ConfigError

Loc = tuple[str | int, ...]
"""The keys and indexes that lead to a value."""

MAX_BYTES = 4 << 20
"""Ten thousand routes; more is not written by hand and not read with eyes."""
# An alias costs nothing in the file and a whole subtree in memory ("billion laughs").
_MAX_VALUES = 200_000
_MAX_DEPTH = 40


class Mark(NamedTuple):
    """A line and a column, both from 1."""

    line: int
    column: int


class Place(NamedTuple):
    """Where a value is written, and its key when it has one."""

    key: Mark
    value: Mark
    source: Source | None = None
    """The file it is in; None for that of the document."""


class Document:
    """One file: its data, and where each part of it is written."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.data: object = None
        self.borrowed: dict[Loc, str] = {}
        """Values that came from somewhere else, with its name; they have no place in the file."""
        self.places: dict[Loc, Place] = {}
        self.faults: list[Fault] = []
        self.filled_in: set[Loc] = set()
        """Values with `${…}` in them."""
        self.files: set[Path] = set()
        """Everything that was read for it, also what could not be."""
        self._has_parts = False

    def known(self, loc: Loc) -> Loc:
        """Return the part of *loc* that is written in the file, steps that are not skipped over."""
        path: Loc = ()
        for step in loc:
            if (*path, step) in self.places:
                path = (*path, step)
        return path

    def line(self, loc: Loc) -> int:
        """Return the line on which the value at *loc*, or the nearest thing around it, is written."""
        place = self.places.get(self.known(loc))
        return place.value.line if place else 1

    def fault(self, loc: Loc, reason: str, hint: str = "", *, at_key: bool = False) -> None:
        """Note what is wrong at *loc*, or with its key."""
        self.faults.append(self.fault_at(loc, reason, hint, at_key=at_key))

    def fault_at(self, loc: Loc, reason: str, hint: str = "", *, at_key: bool = False) -> Fault:
        """Return what is to be said about *loc*, or about its key, with its place."""
        place = self.places.get(self.known(loc))
        mark = Mark(0, 0) if place is None else place.key if at_key else place.value
        source = self.source if place is None or place.source is None else place.source
        return Fault(source, *mark, dotted(loc), reason, hint)

    def where(self, loc: Loc) -> str:
        """Return file and line of *loc*, or of the nearest thing around it: ``gateway.yaml:31``."""
        place = self.places.get(self.known(loc))
        source = self.source if place is None or place.source is None else place.source
        return f"{Path(source.name).name}:{place.key.line if place else 1}"

    def nearby(self, loc: Loc) -> str:
        """Return where *loc* is for who reads this file: ``line 31``, or ``orders.yaml:31`` where there are parts."""
        return self.where(loc) if self._has_parts else f"line {self.line(loc)}"

    def adopt(self, part: "Document", there: Loc, here: Loc) -> None:
        """Take over the places of everything at *there* in *part*, which stands at *here* now."""
        self._has_parts = True
        for loc, place in part.places.items():
            if loc[: len(there)] == there:
                self.places[(*here, *loc[len(there) :])] = place._replace(source=part.source)
        for loc in part.filled_in:
            if loc[: len(there)] == there:
                self.filled_in.add((*here, *loc[len(there) :]))


def dotted(loc: Loc) -> str:
    """Return *loc* as people write it: ``routes[2].methods.GET``."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in loc)
    return text.removeprefix(".")


def contents(path: Path) -> bytes:
    """Return the bytes of the file at *path*.

    Raises:
        ConfigError: there is no such file, or it cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: there is no such file") from error
    except OSError as error:
        raise ConfigError(f"{path}: the file cannot be read: {(error.strerror or 'unknown error').lower()}") from error


def _as_it_is(text: str) -> str:
    return text


def _nowhere(_loc: Loc) -> bool:
    return False


def read(
    name: str,
    raw: bytes,
    *,
    expand: Callable[[str], str] = _as_it_is,
    may_be_empty: Callable[[Loc], bool] = _nowhere,
) -> Document:
    """Return *raw*, the contents of the file called *name*, with all its faults; nothing is raised.

    *expand* sees every text that is a value and returns what it stands for, or raises `Wrong`. A key with nothing
    behind it is a fault: an empty ``roles:`` would look like protection. Where it *may_be_empty*, it is ``{}``.
    """
    document = Document(Source(name, ()))
    if len(raw) > MAX_BYTES:
        document.fault((), f"the file has {len(raw)} bytes; {MAX_BYTES} are read at most")
        return document
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode()
        document = Document(Source(name, tuple(raw.decode(errors="replace").split("\n"))))
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        document.faults.append(Fault(document.source, line, column, "", "the file is not UTF-8"))
        return document
    document = Document(Source(name, tuple(text.splitlines())))
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
    except yaml.YAMLError as error:
        document.faults.append(explained(document.source, text, error))
        return document
    except RecursionError:
        document.fault((), "the file is nested too deeply")
        return document
    finally:
        loader.dispose()
    if node is not None:
        _Builder(document, expand, may_be_empty).build(node)
    return document


_PLAIN, _TEXT = "plain", "text"


class _Loader(yaml.CSafeLoader):
    """Composes nodes only, and tags a scalar by whether it was written plainly."""

    def resolve(self, kind: type[yaml.Node], value: str, implicit: tuple[bool, bool]) -> str:
        if kind is yaml.ScalarNode:
            return _PLAIN if implicit[0] else _TEXT
        return "seq" if kind is yaml.SequenceNode else "map"


_STANDARD_TAGS = {"tag:yaml.org,2002:str": _TEXT, "tag:yaml.org,2002:seq": "seq", "tag:yaml.org,2002:map": "map"}
_NOTHING = ("", "~", "null", "Null", "NULL")
_WORDS: dict[str, object] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,18})")
_DECIMAL = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\.[0-9]+")


class _TooBigError(Exception):
    pass


class _Builder:
    """Turns nodes into data, noting places and faults in the document."""

    def __init__(self, document: Document, expand: Callable[[str], str], may_be_empty: Callable[[Loc], bool]) -> None:
        self._document = document
        self._expand = expand
        self._may_be_empty = may_be_empty
        self._left = _MAX_VALUES
        self._above: list[yaml.Node] = []

    def build(self, root: yaml.Node) -> None:
        try:
            self._document.data = self._value(root, (), _mark(root))
        except _TooBigError:
            self._document.fault((), f"anchors make the file grow to more than {_MAX_VALUES} values")

    def _value(self, node: yaml.Node, loc: Loc, key: Mark) -> object:
        self._left -= 1
        if self._left < 0:
            raise _TooBigError
        self._document.places[loc] = Place(key, _mark(node))
        tag = _STANDARD_TAGS.get(node.tag, node.tag)
        if tag not in (_PLAIN, _TEXT, "seq", "map"):
            self._document.fault(loc, f"tags such as {_written(node.tag)} are not used here", _instead(node.tag))
            return BROKEN
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node.value, loc, plain=tag == _PLAIN)
        if node in self._above:
            self._document.fault(loc, "an anchor contains itself")
            return BROKEN
        if len(self._above) >= _MAX_DEPTH:
            self._document.fault(loc, f"more than {_MAX_DEPTH} levels deep")
            return BROKEN
        self._above.append(node)
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self._value(item, (*loc, at), _mark(item)) for at, item in enumerate(node.value)]
            return dict(self._pairs(node, loc))
        finally:
            self._above.pop()

    def _pairs(self, node: yaml.Node, loc: Loc) -> Iterator[tuple[str, object]]:
        lines: dict[str, int] = {}
        for key, value in node.value:
            mark = _mark(key)
            if not isinstance(key, yaml.ScalarNode) or key.tag not in (_PLAIN, _TEXT):
                self._fault(mark, loc, "a key is one word or text, not a list or a mapping")
            elif key.value == "<<" and key.tag == _PLAIN:
                self._fault(mark, (*loc, "<<"), "merge keys are not used here", "write the keys out, or use defaults:")
            elif key.value in lines:
                first = lines[key.value]
                self._fault(
                    mark, (*loc, key.value), f"the key is there twice, first on line {first}", "remove one of them"
                )
            else:
                lines[key.value] = mark.line
                yield key.value, self._value(value, (*loc, key.value), mark)

    def _scalar(self, text: str, loc: Loc, *, plain: bool) -> object:
        if "$" in text:
            self._document.filled_in.add(loc)
            try:
                return self._expand(text)
            except Wrong as wrong:
                self._document.fault(loc, wrong.reason, wrong.hint)
                return BROKEN
        if not plain:
            return text
        if text in _NOTHING:
            if self._may_be_empty(loc):
                return {}
            self._document.fault(loc, "nothing is written here", "write a value, or remove the key", at_key=True)
            return BROKEN
        if text in _WORDS:
            return _WORDS[text]
        if _INTEGER.fullmatch(text):
            return int(text)
        return float(text) if _DECIMAL.fullmatch(text) else text

    def _fault(self, mark: Mark, loc: Loc, reason: str, hint: str = "") -> None:
        self._document.faults.append(Fault(self._document.source, *mark, dotted(loc), reason, hint))


class Broken:
    """Stands for a value whose fault has been noted, so that nothing else is said about it."""

    def __repr__(self) -> str:
        return "BROKEN"


BROKEN = Broken()


def _mark(node: yaml.Node) -> Mark:
    return Mark(node.start_mark.line + 1, node.start_mark.column + 1)


def _written(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")


def _instead(tag: str) -> str:
    match tag.lower().lstrip("!"):
        case "env" | "env_var":
            return 'write "${NAME}" or "${NAME:-default}"'
        case "secret" | "file" | "include":
            return 'write "${file:/path/to/it}"'
        case _:
            return "remove the tag; put quotes around text that looks like a number"
