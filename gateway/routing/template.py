"""Path templates: what may be written for `path`, `strip_prefix` and `rewrite`.

A few wildcards and no regular expressions, so that "most specific wins" has one answer: ``{id}`` is one segment,
``{id:int}`` one of digits, ``{id:uuid}`` one UUID, and a last ``/**`` is everything below, including nothing.
"""

import re
from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

from gateway.routing.target import BadTarget, read


class Kind(IntEnum):
    """What a segment of a template accepts; a smaller number is more specific."""

    LITERAL = 0
    INT = 1
    UUID = 2
    ANY = 3
    REST = 4


class Segment(NamedTuple):
    """One segment of a template."""

    kind: Kind
    literal: bytes = b""
    """What the decoded segment of a path must be, for `LITERAL`."""
    name: str = ""
    """The parameter's name, for all but `LITERAL` and `REST`."""


REST = Segment(Kind.REST)

is_uuid = re.compile(rb"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}").fullmatch
"""A UUID as it is written (RFC 9562 section 4), of any version, in small letters or capitals."""

_PARAM = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(?::([^{}]*))?\}")


def parse(template: str) -> tuple[Segment, ...]:
    """Return the segments of *template*; a trailing slash adds none, so it changes nothing.

    Raises:
        ValueError: the template cannot be matched; the message is made for the person who wrote it.
    """
    if not template.startswith("/"):
        raise ValueError(f'a path starts with "/"; write "/{template}"')
    texts = template.split("/")[1:]
    if texts[-1] == "":
        texts.pop()
    segments = []
    for at, text in enumerate(texts):
        segment = _segment(text)
        if segment is REST and at != len(texts) - 1:
            raise ValueError('"**" stands for everything below and must come last')
        segments.append(segment)
    names = [segment.name for segment in segments if segment.name]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{{{name}}} is there twice; every parameter needs its own name")
    return tuple(segments)


def _segment(text: str) -> Segment:
    if text == "**":
        return REST
    if param := _PARAM.fullmatch(text):
        match param[2]:
            case None:
                return Segment(Kind.ANY, name=param[1])
            case "int":
                return Segment(Kind.INT, name=param[1])
            case "uuid":
                return Segment(Kind.UUID, name=param[1])
            case other:
                name = param[1]
                there_is = f"there is {{{name}}}, {{{name}:int}} and {{{name}:uuid}}"
                raise ValueError(f'no such type of parameter: "{other}"; {there_is}')
    if "{" in text or "}" in text:
        raise ValueError(f'a parameter fills its whole segment, like /{{id}}/; not "{text}"')
    if "*" in text:
        raise ValueError('write "{name}" for one segment or a last "/**" for everything below; "*" alone means nothing')
    return Segment(Kind.LITERAL, _literal(text))


_REASONS = {
    "empty_segment": 'two slashes in a row are refused in every request, so "//" could never match',
    "dot_segment": '"." and ".." are refused in every request, so they could never match',
    "backslash": "a backslash is refused in every request, so it could never match",
    "parameter": '";" is refused in every request, so it could never match',
    "control": "control characters are refused in every request, so they could never match",
    "double_encoding": "a double encoding is refused in every request, so it could never match",
    "escape": '"%" must be followed by two hexadecimal digits',
    "utf8": "the escapes are not UTF-8",
    "target_byte": "control characters are refused in every request, so they could never match",
}


def _literal(text: str) -> bytes:
    """Return the decoded bytes *text* stands for, having made sure that a request can ask for them."""
    if "?" in text:
        raise ValueError('the query is never part of a match; remove "?" and what follows')
    if "#" in text:
        raise ValueError('"#" never reaches a server; remove it and what follows')
    # Written for people: raw spaces and letters of any script mean their escapes. "%" is left to `read`.
    spelling = "".join(letter if " " < letter < "\x7f" else quote(letter) for letter in text)
    match read(b"/x/" + spelling.encode() + b"/x", max_bytes=1 << 16):
        case BadTarget(reason=reason):
            raise ValueError(_REASONS.get(reason, f"no request can ask for this ({reason})"))
        case target:
            return unquote_to_bytes(target.path[3:-2])


def shape(segments: Sequence[Segment]) -> tuple[tuple[Kind, bytes], ...]:
    """Return what two templates have in common when they match the same paths: all but the parameters' names."""
    return tuple((segment.kind, segment.literal) for segment in segments)


def folded(segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """Return *segments* for paths in small letters. Those of ASCII only: services do not agree about the others."""
    return tuple(segment._replace(literal=segment.literal.lower()) for segment in segments)


def param_names(segments: Sequence[Segment]) -> tuple[str, ...]:
    """Return the names of the parameters of *segments*, in order."""
    return tuple(segment.name for segment in segments if segment.name)


# As a number: looking for a byte is three times as fast as looking for bytes.
_PERCENT = ord("%")


def segments_of(path: bytes) -> list[bytes]:
    """Return the decoded segments of the canonical *path*; a trailing slash adds none.

    An escaped slash is data inside its segment here, never a separator.
    """
    texts = path.split(b"/")[1:]
    if texts and texts[-1] == b"":
        texts.pop()
    return [unquote_to_bytes(text) for text in texts] if _PERCENT in path else texts
