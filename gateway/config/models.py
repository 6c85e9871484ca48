"""The whole file as frozen values; the attributes are the keys."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, WithJsonSchema

from gateway.config import names
from gateway.config.clients import ClientConfig, client_name
from gateway.config.cors import CorsConfig
from gateway.config.document import Document
from gateway.config.effective import Effective, effective
from gateway.config.entries import ConditionsConfig, DefaultsConfig, RouteConfig
from gateway.config.expectations import ExpectationConfig
from gateway.config.faults import Wrong
from gateway.config.issuers import TrustedIssuerConfig
from gateway.config.limits import LimitConfig, limit_name
from gateway.config.model import ListOf, Model, paths_in
from gateway.config.pages import Pages, PagesConfig
from gateway.config.sections import LoginConfig, RoleConfig, ServerConfig, StoreConfig, TelemetryConfig, TokensConfig
from gateway.config.upstreams import UpstreamEntry
from gateway.config.values import Text


def _version(value: object) -> object:
    if value in (1, "1") and value is not True:
        return 1
    raise Wrong("this gateway reads version 1", "write version: 1")


IDENTITY_HEADERS = {"X-User-Id": "sub", "X-User-Roles": "roles", "X-Session-Id": "sid"}
"""What services are told when the file says nothing else. Services that were written for these read them in any case,
so a client can send none of them whatever the file says."""


class Config(Model):
    """gateway.yaml."""

    version: Annotated[Literal[1], BeforeValidator(_version), WithJsonSchema({"enum": [1, "1"]})]
    server: ServerConfig = ServerConfig()
    store: StoreConfig = StoreConfig()
    tokens: TokensConfig = TokensConfig()
    login: LoginConfig | None = None
    trusted_issuers: Mapping[Annotated[Text, AfterValidator(names.issuer_name)], TrustedIssuerConfig] = Field(
        default_factory=dict
    )
    """Identity providers whose tokens count beside our own."""
    identity_headers: Mapping[
        Annotated[Text, AfterValidator(names.header_name)], Annotated[Text, AfterValidator(names.header_value)]
    ] = Field(default_factory=lambda: dict(IDENTITY_HEADERS))
    """Header to the claim it carries; clients' own copies, and of the usual three, are removed on every route."""
    roles: Mapping[Annotated[Text, AfterValidator(names.role_name)], RoleConfig] = Field(default_factory=dict)
    """Every role that is used anywhere."""
    rules: Mapping[Annotated[Text, AfterValidator(names.rule_name)], ConditionsConfig] = Field(default_factory=dict)
    """Rules with a name, for routes to share."""
    limits: Mapping[Annotated[Text, AfterValidator(limit_name)], LimitConfig] = Field(default_factory=dict)
    """Limits with a name: how many requests somebody may make, and how many at once."""
    upstreams: Mapping[Annotated[Text, AfterValidator(names.upstream_name)], UpstreamEntry] = Field(
        default_factory=dict
    )
    defaults: DefaultsConfig = DefaultsConfig()
    routes: ListOf[RouteConfig] = ()
    clients: Mapping[Annotated[Text, AfterValidator(client_name)], ClientConfig] = Field(default_factory=dict)
    """Programs that get tokens for themselves."""
    cors: CorsConfig | None = None
    """Front ends of other origins that may call the gateway's own endpoints."""
    pages: Pages = Field(default_factory=PagesConfig)
    """The gateway's own pages, for people; false for none."""
    telemetry: TelemetryConfig = TelemetryConfig()
    tests: ListOf[ExpectationConfig] = ()
    """What `gateway test` holds the routes against."""
    include: ListOf[Text] = ()
    """More files, below the directory of this one: routes/*.yaml."""

    _document: Document | None = PrivateAttr(None)

    @property
    def effective(self) -> Effective:
        """What follows from the file together with its defaults."""
        return effective(self)

    @property
    def document(self) -> Document:
        """Where it is written; a configuration that was made in the program has none, which is an error here."""
        assert self._document is not None
        return self._document

    @property
    def source(self) -> Path:
        """The file it was read from."""
        return Path(self.document.source.name)

    def files(self) -> frozenset[Path]:
        """Return every file that this configuration was made of or names, its certificates apart."""
        own = frozenset[Path]() if self._document is None else frozenset(self._document.files)
        parts = (getattr(self, key) for key in type(self).model_fields if key != "server")
        server = self.server.model_copy(update={"data_dir": None, "tls": ()})
        return frozenset((*own, *(path for part in (*parts, server) for path in paths_in(part))))

    def written(self, document: Document) -> "Config":
        """Return this configuration, knowing where it was written."""
        self._document = document
        return self

    def place(self, *loc: str | int) -> str:
        """Return where *loc* is written: ``gateway.yaml:31``."""
        return self._document.where(loc) if self._document else f"{loc[0]}[{loc[-1]}]"
