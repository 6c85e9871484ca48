"""From the keys of a rule to what the gate asks."""

from pathlib import Path

from gateway.routing.conditions import Asked
from gateway.routing.explained import evaluate
from gateway.routing.rules import Access
from tests.config.test_routes import rule, table
from tests.routing.callers import Who, some, verdict


def test_every_key_becomes_a_condition_with_its_place(tmp_path: Path) -> None:
    routes = table(
        tmp_path,
        """
- path: /t/{tenant}
  to: app
  roles: [user]
  caller: user
  claims: {plan: [pro, team], verified: true}
  where: {path.tenant: claim.tenant}
  rules: [office]
  mfa: true
  fresh_login: 5m
  allow_ips: [192.0.2.0/24]
""",
        "rules: {office: {claims: {site: hq}}}",
    )

    made = rule(routes, "/t/acme")
    who = Who(roles=some("user"), tenant="acme", claims={"plan": "pro", "verified": True, "site": "hq"})
    decision = evaluate(made, who, Asked({"tenant": b"acme"}, "192.0.2.1", 1000))

    assert [(step.key, step.place, step.met) for step in decision.steps] == [
        ("allow_ips", "gateway.yaml:15", True),
        ("auth", "", True),
        ("roles", "gateway.yaml:8", True),
        ("caller", "gateway.yaml:9", True),
        ("claims", "gateway.yaml:10", True),
        ("claims", "gateway.yaml:10", True),
        ("where", "gateway.yaml:11", True),
        ("claims", "gateway.yaml:4", True),
        ("mfa", "gateway.yaml:13", False),
        ("fresh_login", "gateway.yaml:14", False),
    ]
    assert decision.code == "mfa_required"


def test_a_named_rule_and_an_alternative_hold_all_their_keys(tmp_path: Path) -> None:
    routes = table(
        tmp_path,
        """
- path: /a
  to: app
  any_of:
    - {rules: [staff], roles: [admin]}
    - {scopes: [emergency]}
""",
        "rules: {staff: {claims: {staff: true}, not_roles: [editor]}}",
    )
    asked = rule(routes, "/a")

    assert verdict(asked, Who(roles=some("admin"), claims={"staff": True})) == "rule_failed"  # admin includes editor
    assert verdict(asked, Who(scopes=some("emergency"))) is None
    assert verdict(asked, Who()) == "rule_failed"


def test_addresses_close_public_routes_too_and_come_from_the_nearest_place(tmp_path: Path) -> None:
    routes = table(
        tmp_path,
        "- {path: /open, to: app, auth: public}\n- {path: /own, to: app, auth: public, allow_ips: [2001:db8::/32]}",
        "defaults: {allow_ips: [192.0.2.0/24]}",
    )

    assert rule(routes, "/open").access is Access.PUBLIC
    assert rule(routes, "/open").wanted == "address 192.0.2.0/24"
    assert rule(routes, "/own").wanted == "address 2001:db8::/32"


def test_a_candidate_is_the_rule_with_its_keys_in_place_of_the_written_ones(tmp_path: Path) -> None:
    routes = table(
        tmp_path,
        "- {path: /a, to: app, roles: [user], scopes: [read], shadow: {roles: [admin]}}\n"
        "- {path: /b, to: app, methods: {GET: {}, POST: {shadow: {mfa: true}}}}",
        "defaults: {roles: [editor]}",
    )

    candidate = rule(routes, "/a").shadow
    assert candidate is not None
    assert candidate.wanted == "role admin; scope read"
    assert rule(routes, "/a").wanted == "role admin or editor or user; scope read"
    assert rule(routes, "/b").shadow is None
    by_method = rule(routes, "/b", "POST").shadow
    assert by_method is not None
    assert by_method.wanted == "role admin or editor; a login with a second factor"


def test_a_method_can_ask_for_more_than_its_route(tmp_path: Path) -> None:
    routes = table(
        tmp_path,
        "- {path: /a, to: app, claims: {plan: pro}, methods: {GET: {}, DELETE: {fresh_login: 5m}}}",
    )

    assert rule(routes, "/a").wanted == "claim plan pro"
    assert rule(routes, "/a", "DELETE").wanted == "claim plan pro; a login of the last 300 s"


def test_a_rule_from_farther_away_can_be_switched_off(tmp_path: Path) -> None:
    routes = table(
        tmp_path, "- {path: /a, to: app, fresh_login: none, mfa: false}", "defaults: {fresh_login: 5m, mfa: true}"
    )

    assert rule(routes, "/a").wanted == "a valid token"
