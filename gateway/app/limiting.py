"""The limits of a configuration at work; what is counted outlives every configuration that says the same."""

from collections.abc import Callable, Mapping

from gateway.app.sight import Sight
from gateway.config.limits import limits_of
from gateway.config.models import Config
from gateway.limits.buckets import Buckets
from gateway.limits.counter import Counter, Key, Owner
from gateway.limits.limit import Allowance, Limit
from gateway.limits.routes import RouteLimits
from gateway.limits.shared import SharedBuckets, Sharing, Tell
from gateway.paths import Path
from gateway.routing.conditions import stated
from gateway.routing.table import Route, Rule
from gateway.tokens.verify import Identity


class Limiting:
    """Every limit's counter. One whose numbers stay as they were goes on counting; a changed one begins anew.

    Only what is under way is taken over in any case where it is counted by the same, since it goes on.
    """

    def __init__(self, monotonic: Callable[[], float], sight: Sight, tell: Tell | None) -> None:
        """*tell* other gateways what is taken; None where there are no others."""
        self._monotonic = monotonic
        self._events = sight.events
        self._report = sight.report
        self._counters: Mapping[str, Counter] = {}
        self._sharing = None if tell is None else Sharing(tell, monotonic, on_change=self._changed)
        sight.gauge("gateway_limit_keys", "Buckets of limits held in memory.", self._keys)
        shared = "1 while gateways tell each other what counts against limits."
        sight.gauge("gateway_limits_shared", shared, lambda: self._sharing is not None and self._sharing.is_shared)

    def of(self, config: Config) -> "Limits":
        """Return the limits of *config*, which are in force from `adopt` on."""
        made = {}
        for name, limit in limits_of(config.limits).items():
            before = self._counters.get(name)
            if before is None or before.limit != limit:
                made[name] = self._counter(limit, before)
            else:
                made[name] = before if before.limit.headers == limit.headers else before.told_by(limit)
        return Limits(made, self._monotonic)

    def adopt(self, limits: "Limits") -> None:
        """Go on with *limits*."""
        self._counters = limits.counters
        if self._sharing is not None:
            self._sharing.adopt(one for one in self._buckets() if isinstance(one, SharedBuckets))

    async def run(self) -> None:
        """Share with other gateways until cancelled; returns where there are none."""
        while self._sharing is not None:
            try:
                await self._sharing.run()
            except Exception as error:  # a bug must not end the sharing for good; it begins with a pause
                self._report("limits", error)

    def _counter(self, limit: Limit, before: Counter | None) -> Counter:
        def make(allowed: Allowance, plan: str) -> Buckets | None:
            if allowed.rate is None:
                return None
            rate = allowed.rate.requests / allowed.rate.seconds
            if self._sharing is None:
                return Buckets(rate, allowed.burst)
            return SharedBuckets("\n".join((limit.name, str(limit.by), plan, str(allowed.rate))), rate, allowed.burst)

        inflight: dict[Key, int] = {}
        if before is not None and before.limit.by == limit.by:
            inflight = before.inflight
        return Counter(limit, _stated, make, inflight)

    def _buckets(self) -> list[Buckets]:
        return [buckets for counter in self._counters.values() for buckets in counter.all_buckets()]

    def _keys(self) -> int:
        return sum(map(len, self._buckets()))

    def _changed(self, shared: bool) -> None:
        if shared:
            self._events.info("limits_shared")
        else:
            self._events.warning("limits_alone", {"reason": "the store does not answer"})


class Limits:
    """The limits of one configuration, by route."""

    def __init__(self, counters: Mapping[str, Counter], monotonic: Callable[[], float]) -> None:
        self.counters = counters
        self._monotonic = monotonic
        self._made: dict[tuple[str, tuple[str, ...]], RouteLimits] = {}
        """By the route and the names of its limits."""

    def __call__(self, route: Route, rule: Rule) -> RouteLimits | None:
        """Return what requests of *route* by *rule* count against; None when there is nothing."""
        names = rule.limits
        if not names:
            return None
        # Not its name, which others of its path share, and people choose; and not its line, which an edit moves.
        own = f"{route.matches}\n{route.allow}"
        made = self._made.get((own, names))
        if made is None:
            counters = [self.counters[name] for name in names]
            made = self._made[own, names] = RouteLimits(own, counters, self._monotonic)
        return made


def _stated(owner: Owner, path: Path) -> object:
    assert isinstance(owner, Identity)  # the gate has no other
    return stated(owner, path)
