"""identity.md section 4 A, one test for each item (1 to 30), and what safety.md E adds to them."""

import hashlib
import hmac
import json
import sys

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from jwt.algorithms import HMACAlgorithm
from jwt.utils import raw_to_der_signature

from gateway.errors import ConfigError
from gateway.tokens import csrf, refresh
from gateway.tokens.base64url import encode
from gateway.tokens.cache import VerifiedTokens
from gateway.tokens.keys import KeyRing, SigningKey, keyring_from, load_key
from gateway.tokens.signing import VerifyingKey
from gateway.tokens.verify import Identity, Invalid

from .forge import (
    ABSENT,
    ALGORITHMS,
    NOW,
    claims,
    header,
    issued,
    judged,
    key_for,
    ring_of,
    seal,
    signed,
    text,
    unsigned,
    verifier,
    why,
)

KEY = "EdDSA"


class Outside:
    """What is asked of the system inside a `with` block: files, sockets, programs."""

    def __init__(self) -> None:
        self.active = False
        self.seen: list[str] = []
        sys.addaudithook(self._note)  # cannot be removed again, so it is switched

    def _note(self, event: str, arguments: object) -> None:
        if self.active and event.partition(".")[0] in {"open", "socket", "subprocess", "os", "urllib", "import"}:
            self.seen.append(event)

    def __enter__(self) -> None:
        self.seen.clear()
        self.active = True

    def __exit__(self, *_: object) -> None:
        self.active = False


@pytest.fixture(scope="module")
def outside() -> Outside:
    judged(issued(ring_of(key_for(KEY))))  # whatever is loaded lazily is loaded now
    return Outside()


def test_what_is_asked_of_the_system_would_be_noticed(outside: Outside) -> None:
    with outside, open(__file__, "rb"):
        pass
    assert outside.seen == ["open"]


# ---- 1 to 5, E1 to E3: algorithms belong to keys -------------------------------------------------------------------


@pytest.mark.item("E3", 1)
@pytest.mark.parametrize(
    "alg",
    ["none", "None", "NONE", "nOnE", "", " none", "none\x00", None, [], ["none"], {}, {"alg": "none"}, True, 0, ABSENT],
    ids=repr,
)
@pytest.mark.parametrize("signature", [b"", b"\x00", b"\x00" * 64], ids=["empty", "one byte", "64 bytes"])
def test_alg_none_in_any_spelling_is_refused(alg: object, signature: bytes) -> None:
    assert why(unsigned(header(key_for(KEY), alg=alg), claims(), signature)) in {"algorithm", "malformed"}


@pytest.mark.item(2)
@pytest.mark.parametrize("alg", ALGORITHMS)
def test_an_algorithm_in_the_wrong_case_is_refused(alg: str) -> None:
    key = key_for(alg)
    for spelling in {alg.lower(), alg.upper(), alg.title(), f" {alg}", f"{alg} "} - {alg}:
        assert why(signed(key, header(key, alg=spelling)), key) == "algorithm"


@pytest.mark.item(3)
@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_an_hmac_under_the_public_key_is_refused_in_every_form_of_the_key(alg: str) -> None:
    key = key_for("RS256")
    assert isinstance(key.public, rsa.RSAPublicKey)
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    pem = key.public.public_bytes(serialization.Encoding.PEM, spki)
    der = key.public.public_bytes(serialization.Encoding.DER, spki)
    pkcs1 = key.public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.PKCS1)
    body = b"".join(pem.splitlines()[1:-1])
    forms = [pem, pem.strip(), pem.replace(b"\n", b"\r\n"), der, pkcs1, body, json.dumps(key.jwk()).encode(), b""]
    hash_name = f"sha{alg[2:]}"
    for form in forms:
        for kid in (key.kid, ABSENT):
            start = f"{encode(text(header(key, alg=alg, kid=kid)))}.{encode(text(claims()))}".encode()
            forged = start + b"." + encode(hmac.digest(form, start, hash_name)).encode()
            assert why(forged, key) in {"algorithm", "kid"}


@pytest.mark.item(3)
@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_a_public_key_in_pem_is_no_secret(alg: str) -> None:
    public = key_for("ES256").public
    assert isinstance(public, ec.EllipticCurvePublicKey)
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(ConfigError, match="PEM file, not a secret"):
        load_key(pem, alg)


@pytest.mark.item(4)
def test_symmetric_and_asymmetric_keys_are_never_in_force_together() -> None:
    secret, public = key_for("HS256"), key_for("EdDSA")
    files = [(secret.serialised(), "HS256", None, "next"), (public.serialised(), "EdDSA", None, "current")]
    with pytest.raises(ConfigError, match=r"algorithm confusion.*openssl genpkey"):
        keyring_from(files)  # type: ignore[arg-type]


@pytest.mark.item(4)
def test_one_key_is_never_bound_to_two_algorithms() -> None:
    pem = key_for("RS256").serialised()
    with pytest.raises(ConfigError, match=r"one and the same.*openssl genpkey"):
        keyring_from([(pem, "RS256", "a", "current"), (pem, "PS256", "b", "retired")])


@pytest.mark.item("E1", 5)
@pytest.mark.parametrize("stated", ALGORITHMS)
@pytest.mark.parametrize("bound", ["HS256", "RS256", "PS256", "ES256", "ES384", "EdDSA"])
def test_a_token_is_verified_with_the_algorithm_of_the_key_and_no_other(bound: str, stated: str) -> None:
    key = key_for(bound)
    expected = "accepted" if stated == bound else "algorithm"
    assert why(signed(key, header(key, alg=stated)), key) == expected


@pytest.mark.item("E2", 5)
@pytest.mark.parametrize(
    ("signer", "bound"),
    [
        ("RS256", "PS256"),
        ("PS256", "RS256"),
        ("RS384", "RS256"),
        ("ES256", "ES384"),
        ("EdDSA", "ES256"),
        ("HS512", "HS256"),
    ],
)
def test_a_signature_of_another_algorithm_is_refused_even_when_the_header_lies(signer: str, bound: str) -> None:
    key = key_for(bound)
    assert why(signed(key_for(signer), header(key)), key) == "signature"


@pytest.mark.item(5)
def test_the_same_rsa_key_under_another_padding_is_refused() -> None:
    pem = key_for("RS256").serialised()
    rs, ps = load_key(pem, "RS256"), load_key(pem, "PS256")
    assert isinstance(rs, SigningKey)
    assert isinstance(ps, SigningKey)
    assert why(signed(rs, header(ps)), ps) == "signature"
    assert why(signed(ps, header(rs)), rs) == "signature"


# ---- 6 to 11, E4, E5, E7, E9, E18: headers lead nowhere ------------------------------------------------------------


@pytest.mark.item("E5", 6)
def test_an_unknown_kid_is_refused_without_asking_anybody(outside: Outside) -> None:
    key = key_for(KEY)
    tokens = [signed(key, header(key, kid=f"unknown-{number}")) for number in range(50)]
    with outside:
        assert {why(token) for token in tokens} == {"kid"}
    assert outside.seen == []


@pytest.mark.item("E18", 7)
@pytest.mark.parametrize(
    "kid",
    [
        "../../dev/null",
        "/dev/null",
        "' OR 1=1--",
        "https://evil.example/key",
        "|id",
        "x" * 10_000,
        "a\x00b",
        "\x00",
        "",
        "\n",
        7,
        1.5,
        True,
        None,
        [],
        ["k"],
        {},
        ABSENT,
    ],
    ids=lambda kid: repr(kid)[:20],
)
def test_kid_is_a_name_in_a_table_and_nothing_else(kid: object, outside: Outside) -> None:
    key = key_for(KEY)
    with outside:
        assert why(signed(key, header(key, kid=kid))) in {"kid", "too_long"}
    assert outside.seen == []


@pytest.mark.item("E4", 8)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("jku", "https://evil.example/jwks.json"),
        ("x5u", "https://evil.example/cert.pem"),
        ("jwk", key_for("ES256").jwk()),
        ("jwk", key_for("EdDSA").jwk()),
        ("x5c", ["MIIB"]),
        ("x5t", "AAAA"),
        ("x5t#S256", "AAAA"),
        ("iss", "https://evil.example"),
        ("url", "https://evil.example"),
        ("p2c", 2_000_000_000),
        ("epk", {}),
    ],
)
def test_a_header_that_brings_or_names_a_key_is_refused_and_not_followed(
    name: str, value: object, outside: Outside
) -> None:
    key = key_for(KEY)
    with outside:
        assert why(signed(key, header(key, **{name: value}))) == "header"
    assert outside.seen == []


@pytest.mark.item("E7", 9)
@pytest.mark.parametrize("crit", [["b64"], ["exp"], ["kid"], [], [""], "exp", None, {}, ["x", "x"]], ids=repr)
def test_crit_with_anything_in_it_is_refused(crit: object) -> None:
    key = key_for(KEY)
    assert why(signed(key, header(key, crit=crit))) == "header"


@pytest.mark.item("E9", 10)
@pytest.mark.parametrize("b64", [False, "false", 0, None, True], ids=repr)
def test_an_unencoded_payload_is_refused(b64: object) -> None:
    key = key_for(KEY)
    assert why(signed(key, header(key, b64=b64, crit=["b64"]))) == "header"
    assert why(signed(key, header(key, b64=b64))) == "header"
    raw = f"{encode(text(header(key, b64=b64, crit=['b64'])))}.".encode() + text(claims())
    assert why(raw + b"." + encode(key.sign(raw)).encode()) == "malformed"


@pytest.mark.item("E9", 11)
def test_compressed_and_encrypted_tokens_are_refused_without_unpacking_them() -> None:
    key = key_for(KEY)
    assert why(signed(key, header(key, zip="DEF"))) == "header"
    assert why(signed(key, header(key, enc="A256GCM"))) == "header"
    five = b".".join([encode(text({"alg": "PBES2-HS256+A128KW", "enc": "A128GCM", "p2c": 10**9})).encode()] * 5)
    assert why(five) == "malformed"


# ---- 12 to 22, E8, E13, E14, E16: one spelling, one reading --------------------------------------------------------


@pytest.mark.item("E16", 12)
@pytest.mark.parametrize(
    "tail",
    [
        b"=",
        b"==",
        b"====",
        b"!!!!",
        b"~~~~",
        b" ",
        b"\r\n",
        b"\n",
        b"\t",
        b"\x00",
        b"A",
        b"AA",
        b"AAAA",
        b"?",
        b"%3d",
        b",",
    ],
    ids=repr,
)
@pytest.mark.parametrize("alg", ["HS256", "RS256", "ES256", "EdDSA"])
def test_junk_behind_the_signature_is_refused(alg: str, tail: bytes) -> None:
    key = key_for(alg)
    good = signed(key)
    assert why(good, key) == "accepted"
    assert why(good + tail, key) in {"malformed", "signature"}


@pytest.mark.item("E16", 12)
@pytest.mark.parametrize("junk", [b"!", b"=", b" ", b"\n", b"+", b"/", b"\x00", b"\xff", b"."], ids=repr)
def test_junk_inside_any_segment_is_refused(junk: bytes) -> None:
    good = signed(key_for(KEY))
    for place in range(0, len(good), 7):
        assert why(good[:place] + junk + good[place:]) == "malformed"


@pytest.mark.item(12)
def test_the_alphabet_of_ordinary_base64_is_refused() -> None:
    key = key_for(KEY)
    seen = 0
    for number in range(40):
        good = signed(key, body=claims(jti=f"{number}>>>???ÿÿÿ"))
        other = good.replace(b"-", b"+").replace(b"_", b"/")
        if other != good:
            seen += 1
            assert why(other) == "malformed"
    assert seen > 20


@pytest.mark.item(13)
def test_spare_bits_that_are_not_zero_are_refused_in_every_segment() -> None:
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    key = key_for(KEY)
    seen = 0
    for length in range(3):
        good = signed(key, header(key, cty="x" * length), claims(jti="j" * (length + 1)))
        segments = good.split(b".")
        for number, segment in enumerate(segments):
            spare = {2: 16, 3: 4}.get(len(segment) % 4, 1)
            last = alphabet.index(segment[-1])
            for other in range(last + 1, last + spare):
                seen += 1
                twin = [*segments]
                twin[number] = segment[:-1] + alphabet[other : other + 1]
                assert why(b".".join(twin)) == "malformed"
    assert seen > 50


@pytest.mark.item("E3", 14)
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda t: b"", id="nothing"),
        pytest.param(lambda t: b".", id="a dot"),
        pytest.param(lambda t: b"..", id="two dots"),
        pytest.param(lambda t: t.rpartition(b".")[0], id="two segments"),
        pytest.param(lambda t: t + b".", id="a dot behind"),
        pytest.param(lambda t: b"." + t, id="a dot in front"),
        pytest.param(lambda t: t + b".AAAA", id="four segments"),
        pytest.param(lambda t: t + b".AAAA.AAAA", id="five segments"),
        pytest.param(lambda t: t.rpartition(b".")[0] + b".", id="no signature"),
        pytest.param(lambda t: b"." + t.partition(b".")[2], id="no header"),
        pytest.param(lambda t: t.split(b".")[0] + b".." + t.split(b".")[2], id="no claims"),
        pytest.param(lambda t: b" " + t, id="space in front"),
        pytest.param(lambda t: t + b"\n", id="line end behind"),
        pytest.param(lambda t: t[:40] + b"\x00" + t[40:], id="NUL inside"),
        pytest.param(lambda t: b"Bearer " + t, id="the scheme with it"),
        pytest.param(lambda t: t + b"," + t, id="two tokens"),
        pytest.param(lambda t: t.replace(b".", b"%2e"), id="dots encoded"),
        pytest.param(lambda t: b'{"payload":"","signature":"","protected":""}', id="JSON serialization"),
    ],
)
def test_anything_but_three_full_segments_is_refused(make: object) -> None:
    assert callable(make)
    assert why(make(signed(key_for(KEY)))) == "malformed"


@pytest.mark.item(15)
@pytest.mark.parametrize(
    "tail", ["é".encode(), b"\xff", b"\x80", "\udc80".encode("utf-8", "surrogatepass"), "٣".encode()]
)
def test_bytes_beyond_ascii_are_refused_and_never_an_error(tail: bytes) -> None:
    good = signed(key_for(KEY))
    for token in (good + tail, tail + good, good[:30] + tail + good[30:], tail):
        assert why(token) == "malformed"


@pytest.mark.item(16)
@pytest.mark.parametrize("depth", [3, 1_000, 2_500])
@pytest.mark.parametrize("opening", [b'{"a":', b"["])
def test_a_deeply_nested_header_is_refused_and_never_an_error(depth: int, opening: bytes) -> None:
    head = b'{"alg":"EdDSA","kid":' + opening * depth
    assert why(unsigned(head, claims())) in {"malformed", "too_long"}
    assert verifier(ring_of(key_for(KEY))).verify(unsigned(b'{"a":' * 100_000, b"{}"), NOW) == Invalid(
        "token_invalid", "too_long"
    )


@pytest.mark.item(17)
def test_deeply_nested_claims_are_refused_though_the_signature_is_good() -> None:
    key = key_for(KEY)
    for depth in (40, 1_000, 2_500):
        deep = text(claims())[:-1] + b',"x":' + b"[" * depth + b"]" * depth + b"}"
        assert why(signed(key, body=deep)) in {"malformed", "too_long"}


@pytest.mark.item("E14", 18)
@pytest.mark.parametrize(
    "encoded",
    [
        pytest.param(lambda raw: raw.decode().encode("utf-16"), id="UTF-16"),
        pytest.param(lambda raw: raw.decode().encode("utf-16-be"), id="UTF-16 big endian"),
        pytest.param(lambda raw: raw.decode().encode("utf-32"), id="UTF-32"),
        pytest.param(lambda raw: b"\xef\xbb\xbf" + raw, id="byte order mark"),
        pytest.param(lambda raw: raw.replace(b"EdDSA", b"EdD\xffSA").replace(b"alice", b"al\xffce"), id="not UTF-8"),
        pytest.param(lambda raw: raw + b"\x00", id="NUL behind"),
    ],
)
def test_only_utf_8_without_a_mark_is_read(encoded: object) -> None:
    assert callable(encoded)
    key = key_for(KEY)
    assert why(seal(key, encoded(text(header(key))), text(claims()))) == "malformed"
    assert why(seal(key, text(header(key)), encoded(text(claims())))) == "malformed"


@pytest.mark.item("E13", 19)
@pytest.mark.parametrize(
    "member",
    [b'"alg":"EdDSA"', b'"alg":"none"', b'"a\\u006cg":"none"', b'"kid":"k"', b'"typ":"JWT"', b'"t\\u0079p":"JWT"'],
)
def test_a_header_member_named_twice_is_refused(member: bytes) -> None:
    key = key_for(KEY)
    good = text(header(key))
    assert why(seal(key, good[:-1] + b"," + member + b"}", text(claims()))) == "malformed"
    assert why(seal(key, b"{" + member + b"," + good[1:], text(claims()))) == "malformed"


@pytest.mark.item("E13", 20)
@pytest.mark.parametrize("member", [b'"roles":["admin"]', b'"exp":9999999999', b'"sub":"root"', b'"s\\u0075b":"root"'])
def test_a_claim_named_twice_is_refused(member: bytes) -> None:
    key = key_for(KEY)
    good = text(claims())
    assert why(signed(key, body=good[:-1] + b"," + member + b"}")) == "malformed"
    assert why(signed(key, body=b"{" + member + b"," + good[1:])) == "malformed"


@pytest.mark.item(21)
@pytest.mark.parametrize("body", [b"[]", b'"text"', b"1", b"null", b"true", b"[{}]", b"", b" ", b"Payload"], ids=repr)
def test_claims_that_are_no_object_are_refused(body: bytes) -> None:
    assert why(signed(key_for(KEY), body=body)) == "malformed"


@pytest.mark.item("E8", 22)
def test_a_token_over_the_limit_is_refused_before_it_is_read() -> None:
    key = key_for(KEY)
    longest = signed(key, body=claims(x="x" * 5_700))
    assert len(longest) < 8192
    assert why(longest) == "accepted"
    assert why(signed(key, body=claims(x="x" * 6_200))) == "too_long"
    assert why(b"." * 1_000_000) == "too_long"
    assert why(b"A" * 8193) == "too_long"
    assert why(b"." * 8192) == "malformed"


# ---- 23 and 24: weak keys are refused at the start (their kinds are in test_signing.py) ----------------------------


@pytest.mark.item(24)
@pytest.mark.parametrize(
    ("secret", "alg"),
    [
        (b"k3Jx9" * 6, "HS256"),
        (b"0f1e2d3c4b5a69788796a5b4c3d2e1f0", "HS384"),
        (b"secret", "HS256"),
        (b"changeme", "HS512"),
    ],
)
def test_a_weak_secret_refuses_the_start(secret: bytes, alg: str) -> None:
    with pytest.raises(ConfigError, match=r"openssl rand -base64 48"):
        keyring_from([(secret, alg, None, "current")])


# ---- 25 to 27: twins ------------------------------------------------------------------------------------------------


class Table:
    """A revocation table with sessions in it."""

    def __init__(self) -> None:
        self.epoch = 0
        self.dead: set[str] = set()

    def revoke(self, session: str) -> None:
        self.dead.add(session)
        self.epoch += 1

    def is_dead(self, identity: Identity) -> bool:
        return identity.session in self.dead


def remembering(ring: KeyRing, table: Table) -> VerifiedTokens:
    return VerifiedTokens(verifier(ring), table, lambda identity: b"", ring)


@pytest.mark.item(25)
def test_the_ecdsa_twin_of_a_revoked_token_is_revoked() -> None:
    key = key_for("ES256")
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    good = signed(key)
    start, _, _ = good.rpartition(b".")
    assert isinstance(key.private, ec.EllipticCurvePrivateKey)
    r, s = decode_dss_signature(_der(key.sign(start)))
    twin = start + b"." + encode(r.to_bytes(32, "big") + (order - s).to_bytes(32, "big")).encode()
    ring, table = ring_of(key), Table()
    tokens = remembering(ring, table)
    assert not isinstance(tokens.check(good, NOW), Invalid)
    assert not isinstance(tokens.check(twin, NOW), Invalid)  # mathematics allows it
    table.revoke("session-1")
    for token in (good, twin):
        assert tokens.check(token, NOW) == Invalid("token_revoked", "revoked")
        assert remembering(ring, table).check(token, NOW) == Invalid("token_revoked", "revoked")


def _der(raw: bytes) -> bytes:
    return raw_to_der_signature(raw, ec.SECP256R1())


@pytest.mark.item(26)
def test_no_other_spelling_of_a_revoked_token_gets_past() -> None:
    key = key_for(KEY)
    ring, table = ring_of(key), Table()
    tokens = remembering(ring, table)
    good = signed(key)
    assert not isinstance(tokens.check(good, NOW), Invalid)
    table.revoke("session-1")
    for token in (good, good + b"=", good + b"!!!!", good[:-1] + bytes([good[-1] ^ 1]), good + b" "):
        assert isinstance(tokens.check(token, NOW), Invalid)


@pytest.mark.item(27)
def test_secrets_are_compared_in_constant_time() -> None:
    for compares in (HMACAlgorithm.verify, refresh.parse, csrf.check):
        assert "compare_digest" in compares.__code__.co_names


# ---- 30, E10, E20 ---------------------------------------------------------------------------------------------------


@pytest.mark.item("E10", 30)
@pytest.mark.parametrize(
    "typ",
    ["JWT", "jwt", "logout+jwt", "dpop+jwt", "statuslist+jwt", "secevent+jwt", "rt+jwt", "", "at+jwt ", "text/at+jwt",
     "application/at+jwt;x=y", "application/application/at+jwt", 1, None, [], ["at+jwt"], ABSENT],
    ids=repr,
)  # fmt: skip
def test_a_token_of_another_type_is_no_access_token(typ: object) -> None:
    key = key_for(KEY)
    assert why(signed(key, header(key, typ=typ))) == "typ"


@pytest.mark.item(30)
@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "At+Jwt", "application/at+jwt", "APPLICATION/AT+JWT"])
def test_the_type_is_compared_without_regard_to_case(typ: str) -> None:
    key = key_for(KEY)
    assert why(signed(key, header(key, typ=typ))) == "accepted"


class Counting:
    """Stands for the library's algorithm and counts how often it is asked."""

    def __init__(self, fails: type[Exception] | None = None) -> None:
        self.asked = 0
        self.fails = fails

    def verify(self, *_: object) -> bool:
        self.asked += 1
        if self.fails is not None:
            raise self.fails("inside the library")
        return True


def with_algorithm(counting: Counting) -> tuple[SigningKey, KeyRing]:
    real = key_for("EdDSA")
    scheme = real.scheme._replace(implementation=counting)  # type: ignore[arg-type]
    key = SigningKey(real.kid, real.alg, "current", real.fingerprint, scheme, real.public, 64, real.private)
    return key, KeyRing([key])


@pytest.mark.item("E20")
def test_what_is_malformed_expired_or_unknown_never_reaches_the_cryptography() -> None:
    counting = Counting()
    key, ring = with_algorithm(counting)
    judge = verifier(ring)
    head = header(key)
    signature = b"\x01" * 64
    for token in (
        b"junk",
        unsigned(head | {"kid": "other"}, claims(), signature),
        unsigned(head | {"typ": "JWT"}, claims(), signature),
        unsigned(head | {"alg": "RS256"}, claims(), signature),
        unsigned(head, claims(exp=NOW - LATE), signature),
        unsigned(head, claims(exp="later"), signature),
        unsigned(head, claims(), signature[:-1]),
        unsigned(head, claims(), signature + b"\x01"),
    ):
        assert isinstance(judge.verify(token, NOW), Invalid)
    assert counting.asked == 0
    assert isinstance(judge.verify(unsigned(head, claims(), signature), NOW), Identity)
    assert counting.asked == 1


LATE = 3600


@pytest.mark.item("E15")
@pytest.mark.parametrize("error", [ValueError, TypeError, RuntimeError, MemoryError, UnicodeError, OverflowError])
def test_an_error_inside_the_cryptography_is_a_refusal(error: type[Exception]) -> None:
    key, ring = with_algorithm(Counting(error))
    token = unsigned(header(key), claims(), b"\x01" * 64)
    assert verifier(ring).verify(token, NOW) == Invalid("token_invalid", "signature")


@pytest.mark.item("E20")
def test_no_claim_is_judged_before_the_signature_is_checked() -> None:
    key = key_for(KEY)
    changes: list[dict[str, object]] = [{"iss": "https://evil.example"}, {"sub": "a\r\nb"}, {"aud": "x"}, {"cnf": {}}]
    for change in changes:
        assert why(unsigned(header(key), claims(**change), b"\x00" * 64)) == "signature"


def test_a_verify_only_key_verifies_like_the_one_that_signed() -> None:
    signer = key_for("ES384")
    assert isinstance(signer.public, ec.EllipticCurvePublicKey)
    pem = signer.public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    retired = load_key(pem, "ES384", state="retired")
    assert type(retired) is VerifyingKey
    ring = ring_of(retired, key_for("EdDSA"))
    identity = verifier(ring).verify(signed(signer), NOW)
    assert isinstance(identity, Identity)
    assert identity.key == retired.kid == signer.kid


def test_a_token_changed_by_hand_is_refused() -> None:
    key = key_for("HS256")
    head, body, signature = signed(key).split(b".")
    other = encode(text(claims(roles=["admin"]))).encode()
    assert why(b".".join([head, other, signature]), key) == "signature"
    digest = hashlib.sha256(head + b"." + body).digest()  # a hash without the secret
    assert why(b".".join([head, body, encode(digest).encode()]), key) == "signature"
