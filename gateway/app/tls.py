"""How the gateway speaks TLS to others: whom it believes, and what it shows of itself."""

import ssl
from pathlib import Path
from typing import Protocol

from gateway.errors import ConfigError


class TlsFiles(Protocol):
    """A section that names files for TLS, all PEM."""

    @property
    def ca_file(self) -> Path | None: ...
    @property
    def certificate_file(self) -> Path | None: ...
    @property
    def key_file(self) -> Path | None: ...


def client_tls(key: str, files: TlsFiles | None = None) -> ssl.SSLContext:
    """Return how to speak to a server; *key* is the section of *files*, for the message.

    Raises:
        ConfigError: a file cannot be used.
    """
    ca_file = None if files is None else files.ca_file
    try:
        context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
        if files is not None and files.certificate_file is not None:
            context.load_cert_chain(files.certificate_file, files.key_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"{key}: tls files cannot be used: {error}") from error
    context.set_alpn_protocols(["http/1.1"])
    return context
