"""Queries in the log keep their shape and lose their secrets."""

import pytest

from gateway.telemetry.masking import masked


@pytest.mark.parametrize(
    ("query", "logged"),
    [
        pytest.param(b"?page=2&sort=name", b"?page=2&sort=name", id="nothing to hide"),
        pytest.param(b"?access_token=abc&x=1", b"?access_token=***&x=1", id="a token by name"),
        pytest.param(b"?x=1&Password=p%20q", b"?x=1&Password=***", id="a password, in any case"),
        pytest.param(b"?state=eyJhbGciOiJIUzI1NiJ9.e30.x", b"?state=***", id="a JWT under a harmless name"),
        pytest.param(b"?r=gwr_AAAA", b"?r=***", id="a refresh token under a harmless name"),
    ],
)
def test_a_query_is_logged_without_secrets(query: bytes, logged: bytes) -> None:
    assert masked(query) == logged
