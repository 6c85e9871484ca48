"""`gateway explain`: the route, every rule with its line and what was compared, and the verdict."""

import json
from pathlib import Path

import pytest

from tests.commands.shell import CONFIG, Shell

RULES = """\
version: 1
login: {verify: {file: users.yaml}}
roles: {user: {}, support: {}, admin: {includes: [user]}}
rules: {own_tenant: {where: {path.tenant: claim.tenant}}, paying: {claims: {plan: [pro, team]}}}
upstreams: {app: "http://127.0.0.1:1"}
clients: {reports: {roles: [support], secret_hash: "sha256:DIGEST"}}
routes:
  - path: /tenants/{tenant}/**
    to: app
    any_of:
      - {rules: [own_tenant, paying]}
      - {roles: [support]}
    methods: {GET: {}, DELETE: {mfa: true}}
  - {path: /export, to: app, permissions: ["orders:read"], shadow: {roles: [admin]}}
  - {path: /hosted, host: api.example.com, to: app, auth: public}
  - {path: /by-header, to: app, where: {header.x-tenant: claim.sub}}
  - {path: /open, to: app, auth: public}
""".replace("DIGEST", "ab" * 32)
USERS = """\
users:
  ana: {password: demo, demo: true, roles: [user], tenant: acme, permissions: ["orders:read"], claims: {plan: free}}
"""


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    made = Shell(tmp_path)
    made.write(RULES)
    (tmp_path / "users.yaml").write_text(USERS)
    return made


def explained(shell: Shell, *words: str, stdin: str = "") -> tuple[int, str]:
    """Return the exit status and what was printed, the first line aside."""
    result = shell.run("explain", *words, stdin=stdin)
    assert not result.stderr, result.stderr
    return result.exit_code, result.stdout.partition("\n")[2]


def test_every_rule_is_there_with_its_line_and_what_was_compared(shell: Shell) -> None:
    result = shell.run("explain", "delete", "/tenants/acme/x", "--as", "ana")

    assert result.exit_code == 1
    assert (
        result.stdout
        == """\
DELETE /tenants/acme/x at localhost as ana (roles: user)
route    /tenants/{tenant}/** to app  (gateway.yaml:8)
         tenant is acme
rules    ✓ auth    wants a valid token; got a valid token of ana
         ✗ any_of  wants one of these  (gateway.yaml:10)
             either
               ✓ where   wants path.tenant is claim.tenant; got acme and acme  (gateway.yaml:4)
               ✗ claims  wants claim plan pro or team; got free  (gateway.yaml:4)
             or
               ✗ roles  wants role support; got user  (gateway.yaml:12)
         ✗ mfa     wants a login with a second factor; got pwd  (gateway.yaml:13)
✗ refused: 403 rule_failed
"""
    )


def test_a_candidate_is_shown_beside_the_rule(shell: Shell) -> None:
    status, said = explained(shell, "GET", "/export", "--as", "ana")

    assert status == 0
    assert (
        said
        == """\
route    /export to app  (gateway.yaml:14)
rules    ✓ auth         wants a valid token; got a valid token of ana
         ✓ permissions  wants permission orders:read; got orders:read  (gateway.yaml:14)
shadow   would be refused: 403 role_missing
         ✓ auth         wants a valid token; got a valid token of ana
         ✗ roles        wants role admin; got user  (gateway.yaml:14)
         ✓ permissions  wants permission orders:read; got orders:read  (gateway.yaml:14)
✓ allowed, goes to app
"""
    )


def test_whoever_asks_can_be_anonymous_a_user_a_role_a_program_or_the_owner_of_a_second_factor(shell: Shell) -> None:
    path = "/tenants/acme/x"
    assert explained(shell, "GET", path)[1].endswith("✗ refused: 401 token_missing\n")
    assert explained(shell, "GET", path, "--as", "support")[0] == 0
    assert explained(shell, "GET", path, "--as", "reports")[0] == 0
    assert explained(shell, "DELETE", path, "--as", "support")[1].endswith("✗ refused: 401 mfa_required\n")
    assert explained(shell, "DELETE", path, "--as", "support", "--mfa")[0] == 0
    assert 'did you mean "ana"?' in shell.run("explain", "GET", path, "--as", "anna").stderr


def test_headers_and_hosts_of_the_request_can_be_given(shell: Shell) -> None:
    assert explained(shell, "GET", "/by-header", "--as", "ana")[1].endswith("403 rule_failed\n")
    assert explained(shell, "GET", "/by-header", "--as", "ana", "-H", "X-Tenant: ana")[0] == 0
    assert explained(shell, "GET", "/hosted", "--host", "api.example.com") == (
        0,
        "route    api.example.com/hosted to app  (gateway.yaml:15)\n"
        "rules    none, the route is public\n"
        "✓ allowed, goes to app\n",
    )


VARIANTS = """\
version: 1
login: {verify: {file: users.yaml}}
server: {trusted_proxies: [127.0.0.0/8]}
upstreams: {app: "http://127.0.0.1:1", two: "http://127.0.0.1:1"}
routes:
  - {path: /v, to: app}
  - {path: /v, to: two, auth: public, headers: {X-V: "2"}}
  - {path: /ws, to: app, auth: public, websocket: true}
  - {path: /office, to: app, auth: public, allow_ips: [10.0.0.0/8]}
"""
SHAKE = ("-H", "Connection: Upgrade", "-H", "Upgrade: websocket", "-H", "Sec-WebSocket-Version: 13")
KEY = ("-H", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")


@pytest.mark.parametrize(
    ("path", "headers", "said"),
    [
        ("/v", ("-H", "X-V: 2"), "allowed, goes to two"),
        ("/v", ("-H", "X-V: 1", "-H", "x-v: 2"), "refused: 401 token_missing"),
        ("/v", ("-H", "Connection: X-V", "-H", "X-V: 2"), "refused: 401 token_missing"),
        ("/v", ("-H", "X_V: 2"), "refused: 401 token_missing"),
        ("/v", ("-H", "Expect: the best"), "refused: 417 expectation_failed (expect)"),
        ("/ws", (*SHAKE, *KEY), "allowed, goes to app"),
        ("/ws", (*SHAKE, *KEY, "-H", "Origin: https://evil"), "refused: 403 origin_denied (origin)"),
        ("/ws", (*SHAKE,), "refused: 400 bad_request (websocket_key)"),
        ("/office", (), "refused: 403 address_denied"),
        ("/office", ("-H", "X-Forwarded-For: 10.0.0.1"), "allowed, goes to app"),
        ("/office", ("-H", "X-Forwarded-For: 10.0.0.1", "--address", "192.0.2.1"), "refused: 403 address_denied"),
    ],
)
def test_headers_are_read_as_those_of_a_request_are(
    shell: Shell, path: str, headers: tuple[str, ...], said: str
) -> None:
    shell.write(VARIANTS)
    (shell.folder / "users.yaml").write_text("users: {}\n")
    assert explained(shell, "GET", path, *headers)[1].splitlines()[-1][2:] == said


@pytest.mark.parametrize(
    ("header", "hint"),
    [
        ("Authorization: Bearer x", "--as and --token say who asks"),
        ("cookie: a=b", "--as and --token say who asks"),
        ("Host: api.example.com", "--host says which"),
        ("Content-Length: 5", "bodies are not looked at"),
    ],
)
def test_a_header_that_is_not_looked_at_is_not_passed_over(shell: Shell, header: str, hint: str) -> None:
    result = shell.run("explain", "GET", "/open", "-H", header)
    assert (result.exit_code, hint in result.stderr) == (2, True)


def test_a_token_among_the_subprotocols_is_not_looked_at_and_that_is_said(shell: Shell) -> None:
    shell.write(VARIANTS.replace("path: /ws, to: app, auth: public", "path: /ws, to: app"))
    (shell.folder / "users.yaml").write_text("users: {}\n")
    offer = ("-H", "Sec-WebSocket-Protocol: bearer, x")
    result = shell.run("explain", "GET", "/ws", *SHAKE, *KEY, *offer)
    assert (result.exit_code, "--as and --token say who asks" in result.stderr) == (1, True)


def test_what_the_gateway_answers_itself_is_said_to_be_that(shell: Shell) -> None:
    shell.write(RULES.replace("shadow: {roles: [admin]}", "cors: {origins: ['https://a.example']}"))
    asked = ("-H", "Origin: https://a.example", "-H", "Access-Control-Request-Method: GET")
    assert explained(shell, "OPTIONS", "/export", *asked) == (
        0,
        "route    /export to app  (gateway.yaml:14)\n✓ answered by the gateway itself: 204\n",
    )


@pytest.mark.parametrize(
    ("path", "near"),
    [
        ("/hosted", "api.example.com/hosted is at the host api.example.com  (gateway.yaml:15)"),
        ("/Export", "/export is written with other capitals  (gateway.yaml:14)"),
        ("/export/7", "/export takes in nothing below it, as /export/** would  (gateway.yaml:14)"),
        ("/exprot", "/export is spelled alike  (gateway.yaml:14)"),
    ],
)
def test_where_no_route_is_found_the_nearest_ones_are_named(shell: Shell, path: str, near: str) -> None:
    assert explained(shell, "GET", path) == (
        1,
        f"route    none has this host and path\n         {near}\n✗ refused: 404 no_route\n",
    )


def test_nothing_is_near_to_a_path_that_is_like_none(shell: Shell) -> None:
    assert explained(shell, "GET", "/q") == (1, "route    none has this host and path\n✗ refused: 404 no_route\n")
    assert explained(shell, "GET", "/a/../b") == (1, "✗ refused: 400 path_ambiguous (dot_segment)\n")
    assert explained(shell, "PUT", "/tenants/a") == (
        1,
        "route    this path has GET, HEAD, DELETE only\n✗ refused: 405 method_not_allowed\n",
    )


def test_the_form_for_programs_has_the_same(shell: Shell) -> None:
    said = json.loads(shell.run("explain", "GET", "/tenants/b/x", "--as", "ana", "-o", "json").stdout)

    assert (said["allowed"], said["status"], said["code"]) == (False, 403, "rule_failed")
    assert said["route"] == {
        "name": "/tenants/{tenant}/**",
        "place": "gateway.yaml:8",
        "upstream": "app",
        "parameters": {"tenant": "b"},
    }
    auth, any_of = said["rules"]
    assert (auth["met"], any_of["met"], any_of["place"]) == (True, False, "gateway.yaml:10")
    assert [[step["got"] for step in each] for each in any_of["alternatives"]] == [["b and acme", "free"], ["user"]]
    assert json.loads(shell.run("explain", "GET", "/exprot", "-o", "json").stdout)["near"] == [
        {"route": "/export", "place": "gateway.yaml:14", "why": "is spelled alike"}
    ]


def test_what_cannot_be_asked_is_wrong_usage(shell: Shell) -> None:
    assert shell.run("explain", "GET", "/open", "--as", "ana", "--token", "-").exit_code == 2
    assert shell.run("explain", "GET", "/open", "-H", "no colon").exit_code == 2
    assert "a path begins with a slash: /open" in shell.run("explain", "GET", "open").stderr


def test_a_token_is_taken_from_standard_input_and_never_shown(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    remote = 'store: {url: "${STORE:-redis://:hunter2@127.0.0.1:1/0}"}'
    shell.write(CONFIG.replace(remote, "tokens: {keys: {alg: ES256}}"))
    shell.good("keys", "generate")
    token = shell.good("token", "mint", "--sub", "x", "--role", "admin").strip()
    broken = token[:-4] + ("AAAA" if not token.endswith("AAAA") else "BBBB")

    good = shell.run("explain", "DELETE", "/orders/7", "--token", "-", stdin=token)
    assert (good.exit_code, "as the token of x\n" in good.stdout) == (0, True), good.output
    refused = shell.run("explain", "DELETE", "/orders/7", "--token", "-", stdin=broken)
    assert refused.exit_code == 1
    assert "✗ auth  wants a valid token; got a token that does not count: signature\n" in refused.stdout
    assert "✗ refused: 401 token_invalid (the signature does not fit" in refused.stdout
    assert shell.run("explain", "GET", "/open", "--token", "-", stdin=broken).exit_code == 0, "nobody looks at it"
    assert broken not in refused.output


def test_what_a_token_says_moves_no_cursor(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.write(RULES.replace("claim.sub", "claim.nasty"))
    nasty = '"\\e[31mred \\u2028 eyJhbGciOiJub25lIn0.e30.x ' + "x" * 500 + '"'
    (tmp_path / "users.yaml").write_text(USERS.replace("plan: free", f"nasty: {nasty}"))

    said = shell.run("explain", "GET", "/by-header", "--as", "ana").stdout

    assert all(line.isprintable() for line in said.splitlines())
    assert r"\x1b[31mred \u2028 ***" in said
    assert len(max(said.splitlines(), key=len)) < 250
