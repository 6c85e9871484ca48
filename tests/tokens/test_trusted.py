"""Tokens of trusted issuers beside our own: who speaks for whom, what of them counts, and what never does."""

import json
import random
from collections.abc import Mapping
from typing import Any

import pytest

from gateway.paths import steps
from gateway.tokens.cache import Verified, VerifiedTokens
from gateway.tokens.headers import renderer
from gateway.tokens.jwks import ForeignKey, ForeignKeys, read_set
from gateway.tokens.ring import KeyRing
from gateway.tokens.subject import Brought, Subject
from gateway.tokens.trusted import OwnTokens, TrustedIssuer, Verifiers
from gateway.tokens.verify import REASONS, Identity, Invalid

from .forge import ABSENT, ISSUER, LEEWAY, NOW, changed, issued, key_for, ring_for, signed, verifier
from .test_fuzz import Never, edited

IDP = "https://idp.example/"
OURS, THEIRS, OTHER = key_for("ES256"), key_for("ES256", 1), key_for("ES256", 2)


def trusted(keys: ForeignKeys | None = None, **settings: Any) -> TrustedIssuer:
    good: dict[str, Any] = {
        "name": "legacy",
        "issuer": IDP,
        "keys": keys if keys is not None else ForeignKeys([ForeignKey("k1", THEIRS)]),
        "audience": frozenset({"orders"}),
        "algorithms": frozenset({"ES256"}),
        "roles": steps("realm_access.roles"),
        "role_map": {"ADMIN": frozenset({"admin"}), "READ": frozenset({"viewer", "support"})},
    }
    return TrustedIssuer(**good | settings)


def theirs(**changes: object) -> dict[str, object]:
    good: dict[str, object] = {
        "iss": IDP,
        "sub": "alice",
        "aud": "orders",
        "azp": "shop",
        "iat": NOW - 10,
        "exp": NOW + 300,
        "jti": "t-1",
        "sid": "s-1",
        "realm_access": {"roles": ["ADMIN", "offline_access"]},
        "roles": ["admin", "root"],
        "permissions": ["everything"],
        "tenant": "acme",
        "scope": "all",
    }
    return changed(good, changes)


def token(body: object = None, key: Any = THEIRS, **head: object) -> bytes:
    return signed(key, changed({"alg": key.alg, "typ": "JWT", "kid": "k1"}, head), theirs() if body is None else body)


def house(*issuers: TrustedIssuer, ring: KeyRing | None = None, brought: Brought | None = None) -> Verifiers:
    return Verifiers(verifier(ring or ring_for("ES256")), issuers or (trusted(),), brought or {})


def judged(raw: bytes, now: float = NOW, **settings: Any) -> Identity | Invalid:
    return house(trusted(**settings)).verify(raw, now)


def why(raw: bytes, now: float = NOW, **settings: Any) -> str:
    found = judged(raw, now, **settings)
    return found.reason if isinstance(found, Invalid) else "accepted"


def good(raw: bytes, now: float = NOW, **settings: Any) -> Identity:
    found = judged(raw, now, **settings)
    assert isinstance(found, Identity), found
    return found


def test_a_foreign_token_says_who_and_only_mapped_roles_count() -> None:
    who = good(token())
    assert (who.subject, who.issuer) == ("alice", IDP)
    assert who.roles == {"admin"}
    assert who.permissions == who.scopes == frozenset()
    assert who.tenant is None
    assert (who.session, who.token_id, who.client, who.key) == ("legacy:s-1", "legacy:t-1", "legacy:shop", "legacy:k1")
    assert who.issued_ms == (NOW - 10) * 1000


def test_a_foreign_token_has_the_permissions_of_our_roles_that_theirs_stand_for() -> None:
    brought = {"admin": frozenset({"write", "read"}), "boss": frozenset({"fire"})}
    front = house(trusted(permissions=("permissions",)), brought=brought)
    found = front.verify(token(), NOW)
    assert isinstance(found, Identity)
    assert found.permissions == {"everything", "read", "write"}


def test_our_own_tokens_say_what_their_permissions_are_and_roles_add_nothing_later() -> None:
    ring = ring_for("ES256")
    own = issued(ring, Subject("alice", "alice", ("admin",)))
    found = house(ring=ring, brought={"admin": frozenset({"write"})}).verify(own, NOW)
    assert isinstance(found, Identity)
    assert found.roles == {"admin"}
    assert found.permissions == frozenset()


def test_our_own_tokens_are_judged_as_before() -> None:
    ring = ring_for("ES256")
    own = issued(ring)
    assert isinstance(house(ring=ring).verify(own, NOW), Identity)
    assert house(ring=ring).verify(own, NOW) == verifier(ring).verify(own, NOW)


@pytest.mark.item(46)
def test_no_issuer_speaks_for_another() -> None:
    mine = ForeignKeys([ForeignKey(OURS.kid, OTHER)])  # the same kid as ours, and another key
    front = house(trusted(), trusted(mine, name="second", issuer="https://second.example"))
    for key, kid, iss in (
        (THEIRS, OURS.kid, ISSUER),  # their key in our name
        (OTHER, OURS.kid, ISSUER),
        (OURS, OURS.kid, IDP),  # our key in their name
        (OURS, "k1", IDP),
        (THEIRS, "k1", "https://second.example"),
        (THEIRS, OURS.kid, "https://second.example"),
    ):
        raw = signed(key, {"alg": "ES256", "typ": "at+jwt", "kid": kid}, theirs(iss=iss))
        assert isinstance(front.verify(raw, NOW), Invalid)


@pytest.mark.item(45)
@pytest.mark.parametrize(
    "iss", [IDP[:-1], IDP.upper(), IDP + "/", "https://nobody.example", 7, [IDP], {"a": IDP}, None, True, ABSENT]
)
def test_the_issuer_is_compared_letter_by_letter(iss: object) -> None:
    assert why(token(theirs(iss=iss))) in ("issuer", "typ", "kid")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"aud": "other"}, "audience"),
        ({"aud": ABSENT}, "audience"),
        ({"aud": []}, "audience"),
        ({"aud": ["x", "orders"]}, "accepted"),
        ({"exp": ABSENT}, "claims"),
        ({"exp": "1"}, "claims"),
        ({"iat": ABSENT}, "claims"),
        ({"nbf": []}, "claims"),
        ({"nbf": NOW + 31}, "not_yet_valid"),
        ({"nbf": NOW + 30}, "accepted"),
        ({"iat": NOW + 31}, "not_yet_valid"),
        ({"iat": NOW + 20, "exp": NOW + 20}, "lifetime"),
        ({"sub": ABSENT}, "claims"),
        ({"sub": "a\r\nX: 1"}, "claims"),
        ({"sub": "a" * 256}, "claims"),
        ({"sid": 7}, "claims"),
        ({"jti": "a\n"}, "claims"),
        ({"azp": {}}, "claims"),
        ({"sid": ABSENT, "jti": ABSENT, "azp": ABSENT}, "accepted"),
        ({"cnf": {}}, "bound"),
        ({"act": {}}, "delegated"),
        ({"events": {}}, "claims"),
        ({"realm_access": {"roles": {"ADMIN": 1}}}, "claims"),
        ({"realm_access": {"roles": [1]}}, "claims"),
        ({"realm_access": {"roles": "ADMIN"}}, "accepted"),
        ({"realm_access": {"roles": ["a,b", "x" * 999]}}, "accepted"),
        ({"realm_access": "ADMIN"}, "accepted"),
        ({"exp": NOW - 29}, "accepted"),
        ({"exp": NOW - 30}, "expired"),
    ],
)
def test_claims_are_judged(changes: dict[str, object], reason: str) -> None:
    assert why(token(theirs(**changes | ({"iat": NOW - 90} if "exp" in changes and "iat" not in changes else {})))) == (
        reason
    )


@pytest.mark.item("E10")
@pytest.mark.parametrize(
    ("typ", "any_type", "at_jwt"),
    [
        ("JWT", "accepted", "typ"),
        (ABSENT, "accepted", "typ"),
        ("at+jwt", "accepted", "accepted"),
        ("application/AT+JWT", "accepted", "accepted"),
        ("logout+jwt", "typ", "typ"),
        ("dpop+jwt", "typ", "typ"),
        ("secevent+jwt", "typ", "typ"),
        ("", "typ", "typ"),
    ],
)
def test_kinds_of_token(typ: object, any_type: str, at_jwt: str) -> None:
    assert why(token(typ=typ)) == any_type
    assert why(token(typ=typ), any_type=False) == at_jwt


@pytest.mark.item("E2")
def test_a_key_is_found_by_its_name_and_is_for_one_algorithm() -> None:
    rsa, anonymous = key_for("RS256"), ForeignKeys([ForeignKey(None, THEIRS)])
    both = frozenset({"ES256", "RS256"})
    named = ForeignKeys([ForeignKey("k1", THEIRS), ForeignKey("k2", OTHER)])
    assert why(token(), keys=named) == "accepted"
    assert why(token(kid="k2"), keys=named) == "signature"
    assert why(token(kid="k3"), keys=named) == "kid"
    assert why(token(kid=ABSENT), keys=named) == "kid"
    assert why(token(kid=ABSENT)) == "accepted"
    assert why(token(kid="whatever"), keys=anonymous) == "accepted"
    assert why(token(key=rsa)) == "algorithm"
    assert why(token(key=rsa), algorithms=both) == "algorithm"


def test_an_unknown_key_says_how_to_wait_for_a_newer_set() -> None:
    async def fetched() -> None:
        """Nothing to do."""

    keys = ForeignKeys([ForeignKey("k1", THEIRS)])
    keys.ask = lambda: fetched
    assert judged(token(kid="k9"), keys=keys) == Invalid("token_invalid", "kid", fetched)
    assert judged(token(theirs(exp=NOW - 50, iat=NOW - 99), kid="k9"), keys=keys) == Invalid("token_expired", "expired")
    keys.ask = lambda: None
    assert judged(token(kid="k9"), keys=keys) == Invalid("token_invalid", "kid")


def test_without_any_keys_the_token_is_not_to_blame() -> None:
    assert judged(token(), keys=ForeignKeys()) == Invalid("store_unavailable", "jwks_unavailable")


def test_what_was_written_down_is_read() -> None:
    settings: dict[str, Any] = {
        "roles": steps('"https://x.example/roles".all'),
        "permissions": steps("perms"),
        "scopes": steps("scp"),
        "tenant": steps("org.id"),
        "subject_prefix": "legacy|",
        "require": ((steps("token_use"), "access"),),
    }
    body = theirs(
        **{
            "https://x.example/roles": {"all": ["READ"]},
            "perms": ["a", "b"],
            "scp": ["read", "write"],
            "org": {"id": "acme"},
            "token_use": "access",
        }
    )
    who = good(token(body), **settings)
    assert who.subject == "legacy|alice"
    assert who.roles == {"viewer", "support"}
    assert who.permissions == {"a", "b"}
    assert who.scopes == {"read", "write"}
    assert who.tenant == "acme"
    assert why(token(body | {"token_use": "id"}), **settings) == "claims"
    assert why(token(body | {"org": {"id": "a\n"}}), **settings) == "claims"
    assert why(token(body | {"scp": ["a b"]}), **settings) == "accepted"
    assert why(token(body | {"sub": "a" * 250}), **settings) == "claims"


@pytest.mark.item(39)
def test_a_token_ends_by_its_age_also_in_the_cache() -> None:
    ring = ring_for("ES256")
    front = house(trusted(max_token_age=100), ring=ring)
    cache = VerifiedTokens(front, Never(), lambda identity: b"", ring)
    raw = token(theirs(exp=NOW + 86400))
    end = NOW - 10 + 100 + 30
    for now in (NOW, end - 0.01):
        assert isinstance(cache.check(raw, now), Verified)
    assert cache.check(raw, end) == Invalid("token_expired", "expired") == front.verify(raw, end)
    own = issued(ring)
    over = verifier(ring).verify(own, NOW)
    assert isinstance(over, Identity)
    assert isinstance(cache.check(own, over.expires + LEEWAY - 0.01), Verified)
    assert isinstance(cache.check(own, over.expires + LEEWAY), Invalid)


def test_a_key_that_is_gone_ends_cached_verifications() -> None:
    ring, keys = ring_for("ES256"), ForeignKeys([ForeignKey("k1", THEIRS)])
    cache = VerifiedTokens(house(trusted(keys), ring=ring), Never(), lambda identity: b"", ring)
    assert isinstance(cache.check(token(), NOW), Verified)
    assert keys.replace([ForeignKey("k2", OTHER)])
    ring.renew()
    assert cache.check(token(), NOW) == Invalid("token_invalid", "kid")


def test_the_gateways_own_endpoints_take_only_our_tokens() -> None:
    ring = ring_for("ES256")
    tokens = VerifiedTokens(house(ring=ring), Never(), lambda identity: b"", ring)
    own = OwnTokens(tokens, ISSUER)
    assert isinstance(own.check(issued(ring), NOW), Verified)
    assert isinstance(tokens.check(token(), NOW), Verified)
    assert own.check(token(), NOW) == Invalid("token_invalid", "issuer")


def test_upstreams_learn_the_issuer_and_no_session_that_there_is_not() -> None:
    render = renderer({"X-User-Id": "sub", "X-User-Issuer": "iss", "X-Session-Id": "sid", "X-Jti": "jti"})
    assert render(good(token())) == (
        b"X-User-Id: alice\r\nX-User-Issuer: https://idp.example/\r\nX-Session-Id: legacy:s-1\r\nX-Jti: legacy:t-1\r\n"
    )
    bare = good(token(theirs(sid=ABSENT, jti=ABSENT)))
    assert render(bare) == b"X-User-Id: alice\r\nX-User-Issuer: https://idp.example/\r\n"


def published(*keys: Mapping[str, object]) -> bytes:
    return json.dumps({"keys": keys}).encode()


def jwk(key: Any, **changes: object) -> dict[str, object]:
    return changed(key.jwk(), changes)


RSA = key_for("RS256")


@pytest.mark.item("E17", 28)
@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (jwk(THEIRS, use="enc"), "not for signatures"),
        (jwk(THEIRS, key_ops=["sign"]), "not for verifying"),
        (jwk(THEIRS, key_ops="verify"), "not for verifying"),
        (jwk(THEIRS, alg="ES384"), "none of the algorithms"),
        (jwk(THEIRS, alg="none"), "none of the algorithms"),
        (jwk(THEIRS, alg=["ES256"]), "none of the algorithms"),
        (jwk(THEIRS, kty="RSA"), "none of the algorithms"),
        (jwk(THEIRS, crv="P-384"), "none of the algorithms"),
        (jwk(THEIRS, x="AAAA"), "cannot be read"),
        (jwk(THEIRS, kid=7), "no name"),
        (jwk(THEIRS, kid="a\n"), "no name"),
        ({"kty": "oct", "k": "c2VjcmV0", "kid": "s", "alg": "ES256"}, "none of the algorithms"),
        (jwk(RSA, n="AQAB"), "cannot be read"),
        (jwk(RSA, e="Aw"), "exponent"),
    ],
)
def test_what_is_no_sound_signature_key_is_left_out_and_said_so(entry: dict[str, object], why: str) -> None:
    found = read_set(published(entry, jwk(OTHER)), ("ES256", "RS256"))
    assert [one.kid for one in found.keys] == [OTHER.kid]
    assert len(found.skipped) == 1
    assert why in found.skipped[0]


def test_a_key_without_algorithm_is_bound_to_the_first_that_fits() -> None:
    found = read_set(published(jwk(RSA, alg=ABSENT, use=ABSENT)), ("ES256", "PS256", "RS256"))
    assert [one.key.alg for one in found.keys] == ["PS256"]


def test_a_private_key_published_by_mistake_is_taken_for_its_public_part() -> None:
    (one,) = read_set(published(jwk(RSA) | {"d": "AQAB", "p": "AQAB", "q": "AQAB"}), ("RS256",)).keys
    assert not hasattr(one.key, "private")
    assert one.key.fingerprint == RSA.fingerprint


def test_of_two_keys_with_one_name_the_first_counts() -> None:
    found = read_set(published(jwk(THEIRS, kid="k"), jwk(OTHER, kid="k")), ("ES256",))
    assert [one.key.fingerprint for one in found.keys] == [THEIRS.fingerprint]
    assert "same kid" in found.skipped[0]


@pytest.mark.item(29)
def test_of_5_000_edits_of_a_foreign_token_none_is_accepted_and_none_raises() -> None:
    chance = random.Random(11)
    front, raw = house(), token()
    for _ in range(5000):
        other = edited(raw, chance)
        if other != raw:
            found = front.verify(other, NOW)
            assert isinstance(found, Invalid), other
            assert found.reason in REASONS
