"""The section `trusted_issuers`: identity providers whose tokens count beside our own, and how they are read."""

from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from gateway.config import names
from gateway.config.entries import Words
from gateway.config.faults import Wrong, meant
from gateway.config.findings import Finding
from gateway.config.model import ListOf, Model
from gateway.config.sections import Algorithm, Audience
from gateway.config.values import ClaimPath, Duration, DurationOrZero, FilePath, Flag, Text
from gateway.routing.host import normal_host, without_port

DISCOVERY = "/.well-known/openid-configuration"
"""Below the issuer (OpenID Connect Discovery section 4); names the place of the keys."""


def _url(value: str) -> str:
    try:
        url = urlsplit(value)
        host = normal_host(url.netloc.encode("ascii", "replace"))
    except ValueError:
        host = None
    if host is None or url.scheme not in ("https", "http") or not url.path or url.fragment:
        raise Wrong(f'"{value}" is not the URL of a key set', "write it like https://idp.example.com/jwks.json")
    return value


def _host(value: str) -> str:
    host = normal_host(value.encode("ascii", "replace"))
    if host is None or without_port(host) != host:
        raise Wrong(f'"{value}" is no host name', "write it like www.googleapis.com")
    return host.decode()


class TrustedKeyConfig(Model):
    """A public key of the issuer, PEM or JWK; for the HS algorithms the shared secret."""

    file: FilePath
    alg: Algorithm
    kid: Annotated[Text, Field(max_length=255)] | None = None
    """Absent: the key for every token of this algorithm."""


class TrustedIssuerConfig(Model):
    """Somebody else's tokens. Nothing of them counts but what is named here."""

    issuer: Annotated[Text, AfterValidator(names.issuer)]
    """Exactly as in `iss`, slash at the end and all."""
    jwks: Annotated[Text, AfterValidator(_url)] | None = None
    """Where the public keys are; absent, with neither file: found through /.well-known/openid-configuration."""
    jwks_file: FilePath | None = None
    keys: ListOf[TrustedKeyConfig] = ()
    jwks_hosts: ListOf[Annotated[Text, AfterValidator(_host)]] = ()
    """Hosts beside the issuer's that the discovered place of the keys may be on."""
    jwks_ttl: Annotated[Duration, Field(ge=60.0, le=86400.0)] = 600.0
    """The keys are fetched anew before they are older; sooner when their server says so."""
    insecure_http: Flag = False
    """Allow fetching keys without TLS, which lets whoever is in between sign tokens."""
    audience: Annotated[Audience, Field(min_length=1)]
    """Any of these; tokens for somebody else's service are no tokens here."""
    audience_claim: ClaimPath = "aud"
    """For issuers that write it elsewhere: client_id for Cognito."""
    algs: Annotated[ListOf[Algorithm], Field(min_length=1)] = ("RS256",)
    typ: Literal["any", "at+jwt"] = "any"
    """any: at+jwt, JWT or none; never the types of logout tokens, proofs and the like."""
    require: Mapping[ClaimPath, Text] = Field(default_factory=dict)
    """Claims that must have exactly this value: {token_use: access}."""
    roles: ClaimPath | None = None
    """Where roles are; only those in map_roles count."""
    map_roles: Mapping[Text, Annotated[Words, Field(min_length=1)] | Text] = Field(default_factory=dict)
    """Their role to ours: {ORDERS_ADMIN: admin}; what is not here is dropped."""
    permissions: ClaimPath | None = None
    scopes: ClaimPath | None = None
    tenant: ClaimPath | None = None
    subject_prefix: Annotated[Text, Field(max_length=64)] | None = None
    """Before every `sub`, so that upstreams cannot take theirs for one of ours."""
    max_token_age: Duration = 86400.0
    """Since `iat`, whatever `exp` says; revocations are kept so long."""
    leeway: Annotated[DurationOrZero, Field(le=60.0)] = 30.0

    @property
    def fetched(self) -> bool:
        """Whether the keys come over the network."""
        return self.jwks_file is None and not self.keys

    @property
    def place(self) -> str:
        """The URL to begin with: of the keys, or of the document that names them."""
        return self.jwks or self.issuer.rstrip("/") + DISCOVERY

    @property
    def role_map(self) -> dict[str, frozenset[str]]:
        """Their role to all of ours that it stands for."""
        return {
            theirs: frozenset((ours,) if isinstance(ours, str) else ours) for theirs, ours in self.map_roles.items()
        }


def findings(
    issuers: Mapping[str, TrustedIssuerConfig], own_issuer: str | None, roles: Iterable[str], whole: Container[str]
) -> Iterator[Finding]:
    """Yield what is wrong with *issuers*, of which those that are not in *whole* lost keys; *roles* are of the file."""
    known = tuple(roles)
    seen: dict[str, str] = {}
    for name, config in issuers.items():
        if config.issuer == own_issuer:
            yield Finding((name, "issuer"), "this is the gateway's own issuer", "leave it out; it is trusted")
        if (first := seen.setdefault(config.issuer, name)) != name:
            yield Finding((name, "issuer"), f'the same issuer as of "{first}"')
        found = [*_roles(config, known), *(_of_one(config) if name in whole else ())]
        yield from (finding._replace(loc=(name, *finding.loc)) for finding in found)


def _roles(config: TrustedIssuerConfig, roles: tuple[str, ...]) -> Iterator[Finding]:
    for theirs, ours in config.role_map.items():
        for role in sorted(ours.difference(roles)):
            hint = meant(role, roles) or f"add {role}: {{}} to roles:"
            yield Finding(("map_roles", theirs), f'no role is called "{role}"', hint)


def _of_one(config: TrustedIssuerConfig) -> Iterator[Finding]:
    ways = [key for key in ("jwks", "jwks_file", "keys") if getattr(config, key)]
    for key in ways[1:]:
        yield Finding((key,), f"{ways[0]} says already where the keys are", "remove one of them")
    yield from _transport(config)
    yield from _algorithms(config)
    if config.map_roles and config.roles is None:
        yield Finding(("map_roles",), "roles does not say where the roles are", "write roles: realm_access.roles")
    if config.roles is not None and not config.map_roles:
        yield Finding(("roles",), "no role of theirs counts until it is mapped", "write map_roles: {THEIRS: ours}")


def _transport(config: TrustedIssuerConfig) -> Iterator[Finding]:
    if not config.fetched:
        return
    key = "jwks" if config.jwks else "issuer"
    if not config.place.startswith(("https://", "http://")):
        hint = "write jwks: https://…, or jwks_file"
        yield Finding(("issuer",), "the keys of an issuer that is no URL cannot be found", hint)
    elif not config.place.startswith("https://") and not config.insecure_http:
        reason = "without TLS anybody in between could give us keys of their own"
        yield Finding((key,), reason, "use https://…; insecure_http: true allows it all the same")


def _algorithms(config: TrustedIssuerConfig) -> Iterator[Finding]:
    secret = [alg for alg in config.algs if alg.startswith("HS")]
    if secret and len(secret) < len(config.algs):
        reason = f"{secret[0]} beside algorithms of public keys invites confusion (RFC 8725 section 3.1)"
        yield Finding(("algs",), reason, "name one kind only")
    elif secret and not config.keys:
        yield Finding(("algs",), f"{secret[0]} needs a secret, which no published set holds", "give it by keys")
    for at, key in enumerate(config.keys):
        if key.alg not in config.algs:
            yield Finding(("keys", at, "alg"), f"{key.alg} is not among algs", f"write algs: [{key.alg}]")
