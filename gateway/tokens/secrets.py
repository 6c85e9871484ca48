"""One master secret, and the keys derived from it: each for one purpose, none telling anything about another.

HKDF-SHA256 (RFC 5869) with a fixed label for each purpose. The labels are part of the format: changing one ends every
token made with its key.
"""

import hashlib
import hmac

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.errors import ConfigError
from gateway.tokens.weak import weakness

LEAST_MASTER = 32
"""Bytes; the strength of everything derived."""
TAG_SIZE = 12

_COMMAND = "openssl rand -base64 48 > secret"


class Secrets:
    """The keys of this installation; all replicas share one master and so have the same."""

    __slots__ = (
        "csrf",
        "decoy",
        "device",
        "limits",
        "login",
        "people",
        "refresh_mac",
        "seal",
        "second_factor",
        "subject_tag",
    )

    def __init__(self, master: bytes) -> None:
        """Derive all keys from *master*, the content of `server.secret_file`.

        Raises:
            ConfigError: *master* is short, a placeholder or a pattern.
        """
        if (why := weakness(master, LEAST_MASTER)) is not None:
            raise ConfigError(f"server.secret_file: {why}; make one with: {_COMMAND}")
        self.refresh_mac = _derived(master, b"gateway refresh token mac v1")
        self.subject_tag = _derived(master, b"gateway subject tag v1")
        self.csrf = _derived(master, b"gateway csrf token v1")
        self.seal = _derived(master, b"gateway seal v1")
        """For what is kept encrypted in a store that others may read."""
        self.second_factor = _derived(master, b"gateway second factor v1")
        """For the secrets of second factors, where the users are kept."""
        self.login = _derived(master, b"gateway begun login v1")
        """For what a client keeps between two steps of a login, and must not read or make."""
        self.people = _derived(master, b"gateway remembered person v1")
        """For what a users' service said of people, kept in the store."""
        self.device = _derived(master, b"gateway known device v1")
        self.limits = _derived(master, b"gateway limit v1")
        """Hides in the store who is held to a limit."""
        self.decoy = _derived(master, b"gateway decoy hash v1")
        """Picks the hash against which a name nobody has is checked."""

    def __repr__(self) -> str:
        return "Secrets(...)"


def subject_tag(secrets: Secrets, issuer: str, tenant: str | None, sub: str) -> bytes:
    """Return the 12 bytes under which the store knows a subject: the same for the same person, and no name in a dump.

    Issuer and tenant are part of it, so that equal subjects of two issuers never meet.

    Raises:
        ValueError: a NUL, which separates the parts, or an unpaired surrogate in one of them.
    """
    parts = (issuer, tenant or "", sub)
    if any("\0" in part for part in parts):
        raise ValueError("a subject cannot contain NUL")
    return hmac.digest(secrets.subject_tag, "\0".join(parts).encode("utf-8"), hashlib.sha256)[:TAG_SIZE]


def _derived(master: bytes, label: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=label).derive(master)
