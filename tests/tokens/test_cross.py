"""Another implementation (joserfc) and ours, in both directions and for every algorithm."""

import json
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, OctKey, OKPKey, RSAKey

from gateway.tokens.base64url import encode
from gateway.tokens.keys import KeyRing, load_key
from gateway.tokens.verify import Identity, Invalid

from .forge import ALGORITHMS, NOW, claims, header, issued, key_for, ring_for, signed, text, verifier

FOREIGN: dict[str, Any] = {"HS": OctKey, "RS": RSAKey, "PS": RSAKey, "ES": ECKey, "Ed": OKPKey}


@pytest.fixture(autouse=True)
def eddsa_by_its_old_name() -> Iterator[None]:
    # joserfc says that RFC 9864 renames it; the name in use everywhere is still this one.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="EdDSA is deprecated")
        yield


def foreign(alg: str, number: int = 0) -> Any:
    return FOREIGN[alg[:2]].import_key(key_for(alg, number).serialised())


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_token_that_the_other_signed_is_accepted(alg: str) -> None:
    key = key_for(alg)
    token = jws.serialize_compact(header(key), text(claims()), foreign(alg), algorithms=[alg])
    identity = verifier(ring_for(alg)).verify(token.encode(), NOW)
    assert isinstance(identity, Identity)
    assert identity.key == key.kid


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_token_that_the_other_signed_with_another_key_is_refused(alg: str) -> None:
    token = jws.serialize_compact(header(key_for(alg)), text(claims()), foreign(alg, 1), algorithms=[alg])
    assert verifier(ring_for(alg)).verify(token.encode(), NOW) == Invalid("token_invalid", "signature")


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_token_that_we_issue_is_accepted_by_the_other(alg: str) -> None:
    token = issued(ring_for(alg))
    found = jws.deserialize_compact(token, foreign(alg), algorithms=[alg])
    assert json.loads(found.payload)["sub"] == "alice"
    assert found.headers() == header(key_for(alg))
    with pytest.raises(JoseError):
        jws.deserialize_compact(token, foreign(alg, 1), algorithms=[alg])


@pytest.mark.parametrize("alg", [alg for alg in ALGORITHMS if not alg.startswith("HS")])
def test_the_other_finds_our_keys_in_the_published_set(alg: str) -> None:
    ring = KeyRing([key_for(alg), load_key(key_for("ES256", 5).serialised(), "ES256", None, "next")])
    published: Any = json.loads(ring.jwks_bytes())
    keys = KeySet.import_key_set(published)
    found = jws.deserialize_compact(issued(ring), keys, algorithms=[alg])
    assert json.loads(found.payload)["sub"] == "alice"
    assert {key.kid for key in keys.keys} == {key.kid for key in ring.keys}
    assert key_for(alg).kid in {key.thumbprint() for key in keys.keys}


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_both_refuse_the_same_changed_signatures(alg: str) -> None:
    key = key_for(alg)
    start, _, _ = signed(key).rpartition(b".")
    good = key.sign(start)
    for place in range(0, len(good), max(1, len(good) // 8)):
        bad = bytearray(good)
        bad[place] ^= 0x10
        token = start + b"." + encode(bytes(bad)).encode()
        assert isinstance(verifier(ring_for(alg)).verify(token, NOW), Invalid)
        with pytest.raises(JoseError):
            jws.deserialize_compact(token, foreign(alg), algorithms=[alg])
