"""Cookies of our names that something else once set for a whole domain (identity.md 4, 155)."""

import pytest

from gateway.endpoints.cookies import CookieSettings, Jar, clearing, setting

JAR = Jar("access", 600, "refresh", 3600, "csrf")
NAMES = ("__Host-Http-gw-at", "__Host-Http-gw-rt", "__Host-gw-csrf")
OLDER = CookieSettings(older_domains=("example.com", "app.example.com"))


@pytest.mark.item(155)
@pytest.mark.parametrize(
    ("lines", "ours"),
    [
        pytest.param(setting(JAR, OLDER), setting(JAR, CookieSettings()), id="when ours are set"),
        pytest.param(clearing(OLDER), clearing(CookieSettings()), id="when ours are cleared"),
    ],
)
def test_they_are_expired_for_each_domain_that_is_named(lines: tuple[str, ...], ours: tuple[str, ...]) -> None:
    assert lines == (
        *ours,
        *(f"{name}=; Domain={domain}; Path=/; Secure; Max-Age=0" for domain in OLDER.older_domains for name in NAMES),
    )


@pytest.mark.item(136)
def test_ours_are_never_for_a_domain() -> None:
    assert not [line for line in setting(JAR, CookieSettings()) if "domain" in line.lower()]
