"""What follows from one configuration without asking anybody: read in a thread, checked, then never changed.

Parts that a new configuration leaves as they were are taken over from the model before it, so that keys that were
fetched and connections that are open stay in use.
"""

import hashlib
import os
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.app.files import given_keys
from gateway.app.forwarding import upstream_tls
from gateway.config.clients import registered
from gateway.config.effective import Effective
from gateway.config.model import paths_in
from gateway.config.models import Config
from gateway.config.pages import IMAGES, PagesConfig
from gateway.config.roles import bringing
from gateway.config.routes import route_table
from gateway.config.trusted import trusted_issuers
from gateway.config.users import file_users
from gateway.endpoints.look import Link, Logo, Look
from gateway.errors import ConfigError
from gateway.proxy.tls import Certificates, Pair
from gateway.routing.table import RouteTable
from gateway.tokens.certificates import read_certificate
from gateway.tokens.clients import Client
from gateway.tokens.keys import KeyRing
from gateway.tokens.trusted import TrustedIssuer
from gateway.users.file import UserRecord

Digests = Mapping[Path, bytes]

MOST_OF_A_LOOK = 256 << 10
"""Bytes of a logo or a stylesheet."""


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """One configuration and all that was read for it."""

    config: Config
    effective: Effective
    digests: Digests
    """What was in every file when it was read."""
    routes: RouteTable
    records: Mapping[str, UserRecord]
    """The people of the users file."""
    clients: Mapping[str, Client]
    look: Look | None
    """Of the pages; None for no pages."""
    trusted: tuple[TrustedIssuer, ...]
    ring: KeyRing | None
    """The keys that the file names; None when keys are generated."""
    upstream_tls: Mapping[str, ssl.SSLContext | None]
    certificates: Certificates | None
    """Of the public listener."""

    def has_upstream_of(self, other: "Model", name: str) -> bool:
        """Say whether the upstream *name* is as in the *other* model, the files that it names included."""
        return _is_same(name, self.config, self.digests, other)


def modelled(config: Config, before: Model | None = None) -> Model:
    """Return the model of *config*; of *before*, what is the same is taken over.

    Raises:
        ConfigError: a file that the configuration names cannot be used.
    """
    digests = digests_of(config.files())
    trusted = trusted_issuers(config)
    return Model(
        config=config,
        effective=config.effective,
        digests=digests,
        routes=route_table(config),
        records=file_users(config),
        clients=registered(config.clients, bringing(config.roles)),
        look=None if config.pages is None else look(config.pages),
        trusted=trusted if before is None else _taken_over(trusted, config, before),
        ring=given_keys(config) if config.tokens.keys.files else None,
        upstream_tls={
            name: before.upstream_tls[name]
            if before is not None and _is_same(name, config, digests, before)
            else upstream_tls(upstream)
            for name, upstream in config.upstreams.items()
        },
        certificates=_certificates(config, before),
    )


def look(pages: PagesConfig) -> Look:
    """Return how the pages look.

    Raises:
        ConfigError: a file cannot be read, or is too large.
    """
    logo = None
    if pages.logo_file is not None:
        logo = Logo(_small_file("pages.logo_file", pages.logo_file), IMAGES[pages.logo_file.suffix.lower()])
    css = b"" if pages.stylesheet_file is None else _small_file("pages.stylesheet_file", pages.stylesheet_file)
    return Look(
        title=pages.title,
        accent=pages.accent,
        accent_dark=pages.accent_dark,
        home=pages.home,
        links=tuple(Link(link.text, link.url) for link in pages.links),
        logo=logo,
        css=css.decode("utf-8", "replace"),
    )


def _small_file(key: str, path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{key}: {path}: {error.strerror}") from error
    if len(content) > MOST_OF_A_LOOK:
        raise ConfigError(f"{key}: {path} has {len(content)} bytes where {MOST_OF_A_LOOK} are shown at most")
    return content


def _is_same(name: str, config: Config, digests: Digests, before: Model) -> bool:
    upstream = config.upstreams[name]
    return before.config.upstreams.get(name) == upstream and all(
        digests.get(path) == before.digests.get(path) for path in paths_in(upstream)
    )


def digests_of(paths: Iterable[Path]) -> Digests:
    """Return a digest of what is in each file, or of a directory's names; of what cannot be read, the reason."""
    found = {}
    for path in paths:
        try:
            content = "\n".join(sorted(os.listdir(path))).encode() if path.is_dir() else path.read_bytes()
            found[path] = hashlib.blake2b(content, digest_size=16).digest()
        except OSError as error:
            found[path] = str(error.errno).encode()
    return found


def _taken_over(trusted: Iterable[TrustedIssuer], config: Config, before: Model) -> tuple[TrustedIssuer, ...]:
    """Keep the issuers whose keys are fetched and of whom the same is written: their keys are known."""
    known = {issuer.name: issuer for issuer in before.trusted}
    kept = []
    for issuer in trusted:
        written = config.trusted_issuers[issuer.name]
        same = written.fetched and before.config.trusted_issuers.get(issuer.name) == written
        kept.append(known[issuer.name] if same else issuer)
    return tuple(kept)


def _certificates(config: Config, before: Model | None) -> Certificates | None:
    pairs = [Pair(entry.certificate_file, entry.key_file) for entry in config.server.tls]
    if not pairs:
        return None
    if before is not None and before.config.server.tls == config.server.tls:
        return before.certificates  # renewed by itself
    return Certificates(pairs, lambda pem, place: read_certificate(pem, place).names)
