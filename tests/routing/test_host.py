"""One spelling per host, safety chapter B19 to B22."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.host import normal_host, without_port


@pytest.mark.item("B21")
@pytest.mark.parametrize(
    ("value", "spelling"),
    [
        (b"gw.example", b"gw.example"),
        (b"GW.Example", b"gw.example"),
        (b"gw.example.", b"gw.example"),
        (b"gw.example:80", b"gw.example"),
        (b"gw.example.:443", b"gw.example"),
        (b"gw.example:8080", b"gw.example:8080"),
        (b"my_service:1", b"my_service:1"),
        (b"127.0.0.1:65535", b"127.0.0.1:65535"),
        (b"[::1]", b"[::1]"),
        (b"[::1]:443", b"[::1]"),
        (b"[0:0:0:0:0:0:0:1]:8080", b"[::1]:8080"),
        (b"[2001:DB8::A]", b"[2001:db8::a]"),
        (b"xn--bcher-kva.example", b"xn--bcher-kva.example"),
    ],
)
def test_hosts_are_compared_in_lower_case_without_trailing_dot_and_default_port(value: bytes, spelling: bytes) -> None:
    assert normal_host(value) == spelling
    assert normal_host(spelling) == spelling


@pytest.mark.item("B19")
@pytest.mark.parametrize("value", [b"a@b", b"user:pw@gw", b"@gw", b"gw@"])
def test_userinfo_is_no_host(value: bytes) -> None:
    assert normal_host(value) is None


@pytest.mark.item("B20")
@pytest.mark.parametrize(
    "value",
    [b"", b" ", b"a,b", b"a b", b" a", b"a ", b"a/b", b"a?b", b"a#b", b"a\\b", b"a\n", b"a;b", b"*.a", b"a%2eb"],
)
def test_nothing_comma_space_and_slash_are_no_host(value: bytes) -> None:
    assert normal_host(value) is None


@pytest.mark.item("B22")
@pytest.mark.parametrize(
    "value",
    [
        *(
            b"gw:",
            b"gw:0",
            b"gw:99999",
            b"gw:65536",
            b"gw:+80",
            b"gw:-1",
            b"gw:8_0",
            b"gw:0x50",
            b"gw:080",
            b"gw:80:80",
        ),
        *(b"gw:\xd9\xa1", b":80", b":", b"[::1", b"::1]", b"::1", b"[]", b"[::1]x", b"[::1]:", b"[:::]", b"[gw]"),
        *(
            b"[fe80::1%25eth0]",
            b"[fe80::1%eth0]",
            b"[v1.x]",
            b"\xc3\xa9.example",
            b".",
            b"..",
            b".gw",
            b"a..b",
            b"gw..",
        ),
        *(b"a" * 64, b".".join([b"a" * 60] * 5), b"a" * 10_000),
    ],
)
def test_bad_ports_unbalanced_ipv6_and_non_ascii_are_no_host(value: bytes) -> None:
    assert normal_host(value) is None


@given(st.binary(max_size=40))
def test_a_spelling_is_its_own_spelling(value: bytes) -> None:
    spelling = normal_host(value)
    assert spelling is None or normal_host(spelling) == spelling


def test_a_port_can_be_taken_off() -> None:
    assert without_port(b"gw") == b"gw"
    assert without_port(b"gw:8080") == b"gw"
    assert without_port(b"[::1]") == b"[::1]"
    assert without_port(b"[::1]:8080") == b"[::1]"
