"""Where the gate asks about limits: once for each request, and never before it is that request's turn."""

from dataclasses import replace

from gateway.errors import Refusal, refuse
from gateway.gate import Counted, Pending, Permit
from gateway.head import RequestHead
from gateway.routing.table import Route, RouteOptions, Rule, WebSocketOptions
from gateway.tokens.cache import Verified
from tests.proxy.harness import PUBLIC, USER, route
from tests.test_gate import Door, bearer, head


class Limits:
    """Limits that write down when they are asked."""

    def __init__(self, *, holds: bool = False) -> None:
        self.asked: list[str] = []
        self._holds = holds
        self.lines = b""
        self.refusal: Refusal | None = None
        self.later: Refusal | None = None

    def before(self, _head: RequestHead) -> Refusal | None:
        self.asked.append("before")
        return self.refusal

    def admit(self, _head: RequestHead, token: Verified | None) -> Refusal | Counted | None:
        self.asked.append("anybody" if token is None else token.identity.subject)
        return self.later or (self if self._holds else None)

    def release(self) -> None:
        self.asked.append("release")


LIMITED = replace(USER, limits=("some",))


def door(limits: Limits) -> Door:
    def of(_route: Route, rule: Rule) -> Limits | None:
        return limits if rule.limits else None

    more = [
        route(20, "/limited/**", LIMITED),
        route(21, "/open-limited/**", replace(PUBLIC, limits=("some",))),
        route(22, "/strict-limited/**", replace(LIMITED, strict=True)),
        route(23, "/ws-limited/**", LIMITED, RouteOptions(websocket=WebSocketOptions())),
    ]
    return Door(more=more, limits=of)


def over(reason: str) -> Refusal:
    return refuse("rate_limited", reason, retry_after=3)


def test_a_route_without_limits_asks_none() -> None:
    limits = Limits()
    door(limits).permit("/api/x", bearer("good"))
    assert limits.asked == []


def test_a_request_is_counted_before_its_token_is_looked_at_and_when_all_is_well() -> None:
    limits = Limits()
    gate = door(limits)
    assert gate.permit("/limited/x", bearer("good")).counted is None
    gate.permit("/open-limited/x")
    assert limits.asked == ["before", "alice", "before", "anybody"]


def test_what_is_over_an_early_limit_costs_no_cryptography() -> None:
    limits = Limits()
    limits.refusal = over("ip")
    gate = door(limits)
    refusal = gate.refusal("/limited/x", bearer("good"))
    assert (refusal.code.name, refusal.reason, refusal.route, refusal.retry_after) == (
        "rate_limited",
        "ip",
        "limited",
        3,
    )
    assert gate.tokens.asked == []
    assert gate.code("/limited/x", "Authorization: Bearer a b") == "rate_limited"


def test_what_may_not_be_done_is_not_counted_as_somebody_s() -> None:
    limits = Limits()
    gate = door(limits)
    assert gate.code("/limited/x", bearer("nobody")) == "role_missing"
    assert gate.code("/limited/x", bearer("expired")) == "token_expired"
    assert gate.code("/limited/x") == "token_missing"
    assert limits.asked == ["before"] * 3


def test_a_late_refusal_says_whose_it_is() -> None:
    limits = Limits(holds=True)
    limits.later = over("user")
    refusal = door(limits).refusal("/limited/x", bearer("good"))
    assert (refusal.reason, refusal.route, refusal.subject) == ("user", "limited", "alice")


def test_who_has_waited_is_counted_once() -> None:
    limits = Limits()
    gate = door(limits)
    gate.feed.fresh = False
    assert isinstance(gate.admit("/strict-limited/x", bearer("good")), Pending)
    assert isinstance(gate.admit("/strict-limited/x", bearer("good"), waited=True, confirmed=True), Permit)
    assert limits.asked == ["before", "alice"]


def test_who_is_asked_about_again_is_not_counted_again() -> None:
    limits = Limits(holds=True)
    gate = door(limits)
    assert gate.permit("/limited/x", bearer("good")).counted is limits
    again = gate.gate.admit(head("/limited/x", bearer("good")), waited=True, confirmed=True, counted=True)
    assert isinstance(again, Permit)
    assert again.counted is None
    assert limits.asked == ["before", "alice"]


def test_what_is_left_rides_on_the_answer() -> None:
    limits = Limits(holds=True)
    limits.lines = b"RateLimit: x\r\n"
    assert door(limits).permit("/limited/x", bearer("good")).lines == b"RateLimit: x\r\n"
