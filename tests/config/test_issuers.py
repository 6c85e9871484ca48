"""Trusted issuers, turning keys and audiences in the file: what is refused, and what comes out."""

import json
from pathlib import Path

import pytest

from gateway.config.cautions import cautions
from gateway.config.routes import route_table
from gateway.config.trusted import trusted_issuers
from gateway.errors import ConfigError
from gateway.routing.table import Match
from tests.config.files import loaded, refused
from tests.tokens.forge import key_for

IDP = "trusted_issuers: {idp: {issuer: 'https://idp.example/', audience: orders%s}}\nroles: {admin: {}, user: {}}\n"


@pytest.mark.item("E19")
@pytest.mark.parametrize(
    ("more", "said"),
    [
        (", jwks: 'https://idp.example/k', jwks_file: k.json", "jwks says already where the keys are"),
        (", jwks: 'ftp://idp.example/k'", "is not the URL of a key set"),
        (", jwks: 'https://user@idp.example/k'", "is not the URL of a key set"),
        (", jwks: 'http://idp.example/k'", "without TLS anybody in between"),
        (", algs: [RS256, HS256]", "invites confusion"),
        (", algs: [HS256]", "needs a secret"),
        (", algs: [none]", "is not possible here"),
        (", algs: []", "at least one is needed"),
        (", roles: a.b", "no role of theirs counts until it is mapped"),
        (", map_roles: {A: admin}", "roles does not say where the roles are"),
        (", roles: r, map_roles: {A: admn}", 'did you mean "admin"?'),
        (", roles: r, map_roles: {A: [user, boss]}", 'no role is called "boss"'),
        (", roles: a..b", "is no path to a claim"),
        (", leeway: 61s", "at most 1m is possible"),
        (", jwks_ttl: 10s", "at least 1m is needed"),
        (", jwks_hosts: ['keys.example:8443']", "is no host name"),
        (", jwks_file: nowhere.json", "cannot be read"),
        (", keys: [{file: gateway.yaml, alg: ES256}]", "ES256 is not among algs"),
        (", typ: jwt", "is not possible here"),
        (", subject: sub", "unknown key"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused(more: str, said: str, tmp_path: Path) -> None:
    assert said in refused(tmp_path, IDP % more)


def test_an_issuer_without_audience_is_refused(tmp_path: Path) -> None:
    assert "audience: this key is missing" in refused(tmp_path, "trusted_issuers: {a: {issuer: 'https://a'}}")


def test_no_two_names_for_one_issuer_and_none_for_ourselves(tmp_path: Path) -> None:
    one = "{issuer: 'https://idp.example', audience: o}"
    assert 'the same issuer as of "a"' in refused(tmp_path, f"trusted_issuers: {{a: {one}, b: {one}}}")
    text = f"trusted_issuers: {{a: {one}}}\ntokens: {{issuer: 'https://idp.example'}}"
    assert "the gateway's own issuer" in refused(tmp_path, text)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("{publish_ahead: 5m}", "publish_ahead must be a minute longer"),
        ("{jwks_max_age: 1h}", "publish_ahead must be a minute longer"),
        ("{rotate: 1h}", "sets would overlap"),
        ("{rotate: 0s}", "longer than nothing"),
        ("{store: store, seal: false}", "keys in the store are always sealed"),
    ],
)
def test_keys_that_would_turn_too_soon_or_lie_open_are_refused(keys: str, said: str, tmp_path: Path) -> None:
    assert said in refused(tmp_path, f"tokens: {{keys: {keys}}}")


def test_the_issuers_of_a_file_are_made(tmp_path: Path) -> None:
    (tmp_path / "k.json").write_text(json.dumps({"keys": [key_for("RS256").jwk()]}))
    more = ", jwks_file: k.json, roles: realm_access.roles, map_roles: {A: admin, B: [admin, user]}, leeway: 10s"
    config = loaded(tmp_path, IDP % more)
    (idp,) = trusted_issuers(config)
    assert (idp.name, idp.issuer, idp.leeway, idp.roles) == (
        "idp",
        "https://idp.example/",
        10,
        ("realm_access", "roles"),
    )
    assert idp.role_map == {"A": {"admin"}, "B": {"admin", "user"}}
    assert idp.keys.has(key_for("RS256").kid)
    assert config.effective.longest_life == 86400 + 10
    assert config.effective.identity_headers["X-User-Issuer"] == "iss"


def test_keys_that_are_fetched_are_not_known_yet(tmp_path: Path) -> None:
    config = loaded(tmp_path, IDP % "")
    (idp,) = trusted_issuers(config)
    assert not idp.keys.known
    assert config.trusted_issuers["idp"].place == "https://idp.example/.well-known/openid-configuration"


def test_a_key_file_of_an_issuer_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "k.pem").write_text("hello")
    config = loaded(tmp_path, IDP % ", keys: [{file: k.pem, alg: RS256}]")
    with pytest.raises(ConfigError, match=r"trusted_issuers\.idp\.keys: .*k\.pem: RS256 key: it is neither PEM"):
        trusted_issuers(config)


def test_without_trusted_issuers_nothing_changes(tmp_path: Path) -> None:
    config = loaded(tmp_path, "")
    assert "X-User-Issuer" not in config.effective.identity_headers
    assert config.effective.longest_life == 605


def test_subjects_that_could_be_taken_for_ours_are_worth_a_word(tmp_path: Path) -> None:
    text = IDP % "" + "login: {verify: {file: users.yaml}}\n"
    (tmp_path / "users.yaml").write_text("users: {}\n")
    assert any("subject_prefix" in caution for caution in cautions(loaded(tmp_path, text), {}))


ROUTES = """
tokens: {audience: [orders, web]}
upstreams: {a: "http://a"}
defaults: {audience: [web]}
routes:
  - {path: /web, to: a}
  - {path: /orders, to: a, audience: [orders], methods: {GET: {}, POST: {audience: [web, orders]}}}
  - {path: /open, to: a, auth: public}
"""


def test_an_audience_is_asked_for_by_route_and_method(tmp_path: Path) -> None:
    table = route_table(loaded(tmp_path, ROUTES))

    def asked(method: bytes, path: bytes) -> frozenset[str]:
        match = table.match(method, b"", path)
        assert isinstance(match, Match)
        return match.rule.audience

    assert asked(b"GET", b"/web") == {"web"}
    assert asked(b"GET", b"/orders") == {"orders"}
    assert asked(b"POST", b"/orders") == {"web", "orders"}
    assert asked(b"GET", b"/open") == frozenset()


def test_an_audience_that_no_token_can_have_is_refused(tmp_path: Path) -> None:
    assert 'did you mean "orders"?' in refused(tmp_path, ROUTES.replace("audience: [orders],", "audience: [order],"))
