"""TLS towards clients: several certificates, chosen by the name a client asks for, replaced without a restart.

The listener's own context never changes; for each handshake its SNI callback picks the context of the certificate that
fits. So a renewed certificate is for the next handshake, and no connection is dropped.
"""

import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from gateway.errors import ConfigError


class Pair(NamedTuple):
    """A certificate chain and its key, both PEM files."""

    certificate: Path
    key: Path


class Certificates:
    """The certificates of a listener."""

    def __init__(self, pairs: Sequence[Pair], names_of: Callable[[bytes, str], tuple[str, ...]]) -> None:
        """Load *pairs*; the first is for clients that ask for no name, or for one nobody has.

        *names_of* tells the names in a PEM file, given its content and what to call it in an error.

        Raises:
            ConfigError: a file cannot be read, or the two do not belong together.
        """
        self._pairs = tuple(pairs)
        self._names_of = names_of
        self._stamps = self._look()
        self._contexts = self._load()
        self.context = _server_context()
        # Handshakes without SNI take this context's own certificate.
        self.context.load_cert_chain(self._pairs[0].certificate, self._pairs[0].key)
        self.context.sni_callback = self._choose

    def refresh(self) -> bool:
        """Load the files again if one has changed; return whether so. On ConfigError the old ones stay in use."""
        stamps = self._look()
        if stamps == self._stamps:
            return False
        contexts = self._load()
        self.context.load_cert_chain(self._pairs[0].certificate, self._pairs[0].key)
        self._stamps, self._contexts = stamps, contexts
        return True

    def adopt(self, other: "Certificates") -> None:
        """Use the certificates of *other* for every handshake from now on."""
        self.context.load_cert_chain(other._pairs[0].certificate, other._pairs[0].key)
        self._pairs, self._stamps, self._contexts = other._pairs, other._stamps, other._contexts

    def _look(self) -> tuple[tuple[int, int, int], ...]:
        stamps = []
        for path in (path for pair in self._pairs for path in pair):
            try:
                status = path.stat()
            except OSError as error:
                raise ConfigError(f"server.tls: {path}: {error.strerror}") from error
            stamps.append((status.st_mtime_ns, status.st_size, status.st_ino))
        return tuple(stamps)

    def _load(self) -> dict[str, ssl.SSLContext]:
        contexts: dict[str, ssl.SSLContext] = {}
        for pair in self._pairs:
            context = _server_context()
            try:
                context.load_cert_chain(pair.certificate, pair.key)
                pem = pair.certificate.read_bytes()
            except (OSError, ssl.SSLError) as error:
                raise ConfigError(f"server.tls: {pair.certificate}, {pair.key}: {error}") from error
            for name in self._names_of(pem, f"server.tls: {pair.certificate}"):
                contexts.setdefault(name, context)
        return contexts

    def _choose(self, connection: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        if name is None:
            return
        name = name.lower()
        found = self._contexts.get(name) or self._contexts.get(f"*.{name.partition('.')[2]}")
        if found is not None:
            connection.context = found


def _server_context() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
