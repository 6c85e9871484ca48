"""Published examples: RFC 7515 appendix A.1 to A.4, RFC 7638 section 3.1, RFC 8037 appendix A."""

import json

import pytest

from gateway.tokens import jwk
from gateway.tokens.algorithms import SCHEMES
from gateway.tokens.base64url import decode
from gateway.tokens.keys import SigningKey, VerifyingKey, load_key
from gateway.tokens.strict import Malformed, Parsed, parse

JOE = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"

A1_KEY = {
    "kty": "oct",
    "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
}
A1 = f"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{JOE}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"

A2_KEY = {
    "kty": "RSA",
    "n": (
        "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZ"
        "S-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2"
        "R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcD"
        "TW9gb54h4FRWyuXpoQ"
    ),
    "e": "AQAB",
}
A2 = (
    f"eyJhbGciOiJSUzI1NiJ9.{JOE}."
    "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CU"
    "Ar7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_d"
    "O--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0ig"
    "cN_IoypGlUPQGe77Rw"
)

A3_KEY = {
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}
A3 = (
    f"eyJhbGciOiJFUzI1NiJ9.{JOE}.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
)

A4_KEY = {
    "kty": "EC",
    "crv": "P-521",
    "x": "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
    "y": "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2",
}
A4 = (
    "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA."
    "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2Y"
    "BJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn"
)

ED25519_KEY = {
    "kty": "OKP",
    "crv": "Ed25519",
    "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
}
ED25519 = (
    "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
)


def key(alg: str, members: dict[str, str]) -> VerifyingKey:
    return load_key(json.dumps(members).encode(), alg)


@pytest.mark.parametrize(
    ("alg", "members", "token"),
    [
        pytest.param("HS256", A1_KEY, A1, id="RFC 7515 A.1"),
        pytest.param("RS256", A2_KEY, A2, id="RFC 7515 A.2"),
        pytest.param("ES256", A3_KEY, A3, id="RFC 7515 A.3"),
        pytest.param("ES512", A4_KEY, A4, id="RFC 7515 A.4"),
        pytest.param("EdDSA", ED25519_KEY, ED25519, id="RFC 8037 A.4"),
    ],
)
def test_a_published_signature_is_good_and_a_bit_less_is_not(alg: str, members: dict[str, str], token: str) -> None:
    signing_input, _, spelled = token.encode().rpartition(b".")
    signature = decode(spelled)
    assert signature is not None
    trusted = key(alg, members)
    assert trusted.verify(signing_input, signature)
    assert not trusted.verify(signing_input + b"A", signature)
    assert not trusted.verify(signing_input, signature[:-1] + bytes([signature[-1] ^ 1]))


@pytest.mark.parametrize("token", [A1, A2, A3], ids=["A.1", "A.2", "A.3"])
def test_the_parser_reads_published_tokens(token: str) -> None:
    parsed = parse(token.encode())
    assert isinstance(parsed, Parsed)
    assert parsed.claims == {"iss": "joe", "exp": 1300819380, "http://example.com/is_root": True}


@pytest.mark.parametrize("token", [A4, ED25519], ids=["A.4", "RFC 8037 A.4"])
def test_a_published_token_whose_payload_is_no_object_is_refused(token: str) -> None:
    assert parse(token.encode()) == Malformed("malformed")


def test_the_ed25519_key_of_rfc_8037_signs_as_published() -> None:
    signer = key("EdDSA", ED25519_KEY)
    assert isinstance(signer, SigningKey)
    signing_input, _, spelled = ED25519.encode().rpartition(b".")
    assert signer.sign(signing_input) == decode(spelled)
    assert signer.kid == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"  # RFC 8037 A.3


def test_the_thumbprint_of_rfc_7638_is_the_kid() -> None:
    members = {
        "kty": "RSA",
        "n": (
            "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiF"
            "V4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9"
            "c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1"
            "jF44-csFCur-kEgU8awapJzKnqDKgw"
        ),
        "e": "AQAB",
        "alg": "RS256",
    }
    assert key("RS256", members).kid == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


@pytest.mark.parametrize(
    ("alg", "members"),
    [("RS256", A2_KEY), ("ES256", A3_KEY), ("ES512", A4_KEY), ("EdDSA", {**ED25519_KEY, "d": ""})],
    ids=["RSA", "P-256", "P-521", "Ed25519"],
)
def test_public_members_are_spelled_as_published(alg: str, members: dict[str, str]) -> None:
    members = {name: value for name, value in members.items() if value}
    material, _ = jwk.read(json.dumps(members).encode(), SCHEMES[alg])
    assert jwk.members(material) == members  # type: ignore[arg-type]
