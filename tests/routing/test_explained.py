"""The explanation of a verdict, and that it is the verdict."""

import json
from ipaddress import ip_network

from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import CODES, Refusal, refuse
from gateway.routing.conditions import (
    Addresses,
    AnyOf,
    Asked,
    Bound,
    Claim,
    Condition,
    FreshLogin,
    Kind,
    Roles,
    SecondFactor,
)
from gateway.routing.explained import Explanation, evaluate, written
from gateway.routing.route import Route
from gateway.routing.rules import Access, Rule, denied, judge
from tests.routing.callers import Who, some

OFFICE = Addresses((ip_network("192.0.2.0/24"),), place="gateway.yaml:9")


def test_every_condition_says_where_it_stands_what_it_wants_and_what_it_got() -> None:
    rule = Rule(
        roles=some("admin", "editor"),
        further=(Bound("path", "tenant", ("tenant",), place="gateway.yaml:8"),),
        addresses=OFFICE,
        places={"roles": "gateway.yaml:7"},
    )
    who = Who(roles=some("editor"), tenant="acme")

    decision = evaluate(rule, who, Asked({"tenant": b"other"}, "192.0.2.1"))

    assert decision.code == "rule_failed"
    assert [step[:6] for step in decision.steps] == [
        ("allow_ips", "gateway.yaml:9", "address 192.0.2.0/24", "192.0.2.1", True, "address_denied"),
        ("auth", "", "a valid token", "a valid token of u-1", True, "token_missing"),
        ("roles", "gateway.yaml:7", "role admin or editor", "editor", True, "role_missing"),
        ("where", "gateway.yaml:8", "path.tenant is claim.tenant", "other and acme", False, "rule_failed"),
    ]


def test_all_conditions_are_shown_and_the_first_in_the_way_decides() -> None:
    rule = Rule(roles=some("a"), scopes=some("s"))

    decision = evaluate(rule, Who(), Asked())

    assert decision.code == "role_missing"
    assert [step.code for step in decision.steps if not step.met] == ["role_missing", "scope_missing"]


def test_without_a_token_nothing_is_asked_of_its_owner() -> None:
    assert evaluate(Rule(roles=some("a")), None, Asked()).code == "token_missing"
    assert evaluate(Rule(Access.OPTIONAL), None, Asked()).allowed
    assert evaluate(Rule(Access.PUBLIC), None, Asked()) == (None, (), None)
    assert evaluate(Rule(addresses=OFFICE), None, Asked()).code == "address_denied"
    assert evaluate(Rule(Access.PUBLIC, addresses=OFFICE), None, Asked()).code == "address_denied"


def test_a_candidate_is_evaluated_beside_a_rule_that_lets_pass() -> None:
    rule = Rule(roles=some("user"), shadow=Rule(roles=some("admin")))

    passed = evaluate(rule, Who(roles=some("user")), Asked())

    assert passed.allowed
    assert passed.shadow is not None
    assert passed.shadow.code == "role_missing"
    assert evaluate(rule, Who(), Asked()).shadow is None


names = st.frozensets(st.sampled_from("abc"), max_size=2)
condition = st.one_of(
    st.builds(Roles, names),
    st.builds(
        Claim, st.just(("plan",)), st.lists(st.sampled_from(["pro", True, 1]), min_size=1, max_size=2).map(tuple)
    ),
    st.just(Bound("path", "t", ("tenant",))),
    st.just(FreshLogin(60)),
    st.just(SecondFactor()),
    st.builds(Kind, st.booleans()),
    st.just(OFFICE),
)
further = st.lists(
    st.one_of(
        condition,
        st.builds(AnyOf, st.lists(st.lists(condition, max_size=2).map(tuple), min_size=1, max_size=2).map(tuple)),
    ),
    max_size=3,
).map(tuple)
rules = st.builds(
    Rule,
    roles=names,
    roles_all=st.lists(names, max_size=1).map(tuple),
    not_roles=names,
    permissions=names,
    scopes=names,
    further=further,
    addresses=st.sampled_from([None, OFFICE]),
)
callers = st.builds(
    Who,
    roles=names,
    permissions=names,
    scopes=names,
    claims=st.dictionaries(st.sampled_from(["plan", "amr"]), st.sampled_from(["pro", True, ["mfa"], [], 1])),
    auth_time=st.sampled_from([0, 900, 990]),
    is_program=st.booleans(),
    tenant=st.sampled_from([None, "x"]),
)
questions = st.builds(
    Asked, st.sampled_from([{}, {"t": b"x"}, {"t": b"y"}]), st.sampled_from(["192.0.2.1", ""]), st.just(1000.0)
)


@given(rules, callers, questions)
def test_the_explanation_is_the_verdict(rule: Rule, who: Who, asked: Asked) -> None:
    """Must-show 3 at its root: what the gate asks and what is explained are one."""
    decision = evaluate(rule, who, asked)

    assert decision.refusal == denied(rule, who, asked)
    assert decision.allowed == all(step.met for step in decision.steps)
    unmet: Condition | None = judge(rule, who, asked)
    if unmet is not None and rule.addresses is None:
        first = next(step for step in decision.steps if not step.met)
        assert (first.key, first.wanted) == (unmet.key, unmet.wanted)


# --- what the gate said, for the log and for whoever looks for faults ---

ROUTE = Route("orders", 0, "gateway.yaml:6", None, "/orders/{id}", "app", {b"GET": Rule()})


def explanation(rule: Rule, who: Who | Refusal | None, said: Refusal | None) -> Explanation:
    return Explanation(ROUTE, rule, who, Asked({"id": b"7"}), said)


def test_a_yes_names_the_rules_that_were_met() -> None:
    rule = Rule(roles=some("user"), shadow=Rule(scopes=some("s")))

    brief = explanation(rule, Who(roles=some("user")), None).brief()

    assert brief == 'allowed; met="auth roles"; shadow=scope_missing; route="orders"; written="gateway.yaml:6"'


def test_what_no_rule_has_decided_is_a_step_of_its_own() -> None:
    said = explanation(Rule(roles=some("user")), Who(roles=some("user")), refuse("csrf_failed"))

    *rules, last = said.decision.steps
    assert [step.met for step in rules] == [True, True]
    assert (last.key, last.code, last.got) == ("request", "csrf_failed", CODES["csrf_failed"].detail)
    assert said.members()["code"] == "csrf_failed"
    assert said.brief().startswith("refused; code=csrf_failed; rule=request; got=")


def test_a_token_that_does_not_count_is_said_to_be_one() -> None:
    bad = refuse("token_invalid", "signature")

    for access in (Access.REQUIRED, Access.OPTIONAL):
        decision = evaluate(Rule(access), bad, Asked())
        assert decision.code == "token_invalid"
        assert [(step.got, step.met) for step in decision.steps] == [("a token that does not count: signature", False)]


def test_alternatives_are_explained_each() -> None:
    rule = Rule(further=(AnyOf(((Roles(some("a")), SecondFactor()), (Kind(True),))),))

    (_, any_of) = evaluate(rule, Who(roles=some("a")), Asked()).steps

    assert [[(step.key, step.met) for step in each] for each in any_of.alternatives] == [
        [("roles", True), ("mfa", False)],
        [("caller", False)],
    ]


@given(st.text(), st.text(min_size=1))
def test_whatever_is_said_is_short_printable_and_without_tokens(claim: str, wanted: str) -> None:
    jwt = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"
    who = Who(claims={"plan": f"{claim}{jwt}" * 9})
    rule = Rule(further=(Claim(("plan",), (wanted * 99,)),))

    said = explanation(rule, who, refuse("rule_failed"))
    brief, lines = said.brief(), list(written(said.decision.steps))

    assert brief.isascii()
    assert brief.isprintable()
    assert len(brief) < 512
    assert all(line.isprintable() for line in lines)
    assert max(map(len, lines)) < 800
    assert not any(jwt[:12] in text for text in (brief, json.dumps(said.members()), *lines))
