"""The tokens of the benchmark are what the gateway issues, and the bad ones are bad in one way only."""

from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from tests.bench import tokens


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tokens.Material:
    return tokens.material(tmp_path_factory.mktemp("keys"))


def decoded(keys: tokens.Material, token: str) -> dict[str, object]:
    key = load_pem_public_key(keys.public_key.read_bytes())
    claims: dict[str, object] = jwt.decode(
        token,
        key,  # type: ignore[arg-type]  # any public key type is allowed here, PyJWT's union is narrower
        algorithms=["RS256"],
        audience=tokens.AUDIENCE,
        issuer=tokens.ISSUER,
    )
    return claims


def test_a_good_token_verifies_and_says_at_jwt(keys: tokens.Material) -> None:
    token = tokens.Mint(keys).token()
    assert decoded(keys, token)["roles"] == [tokens.ROLE]
    assert jwt.get_unverified_header(token) == {"typ": "at+jwt", "alg": "RS256", "kid": keys.rsa_kid}


def test_no_two_tokens_are_the_same(keys: tokens.Material) -> None:
    assert len(set(tokens.Mint(keys, "HS256").tokens(50))) == 50


@pytest.mark.parametrize(
    ("make", "error"),
    [
        pytest.param(tokens.Mint.forged, jwt.InvalidSignatureError, id="forged"),
        pytest.param(tokens.Mint.unsigned, jwt.InvalidAlgorithmError, id="unsigned"),
        pytest.param(tokens.Mint.confused, jwt.InvalidAlgorithmError, id="confused"),
        pytest.param(lambda mint: mint.token(lifetime=-60), jwt.ExpiredSignatureError, id="expired"),
    ],
)
def test_a_bad_token_is_refused_for_its_own_reason(keys: tokens.Material, make: object, error: type[Exception]) -> None:
    assert callable(make)
    with pytest.raises(error):
        decoded(keys, make(tokens.Mint(keys)))


def test_keys_are_readable_by_their_owner_only(keys: tokens.Material) -> None:
    for path in (keys.private_key, keys.secret, keys.certificate_key):
        assert Path(path).stat().st_mode & 0o077 == 0
