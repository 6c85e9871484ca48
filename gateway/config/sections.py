"""The sections of the file that are about the gateway itself: server, store, tokens, login, roles, telemetry."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from gateway.config import names
from gateway.config.addresses import Address, Listen, Network, Origin
from gateway.config.entries import Words
from gateway.config.model import ListOf, Model, distinct
from gateway.config.values import (
    ClaimPath,
    Count,
    CountOrNone,
    Duration,
    DurationOrNone,
    DurationOrZero,
    FilePath,
    Flag,
    SecretText,
    Size,
    Text,
)
from gateway.config.verify import VerifyConfig
from gateway.paths import steps

Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "HS256", "HS384", "HS512"
]


class AdminConfig(Model):
    """The second listener: /livez, /readyz, /metrics, and /admin with a token."""

    listen: Listen = Address("127.0.0.1", 9901)
    token: SecretText | None = None
    token_file: FilePath | None = None


class DrainConfig(Model):
    """How the gateway goes away."""

    delay: DurationOrZero = 5.0
    """Not ready but still serving, so that load balancers notice."""
    timeout: Duration = 30.0
    """Then requests get so long to finish."""


class LimitsConfig(Model):
    """Bounds on what a client may send or hold."""

    body: Size = 1 << 20
    head: Size = 32 << 10
    """Request line and header fields together."""
    headers: Count = 100
    url: Size = 8 << 10
    token: Size = 8 << 10
    connections: Count = 10_000
    connections_per_address: CountOrNone = None
    failed_tokens: CountOrNone = 60
    """Tokens with a wrong signature that one address may send at once, and a sixth of it per second after that."""


class ServerTimeoutsConfig(Model):
    """How long to wait for a client."""

    head: Duration = 10.0
    body_idle: Duration = 30.0
    keep_alive: Duration = 75.0
    write_idle: Duration = 30.0


class CertificateConfig(Model):
    """A certificate chain and its key, both PEM."""

    certificate_file: FilePath
    key_file: FilePath


class ServerConfig(Model):
    """Listeners, limits and everything about the client's side."""

    listen: Listen = Address("127.0.0.1", 8080)
    """Absent: GATEWAY_LISTEN, else 127.0.0.1:8080."""
    admin: AdminConfig = AdminConfig()
    public_url: Origin | None = None
    """How the world calls this site; https here means that something in front does TLS."""
    trusted_proxies: ListOf[Network] = ()
    """Whose X-Forwarded-* is believed."""
    insecure_http: Flag = False
    """Allow logins and cookies without TLS."""
    secret: SecretText | None = None
    secret_file: FilePath | None = None
    """32 random bytes or more; all other secrets derive from it. Generated with the embedded store."""
    data_dir: FilePath | None = None
    watch: Flag = True
    """Take up changes of this file, and of files it names, by itself; else by SIGHUP and `gateway reload` alone."""
    drain: DrainConfig = DrainConfig()
    limits: LimitsConfig = LimitsConfig()
    timeouts: ServerTimeoutsConfig = ServerTimeoutsConfig()
    tls: ListOf[CertificateConfig] = ()


class StoreConfig(Model):
    """Where sessions and revocations live."""

    url: Annotated[Text, AfterValidator(names.store_url)] = "embedded"
    """embedded, redis://, rediss:// (TLS), unix://, redis+sentinel://h1,h2/name, redis+cluster://h1,h2; or valkey.

    Absent: GATEWAY_STORE_URL, else embedded.
    """
    password: SecretText | None = None
    password_file: FilePath | None = None
    prefix: Annotated[Text, Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")] = "gw"
    """Begins every key; two gateways in one store need two."""
    timeout: Duration = 0.5
    wait_for_replicas: CountOrNone = None
    """So many replicas should have a login or logout before it is answered; waits 50 ms at most."""
    sentinel_password: SecretText | None = None
    sentinel_password_file: FilePath | None = None
    """The Sentinels' own password; the store's is another."""


class RefreshConfig(Model):
    """How long a login lasts."""

    ttl: Duration = 14 * 86400.0
    """From the login, whatever happens."""
    idle: Duration = 3 * 86400.0
    """Since the last refresh."""
    preset: Literal["default", "strict"] = "default"
    """strict: a second use of a refresh token, however soon, ends its session (OWASP ASVS 10.4.5 to the letter)."""
    reuse_grace: DurationOrZero = 10.0
    """A spent refresh token gets the same successor again for so long; afterwards it is theft. strict: 0."""
    lost_response_window: DurationOrZero = 0.0
    accept_ahead: Flag = True
    """A token of ours that the store has forgotten to have issued is believed; else it is refused."""

    @property
    def grace(self) -> float:
        """The reuse grace in force."""
        is_strict = self.preset == "strict" and "reuse_grace" not in self.model_fields_set
        return 0.0 if is_strict else self.reuse_grace


class KeyFileConfig(Model):
    """A key to sign or verify with, PEM or a raw secret."""

    file: FilePath
    alg: Algorithm
    kid: Annotated[Text, Field(max_length=255)] | None = None
    state: Literal["current", "next", "retired"] = "current"


class KeysConfig(Model):
    """Signing keys; generated unless `files` are given."""

    alg: Algorithm = "RS256"
    store: Literal["data_dir", "store"] | None = None
    """Where generated keys are. Absent: in the store, sealed, unless it is the embedded one; else in the data dir."""
    rotate: DurationOrNone = 30 * 86400.0
    """How long a generated key signs before the next one takes over; none: only by `gateway keys rotate`."""
    publish_ahead: Duration = 3600.0
    """How long a new key is published before it signs."""
    jwks_max_age: Annotated[Duration, Field(le=86400.0)] = 300.0
    """How long others may cache the published set."""
    seal: Flag = False
    """Encrypt keys in the data directory under server.secret; keys in the store always are."""
    files: ListOf[KeyFileConfig] = ()


class CookieConfig(Model):
    """Attributes of our cookies; names, Secure and HttpOnly are fixed."""

    same_site: Literal["lax", "strict"] = "lax"


Audience = Annotated[
    tuple[Text, ...],
    AfterValidator(distinct),
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value, json_schema_input_type=str | list[str]),
]


class TokensConfig(Model):
    """What tokens say and how long they live."""

    issuer: Annotated[Text, AfterValidator(names.issuer)] | None = None
    """Absent: public_url, else http://<listen>."""
    audience: Annotated[Audience, Field(min_length=1)] | None = None
    """A text or a list; absent: the issuer."""
    access_ttl: Annotated[Duration, Field(le=86400.0)] = 600.0
    leeway: Annotated[DurationOrZero, Field(le=60.0)] = 5.0
    refresh: RefreshConfig = RefreshConfig()
    max_sessions: CountOrNone = None
    """Per user; the oldest is ended for a new one."""
    keys: KeysConfig = KeysConfig()
    cookie: CookieConfig = CookieConfig()
    read_from: Annotated[ListOf[Literal["bearer", "cookie"]], Field(min_length=1), AfterValidator(distinct)] = (
        "bearer",
        "cookie",
    )


class LoginConfig(Model):
    """The gateway's own endpoints; without this section nobody can log in here."""

    base_path: Annotated[Text, AfterValidator(names.base_path)] = "/auth"
    client_id: Annotated[Text, Field(max_length=255)] = "gateway"
    verify: VerifyConfig
    hash_threads: CountOrNone = None
    """none: one less than there are cores."""
    claims: Mapping[Annotated[Text, Field(max_length=255)], ClaimPath] = Field(default_factory=dict)
    """Claim to its place in a person's record: {roles: groups, plan: subscription.plan}. Absent: as it is stored."""

    @property
    def claim_map(self) -> dict[str, tuple[str, ...]]:
        """Claim to the steps that lead to its value."""
        return {claim: steps(path) for claim, path in self.claims.items()}


class RoleConfig(Model):
    """A role; who has it has the roles it includes, and its permissions."""

    includes: Words = ()
    permissions: Words = ()


class TelemetryConfig(Model):
    """Logs."""

    access_log: Literal["auto", "text", "json", "off"] = "auto"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_query: Flag = False
    """Queries may hold secrets."""
    debug_role: Text | None = None
    """Whose owners are told what was decided about their requests, in X-Gateway-Decision; absent: nobody."""
