"""Loading keys: what is taken, what is turned away, and that each refusal names a command that helps."""

import base64
import json
import re
import secrets
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x25519

from gateway.errors import ConfigError
from gateway.tokens.algorithms import SCHEMES
from gateway.tokens.base64url import encode
from gateway.tokens.keys import SigningKey, VerifyingKey, generate_key, load_key
from gateway.tokens.weak import weakness
from tests.programs import find, missing

from .forge import ALGORITHMS, key_for


def private_pem(
    key: object,
    form: serialization.PrivateFormat = serialization.PrivateFormat.PKCS8,
    password: bytes | None = None,
) -> bytes:
    protection: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password is not None:
        protection = serialization.BestAvailableEncryption(password)
    return key.private_bytes(serialization.Encoding.PEM, form, protection)  # type: ignore[attr-defined, no-any-return]


def public_pem(key: VerifyingKey) -> bytes:
    assert not isinstance(key.public, bytes)
    return key.public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def refusal(content: bytes, alg: str, kid: str | None = None) -> str:
    """Return the text with which *content* is refused."""
    with pytest.raises(ConfigError) as caught:
        load_key(content, alg, kid)
    return str(caught.value)


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_generated_key_is_the_same_key_when_it_is_loaded_again(alg: str) -> None:
    made = key_for(alg)
    again = load_key(made.serialised(), alg, made.kid)
    assert isinstance(again, SigningKey)
    assert (again.kid, again.alg, again.fingerprint) == (made.kid, alg, made.fingerprint)
    assert again.verify(b"message", made.sign(b"message"))
    assert made.verify(b"message", again.sign(b"message"))


@pytest.mark.parametrize("alg", [alg for alg in ALGORITHMS if not alg.startswith("HS")])
def test_a_public_key_verifies_and_has_the_same_name_but_cannot_sign(alg: str) -> None:
    made = key_for(alg)
    public = load_key(public_pem(made), alg)
    assert type(public) is VerifyingKey
    assert public.kid == made.kid
    assert public.verify(b"message", made.sign(b"message"))
    assert not public.verify(b"messagf", made.sign(b"message"))


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_signature_has_exactly_the_length_of_its_key(alg: str) -> None:
    key = key_for(alg)
    signature = key.sign(b"message")
    assert len(signature) == key.signature_size
    for other in (b"", signature[:-1], signature + b"\x00", b"\x00" + signature):
        assert not key.verify(b"message", other)


@pytest.mark.parametrize(
    ("form", "alg"),
    [
        pytest.param(serialization.PrivateFormat.TraditionalOpenSSL, "RS256", id="PKCS #1"),
        pytest.param(serialization.PrivateFormat.TraditionalOpenSSL, "ES256", id="SEC 1"),
        pytest.param(serialization.PrivateFormat.PKCS8, "PS512", id="PKCS #8"),
    ],
)
def test_the_usual_forms_of_pem_are_read(form: serialization.PrivateFormat, alg: str) -> None:
    made = key_for(alg)
    pem = private_pem(made.private, form)
    assert load_key(b"a remark of openssl\n" + pem, alg).kid == made.kid
    assert load_key(pem.replace(b"\n", b"\r\n"), alg).kid == made.kid


@pytest.mark.parametrize("alg", [alg for alg in ALGORITHMS if not alg.startswith("HS")])
def test_a_json_web_key_is_read(alg: str) -> None:
    made = key_for(alg)
    jwk = made.jwk()
    assert jwk is not None
    again = load_key(json.dumps(jwk | {"key_ops": ["verify"]}, indent=1).encode(), alg)
    assert again.kid == made.kid
    assert again.verify(b"message", made.sign(b"message"))


def test_a_secret_is_taken_literally_without_the_line_end_behind_it() -> None:
    secret = secrets.token_urlsafe(48).encode()
    key = load_key(secret, "HS256")
    assert isinstance(key, SigningKey)
    for ending in (b"\n", b"\r\n", b"\n\n"):
        again = load_key(secret + ending, "HS256")
        assert again.kid == key.kid
        assert again.verify(b"message", key.sign(b"message"))
    raw = secrets.token_bytes(31) + b" "
    assert load_key(raw, "HS256").public == raw
    assert load_key(b'{"' + secret, "HS256").public == b'{"' + secret


def test_a_secret_is_named_without_telling_it_and_a_generated_one_at_random() -> None:
    secret = secrets.token_urlsafe(48).encode()
    first, second = load_key(secret, "HS256"), load_key(secret, "HS256")
    assert first.kid == second.kid  # so that replicas agree
    assert first.kid != load_key(secrets.token_urlsafe(48).encode(), "HS256").kid
    assert generate_key("HS256").kid != generate_key("HS256").kid
    assert first.jwk() is None


def test_neither_secret_nor_private_key_shows_when_a_key_is_printed() -> None:
    for alg in ("HS256", "ES256"):
        key = key_for(alg)
        assert repr(key) == f"SigningKey(kid={key.kid!r}, alg={alg!r}, state='current')"


@pytest.mark.parametrize("kid", ["", "a b", "a\n", "k" * 129, "ключ", '"', "a,b"])
def test_a_kid_with_odd_characters_is_refused(kid: str) -> None:
    assert "kid" in refusal(key_for("ES256").serialised(), "ES256", kid)


@pytest.mark.parametrize("alg", ["none", "HS1", "hs256", "ES256K", "RSA", "", "Ed448"])
def test_an_unknown_algorithm_is_refused_with_the_known_ones(alg: str) -> None:
    assert "RS256" in refusal(key_for("ES256").serialised(), alg)
    with pytest.raises(ConfigError, match="EdDSA"):
        generate_key(alg)


def test_an_unknown_state_is_refused() -> None:
    with pytest.raises(ConfigError, match="current, next, retired"):
        load_key(key_for("ES256").serialised(), "ES256", None, "active")  # type: ignore[arg-type]


# ---- weak and wrong keys --------------------------------------------------------------------------------------------


def weak_rsa() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 1024)


def rsa_jwk(n: int, e: int) -> bytes:
    def number(value: int) -> str:
        return encode(value.to_bytes((value.bit_length() + 7) // 8 or 1, "big"))

    return json.dumps({"kty": "RSA", "n": number(n), "e": number(e)}).encode()


def strong_modulus() -> int:
    public = key_for("RS256").public
    assert isinstance(public, rsa.RSAPublicKey)
    return public.public_numbers().n


@pytest.mark.item("E17", 23)
@pytest.mark.parametrize("alg", ["RS256", "RS512", "PS256", "PS384"])
def test_an_rsa_key_of_less_than_2048_bits_is_refused(alg: str) -> None:
    key = weak_rsa()
    said = refusal(private_pem(key), alg)
    assert "1024 bits where at least 2048" in said
    assert "openssl genpkey -algorithm RSA" in said
    numbers = key.public_key().public_numbers()
    assert "at least 2048" in refusal(rsa_jwk(numbers.n, numbers.e), alg)
    assert "openssl genpkey" in refusal(rsa_jwk(7 * 11, 65537), alg)


@pytest.mark.item(23)
@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 17, 65536, 2**20, 65537 * 2])
def test_an_rsa_key_with_a_weak_exponent_is_refused(exponent: int) -> None:
    said = refusal(rsa_jwk(strong_modulus(), exponent), "RS256")
    assert "openssl genpkey" in said
    assert "exponent" in said or "cannot be read" in said or "base64url" in said


def test_an_rsa_key_that_is_too_slow_is_refused() -> None:
    assert "too slow" in refusal(rsa_jwk((1 << 8999) + 1, 65537), "RS256")


@pytest.mark.item(23)
@pytest.mark.parametrize(("alg", "crv"), [("ES256", "P-256"), ("ES384", "P-384"), ("ES512", "P-521")])
def test_a_point_off_the_curve_is_refused(alg: str, crv: str) -> None:
    jwk = key_for(alg).jwk()
    assert jwk is not None
    for change in ({"x": jwk["y"]}, {"y": jwk["x"]}, {"x": encode(b"\x01"), "y": encode(b"\x01")}):
        said = refusal(json.dumps(jwk | change).encode(), alg)
        assert crv in said  # in the command
    zero = encode(b"\x00" * SCHEMES[alg].coordinate)
    refusal(json.dumps(jwk | {"x": zero, "y": zero}).encode(), alg)


def test_a_damaged_pem_is_refused() -> None:
    pem = key_for("ES256").serialised()
    lines = pem.splitlines(keepends=True)
    for damaged in (lines[0] + lines[-1], b"".join([lines[0], lines[1][::-1], *lines[2:]]), pem[:-40], pem[20:]):
        assert "openssl genpkey -algorithm EC" in refusal(damaged, "ES256")


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_key_of_another_kind_is_refused(alg: str) -> None:
    kind = SCHEMES[alg].family, SCHEMES[alg].curve
    others = [
        private_pem(ec.generate_private_key(ec.SECP256K1())),
        private_pem(ed448.Ed448PrivateKey.generate()),
        private_pem(x25519.X25519PrivateKey.generate()),
    ]
    candidates = ("RS256", "ES256", "ES384", "ES512", "EdDSA")
    others += [key_for(o).serialised() for o in candidates if (SCHEMES[o].family, SCHEMES[o].curve) != kind]
    for pem in others:
        said = refusal(pem, alg)
        assert SCHEMES[alg].command in said


def test_an_encrypted_key_is_refused_with_the_way_out() -> None:
    pem = private_pem(key_for("ES256").private, password=b"password")
    assert "openssl pkey" in refusal(pem, "ES256")


def test_a_certificate_is_refused_with_the_way_out() -> None:
    pem = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    assert "openssl x509 -pubkey" in refusal(pem, "RS256")


@pytest.mark.parametrize("content", [b"", b"\n", b"hello", b"\x00\xff", b"{}", b'{"kty":"RSA"}', b"[1]"], ids=repr)
@pytest.mark.parametrize("alg", ["RS256", "ES256", "EdDSA", "HS256"])
def test_what_is_no_key_at_all_is_refused(content: bytes, alg: str) -> None:
    assert SCHEMES[alg].command in refusal(content, alg)


@pytest.mark.item("E17")
@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"use": "enc"}, id="use enc"),
        pytest.param({"use": None}, id="use null"),
        pytest.param({"key_ops": ["encrypt"]}, id="key_ops encrypt"),
        pytest.param({"key_ops": ["verify", "deriveKey"]}, id="key_ops more than signatures"),
        pytest.param({"key_ops": []}, id="key_ops empty"),
        pytest.param({"key_ops": "verify"}, id="key_ops text"),
        pytest.param({"key_ops": [["verify"]]}, id="key_ops nested"),
        pytest.param({"alg": "ES384"}, id="another algorithm"),
        pytest.param({"alg": None}, id="alg null"),
        pytest.param({"kty": "OKP"}, id="another type"),
        pytest.param({"kty": None}, id="type null"),
        pytest.param({"crv": "P-384"}, id="another curve"),
        pytest.param({"crv": "secp256r1"}, id="curve by another name"),
        pytest.param({"kid": 7}, id="kid number"),
        pytest.param({"x": "AAAA="}, id="padding"),
        pytest.param({"x": "not base64"}, id="not base64url"),
        pytest.param({"x": 7}, id="number"),
        pytest.param({"x": "é"}, id="not ASCII"),
        pytest.param({"x": ""}, id="empty"),
        pytest.param({"d": "AAAA"}, id="a private part of another key"),
    ],
)
def test_a_json_web_key_that_is_not_for_our_signatures_is_refused(change: dict[str, object]) -> None:
    jwk = key_for("ES256").jwk()
    assert jwk is not None
    said = refusal(json.dumps({**jwk, **change}).encode(), "ES256")
    assert "ES256 key" in said


def test_a_json_web_key_with_a_member_twice_is_refused() -> None:
    jwk = key_for("ES256").jwk()
    assert jwk is not None
    text = json.dumps(jwk)
    assert "named twice" in refusal((text[:-1] + ',"use":"sig"}').encode(), "ES256")


# ---- secrets --------------------------------------------------------------------------------------------------------

PLACEHOLDERS = [
    "secret",
    "changeme",
    "change-me",
    "password",
    "test",
    "your-256-bit-secret",
    "your-384-bit-secret",
    "your-512-bit-secret",
    "a-string-secret-at-least-256-bits-long",
    "a-valid-string-secret-that-is-at-least-512-bits-long-which-is-very-long",
    "my-super-secret-jwt-key-change-in-production",
    "MySuperSecretKeyThatIsVeryLongAndSecure1234567890",
    "change_this_to_a_long_random_string_in_production_2024",
    "CHANGE ME CHANGE ME CHANGE ME CHANGE ME CHANGE ME",
    "supersecretsupersecretsupersecretsecretkey",
    "<your secret key here, at least 32 characters long>",
    "0123456789abcdef0123456789abcdef",
    "abcdefghijklmnopqrstuvwxyz0123456789",
    "thisisasecretthisisasecretthisisasecretkey",
    "replace-me-with-openssl-rand-base64-32-output-please",
]


@pytest.mark.item(24)
@pytest.mark.parametrize("secret", PLACEHOLDERS)
def test_a_placeholder_out_of_a_manual_is_refused(secret: str) -> None:
    for alg in ("HS256", "HS512"):
        assert "openssl rand -base64 48" in refusal(secret.encode(), alg)
    # However long: it is not the length that makes it a secret.
    assert weakness((secret + "-" + secret.upper()).encode(), 16) is not None


@pytest.mark.item("E17", 23)
@pytest.mark.parametrize(("alg", "least"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_a_secret_shorter_than_its_hash_is_refused(alg: str, least: int) -> None:
    secret = secrets.token_bytes(least - 2) + b"zz"
    assert load_key(secret, alg).signature_size == least
    assert f"{least - 1} bytes where at least {least}" in refusal(secret[1:], alg)


@pytest.mark.parametrize(
    "secret", [b"\x00" * 64, b"a" * 64, b"abcd" * 16, b"k3Jx9Qz" * 10, bytes(range(7)) * 12], ids=repr
)
def test_a_pattern_is_no_secret(secret: bytes) -> None:
    assert "openssl rand" in refusal(secret, "HS256")


@pytest.mark.parametrize("length", [9, 12, 16])
def test_a_repeated_pattern_is_no_secret_however_random_it_looks(length: int) -> None:
    pattern = b"\x8fk3\xfeJx9Q\xa1zW7p\xe0L\x80"[:length]
    assert f"repeats a pattern of {length} bytes" in refusal(pattern * 8, "HS256")
    assert f"repeats a pattern of {length} bytes" in refusal((pattern * 8)[: 7 * length + 3], "HS256")


def test_no_random_secret_is_ever_taken_for_a_placeholder() -> None:
    for _ in range(300):
        assert weakness(secrets.token_bytes(32), 32) is None
        assert weakness(secrets.token_hex(32).encode(), 64) is None
        assert weakness(base64.b64encode(secrets.token_bytes(48)), 64) is None
        assert weakness(secrets.token_urlsafe(32).encode(), 32) is None


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_the_command_that_a_refusal_names_makes_a_key_that_loads(alg: str, tmp_path: Path) -> None:
    if find("openssl") is None:
        missing("openssl")
    found = re.search(r"make one with: (.+)$", refusal(b"", alg))
    assert found is not None
    subprocess.run(found[1], shell=True, cwd=tmp_path, check=True, capture_output=True)
    (file,) = tmp_path.iterdir()
    key = load_key(file.read_bytes(), alg)
    assert isinstance(key, SigningKey)
    assert key.verify(b"message", key.sign(b"message"))


def test_ed25519_is_the_only_curve_of_eddsa() -> None:
    made = ed25519.Ed25519PrivateKey.generate()
    assert load_key(private_pem(made), "EdDSA").signature_size == 64
    assert "ED25519" in refusal(private_pem(ed448.Ed448PrivateKey.generate()), "EdDSA")
