"""How the pages look: what the operator chose, and the files that come with them."""

import hashlib
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import NamedTuple


class Link(NamedTuple):
    """A link at the foot of every page."""

    text: str
    url: str


class Logo(NamedTuple):
    """An image and its media type."""

    content: bytes
    kind: str


@dataclass(frozen=True, slots=True)
class Look:
    """The operator's choices."""

    title: str = "Gateway"
    accent: str = "#1f5fd0"
    accent_dark: str = "#8ab4ff"
    home: str = "/"
    """Where a login leads that began nowhere else."""
    links: tuple[Link, ...] = ()
    logo: Logo | None = None
    css: str = ""
    """Rules that come after ours."""
    stylesheet: str = field(init=False)
    """The whole stylesheet."""

    def __post_init__(self) -> None:
        accents = (
            f":root {{ --accent: {self.accent}; }}\n"
            f"@media (prefers-color-scheme: dark) {{ :root {{ --accent: {self.accent_dark}; }} }}\n"
        )
        object.__setattr__(self, "stylesheet", static("pages.css") + accents + self.css)


@cache
def static(name: str) -> str:
    """Return a file that comes with the pages."""
    return (files("gateway.endpoints") / "static" / name).read_text("utf-8")


def version(content: bytes | str) -> str:
    """Return a name for exactly this content, for URLs and entity tags."""
    raw = content.encode() if isinstance(content, str) else content
    return hashlib.sha256(raw).hexdigest()[:16]
