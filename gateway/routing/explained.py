"""Why a rule lets a request pass or does not: every condition with where it is written, what it wants and what it got.

Pure, and made of the very conditions that the gate asks, so that it cannot disagree with them.
"""

from typing import NamedTuple

from gateway.errors import CODES, Refusal, refuse
from gateway.routing.conditions import Addresses, Asked, Caller, Condition
from gateway.routing.rules import Access, Rule, wanted


class Step(NamedTuple):
    """One condition, and what came of it."""

    key: str
    """As in the file: `roles`, `where`."""
    place: str
    """Where it is written: ``gateway.yaml:31``; "" for what is not written anywhere."""
    wanted: str
    got: str
    met: bool
    code: str
    """The refusal's code were this the only condition that is not met."""


class Decision(NamedTuple):
    """The verdict of one rule about one request, and the way to it."""

    refusal: Refusal | None
    """None when the request passes."""
    steps: tuple[Step, ...]
    """Every condition of the rule, in the order in which they are asked; the first that is not met decides."""
    shadow: "Decision | None" = None
    """The verdict of the candidate rule, where there is one and it was asked."""

    @property
    def allowed(self) -> bool:
        return self.refusal is None

    @property
    def code(self) -> str:
        """The refusal's code; "" when the request passes."""
        return "" if self.refusal is None else self.refusal.code.name


def evaluate(rule: Rule, who: Caller | None, asked: Asked) -> Decision:
    """Return what *rule* says of *asked* by *who*; None is a request without a token.

    A token that is no good never comes to a rule: whoever verifies it says why. Nor is the check against cross-site
    forgery a part of it, which only cookies need.
    """
    steps: list[Step] = []
    refusal: Refusal | None = None
    if rule.addresses is not None:
        steps.append(_address_step(rule.addresses, asked))
        if not steps[-1].met:
            refusal = refuse(rule.addresses.code, rule.addresses.wanted)
    if rule.access is Access.PUBLIC:
        return Decision(refusal, tuple(steps))
    place = rule.places.get("auth", "")
    got = "no token" if who is None else f"a valid token of {who.subject}"
    passes = who is not None or rule.access is Access.OPTIONAL
    steps.append(Step("auth", place, _TOKEN[rule.access], got, passes, "token_missing"))
    if who is None:
        return Decision(refusal if passes or refusal else refuse("token_missing"), tuple(steps))
    for condition in rule.conditions:
        steps.append(_step(condition, who, asked))
        if refusal is None and not steps[-1].met:
            refusal = condition.refusal(who, asked, wanted(rule))
    shadow = None if rule.shadow is None or refusal is not None else evaluate(rule.shadow, who, asked)
    return Decision(refusal, tuple(steps), shadow)


_TOKEN = {Access.REQUIRED: "a valid token", Access.OPTIONAL: "a valid token or none"}


def _step(condition: Condition, who: Caller, asked: Asked) -> Step:
    met = condition.met(who, asked)
    code = condition.code if met else condition.refusal(who, asked, "").code.name
    assert code in CODES
    return Step(condition.key, condition.place, condition.wanted, condition.got(who, asked), met, code)


def _address_step(condition: Addresses, asked: Asked) -> Step:
    met = condition.has(asked.address)
    return Step(condition.key, condition.place, condition.wanted, asked.address or "no address", met, condition.code)
