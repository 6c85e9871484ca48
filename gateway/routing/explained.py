"""Why a rule lets a request pass or does not: every condition with where it is written, what it wants and what it got.

Pure, and made of the very conditions that the gate asks, so that it cannot disagree with them. Texts are fit for logs
and terminals: bounded, printable, and without anything that looks like a token.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from gateway.errors import CODES, Refusal, refuse
from gateway.routing.conditions import Addresses, AnyOf, Asked, Caller, Condition
from gateway.routing.route import Route
from gateway.routing.rules import Access, Rule, wanted
from gateway.telemetry.masking import without_tokens

LONGEST_WANTED = 500
"""Characters of what a rule wants; who wrote the rule decides how many there are."""
LONGEST_GOT = 120
"""Characters of what a caller or a request brought along."""
LONGEST_IN_HEADER = 60


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
    alternatives: tuple[tuple["Step", ...], ...] = ()
    """Of `any_of`: the conditions of each."""

    def members(self) -> dict[str, object]:
        """Return this for programs."""
        said: dict[str, object] = {"key": self.key, "met": self.met, "wanted": self.wanted, "got": self.got}
        if self.place:
            said["place"] = self.place
        if not self.met:
            said["code"] = self.code
        if self.alternatives:
            said["alternatives"] = [[step.members() for step in steps] for steps in self.alternatives]
        return said


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

    @property
    def deciding(self) -> Step | None:
        """The first condition in the way."""
        return next((step for step in self.steps if not step.met), None)


class Explanation(NamedTuple):
    """What the gate said to one request, and why. The conditions are looked at when somebody asks for them."""

    route: Route | None
    """None when no route was found."""
    rule: Rule | None
    """None when the request did not come to a rule."""
    who: Caller | Refusal | None
    """None without a token; the refusal of a token that does not count."""
    asked: Asked
    refusal: Refusal | None
    """What the gate said; None for yes."""

    @property
    def decision(self) -> Decision:
        """Every condition with what came of it."""
        made = Decision(None, ()) if self.rule is None else evaluate(self.rule, self.who, self.asked)
        if self.refusal is None or made.code == self.refusal.code.name:
            return made._replace(refusal=self.refusal)
        code, (allows, got) = self.refusal.code, self.refusal.compared
        if allows:
            # One that is counted before the token is looked at leaves the rule unasked.
            limit = Step("limit", "", _fit(allows, LONGEST_WANTED), _fit(got, LONGEST_GOT), False, code.name)
            return Decision(self.refusal, (*(() if self.who is None else made.steps), limit))
        beside = Step("request", "", "", self.refusal.detail or code.detail, False, code.name)
        return Decision(self.refusal, (*made.steps, beside))

    def members(self) -> dict[str, object]:
        """Return this for programs: the one form in which it is printed and logged."""
        decision, refusal, route = self.decision, self.refusal, self.route
        params = {name: _fit(_text(value), LONGEST_GOT) for name, value in self.asked.params.items()}
        said: dict[str, object] = {
            "allowed": refusal is None,
            "code": decision.code,
            "reason": "" if refusal is None else _fit(refusal.reason, LONGEST_WANTED),
            "route": route
            and {"name": route.name, "place": route.place, "upstream": route.upstream, "parameters": params},
            "limits": [] if self.rule is None else list(self.rule.limits),
            "rules": [step.members() for step in decision.steps],
        }
        if (shadow := decision.shadow) is not None:
            said["shadow"] = {"code": shadow.code, "rules": [step.members() for step in shadow.steps]}
        return said

    def brief(self) -> str:
        """Return this in one line of ASCII, a structured field (RFC 9651): what decided, or the rules that were met."""
        decision, parts = self.decision, ["allowed" if self.refusal is None else "refused"]
        if self.refusal is not None:
            parts.append(f"code={decision.code}")
        if (step := decision.deciding) is not None:
            parts.append(f"rule={step.key}")
            told = (("at", step.place), ("wanted", step.wanted), ("got", step.got))
            parts += [f"{name}={_quoted(text)}" for name, text in told if text]
        elif decision.steps:
            parts.append(f"met={_quoted(' '.join(step.key for step in decision.steps))}")
        if decision.shadow is not None and not decision.shadow.allowed:
            parts.append(f"shadow={decision.shadow.code}")
        if self.route is not None:
            parts += [f"route={_quoted(self.route.name)}", f"written={_quoted(self.route.place)}"]
        return "; ".join(parts)


def evaluate(rule: Rule, who: Caller | Refusal | None, asked: Asked) -> Decision:
    """Return what *rule* says of *asked* by *who*; None is a request without a token.

    A Refusal is that of a token that does not count. The check against cross-site forgery is no part of a rule.
    """
    steps: list[Step] = []
    refusal: Refusal | None = None
    if rule.addresses is not None:
        steps.append(_address_step(rule.addresses, asked))
        if not steps[-1].met:
            refusal = refuse(rule.addresses.code, rule.addresses.wanted)
    if rule.access is Access.PUBLIC or (refusal is not None and who is None):
        return Decision(refusal, tuple(steps))  # nothing else is looked at
    steps.append(_token_step(rule, who))
    if who is None or isinstance(who, Refusal):
        bad = None if steps[-1].met else who or refuse("token_missing")
        return Decision(refusal or bad, tuple(steps))
    for condition in rule.conditions:
        steps.append(_step(condition, who, asked))
        if refusal is None and not steps[-1].met:
            refusal = condition.refusal(who, asked, wanted(rule))
    shadow = None if rule.shadow is None or refusal is not None else evaluate(rule.shadow, who, asked)
    return Decision(refusal, tuple(steps), shadow)


def written(steps: tuple[Step, ...], indent: str = "") -> Iterator[str]:
    """Yield *steps* for people, a line each."""
    width = max((len(step.key) for step in steps), default=0)
    for step in steps:
        compared = "; ".join(f"{verb} {text}" for verb, text in (("wants", step.wanted), ("got", step.got)) if text)
        if step.alternatives:
            compared = "wants one of these"
        place = f"  ({step.place})" if step.place else ""
        yield f"{indent}{'✓' if step.met else '✗'} {step.key:<{width}}  {compared}{place}"
        for at, alternative in enumerate(step.alternatives):
            yield f"{indent}    {'or' if at else 'either'}"
            yield from written(alternative, f"{indent}      ")


_TOKEN = {Access.REQUIRED: "a valid token", Access.OPTIONAL: "a valid token or none"}


def _token_step(rule: Rule, who: Caller | Refusal | None) -> Step:
    met, code = rule.access is Access.OPTIONAL, "token_missing"
    match who:
        case None:
            got = "no token"
        case Refusal():
            met, code, got = False, who.code.name, f"a token that does not count: {who.reason or who.code.name}"
        case _:
            met, got = True, f"a valid token of {who.subject}"
    return Step("auth", rule.places.get("auth", ""), _TOKEN[rule.access], _fit(got, LONGEST_GOT), met, code)


def _step(condition: Condition, who: Caller, asked: Asked) -> Step:
    met = condition.met(who, asked)
    code = condition.code if met else condition.refusal(who, asked, "").code.name
    assert code in CODES
    alternatives: tuple[tuple[Step, ...], ...] = ()
    if isinstance(condition, AnyOf):
        alternatives = tuple(tuple(_step(one, who, asked) for one in each) for each in condition.alternatives)
    return _made(condition, condition.got(who, asked), met, code)._replace(alternatives=alternatives)


def _address_step(condition: Addresses, asked: Asked) -> Step:
    return _made(condition, condition.got(None, asked), condition.has(asked.address), condition.code)


def _made(condition: Condition, got: str, met: bool, code: str) -> Step:
    wants = _fit(condition.wanted, LONGEST_WANTED)
    return Step(condition.key, condition.place, wants, _fit(got, LONGEST_GOT), met, code)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")


def _fit(text: str, longest: int) -> str:
    """Return *text* as a log and a terminal can take it."""
    shown = without_tokens(text[: 4 * longest])
    if not shown.isprintable():
        shown = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in shown)
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"


def _quoted(text: str) -> str:
    """Return *text* as a string of a structured field (RFC 9651 section 3.3.3)."""
    plain = text.replace("…", "...").encode("ascii", "backslashreplace").decode()
    if len(plain) > LONGEST_IN_HEADER:
        plain = f"{plain[: LONGEST_IN_HEADER - 3]}..."
    return '"' + re.sub(r'(["\\])', r"\\\1", plain) + '"'
