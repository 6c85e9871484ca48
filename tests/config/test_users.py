"""The users file becomes records, and the cautions about what is allowed."""

from pathlib import Path

import pytest

from gateway.config.cautions import cautions
from gateway.config.load import load
from gateway.config.users import load_users
from gateway.errors import ConfigError
from gateway.users.file import UserRecord
from tests.config.files import EXAMPLES, FULL_ENVIRON, ROOT, STRONG, loaded, refused

LOGIN = "login: {verify: {file: users.yaml}}\n"


def test_the_demo_users_of_the_repository() -> None:
    config = load(ROOT / "gateway.yaml", {})
    assert load_users(ROOT / "config" / "users.yaml", config) == {
        "alice": UserRecord("demo", roles=("user",), demo=True),
        "bob": UserRecord("demo", roles=("user", "auditor"), demo=True),
        "admin": UserRecord("demo", roles=("admin",), demo=True),
    }


def test_everything_about_a_person_arrives_and_dollars_stay() -> None:
    records = load_users(EXAMPLES / "users.yaml", load(EXAMPLES / "full.yaml", FULL_ENVIRON))
    person = records["mary.major"]
    assert person.password.startswith("$argon2id$v=19$m=19456")
    assert (person.roles, person.permissions) == (("viewer",), ("reports",))
    assert (person.sub, person.tenant) == ("7d1f0c52", "acme")
    assert person.claims == {"plan": "pro", "org": {"slug": "acme"}}
    assert records["john"].disabled


def test_a_users_file_read_again_is_checked_again(tmp_path: Path) -> None:
    config = loaded(tmp_path, LOGIN, users="users: {}")
    (tmp_path / "users.yaml").write_text("users:\n  alice: {password: demo, demo: true, roles: [boss]}")
    with pytest.raises(ConfigError, match=r'users\.yaml:2:47: users\.alice\.roles\[0\]: no role is called "boss"'):
        load_users(tmp_path / "users.yaml", config)


def test_a_missing_users_file_is_said_to_be_missing(tmp_path: Path) -> None:
    config = loaded(tmp_path, "")
    with pytest.raises(ConfigError, match="there is no such file"):
        load_users(tmp_path / "nobody.yaml", config)


@pytest.mark.parametrize(
    "server",
    [
        "listen: 0.0.0.0:8080, insecure_http: true",
        "listen: '[::]:8080', public_url: https://x.example",
        "admin: {listen: 0.0.0.0:9901}",
        "trusted_proxies: [127.0.0.1]",
    ],
)
def test_demo_users_are_for_this_machine_only(tmp_path: Path, server: str) -> None:
    text = f"server: {{{server}}}\nstore: {{url: embedded}}\n{LOGIN}"
    message = refused(tmp_path, text, users="users: {alice: {password: demo, demo: true}}")
    assert "users.alice.demo: alice: demo users are for this machine only, but server." in message
    loaded(tmp_path, text, users="users: {}")


def test_demo_users_are_welcome_on_this_machine(tmp_path: Path) -> None:
    loaded(tmp_path, LOGIN, users="users: {alice: {password: demo, demo: true}}")


def test_faults_of_both_files_are_reported_together(tmp_path: Path) -> None:
    message = refused(tmp_path, f"{LOGIN}telemetry: {{log_level: loud}}", users="users: {alice: {pasword: x}}")
    assert "gateway.yaml:3:24: telemetry.log_level" in message
    assert "users.yaml:1:17: users.alice.pasword: unknown key" in message
    assert "users.yaml:1:9: users.alice.password: this key is missing" in message


def test_nothing_needs_a_second_look_in_a_careful_configuration(tmp_path: Path) -> None:
    config = loaded(tmp_path, "upstreams: {a: http://a}\nroutes: [{path: /, to: a}]")
    assert cautions(config, {}) == []


def test_what_is_allowed_but_worth_a_second_look_is_said(tmp_path: Path) -> None:
    text = """
server:
  listen: 0.0.0.0:8080
  insecure_http: true
  admin: {listen: 0.0.0.0:9901}
store: {url: embedded}
login: {verify: {file: users.yaml}}
upstreams:
  a: {targets: [https://a], tls: {insecure_skip_verify: true}}
limits: {idle: {by: address, rate: 1/s}}
"""
    config = loaded(tmp_path, text, users="users: {}")
    said = "\n".join(cautions(config, {}))
    for words in (
        "the embedded store serves this gateway alone",
        "cross the network in clear",
        "/metrics is open to everybody who reaches 0.0.0.0:9901",
        "limits.idle: no route names it",
        "upstreams.a: no route leads there",
        "certificates are not verified",
        "nobody can log in",
    ):
        assert words in said


def test_demo_users_are_mentioned() -> None:
    config = load(ROOT / "gateway.yaml", {})
    records = load_users(ROOT / "config" / "users.yaml", config)
    assert cautions(config, records) == [
        "demo users (alice, bob, admin) have passwords that everybody knows; they are for this machine only"
    ]


def test_a_shared_store_needs_no_caution(tmp_path: Path) -> None:
    text = f"server: {{listen: 0.0.0.0:8080, public_url: https://a, secret: {STRONG}}}\nstore: {{url: redis://store}}"
    assert cautions(loaded(tmp_path, text), {}) == []


def test_gateways_that_would_refuse_each_others_tokens_are_worth_a_word(tmp_path: Path) -> None:
    text = f"server: {{secret: {STRONG}}}\nstore: {{url: redis://store}}\ntokens: {{keys: {{store: data_dir}}}}"
    said = "\n".join(cautions(loaded(tmp_path, text), {}))
    assert "tokens.keys.store: each data directory has keys of its own" in said
    assert "tokens.issuer: it is http://127.0.0.1:8080, after server.listen" in said


MAPPED = "login: {verify: {file: users.yaml}, claims: {roles: groups, plan: subscription.plan}}\nroles: {user: {}}\n"


def test_a_mapping_of_claims_is_held_against_the_users_file(tmp_path: Path) -> None:
    person = "users:\n  ana: {password: demo, demo: true, claims: {groups: %s}}"
    assert loaded(tmp_path, MAPPED, users=person % "[user]").login is not None
    assert 'by login.claims, no role is called "usr"' in refused(tmp_path, MAPPED, users=person % "[usr]")
    assert "by login.claims, roles must be a list of names" in refused(tmp_path, MAPPED, users=person % "{a: 1}")


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ("{sub: id}", 'the claim "sub" is the gateway\'s own'),
        ("{exp: id}", 'the claim "exp" is the gateway\'s own'),
        ("{cnf: id}", 'the claim "cnf" is the gateway\'s own'),
        ("{plan: a..b}", "is no path to a claim"),
        ("{plan: 7}", "login.claims.plan"),
    ],
)
def test_a_mapping_that_cannot_be_meant_is_refused(claims: str, said: str, tmp_path: Path) -> None:
    text = f"login: {{verify: {{file: users.yaml}}, claims: {claims}}}"
    assert said in refused(tmp_path, text, users="users: {}")


@pytest.mark.parametrize("claim", ["nonce", "may_act", "events", "username", "exp"])
def test_nobodys_record_replaces_what_the_gateway_says(claim: str, tmp_path: Path) -> None:
    users = f"users:\n  ana: {{password: demo, demo: true, claims: {{{claim}: x}}}}"
    assert "the gateway's own" in refused(tmp_path, LOGIN, users=users)
