"""The key table: every key the gateway keeps in the store, named in one place.

    {prefix}:{<tag>}:s:<sid>   HASH    one session; the fields are in login.lua and refresh.lua
    {prefix}:{<tag>}:ix        ZSET    sid -> the time it dies; a session that is not in it has been evicted
    {prefix}:{<tag>}:u         HASH    cut (ms), last (highest stamp issued), dis, gr (grants of the newest tokens)
    {prefix}:cuts              HASH    cli:<id> / ten:<id> / all -> cut-off ms, for sessions older than the feed
    {prefix}:jti:<hash>        STRING  an assertion of a client that has been used, until it would be refused anyway
    {prefix}:dead:<kind>:<id>  STRING  cut-off ms of a revoked token (jti) or key (kid), for whoever asks the store
    {prefix}:{b:<login>}       STRING  tries left of a login that waits for its second factor
    {prefix}:{o:<mark>}        STRING  the latest step of time-based codes that a user has used
    {prefix}:{g:<account>}:a   HASH    failed guesses at an account, and those in flight; see reserve_guess.lua
    ...                  :ka           the same of all addresses and browsers known to an account, which :a leaves out
    ...                  :p:<pair>     the same of an account from one address
    ...                  :d:<device>   the same of an account from one browser that is known
    ...                  :k:<pair>  STRING  somebody logged in to the account from that address
    {prefix}:g:<address>       STRING  lives as long as failed guesses of that address are not forgiven
    {prefix}:{p:<mark>}        STRING  what the users' service said of a user at their last login, sealed
    {prefix}:{l<slot>}:<mark>  STRING  a bucket of a limit: the time (microseconds) at which it is full again
    {prefix}:{rev}             STREAM  the revocation feed
    {prefix}:{rev}:meta        HASH    h (feed retention high-water, ms), epoch (when this store began)
    {prefix}:{keys}            HASH    the signing keys, sealed: n (revision), m (mark), d (document of tokens.kept)

`<tag>` is the keyed hash of issuer, tenant and subject, and the braces are the cluster's hash tag: all that belongs to
one user sits in one slot, and a dump of the store names nobody by key. `<account>`, `<pair>`, `<device>` and
`<address>` are keyed hashes of what was typed and from where, a `<mark>` is one of whoever it belongs to. Nothing in
here is a credential: the family is kept as SHA-256 of 128 random bits, and a token cannot be made without it; signing
keys rest sealed by a secret that is not in the store.
"""

import hashlib
import hmac
from dataclasses import dataclass
from typing import NamedTuple

from gateway.errors import ConfigError


def mark(key: bytes, sub: str) -> bytes:
    """Return what stands for a user of our own where only their `sub` is known; *key* is that of subject tags."""
    return hmac.digest(key, sub.encode("utf-8", "surrogatepass"), hashlib.sha256)[:12]


@dataclass(frozen=True, slots=True)
class UserKeys:
    """The keys of one user."""

    base: str

    @property
    def index(self) -> str:
        return f"{self.base}:ix"

    @property
    def user(self) -> str:
        return f"{self.base}:u"

    def session(self, session: str) -> str:
        return f"{self.base}:s:{session}"


class GuessKeys(NamedTuple):
    """Where a guess at a secret is counted; all but the address's in one slot."""

    account: str
    """By strangers."""
    familiar: str
    """By all that are known."""
    source: str
    """Of the address, or of the browser that is known."""
    known: str
    """Whether the address is."""
    address: str


class Keys:
    """Key names under one prefix."""

    __slots__ = ("cuts", "meta", "prefix", "signing", "stream")

    def __init__(self, prefix: str) -> None:
        if not prefix or not prefix.isascii() or not prefix.isprintable() or set(prefix) & set("{} "):
            raise ConfigError(f"store.prefix {prefix!r}: use a short word without spaces and braces, such as gw")
        self.prefix = prefix
        self.cuts = f"{prefix}:cuts"
        self.stream = f"{prefix}:{{rev}}"
        self.meta = f"{prefix}:{{rev}}:meta"
        self.signing = f"{prefix}:{{keys}}"

    def assertion(self, name: str) -> str:
        """Return the key of a used assertion, whose hash is *name*."""
        return f"{self.prefix}:jti:{name}"

    def dead(self, kind: str, value: str) -> str:
        """Return the key that says a token or signing key is revoked."""
        return f"{self.prefix}:dead:{kind}:{value}"

    def of(self, tag: bytes) -> UserKeys:
        """Return the keys of the user whose subject tag is *tag*."""
        return UserKeys(f"{self.prefix}:{{{tag.hex()}}}")

    def bucket(self, slot: int, mark: bytes) -> str:
        """Return the key of the bucket with this mark."""
        return f"{self.prefix}:{{l{slot}}}:{mark.hex()}"

    def begun(self, login: str) -> str:
        """Return the key of a login that waits for its second factor."""
        return f"{self.prefix}:{{b:{login}}}"

    def person(self, mark: bytes) -> str:
        """Return the key of what is remembered of the user with this mark."""
        return f"{self.prefix}:{{p:{mark.hex()}}}"

    def last_step(self, mark: bytes) -> str:
        """Return the key of the last used step of the user with this mark."""
        return f"{self.prefix}:{{o:{mark.hex()}}}"

    def guesses(self, account: str, pair: str, address: str, device: str = "") -> GuessKeys:
        """Return the keys of a guess; each argument is a keyed hash in hex, *device* that of a browser if it counts."""
        base = f"{self.prefix}:{{g:{account}}}"
        source = f"{base}:d:{device}" if device else f"{base}:p:{pair}"
        return GuessKeys(f"{base}:a", f"{base}:ka", source, f"{base}:k:{pair}", f"{self.prefix}:g:{address}")
