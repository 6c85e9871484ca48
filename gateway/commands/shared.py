"""The keys that a configuration speaks of, for verbs that work on them.

Everything works when the gateway is down. Looking changes nothing: no key and no secret is made unless that is what
was asked for.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from gateway.commands.keyplace import Directory, Place, Stored
from gateway.config.effective import data_dir
from gateway.config.keys import schedule
from gateway.config.load import load
from gateway.config.models import Config
from gateway.errors import ConfigError
from gateway.tokens.kept import KeptKeys, ring_of
from gateway.tokens.keys import KeyRing, Schedule, Seal, keyring_from
from gateway.tokens.secrets import Secrets


@dataclass(frozen=True, slots=True)
class House:
    """A configuration, and where its keys are."""

    config: Config
    data: Path

    @property
    def place(self) -> Place:
        """Where generated keys are.

        Raises:
            ConfigError: the keys come from files, which are for whoever wrote them to change.
        """
        if self.config.tokens.keys.files:
            raise ConfigError("tokens.keys.files: these keys are yours; change the files and their states there")
        if self.config.effective.keys_in_store:
            assert self.seal is not None
            return Stored(self.config, self.seal)
        return Directory(self.data / "keys", self.seal)

    @property
    def seal(self) -> Seal | None:
        """What generated keys are sealed with; None when they lie open."""
        if not self.config.tokens.keys.seal and not self.config.effective.keys_in_store:
            return None
        return Seal(Secrets(self.master()).seal)

    @property
    def schedule(self) -> Schedule:
        return schedule(self.config.tokens)

    def kept(self) -> KeptKeys:
        """Return the generated keys.

        Raises:
            ConfigError: there are none.
        """
        place = self.place
        kept = place.read()
        if not kept:
            raise ConfigError(f"{place.name} has no keys yet; `gateway run` makes the first one")
        return kept

    def ring(self) -> KeyRing:
        """Return the keys in force, wherever they come from; raises as `kept`."""
        files = self.config.tokens.keys.files
        if files:
            return keyring_from((key.file.read_bytes(), key.alg, key.kid, key.state) for key in files)
        return ring_of(self.kept(), self.seal)

    def master(self) -> bytes:
        """Return the secret that all others derive from.

        Raises:
            ConfigError: it was generated, and its file is not there.
        """
        given = self.config.server.secret
        if given is not None:
            return given.value
        try:
            return self.secret_file.read_bytes()
        except OSError as error:
            raise ConfigError(f"{self.secret_file}: {error.strerror}; `gateway run` makes it") from error

    @property
    def secret_file(self) -> Path:
        """Where the secret is that was generated because none was given."""
        return self.data / "secret"


def house(path: Path) -> House:
    """Return what the configuration at *path* speaks of.

    Raises:
        ConfigError: the file cannot be used.
    """
    config = load(path, os.environ)
    return House(config, data_dir(config, os.environ).absolute())
