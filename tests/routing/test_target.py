"""One canonical reading per target. The numbers are those of the statements in the safety chapter, part B."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.target import ASTERISK, MAX_TARGET, BadTarget, Target, read
from gateway.routing.template import segments_of


def refused(target: bytes) -> BadTarget:
    answer = read(target)
    assert isinstance(answer, BadTarget), f"{target!r} was read as {answer}"
    return answer


def path(target: bytes) -> bytes:
    answer = read(target)
    assert isinstance(answer, Target), f"{target!r} was refused: {answer}"
    return answer.path


@pytest.mark.item("B1")
@pytest.mark.parametrize(
    ("target", "canonical"),
    [
        (b"/", b"/"),
        (b"/orders", b"/orders"),
        (b"/orders/", b"/orders/"),
        (b"/a-b_c.d~e!$&'()*+,=:@", b"/a-b_c.d~e!$&'()*+,=:@"),
        (b"/.well-known/jwks.json", b"/.well-known/jwks.json"),
        (b"/...", b"/..."),
        (b"/a..b", b"/a..b"),
        (b"/caf%c3%a9", b"/caf%C3%A9"),
        (b"/%41%2D%7e", b"/A-~"),
        (b"/a%20b", b"/a%20b"),
        (b"/100%25", b"/100%25"),
        (b"/100%25zz", b"/100%25zz"),
        (b'/"<>[]^`{|}', b"/%22%3C%3E%5B%5D%5E%60%7B%7C%7D"),
    ],
)
def test_a_path_has_one_canonical_spelling(target: bytes, canonical: bytes) -> None:
    assert path(target) == canonical
    assert path(canonical) == canonical


@pytest.mark.item("B2")
@pytest.mark.parametrize(
    "target",
    [
        b"/a/../b",
        b"/..",
        b"/.",
        b"/a/.",
        b"/a/..",
        b"/./a",
        b"/../",
        b"/%2e%2e/a",
        b"/a/%2E",
        b"/a/.%2e/b",
        b"/a/%2e./",
    ],
)
def test_dot_segments_are_refused(target: bytes) -> None:
    assert refused(target) == BadTarget("path_ambiguous", "dot_segment")


@pytest.mark.item("B3")
@pytest.mark.parametrize("target", [b"/a%2fb", b"/a%2Fb", b"/%2f", b"/http%3A%2F%2Fexample.com"])
def test_an_encoded_slash_stays_data_and_is_reported_to_the_gate(target: bytes) -> None:
    answer = read(target)
    assert isinstance(answer, Target)
    assert answer.encoded_slash
    assert b"%2F" in answer.path
    assert len(segments_of(answer.path)) == 1


@pytest.mark.item("B3")
@pytest.mark.parametrize("target", [b"/a%2f..", b"/a%2f..%2fb", b"/a/..%2Fb", b"/%2e%2e%2fb", b"/a%2f./b"])
def test_an_encoded_slash_never_hides_a_dot_segment(target: bytes) -> None:
    assert refused(target) == BadTarget("path_ambiguous", "dot_segment")


@pytest.mark.item("B3")
@pytest.mark.parametrize("target", [b"/a%5cb", b"/a%5Cb"])
def test_an_encoded_backslash_is_refused(target: bytes) -> None:
    assert refused(target) == BadTarget("path_ambiguous", "backslash")


@pytest.mark.item("B4")
@pytest.mark.parametrize("target", [b"/a%00", b"/a%0ab", b"/a%0D", b"/%1f", b"/%7f", b"/%09"])
def test_escaped_control_bytes_are_refused(target: bytes) -> None:
    assert refused(target) == BadTarget("path_ambiguous", "control")


@pytest.mark.item("B4")
@pytest.mark.parametrize("target", [b"/a\x00", b"/a\n", b"/a\r\n", b"/a b", b"/\x7f", b"/a\t", b"/?\x00", b"/ "])
def test_raw_control_bytes_and_spaces_are_refused_anywhere(target: bytes) -> None:
    assert refused(target) == BadTarget("bad_request", "target_byte")


@pytest.mark.item("B5")
@pytest.mark.parametrize("target", [b"//", b"/a//b", b"/a//", b"///"])
def test_empty_segments_are_refused(target: bytes) -> None:
    assert refused(target) == BadTarget("path_ambiguous", "empty_segment")


@pytest.mark.item("B6")
@pytest.mark.parametrize("target", [b"//other.example/admin", b"//admin@other/x", b"/\\other/admin"])
def test_an_origin_form_target_is_never_read_as_an_authority(target: bytes) -> None:
    assert refused(target).code == "path_ambiguous"


@pytest.mark.item("B7")
@pytest.mark.parametrize("target", [b"/a\\b", b"/\\", b"/..\\admin"])
def test_a_backslash_is_refused(target: bytes) -> None:
    assert refused(target) == BadTarget("path_ambiguous", "backslash")


@pytest.mark.item("B8")
@pytest.mark.parametrize("target", [b"/a;b", b"/..;/admin", b"/a;", b"/;jsessionid=1/a", b"/a%3bb", b"/..%3B/admin"])
def test_path_parameters_are_refused(target: bytes) -> None:
    assert refused(target) == BadTarget("path_ambiguous", "parameter")


@pytest.mark.item("B9")
@pytest.mark.parametrize(
    "target",
    [b"/%252e%252e/a", b"/%252f", b"/%25%32%66", b"/%25%32f", b"/%252%66", b"/%2525", b"/a%2541", b"/%25ff"],
)
def test_double_encodings_are_refused(target: bytes) -> None:
    assert refused(target) == BadTarget("path_ambiguous", "double_encoding")


@pytest.mark.item("B10")
def test_an_escaped_letter_is_the_letter() -> None:
    assert path(b"/%61dmin") == path(b"/admin") == b"/admin"


@pytest.mark.item("B11")
@pytest.mark.parametrize("target", [b"/%zz", b"/%", b"/a%4", b"/%2", b"/%%32f", b"/%u002e", b"/%+1", b"/%2%35"])
def test_invalid_escapes_are_refused(target: bytes) -> None:
    assert refused(target) == BadTarget("bad_request", "escape")


@pytest.mark.item("B11")
@pytest.mark.parametrize(
    "target",
    [
        pytest.param(b"/%c0%af", id="overlong slash"),
        pytest.param(b"/%e0%80%af", id="overlong slash of three"),
        pytest.param(b"/%ff", id="no UTF-8 at all"),
        pytest.param(b"/%c3", id="cut short"),
        pytest.param(b"/%c3/%a9", id="cut by a slash"),
        pytest.param(b"/%ed%a0%80", id="surrogate"),
        pytest.param(b"/%f4%90%80%80", id="beyond Unicode"),
    ],
)
def test_escapes_that_are_not_utf8_are_refused(target: bytes) -> None:
    assert refused(target) == BadTarget("bad_request", "utf8")


@pytest.mark.item("B11")
@pytest.mark.parametrize("target", [b"/a\xc3\xa9", b"/\xff", b"/a?\xff", b"http://\xff/"])
def test_raw_bytes_beyond_ascii_are_refused(target: bytes) -> None:
    assert refused(target) == BadTarget("bad_request", "target_byte")


@pytest.mark.item("B12")
@pytest.mark.parametrize("target", [b"/public#/../admin", b"/#", b"/?a#b", b"http://gw/#a", b"#"])
def test_a_raw_number_sign_is_refused(target: bytes) -> None:
    assert refused(target) == BadTarget("path_ambiguous", "fragment")


@pytest.mark.item("B12")
def test_an_escaped_number_sign_or_question_mark_is_data() -> None:
    assert read(b"/a%23b%3fc?d") == Target(b"/a%23b%3Fc", b"?d")
    assert segments_of(b"/a%23b%3Fc") == [b"a#b?c"]


@pytest.mark.item("B13")
@pytest.mark.parametrize("query", [b"", b"?", b"?a=/../admin", b"?a=%2e%2e%2f%zz;//", b"?a?b", b"?\\", b"?a=[1]|"])
def test_the_query_is_kept_as_it_is_and_is_no_part_of_the_path(query: bytes) -> None:
    assert read(b"/a" + query) == Target(b"/a", query)


@pytest.mark.item("B14")
def test_letters_keep_their_case() -> None:
    assert path(b"/Admin") == b"/Admin"
    assert path(b"/%41dmin") == b"/Admin"


@pytest.mark.item("B18")
@pytest.mark.parametrize(
    ("target", "answer"),
    [
        (b"http://gw.example/a?b", Target(b"/a", b"?b", b"gw.example")),
        (b"HTTPS://GW.example.:443/%61", Target(b"/a", b"", b"gw.example")),
        (b"http://gw.example:8080", Target(b"/", b"", b"gw.example:8080")),
        (b"http://gw.example?b", Target(b"/", b"?b", b"gw.example")),
        (b"http://[::1]:8080/", Target(b"/", b"", b"[::1]:8080")),
    ],
)
def test_the_authority_of_an_absolute_form_target_comes_in_the_spelling_of_host(target: bytes, answer: Target) -> None:
    assert read(target) == answer


@pytest.mark.item("B19")
@pytest.mark.parametrize("target", [b"http://user@gw/a", b"http://a:b@gw/", b"http://admin%40gw/"])
def test_userinfo_in_a_target_is_refused(target: bytes) -> None:
    assert refused(target) == BadTarget("bad_request", "authority")


@pytest.mark.item("B22")
@pytest.mark.parametrize("target", [b"http:///a", b"http://", b"http://a,b/", b"http://gw:99999/", b"http://[::1/"])
def test_an_absolute_form_target_without_a_proper_host_is_refused(target: bytes) -> None:
    assert refused(target) == BadTarget("bad_request", "authority")


@pytest.mark.item("B18")
def test_a_backslash_behind_the_authority_does_not_become_a_path() -> None:
    assert refused(b"http://gw\\@other/a") == BadTarget("path_ambiguous", "backslash")


@pytest.mark.item("B23")
def test_the_asterisk_form_is_its_own_path() -> None:
    assert read(b"*") == ASTERISK
    assert refused(b"*/a").code == "bad_request"


@pytest.mark.item("B25")
@pytest.mark.parametrize(
    "target", [b"", b"gw:443", b"admin", b"ftp://gw/a", b"file:///etc", b"?a", b"http:/a", b"http:a"]
)
def test_other_forms_and_schemes_are_refused(target: bytes) -> None:
    assert refused(target) == BadTarget("bad_request", "target_form")


def test_a_target_longer_than_the_limit_is_refused() -> None:
    longest = b"/" + b"a" * (MAX_TARGET - 1)
    assert path(longest) == longest
    assert refused(longest + b"a") == BadTarget("url_too_long", "url_too_long")
    assert read(b"/" + b"a" * 600, max_bytes=600) == BadTarget("url_too_long", "url_too_long")


def test_short_targets_obey_a_small_limit_too() -> None:
    assert read(b"/abc", max_bytes=3) == BadTarget("url_too_long", "url_too_long")


TARGETS = st.lists(
    st.sampled_from(
        [b"/", b".", b"..", b"%2e", b"%2f", b"%25", b"%5c", b";", b"a", b"%61", b"%c3%a9", b"?", b"2", b"{", b"%"]
    ),
    max_size=8,
).map(lambda parts: b"/" + b"".join(parts))


@given(TARGETS | st.binary(max_size=24).map(lambda text: b"/" + text))
def test_a_canonical_path_is_read_as_itself_and_hides_nothing(target: bytes) -> None:
    answer = read(target)
    if isinstance(answer, Target):
        again = read(answer.path + answer.query)
        assert again == answer
        decoded = b"/".join(segments_of(answer.path))
        for segment in decoded.replace(b"\\", b"/").split(b"/"):
            assert segment not in (b".", b"..")
        assert b"\\" not in decoded
        assert b";" not in decoded
        decoded.decode()
