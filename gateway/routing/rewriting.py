"""From the path that was matched to the path the upstream sees.

Works segment by segment on the canonical path, so the outcome is canonical too: what was stripped is exactly what was
matched, escaped or not, and there is no second, raw path to forget (GHSA-6jwx-7vp4-9847). A trailing slash is kept.
"""

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote

from gateway.routing.template import Kind, Segment, parse

# What a path may hold unescaped besides letters and digits (RFC 3986 section 3.3), without ";".
_SAFE = "-._~!$&'()*+,=:@"


class Rewriting(NamedTuple):
    """How one route changes the path; made once per route."""

    strip: int = 0
    """So many leading segments are taken away."""
    parts: tuple[bytes | int, ...] | None = None
    """The new path: literal bytes as they are, numbers are segments of the old one. None leaves the path alone."""
    rest: int | None = None
    """What ``**`` stood for starts at this segment of the old path and is put behind `parts`."""
    slash: bool = False
    """The rewrite was written with a trailing slash."""


UNCHANGED = Rewriting()


def rewriting(segments: Sequence[Segment], strip_prefix: str | None, rewrite: str | None) -> Rewriting:
    """Return what `strip_prefix` or `rewrite` mean for a route whose template has *segments*.

    Raises:
        ValueError: they do not fit the template; the message is made for the person who wrote it.
    """
    if strip_prefix is not None and rewrite is not None:
        raise ValueError("strip_prefix and rewrite exclude each other; rewrite alone can do both")
    if strip_prefix is not None:
        return Rewriting(strip=_strip(segments, parse(strip_prefix)))
    if rewrite is not None:
        return _rewrite(segments, parse(rewrite), slash=rewrite.endswith("/"))
    return UNCHANGED


def _strip(segments: Sequence[Segment], prefix: Sequence[Segment]) -> int:
    if any(segment.kind is not Kind.LITERAL for segment in prefix):
        raise ValueError("strip_prefix is plain text; use rewrite to drop what a wildcard stood for")
    if tuple(segments[: len(prefix)]) != tuple(prefix):
        raise ValueError("strip_prefix must be how the path of the route begins, up to a slash")
    return len(prefix)


def _rewrite(segments: Sequence[Segment], wanted: Sequence[Segment], *, slash: bool) -> Rewriting:
    places = {segment.name: at for at, segment in enumerate(segments) if segment.name}
    rest = next((at for at, segment in enumerate(segments) if segment.kind is Kind.REST), None)
    if (rest is None) != all(segment.kind is not Kind.REST for segment in wanted):
        raise ValueError('path and rewrite both end in "/**", or neither does')
    parts: list[bytes | int] = []
    for segment in wanted:
        match segment.kind:
            case Kind.LITERAL:
                parts.append(quote(segment.literal, safe=_SAFE).encode())
            case Kind.REST:
                pass
            case _ if segment.name in places:
                parts.append(places[segment.name])
            case _:
                raise ValueError(f"the path of the route has no {{{segment.name}}}")
    return Rewriting(parts=tuple(parts), rest=rest, slash=slash)


def apply(how: Rewriting, path: bytes) -> bytes:
    """Return the canonical *path*, one that the route's template matched, changed as *how* says."""
    if how.parts is None and not how.strip:
        return path
    old = path.split(b"/")[1:]
    slash = old[-1] == b""
    if slash:
        old.pop()
    if how.parts is None:
        new = old[how.strip :]
    else:
        new = [part if isinstance(part, bytes) else old[part] for part in how.parts]
        if how.rest is not None:
            new += old[how.rest :]
        slash = slash or how.slash
    if not new:
        return b"/"
    return b"/" + b"/".join(new) + (b"/" if slash else b"")
