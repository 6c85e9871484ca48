"""What follows from the file together with its defaults: names, origins, and where data is kept."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gateway.config.addresses import Address
from gateway.config.entries import DefaultsConfig, RouteConfig
from gateway.config.issuers import TrustedIssuerConfig
from gateway.config.sections import LoginConfig, ServerConfig, StoreConfig, TokensConfig
from gateway.errors import ConfigError

JWKS_PATH = "/.well-known/jwks.json"
ISSUER_HEADER = "X-User-Issuer"
METADATA_PATH = "/.well-known/oauth-authorization-server"


class Sections(Protocol):
    """The part of a configuration that says who we are."""

    @property
    def server(self) -> ServerConfig: ...
    @property
    def store(self) -> StoreConfig: ...
    @property
    def tokens(self) -> TokensConfig: ...
    @property
    def login(self) -> LoginConfig | None: ...
    @property
    def trusted_issuers(self) -> Mapping[str, TrustedIssuerConfig]: ...
    @property
    def identity_headers(self) -> Mapping[str, str]: ...
    @property
    def defaults(self) -> DefaultsConfig: ...
    @property
    def routes(self) -> tuple[RouteConfig, ...]: ...


@dataclass(frozen=True, slots=True)
class Effective:
    """Values that other rooms would otherwise derive each in its own way."""

    listen: Address
    admin_listen: Address
    tls: bool
    """This process does TLS for its clients."""
    secure: bool
    """Clients reach us by TLS, ours or somebody's in front."""
    origin: str
    """Scheme, host and port by which clients know us."""
    own_origins: frozenset[bytes]
    """What a browser may send as `Origin` from our own pages."""
    issuer: str
    audience: tuple[str, ...]
    longest_life: float
    """Seconds after which no token that was valid once can be so still, ours and trusted issuers'."""
    identity_headers: Mapping[str, str]
    """Those of the file, and the issuer's where there are several."""
    cookies: bool
    """Cookies are given or read as credentials."""
    embedded: bool
    """The gateway starts its own store."""
    silent_refresh: bool
    """Some route renews cookies on the way."""
    keys_in_store: bool
    """Generated keys are in a store that other gateways may share."""


def effective(config: Sections) -> Effective:
    """Return what follows from *config*."""
    server = config.server
    scheme = "https" if server.tls else "http"
    origin = server.public_url or f"{scheme}://{server.listen}"
    issuer = config.tokens.issuer or origin
    return Effective(
        listen=server.listen,
        admin_listen=server.admin.listen,
        tls=bool(server.tls),
        secure=origin.startswith("https://"),
        origin=origin,
        own_origins=frozenset(name.encode() for name in _names(origin, server.listen, server.public_url)),
        issuer=issuer,
        audience=config.tokens.audience or (issuer,),
        longest_life=max(
            config.tokens.access_ttl + config.tokens.leeway,
            *(one.max_token_age + one.leeway for one in config.trusted_issuers.values()),
            0.0,
        ),
        identity_headers=_identity_headers(config),
        cookies="cookie" in config.tokens.read_from
        and (config.login is not None or "read_from" in config.tokens.model_fields_set),
        embedded=config.store.url == "embedded",
        silent_refresh=config.defaults.silent_refresh or any(route.silent_refresh for route in config.routes),
        # The embedded store is in the data directory, so there the two are one place.
        keys_in_store=config.store.url != "embedded"
        and config.tokens.keys.store != "data_dir"
        and not config.tokens.keys.files,
    )


def _identity_headers(config: Sections) -> Mapping[str, str]:
    """Without its issuer, a subject of somebody else's could be taken for one of ours (ARCHITECTURE 8.5)."""
    headers = config.identity_headers
    if not config.trusted_issuers or "iss" in headers.values():
        return headers
    return {name: claim for name, claim in headers.items() if name.lower() != ISSUER_HEADER.lower()} | {
        ISSUER_HEADER: "iss"
    }


def _names(origin: str, listen: Address, public_url: str | None) -> set[str]:
    """A loopback listener without a public name is one site under every name of the loopback."""
    if public_url is not None or not listen.loopback:
        return {origin}
    scheme = origin.partition("://")[0]
    port = "" if listen.port == {"http": 80, "https": 443}[scheme] else f":{listen.port}"
    return {origin, *(f"{scheme}://{name}{port}" for name in ("localhost", "127.0.0.1", "[::1]"))}


def data_dir(config: Sections, environ: Mapping[str, str]) -> Path:
    """Return where keys and the embedded store live: server.data_dir, GATEWAY_DATA_DIR, or the user's data folder.

    Raises:
        ConfigError: there is no home directory to derive it from.
    """
    if config.server.data_dir is not None:
        return config.server.data_dir
    if named := environ.get("GATEWAY_DATA_DIR"):
        return Path(named)
    if folder := environ.get("XDG_DATA_HOME"):
        return Path(folder, "jwt-gateway")
    if not (home := environ.get("HOME")):
        raise ConfigError("no directory for data: set server.data_dir, or GATEWAY_DATA_DIR, or HOME")
    if sys.platform == "darwin":
        return Path(home, "Library", "Application Support", "jwt-gateway")
    return Path(home, ".local", "share", "jwt-gateway")
