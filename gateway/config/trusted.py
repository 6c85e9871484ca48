"""Trusted issuers out of the file, as what judges their tokens."""

from gateway.config.foreign import foreign_keys
from gateway.config.issuers import TrustedIssuerConfig
from gateway.config.models import Config
from gateway.errors import ConfigError
from gateway.paths import steps
from gateway.tokens.jwks import ForeignKey, ForeignKeys, read_set
from gateway.tokens.trusted import TrustedIssuer


def trusted_issuers(config: Config) -> tuple[TrustedIssuer, ...]:
    """Return the issuers of *config*, with the keys that come from files; the others wait for theirs to be fetched.

    Raises:
        ConfigError: a file of keys cannot be used.
    """
    return tuple(_trusted(name, one) for name, one in config.trusted_issuers.items())


def _trusted(name: str, written: TrustedIssuerConfig) -> TrustedIssuer:
    return TrustedIssuer(
        name=name,
        issuer=written.issuer,
        keys=ForeignKeys(_from_files(name, written)),
        audience=frozenset(written.audience),
        algorithms=frozenset(written.algs),
        audience_claim=steps(written.audience_claim),
        any_type=written.typ == "any",
        require=tuple((steps(path), value) for path, value in written.require.items()),
        roles=_steps(written.roles),
        role_map=written.role_map,
        permissions=_steps(written.permissions),
        scopes=_steps(written.scopes),
        tenant=_steps(written.tenant),
        subject_prefix=written.subject_prefix or "",
        max_token_age=written.max_token_age,
        leeway=written.leeway,
    )


def _steps(path: str | None) -> tuple[str, ...] | None:
    return None if path is None else steps(path)


def _from_files(name: str, written: TrustedIssuerConfig) -> list[ForeignKey] | None:
    where = f"trusted_issuers.{name}"
    if written.jwks_file is not None:
        try:
            found = read_set(written.jwks_file.read_bytes(), written.algs)
        except (OSError, ValueError) as error:
            raise ConfigError(f"{where}.jwks_file: {written.jwks_file}: {error}") from error
        if not found.keys:
            raise ConfigError(f"{where}.jwks_file: no key can be used: {'; '.join(found.skipped) or 'there is none'}")
        return list(found.keys)
    if not written.keys:
        return None
    return foreign_keys(where, written.keys)
