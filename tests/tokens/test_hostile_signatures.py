"""Signatures of the kinds that Project Wycheproof collects: each broke some library once. None may be accepted.

The forgers here hold the private key, so that what is wrong is exactly one thing: the padding, the hash, the encoding
or the range of a number.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterator

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from gateway.tokens.base64url import encode
from gateway.tokens.keys import SigningKey
from gateway.tokens.verify import Identity, Invalid

from .forge import ALGORITHMS, NOW, claims, header, key_for, ring_for, text, verifier

HASHES: dict[str, hashes.HashAlgorithm] = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}

# DER of the AlgorithmIdentifier with its digest header (RFC 8017 section 9.2, note 1).
DIGEST_INFO = {
    "256": bytes.fromhex("3031300d060960864801650304020105000420"),
    "384": bytes.fromhex("3041300d060960864801650304020205000430"),
    "512": bytes.fromhex("3051300d060960864801650304020305000440"),
}
WITHOUT_NULL = {
    "256": bytes.fromhex("302f300b0609608648016503040201 0420"),
    "384": bytes.fromhex("303f300b0609608648016503040202 0430"),
    "512": bytes.fromhex("304f300b0609608648016503040203 0440"),
}


def signing_input(key: SigningKey) -> bytes:
    return f"{encode(text(header(key)))}.{encode(text(claims()))}".encode()


def accepted(alg: str, signature: bytes) -> bool:
    key = key_for(alg)
    token = signing_input(key) + b"." + encode(signature).encode()
    found = verifier(ring_for(alg)).verify(token, NOW)
    if isinstance(found, Invalid):
        assert found in {Invalid("token_invalid", "signature"), Invalid("token_invalid", "malformed")}
    return isinstance(found, Identity)


# ---- every algorithm ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_right_signature_is_accepted_so_that_the_rest_means_something(alg: str) -> None:
    key = key_for(alg)
    assert accepted(alg, key.sign(signing_input(key)))


@pytest.mark.item(28)
@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_signature_of_the_wrong_length_is_refused(alg: str) -> None:
    key = key_for(alg)
    good = key.sign(signing_input(key))
    for size in (0, 1, 8, 16, 20, 32, 48, 63, 64, 65, 72, 96, 128, 132, 133, 256, 512):
        if size != len(good):
            assert not accepted(alg, good[:size].ljust(size, b"\x00"))
    for other in (
        good + b"\x00",
        b"\x00" + good,
        good[1:],
        good[:-1],
        good + good,
        good + b"\x00" * 64,
        good.hex().encode(),
    ):
        assert not accepted(alg, other)


@pytest.mark.item(28)
@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_signature_of_zeros_or_ones_is_refused(alg: str) -> None:
    size = key_for(alg).signature_size
    for octet in (b"\x00", b"\x01", b"\x7f", b"\x80", b"\xff"):
        assert not accepted(alg, octet * size)
    assert not accepted(alg, b"\x00" * (size - 1) + b"\x01")


@pytest.mark.item(28)
@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_signature_with_any_single_bit_changed_is_refused(alg: str) -> None:
    key = key_for(alg)
    good = key.sign(signing_input(key))
    bits = len(good) * 8
    for bit in range(0, bits, max(1, bits // 64)):
        changed = bytearray(good)
        changed[bit // 8] ^= 1 << bit % 8
        assert not accepted(alg, bytes(changed))


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_signature_over_something_else_is_refused(alg: str) -> None:
    key = key_for(alg)
    start = signing_input(key)
    head, body = start.split(b".")
    for other in (b"", head, body, body + b"." + head, start + b".", start + b"\n", start.lower(), text(claims())):
        assert not accepted(alg, key.sign(other))


# ---- HMAC -----------------------------------------------------------------------------------------------------------


@pytest.mark.item(28)
@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_a_mac_that_is_cut_or_of_another_hash_is_refused(alg: str) -> None:
    key = key_for(alg)
    assert isinstance(key.private, bytes)
    start = signing_input(key)
    for name in ("md5", "sha1", "sha224", "sha256", "sha384", "sha512", "sha3_256", "blake2b"):
        mac = hmac.digest(key.private, start, name)
        if name != f"sha{alg[2:]}":
            assert not accepted(alg, mac)
            assert not accepted(alg, mac[: key.signature_size].ljust(key.signature_size, b"\x00"))
    for secret in (b"", b"\x00", key.private[:-1], key.private[1:], key.kid.encode()):
        assert not accepted(alg, hmac.digest(secret, start, f"sha{alg[2:]}"))


# ---- RSA, PKCS #1 v1.5 ----------------------------------------------------------------------------------------------


def rsa_numbers(alg: str) -> tuple[int, int, int]:
    """Return n, d and the bytes of a signature."""
    private = key_for(alg).private
    assert isinstance(private, rsa.RSAPrivateKey)
    return private.private_numbers().public_numbers.n, private.private_numbers().d, private.key_size // 8


def raw_signature(alg: str, block: bytes) -> bytes:
    """Return the signature that opens to *block*."""
    n, d, size = rsa_numbers(alg)
    assert len(block) == size
    return pow(int.from_bytes(block, "big"), d, n).to_bytes(size, "big")


def padded(size: int, tail: bytes, start: bytes = b"\x00\x01", fill: bytes = b"\xff", end: bytes = b"\x00") -> bytes:
    return start + fill * (size - len(start) - len(end) - len(tail)) + end + tail


def wrong_blocks(bits: str, size: int, message: bytes) -> Iterator[tuple[str, bytes]]:
    digest = hashlib.new(f"sha{bits}", message).digest()
    right = DIGEST_INFO[bits] + digest
    yield "NULL left out", padded(size, WITHOUT_NULL[bits] + digest)
    yield "digest alone", padded(size, digest)
    yield "SHA-1", padded(size, bytes.fromhex("3021300906052b0e03021a05000414") + hashlib.sha1(message).digest())
    yield "MD5", padded(size, bytes.fromhex("3020300c06082a864886f70d020505000410") + hashlib.md5(message).digest())
    for other, info in DIGEST_INFO.items():
        if other != bits:
            yield f"SHA-{other}", padded(size, info + hashlib.new(f"sha{other}", message).digest())
            yield f"SHA-{other} by name only", padded(size, info[:-1] + DIGEST_INFO[bits][-1:] + digest)
    yield "padding too short, rubbish behind", (b"\x00\x01" + b"\xff" * 8 + b"\x00" + right).ljust(size, b"\x00")
    yield "padding too short, ones behind", (b"\x00\x01" + b"\xff" * 8 + b"\x00" + right).ljust(size, b"\xff")
    yield "no padding", (b"\x00\x01\x00" + right).ljust(size, b"\xff")
    yield "encryption padding", padded(size, right, start=b"\x00\x02", fill=b"\xaa")
    yield "block type 0", padded(size, right, start=b"\x00\x00", fill=b"\x00", end=b"\x00")
    yield "block type 3", padded(size, right, start=b"\x00\x03")
    yield "padding not ones", padded(size, right, fill=b"\xfe")
    yield "one octet of padding wrong", padded(size, right).replace(b"\xff\x00", b"\xfe\x00", 1)
    yield "end mark missing", padded(size, right, end=b"\xff")
    yield "long form of a length", padded(size, b"\x30\x81" + right[1:])
    yield "parameters with rubbish", padded(size, right[:1] + bytes([right[1] + 4]) + right[2:] + b"\x04\x02ab")
    yield "rubbish behind the digest", padded(size, right + b"\x00")
    yield "digest cut", padded(size, right[:-1])
    yield "nothing", padded(size, b"")


@pytest.mark.item(28)
@pytest.mark.parametrize("alg", ["RS256", "RS384", "RS512"])
def test_a_block_that_is_not_exactly_right_is_refused(alg: str) -> None:
    _, _, size = rsa_numbers(alg)
    message = signing_input(key_for(alg))
    right = padded(size, DIGEST_INFO[alg[2:]] + hashlib.new(f"sha{alg[2:]}", message).digest())
    assert accepted(alg, raw_signature(alg, right))
    for what, block in wrong_blocks(alg[2:], size, message):
        assert not accepted(alg, raw_signature(alg, block)), what
        assert not accepted(alg, block), what


@pytest.mark.item(28)
@pytest.mark.parametrize("alg", ["RS256", "RS512", "PS256", "PS512"])
def test_a_signature_outside_the_modulus_is_refused(alg: str) -> None:
    n, _, size = rsa_numbers(alg)
    key = key_for(alg)
    good = int.from_bytes(key.sign(signing_input(key)), "big")
    for value in (good + n, n, n - 1, n + 1, 0, 1, 2, n - good):
        if value < 1 << size * 8:
            assert not accepted(alg, value.to_bytes(size, "big"))
        assert not accepted(alg, value.to_bytes(size + 1, "big"))


# ---- RSA, PSS -------------------------------------------------------------------------------------------------------


@pytest.mark.item(28)
@pytest.mark.parametrize("alg", ["PS256", "PS384", "PS512"])
def test_pss_with_another_hash_mask_or_salt_is_refused(alg: str) -> None:
    key = key_for(alg)
    assert isinstance(key.private, rsa.RSAPrivateKey)
    message = signing_input(key)
    right = HASHES[alg[2:]]

    def sign(mask: hashes.HashAlgorithm, salt: int, digest: hashes.HashAlgorithm) -> bytes:
        assert isinstance(key.private, rsa.RSAPrivateKey)
        return key.private.sign(message, padding.PSS(padding.MGF1(mask), salt), digest)

    assert accepted(alg, sign(right, right.digest_size, right))
    for salt in (0, 1, 20, right.digest_size - 1, right.digest_size + 1, 100):
        assert not accepted(alg, sign(right, salt, right))
    for other in (*HASHES.values(), hashes.SHA1(), hashes.SHA3_256()):
        if other.name != right.name:
            assert not accepted(alg, sign(other, right.digest_size, right))
            assert not accepted(alg, sign(right, right.digest_size, other))
            assert not accepted(alg, sign(other, other.digest_size, other))
    assert not accepted(alg, key.private.sign(message, padding.PKCS1v15(), right))


# ---- ECDSA ----------------------------------------------------------------------------------------------------------

# Bytes of a coordinate, and the order of the group (FIPS 186-5, SP 800-186).
CURVES = {
    "ES256": (32, int("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 16)),
    "ES384": (
        48,
        int("ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973", 16),
    ),
    "ES512": (66, int("01ff" + "f" * 63 + "a51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409", 16)),
}


def ecdsa(alg: str) -> tuple[int, int]:
    key = key_for(alg)
    size = CURVES[alg][0]
    raw = key.sign(signing_input(key))
    return int.from_bytes(raw[:size], "big"), int.from_bytes(raw[size:], "big")


def fixed(alg: str, r: int, s: int) -> bytes:
    size = CURVES[alg][0]
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


@pytest.mark.item(28)
@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512"])
def test_numbers_outside_the_order_of_the_curve_are_refused(alg: str) -> None:
    r, s = ecdsa(alg)
    order = CURVES[alg][1]
    limit = 1 << CURVES[alg][0] * 8
    assert accepted(alg, fixed(alg, r, s))
    edges = [0, 1, 2, order - 1, order, order + 1, limit - 1]
    for one in edges:
        for other in (*edges, r, s):
            assert not accepted(alg, fixed(alg, one, other))
            assert not accepted(alg, fixed(alg, other, one))
    for moved_r, moved_s in ((r + order, s), (r, s + order), (r + order, s + order)):
        if moved_r < limit and moved_s < limit:
            assert not accepted(alg, fixed(alg, moved_r, moved_s))
    assert not accepted(alg, fixed(alg, s, r))


@pytest.mark.item(25)
@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512"])
def test_the_twin_of_a_signature_is_valid_mathematics_and_the_same_identity(alg: str) -> None:
    # Not refused: RFC 7518 does not ask for small s. What must hold is that revocation goes by jti and sid.
    r, s = ecdsa(alg)
    assert accepted(alg, fixed(alg, r, CURVES[alg][1] - s))


@pytest.mark.item(28)
@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512"])
def test_der_and_other_layouts_are_refused(alg: str) -> None:
    r, s = ecdsa(alg)
    size, _ = CURVES[alg]
    der = encode_dss_signature(r, s)
    assert decode_dss_signature(der) == (r, s)
    little = r.to_bytes(size, "little") + s.to_bytes(size, "little")
    for other in (der, der.ljust(2 * size, b"\x00"), der[-2 * size :], little, b"\x00" + fixed(alg, r, s)):
        assert not accepted(alg, other)
    wide = r.to_bytes(size + 1, "big") + s.to_bytes(size + 1, "big")
    assert not accepted(alg, wide)


@pytest.mark.parametrize(("alg", "bits"), [("ES256", "384"), ("ES256", "512"), ("ES384", "256"), ("ES512", "256")])
def test_ecdsa_with_the_hash_of_another_algorithm_is_refused(alg: str, bits: str) -> None:
    key = key_for(alg)
    assert isinstance(key.private, ec.EllipticCurvePrivateKey)
    r, s = decode_dss_signature(key.private.sign(signing_input(key), ec.ECDSA(HASHES[bits])))
    assert not accepted(alg, fixed(alg, r, s))


# ---- EdDSA ----------------------------------------------------------------------------------------------------------

L = 2**252 + 27742317777372353535851937790883648493
P = 2**255 - 19

SMALL_ORDER = [
    (1).to_bytes(32, "little"),
    (P - 1).to_bytes(32, "little"),
    bytes(32),
    bytes(31) + b"\x80",
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    (P + 1).to_bytes(32, "little"),
    P.to_bytes(32, "little"),
]


@pytest.mark.item(28)
def test_a_second_spelling_of_the_number_s_is_refused() -> None:
    key = key_for("EdDSA")
    good = key.sign(signing_input(key))
    point, s = good[:32], int.from_bytes(good[32:], "little")
    for times in range(1, 16):
        if s + times * L < 2**256:
            assert not accepted("EdDSA", point + (s + times * L).to_bytes(32, "little"))
    for value in (0, 1, L - 1, L, L + 1, 2**252, 2**253, 2**256 - 1, L - s):
        assert not accepted("EdDSA", point + value.to_bytes(32, "little"))


@pytest.mark.item(28)
def test_points_of_small_order_and_points_off_the_curve_are_refused() -> None:
    key = key_for("EdDSA")
    good = key.sign(signing_input(key))
    for point in (*SMALL_ORDER, b"\x02" + bytes(31), b"\xff" * 32, good[32:]):
        for s in (bytes(32), good[32:], L.to_bytes(32, "little")):
            assert not accepted("EdDSA", point + s)
    flipped = good[:31] + bytes([good[31] ^ 0x80]) + good[32:]
    assert not accepted("EdDSA", flipped)


def test_a_prehashed_message_is_another_message() -> None:
    key = key_for("EdDSA")
    start = signing_input(key)
    digests: list[Callable[[bytes], hashlib._Hash]] = [hashlib.sha256, hashlib.sha512]
    for digest in digests:
        assert not accepted("EdDSA", key.sign(digest(start).digest()))
