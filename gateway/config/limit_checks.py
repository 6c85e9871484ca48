"""What is wrong with limits beyond single values: unknown names, plans nobody can have, claims nobody looks at."""

from collections.abc import Iterator

from gateway.config.document import Loc
from gateway.config.draft import Draft
from gateway.config.faults import meant
from gateway.config.findings import Finding
from gateway.config.limits import LimitConfig
from gateway.config.models import IDENTITY_HEADERS
from gateway.config.rule_checks import places
from gateway.config.rules import opened_at
from gateway.limits.limit import Kind


def limit_findings(draft: Draft) -> Iterator[Finding]:
    """Yield what is wrong with limits, and with where they are named."""
    for name, limit in draft.config.limits.items():
        yield from _of_plans(("limits", name), limit)
        if draft.is_whole("limits", name):
            yield from _of_rate(("limits", name), limit)
    yield from _named(draft)
    yield from _headers(draft)


def _of_rate(loc: Loc, limit: LimitConfig) -> Iterator[Finding]:
    """Yield what is wrong with a limit for the rate that it does not have."""
    plans = {} if limit.plans is None else limit.plans.named
    if limit.rate is None and limit.max_inflight is None:
        yield Finding(loc, "this limits nothing", "write a rate like 60/m, or max_inflight", True)
    if limit.rate is None and (plan := next((name for name, one in plans.items() if one.rate is not None), None)):
        reason = f'the plan "{plan}" has a rate, and whoever has no plan has none'
        yield Finding((*loc, "plans", plan), reason, "write the limit's own rate, for everybody else", True)
    if limit.rate is None and limit.burst is not None:
        yield Finding((*loc, "burst"), "a burst without a rate does nothing", "write a rate, or remove it", True)


def _of_plans(loc: Loc, limit: LimitConfig) -> Iterator[Finding]:
    if limit.plans is not None and limit.by.kind is not Kind.CLAIM:
        reason = f"by {limit.by} no token is looked at, so nobody has a plan"
        yield Finding((*loc, "plans"), reason, "write by: claim.sub, or remove the plans", True)
    if limit.plans is not None and not limit.plans.named:
        yield Finding((*loc, "plans"), "there is no plan here", "write one like free: 60/m", True)


def _named(draft: Draft) -> Iterator[Finding]:
    known, limits = draft.names("limits"), draft.config.limits
    for loc, levels in places(draft):
        for at, name in enumerate(levels[0].limit):
            here: Loc = (*loc, "limit", at)
            here = here if here in draft.document.places else (*loc, "limit")
            if name not in known:
                there_is = f"there is {', '.join(known)}" if known else f"add {name}: to limits:"
                yield Finding(here, f'no limit is called "{name}"', meant(name, known) or there_is)
            elif loc != ("defaults",) and draft.sound("defaults") and draft.is_whole(*loc):
                by = limits[name].by if name in limits else None
                if by is not None and by.kind is Kind.CLAIM and levels[opened_at(levels)].auth == "public":
                    reason = f'"{name}" counts by {by}, and auth: public looks at no token'
                    yield Finding(here, reason, "name a limit by address, or write auth: optional")


def _headers(draft: Draft) -> Iterator[Finding]:
    """An identity header comes from the gateway, so no client's copy of it is ever seen."""
    if not draft.sound("identity_headers"):
        return
    named = {**IDENTITY_HEADERS, **draft.config.identity_headers}
    own = {name.lower(): claim for name, claim in named.items()}
    for name, limit in draft.config.limits.items():
        if limit.by.kind is Kind.HEADER and (claim := own.get(limit.by.name)) is not None:
            reason = f"{limit.by.name} is an identity header, which clients cannot send"
            yield Finding(("limits", name, "by"), reason, f"write claim.{claim}")
