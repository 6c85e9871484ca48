"""The section `limits`: how many requests somebody may make, and how many at once."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, ConfigDict, PlainSerializer, PlainValidator

from gateway.config.faults import Wrong, meant
from gateway.config.model import Model, distinct, short_form
from gateway.config.names import passed_header
from gateway.config.values import ClaimPath, Count, CountOrNone, Flag, Text, kind_of, schema_of, text
from gateway.limits.limit import Allowance, By, Kind, Limit, Rate
from gateway.paths import steps

_RATE = re.compile(r"([0-9]{1,9})/([0-9]{0,5})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_MOST = 1_000_000
_SHOWN = "60/m"
RATE_NONE_PATTERN = r"^(none|[0-9]+/[0-9]*[smhd]|.*\$\{.*)$"


def _rate(value: object) -> Rate:
    if isinstance(value, int) and not isinstance(value, bool):
        raise Wrong("a rate needs its time", f"write {value}/s, {value}/m or {value}/h")
    if not isinstance(value, str) or (found := _RATE.fullmatch(value)) is None:
        raise Wrong(f"a rate is needed, not {kind_of(value)}", "write it like 10/s, 60/m, 1000/h, 5000/d or 100/10s")
    rate = Rate(int(found[1]), int(found[2] or 1) * _SECONDS[found[3]])
    if not rate.requests or not rate.seconds:
        raise Wrong("nothing could ever pass", "write a count and a time of at least 1")
    if rate.requests > _MOST:
        raise Wrong(f"at most {_MOST} are possible", "write it for a shorter time")
    return rate


def _rate_or_none(value: object) -> Rate | None:
    return None if value is None or value == "none" else _rate(value)


def _by(value: object) -> By:
    written = text(value)
    kind, _, name = written.partition(".")
    if written in ("address", "route"):
        return By(Kind(written))
    if kind == "claim" and name:
        try:
            steps(name)
        except ValueError as error:
            raise Wrong(f'"{name}" names no claim', "write it like claim.sub or claim.org.id") from error
        return By(Kind.CLAIM, name)
    if kind == "header" and name:
        return By(Kind.HEADER, passed_header(name).lower())
    if written in ("ip", "client_ip", "client", "remote_addr", "addr"):
        raise Wrong(f'"{written}" is nothing to count by', "write address")
    if written in ("sub", "user", "tenant"):
        raise Wrong(f'"{written}" is nothing to count by', f"write claim.{'sub' if written == 'user' else written}")
    hint = meant(written, ("address", "route", "claim.sub")) or "write address, route, claim.NAME or header.NAME"
    raise Wrong(f'"{written}" is nothing to count by', hint)


RateOrNone = Annotated[
    Rate | None,
    PlainValidator(_rate_or_none),
    PlainSerializer(lambda rate: None if rate is None else str(rate), when_used="json"),
    schema_of("A rate or none", _SHOWN, RATE_NONE_PATTERN),
]
ByText = Annotated[
    By,
    PlainValidator(_by),
    PlainSerializer(str, return_type=str, when_used="json"),
    schema_of("Whose requests are counted together: address, route, claim.NAME or header.NAME", "claim.sub"),
]


def _names(value: object) -> object:
    if value == "none":
        return ()
    return [value] if isinstance(value, str) else value


LimitNames = Annotated[
    tuple[Text, ...], AfterValidator(distinct), BeforeValidator(_names, json_schema_input_type=str | list[str])
]
"""A name, a list of names, or none."""


class PlanConfig(Model):
    """What is other than usual for one plan."""

    rate: RateOrNone = None
    """none: as many as they like."""
    burst: Count | None = None
    max_inflight: CountOrNone = None


Plan = Annotated[PlanConfig, short_form(PlanConfig, "rate")]


class PlansConfig(Model):
    """The claim that names somebody's plan, and what the plans are."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Plan]

    claim: ClaimPath

    @property
    def named(self) -> Mapping[str, PlanConfig]:
        return self.__pydantic_extra__ or {}


class LimitConfig(Model):
    """One limit, for routes to name."""

    by: ByText
    rate: RateOrNone = None
    """60/m, 10/s, 1000/h, 5000/d or 100/10s."""
    burst: Count | None = None
    """How many at once after a pause; absent: as many as the rate says."""
    max_inflight: CountOrNone = None
    """How many under way at once, in this gateway."""
    headers: Flag = False
    """Tell what is left with every answer (RateLimit), not with the refusal alone."""
    plans: PlansConfig | None = None
    """Other numbers by the value of a claim: {claim: plan, free: 60/m, pro: {rate: 600/m, burst: 100}}."""


def limit_name(value: str) -> str:
    """Return *value* when log, metrics and the RateLimit header can hold it."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", value) is None:
        raise Wrong(f'"{value}" is no name for a limit: letters, digits, "-", "_" and "."')
    if value in ("failed_tokens", "none"):
        whose = (
            "says that there is no limit" if value == "none" else "is the gateway's own: server.limits.failed_tokens"
        )
        raise Wrong(f'"{value}" {whose}', "choose another name")
    return value


def limits_of(written: Mapping[str, LimitConfig]) -> dict[str, Limit]:
    """Return the limits that are *written*, by name."""
    return {name: _limit(name, config) for name, config in written.items()}


def _limit(name: str, written: LimitConfig) -> Limit:
    plans = {} if written.plans is None else written.plans.named
    return Limit(
        name=name,
        by=written.by,
        allowed=_allowance([written]),
        plan=() if written.plans is None else steps(written.plans.claim),
        plans={plan: _allowance([one, written]) for plan, one in plans.items()},
        headers=written.headers,
    )


def _allowance(levels: Sequence[LimitConfig | PlanConfig]) -> Allowance:
    """Return what the first of *levels* says; what it leaves out is as in the last."""
    rate = next((level.rate for level in levels if "rate" in level.model_fields_set), None)
    burst = next((level.burst for level in levels if level.burst is not None), None)
    inflight = next((level.max_inflight for level in levels if "max_inflight" in level.model_fields_set), None)
    return Allowance(rate, burst or (1 if rate is None else min(rate.requests, _MOST)), inflight)
