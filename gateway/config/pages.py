"""The section `pages`: how the gateway's own pages look, and whether there are any."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, WrapValidator

from gateway.config.faults import Wrong
from gateway.config.model import ListOf, Model
from gateway.config.values import FilePath, Text, switch
from gateway.navigation import safe_return

IMAGES = {".svg": "image/svg+xml", ".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp"}


def _colour(value: str) -> str:
    if re.fullmatch(r"#[0-9A-Fa-f]{6}", value) is None:
        raise Wrong(f'"{value}" is no colour', 'write it like "#0a6cff", in quotes')
    return value.lower()


def _image(value: Path) -> Path:
    if value.suffix.lower() not in IMAGES:
        raise Wrong(f"{value.name} is no image that pages show", f"use one of {', '.join(IMAGES)}")
    return value


def _local(value: str) -> str:
    if safe_return(value) is None:
        raise Wrong(f'"{value}" is no path on this site', "write it like /app")
    return value


def _link(value: str) -> str:
    if re.fullmatch(r"https?://[^\s\"'<>]+|mailto:[^\s\"'<>]+", value) is None and safe_return(value) is None:
        raise Wrong(f'"{value}" is no link', "write it like https://example.com/privacy, or /privacy")
    return value


Colour = Annotated[Text, AfterValidator(_colour)]


class LinkConfig(Model):
    """A link at the foot of every page."""

    text: Annotated[Text, Field(max_length=60)]
    url: Annotated[Text, AfterValidator(_link)]


class PagesConfig(Model):
    """Login, account, signed out, error."""

    title: Annotated[Text, Field(max_length=60)] = "Gateway"
    """Whose login this is."""
    logo_file: Annotated[FilePath, AfterValidator(_image)] | None = None
    accent: Colour = "#1f5fd0"
    """Of buttons and links, on white."""
    accent_dark: Colour = "#8ab4ff"
    """The same in dark mode."""
    stylesheet_file: FilePath | None = None
    """Rules that come after the pages' own."""
    home: Annotated[Text, AfterValidator(_local)] = "/"
    """Where a login leads that began nowhere else."""
    links: ListOf[LinkConfig] = ()


Pages = Annotated[PagesConfig | None, WrapValidator(switch, json_schema_input_type=bool | PagesConfig)]
