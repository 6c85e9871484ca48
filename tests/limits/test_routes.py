"""The limits of a route by themselves: whose requests count together, in which order, and what a refusal takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest

from gateway.errors import Refusal
from gateway.head import Fields, Peer, RequestHead
from gateway.limits.buckets import Buckets
from gateway.limits.counter import MAX_KEY, Counter, Key, Owner, Share
from gateway.limits.limit import Allowance, By, Kind, Limit, Rate
from gateway.limits.routes import Counted, RouteLimits

USER, ADDRESS, ROUTE = By(Kind.CLAIM, "sub"), By(Kind.ADDRESS), By(Kind.ROUTE)


@dataclass(frozen=True)
class Person:
    subject: str
    issuer: str
    claims: Mapping[str, object]


class Token:
    """A verified token."""

    def __init__(self, subject: str, claims: Mapping[str, object] | None = None, *, issuer: str = "gw.test") -> None:
        self.limits: dict[str, Share] | None = None
        self.identity = Person(subject, issuer, claims or {})


def stated(owner: Owner, path: tuple[str, ...]) -> object:
    assert isinstance(owner, Person)
    return owner.subject if path == ("sub",) else owner.claims.get(".".join(path))


class Desk:
    """One route's limits, with the time given by hand."""

    def __init__(self, *limits: Limit) -> None:
        self.now = 1000.0
        self.counters = [Counter(limit, stated, _buckets, {}) for limit in limits]
        self.limits = RouteLimits("orders", self.counters, lambda: self.now)
        self.under_way: list[Counted] = []
        """What has passed and is to be given back, the oldest first."""

    def before(self, head: RequestHead) -> Refusal | None:
        return None if self.limits.before is None else self.limits.before(head)

    def ask(self, token: Token | None = None, *, address: str = "192.0.2.1", **fields: str) -> str:
        """Return why a request is refused; "" when it passes."""
        head = request(address, fields)
        told: Refusal | Counted | None = self.before(head)
        if told is None and self.limits.admit is not None:
            told = self.limits.admit(head, token)
        if isinstance(told, Counted):
            self.under_way.append(told)
        return told.reason if isinstance(told, Refusal) else ""

    def passed(self, tries: int, token: Token | None = None, *, address: str = "192.0.2.1", **fields: str) -> int:
        return sum(not self.ask(token, address=address, **fields) for _ in range(tries))


def _buckets(allowed: Allowance, _plan: str) -> Buckets | None:
    return None if allowed.rate is None else Buckets(allowed.rate.requests / allowed.rate.seconds, allowed.burst)


def request(address: str = "192.0.2.1", fields: Mapping[str, str] | None = None) -> RequestHead:
    made = Fields()
    made.passed = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in (fields or {}).items()).encode()
    return RequestHead(b"GET", b"/", 1, made, Peer(address, secure=False))


def limit(
    name: str,
    by: By,
    burst: int = 2,
    *,
    inflight: int | None = None,
    plans: Mapping[str, Allowance] | None = None,
    headers: bool = False,
) -> Limit:
    """A limit of so many at once and one a second, or of so many under way."""
    allowed = Allowance(None, 1, inflight) if inflight is not None else Allowance(Rate(1, 1), burst)
    return Limit(name, by, allowed, ("plan",) if plans else (), plans or {}, headers)


# --- whose ---


def test_each_address_has_its_own_and_a_network_of_ipv6_one_together() -> None:
    desk = Desk(limit("ip", ADDRESS))
    assert desk.passed(5) == 2
    assert desk.passed(5, address="192.0.2.2") == 2
    assert desk.passed(5, address="2001:db8::1") == 2
    assert desk.passed(5, address="2001:db8::ffff:1") == 0
    assert desk.passed(5, address="2001:db8:0:1::1") == 2
    assert desk.passed(5, address="::ffff:192.0.2.1") == 0


def test_a_user_has_one_limit_whatever_the_token_and_the_address() -> None:
    desk = Desk(limit("user", USER))
    assert desk.passed(1, Token("ana")) == 1
    assert desk.passed(5, Token("ana"), address="192.0.2.2") == 1
    assert desk.passed(5, Token("bob")) == 2


def test_the_same_name_at_another_issuer_is_somebody_else() -> None:
    desk = Desk(limit("user", USER))
    assert desk.passed(5, Token("ana")) == 2
    assert desk.passed(5, Token("ana", issuer="other.test")) == 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("acme", "acme", id="text"),
        pytest.param(7, 7, id="a number"),
        pytest.param(["b", "a"], ["a", "b"], id="a list in any order"),
        pytest.param(True, True, id="a truth"),
        pytest.param("t" * 5000, "t" * 5000, id="a long text"),
    ],
)
def test_owners_of_the_same_claim_share(one: object, other: object) -> None:
    desk = Desk(limit("tenant", By(Kind.CLAIM, "tenant")))
    assert desk.passed(5, Token("ana", {"tenant": one})) == 2
    assert desk.passed(5, Token("bob", {"tenant": other})) == 0
    assert desk.passed(5, Token("eve", {"tenant": "else"})) == 2


@pytest.mark.parametrize("missing", [{}, {"tenant": ""}, {"tenant": None}, {"tenant": {}}, {"tenant": []}])
def test_a_token_without_the_claim_counts_as_its_owner(missing: Mapping[str, object]) -> None:
    desk = Desk(limit("tenant", By(Kind.CLAIM, "tenant")))
    assert desk.passed(5, Token("ana", missing)) == 2
    assert desk.passed(5, Token("bob", missing)) == 2
    assert desk.passed(5, Token("eve", {"tenant": "ana"})) == 2


def test_who_has_no_token_counts_as_an_address() -> None:
    desk = Desk(limit("user", USER))
    assert desk.passed(5) == 2
    assert desk.passed(5, address="192.0.2.2") == 2
    assert desk.passed(5, Token("192.0.2.1")) == 2


def test_a_header_counts_by_its_value_and_its_absence_by_the_address() -> None:
    desk = Desk(limit("key", By(Kind.HEADER, "x-key")))
    assert desk.passed(5, x_key="a") == 2
    assert desk.passed(5, x_key="b", address="192.0.2.2") == 2
    assert desk.passed(5) == 2
    assert desk.passed(5, x_key="192.0.2.1") == 2


def test_a_block_of_fields_that_comes_again_counts_by_its_header_and_else_by_who_sends_it() -> None:
    desk = Desk(limit("key", By(Kind.HEADER, "x-key")))

    def asked(fields: Fields, address: str) -> bool:
        head = RequestHead(b"GET", b"/", 1, fields, Peer(address, secure=False))
        return desk.before(head) is None and desk.limits.admit is not None and desk.limits.admit(head, None) is None

    with_key, without = request(fields={"x_key": "a"}).fields, request().fields
    addresses = [f"192.0.2.{number}" for number in range(4)]
    assert [asked(with_key, one) for one in addresses] == [True, True, False, False]
    assert [asked(without, one) for one in addresses] == [True] * 4


def test_what_was_read_of_fields_and_tokens_for_one_counter_is_not_believed_for_another() -> None:
    old, new = (Desk(limit("key", By(Kind.HEADER, "x-key")), limit("user", USER)) for _ in range(2))
    head, ana = request(fields={"x_key": "a"}), Token("ana")
    for desk in (old, new):
        admit = desk.limits.admit
        assert admit is not None
        assert [admit(head, ana) is None for _ in range(3)] == [True, True, False]


def test_a_route_counts_everybody_together() -> None:
    desk = Desk(limit("all", ROUTE, burst=3))
    assert desk.passed(2, Token("ana")) == 2
    assert desk.passed(5, address="192.0.2.2") == 1


def test_no_key_takes_more_room_than_a_digest() -> None:
    desk = Desk(limit("tenant", By(Kind.CLAIM, "tenant")), limit("key", By(Kind.HEADER, "x-key")))
    for number in range(3):
        desk.ask(Token("ana", {"tenant": f"{number}" * 8000}), x_key=f"{number}" * 8000)
    for counter in desk.counters:
        buckets = counter.share(request(), None, "orders").buckets
        assert buckets is not None
        assert max(len(key) for key in buckets.used) <= MAX_KEY


# --- plans ---


def test_a_plan_has_its_own_numbers_and_everybody_else_the_usual_ones() -> None:
    plans = {"pro": Allowance(Rate(1, 1), 5), "intern": Allowance()}
    desk = Desk(limit("user", USER, plans=plans))
    assert desk.passed(9, Token("ana", {"plan": "pro"})) == 5
    assert desk.passed(9, Token("bob", {"plan": "free"})) == 2
    assert desk.passed(9, Token("eve")) == 2
    assert desk.passed(99, Token("joe", {"plan": "intern"})) == 99


def test_who_changes_his_plan_begins_with_the_new_one() -> None:
    desk = Desk(limit("user", USER, plans={"pro": Allowance(Rate(1, 1), 5)}))
    assert desk.passed(9, Token("ana")) == 2
    assert desk.passed(9, Token("ana", {"plan": "pro"})) == 5


# --- order ---


def test_what_a_stranger_does_takes_nothing_from_a_route_or_a_header() -> None:
    """Else whoever has no token could use up what is for those who have one."""
    desk = Desk(limit("all", ROUTE), limit("key", By(Kind.HEADER, "x-key")))
    for _ in range(50):
        assert desk.before(request(fields={"x_key": "a"})) is None
    assert desk.passed(5, x_key="a") == 2


def test_who_is_over_his_own_limit_takes_nothing_from_the_route() -> None:
    desk = Desk(limit("all", ROUTE, burst=4), limit("user", USER))
    assert desk.passed(50, Token("ana")) == 2
    assert desk.passed(50, Token("bob")) == 2


def test_an_address_is_spent_before_anything_is_verified() -> None:
    desk = Desk(limit("user", USER, burst=9), limit("ip", ADDRESS))
    assert [desk.before(request()) is None for _ in range(3)] == [True, True, False]


def test_a_used_up_route_is_said_before_anything_is_verified() -> None:
    desk = Desk(limit("all", ROUTE))
    desk.passed(2)
    refusal = desk.before(request())
    assert refusal is not None
    assert refusal.reason == "all"


def test_the_refusal_says_when_to_come_back() -> None:
    desk = Desk(limit("ip", ADDRESS))
    desk.passed(2)
    desk.now += 0.25
    refusal = desk.before(request())
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.code.name, refusal.retry_after) == (429, "rate_limited", 1)
    desk.now += 0.75
    assert desk.ask() == ""


# --- under way ---


def test_only_so_many_are_under_way_at_once() -> None:
    desk = Desk(limit("user", USER, inflight=2))
    ana = Token("ana")
    assert desk.passed(5, ana) == 2
    assert desk.ask(ana) == "user in flight"
    assert desk.ask(Token("bob")) == ""
    desk.under_way[0].release()
    desk.under_way[0].release()
    assert desk.passed(5, ana) == 1


def test_what_is_refused_is_not_under_way() -> None:
    desk = Desk(limit("user", USER, inflight=3), limit("all", ROUTE, burst=2))
    ana = Token("ana")
    assert desk.passed(9, ana) == 2
    assert list(desk.counters[0].inflight.values()) == [2]


def test_an_address_with_too_many_under_way_is_refused_before_anything_is_verified() -> None:
    desk = Desk(limit("ip", ADDRESS, inflight=1))
    assert desk.ask() == ""
    refusal = desk.before(request())
    assert refusal is not None
    assert refusal.reason == "ip in flight"
    desk.under_way[0].release()
    assert desk.ask() == ""


def test_nothing_is_kept_of_who_has_nothing_under_way() -> None:
    desk = Desk(limit("ip", ADDRESS, inflight=1), limit("user", USER, inflight=2), limit("all", ROUTE, inflight=9))
    people: Sequence[Token | None] = [Token("ana"), Token("bob"), None]
    for number, who in enumerate(people):
        assert desk.ask(who, address=f"192.0.2.{number}") == ""
    for counted in desk.under_way:
        counted.release()
    kept: list[dict[Key, int]] = [counter.inflight for counter in desk.counters]
    assert kept == [{}, {}, {}]


def test_a_plan_without_a_bound_holds_nobody() -> None:
    desk = Desk(limit("user", USER, inflight=1, plans={"vip": Allowance()}))
    vip = Token("ana", {"plan": "vip"})
    assert desk.passed(9, vip) == 9
    assert (desk.counters[0].inflight, desk.under_way) == ({}, [])


# --- what clients are told ---


def fields_of(refusal: Refusal | None) -> dict[str, str]:
    assert refusal is not None
    return dict(refusal.fields)


def test_a_refusal_says_what_the_policy_is_and_when_there_is_one_again() -> None:
    desk = Desk(Limit("ip", ADDRESS, Allowance(Rate(6, 60), 2)))
    desk.passed(2)
    desk.now += 2.5
    told = fields_of(desk.before(request()))
    assert told == {"RateLimit-Policy": '"ip";q=6;w=60', "RateLimit": '"ip";r=0;t=8'}


def test_a_refusal_for_what_is_under_way_says_how_many_may_be() -> None:
    desk = Desk(limit("ip", ADDRESS, inflight=1))
    desk.ask()
    told = fields_of(desk.before(request()))
    assert told == {"RateLimit-Policy": '"ip";q=1;qu="concurrent-requests"', "RateLimit": '"ip";r=0'}


def test_answers_say_what_is_left_where_that_is_wanted_by_the_plan_of_whoever_asks() -> None:
    desk = Desk(
        limit("ip", ADDRESS, burst=9),
        limit("user", USER, burst=5, headers=True, plans={"pro": Allowance(Rate(60, 60), 30, inflight=4)}),
    )
    desk.ask(Token("bob", {"plan": "pro"}))
    desk.now += 0.5
    desk.ask(Token("bob", {"plan": "pro"}))
    assert desk.under_way[-1].lines == (
        b'RateLimit-Policy: "user";q=60;w=60, "user";q=4;qu="concurrent-requests"\r\n'
        b'RateLimit: "user";r=28;t=2, "user";r=2\r\n'
    )
    desk.ask(Token("ana"))
    assert desk.under_way[-1].lines == b'RateLimit-Policy: "user";q=1;w=1\r\nRateLimit: "user";r=4;t=1\r\n'


@pytest.mark.parametrize("by", [USER, ADDRESS, ROUTE, By(Kind.HEADER, "x-key")], ids=str)
def test_a_limit_alone_and_beside_another_is_the_same(by: By) -> None:
    """The one goes a way of its own."""
    allowed = Allowance(Rate(1, 1), 4, inflight=2)
    one = Limit("one", by, allowed, headers=True)
    other = Limit("other", By(Kind.CLAIM, "tenant"), Allowance(Rate(1000, 1), 1000))
    alone, beside = Desk(one), Desk(one, other)
    ana = Token("ana", {"tenant": "acme"})
    said = []
    for desk in (alone, beside):
        heard = []
        for step in range(12):
            heard.append((desk.ask(ana, x_key="a"), [counted.lines for counted in desk.under_way]))
            if step % 3 == 2 and desk.under_way:
                desk.under_way.pop(0).release()
            desk.now += 0.1
        for counted in desk.under_way:
            counted.release()
            counted.release()
        said.append(heard)
        assert desk.counters[0].inflight == {}
    assert said[0] == said[1]
    assert {reason for reason, _ in said[0]} == {"", "one", "one in flight"}


def test_whoever_has_no_limit_is_told_of_none() -> None:
    desk = Desk(limit("user", USER, headers=True, plans={"vip": Allowance()}))
    desk.ask(Token("ana", {"plan": "vip"}))
    assert desk.under_way[-1].lines == b""


def test_what_is_left_by_address_is_told_too() -> None:
    desk = Desk(limit("ip", ADDRESS, headers=True))
    desk.ask()
    assert desk.under_way[-1].lines.endswith(b'RateLimit: "ip";r=1;t=1\r\n')
