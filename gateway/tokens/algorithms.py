"""The thirteen signature algorithms, and what a key of each must look like.

RFC 7518 section 3 (HMAC, RSA, ECDSA) and RFC 8037 (EdDSA, here on Ed25519 only). `none` is not in the table and
nothing treats it specially: what is not in the table does not exist.
"""

from enum import Enum
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import Algorithm, get_default_algorithms


class Family(Enum):
    """The kind of key an algorithm takes; the value is its `kty` (RFC 7518 section 6.1)."""

    SYMMETRIC = "oct"
    RSA = "RSA"
    EC = "EC"
    OKP = "OKP"


class Scheme(NamedTuple):
    """One algorithm: who does the mathematics, and what it asks of a key."""

    name: str
    family: Family
    implementation: Algorithm
    command: str
    """The shell command that makes a right key; named in every refusal of a wrong one."""
    hash_size: int
    """Bytes; a symmetric key must not be shorter (RFC 7518 section 3.2)."""
    curve: type[ec.EllipticCurve] | None = None
    crv: str = ""
    coordinate: int = 0
    """Bytes of one coordinate; an ECDSA signature is two of them (RFC 7518 section 3.4)."""


def _schemes() -> dict[str, Scheme]:
    library = get_default_algorithms()
    rsa = "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out key.pem"
    made: dict[str, Scheme] = {}
    for bits in (256, 384, 512):
        size = bits // 8
        name = f"HS{bits}"
        made[name] = Scheme(name, Family.SYMMETRIC, library[name], "openssl rand -base64 48 > key.secret", size)
        for name in (f"RS{bits}", f"PS{bits}"):
            made[name] = Scheme(name, Family.RSA, library[name], rsa, size)
    curves: tuple[tuple[str, int, type[ec.EllipticCurve], str, int], ...] = (
        ("ES256", 32, ec.SECP256R1, "P-256", 32),
        ("ES384", 48, ec.SECP384R1, "P-384", 48),
        ("ES512", 64, ec.SECP521R1, "P-521", 66),
    )
    for name, size, curve, crv, coordinate in curves:
        command = f"openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:{crv} -out key.pem"
        made[name] = Scheme(name, Family.EC, library[name], command, size, curve, crv, coordinate)
    command = "openssl genpkey -algorithm ED25519 -out key.pem"
    made["EdDSA"] = Scheme("EdDSA", Family.OKP, library["EdDSA"], command, 64, None, "Ed25519", 32)
    return made


SCHEMES = _schemes()

NAMES = frozenset(SCHEMES)
"""Exact spelling only: `hs256` is not an algorithm (RFC 7515 section 4.1.1)."""


def is_symmetric(alg: str) -> bool:
    """Whether keys of *alg* are secrets, of which nothing is ever published."""
    return alg in SCHEMES and SCHEMES[alg].family is Family.SYMMETRIC
