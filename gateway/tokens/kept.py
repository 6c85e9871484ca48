"""A set of keys as it is kept between starts, and every change that can be made to it.

All functions are pure: they take a set and return another one, or refuse. Where the set lives (a file, a store) and
who may change it at the same time is the business of whoever keeps it, so that the rules are the same everywhere.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace

from gateway.errors import ConfigError
from gateway.tokens.algorithms import is_symmetric
from gateway.tokens.ring import KeyRing
from gateway.tokens.sealing import Seal, is_sealed
from gateway.tokens.signing import STATES, SigningKey, State, VerifyingKey, generate_key, load_key
from gateway.tokens.strict import strict_json_object

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Kept:
    """One key as it is kept."""

    kid: str
    alg: str
    state: State
    created: int
    """Unix time."""
    since: int
    """Unix time at which the key got its state: a retired key may go when its last token has expired."""
    key: str
    """PEM or secret; sealed where a seal is used."""


KeptKeys = tuple[Kept, ...]

Change = Callable[[KeptKeys], KeptKeys]
"""Makes another set of one, wherever it is kept; raises ConfigError where it cannot."""


def encoded(kept: KeptKeys) -> bytes:
    """Return *kept* as the document that `decoded` reads."""
    return json.dumps({"version": _VERSION, "keys": [asdict(one) for one in kept]}, indent=1).encode()


def decoded(text: bytes) -> KeptKeys:
    """Read a document of `encoded`.

    Raises:
        ValueError: it is damaged, or of another version.
    """
    found = strict_json_object(text)
    try:
        if found["version"] != _VERSION or not isinstance(found["keys"], list):
            raise ValueError("of another version")
        return tuple(_entry(entry) for entry in found["keys"])
    except (KeyError, TypeError) as error:
        raise ValueError("a member is missing or unknown") from error


def ring_of(kept: KeptKeys, seal: Seal | None = None, warnings: Iterable[str] = ()) -> KeyRing:
    """Make a ring of *kept*.

    Raises:
        ConfigError: a key or the set is unsound, or a key is sealed by another secret.
    """
    return KeyRing(keys_of(kept, seal), warnings)


def keys_of(kept: KeptKeys, seal: Seal | None = None) -> list[VerifyingKey]:
    """Return the keys of *kept*, loaded; raises as `ring_of`."""
    return [load_key(_opened(one, seal), one.alg, one.kid, one.state) for one in kept]


def made(alg: str, state: State, now: float, seal: Seal | None = None) -> Kept:
    """Make a new key."""
    return _kept(generate_key(alg, state), int(now), seal)


def is_fit(kept: KeptKeys, alg: str, seal: Seal | None) -> bool:
    """Whether *kept* can be used where *alg* is asked for: something signs, and what has to be sealed is.

    What signs may be for another algorithm for now: `rotation.plan` turns to *alg* when everybody knows the new key.
    """
    return _can_turn(kept, alg) and resealed(kept, seal) == kept


def fitted(kept: KeptKeys, alg: str, now: float, seal: Seal | None = None) -> KeptKeys:
    """Return *kept* as `is_fit` asks for it; nothing at all becomes one key."""
    return resealed(kept if _can_turn(kept, alg) else turned_to(kept, alg, now, seal), seal)


def current_of(kept: KeptKeys) -> Kept | None:
    """Return the key that signs; None for a set without one."""
    return next((one for one in kept if one.state == "current"), None)


def _can_turn(kept: KeptKeys, alg: str) -> bool:
    """Whether a key for *alg* could be published beside the one that signs: secrets and public keys exclude each other.

    Between those two kinds there is nobody to prepare: of secrets nothing is published, so nobody else verifies.
    """
    current = current_of(kept)
    return current is not None and is_symmetric(current.alg) is is_symmetric(alg)


def turned_to(kept: KeptKeys, alg: str, now: float, seal: Seal | None = None) -> KeptKeys:
    """Return *kept* with a current key for *alg*; what was in force for another algorithm is retired."""
    second = int(now)
    waiting = oldest_next(kept, alg)
    turned = [
        replace(one, state="retired", since=second)
        if one.state == "current" or (one.state == "next" and one.alg != alg)
        else one
        for one in kept
        if one is not waiting
    ]
    first = replace(waiting, state="current", since=second) if waiting else made(alg, "current", now, seal)
    return (first, *turned)


def promoted(kept: KeptKeys, kid: str, now: float) -> KeptKeys:
    """Return *kept* with the next key *kid* as current; the one before it is retired and goes on verifying.

    Next keys for other algorithms retire with it: what they were published for is not wanted any more.

    Raises:
        ConfigError: there is no such next key.
    """
    first = next((one for one in kept if one.kid == kid and one.state == "next"), None)
    if first is None:
        raise ConfigError(f"there is no key {kid!r} with state next; stage one first")
    states: dict[str, State] = {
        one.kid: "retired" for one in kept if one.state == "current" or (one.state == "next" and one.alg != first.alg)
    }
    states[kid] = "current"
    return tuple(replace(one, state=states[one.kid], since=int(now)) if one.kid in states else one for one in kept)


def forgotten(kept: KeptKeys, kid: str) -> KeptKeys:
    """Return *kept* without the retired key *kid*: no token signed with it is accepted any more.

    Raises:
        ConfigError: there is no such retired key.
    """
    left = tuple(one for one in kept if one.kid != kid or one.state != "retired")
    if left == kept:
        raise ConfigError(f"there is no key {kid!r} with state retired")
    return left


def withdrawn(kept: KeptKeys, kid: str, now: float) -> KeptKeys:
    """Return *kept* with the next key *kid* retired before it ever signed.

    Raises:
        ConfigError: there is no such next key.
    """
    if not any(one.kid == kid and one.state == "next" for one in kept):
        raise ConfigError(f"there is no key {kid!r} with state next")
    return tuple(replace(one, state="retired", since=int(now)) if one.kid == kid else one for one in kept)


def oldest_next(kept: KeptKeys, alg: str | None = None) -> Kept | None:
    """Return the next key that was published first, of those for *alg* when that is given; None without any."""
    waiting = [one for one in kept if one.state == "next" and alg in (None, one.alg)]
    return min(waiting, key=lambda one: (one.created, one.kid), default=None)


def compromised(kept: KeptKeys, kid: str, now: float, seal: Seal | None = None) -> KeptKeys:
    """Return *kept* without *kid*, whatever its state; when it was the signing one, another signs at once.

    That other key is the oldest next one, whatever its algorithm, as others have fetched it already; or else a new one.

    Raises:
        ConfigError: there is no such key.
    """
    bad = next((one for one in kept if one.kid == kid), None)
    if bad is None:
        raise ConfigError(f"there is no key {kid!r}")
    left = tuple(one for one in kept if one.kid != kid)
    if bad.state != "current":
        return left
    waiting = oldest_next(left)
    return turned_to(left, bad.alg, now, seal) if waiting is None else promoted(left, waiting.kid, now)


def expelled(kept: KeptKeys, kid: str, now: float, seal: Seal | None = None) -> KeptKeys:
    """Return *kept* as `compromised` does, and as it is when *kid* is gone already: another was faster."""
    return compromised(kept, kid, now, seal) if any(one.kid == kid for one in kept) else kept


def resealed(kept: KeptKeys, seal: Seal | None) -> KeptKeys:
    """Return *kept* with every key that lies open sealed, when there is a seal."""
    if seal is None or all(is_sealed(one.key) for one in kept):
        return kept
    return tuple(
        one if is_sealed(one.key) else replace(one, key=seal.close(one.key.encode(), _about(one.kid, one.alg)))
        for one in kept
    )


def _kept(key: SigningKey, now: int, seal: Seal | None) -> Kept:
    text = key.serialised()
    written = text.decode("ascii") if seal is None else seal.close(text, _about(key.kid, key.alg))
    return Kept(key.kid, key.alg, key.state, now, now, written)


def _opened(one: Kept, seal: Seal | None) -> bytes:
    if not is_sealed(one.key):
        return one.key.encode()
    if seal is None:
        raise ConfigError(f"the key {one.kid!r} is sealed; set tokens.keys.seal: true, as when it was made")
    opened = seal.open(one.key, _about(one.kid, one.alg))
    if opened is None:
        raise ConfigError(
            f"the key {one.kid!r} was sealed with another secret: give the same server.secret_file as when it was made"
        )
    return opened


def _about(kid: str, alg: str) -> bytes:
    """Return what a sealed key is bound to, so that nobody can pass one off as another."""
    return f"{alg} {kid}".encode()


def _entry(entry: object) -> Kept:
    if not isinstance(entry, dict):
        raise ValueError("an entry is not an object")
    kept = Kept(**entry)
    for text in (kept.kid, kept.alg, kept.key):
        if not isinstance(text, str):
            raise ValueError("a member is not text")
    for second in (kept.created, kept.since):
        if type(second) is not int:
            raise ValueError("a member is not a time")
    if kept.state not in STATES:
        raise ValueError("no such state")
    return kept
