"""What a limit says: how much, how fast, how many at once, and whose requests are counted together."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple

from gateway.paths import Path

_UNITS = {1: "s", 60: "m", 3600: "h", 86400: "d"}


class Rate(NamedTuple):
    """So many requests in so many seconds."""

    requests: int
    seconds: int

    def __str__(self) -> str:
        return f"{self.requests}/{_UNITS.get(self.seconds) or f'{self.seconds}s'}"


class Kind(Enum):
    """Whose requests are counted together."""

    ADDRESS = "address"
    """Those from one client address; an IPv6 address counts as its /64."""
    CLAIM = "claim"
    """Those whose tokens have the same value of a claim, from the same issuer."""
    HEADER = "header"
    """Those with the same value of a header field."""
    ROUTE = "route"
    """All of one route."""


class By(NamedTuple):
    """What requests are told apart by."""

    kind: Kind
    name: str = ""
    """The path of the claim, or the name of the header in lower case."""

    def __str__(self) -> str:
        return f"{self.kind.value}.{self.name}" if self.name else self.kind.value


@dataclass(frozen=True, slots=True)
class Allowance:
    """How much somebody may have."""

    rate: Rate | None = None
    burst: int = 1
    """How many at once after a pause."""
    inflight: int | None = None
    """How many under way at once."""

    def __str__(self) -> str:
        parts = []
        if self.rate is not None:
            burst = "" if self.burst == self.rate.requests else f", {self.burst} at once"
            parts.append(f"{self.rate}{burst}")
        if self.inflight is not None:
            parts.append(f"{self.inflight} in flight")
        return ", ".join(parts) or "no limit"


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit of the configuration."""

    name: str
    by: By
    allowed: Allowance
    plan: Path = ()
    """The claim whose value names the plan; () for no plans."""
    plans: Mapping[str, Allowance] = field(default_factory=lambda: MappingProxyType({}))
    """What other plans than the usual one allow."""
    headers: bool = field(default=False, compare=False)
    """Every answer tells what is left, not only the refusal; what is counted is the same either way."""

    def __str__(self) -> str:
        plans = "".join(f"; {plan}: {allowed}" for plan, allowed in self.plans.items())
        return f"{self.allowed} by {self.by}{plans}"

    @property
    def holds(self) -> bool:
        """Some plan bounds how many are under way."""
        return any(one.inflight is not None for one in (self.allowed, *self.plans.values()))
