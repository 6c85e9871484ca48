"""Password hashes as they are found in the world: their costs, whether a password made them, and decoys.

argon2id is what we make. The others are verified, because people move here with the tables and files they have:

    $argon2id$v=19$m=,t=,p=$salt$hash    RFC 9106, the PHC string; Django writes `argon2` before it
    $2a$ $2b$ $2y$                       bcrypt
    $scrypt$ln=,r=,p=$salt$hash          RFC 7914: passlib
    scrypt$n$salt$r$p$hash               Django;        scrypt:n:r:p$salt$hex              Werkzeug
    $pbkdf2-sha256$rounds$salt$hash      RFC 8018: passlib
    pbkdf2_sha256$rounds$salt$hash       Django;        pbkdf2:sha256:rounds$salt$hex      Werkzeug

Everything here blocks. A cost that would stop the machine is `absurd`, and never paid.
"""

import base64
import binascii
import hashlib
import hmac
import os
import re
from collections.abc import Callable
from typing import NamedTuple, Protocol

import bcrypt
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type, verify_secret

_MAX_MEMORY_KIB = 128 * 1024
"""Twice that of RFC 9106's second recommendation, and what OWASP asks of scrypt; more is a mistake or an attack."""
_MAX_WORK_KIB = 512 * 1024
"""Memory times passes; about fourteen times the default's work."""
_MAX_LANES = 16
_MAX_ROUNDS = 15
"""Of bcrypt: about two seconds."""
_MAX_ITERATIONS = 5_000_000
"""Of PBKDF2: about two seconds."""
_MOST_BCRYPT = 72
"""Bytes of a password that bcrypt looks at."""


class AnyCost(Protocol):
    """What one hash costs; equal costs take equal time."""

    @property
    def absurd(self) -> bool:
        """A login must never spend this much, whatever a file says."""
        ...

    def decoy(self) -> str:
        """Return a hash of nothing that costs this to check: its digest is random, so no password matches it."""
        ...


class Cost(NamedTuple):
    """Of argon2id."""

    memory_kib: int = 19 * 1024
    passes: int = 2
    lanes: int = 1

    @property
    def absurd(self) -> bool:
        return (
            self.memory_kib > _MAX_MEMORY_KIB
            or self.memory_kib * self.passes > _MAX_WORK_KIB
            or self.lanes > _MAX_LANES
            or self.memory_kib < 8 * self.lanes  # RFC 9106 section 3.1
        )

    def decoy(self) -> str:
        return f"$argon2id$v=19$m={self.memory_kib},t={self.passes},p={self.lanes}${_plain(16)}${_plain(32)}"


class Bcrypt(NamedTuple):
    """Of bcrypt: 2**rounds."""

    rounds: int

    @property
    def absurd(self) -> bool:
        return not 4 <= self.rounds <= _MAX_ROUNDS

    def decoy(self) -> str:
        alphabet = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
        text = bytes(alphabet[byte % 64] for byte in os.urandom(51)).decode()
        # The last character of the salt has four spare bits and that of the digest two; bcrypt writes them as zero.
        return f"$2b${self.rounds:02}${text[:21]}.{text[21:]}."


class Scrypt(NamedTuple):
    """Of scrypt."""

    n: int
    r: int
    p: int
    size: int = 32

    @property
    def absurd(self) -> bool:
        kib = 128 * self.n * self.r // 1024
        return (
            kib > _MAX_MEMORY_KIB
            or kib * self.p > _MAX_WORK_KIB
            or self.p > _MAX_LANES
            or self.p < 1
            or self.r < 1
            or self.n < 2
            or self.n & (self.n - 1) != 0
        )

    def decoy(self) -> str:
        return f"scrypt:{self.n}:{self.r}:{self.p}${_plain(16)}${os.urandom(self.size).hex()}"

    def derive(self, password: bytes, salt: bytes) -> bytes:
        most = 256 * self.n * self.r + (1 << 20)
        return hashlib.scrypt(password, salt=salt, n=self.n, r=self.r, p=self.p, maxmem=most, dklen=self.size)


class Pbkdf2(NamedTuple):
    """Of PBKDF2 with HMAC."""

    digest: str
    iterations: int
    size: int = 32

    @property
    def absurd(self) -> bool:
        # A longer output than the digest's multiplies the work (RFC 8018 section 5.2).
        return not 1 <= self.iterations * -(-self.size // _DIGESTS[self.digest]) <= _MAX_ITERATIONS

    def decoy(self) -> str:
        return f"pbkdf2:{self.digest}:{self.iterations}${_plain(16)}${os.urandom(self.size).hex()}"

    def derive(self, password: bytes, salt: bytes) -> bytes:
        return hashlib.pbkdf2_hmac(self.digest, password, salt, self.iterations, self.size)


_DIGESTS = {"sha1": 20, "sha256": 32, "sha512": 64}


class _Derived(NamedTuple):
    """A hash that is a derived key beside its salt."""

    cost: Scrypt | Pbkdf2
    salt: bytes
    key: bytes


_N = r"([1-9][0-9]{0,9})"
_TEXT = r"([^$:]{1,128})"
# argon2's own encoding (the PHC string format); 8 to 64 bytes of salt, 16 to 64 of hash.
_ARGON2 = re.compile(rf"\$argon2id\$v=19\$m={_N},t={_N},p={_N}\$([A-Za-z0-9+/]{{11,86}})\$([A-Za-z0-9+/]{{22,86}})")
_BCRYPT = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}")


def _padded(text: str) -> bytes:
    """Return the bytes of base64 text, with or without padding, also in passlib's alphabet."""
    plain = text.replace(".", "+").rstrip("=")
    return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)


_FORMS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], _Derived]], ...] = tuple(
    (re.compile(pattern), read)
    for pattern, read in (
        (
            rf"\$scrypt\$ln=([1-9][0-9]?),r={_N},p={_N}\${_TEXT}\${_TEXT}",
            lambda m: _scrypt(1 << int(m[1]), m[2], m[3], _padded(m[4]), _padded(m[5])),
        ),
        (
            rf"scrypt\${_N}\${_TEXT}\${_N}\${_N}\${_TEXT}",
            lambda m: _scrypt(int(m[1]), m[3], m[4], m[2].encode(), _padded(m[5])),
        ),
        (
            rf"scrypt:{_N}:{_N}:{_N}\${_TEXT}\$([0-9a-f]{{32,256}})",
            lambda m: _scrypt(int(m[1]), m[2], m[3], m[4].encode(), bytes.fromhex(m[5])),
        ),
        (
            rf"\$pbkdf2-(sha256|sha512)\${_N}\${_TEXT}\${_TEXT}",
            lambda m: _pbkdf2(m[1], m[2], _padded(m[3]), _padded(m[4])),
        ),
        (rf"\$pbkdf2\${_N}\${_TEXT}\${_TEXT}", lambda m: _pbkdf2("sha1", m[1], _padded(m[2]), _padded(m[3]))),
        (
            rf"pbkdf2_(sha1|sha256|sha512)\${_N}\${_TEXT}\${_TEXT}",
            lambda m: _pbkdf2(m[1], m[2], m[3].encode(), _padded(m[4])),
        ),
        (
            rf"pbkdf2:(sha1|sha256|sha512):{_N}\${_TEXT}\$([0-9a-f]{{32,256}})",
            lambda m: _pbkdf2(m[1], m[2], m[3].encode(), bytes.fromhex(m[4])),
        ),
    )
)


def _scrypt(n: int, r: str, p: str, salt: bytes, key: bytes) -> _Derived:
    return _Derived(Scrypt(n, int(r), int(p), len(key)), salt, key)


def _pbkdf2(digest: str, iterations: str, salt: bytes, key: bytes) -> _Derived:
    return _Derived(Pbkdf2(digest, int(iterations), len(key)), salt, key)


def cost_of(encoded: str) -> AnyCost | None:
    """Return what verifying *encoded* would cost; None when it is no hash we know."""
    if match := _ARGON2.fullmatch(encoded.removeprefix("argon2")):
        return Cost(int(match[1]), int(match[2]), int(match[3]))
    if match := _BCRYPT.fullmatch(encoded):
        return Bcrypt(int(match[1]))
    derived = _derived(encoded)
    return None if derived is None else derived.cost


def is_made_of(encoded: str, password: str) -> bool:
    """Return whether *password* made *encoded*; computes, so its cost must have been judged before."""
    secret = password.encode()
    if _ARGON2.fullmatch(encoded.removeprefix("argon2")):
        try:
            return verify_secret(encoded.removeprefix("argon2").encode("ascii"), secret, Type.ID)
        except (VerificationError, InvalidHashError):
            return False
    if _BCRYPT.fullmatch(encoded):
        return _is_bcrypt_of(encoded, secret)
    derived = _derived(encoded)
    return derived is not None and hmac.compare_digest(derived.cost.derive(secret, derived.salt), derived.key)


def _is_bcrypt_of(encoded: str, secret: bytes) -> bool:
    # bcrypt knows 72 bytes, and some of its makers end at a NUL: a longer password never matches, lest two passwords
    # open one account. The time is spent all the same.
    fits = len(secret) <= _MOST_BCRYPT and b"\0" not in secret
    try:
        same = bcrypt.checkpw(secret[:_MOST_BCRYPT].replace(b"\0", b" "), encoded.encode("ascii"))
    except ValueError:  # a salt with spare bits set
        return False
    return same and fits


def _derived(encoded: str) -> _Derived | None:
    for pattern, read in _FORMS:
        if match := pattern.fullmatch(encoded):
            try:
                found = read(match)
            except (ValueError, binascii.Error):
                return None
            return found if len(found.key) >= 16 else None
    return None


def _plain(size: int) -> str:
    """Return so many random bytes as base64 without padding."""
    return base64.b64encode(os.urandom(size)).rstrip(b"=").decode()
