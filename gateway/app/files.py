"""What the gateway finds or makes before it starts: data directory, master secret, signing keys."""

import contextlib
import os
import secrets as entropy
from pathlib import Path

from gateway.config.keys import schedule
from gateway.config.models import Config
from gateway.errors import ConfigError
from gateway.sessions.signing_keys import KeyPlace, StoredKeys
from gateway.sessions.store import SessionStore
from gateway.tokens.keystore import Keystore
from gateway.tokens.ring import KeyRing, keyring_from
from gateway.tokens.sealing import Seal
from gateway.tokens.secrets import Secrets

ADDRESS_FILE = "admin_address"
"""In the data directory: where the running gateway's admin listener is, for `gateway healthcheck`."""


def prepare(data: Path) -> None:
    """Make the data directory, readable by its owner alone.

    Raises:
        ConfigError: it cannot be made.
    """
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigError(f"server.data_dir: cannot make {data}: {error.strerror}") from error


def master_secret(config: Config, data: Path) -> bytes:
    """Return the one secret all others derive from (ARCHITECTURE 8.1).

    With the embedded store it is made on the first start; an external store without `server.secret_file` has been
    refused by then.

    Raises:
        ConfigError: the file in the data directory is too short to be one.
    """
    given = config.server.secret
    if given is not None:
        return given.value
    path = data / "secret"
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(entropy.token_bytes(48))
    master = path.read_bytes()
    if len(master) < 32:
        raise ConfigError(f"{path} holds {len(master)} bytes, 32 are needed; remove it to have a new one made")
    return master


def keystore(config: Config, secrets: Secrets, data: Path, now: float) -> Keystore:
    """Return the generated keys kept in the data directory, with the schedule that turns them.

    Raises:
        ConfigError: the directory or its file cannot be used.
    """
    keys = config.tokens.keys
    seal = Seal(secrets.seal) if keys.seal else None
    return Keystore(data / "keys", keys.alg, now, schedule=schedule(config.tokens), seal=seal)


def stored_keys(config: Config, secrets: Secrets, store: SessionStore, ring: KeyRing) -> StoredKeys:
    """Return what keeps *ring* in step with the keys in *store*, which are always sealed there (ARCHITECTURE 8.1)."""
    seal = Seal(secrets.seal)
    turns = schedule(config.tokens)
    return StoredKeys(KeyPlace(store, seal), ring, turns.alg, schedule=turns, seal=seal)


def given_keys(config: Config) -> KeyRing:
    """Return the ring of the key files that the configuration names."""
    keys = config.tokens.keys
    return keyring_from((key.file.read_bytes(), key.alg, key.kid, key.state) for key in keys.files)
