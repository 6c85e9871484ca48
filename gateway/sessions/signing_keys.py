"""The signing keys kept in the store, so that every gateway that shares it signs and verifies with the same ones.

The whole set is one document with a revision, and a change counts only when the set is still the one it was made from:
of several gateways that start together or whose schedules fall due together one wins, and the others take up what it
did. The keys in the document are sealed under the secret that the gateways share, and the whole with its revision is
marked under it, so who holds the store or a copy can neither sign nor bring back a key that was taken away.

A gateway goes on with the keys it has while the store is away. When the store has lost writes, in a failover or
altogether, whoever holds the later set gives it back.
"""

import asyncio
import hmac
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

from gateway.errors import ConfigError, StoreUnavailable
from gateway.sessions.link import script
from gateway.sessions.replies import Reply, items, number
from gateway.sessions.store import SessionStore
from gateway.tokens.kept import Change, KeptKeys, decoded, encoded, expelled, fitted, is_fit, keys_of, ring_of
from gateway.tokens.ring import KeyRing
from gateway.tokens.rotation import Schedule, applied, plan
from gateway.tokens.sealing import Seal

_PLACE = "the signing keys in the store"
_TRIES = 16
"""Changes of others that a change of ours may meet before it gives up."""

T = TypeVar("T")


class Apart(Protocol):
    """Runs what takes long beside the event loop: a new RSA key takes a tenth of a second."""

    async def __call__(self, work: Callable[[], T], /) -> T: ...


class Version(NamedTuple):
    """Which set it is. After a failover two sets can have the same revision, and then the mark tells them apart."""

    revision: int
    mark: bytes


class Revised(NamedTuple):
    """A set and its version."""

    version: Version
    kept: KeptKeys


NOTHING = Revised(Version(0, b""), ())


class KeyPlace:
    """Where the set is: read, and changed by one at a time."""

    def __init__(self, store: SessionStore, seal: Seal, apart: Apart = asyncio.to_thread) -> None:
        self._store = store
        self._seal = seal
        self._apart = apart
        self._put = script("put_keys")

    async def version(self) -> Version:
        """Return the version of what is kept; that of `NOTHING` when nothing is.

        Raises:
            StoreUnavailable: the store does not answer; so do the others.
        """
        return _version(*items(await self._store.link.command("HMGET", self._store.keys.signing, "n", "m")))

    async def read(self) -> Revised:
        """Return what is kept.

        Raises:
            ConfigError: it is damaged, or of another version.
        """
        n, m, document = items(await self._store.link.command("HMGET", self._store.keys.signing, "n", "m", "d"))
        version = _version(n, m)
        if version == NOTHING.version:
            return NOTHING
        text = document if isinstance(document, bytes) else b""
        if not hmac.compare_digest(self._mark(version.revision, text), version.mark):
            raise self._unusable("are damaged, or sealed with another secret: give the server.secret_file they have")
        try:
            return Revised(version, decoded(text))
        except ValueError as error:
            raise self._unusable("were written by another version of the gateway") from error

    async def write(self, kept: KeptKeys, revision: int, instead_of: Version) -> Revised | None:
        """Put *kept* in the place of *instead_of*; None when another set is there by now."""
        document = encoded(kept)
        version = Version(revision, self._mark(revision, document))
        (done,) = await self._store.link.run(self._put, (self._store.keys.signing,), (*instead_of, *version, document))
        return Revised(version, kept) if number(done) == 1 else None

    async def change(self, change: Change) -> Revised:
        """Change the set by *change*, however often others change it meanwhile; returns what is kept now.

        Raises:
            ConfigError: the change cannot be made, or its result would be no sound set; nothing is changed then.
        """
        for _ in range(_TRIES):
            found = await self.read()
            try:
                kept = await self._apart(partial(self._sound, change, found.kept))
            except ConfigError as error:
                raise ConfigError(f"{_PLACE}: {error}") from error
            if kept == found.kept:
                return found
            made = await self.write(kept, found.version.revision + 1, found.version)
            if made is not None:
                return made
        raise StoreUnavailable("others change the signing keys all the time")

    def _mark(self, revision: int, document: bytes) -> bytes:
        return self._seal.mark(b"%d\n%b" % (revision, document))

    def _unusable(self, why: str) -> ConfigError:
        return ConfigError(
            f"{_PLACE} ({self._store.keys.signing}) {why}; they are left as they are. Restore the store from a backup, "
            "or delete that key to start with a new one (access tokens in use then end; people stay logged in)"
        )

    def _sound(self, change: Change, before: KeptKeys) -> KeptKeys:
        kept = change(before)
        if kept != before:
            ring_of(kept, self._seal)
        return kept


class StoredKeys:
    """The keys of the store in force: a ring that follows them, and a schedule that turns them."""

    def __init__(
        self,
        place: KeyPlace,
        ring: KeyRing,
        alg: str,
        *,
        schedule: Schedule,
        seal: Seal,
        apart: Apart = asyncio.to_thread,
    ) -> None:
        """Keep *ring*, which may be empty until the first look, in step with *place*."""
        self._place = place
        self._ring = ring
        self._alg = alg
        self._schedule = schedule
        self._seal = seal
        self._apart = apart
        self._at = NOTHING
        self._refused = NOTHING.version

    @property
    def kept(self) -> KeptKeys:
        """The keys in force, as they are kept."""
        return self._at.kept

    def renew(self, schedule: Schedule) -> None:
        """Turn the keys by another schedule from now on."""
        self._schedule = schedule

    async def look(self, now: float) -> bool:
        """Do what the schedule asks for and take up what others have changed; say whether the ring is another.

        The first look makes the first key, when nobody has made one yet. Costs one question of a few bytes when there
        is nothing to do.

        Raises:
            ConfigError: what is in the store cannot be used; the keys in force stay. Said once for each revision.
            StoreUnavailable: the store does not answer; the keys in force stay.
        """
        version, ours = await self._place.version(), self._at.version
        if version == self._refused != NOTHING.version:
            return False
        if version.revision < ours.revision:
            # Ours is the later one. Another gateway may be giving back the same one just now.
            await self._place.write(self._at.kept, ours.revision, version)
            return False
        try:
            found = self._at if version == ours != NOTHING.version else await self._place.read()
            return await self._take_up(found, now)
        except ConfigError:
            self._refused = version
            raise

    async def _take_up(self, found: Revised, now: float) -> bool:
        if self._at is NOTHING and not is_fit(found.kept, self._alg, self._seal):
            found = await self._place.change(lambda kept: fitted(kept, self._alg, now, self._seal))
        if plan(found.kept, now, self._schedule):
            found = await self._place.change(
                lambda kept: applied(kept, plan(kept, now, self._schedule), now, self._seal)
            )
        if found == self._at:
            return False
        try:
            keys = await self._apart(lambda: keys_of(found.kept, self._seal))
            self._ring.replace(keys)
        except ConfigError as error:
            raise ConfigError(f"{_PLACE}: {error}") from error
        self._at = found
        return True

    async def expel(self, kid: str, now: float) -> bool:
        """Leave out *kid*, because it is no longer a secret, and say whether it was here; raises as `look`."""
        if self._at is not NOTHING and all(one.kid != kid for one in self._at.kept):
            return False
        await self._place.change(lambda kept: expelled(kept, kid, now, self._seal))
        return await self.look(now)


def _version(revision: Reply, mark: Reply) -> Version:
    if not isinstance(revision, bytes) or not isinstance(mark, bytes) or not revision.isdigit():
        return NOTHING.version
    return Version(int(revision), mark)
