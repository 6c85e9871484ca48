"""Keys as JSON (RFC 7517): the public members, the thumbprint that names a key, and a strict reader.

Only public asymmetric material is ever written here; there is no function that could put a private or symmetric
member into a key set.
"""

import hashlib
import json

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.exceptions import PyJWTError

from gateway.errors import ConfigError
from gateway.tokens.algorithms import Scheme
from gateway.tokens.base64url import decode, encode
from gateway.tokens.strict import strict_json_object

Public = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

_ENCODED = frozenset({"n", "e", "d", "p", "q", "dp", "dq", "qi", "x", "y", "k"})
_OPERATIONS = ("sign", "verify")


def members(public: Public) -> dict[str, str]:
    """Return the required members of *public* (RFC 7518 section 6, RFC 8037 section 2), in the order of RFC 7638."""
    match public:
        case RSAPublicKey():
            rsa = public.public_numbers()
            return {"e": encode(_shortest(rsa.e)), "kty": "RSA", "n": encode(_shortest(rsa.n))}
        case EllipticCurvePublicKey():
            point = public.public_numbers()
            # All octets of the field, leading zeros included (RFC 7518 section 6.2.1.2).
            size = (public.key_size + 7) // 8
            return {
                "crv": f"P-{public.key_size}",
                "kty": "EC",
                "x": encode(point.x.to_bytes(size, "big")),
                "y": encode(point.y.to_bytes(size, "big")),
            }
        case Ed25519PublicKey():
            return {"crv": "Ed25519", "kty": "OKP", "x": encode(public.public_bytes_raw())}


def thumbprint(public: Public) -> str:
    """Return the RFC 7638 thumbprint (SHA-256): the same key has the same name everywhere."""
    canonical = json.dumps(members(public), separators=(",", ":"), sort_keys=True)
    return encode(hashlib.sha256(canonical.encode()).digest())


def read(text: bytes, scheme: Scheme) -> tuple[object, str | None]:
    """Read a JSON Web Key for *scheme*: the library's key object, and the `kid` it states.

    Raises:
        ConfigError: not strict JSON, another type or algorithm, meant for something other than signatures, or
            broken. Whether the key is strong enough is for the caller to ask.
    """
    try:
        jwk = strict_json_object(text)
    except ValueError as error:
        raise ConfigError(f"{scheme.name} key: it is not a JSON Web Key: {error}") from error

    def refuse(why: str) -> ConfigError:
        return ConfigError(f"{scheme.name} key: the JSON Web Key {why}; make one with: {scheme.command}")

    if jwk.get("kty") != scheme.family.value:
        raise refuse(f"has kty {jwk.get('kty')!r} where {scheme.family.value!r} is needed")
    if jwk.get("alg", scheme.name) != scheme.name:
        raise refuse(f"is for {jwk['alg']!r}; a key is bound to one algorithm (RFC 8725 section 3.1)")
    if jwk.get("use", "sig") != "sig":
        raise refuse(f"has use {jwk['use']!r}, it is not for signatures")
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or not operations or not all(o in _OPERATIONS for o in operations):
        raise refuse("has key_ops other than sign and verify")
    if scheme.crv and jwk.get("crv") != scheme.crv:
        raise refuse(f"is on curve {jwk.get('crv')!r} where {scheme.crv!r} is needed")
    for name in sorted(_ENCODED & jwk.keys()):
        value = jwk[name]
        if not isinstance(value, str) or not value.isascii() or not decode(value.encode()):
            raise refuse(f"has a member {name!r} that is not base64url")
    kid = jwk.get("kid")
    if not isinstance(kid, str | None):
        raise refuse("has a kid that is not text")
    try:
        return scheme.implementation.from_jwk(dict(jwk)), kid
    # The library lets errors of the mathematics below it through; all of them mean the same here.
    except (PyJWTError, ValueError, TypeError, KeyError, ArithmeticError) as error:
        raise refuse("cannot be read") from error


def _shortest(number: int) -> bytes:
    """Return *number* without leading zero octets (RFC 7518 section 2, Base64urlUInt)."""
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
