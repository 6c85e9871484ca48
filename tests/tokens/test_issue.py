"""Issuing: the shape of RFC 9068, one clock, and nothing that the gateway itself would refuse."""

import json

import pytest

from gateway.errors import ConfigError
from gateway.tokens.base64url import decode
from gateway.tokens.issue import RESERVED, Issuer, Unissuable
from gateway.tokens.keys import load_key
from gateway.tokens.strict import Parsed, parse
from gateway.tokens.subject import Subject
from gateway.tokens.verify import Identity

from .forge import (
    ALGORITHMS,
    AUDIENCE,
    ISSUER,
    NOW,
    TTL,
    issued,
    issuer,
    key_for,
    ring_for,
    ring_of,
    verifier,
)

STAMP = NOW * 1000 + 789
ALICE = Subject(
    "u-1",
    "alice",
    roles=("user", "admin"),
    permissions=("read:all",),
    scopes=("openid", "email"),
    tenant="acme",
    claims={"department": "sales", "nested": {"list": [1, 2.5, None, True, "é"]}},
)


def parsed(subject: Subject = ALICE, **options: object) -> Parsed:
    ring = ring_for("EdDSA")
    made = issuer(ring).access_token(subject, session="s", stamp_ms=STAMP, auth_time=NOW - 50, **options)  # type: ignore[arg-type]
    found = parse(made.token.encode())
    assert isinstance(found, Parsed)
    return found


def test_a_token_has_the_shape_of_rfc_9068() -> None:
    ring = ring_for("RS256")
    made = issuer(ring).access_token(ALICE, session="s", stamp_ms=STAMP, auth_time=NOW - 50)
    found = parse(made.token.encode())
    assert isinstance(found, Parsed)
    assert found.header == {"alg": "RS256", "typ": "at+jwt", "kid": key_for("RS256").kid}
    assert found.claims == {
        "iss": ISSUER,
        "sub": "u-1",
        "aud": [AUDIENCE],
        "client_id": "gateway",
        "iat": NOW,
        "exp": NOW + TTL,
        "jti": made.jti,
        "sid": "s",
        "iat_ms": STAMP,
        "auth_time": NOW - 50,
        "amr": ["pwd"],
        "roles": ["user", "admin"],
        "scope": "openid email",
        "permissions": ["read:all"],
        "tenant": "acme",
        "department": "sales",
        "nested": {"list": [1, 2.5, None, True, "é"]},
    }
    assert (made.expires_in, made.expires_at) == (TTL, NOW + TTL)


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_what_is_issued_is_accepted(alg: str) -> None:
    ring = ring_for(alg)
    identity = verifier(ring).verify(issued(ring, ALICE), NOW)
    assert isinstance(identity, Identity)
    assert identity.subject == "u-1"
    assert identity.roles == {"user", "admin"}
    assert identity.permissions == {"read:all"}
    assert identity.scopes == {"openid", "email"}
    assert identity.tenant == "acme"
    assert identity.claims["department"] == "sales"
    assert identity.issued_ms == NOW * 1000


def test_what_a_person_does_not_have_is_left_out() -> None:
    claims = parsed(Subject("u-2", "bob")).claims
    assert claims["roles"] == []
    assert not claims.keys() & {"scope", "permissions", "tenant", "nbf", "cnf", "act"}


def test_scopes_and_methods_of_the_login_take_the_place_of_the_usual_ones() -> None:
    claims = parsed(scopes=("email",), amr=("pwd", "otp")).claims
    assert (claims["scope"], claims["amr"]) == ("email", ["pwd", "otp"])
    assert "scope" not in parsed(scopes=()).claims


def test_the_user_store_cannot_override_what_the_gateway_states() -> None:
    evil = dict.fromkeys(RESERVED, "evil")
    subject = Subject("u-3", "eve", ("user",), claims=evil | {"mine": 1})
    claims = parsed(subject).claims
    assert "evil" not in json.dumps(claims)
    assert claims["sub"] == "u-3"
    assert claims["mine"] == 1
    ring = ring_for("EdDSA")
    assert isinstance(verifier(ring).verify(issued(ring, subject), NOW), Identity)


def test_every_token_has_a_jti_of_128_random_bits() -> None:
    ring = ring_for("EdDSA")
    made = [issuer(ring).access_token(ALICE, session="s", stamp_ms=STAMP, auth_time=NOW) for _ in range(200)]
    assert len({token.jti for token in made}) == 200
    assert {len(decode(token.jti.encode()) or b"") for token in made} == {16}


def test_a_token_is_signed_with_the_key_that_is_current_now() -> None:
    old, new = key_for("ES256"), key_for("ES256", 1)
    ring = ring_of(old)
    signer = issuer(ring)
    kids = []
    for _ in range(2):
        made = signer.access_token(ALICE, session="s", stamp_ms=STAMP, auth_time=NOW)
        found = parse(made.token.encode())
        assert isinstance(found, Parsed)
        kids.append(found.kid)
        ring.replace([new, load_key(old.serialised(), "ES256", None, "retired")])
    assert kids == [old.kid, new.kid]


@pytest.mark.parametrize(
    "subject",
    [
        pytest.param(Subject("", "x"), id="no sub"),
        pytest.param(Subject("a\r\nX-Admin: 1", "x"), id="sub with a line end"),
        pytest.param(Subject("x" * 256, "x"), id="sub too long"),
        pytest.param(Subject("a\ud800", "x"), id="sub with a surrogate"),
        pytest.param(Subject(7, "x"), id="sub is a number"),  # type: ignore[arg-type]
        pytest.param(Subject("a", "x", ("user,admin",)), id="role with a comma"),
        pytest.param(Subject("a", "x", ("",)), id="role empty"),
        pytest.param(Subject("a", "x", (), ("a\x00",)), id="permission with NUL"),
        pytest.param(Subject("a", "x", (), (), ("a b",)), id="scope with a space"),
        pytest.param(Subject("a", "x", (), (), ('a"',)), id="scope with a quote"),
        pytest.param(Subject("a", "x", (), (), ("",)), id="scope empty"),
        pytest.param(Subject("a", "x", tenant=""), id="tenant empty"),
        pytest.param(Subject("a", "x", claims={"n": float("nan")}), id="claim NaN"),
        pytest.param(Subject("a", "x", claims={"n": object()}), id="claim that is no JSON"),
        pytest.param(Subject("a", "x", claims={"n": "\ud800"}), id="claim with a surrogate"),
        pytest.param(Subject("a", "x", claims={"n": "x" * 8000}), id="claim too long"),
        pytest.param(Subject("a", "x", tuple(f"role-{n}" for n in range(900))), id="too many roles"),
        pytest.param(Subject("a", "x", claims={"n": 1e400}), id="claim infinite"),
        pytest.param(Subject("a", "x", claims={1: 1, "1": 2}), id="claim twice once written"),  # type: ignore[dict-item]
    ],
)
def test_a_person_whose_token_the_gateway_would_refuse_gets_none(subject: Subject) -> None:
    with pytest.raises(Unissuable):
        parsed(subject)


def test_claims_nested_too_deeply_are_not_issued() -> None:
    deep: object = 1
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(Unissuable):
        parsed(Subject("a", "x", claims={"n": deep}))


def test_a_session_that_is_no_identifier_is_not_issued() -> None:
    with pytest.raises(Unissuable):
        issuer(ring_for("EdDSA")).access_token(ALICE, session="", stamp_ms=STAMP, auth_time=NOW)


@pytest.mark.parametrize(
    ("name", "audience", "client", "ttl"),
    [("", (AUDIENCE,), "gateway", 600), (ISSUER, (), "gateway", 600), (ISSUER, ("",), "gateway", 600),
     (ISSUER, (AUDIENCE,), "", 600), (ISSUER, (AUDIENCE,), "gateway", 0), (ISSUER, (AUDIENCE,), "gateway", -1)],
)  # fmt: skip
def test_an_issuer_that_could_only_make_bad_tokens_refuses_the_start(
    name: str, audience: tuple[str, ...], client: str, ttl: int
) -> None:
    with pytest.raises(ConfigError):
        Issuer(ring_for("EdDSA"), name, audience, client, ttl)
