"""A third implementation (jwcrypto) and ours, in both directions and for every algorithm."""

import json
from typing import Any

import pytest
from jwcrypto import jwk, jws  # type: ignore[import-untyped]

from gateway.tokens.base64url import encode
from gateway.tokens.jwks import read_set
from gateway.tokens.verify import Identity, Invalid

from .forge import ALGORITHMS, NOW, claims, header, issued, key_for, ring_for, text, verifier

ASYMMETRIC = [alg for alg in ALGORITHMS if not alg.startswith("HS")]


def foreign(alg: str, number: int = 0) -> Any:
    raw = key_for(alg, number).serialised()
    if alg.startswith("HS"):
        return jwk.JWK(kty="oct", k=encode(raw))
    return jwk.JWK.from_pem(raw)


def signed_by_the_other(alg: str, number: int = 0) -> bytes:
    token = jws.JWS(text(claims()))
    token.allowed_algs = [alg]
    token.add_signature(foreign(alg, number), None, json.dumps(header(key_for(alg))), None)
    return str(token.serialize(compact=True)).encode()


def read_by_the_other(token: bytes, alg: str, number: int = 0) -> Any:
    read = jws.JWS()
    read.allowed_algs = [alg]
    read.deserialize(token.decode(), foreign(alg, number))
    return read


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_token_that_the_other_signed_is_accepted(alg: str) -> None:
    assert isinstance(verifier(ring_for(alg)).verify(signed_by_the_other(alg), NOW), Identity)


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_token_that_the_other_signed_with_another_key_is_refused(alg: str) -> None:
    found = verifier(ring_for(alg)).verify(signed_by_the_other(alg, 1), NOW)
    assert found == Invalid("token_invalid", "signature")


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_token_that_we_issue_is_accepted_by_the_other(alg: str) -> None:
    token = issued(ring_for(alg))
    read = read_by_the_other(token, alg)
    assert json.loads(read.payload)["sub"] == "alice"
    with pytest.raises(jws.InvalidJWSSignature):
        read_by_the_other(token, alg, 1)


@pytest.mark.parametrize("alg", ASYMMETRIC)
def test_both_give_a_key_the_same_thumbprint(alg: str) -> None:
    assert foreign(alg).thumbprint() == key_for(alg).kid


@pytest.mark.parametrize("alg", ASYMMETRIC)
def test_a_set_that_the_other_publishes_is_read(alg: str) -> None:
    keys = jwk.JWKSet()
    keys.add(foreign(alg))
    keys.add(foreign(alg, 1))
    found = read_set(keys.export(private_keys=False).encode(), (alg,))
    assert {one.key.fingerprint for one in found.keys} == {key_for(alg, n).fingerprint for n in (0, 1)}
    assert found.skipped == ()
