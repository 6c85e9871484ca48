"""What the settings of `tokens.keys` mean together: what is wrong with them, and the schedule they make."""

from collections.abc import Iterator

from gateway.config.findings import Finding
from gateway.config.sections import KeysConfig, TokensConfig
from gateway.tokens.rotation import PUBLISH_MARGIN, Schedule

KEEP_MARGIN = 60
"""Seconds a retired key is kept longer than any token can live; as long as a revocation is (identity.md 3.2)."""


def schedule(tokens: TokensConfig) -> Schedule:
    """Return how generated keys turn."""
    keys = tokens.keys
    return Schedule(keys.alg, keys.rotate, keys.publish_ahead, tokens.access_ttl + tokens.leeway + KEEP_MARGIN)


def findings(keys: KeysConfig) -> Iterator[Finding]:
    """Yield what is wrong with *keys*."""
    current = [at for at, key in enumerate(keys.files) if key.state == "current"]
    if keys.files and not current:
        yield Finding(("files",), "none of the keys is current, so nothing could be signed")
    for at in current[1:]:
        yield Finding(("files", at), "a second key is current; one signs", "write state: next or state: retired")
    if keys.store == "store" and "seal" in keys.model_fields_set and not keys.seal:
        yield Finding(("seal",), "keys in the store are always sealed: everybody who reads it could sign", "remove it")
    if keys.publish_ahead < keys.jwks_max_age + PUBLISH_MARGIN:
        key = "publish_ahead" if "publish_ahead" in keys.model_fields_set else "jwks_max_age"
        reason = "a new key would sign before everyone who caches the published set has fetched it"
        yield Finding((key,), reason, "publish_ahead must be a minute longer than jwks_max_age")
    if keys.rotate is not None and keys.rotate < 2 * keys.publish_ahead:
        key = "rotate" if "rotate" in keys.model_fields_set else "publish_ahead"
        yield Finding((key,), "a key signs at least twice as long as it is published ahead, or sets would overlap")
