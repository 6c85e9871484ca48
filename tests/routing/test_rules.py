"""The verdict over roles, permissions and scopes."""

import pytest

from gateway.routing.rules import Access, Rule, wanted
from tests.routing.callers import caller, some, verdict

NONE = some()


def test_a_rule_that_asks_for_nothing_lets_everybody_pass() -> None:
    assert verdict(Rule(), caller(NONE, NONE, NONE)) is None


def test_one_of_the_roles_is_enough() -> None:
    rule = Rule(roles=some("user", "admin"))
    assert verdict(rule, caller(some("admin"), NONE, NONE)) is None
    assert verdict(rule, caller(some("guest"), NONE, NONE)) == "role_missing"
    assert verdict(rule, caller(NONE, NONE, NONE)) == "role_missing"


def test_every_set_of_roles_all_needs_one() -> None:
    rule = Rule(roles_all=(some("user", "admin"), some("auditor")))
    assert verdict(rule, caller(some("admin", "auditor"), NONE, NONE)) is None
    assert verdict(rule, caller(some("admin", "user"), NONE, NONE)) == "role_missing"


def test_a_forbidden_role_is_no_missing_role() -> None:
    rule = Rule(not_roles=some("intern"))
    assert verdict(rule, caller(some("user"), NONE, NONE)) is None
    assert verdict(rule, caller(some("user", "intern"), NONE, NONE)) == "rule_failed"


def test_all_permissions_are_needed() -> None:
    rule = Rule(permissions=some("read", "write"))
    assert verdict(rule, caller(NONE, some("read", "write", "x"), NONE)) is None
    assert verdict(rule, caller(NONE, some("read"), NONE)) == "permission_missing"


def test_all_scopes_are_needed() -> None:
    rule = Rule(scopes=some("a", "b"))
    assert verdict(rule, caller(NONE, NONE, some("a", "b"))) is None
    assert verdict(rule, caller(NONE, NONE, some("a"))) == "scope_missing"


def test_names_are_compared_letter_by_letter() -> None:
    assert verdict(Rule(roles=some("admin")), caller(some("Admin", "admin "), NONE, NONE)) == "role_missing"


def test_the_keys_are_anded_and_roles_are_judged_first() -> None:
    rule = Rule(roles=some("user"), permissions=some("p"), scopes=some("s"))
    assert verdict(rule, caller(NONE, NONE, NONE)) == "role_missing"
    assert verdict(rule, caller(some("user"), NONE, NONE)) == "permission_missing"
    assert verdict(rule, caller(some("user"), some("p"), NONE)) == "scope_missing"
    assert verdict(rule, caller(some("user"), some("p"), some("s"))) is None


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (Rule(), "a valid token"),
        (Rule(Access.OPTIONAL), "a valid token or none"),
        (Rule(Access.PUBLIC), "nothing"),
        (Rule(roles=some("user", "admin")), "role admin or user"),
        (
            Rule(
                roles_all=(some("a"), some("b", "c")), not_roles=some("d"), permissions=some("q", "p"), scopes=some("s")
            ),
            "role a; role b or c; not role d; permission p and q; scope s",
        ),
    ],
)
def test_what_a_rule_wants_can_be_read(rule: Rule, text: str) -> None:
    assert wanted(rule) == text
