"""The key ring: sound sets only, replaced as a whole, and a published set without a secret in it."""

import json
from collections.abc import Iterator

import pytest

from gateway.errors import ConfigError
from gateway.tokens.keys import KeyRing, State, VerifyingKey, keyring_from, load_key
from gateway.tokens.verify import Identity, Invalid

from .forge import ALGORITHMS, NOW, key_for, ring_for, ring_of, signed, verifier
from .test_signing import public_pem


def in_state(alg: str, state: State, number: int = 0, kid: str | None = None) -> VerifyingKey:
    return load_key(key_for(alg, number).serialised(), alg, kid, state)


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_ring_signs_with_its_current_key_and_verifies_with_all(alg: str) -> None:
    current, waiting, old = in_state(alg, "current"), in_state(alg, "next", 1), in_state("EdDSA", "retired", 2)
    ring = ring_of(old, waiting, current)
    assert ring.signing() is current
    assert [key.state for key in ring.keys] == ["current", "next", "retired"]
    for key in (current, waiting, old):
        assert ring.verifying(key.kid) is key
    assert ring.verifying("") is None
    assert ring.verifying("other") is None


def test_a_token_of_a_retired_or_a_next_key_is_accepted_and_of_a_removed_one_is_not() -> None:
    keys = [in_state("EdDSA", "current"), in_state("ES256", "retired", 1), in_state("ES384", "next")]
    judge = verifier(ring_of(*keys))
    for alg, number in (("EdDSA", 0), ("ES256", 1), ("ES384", 0)):
        assert isinstance(judge.verify(signed(key_for(alg, number)), NOW), Identity)
    assert verifier(ring_of(keys[0])).verify(signed(key_for("ES256", 1)), NOW) == Invalid("token_invalid", "kid")


@pytest.mark.parametrize(
    ("states", "reason"),
    [
        pytest.param([], "no key has state current", id="no key"),
        pytest.param(["next", "retired"], "no key has state current", id="no current key"),
        pytest.param(["current", "current"], "several keys have state current", id="two current keys"),
    ],
)
def test_exactly_one_key_signs(states: list[State], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        KeyRing(in_state("ES256", state, number) for number, state in enumerate(states))


def test_a_current_key_without_its_private_part_is_refused() -> None:
    with pytest.raises(ConfigError, match="no private part"):
        keyring_from([(public_pem(key_for("ES256")), "ES256", None, "current")])


@pytest.mark.item("E17")
def test_two_keys_with_one_kid_are_refused_with_the_way_out() -> None:
    with pytest.raises(ConfigError, match=r"'same'.*RFC 7638.*openssl genpkey"):
        ring_of(in_state("ES256", "current", 0, "same"), in_state("ES256", "retired", 1, "same"))


@pytest.mark.parametrize("alg", ["ES256", "HS256"])
def test_one_key_under_two_names_is_refused(alg: str) -> None:
    with pytest.raises(ConfigError, match=r"one and the same.*openssl"):
        ring_of(in_state(alg, "current", 0, "a"), in_state(alg, "retired", 0, "b"))


@pytest.mark.item("E17", 4)
@pytest.mark.parametrize(
    ("one", "other", "sound"),
    [
        pytest.param(("HS256", "current"), ("RS256", "retired"), True, id="secret, public retired"),
        pytest.param(("RS256", "current"), ("HS256", "retired"), True, id="public, secret retired"),
        pytest.param(("HS256", "current"), ("RS256", "next"), False, id="secret, public next"),
        pytest.param(("RS256", "current"), ("HS256", "next"), False, id="public, secret next"),
        pytest.param(("RS256", "current"), ("EdDSA", "next"), True, id="two public"),
        pytest.param(("HS256", "current"), ("HS512", "next"), True, id="two secrets"),
    ],
)
def test_secrets_and_public_keys_meet_only_when_one_side_is_retired(
    one: tuple[str, State], other: tuple[str, State], sound: bool
) -> None:
    keys = [in_state(*one), in_state(*other)]
    if sound:
        assert len(KeyRing(keys).keys) == 2
        return
    with pytest.raises(ConfigError, match=r"algorithm confusion.*mark one side retired.*openssl"):
        KeyRing(keys)


def test_a_broken_replacement_leaves_the_old_keys_in_force() -> None:
    ring = ring_of(in_state("ES256", "current"))
    before = (ring.keys, ring.signing(), ring.generation, ring.jwks_bytes(), ring.jwks_etag())

    def breaking() -> Iterator[VerifyingKey]:
        yield in_state("ES256", "current", 1)
        yield load_key(b"secret", "HS256")

    for keys in ([], [in_state("ES256", "next", 1)], [in_state("ES256", "current", n) for n in (0, 1)], breaking()):
        with pytest.raises(ConfigError):
            ring.replace(keys)
        assert (ring.keys, ring.signing(), ring.generation, ring.jwks_bytes(), ring.jwks_etag()) == before


def test_each_replacement_is_a_new_generation() -> None:
    ring = ring_of(in_state("ES256", "current"))
    first = ring.generation
    ring.replace([in_state("ES256", "current", 1), in_state("ES256", "retired")], ["a warning"])
    assert ring.generation == first + 1
    assert ring.warnings == ("a warning",)
    assert ring.signing().kid == key_for("ES256", 1).kid


# ---- the published set ----------------------------------------------------------------------------------------------


def test_the_published_set_has_every_asymmetric_key_with_its_use() -> None:
    ring = ring_of(in_state("RS256", "current"), in_state("ES512", "next"), in_state("EdDSA", "retired"))
    published = ring.jwks()["keys"]
    assert [(key["kid"], key["kty"], key["use"], key["alg"]) for key in published] == [
        (key_for("RS256").kid, "RSA", "sig", "RS256"),
        (key_for("ES512").kid, "EC", "sig", "ES512"),
        (key_for("EdDSA").kid, "OKP", "sig", "EdDSA"),
    ]
    assert json.loads(ring.jwks_bytes()) == ring.jwks()


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_no_private_or_symmetric_member_is_ever_published(alg: str) -> None:
    for ring in (ring_for(alg), ring_of(in_state(alg, "retired", 1), in_state("EdDSA", "current", 2))):
        text = ring.jwks_bytes()
        for published in ring.jwks()["keys"]:
            assert published.keys() <= {"kty", "kid", "use", "alg", "n", "e", "crv", "x", "y"}
            assert published["kty"] != "oct"
        if alg.startswith("HS"):
            assert key_for(alg).kid.encode() not in text
            assert key_for(alg).serialised() not in text


def test_the_published_set_is_a_copy() -> None:
    ring = ring_for("ES256")
    ring.jwks()["keys"][0]["kid"] = "other"
    ring.jwks()["keys"].clear()
    assert ring.jwks()["keys"][0]["kid"] == key_for("ES256").kid


def test_the_entity_tag_changes_with_the_keys_and_only_then() -> None:
    one, other = in_state("ES256", "current"), in_state("EdDSA", "retired")
    assert ring_of(one, other).jwks_etag() == ring_of(other, one).jwks_etag()
    assert ring_of(one, other).jwks_bytes() == ring_of(other, one).jwks_bytes()
    assert ring_of(one).jwks_etag() != ring_of(one, other).jwks_etag()
    tag = ring_of(one).jwks_etag()
    assert tag[0] == tag[-1] == '"'
    assert tag.isascii()


@pytest.mark.item(162)
@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256", "EdDSA", "HS256"])
def test_nothing_private_is_published(alg: str) -> None:
    ring = KeyRing([key_for(alg)])
    members = {name for jwk in ring.jwks()["keys"] for name in jwk}
    assert not members & {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
    assert bool(members) is (alg != "HS256")
    assert ring.jwks_bytes().count(b'"kid"') == len(ring.jwks()["keys"])
