"""The keys in force: one signs, all of them verify, and the public ones are published.

A ring is replaced as a whole and only by a sound set of keys, so a broken reload leaves the old one at work. It may be
empty until the place of its keys can be asked: then nothing is signed and nothing is said about a token. Each
replacement raises `generation`, which ends every cached verification at once. It may be replaced in another thread
than the one that verifies: `generation` is raised last, so what was verified in between is verified once more.
"""

import hashlib
import itertools
import json
from collections.abc import Awaitable, Callable, Iterable

from gateway.errors import ConfigError, StoreUnavailable
from gateway.tokens.signing import STATES, SigningKey, State, VerifyingKey, load_key

Wait = Callable[[], Awaitable[None]]


class KeyRing:
    """The key set of one issuer; a `kid` is looked up here and means nothing anywhere else."""

    __slots__ = (
        "_by_kid",
        "_generations",
        "_jwks",
        "_jwks_bytes",
        "_jwks_etag",
        "_signing",
        "ask",
        "generation",
        "is_certain",
        "keys",
        "warnings",
    )

    ask: Callable[[], Wait | None]
    """Returns how to wait for the place of the keys to be asked about an unknown `kid`; None when that is no use."""
    is_certain: bool
    """Whether an unknown `kid` is nobody's: False while the place of the keys does not answer."""
    generation: int
    """Another number for every set; what was verified under another one does not count."""
    _signing: SigningKey | None
    _by_kid: dict[str, VerifyingKey]
    keys: tuple[VerifyingKey, ...]
    """Every key: current, next, retired."""
    warnings: tuple[str, ...]
    """What the operator should know about the way the keys are kept."""

    def __init__(self, keys: Iterable[VerifyingKey] | None, warnings: Iterable[str] = ()) -> None:
        """Make a ring of *keys*; of None, one that is empty until they are known.

        Raises:
            ConfigError: see `replace`.
        """
        self._generations = itertools.count(1)
        self.ask = _nobody
        self.is_certain = keys is not None
        if keys is None:
            self._fill((), None)
        else:
            self.replace(keys, warnings)

    @property
    def is_known(self) -> bool:
        """Whether there are keys at all."""
        return self._signing is not None

    def replace(self, keys: Iterable[VerifyingKey], warnings: Iterable[str] = ()) -> None:
        """Put *keys* in force; on refusal the old ones stay.

        Raises:
            ConfigError: not exactly one current key with a private part, a `kid` twice, one key under two names or
                algorithms, or symmetric and asymmetric keys beside each other.
        """
        ordered = tuple(sorted(keys, key=lambda key: (STATES.index(key.state), key.kid)))
        signing = _the_signer(ordered)
        _refuse_doubles(ordered)
        _refuse_mixture(ordered)
        self._fill(ordered, signing, warnings)

    def _fill(
        self, ordered: tuple[VerifyingKey, ...], signing: SigningKey | None, warnings: Iterable[str] = ()
    ) -> None:
        jwks = tuple(jwk for key in ordered if (jwk := key.jwk()) is not None)

        self._by_kid = {key.kid: key for key in ordered}
        self._signing = signing
        self._jwks = jwks
        self._jwks_bytes = json.dumps({"keys": jwks}, separators=(",", ":")).encode()
        self._jwks_etag = f'"{hashlib.sha256(self._jwks_bytes).hexdigest()[:32]}"'
        self.keys = ordered
        self.warnings = tuple(warnings)
        self.renew()

    def renew(self) -> None:
        """End every cached verification, because a key that somebody else's tokens were verified with is gone."""
        self.generation = next(self._generations)  # atomic, and never the same for two callers

    def signing(self) -> SigningKey:
        """Return the key that signs.

        Raises:
            StoreUnavailable: the keys are not known yet.
        """
        if self._signing is None:
            raise StoreUnavailable("the signing keys are not known yet")
        return self._signing

    def verifying(self, kid: str) -> VerifyingKey | None:
        """Return the key named *kid*. Next keys verify too: another replica may already sign with one."""
        return self._by_kid.get(kid)

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """Return the published set (RFC 7517 section 5): asymmetric keys, public members only."""
        return {"keys": [dict(jwk) for jwk in self._jwks]}

    def jwks_bytes(self) -> bytes:
        """Return the published set as the body of an answer; the same bytes for the same keys."""
        return self._jwks_bytes

    def jwks_etag(self) -> str:
        """Return the strong entity tag of `jwks_bytes`, quotes included (RFC 9110 section 8.8.3)."""
        return self._jwks_etag


def keyring_from(files: Iterable[tuple[bytes, str, str | None, State]], warnings: Iterable[str] = ()) -> KeyRing:
    """Make a ring of keys that the operator gives: (content, algorithm, kid or None, state) each.

    Raises:
        ConfigError: a key that `load_key` refuses, or a set that `KeyRing` refuses.
    """
    return KeyRing((load_key(content, alg, kid, state) for content, alg, kid, state in files), warnings)


def _nobody() -> None:
    return None


def _the_signer(keys: tuple[VerifyingKey, ...]) -> SigningKey:
    current = [key for key in keys if key.state == "current"]
    match current:
        case [SigningKey() as signer]:
            return signer
        case [VerifyingKey(kid=kid)]:
            raise ConfigError(f"the current key {kid!r} has no private part, so nothing can be signed with it")
        case []:
            raise ConfigError("no key has state current, so nothing can be signed")
        case _:
            names = ", ".join(repr(key.kid) for key in current)
            raise ConfigError(
                f"several keys have state current ({names}); exactly one signs, mark the rest next or retired"
            )


def _refuse_doubles(keys: tuple[VerifyingKey, ...]) -> None:
    by_kid: dict[str, VerifyingKey] = {}
    by_material: dict[str, VerifyingKey] = {}
    for key in keys:
        if (other := by_material.setdefault(key.fingerprint, key)) is not key:
            raise ConfigError(
                f"the keys {other.kid!r} ({other.alg}) and {key.kid!r} ({key.alg}) are one and the same; "
                f"a key is bound to one algorithm (RFC 8725 section 3.1). Make a second one with: {key.scheme.command}"
            )
        if by_kid.setdefault(key.kid, key) is not key:
            raise ConfigError(
                f"two keys have the kid {key.kid!r}; leave kid out to have each named by its thumbprint (RFC 7638), "
                f"or make another key with: {key.scheme.command}"
            )


def _refuse_mixture(keys: tuple[VerifyingKey, ...]) -> None:
    """Refuse secrets beside public keys, unless one side only verifies what is left of an earlier time."""
    symmetric = [key for key in keys if key.symmetric and key.state != "retired"]
    asymmetric = [key for key in keys if not key.symmetric and key.state != "retired"]
    if symmetric and asymmetric:
        raise ConfigError(
            f"{symmetric[0].alg} and {asymmetric[0].alg} keys beside each other invite algorithm confusion "
            f"(RFC 8725 section 3.1); mark one side retired, or make another key with: {asymmetric[0].scheme.command}"
        )
