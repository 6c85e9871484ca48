"""The limits of a configuration at work; what is counted outlives every configuration that says the same."""

from collections.abc import Callable, Mapping

from gateway.config.limits import limits_of
from gateway.config.models import Config
from gateway.limits.buckets import Buckets
from gateway.limits.counter import Counter, Key, Owner
from gateway.limits.limit import Allowance, Limit
from gateway.limits.routes import RouteLimits
from gateway.paths import Path
from gateway.routing.conditions import stated
from gateway.routing.table import Route, Rule
from gateway.tokens.verify import Identity


class Limiting:
    """Every limit's counter. One whose numbers stay as they were goes on counting; a changed one begins anew.

    Only what is under way is taken over in any case where it is counted by the same, since it goes on.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._counters: Mapping[str, Counter] = {}

    def of(self, config: Config) -> "Limits":
        """Return the limits of *config*, which are in force from `adopt` on."""
        made = {}
        for name, limit in limits_of(config.limits).items():
            before = self._counters.get(name)
            made[name] = before if before is not None and before.limit == limit else self._counter(limit, before)
        return Limits(made, self._monotonic)

    def adopt(self, limits: "Limits") -> None:
        """Go on with *limits*."""
        self._counters = limits.counters

    def _counter(self, limit: Limit, before: Counter | None) -> Counter:
        inflight: dict[Key, int] = {}
        if before is not None and before.limit.by == limit.by:
            inflight = before.inflight
        return Counter(limit, _stated, _buckets, inflight)


class Limits:
    """The limits of one configuration, by route."""

    def __init__(self, counters: Mapping[str, Counter], monotonic: Callable[[], float]) -> None:
        self.counters = counters
        self._monotonic = monotonic
        self._made: dict[tuple[str, tuple[str, ...]], RouteLimits] = {}

    def __call__(self, route: Route, rule: Rule) -> RouteLimits | None:
        """Return what requests of *route* by *rule* count against; None when there is nothing."""
        names = rule.limits
        if not names:
            return None
        made = self._made.get((route.name, names))
        if made is None:
            counters = [self.counters[name] for name in names]
            made = self._made[route.name, names] = RouteLimits(route.name, counters, self._monotonic)
        return made


def _buckets(allowed: Allowance) -> Buckets | None:
    if allowed.rate is None:
        return None
    return Buckets(allowed.rate.requests / allowed.rate.seconds, allowed.burst)


def _stated(owner: Owner, path: Path) -> object:
    assert isinstance(owner, Identity)  # the gate has no other
    return stated(owner, path)
