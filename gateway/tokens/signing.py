"""One key, bound to one algorithm; and the door where weak ones are turned away.

The algorithm belongs to the key and never comes from a token (RFC 8725 section 3.1): `VerifyingKey.verify` has no
parameter for it. Every refusal says what is wrong with the key and which command makes a right one.
"""

import hashlib
import re
import secrets
from dataclasses import dataclass, field
from typing import Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from gateway.errors import ConfigError
from gateway.tokens import jwk
from gateway.tokens.algorithms import SCHEMES, Family, Scheme
from gateway.tokens.base64url import encode
from gateway.tokens.weak import weakness

State = Literal["next", "current", "retired"]
"""`next` is published and not yet used, `current` signs, `retired` verifies until its last token has expired."""

STATES: tuple[State, ...] = ("current", "next", "retired")

LEAST_RSA = 2048
"""Bits; RFC 7518 section 3.3 refuses less."""
MOST_RSA = 8192
"""Bits; signing with more takes longer than a login may."""
LEAST_EXPONENT = 65537
"""FIPS 186-5 section 5.4 asks for more than 2^16; small exponents forgive broken padding checks."""

_KID = re.compile(r"[A-Za-z0-9._~:@/+=-]{1,128}")

Private = bytes | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
Public = bytes | jwk.Public


@dataclass(frozen=True, slots=True, eq=False)
class VerifyingKey:
    """What checks a signature. For the HS algorithms that is the secret itself."""

    kid: str
    alg: str
    state: State
    fingerprint: str = field(repr=False)
    """The same for the same key material, whatever its `kid` and `alg`."""
    scheme: Scheme = field(repr=False)
    public: Public = field(repr=False)
    signature_size: int = field(repr=False)
    """Bytes; every signature of this key has exactly this many."""

    @property
    def symmetric(self) -> bool:
        return self.scheme.family is Family.SYMMETRIC

    def verify(self, signing_input: bytes, signature: bytes) -> bool:
        """Whether *signature* is this key's over *signing_input*; compared in constant time by the library."""
        return len(signature) == self.signature_size and self.scheme.implementation.verify(
            signing_input, self.public, signature
        )

    def jwk(self) -> dict[str, str] | None:
        """Return the public JSON Web Key; None for a symmetric key, which has no public part."""
        if isinstance(self.public, bytes):
            return None
        return jwk.members(self.public) | {"kid": self.kid, "use": "sig", "alg": self.alg}


@dataclass(frozen=True, slots=True, eq=False)
class SigningKey(VerifyingKey):
    """What makes a signature, and checks it too."""

    private: Private = field(repr=False)

    def sign(self, signing_input: bytes) -> bytes:
        """Return the signature over *signing_input*; about 1 ms for RSA, so keep it off the event loop."""
        return self.scheme.implementation.sign(signing_input, self.private)

    def serialised(self) -> bytes:
        """Return the key as `load_key` takes it: PKCS #8 in PEM, or the secret."""
        if isinstance(self.private, bytes):
            return self.private
        return self.private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def load_key(
    pem_or_secret: bytes, alg: str, kid: str | None = None, state: State = "current"
) -> SigningKey | VerifyingKey:
    """Read a key file's content for *alg*: PEM (private or public), a JSON Web Key, or the secret of an HS algorithm.

    A secret is taken literally, without the line end that editors and commands leave behind it. Without *kid* the
    key is named by its RFC 7638 thumbprint; a secret by a MAC under itself, which says no more than a token does.

    Raises:
        ConfigError: the key is weak, broken, or not one for *alg*.
    """
    scheme = SCHEMES.get(alg)
    if scheme is None:
        raise ConfigError(f"algorithm {alg!r} is not one of {', '.join(SCHEMES)}")
    if state not in STATES:
        raise ConfigError(f"{alg} key: state {state!r} is not one of {', '.join(STATES)}")
    material: object
    if pem_or_secret.lstrip()[:1] == b"{" and b'"kty"' in pem_or_secret:
        material, stated = jwk.read(pem_or_secret, scheme)
        kid = kid or stated
    elif scheme.family is Family.SYMMETRIC:
        material = pem_or_secret.rstrip(b"\r\n")
    else:
        material = _read_pem(pem_or_secret, scheme)
    if kid is not None and _KID.fullmatch(kid) is None:
        raise ConfigError(f"{alg} key: kid {kid!r} must be 1 to 128 letters, digits or any of . _ ~ : @ / + = -")
    return _key(material, scheme, kid, state)


def generate_key(alg: str, state: State = "current") -> SigningKey:
    """Make a new key for *alg*; `serialised` gives what to keep of it.

    RSA keys have 2048 bits, as in every common provider: each doubling makes signing six times slower.
    """
    scheme = SCHEMES.get(alg)
    if scheme is None:
        raise ConfigError(f"algorithm {alg!r} is not one of {', '.join(SCHEMES)}")
    material: Private
    kid = None
    match scheme.family:
        case Family.SYMMETRIC:
            material, kid = secrets.token_urlsafe(64).encode(), secrets.token_urlsafe(16)
        case Family.RSA:
            material = rsa.generate_private_key(LEAST_EXPONENT, LEAST_RSA)
        case Family.EC:
            assert scheme.curve is not None
            material = ec.generate_private_key(scheme.curve())
        case Family.OKP:
            material = ed25519.Ed25519PrivateKey.generate()
    key = _key(material, scheme, kid, state)
    assert isinstance(key, SigningKey)
    return key


def _key(material: object, scheme: Scheme, kid: str | None, state: State) -> SigningKey | VerifyingKey:
    """Give *material* its algorithm and its name, if it is strong enough."""
    alg = scheme.name
    match material:
        case bytes() if scheme.family is Family.SYMMETRIC:
            if b"-----BEGIN" in material:
                # A public key as HMAC secret is the classic confusion (RFC 8725 section 2.1): everybody has it.
                raise _refusal(scheme, "it is a PEM file, not a secret")
            if (why := weakness(material, scheme.hash_size)) is not None:
                raise _refusal(scheme, why)
            mark = encode(hashlib.sha256(b"gateway key\0" + material).digest())
            name = kid or encode(scheme.implementation.sign(b"gateway kid", material)[:16])
            return SigningKey(name, alg, state, mark, scheme, material, scheme.hash_size, material)
        case rsa.RSAPrivateKey() | ec.EllipticCurvePrivateKey() | ed25519.Ed25519PrivateKey():
            public = material.public_key()
            size = _signature_size(public, scheme)
            mark = jwk.thumbprint(public)
            return SigningKey(kid or mark, alg, state, mark, scheme, public, size, material)
        case rsa.RSAPublicKey() | ec.EllipticCurvePublicKey() | ed25519.Ed25519PublicKey():
            size = _signature_size(material, scheme)
            mark = jwk.thumbprint(material)
            return VerifyingKey(kid or mark, alg, state, mark, scheme, material, size)
        case _:
            raise _refusal(scheme, f"it is another kind of key ({type(material).__name__})")


def _signature_size(public: jwk.Public, scheme: Scheme) -> int:
    """Return the length of a signature by *public*; refuses a key that is weak or not one for *scheme*."""
    match public:
        case rsa.RSAPublicKey() if scheme.family is Family.RSA:
            exponent = public.public_numbers().e
            if public.key_size < LEAST_RSA:
                raise _refusal(scheme, f"it has {public.key_size} bits where at least {LEAST_RSA} are needed")
            if public.key_size > MOST_RSA:
                raise _refusal(scheme, f"it has {public.key_size} bits; more than {MOST_RSA} are too slow")
            if exponent < LEAST_EXPONENT or exponent % 2 == 0:
                raise _refusal(scheme, f"its public exponent {exponent} is weak; {LEAST_EXPONENT} is usual")
            return (public.key_size + 7) // 8
        case ec.EllipticCurvePublicKey() if scheme.curve is not None:
            if not isinstance(public.curve, scheme.curve):
                raise _refusal(scheme, f"it is on curve {public.curve.name} where {scheme.crv} is needed")
            return 2 * scheme.coordinate
        case ed25519.Ed25519PublicKey() if scheme.family is Family.OKP:
            return 64
        case _:
            raise _refusal(scheme, f"it is another kind of key ({type(public).__name__})")


def _read_pem(pem: bytes, scheme: Scheme) -> object:
    if b"-----BEGIN CERTIFICATE" in pem:
        raise _refusal(scheme, "it is a certificate; take its key with `openssl x509 -pubkey -noout`")
    if b"-----BEGIN" not in pem:
        raise _refusal(scheme, "it is neither PEM nor a JSON Web Key")
    try:
        if b"PRIVATE KEY-----" in pem:
            return serialization.load_pem_private_key(pem, password=None)
        return serialization.load_pem_public_key(pem)
    except TypeError as error:
        raise _refusal(
            scheme, "it is encrypted; write it in clear with `openssl pkey -in key.pem -out plain.pem` (mode 0600)"
        ) from error
    # Points off the curve, even exponents and products of the wrong primes end here (RFC 8725 section 3.4).
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _refusal(scheme, "it cannot be read, or its numbers are not those of a key") from error


def _refusal(scheme: Scheme, why: str) -> ConfigError:
    return ConfigError(f"{scheme.name} key: {why}; make one with: {scheme.command}")
