"""The keys of a run and the access tokens signed with them beforehand (RFC 9068).

Everything is made anew for each run in its own directory and dies with it: one RSA-2048 key, one HS256 secret and one
P-256 certificate for TLS (P-256, so that the few handshakes of a run stay out of the cost per request).
"""

import base64
import datetime
import hashlib
import hmac
import ipaddress
import json
import os
import secrets
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

ISSUER = "https://gateway.bench.example"
AUDIENCE = "bench-api"
ROLE = "user"
LIFETIME = 3600
"""Seconds a benchmark token lives: longer than any one scenario runs."""

_CLIENT = "gateway"
_PEM = serialization.Encoding.PEM


@dataclass(frozen=True, slots=True)
class Material:
    """Where the key material of a run lies, and what identifies it."""

    private_key: Path
    public_key: Path
    secret: Path
    rsa_kid: str
    rsa_jwk: dict[str, str]
    certificate: Path
    certificate_key: Path

    def kid(self, alg: str) -> str:
        """The `kid` tokens of *alg* carry."""
        return self.rsa_kid if alg == "RS256" else "bench-hs256"

    def jwk(self, alg: str) -> dict[str, str]:
        """The verification key of *alg* as a JWK, for proxies that are configured with a key set."""
        if alg == "RS256":
            return self.rsa_jwk
        return {"kty": "oct", "alg": alg, "kid": self.kid(alg), "k": _b64(self.secret.read_bytes())}

    def signing_bytes(self, alg: str) -> bytes:
        """PEM of the private key, or the secret."""
        return (self.private_key if alg == "RS256" else self.secret).read_bytes()


def material(directory: Path) -> Material:
    """Make the keys of a run below *directory*, readable by their owner only."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    numbers = private.public_key().public_numbers()
    members = {"e": _b64_int(numbers.e), "kty": "RSA", "n": _b64_int(numbers.n)}
    # RFC 7638 section 3: the required members only, in this order, without white space.
    kid = _b64(hashlib.sha256(json.dumps(members, separators=(",", ":")).encode()).digest())
    certificate, certificate_key = _certificate()
    return Material(
        private_key=_kept(directory / "key.pem", _private_pem(private)),
        public_key=_kept(
            directory / "public.pem",
            private.public_key().public_bytes(_PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        ),
        secret=_kept(directory / "hs256.key", secrets.token_hex(32).encode()),
        rsa_kid=kid,
        rsa_jwk={**members, "kid": kid, "alg": "RS256", "use": "sig"},
        certificate=_kept(directory / "tls.crt", certificate),
        certificate_key=_kept(directory / "tls.key", certificate_key),
    )


@dataclass(frozen=True, slots=True)
class Mint:
    """Signs access tokens as the gateway itself issues them."""

    material: Material
    alg: str = "RS256"

    def token(self, roles: Sequence[str] = (ROLE,), lifetime: int = LIFETIME) -> str:
        """One token; a negative *lifetime* makes one that has expired."""
        return self.tokens(1, roles=roles, lifetime=lifetime)[0]

    def tokens(self, count: int, roles: Sequence[str] = (ROLE,), lifetime: int = LIFETIME) -> list[str]:
        """*count* different tokens of different people and sessions."""
        key = self.material.signing_bytes(self.alg)
        return _signed(key, self.alg, self.material.kid(self.alg), count, tuple(roles), lifetime)

    def many(self, count: int) -> list[str]:
        """*count* tokens by two processes: an RSA-2048 signature takes a third of a millisecond."""
        if count < 2000:
            return self.tokens(count)
        key, kid = self.material.signing_bytes(self.alg), self.material.kid(self.alg)
        # The benchmark itself is pinned to the load's core; while it signs nothing is measured.
        everywhere = range(os.cpu_count() or 1)
        with ProcessPoolExecutor(2, initializer=os.sched_setaffinity, initargs=(0, everywhere)) as pool:
            parts = [
                pool.submit(_signed, key, self.alg, kid, size, (ROLE,), LIFETIME)
                for size in (count // 2, count - count // 2)
            ]
            return [token for part in parts for token in part.result()]

    def forged(self) -> str:
        """A token whose signature is of the right length and wrong."""
        signed, _, signature = self.token().rpartition(".")
        middle = len(signature) // 2
        other = "A" if signature[middle] != "A" else "B"
        return f"{signed}.{signature[:middle]}{other}{signature[middle + 1 :]}"

    def confused(self) -> str:
        """A token signed with HMAC, the public key's text as its secret (RFC 8725 section 2.1)."""
        _, claims, _ = self.token().split(".")
        header = {"typ": "at+jwt", "alg": "HS256", "kid": self.material.kid(self.alg)}
        signed = f"{_b64(json.dumps(header).encode())}.{claims}"
        return f"{signed}.{_b64(hmac.digest(self.material.public_key.read_bytes(), signed.encode(), 'sha256'))}"

    def unsigned(self) -> str:
        """The same claims under `alg: none` (RFC 8725 section 3.1)."""
        _, claims, _ = self.token().split(".")
        header = {"typ": "at+jwt", "alg": "none", "kid": self.material.kid(self.alg)}
        return f"{_b64(json.dumps(header).encode())}.{claims}."


def _signed(key: bytes, alg: str, kid: str, count: int, roles: tuple[str, ...], lifetime: int) -> list[str]:
    signer = serialization.load_pem_private_key(key, None) if alg == "RS256" else key
    if not isinstance(signer, rsa.RSAPrivateKey | bytes):
        raise TypeError("the benchmark signs with RSA or HMAC")
    headers = {"typ": "at+jwt", "kid": kid}
    now_ms = int(time.time() * 1000)
    if lifetime < 0:
        now_ms += (2 * lifetime) * 1000  # issued, and over, in the past
    now = now_ms // 1000
    return [
        jwt.encode(
            {
                "iss": ISSUER,
                "sub": f"user-{secrets.token_hex(8)}",
                "aud": AUDIENCE,
                "client_id": _CLIENT,
                "iat": now,
                "exp": now + abs(lifetime),
                "jti": secrets.token_urlsafe(16),
                "sid": secrets.token_urlsafe(16),
                "iat_ms": now_ms,
                "auth_time": now,
                "amr": ["pwd"],
                "roles": list(roles),
                "permissions": [],
                "scope": "",
            },
            signer,
            algorithm=alg,
            headers=headers,
        )
        for _ in range(count)
    ]


def _certificate() -> tuple[bytes, bytes]:
    """A self-signed P-256 certificate for 127.0.0.1 and its key, both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName("localhost"), x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))]
            ),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(_PEM), _private_pem(key)


def _private_pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _kept(path: Path, content: bytes) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(content)
    return path


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _b64_int(number: int) -> str:
    return _b64(number.to_bytes((number.bit_length() + 7) // 8))
