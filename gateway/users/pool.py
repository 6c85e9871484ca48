"""Where hashing happens, as those who hash ask for it."""

from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Pool(Protocol):
    """Threads; raises Refused (overloaded) when too much waits already."""

    async def run(self, work: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...
