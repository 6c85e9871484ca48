"""The front parser by itself: JSON that is read in one way, and headers that lead nowhere."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.tokens.strict import MAX_DEPTH, Malformed, Parsed, parse, strict_json_object

from .forge import unsigned

HEADER: dict[str, object] = {"alg": "RS256", "typ": "at+jwt", "kid": "k"}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def nested(depth: int) -> bytes:
    return b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1)


def is_refused(raw: bytes) -> bool:
    try:
        strict_json_object(raw)
    except ValueError:
        return True
    return False


def test_a_well_formed_token_is_taken_apart() -> None:
    token = unsigned(HEADER, {"sub": "alice"}, b"signature")
    signing_input = token.rsplit(b".", 1)[0]
    assert parse(token) == Parsed(HEADER, {"sub": "alice"}, b"signature", signing_input, "RS256", "k", "at+jwt")


def test_kid_and_typ_may_be_absent_for_the_parser() -> None:
    parsed = parse(unsigned({"alg": "HS256"}, {}))
    assert isinstance(parsed, Parsed)
    assert (parsed.kid, parsed.typ) == (None, None)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"alg": "none"}, "algorithm", id="alg none"),
        pytest.param({"alg": None}, "algorithm", id="alg null"),
        pytest.param({"alg": ["RS256"]}, "algorithm", id="alg list"),
        pytest.param({"alg": "ES256K"}, "algorithm", id="alg we do not have"),
        pytest.param({"kid": ""}, "kid", id="kid empty"),
        pytest.param({"kid": None}, "kid", id="kid null"),
        pytest.param({"kid": 7}, "kid", id="kid number"),
        pytest.param({"kid": "k" * 256}, "kid", id="kid long"),
        pytest.param({"kid": "a\x00"}, "kid", id="kid with NUL"),
        pytest.param({"typ": None}, "typ", id="typ null"),
        pytest.param({"typ": {}}, "typ", id="typ object"),
        pytest.param({"cty": 1}, "header", id="cty number"),
        pytest.param({"x": 1}, "header", id="unknown member"),
        pytest.param({"": 1}, "header", id="member without name"),
        pytest.param({"ALG": "RS256"}, "header", id="member in capitals"),
    ],
)
def test_a_header_that_is_not_ours_is_refused(changes: dict[str, object], reason: str) -> None:
    assert parse(unsigned(HEADER | changes, {})) == Malformed(reason)


@pytest.mark.item("E15")
@given(st.binary(max_size=300))
def test_no_bytes_make_the_parser_raise(token: bytes) -> None:
    parse(token)


@given(st.lists(st.binary(max_size=60), min_size=3, max_size=3))
def test_no_content_of_the_segments_makes_the_parser_raise(contents: list[bytes]) -> None:
    parse(unsigned(contents[0], contents[1], contents[2]))


@given(st.dictionaries(st.text(), json_values, max_size=5))
@settings(max_examples=200)
def test_strict_json_reads_what_the_standard_reader_reads(value: dict[str, object]) -> None:
    for ascii_only in (True, False):
        raw = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
        try:
            expected = json.loads(raw.decode("utf-8"))
        except UnicodeDecodeError:
            expected = None
        if expected is not None and _is_utf8(expected):
            assert strict_json_object(raw) == expected
        else:
            assert is_refused(raw)


def _is_utf8(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"[]", id="list"),
        pytest.param(b'"a"', id="text"),
        pytest.param(b"null", id="null"),
        pytest.param(b"1", id="number"),
        pytest.param(b"{} {}", id="two objects"),
        pytest.param(b"{}x", id="something behind"),
        pytest.param(b"{}\x00", id="NUL behind"),
        pytest.param(b'{"a":1,}', id="trailing comma"),
        pytest.param(b"{'a':1}", id="single quotes"),
        pytest.param(b"{a:1}", id="bare name"),
        pytest.param(b'{"a":1}//', id="comment"),
        pytest.param(b'{"a":01}', id="leading zero"),
        pytest.param(b'{"a":+1}', id="plus"),
        pytest.param(b'{"a":.5}', id="no digit before the point"),
        pytest.param(b'{"a":0x1}', id="hexadecimal"),
        pytest.param(b'{"a":NaN}', id="NaN"),
        pytest.param(b'{"a":Infinity}', id="Infinity"),
        pytest.param(b'{"a":-Infinity}', id="minus Infinity"),
        pytest.param(b'{"a":1e400}', id="beyond a double"),
        pytest.param(b'{"a":-1e400}', id="beyond a double, negative"),
        pytest.param(b'{"a":"\n"}', id="raw line end in text"),
        pytest.param(b'{"a":"\x00"}', id="raw NUL in text"),
        pytest.param(b'{"a":1,"a":1}', id="member twice"),
        pytest.param(b'{"a":1,"\\u0061":2}', id="member twice, once escaped"),
        pytest.param(b'{"a":{"b":1,"b":2}}', id="inner member twice"),
        pytest.param(b'{"a":[{"b":1,"b":2}]}', id="member twice in a list"),
        pytest.param(b'{"a":"\\ud800"}', id="lone surrogate"),
        pytest.param(b'{"\\udfff":1}', id="lone surrogate in a name"),
        pytest.param(b'{"a":[{"b":"\\udc00\\ud800"}]}', id="surrogates in the wrong order"),
        pytest.param(b"\xef\xbb\xbf{}", id="byte order mark"),
        pytest.param("{}".encode("utf-16"), id="UTF-16"),
        pytest.param("{}".encode("utf-16-le"), id="UTF-16 without mark"),
        pytest.param("{}".encode("utf-32"), id="UTF-32"),
        pytest.param(b'{"a":"\xff"}', id="not UTF-8"),
        pytest.param(b'{"a":"\xed\xa0\x80"}', id="surrogate in UTF-8"),
        pytest.param(b'{"a":"\xc0\x80"}', id="overlong UTF-8"),
        pytest.param(b'{"a":' + b"9" * 5000 + b"}", id="number of 5000 digits"),
    ],
)
def test_json_that_can_be_read_in_two_ways_is_refused(raw: bytes) -> None:
    assert is_refused(raw)


def test_white_space_around_an_object_is_json() -> None:
    assert strict_json_object(b' \r\n{"a" : 1}\t') == {"a": 1}


def test_surrogate_pairs_and_escapes_are_text() -> None:
    assert strict_json_object(b'{"a":"\\ud83d\\ude00\\n\\u0000"}') == {"a": "\U0001f600\n\x00"}


def test_nesting_is_bounded_exactly() -> None:
    strict_json_object(nested(MAX_DEPTH))
    with pytest.raises(ValueError, match="deep"):
        strict_json_object(nested(MAX_DEPTH + 1))


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b'{"a":"' + b"{[" * 500 + b'"}', id="brackets in text"),
        pytest.param(b'{"a":"\\"' + b"[{\\\\" * 500 + b'"}', id="brackets behind escapes"),
        pytest.param(b'{"a":[' + b"[]," * 500 + b"{}]}", id="many, but beside each other"),
    ],
)
def test_brackets_that_do_not_nest_are_not_depth(raw: bytes) -> None:
    assert strict_json_object(raw) == json.loads(raw)


@pytest.mark.parametrize("depth", [100, 1_000, 100_000])
@pytest.mark.parametrize("opening", [b'{"a":', b"[", b'{"a":['])
def test_absurd_nesting_is_refused_without_exhausting_the_stack(depth: int, opening: bytes) -> None:
    assert is_refused(b'{"x":' + opening * depth)


def test_text_that_never_ends_is_refused_in_one_pass() -> None:
    # Quadratic reading of this would take minutes.
    assert is_refused(b'{"a":' + b"[" * 40 + b'"\\"' * 200_000)
