"""Conditions beyond roles, permissions and scopes: claims, bindings, addresses, the login, alternatives."""

from ipaddress import ip_network

import pytest

from gateway.errors import extra_headers
from gateway.routing.conditions import (
    Addresses,
    AnyOf,
    Asked,
    Audience,
    Bound,
    Claim,
    Condition,
    FreshLogin,
    Kind,
    NotRoles,
    Permissions,
    Roles,
    Scopes,
    SecondFactor,
)
from tests.routing.callers import Who, met, some

NOBODY = Who()


# --- no empty list means everybody (identity.md 4, 52) ---


@pytest.mark.item(52)
@pytest.mark.parametrize(
    "condition",
    [
        Roles(some()),
        Audience(some()),
        Claim(("plan",), ()),
        Addresses(()),
        AnyOf(()),
    ],
)
def test_an_empty_any_of_is_met_by_nobody(condition: Condition) -> None:
    everything = Who(roles=some("admin"), claims={"plan": "pro"})

    assert not met(condition, everything, Asked(address="192.0.2.1"))


@pytest.mark.item(52)
def test_an_empty_list_in_the_token_meets_nothing_that_is_asked_for() -> None:
    who = Who(claims={"plan": [], "amr": []})

    for condition in (
        Roles(some("a")),
        Claim(("plan",), ("pro",)),
        SecondFactor(),
        Permissions(some("p")),
        Scopes(some("s")),
    ):
        assert not met(condition, who)


# --- claims ---


@pytest.mark.parametrize(
    ("stated", "values", "passes"),
    [
        ("pro", ("pro", "team"), True),
        ("free", ("pro", "team"), False),
        (["free", "team"], ("pro", "team"), True),
        (True, (True,), True),
        (1, (True,), False),
        (True, (1,), False),
        ("true", (True,), False),
        ("1", (1,), False),
        (1, (1,), True),
        (1.0, (1,), True),
        (None, ("None",), False),
        ({"pro": True}, ("pro",), False),
        ([["pro"]], ("pro",), False),
        ("Pro", ("pro",), False),
    ],
)
def test_a_claim_is_compared_with_values_of_its_own_kind(
    stated: object, values: tuple[str | int | float | bool, ...], passes: bool
) -> None:
    assert met(Claim(("plan",), values), Who(claims={"plan": stated})) is passes


def test_a_claim_that_is_missing_meets_nothing() -> None:
    assert not met(Claim(("plan",), ("pro",)), NOBODY)
    assert not met(Claim(("org", "plan"), ("pro",)), Who(claims={"org": "pro"}))
    assert met(Claim(("org", "plan"), ("pro",)), Who(claims={"org": {"plan": "pro"}}))
    assert met(Claim(("https://x.example/plan",), ("pro",)), Who(claims={"https://x.example/plan": "pro"}))


def test_the_usual_claims_are_what_the_verifier_made_of_them() -> None:
    """A trusted issuer's own `tenant`, `roles` and `sub` do not count: its token was mapped."""
    foreign = Who(tenant=None, subject="legacy|7", claims={"tenant": "acme", "sub": "7", "roles": ["admin"]})

    assert not met(Claim(("tenant",), ("acme",)), foreign)
    assert not met(Claim(("roles",), ("admin",)), foreign)
    assert met(Claim(("sub",), ("legacy|7",)), foreign)
    assert met(Claim(("tenant",), ("acme",)), Who(tenant="acme"))


# --- parts of the request that equal claims ---


OWN_TENANT = Bound("path", "tenant", ("tenant",))


@pytest.mark.parametrize(
    ("segment", "tenant", "passes"),
    [
        (b"acme", "acme", True),
        (b"acme", "other", False),
        (b"acme", None, False),
        (b"Acme", "acme", False),
        (b"", "", True),
        ("müller".encode(), "müller", True),
        (b"acme/../other", "other", False),
        (b"7", "7", True),
    ],
)
def test_a_part_of_the_path_must_equal_the_claim(segment: bytes, tenant: str | None, passes: bool) -> None:
    assert met(OWN_TENANT, Who(tenant=tenant), Asked({"tenant": segment})) is passes


def test_a_list_of_claims_has_the_part_among_it_and_numbers_are_written_out() -> None:
    orgs = Bound("path", "org", ("orgs",))

    assert met(orgs, Who(claims={"orgs": ["a", "b"]}), Asked({"org": b"b"}))
    assert met(orgs, Who(claims={"orgs": [7, 8]}), Asked({"org": b"8"}))
    assert not met(orgs, Who(claims={"orgs": ["a,b"]}), Asked({"org": b"b"}))
    assert not met(orgs, Who(claims={"orgs": {"b": 1}}), Asked({"org": b"b"}))


def test_a_missing_part_equals_nothing_not_even_a_missing_claim() -> None:
    assert not met(OWN_TENANT, Who(tenant=None), Asked())
    assert not met(OWN_TENANT, Who(tenant="nothing"), Asked())


def test_a_header_can_be_bound_and_one_that_is_no_text_equals_nothing() -> None:
    bound = Bound("header", "x-tenant", ("tenant",))
    headers = {b"x-tenant": b"acme"}

    assert met(bound, Who(tenant="acme"), Asked(field=headers.get))
    assert not met(bound, Who(tenant="acme"), Asked(field={b"x-tenant": b"acme, other"}.get))
    assert not met(bound, Who(tenant="\ufffd"), Asked(field={b"x-tenant": b"\xff"}.get))


# --- addresses ---


@pytest.mark.parametrize(
    ("address", "passes"),
    [
        ("192.0.2.7", True),
        ("::ffff:192.0.2.7", True),
        ("192.0.3.7", False),
        ("2001:db8::1", True),
        ("fe80::1%eth0", False),
        ("", False),
        ("unix", False),
    ],
)
def test_an_address_is_in_a_network_in_every_spelling(address: str, passes: bool) -> None:
    office = Addresses((ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")))

    assert office.has(address) is passes
    assert met(office, NOBODY, Asked(address=address)) is passes


# --- who, and how they logged in ---


@pytest.mark.item(53)
def test_a_program_is_no_user_and_a_user_no_program() -> None:
    """identity.md 4, 53."""
    assert met(Kind(program=False), NOBODY)
    assert not met(Kind(program=False), Who(is_program=True))
    assert met(Kind(program=True), Who(is_program=True))
    assert not met(Kind(program=True), NOBODY)


@pytest.mark.parametrize(
    ("auth_time", "now", "passes"), [(1000, 1000, True), (1000, 1300, True), (1000, 1300.5, False), (0, 100, False)]
)
def test_a_login_is_fresh_for_so_long_and_one_without_a_time_never(auth_time: int, now: float, passes: bool) -> None:
    assert met(FreshLogin(300), Who(auth_time=auth_time), Asked(now=now)) is passes


def test_a_second_factor_is_what_the_token_says_of_it() -> None:
    assert met(SecondFactor(), Who(claims={"amr": ["pwd", "otp", "mfa"]}))
    assert not met(SecondFactor(), Who(claims={"amr": ["pwd"]}))
    assert not met(SecondFactor(), Who(claims={"amr": "mfa"}))
    assert not met(SecondFactor(), NOBODY)


def test_the_answer_says_what_login_would_do() -> None:
    """RFC 9470 section 3."""
    for condition, member in ((FreshLogin(300), 'max_age="300"'), (SecondFactor(), 'acr_values="mfa"')):
        refusal = condition.refusal(NOBODY, Asked(), "")
        challenge = dict(extra_headers(refusal))["WWW-Authenticate"]
        assert refusal.status == 401
        assert 'error="insufficient_user_authentication"' in challenge
        assert challenge.endswith(f", {member}")


# --- alternatives ---


EITHER = AnyOf(((Roles(some("admin")),), (Roles(some("user")), FreshLogin(60))))


def test_one_alternative_is_enough_and_all_of_it() -> None:
    now = Asked(now=1000)

    assert met(EITHER, Who(roles=some("admin")), now)
    assert met(EITHER, Who(roles=some("user"), auth_time=990), now)
    assert not met(EITHER, Who(roles=some("user"), auth_time=900), now)


def test_the_refusal_names_what_the_caller_can_do_something_about() -> None:
    now = Asked(now=1000)

    assert EITHER.refusal(Who(roles=some("user"), auth_time=900), now, "").code.name == "login_too_old"
    assert EITHER.refusal(NOBODY, now, "").code.name == "role_missing"
    mixed = AnyOf(((Roles(some("admin")),), (NotRoles(some("x")), Scopes(some("s")))))
    assert mixed.refusal(NOBODY, now, "").code.name == "rule_failed"
