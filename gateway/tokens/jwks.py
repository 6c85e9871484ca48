"""Somebody else's keys: a published set (RFC 7517 section 5) read with care, and what is in force of it.

A set may hold keys for other purposes, other algorithms and other times; what is not a sound signature key for one of
the algorithms the operator named is left out and said so, never guessed at. Nothing private is taken, even when it was
published by mistake.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from gateway.errors import ConfigError
from gateway.tokens.algorithms import SCHEMES
from gateway.tokens.ring import Wait
from gateway.tokens.signing import VerifyingKey, load_key
from gateway.tokens.strict import strict_json_object

MAX_BYTES = 256 * 1024
"""Of a published set; real ones have 2 to 20 KiB, with their certificates."""
MAX_KEYS = 50

_PUBLIC = ("kty", "n", "e", "crv", "x", "y")
_LONGEST_KID = 255


class ForeignKey(NamedTuple):
    """A key with the name its owner gave it; None when it has none and so stands for every token of its algorithm."""

    kid: str | None
    key: VerifyingKey


class KeySet(NamedTuple):
    """What could be used of a set, and what was left out and why."""

    keys: tuple[ForeignKey, ...]
    skipped: tuple[str, ...]


def read_set(raw: bytes, algorithms: Sequence[str]) -> KeySet:
    """Read a published set for *algorithms*.

    A key that does not state its algorithm (Entra ID's do not) is bound to the first of *algorithms* that fits it.

    Raises:
        ValueError: this is no key set, or one with too many keys; the message is a word or two for the log.
    """
    if len(raw) > MAX_BYTES:
        raise ValueError("too large")
    entries = strict_json_object(raw).get("keys")
    if not isinstance(entries, list):
        raise ValueError("no key set")
    if len(entries) > MAX_KEYS:
        raise ValueError("too many keys")
    keys: list[ForeignKey] = []
    skipped = []
    for at, entry in enumerate(entries):
        found = _read(entry, algorithms)
        if isinstance(found, str):
            skipped.append(f"key {at + 1}: {found}")
        elif any(found.kid == other.kid and found.key.alg == other.key.alg for other in keys):
            skipped.append(f"key {at + 1}: another key has the same kid")
        else:
            keys.append(found)
    return KeySet(tuple(keys), tuple(skipped))


class ForeignKeys:
    """The keys of one trusted issuer that are in force."""

    __slots__ = ("_by_alg", "_by_name", "_kids", "_marks", "ask", "known")

    def __init__(self, keys: Iterable[ForeignKey] | None = None) -> None:
        """Begin with *keys*; None when they have to be fetched first."""
        self.ask: Callable[[], Wait | None] = _nobody
        """Returns how to wait for newer keys, or None when there is no sense in asking again so soon."""
        self.known = False
        """Whether there is a set at all; without one nothing can be said about a token."""
        self._marks: frozenset[tuple[str | None, str, str]] = frozenset()
        self.forget()
        if keys is not None:
            self.replace(keys)

    def replace(self, keys: Iterable[ForeignKey]) -> bool:
        """Put *keys* in force and no others; say whether one that was in force is gone."""
        keys = tuple(keys)
        marks = frozenset((one.kid, one.key.alg, one.key.fingerprint) for one in keys)
        gone = not self._marks <= marks
        by_alg: dict[str, list[ForeignKey]] = {}
        for one in keys:
            by_alg.setdefault(one.key.alg, []).append(one)
        self._by_name = {(one.kid, one.key.alg): one.key for one in keys if one.kid is not None}
        self._kids = frozenset(one.kid for one in keys if one.kid is not None)
        self._by_alg = by_alg
        self._marks = marks
        self.known = True
        return gone

    def forget(self) -> bool:
        """Leave out every key, because nobody has confirmed them for too long; say whether there was one."""
        gone = self.replace(())
        self.known = False
        return gone

    def find(self, kid: str | None, alg: str) -> VerifyingKey | None:
        """Return the key for a token with this header; it is for exactly *alg*."""
        if kid is not None and (key := self._by_name.get((kid, alg))) is not None:
            return key
        fitting = self._by_alg.get(alg, ())
        if kid is not None:
            fitting = [one for one in fitting if one.kid is None]
        return fitting[0].key if len(fitting) == 1 else None

    def has(self, kid: str | None) -> bool:
        """Whether a key has this name, for whatever algorithm."""
        return kid in self._kids

    @property
    def algorithms(self) -> frozenset[str]:
        """What the keys are for."""
        return frozenset(self._by_alg)

    def __len__(self) -> int:
        return len(self._marks)


def _nobody() -> None:
    return None


def _read(entry: object, algorithms: Sequence[str]) -> ForeignKey | str:
    """Return the key in *entry*, or why it is left out."""
    if not isinstance(entry, dict):
        return "it is not an object"
    if entry.get("use", "sig") != "sig":
        return "it is not for signatures"
    operations = entry.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return "it is not for verifying"
    kid = entry.get("kid")
    if kid is not None and (not isinstance(kid, str) or not 0 < len(kid) <= _LONGEST_KID or not kid.isprintable()):
        return "its kid is no name"
    alg = entry.get("alg")
    if alg is None:
        alg = next((name for name in algorithms if _fits(entry, name)), None)
    if alg not in algorithms or not isinstance(alg, str) or not _fits(entry, alg):
        return "it is for none of the algorithms that are asked for"
    bare = {name: entry[name] for name in _PUBLIC if name in entry}
    try:
        return ForeignKey(kid, load_key(json.dumps(bare).encode(), alg, None, "retired"))
    except ConfigError as error:
        return str(error).partition("; make one with")[0]


def _fits(entry: dict[str, object], alg: str) -> bool:
    scheme = SCHEMES[alg]
    if scheme.family.value == "oct":
        return False  # a published secret is none
    return entry.get("kty") == scheme.family.value and (not scheme.crv or entry.get("crv") == scheme.crv)
