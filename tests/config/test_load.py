"""What values the file becomes: defaults, units, the environment, files, and what follows from them."""

import ipaddress
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from gateway.config.addresses import Address
from gateway.config.effective import data_dir
from gateway.config.load import load
from gateway.config.models import Config
from gateway.config.values import Duration, Secret, Size, duration_text, size_text
from gateway.errors import ConfigError
from tests.config.files import EXAMPLES, FULL_ENVIRON, ROOT, STRONG, loaded, refused


def test_the_gateway_file_of_the_repository_says_what_the_demo_needs() -> None:
    config = load(ROOT / "gateway.yaml", {})
    assert config.server.listen == Address("127.0.0.1", 8080)
    assert config.server.admin.listen == Address("127.0.0.1", 9901)
    assert config.store.url == "embedded"
    assert config.upstreams["demo"].targets[0].url.written == "http://127.0.0.1:9099"
    assert config.login is not None
    assert config.login.verify.file == ROOT / "config" / "users.yaml"
    assert config.server.trusted_proxies == ()


def test_the_gateway_file_of_the_repository_obeys_the_environment() -> None:
    environ = {"GATEWAY_LISTEN": "[::1]:80", "GATEWAY_DEMO_UPSTREAM": "unix:///run/demo.sock"}
    config = load(ROOT / "gateway.yaml", environ)
    assert config.server.listen == Address("::1", 80)
    assert config.upstreams["demo"].targets[0].url.socket == "/run/demo.sock"


@pytest.mark.parametrize("name", ["minimal.yaml", "full.yaml"])
def test_the_examples_have_no_faults(name: str) -> None:
    load(EXAMPLES / name, FULL_ENVIRON)


def test_the_full_example_has_every_key_there_is() -> None:
    written = load(EXAMPLES / "full.yaml", FULL_ENVIRON).model_dump(mode="json", exclude_unset=True, by_alias=True)
    every = json.loads((ROOT / "config" / "gateway.schema.json").read_text())
    alternatives = {"password_file", "sentinel_password_file", "secret_file", "token_file"}
    alternatives |= {"database", "queries", "by_name", "by_sub", "set_password"}  # in the place of a users file
    alternatives |= {"htpasswd", "groups_file", "callout", "lookup_url", "token_header"}
    keys = {key for model in [every, *every["$defs"].values()] for key in model.get("properties", {})}
    assert keys - alternatives == {key for key in keys if f'"{key}"' in json.dumps(written)}


def test_everything_in_the_full_example_arrives() -> None:
    config = load(EXAMPLES / "full.yaml", FULL_ENVIRON)
    server = config.server
    assert server.public_url == "https://api.example.com"
    assert server.trusted_proxies[2] == ipaddress.ip_network("192.0.2.7/32")
    assert server.data_dir == EXAMPLES / ".." / "data"
    assert server.secret == Secret(STRONG.encode())
    assert server.limits.head == 64 * 1024
    assert server.timeouts.keep_alive == 75.0
    assert server.drain.delay == 0.0
    assert config.store.password == Secret(b"s3cret")
    assert config.store.timeout == 0.25
    assert config.tokens.audience == ("example-api", "example-web")
    assert config.tokens.refresh.ttl == 30 * 86400
    assert [key.alg for key in config.tokens.keys.files] == ["ES256", "RS256"]
    assert config.identity_headers == {"X-User": "username", "X-Org": "org.slug"}
    assert config.roles["viewer"].includes == ()
    orders = config.upstreams["orders"]
    assert [(t.url.host, t.url.port, t.weight) for t in orders.targets] == [
        ("orders-1", 8443, 1),
        ("2001:db8::1", 443, 2),
    ]
    assert orders.targets[1].url.authority == "[2001:db8::1]"
    assert orders.retry.when == ("connect_error", "reset", "502", "503")
    assert config.upstreams["web"].targets[0].url.prefix == "/base"
    assert config.upstreams["web"].targets[0].url.authority == "web:3000"
    assert config.routes[3].host == "*.example.com"
    assert config.telemetry.log_level == "debug"
    assert config.effective.audience == config.tokens.audience


def test_what_is_not_written_has_its_default(tmp_path: Path) -> None:
    config = loaded(tmp_path, "")
    assert config.server.listen == Address("127.0.0.1", 8080)
    assert config.server.admin.listen == Address("127.0.0.1", 9901)
    assert (config.tokens.access_ttl, config.tokens.leeway) == (600.0, 5.0)
    assert (config.tokens.refresh.idle, config.tokens.refresh.ttl) == (3 * 86400.0, 14 * 86400.0)
    assert config.tokens.refresh.reuse_grace == 10.0
    assert config.tokens.keys.alg == "RS256"
    assert config.identity_headers == {"X-User-Id": "sub", "X-User-Roles": "roles", "X-Session-Id": "sid"}
    assert config.store.url == "embedded"
    assert config.login is None
    assert config.server.limits.body == 1 << 20


def test_a_configuration_cannot_be_changed(tmp_path: Path) -> None:
    config = loaded(tmp_path, "")
    with pytest.raises(ValueError, match="frozen"):
        config.server.insecure_http = True


def test_the_environment_gives_listeners_and_store_when_the_file_is_silent(tmp_path: Path) -> None:
    environ = {
        "GATEWAY_LISTEN": "127.0.0.1:1",
        "GATEWAY_ADMIN_LISTEN": "127.0.0.1:2",
        "GATEWAY_STORE_URL": "unix:///run/s.sock",
        "GATEWAY_PORT": "tcp://10.0.0.1:80",
    }
    secret = f"server: {{secret: {STRONG}}}"
    config = loaded(tmp_path, secret, environ)
    assert (config.server.listen.port, config.server.admin.listen.port) == (1, 2)
    assert config.store.url == "unix:///run/s.sock"
    written = (
        f"server: {{secret: {STRONG}, listen: 127.0.0.1:3, admin: {{listen: 127.0.0.1:4}}}}\nstore: {{url: embedded}}"
    )
    config = loaded(tmp_path, written, environ)
    assert (config.server.listen.port, config.server.admin.listen.port, config.store.url) == (3, 4, "embedded")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${A}", "one"),
        ("a-${A}-${B:-two}", "a-one-two"),
        ("${EMPTY:-two}", "two"),
        ("${A:-two}", "one"),
        ("${A:?needed}", "one"),
        ("${B:-redis://x:1/0?a=b}", "redis://x:1/0?a=b"),
        ("$$A", "$A"),
        ("$${A}", "${A}"),
        ("100 $", "100 $"),
        ("${file:value.txt}", "from a file"),
        ("x${file:value.txt}", "xfrom a file"),
    ],
)
@pytest.mark.parametrize("quote", ["'", '"'])
def test_text_is_filled_in_from_the_environment(tmp_path: Path, text: str, value: str, quote: str) -> None:
    (tmp_path / "value.txt").write_text("from a file\n")
    environ = {"A": "one", "EMPTY": ""}
    config = loaded(tmp_path, f"tokens: {{audience: {quote}{text}{quote}}}", environ)
    assert config.tokens.audience == (value,)


def test_comments_and_keys_are_not_filled_in(tmp_path: Path) -> None:
    config = loaded(tmp_path, "# ${NOT_SET} $x\nroles: {'${A}': {}}")
    assert list(config.roles) == ["${A}"]


def test_what_is_filled_in_stays_one_value(tmp_path: Path) -> None:
    config = loaded(tmp_path, "tokens:\n  audience: ${A}", {"A": "x, y\nissuer: z"[:4]})
    assert config.tokens.audience == ("x, y",)
    assert "control characters" in refused(tmp_path, "tokens:\n  audience: ${A}", {"A": "x\n  issuer: z"})


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('server: {limits: {headers: "${N}"}}', 3),
        ('server: {limits: {body: "${N}KiB"}}', 3072),
        ('server: {timeouts: {head: "${N}s"}}', 3.0),
    ],
)
def test_what_is_filled_in_has_the_type_of_its_place(tmp_path: Path, text: str, key: float) -> None:
    server = loaded(tmp_path, text, {"N": "3"}).server
    assert key in (server.limits.headers, server.limits.body, server.timeouts.head)


@pytest.mark.parametrize("value", ["true", "false"])
def test_a_flag_can_come_from_the_environment(tmp_path: Path, value: str) -> None:
    config = loaded(tmp_path, 'telemetry: {log_query: "${Q}"}', {"Q": value})
    assert config.telemetry.log_query is (value == "true")


@pytest.mark.parametrize("word", ["on", "off", "yes", "no", "y", "1", "0", '"on"', "[]", "True1"])
def test_a_flag_is_true_or_false_and_nothing_else(tmp_path: Path, word: str) -> None:
    assert "telemetry.log_query: " in refused(tmp_path, f"telemetry: {{log_query: {word}}}")


def test_words_of_yaml_1_1_are_text(tmp_path: Path) -> None:
    config = loaded(
        tmp_path, "roles: {on: {}, off: {}, yes: {}, no: {}, 0x1F: {}, 8080:80 : {}, 2026-01-01: {}, 1e3: {}}"
    )
    assert list(config.roles) == ["on", "off", "yes", "no", "0x1F", "8080:80", "2026-01-01", "1e3"]
    assert loaded(tmp_path, "telemetry: {access_log: off}").telemetry.access_log == "off"


def test_digits_with_colons_are_no_number_to_base_60(tmp_path: Path) -> None:
    assert 'not "1:30"' in refused(tmp_path, "server: {limits: {headers: 1:30}}")


def test_secrets_are_read_from_files_without_their_newline(tmp_path: Path) -> None:
    (tmp_path / "gw.secret").write_text(f"{STRONG}\n")
    (tmp_path / "admin.token").write_bytes(STRONG.encode() + b"\r\n")
    (tmp_path / "store.password").write_text("p w\n\n")
    config = loaded(
        tmp_path,
        "server: {secret_file: gw.secret, admin: {token_file: admin.token}}\nstore: {password_file: store.password}",
    )
    assert config.server.secret == Secret(STRONG.encode())
    assert config.server.admin.token == Secret(STRONG.encode())
    assert config.store.password == Secret(b"p w\n")
    assert config.server.secret_file == tmp_path / "gw.secret"


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    config = loaded(tmp_path, f"server: {{secret: {STRONG}}}")
    assert STRONG not in repr(config)
    assert STRONG not in str(config.model_dump(mode="json"))


@pytest.mark.parametrize("contents", [b"", b"\n", b"\xff\xfe"])
def test_a_password_file_must_hold_a_password(tmp_path: Path, contents: bytes) -> None:
    (tmp_path / "password").write_bytes(contents)
    message = refused(tmp_path, "store: {password_file: password}")
    assert message.startswith("gateway.yaml:2:24: store.password_file: the ")
    assert "(read from password)" in message


def test_relative_paths_start_at_the_directory_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "people.yaml").write_text("users: {}")
    (tmp_path / "etc" / "gateway.yaml").write_text("version: 1\nlogin: {verify: {file: people.yaml}}")
    monkeypatch.chdir(tmp_path)
    config = load(Path("etc/gateway.yaml"), {})
    assert config.login is not None
    assert config.login.verify.file == Path("etc/people.yaml")
    (tmp_path / "etc" / "gateway.yaml").write_text(f"version: 1\nserver: {{data_dir: {tmp_path}/x}}")
    assert load(Path("etc/gateway.yaml"), {}).server.data_dir == tmp_path / "x"


def test_the_data_directory_is_looked_for_in_the_file_then_the_environment_then_at_home(tmp_path: Path) -> None:
    silent = loaded(tmp_path, "")
    environ = {"GATEWAY_DATA_DIR": "/d", "XDG_DATA_HOME": "/x", "HOME": "/home/me"}
    assert data_dir(loaded(tmp_path, "server: {data_dir: mine}"), environ) == tmp_path / "mine"
    assert data_dir(silent, environ) == Path("/d")
    assert data_dir(silent, {"XDG_DATA_HOME": "/x"}) == Path("/x/jwt-gateway")
    assert data_dir(silent, {"HOME": "/home/me"}).is_relative_to("/home/me")
    with pytest.raises(ConfigError, match=r"set server\.data_dir"):
        data_dir(silent, {})


def test_issuer_audience_and_origin_follow_from_the_listener(tmp_path: Path) -> None:
    derived = loaded(tmp_path, "").effective
    assert derived.issuer == derived.origin == "http://127.0.0.1:8080"
    assert derived.audience == ("http://127.0.0.1:8080",)
    assert derived.own_origins == {b"http://127.0.0.1:8080", b"http://localhost:8080", b"http://[::1]:8080"}
    assert not derived.secure
    assert derived.embedded


def test_issuer_audience_and_origin_follow_from_the_public_url(tmp_path: Path) -> None:
    derived = loaded(tmp_path, "server: {public_url: 'HTTPS://Api.Example.com.:443/'}").effective
    assert derived.issuer == derived.origin == "https://api.example.com"
    assert derived.own_origins == {b"https://api.example.com"}
    assert derived.secure
    assert not derived.tls


def test_what_is_written_about_tokens_wins_over_what_follows(tmp_path: Path) -> None:
    derived = loaded(tmp_path, "tokens: {issuer: me, audience: you}").effective
    assert (derived.issuer, derived.audience) == ("me", ("you",))


@pytest.mark.item(75)
@pytest.mark.parametrize(
    "server",
    [
        "listen: 127.0.0.1:8080",
        "listen: 'localhost:8080'",
        "listen: '[::1]:8080'",
        "listen: 127.9.9.9:8080",
        "listen: 0.0.0.0:8080, public_url: https://x.example",
        "listen: 0.0.0.0:8080, insecure_http: true",
        "listen: 0.0.0.0:8080, tls: [{certificate_file: users.yaml, key_file: users.yaml}]",
    ],
)
def test_logins_are_allowed_where_nobody_can_listen(tmp_path: Path, server: str) -> None:
    text = f"server: {{{server}}}\nstore: {{url: embedded}}\nlogin: {{verify: {{file: users.yaml}}}}"
    loaded(tmp_path, text, users="users: {}")


@pytest.mark.item(75)
@pytest.mark.parametrize("server", ["listen: 0.0.0.0:8080", "listen: 10.0.0.1:80, public_url: http://x.example"])
@pytest.mark.parametrize("wanted", ["login: {verify: {file: users.yaml}}", "tokens: {read_from: [cookie]}"])
def test_logins_and_cookies_over_the_network_in_clear_are_refused(tmp_path: Path, server: str, wanted: str) -> None:
    message = refused(tmp_path, f"server: {{{server}}}\nstore: {{url: embedded}}\n{wanted}", users="users: {}")
    assert "would cross the network in clear" in message


def test_a_gateway_that_only_checks_bearer_tokens_needs_no_tls(tmp_path: Path) -> None:
    loaded(tmp_path, "server: {listen: 0.0.0.0:8080}\nstore: {url: embedded}")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(600.0, "10m"), (0.25, "250ms"), (90.0, "90s"), (86400.0, "1d"), (0.0, "0s"), (None, "none"), (3600.0, "1h")],
)
def test_durations_are_shown_as_they_are_written(seconds: float | None, text: str) -> None:
    assert duration_text(seconds) == text


@given(st.integers(1, 10**9))
def test_a_duration_that_is_shown_reads_as_itself(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    assert TypeAdapter(Duration).validate_python(duration_text(seconds)) == pytest.approx(seconds)


@given(st.integers(1, 10**9 - 1))
def test_a_size_that_is_shown_reads_as_itself(size: int) -> None:
    assert TypeAdapter(Size).validate_python(size_text(size)) == size


def test_places_are_known(tmp_path: Path) -> None:
    config = loaded(tmp_path, "upstreams: {a: http://a}\nroutes:\n  - {path: /a, to: a}\n  - path: /b\n    to: a\n")
    assert [config.place("routes", at) for at in (0, 1)] == ["gateway.yaml:4", "gateway.yaml:5"]
    assert Config(version=1).place("routes", 1) == "routes[1]"
