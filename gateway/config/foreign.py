"""Public keys of others in files: a trusted issuer's, and a client's that signs its own assertions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from gateway.errors import ConfigError
from gateway.tokens.jwks import ForeignKey
from gateway.tokens.keys import load_key


class KeyFile(Protocol):
    """How such a key is written."""

    @property
    def file(self) -> Path: ...
    @property
    def alg(self) -> str: ...
    @property
    def kid(self) -> str | None: ...


def foreign_keys(where: str, written: Sequence[KeyFile]) -> list[ForeignKey]:
    """Return the keys of *written*, which stands at *where*.

    Raises:
        ConfigError: a file cannot be read, or is no key for its algorithm.
    """
    keys = []
    for key in written:
        try:
            keys.append(ForeignKey(key.kid, load_key(key.file.read_bytes(), key.alg, None, "retired")))
        except (OSError, ConfigError) as error:
            raise ConfigError(f"{where}.keys: {key.file}: {error}") from error
    return keys
