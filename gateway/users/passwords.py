"""Passwords and their hashes, argon2id for new ones, and the few threads in which they are computed.

Reader's rules: a hash costs tens of milliseconds and 19 MiB on purpose, so it never runs on the event loop, never
more often at once than there are cores to spare, and never with costs that somebody wrote into a file by mistake.
A login for a user who does not exist spends the same as a wrong password: `Hasher.decoy` makes a hash that costs
what a real one costs and that no password matches.

Sources: RFC 9106 (argon2), OWASP Password Storage Cheat Sheet (19 MiB, t=2, p=1), OWASP ASVS 6.2.8, 6.2.9, 6.3.8.
"""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import ParamSpec, TypeVar

from argon2.low_level import Type, hash_secret

from gateway.errors import Refused, refuse
from gateway.users.hashes import AnyCost, Cost, cost_of, is_made_of

__all__ = ["Cost", "Finishing", "HashPool", "Hasher", "MAX_PASSWORD_BYTES", "cost_of"]

MAX_PASSWORD_BYTES = 1024
"""Longest password; a longer one is refused before hashing."""

_MARGIN = 256
"""Places in the queue for signatures alone, about 1 ms each."""
_SALT_BYTES = 16
_HASH_BYTES = 32

P = ParamSpec("P")
R = TypeVar("R")


class Hasher:
    """Makes and checks hashes; blocking, so it belongs into a `HashPool`."""

    def __init__(self, cost: Cost | None = None) -> None:
        self.cost = cost or Cost()

    def hash(self, password: str) -> str:
        """Return a fresh hash of *password* at the current cost."""
        cost = self.cost
        encoded = hash_secret(
            password.encode(),
            os.urandom(_SALT_BYTES),
            time_cost=cost.passes,
            memory_cost=cost.memory_kib,
            parallelism=cost.lanes,
            hash_len=_HASH_BYTES,
            type=Type.ID,
        )
        return encoded.decode("ascii")

    def verify(self, encoded: str, password: str) -> bool:
        """Return whether *password* made *encoded*; False, without computing, for what is no hash or costs absurdly."""
        cost = cost_of(encoded)
        if cost is None or cost.absurd:
            return False
        try:
            return is_made_of(encoded, password)
        except UnicodeEncodeError:
            return False

    def outdated(self, encoded: str) -> bool:
        """Return whether *encoded* is no argon2id hash, or a cheaper one than `hash` makes."""
        cost = cost_of(encoded)
        return not isinstance(cost, Cost) or cost.memory_kib * cost.passes < self.cost.memory_kib * self.cost.passes

    def decoy(self, cost: AnyCost | None = None) -> str:
        """Return a hash of nothing that costs *cost*, or what a new one costs, to check."""
        return (cost or self.cost).decoy()


class HashPool:
    """A few threads for work that would stall the event loop, and a queue that refuses instead of growing.

    argon2 and RSA signing release the interpreter lock, so the loop keeps running beside them, on a core of its own
    when *threads* is what `cores.hash_threads` says.
    """

    def __init__(self, threads: int, *, queue: int | None = None) -> None:
        """*queue* is how many jobs may wait beyond those that run; by default about one second's worth of hashes."""
        self.threads = threads
        self._most = threads + (32 * threads if queue is None else queue)
        self._held = 0
        self._lock = Lock()
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="gateway-hash")

    @property
    def waiting(self) -> int:
        """Jobs that have no thread yet; for the metric."""
        return max(0, self._held - self.threads)

    @property
    def finishing(self) -> "Finishing":
        """The same threads for work that ends what was begun, such as signing after a token was spent.

        It is refused later than new work, so that an overload turns logins away and breaks none off.
        """
        return Finishing(self)

    async def run(self, work: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return what *work* returns, computed in a thread.

        Raises:
            Refused: (overloaded) the queue is full; nothing was started.
        """
        return await self._submit(self._most, work, *args, **kwargs)

    async def _submit(self, most: int, work: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self._lock:
            if self._held >= most:
                raise Refused(refuse("overloaded", "hash_queue_full", retry_after=1))
            self._held += 1
        try:
            job = self._executor.submit(work, *args, **kwargs)
        except RuntimeError as error:
            self._release()
            raise Refused(refuse("overloaded", "stopping", retry_after=1)) from error
        # A caller who goes away cancels a job that has no thread yet; one that runs keeps its place until it ends.
        job.add_done_callback(self._release)
        return await asyncio.wrap_future(job)

    def _release(self, _job: "Future[R] | None" = None) -> None:
        with self._lock:
            self._held -= 1

    def close(self) -> None:
        """Drop what waits and let the threads end; does not wait for them."""
        self._executor.shutdown(wait=False, cancel_futures=True)


class Finishing:
    """The side door of a `HashPool`; see `HashPool.finishing`."""

    __slots__ = ("_pool",)

    def __init__(self, pool: HashPool) -> None:
        self._pool = pool

    async def run(self, work: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """As `HashPool.run`, with a margin in the queue."""
        return await self._pool._submit(self._pool._most + _MARGIN, work, *args, **kwargs)
