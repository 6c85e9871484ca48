"""Callers for tests of rules, and what becomes of what they ask."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.routing.conditions import Asked, Condition
from gateway.routing.rules import NOTHING_ASKED, Rule, judge


def some(*names: str) -> frozenset[str]:
    return frozenset(names)


@dataclass(frozen=True)
class Who:
    """A caller as a token would say."""

    roles: frozenset[str] = frozenset()
    permissions: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    claims: Mapping[str, object] = field(default_factory=dict)
    auth_time: int = 0
    is_program: bool = False
    audience: frozenset[str] = frozenset({"api"})
    subject: str = "u-1"
    issuer: str = "https://gw.test"
    client: str = "gateway"
    tenant: str | None = None


def caller(
    roles: frozenset[str] = frozenset(), permissions: frozenset[str] = frozenset(), scopes: frozenset[str] = frozenset()
) -> Who:
    return Who(roles, permissions, scopes)


def verdict(rule: Rule, who: Who, asked: Asked = NOTHING_ASKED) -> str | None:
    """Return the code of the refusal; None when *who* passes."""
    unmet = judge(rule, who, asked)
    return None if unmet is None else unmet.refusal(who, asked, "").code.name


def met(condition: Condition, who: Who, asked: Asked = NOTHING_ASKED) -> bool:
    return condition.met(who, asked)
