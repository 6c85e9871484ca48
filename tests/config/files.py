"""Configurations written by a test, and what comes out of them."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from gateway.config.load import load
from gateway.config.models import Config
from gateway.errors import ConfigError

EXAMPLES = Path(__file__).with_name("examples")
ROOT = Path(__file__).parents[2]

STRONG = "9f2c4b7e1a6d8035c1e7f4a2b9d06385"

FULL_ENVIRON = {"ADMIN_TOKEN": STRONG[:20], "GATEWAY_SECRET": STRONG}


def loaded(directory: Path, text: str, environ: Mapping[str, str] | None = None, **files: str) -> Config:
    """Return what is loaded from *text*, with *files* (name without ``.yaml``) beside it."""
    for name, contents in files.items():
        (directory / f"{name}.yaml").write_text(contents)
    path = directory / "gateway.yaml"
    path.write_text(f"version: 1\n{text}")
    return load(path, environ or {})


def refused(directory: Path, text: str, environ: Mapping[str, str] | None = None, **files: str) -> str:
    """Return why *text* is not loaded, without the directory's name."""
    with pytest.raises(ConfigError) as error:
        loaded(directory, text, environ, **files)
    return str(error.value).replace(f"{directory}/", "")
