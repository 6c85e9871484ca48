"""Which targets are fit to be asked: state only, told about probes and requests, and time is given.

Two independent judgements, and a target gets requests when neither is against it:

    probes     `fall` bad ones in a row make a target down, `rise` good ones bring it back. Until its first good probe a
               target has not proven anything: then one probe decides, either way.
    requests   `failures` failed ones in a row eject a target for `time`, then one trial request at a time decides.
               Each ejection that follows closely on the last is longer by `time`, up to ten times as long; every
               `time` spent fit forgives one.

    FIT ──failures──► EJECTED ──time over, or `rise` good probes──► (trial due) ──a request──► TRIAL ──success──► FIT
                         ▲                                                                       └──failure──► EJECTED

`max_percent` bounds how many targets may be out, counting those that probes hold down: rounded down, but one if it is
above 0, and none if it is 0. So the last fit target of several is not ejected unless the share is 100, and the only
target of an upstream is ejected like any other, which is a circuit breaker: while it is out, requests fail at once with
`no_healthy_target`. Its ejections do not grow, because nobody else could serve meanwhile. When probes take down so many
that the share is exceeded, those that were merely ejected get their trial at once.

The price for a healthy target is one test of `suspect` when it is chosen and one when its answer is whole; `is_fit`,
`begin` and `end` need calling only when that is True, and `end` when a request has failed.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from gateway.errors import Refusal

LONGEST = 10
"""An ejection lasts at most so many times its `time`."""


class Outcome(Enum):
    """What the end of a request says about the target it was sent to."""

    SUCCESS = "success"
    FAILURE = "failure"
    NOTHING = "nothing"
    """The client left, its body was too large, or we are to blame."""


class Change(Enum):
    """What has become of a target."""

    DOWN = "down"
    UP = "up"
    EJECTED = "ejected"
    READMITTED = "readmitted"


class State(Enum):
    """What requests have shown of a target."""

    FIT = "fit"
    EJECTED = "ejected"
    TRIAL = "trial"
    """One request is out to decide."""


FAILING = frozenset((502, 503, 504))
"""Statuses by which a service says that it cannot serve; any other one, 500 included, is an answer."""

# Reasons of `Exchange.fail` and `Exchange.broken` for which the target is to blame. A total deadline counts while no
# byte of an answer has come; later it may as well be a large answer and a slow reader.
_BEFORE = frozenset(
    {"connect_refused", "connect_timeout", "first_byte", "total", "closed", "reset", "head", "informational"}
    | {"unasked_101"}
)
_AFTER = frozenset({"idle", "reset", "closed", "body"})


def outcome_of_status(status: int) -> Outcome:
    """Return what a whole answer with *status* says."""
    return Outcome.FAILURE if status in FAILING else Outcome.SUCCESS


def outcome_of_break(reason: str, *, begun: bool) -> Outcome:
    """Return what an upstream connection that broke for *reason* says; *begun* when the answer's head had come."""
    return Outcome.FAILURE if reason in (_AFTER if begun else _BEFORE) else Outcome.NOTHING


def outcome_of_refusal(refusal: Refusal, *, begun: bool) -> Outcome:
    """Return what a request says that ended with *refusal*: only refusals that name the upstream blame it."""
    blamed = refusal.code.name.startswith("upstream_")
    return outcome_of_break(refusal.reason, begun=begun) if blamed else Outcome.NOTHING


@dataclass(frozen=True, slots=True)
class Probing:
    """How many probes in a row change a target's state."""

    fall: int = 3
    rise: int = 2


@dataclass(frozen=True, slots=True)
class Ejection:
    """When requests that fail take a target out, and for how long."""

    failures: int = 5
    """In a row, with no more than `time` between two."""
    time: float = 30.0
    max_percent: int = 50


class TargetHealth:
    """What is known about one target. Times are seconds of any clock that does not go back."""

    __slots__ = (
        "_back_at",
        "_bad",
        "_circle",
        "_down",
        "_failed_at",
        "_failures",
        "_good",
        "_proven",
        "_repeats",
        "_state",
        "_trial",
        "due",
        "name",
        "suspect",
    )

    def __init__(self, name: str, circle: "UpstreamHealth") -> None:
        self.name = name
        self.suspect = False
        """There is something to consult or to clear: call `is_fit`, `begin` and `end`."""
        self.due = 0.0
        """When the next trial may begin; means nothing while the target is fit."""
        self._circle = circle
        self._down = self._proven = False
        self._good = self._bad = 0
        """Probes in a row."""
        self._state = State.FIT
        self._trial: object = None
        """Whose request is the trial."""
        self._failures = self._repeats = 0
        self._failed_at = self._back_at = 0.0

    @property
    def is_out(self) -> bool:
        """Down or ejected, a trial included."""
        return self._down or self._state is not State.FIT

    @property
    def is_down(self) -> bool:
        """Probes hold it down."""
        return self._down

    @property
    def state(self) -> State:
        """What requests have shown."""
        return self._state

    # --- requests ---

    def is_fit(self, now: float) -> bool:
        """Whether the target may be sent a request."""
        # In TRIAL, `due` is when a trial that nobody has reported the end of is given up.
        return not self._down and (self._state is State.FIT or now >= self.due)

    def begin(self, who: object, now: float) -> None:
        """Send the request of *who*; it becomes the trial if one is due."""
        ejection = self._circle.ejection
        if self._state is not State.FIT and ejection is not None:
            self._state = State.TRIAL
            self._trial = who
            self.due = now + ejection.time

    def end(self, who: object, outcome: Outcome, now: float) -> None:
        """The request of *who* is over. While the target is out, only its trial's outcome counts."""
        if self._circle.ejection is None or (self._state is not State.FIT and who is not self._trial):
            return
        step = _STEPS.get((self._state, outcome))
        if step is not None:
            step(self, now, self._circle.ejection)

    def _count(self, now: float, ejection: Ejection) -> None:
        if now - self._failed_at > ejection.time:
            self._failures = 0  # too long ago to be the same trouble
        self._failures += 1
        self._failed_at = now
        self._settle()
        if self._failures >= ejection.failures and not self._down and self._circle.may_eject():
            forgiven = int((now - self._back_at) / ejection.time)
            self._repeats = max(0, self._repeats - forgiven)
            self._eject(now, ejection)

    def _clear(self, now: float, ejection: Ejection) -> None:
        self._failures = 0
        self._settle()

    def _eject(self, now: float, ejection: Ejection) -> None:
        self._repeats = min(self._repeats + 1, LONGEST)
        reason = "failures" if self._trial is None else "trial"
        self._state = State.EJECTED
        self._trial = None
        self._failures = self._good = 0
        self.due = now + ejection.time * (1 if self._circle.is_alone else self._repeats)
        self._settle()
        self._circle.on_change(self.name, Change.EJECTED, reason)

    def _readmit(self, now: float, ejection: Ejection) -> None:
        self._state = State.FIT
        self._trial = None
        self._back_at = now
        self._settle()
        self._circle.on_change(self.name, Change.READMITTED, "trial")

    def _try_again(self, now: float, ejection: Ejection) -> None:
        self._state = State.EJECTED
        self._trial = None
        self.due = now

    # --- probes ---

    def probed(self, healthy: bool, reason: str, now: float) -> None:
        """A probe has ended; *reason* is for the log."""
        probing = self._circle.probing
        self._good, self._bad = (self._good + 1, 0) if healthy else (0, self._bad + 1)
        in_a_row, needed = (self._good, probing.rise) if self._down else (self._bad, probing.fall)
        if in_a_row >= (needed if self._proven else 1):
            self._turn(reason, now)
        self._proven = self._proven or healthy
        if self._good >= probing.rise:
            self.hasten(now)

    def _turn(self, reason: str, now: float) -> None:
        """Go down, or come up with a clean slate."""
        self._down = not self._down
        self._failures = 0
        self._settle()
        self._circle.on_change(self.name, Change.DOWN if self._down else Change.UP, reason)
        if self._down:
            self._circle.relieve(now)

    def hasten(self, now: float) -> None:
        """Let an ejected target's trial be due at once."""
        if self._state is State.EJECTED:
            self.due = min(self.due, now)

    def _settle(self) -> None:
        self.suspect = self._failures > 0 or self.is_out


_STEPS: Mapping[tuple[State, Outcome], Callable[[TargetHealth, float, Ejection], None]] = {
    (State.FIT, Outcome.FAILURE): TargetHealth._count,
    (State.FIT, Outcome.SUCCESS): TargetHealth._clear,
    (State.TRIAL, Outcome.FAILURE): TargetHealth._eject,
    (State.TRIAL, Outcome.SUCCESS): TargetHealth._readmit,
    (State.TRIAL, Outcome.NOTHING): TargetHealth._try_again,
}


class UpstreamHealth:
    """The targets of one upstream, and how many of them may be out at once."""

    def __init__(
        self,
        names: Sequence[str],
        *,
        ejection: Ejection | None = None,
        probing: Probing | None = None,
        on_change: Callable[[str, Change, str], None] = lambda _name, _change, _reason: None,
    ) -> None:
        """Watch the targets *names*; without *ejection* failed requests change nothing.

        *on_change* is told the name of a target, what has become of it, and why in one word.
        """
        self.ejection = ejection
        self.probing = probing or Probing()
        self.on_change = on_change
        self.is_alone = len(names) == 1
        percent = 0 if ejection is None else ejection.max_percent
        self._share = max(1, len(names) * percent // 100) if percent else 0
        self.targets = tuple(TargetHealth(name, self) for name in names)

    @property
    def out(self) -> int:
        """How many targets are down or ejected."""
        return sum(target.is_out for target in self.targets)

    def may_eject(self) -> bool:
        """Whether one more target may go."""
        return self.out < self._share

    def relieve(self, now: float) -> None:
        """Probes have taken a target down: if too many are out, let the ejected ones be tried."""
        if self.out > self._share:
            for target in self.targets:
                target.hasten(now)

    def retry_after(self, now: float) -> int:
        """Return in how many whole seconds the next trial may begin, at least 1: for `Retry-After`."""
        due = [target.due for target in self.targets if target.is_out and not target.is_down]
        return max(1, math.ceil(min(due, default=now) - now))
