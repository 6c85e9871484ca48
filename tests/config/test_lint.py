"""What is allowed and probably a hole is said, with its place; what is usual is not."""

import os
import re
from pathlib import Path

import pytest

from gateway.config.lint import lint
from gateway.config.users import file_users
from gateway.tokens.subject import Subject
from tests.config.files import loaded
from tests.tokens.forge import issued, ring_for

BASE = """\
login: {verify: {file: users.yaml}}
roles: {user: {}, admin: {includes: [user]}, ghost: {permissions: [haunt]}, clerk: {permissions: [file]}}
upstreams: {app: "http://10.0.0.1:80", near: "http://127.0.0.1:80", safe: "https://10.0.0.1"}
"""
USERS = """\
users:
  ana: {password: demo, demo: true, roles: [admin], permissions: [read]}
  bo: {password: demo, demo: true, roles: [clerk]}
"""


def said(directory: Path, text: str, *, users: str = USERS, base: str = BASE, **environ: str) -> list[str]:
    """Return what the lint says of *text*: line, place and reason each."""
    config = loaded(directory, base + text, environ, users=users)
    people = file_users(config)
    return [f"{fault.line}: {fault.where}: {fault.reason}" for fault in lint(config, people)]


PUBLIC_ABOVE = (
    "6: routes[0].path: everything below is public, and /api/orders in it is not: what is added there later, "
    "or spelled in a way that only the service understands, is open to everybody"
)
CLEAR = "the caller's token crosses the network in clear on its way to http://10.0.0.1:80"

AROUND = "whoever {} is not asked for {} as at gateway.yaml:{}: clients choose their headers"

FINDINGS = [
    pytest.param(
        "routes:\n  - {path: /api/**, to: app, auth: public}\n  - {path: /api/orders, to: app}\n",
        [PUBLIC_ABOVE],
        id="a public prefix above a protected path",
    ),
    pytest.param(
        "routes:\n  - {path: /a/Internal/x, to: app, auth: public}\n",
        ['6: routes[0].path: a public route with "internal" in its path'],
        id="a public route that is called internal",
    ),
    pytest.param(
        "routes:\n  - {path: /x, to: app, roles: [ghost]}\n",
        ['6: routes[0].roles: nobody has the role "ghost" that is asked for here'],
        id="a role that nobody has",
    ),
    pytest.param(
        "routes:\n  - path: /x\n    to: app\n    methods: {GET: {roles: [user]}, POST: {roles: [ghost]}}\n",
        ['8: routes[0].methods.POST.roles: nobody has the role "ghost" that is asked for here'],
        id="a role that nobody has, for one method",
    ),
    pytest.param(
        "routes:\n  - {path: /x, to: app, roles: [user], not_roles: [user]}\n",
        ["6: routes[0]: whoever has the roles for this is kept out by not_roles, so nobody gets through"],
        id="a route that excludes whom it asks for",
    ),
    pytest.param(
        "routes:\n  - {path: /x, to: app, forward_token: keep}\n",
        [f"6: routes[0].forward_token: {CLEAR}"],
        id="a token in clear",
    ),
    pytest.param(
        "defaults: {forward_token: keep}\nroutes:\n  - {path: /x, to: app}\n",
        [f"5: defaults.forward_token: {CLEAR}"],
        id="a token in clear, by default",
    ),
    pytest.param(
        "tokens: {read_from: [cookie]}\n"
        "cors: {origins: ['http://a.example']}\n"
        "defaults: {cors: {origins: ['http://b.example', 'https://c.example', 'http://[::1]:3000'], "
        "credentials: true}}\n"
        "routes:\n  - {path: /x, to: app}\n  - {path: /y, to: app}\n",
        [
            "6: cors.origins[0]: whoever is on the way to http://a.example can write its pages, which may act as the "
            "people who open them",
            "7: defaults.cors.origins[0]: whoever is on the way to http://b.example can write its pages, which may act "
            "as the people who open them",
        ],
        id="an origin that others can speak for",
    ),
    pytest.param(
        "server: {public_url: 'https://gw.example'}\n"
        "routes:\n  - {path: /x, to: app, cors: {origins: ['http://127.0.0.1:3000'], credentials: true}}\n",
        [
            "7: routes[0].cors.origins[0]: any program on a visitor's own machine can be http://127.0.0.1:3000, "
            "and may act as the visitor"
        ],
        id="an origin of development beside a public gateway",
    ),
    pytest.param(
        "routes:\n"
        "  - {path: /x, to: app, auth: public, allow_ips: [10.0.0.0/8], cors: {origins: ['*']}}\n"
        "  - {path: /y, to: app, allow_ips: [10.0.0.0/8], cors: {origins: ['*']}}\n",
        [
            "6: routes[0].cors.origins: any page in the world can read this through the browser of somebody inside "
            "allow_ips"
        ],
        id="pages of everybody where the address alone protects",
    ),
    pytest.param(
        "tokens: {read_from: [cookie]}\n"
        "routes:\n  - {path: /x, to: app, cors: {origins: ['https://a.example']}}\n"
        "  - {path: /y, to: app, auth: public, cors: {origins: ['https://a.example']}}\n",
        [
            "7: routes[0].cors: no page can use this: tokens are read from cookies only, and without credentials none "
            "are sent"
        ],
        id="pages that have no way to say who asks",
    ),
    pytest.param(
        "rules: {a: {any_of: [{mfa: true}]}}\n"
        "routes:\n  - path: /x\n    to: app\n    any_of: [{mfa: true}, {roles: [user]}]\n"
        "    shadow: {any_of: [{roles: [user]}]}\n"
        "    methods: {GET: {}, POST: {any_of: [{roles: [admin]}]}}\n",
        [
            f"{place}: one alternative is none: this asks for the same as its entry does without any_of"
            for place in ("5: rules.a.any_of", "10: routes[0].shadow.any_of", "11: routes[0].methods.POST.any_of")
        ],
        id="one alternative",
    ),
    pytest.param(
        "trusted_issuers:\n  idp: {issuer: 'https://idp.example', jwks: 'https://idp.example/jwks', audience: [a]}\n",
        ["2: login: without tokens.audience our tokens are for everybody who trusts this gateway"],
        id="no audience beside trusted issuers",
    ),
    pytest.param(
        "routes:\n  - {path: /x, to: app, permissions: [orders:write]}\n",
        ['6: routes[0].permissions[0]: nobody has the permission "orders:write", and no role brings it along'],
        id="a permission that nobody has",
    ),
    pytest.param(
        "rules: {writing: {any_of: [{permissions: [haunt]}, {roles: [user]}]}}\n"
        "routes:\n  - {path: /x, to: app, rules: [writing]}\n",
        ['5: rules.writing.any_of[0].permissions[0]: the permission "haunt" comes with ghost, which nobody is'],
        id="a permission of a role that nobody has",
    ),
    *(
        pytest.param(
            f"rules: {{named: {{mfa: true}}}}\nroutes:\n  - {{path: /x, to: app, {written}}}\n",
            [f'7: routes[0].{where}: nobody has the role "ghost" that is asked for here'],
            id=f"a role that nobody has, {what}",
        )
        for written, where, what in (
            ("roles_all: [user, ghost]", "roles_all[1]", "all of which are needed"),
            ("any_of: [{roles: [user]}, {roles: [ghost]}]", "any_of[1].roles", "in an alternative"),
            ("shadow: {roles: [ghost]}", "shadow.roles", "in a candidate"),
        )
    ),
    pytest.param(
        "rules: {office: {roles: [ghost]}}\nroutes:\n  - {path: /x, to: app, rules: [office]}\n",
        ['5: rules.office.roles: nobody has the role "ghost" that is asked for here'],
        id="a role that nobody has, in a rule with a name",
    ),
    pytest.param(
        "telemetry: {debug_role: ghost}\n",
        ['5: telemetry.debug_role: nobody has the role "ghost"'],
        id="a debug role that nobody has",
    ),
    *(
        pytest.param(
            "rules: {job: {caller: program}, fresh: {mfa: true}}\n"
            f"routes:\n  - {{path: /x, to: app, {written}}}\n",
            [f"7: routes[0]: {reason}"],
            id=written,
        )
        for written, reason in (
            ("caller: program", "no program can get a token here"),
            ("rules: [job], caller: user", "nobody is a user and a program at once, so nobody gets through"),
            ("rules: [job], fresh_login: 5m", "a program has no login, so with fresh_login nobody gets through"),
            (
                "any_of: [{rules: [job, fresh]}, {roles: [user], not_roles: [user]}]",
                "nobody who meets the rest can meet an entry of any_of, so nobody gets through",
            ),
        )
    ),
    pytest.param(
        "routes:\n"
        "  - {path: /**, host: www.example.com, to: app, auth: public}\n"
        "  - {path: /admin/**, to: app, roles: [admin]}\n",
        [
            "6: routes[0].path: at www.example.com this comes before /admin/** of line 7, which asks for a token: a "
            "host comes before a path, so everybody gets through there"
        ],
        id="a protected path behind a public host",
    ),
    *(
        pytest.param(
            f"routes:\n  - {{path: '/a/{written}/b', to: app}}\n",
            [f'6: routes[0].path: "{written}" stands for itself{reason}'],
            id=f"a path with {written}",
        )
        for written, reason in (
            (":id", "; a parameter is written in braces"),
            ("<int:id>", "; a parameter is written in braces"),
            ("[0-9]+", ": there are no regular expressions"),
            ("(a|b)", ": there are no regular expressions"),
            ("v1.+", ": there are no regular expressions"),
        )
    ),
    pytest.param(
        "tests: [{as: anna, call: GET /x, expect: 401}, {as: Ana, call: GET /x, expect: 404}]\n",
        ['5: tests[0].as: nobody is called "anna"'],
        id="an expectation about nobody",
    ),
    pytest.param(
        "defaults: {allow_ips: [10.0.0.0/8, 0.0.0.0/0]}\nroutes:\n  - {path: /x, to: app}\n",
        ["5: defaults.allow_ips[1]: every address is in this, so it asks for nothing"],
        id="a network that everybody is in",
    ),
    pytest.param(
        "store: {url: 'redis://me:hunter2@10.0.0.1/0'}\nserver: {secret: '${S}'}\n",
        ["5: store.url: a password in this file is in every copy of it"],
        id="a password in an address",
    ),
    pytest.param(
        'server: {secret: "${UNSET:-' + os.urandom(20).hex() + '}"}\n',
        ["5: server.secret: where the variable is not set, everybody who has a copy of this file knows the secret"],
        id="a default secret",
    ),
    pytest.param(
        "routes:\n"
        "  - {path: /v, to: app, roles: [admin]}\n"
        "  - {path: /v, to: safe, roles: [user], headers: {X-Canary: true}}\n",
        ["7: routes[1].headers: " + AROUND.format("sends x-canary", "role admin", 6)],
        id="a variant by header for which fewer are kept out",
    ),
    pytest.param(
        "routes:\n"
        "  - {path: /v, to: app, headers: {X-V: '2'}, permissions: [read]}\n"
        "  - {path: /v, to: safe, headers: {X-V: '3'}, methods: {GET: {auth: public}}}\n",
        ["7: routes[1].headers: " + AROUND.format("sends x-v: 3 in place of x-v: 2", "permission read", 6)],
        id="a variant by another value that is public",
    ),
    pytest.param(
        "routes:\n"
        "  - {path: /v, to: app, auth: public}\n"
        "  - {path: /v, to: app, headers: {X-Inside: true}, roles: [admin]}\n",
        ["6: routes[0].path: " + AROUND.format("leaves out x-inside", "role admin", 7)],
        id="a rule that is left by leaving a header out",
    ),
    pytest.param(
        "routes:\n"
        "  - {path: /api/v/**, to: app, roles: [admin]}\n"
        "  - {path: /api/v/**, to: app, headers: {X-V: '2'}, auth: public}\n",
        ["7: routes[1].headers: " + AROUND.format("sends x-v: 2", "role admin", 6)],
        id="a public prefix for whoever sends a header is said once",
    ),
    pytest.param(
        "routes:\n  - {path: /Users, to: near, roles: [admin]}\n  - {path: /users, to: near}\n",
        [
            "7: routes[1].path: only capitals tell this from /Users, and a service that ignores them has one rule for "
            "both"
        ],
        id="capitals",
    ),
    pytest.param(
        f"server: {{secret: {os.urandom(20).hex()}}}\n",
        ["5: server.secret: a secret in this file is in every copy of it"],
        id="a secret in the file",
    ),
]


@pytest.mark.parametrize(("text", "findings"), FINDINGS)
def test_it_is_said(tmp_path: Path, text: str, findings: list[str]) -> None:
    assert said(tmp_path, text, S=os.urandom(32).hex()) == findings


USUAL = [
    pytest.param(
        "routes:\n  - {path: /**, to: app, auth: public, methods: [GET]}\n  - {path: /api/**, to: app}\n", id="site"
    ),
    pytest.param("routes:\n  - {path: /api/**, to: app}\n  - {path: /api/open, to: app, auth: public}\n", id="hole"),
    pytest.param("routes:\n  - {path: /x, to: near, forward_token: keep}\n", id="a token on this machine"),
    pytest.param("routes:\n  - {path: '/v1.2/a:b/x+y/{id}', to: app}\n", id="signs that paths may have"),
    pytest.param("routes:\n  - {path: /x, to: safe, forward_token: keep}\n", id="a token by TLS"),
    pytest.param("routes:\n  - {path: /x, to: app, roles: [user, ghost]}\n", id="one of the roles is somebody's"),
    pytest.param("routes:\n  - {path: /x, to: app, permissions: [read, file]}\n", id="permissions that people have"),
    pytest.param(
        "routes:\n  - {path: /v, to: app, auth: public}\n  - {path: /v, to: safe, headers: {X-V: '2'}}\n",
        id="another service with another rule by header",
    ),
    pytest.param(
        "routes:\n"
        "  - {path: /v, to: app, roles: [user], rules: [pays]}\n"
        "  - {path: /v, to: safe, headers: {X-V: '2'}, roles: [admin], rules: [pays]}\n"
        "rules: {pays: {claims: {plan: pro}}}\n",
        id="a variant for which more are kept out",
    ),
    pytest.param('server: {secret: "${S}"}\n', id="a secret of the environment"),
    pytest.param("routes:\n  - {path: /x, to: app, any_of: [{roles: [user]}, {caller: program}]}\n", id="one entry"),
    pytest.param(
        "routes:\n"
        "  - {path: /**, host: www.example.com, to: near, auth: public}\n"
        "  - {path: /**, host: api.example.com, to: app, auth: public}\n"
        "  - {path: /admin/**, host: api.example.com, to: app}\n"
        "  - {path: /admin/**, to: app}\n",
        id="hosts with what is theirs",
    ),
    pytest.param(
        "clients: {job: {secret_hash: 'sha256:" + "0" * 64 + "'}}\nroutes:\n  - {path: /x, to: app, caller: program}\n",
        id="a route for the programs there are",
    ),
]


@pytest.mark.parametrize("text", USUAL)
def test_nothing_is_said_of_what_is_usual(tmp_path: Path, text: str) -> None:
    assert said(tmp_path, text, S=os.urandom(32).hex()) == []


def test_without_any_way_to_a_token_a_protected_route_is_nobodys(tmp_path: Path) -> None:
    base = "upstreams: {app: 'http://127.0.0.1:1'}\n"
    text = "routes:\n  - {path: /x, to: app}\n  - {path: /y, to: app, auth: public}\n"
    assert said(tmp_path, text, base=base) == ["4: routes[0]: nobody can get a token for this route"]


def test_nobody_has_a_role_as_long_as_nobody_has_any(tmp_path: Path) -> None:
    assert said(tmp_path, "routes:\n  - {path: /x, to: app, roles: [ghost]}\n", users="users: {}\n") == []


@pytest.mark.item(168)
def test_a_secret_that_everybody_can_read_is_said_unless_an_orchestrator_put_it_there(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(os.urandom(32).hex())
    secret.chmod(0o644)
    text = "server: {secret_file: secret}\n"
    assert said(tmp_path, text) == [f"5: server.secret_file: everybody on this machine can read {secret}"]
    secret.chmod(0o600)
    assert said(tmp_path, text) == []
    mounted = tmp_path / "..2026_11_28"
    mounted.mkdir()
    (mounted / "secret").write_text(os.urandom(32).hex())
    secret.unlink()
    secret.symlink_to(mounted / "secret")
    assert said(tmp_path, text) == []


def test_a_proxy_that_may_be_anybody_is_said(tmp_path: Path) -> None:
    text = "server: {trusted_proxies: [10.0.0.0/8, 0.0.0.0/0, '::/0']}\n"
    reason = "whoever connects from there says who the client is: its address, its limits and allow_ips"
    assert said(tmp_path, text, users="users: {}\n") == [f"5: server.trusted_proxies[{at}]: {reason}" for at in (1, 2)]


def test_files_with_secrets_are_looked_at_wherever_they_are_named(tmp_path: Path) -> None:
    for name in ("admin", "store", "client", "hmac"):
        (tmp_path / name).write_text(os.urandom(32).hex())
        (tmp_path / name).chmod(0o644)
    text = """\
server: {admin: {token_file: admin}, secret: "${S}"}
store: {url: "redis://10.0.0.1/0", password_file: store}
tokens: {keys: {files: [{file: hmac, alg: HS256}]}}
clients: {job: {secret_file: client}}
"""
    found = said(tmp_path, text, S=os.urandom(32).hex())
    assert [line.partition(": everybody")[0] for line in found] == [
        "5: server.admin.token_file",
        "6: store.password_file",
        "7: tokens.keys.files[0].file",
        "8: clients.job.secret_file",
    ]


ELSEWHERE = [
    pytest.param("login: {verify: {database: {}}}\n", "", id="people in a database"),
    pytest.param("login: {verify: {file: users.yaml}, claims: {roles: x, permissions: x}}\n", "", id="claims at login"),
    pytest.param(
        "login: {verify: {file: users.yaml}}\n",
        "tokens: {audience: a}\ntrusted_issuers:\n"
        "  idp: {issuer: 'https://idp.example', audience: [a], permissions: p, roles: r, map_roles: {x: ghost}}\n",
        id="a provider that says permissions",
    ),
]


@pytest.mark.parametrize(("login", "more"), ELSEWHERE)
def test_nothing_is_said_of_what_others_may_give(tmp_path: Path, login: str, more: str) -> None:
    base = login + BASE.partition("\n")[2] + more
    assert said(tmp_path, "routes:\n  - {path: /x, to: app, roles: [ghost], permissions: [p]}\n", base=base) == []


def test_more_permissions_than_a_cookie_can_hold_are_said_of_roles_people_and_programs(tmp_path: Path) -> None:
    many = ", ".join(f'"resource-{at}:write"' for at in range(150))
    base = BASE.replace(
        "clerk: {permissions: [file]}", f"clerk: {{permissions: [{many}]}}, boss: {{includes: [clerk]}}"
    )
    base += f"clients: {{job: {{roles: [boss], secret_hash: 'sha256:{'0' * 64}'}}}}\n"
    size, found = [], said(tmp_path, "", base=base)
    for line in found:
        number = re.search(r"about (\d+) bytes, 4016 fit into a cookie$", line)
        assert number is not None
        size.append(int(number[1]))
    assert [line.partition(" would")[0] for line in found] == [
        "2: login.verify: the token of bo",
        "3: roles.clerk: a token of somebody with this role",
        "3: roles.boss: a token of somebody with this role",
    ]
    permissions = tuple(f"resource-{at}:write" for at in range(150))
    token = issued(ring_for("RS256"), Subject("bo", "bo", ("clerk",), permissions))
    assert all(len(token) <= about <= len(token) + 200 for about in size)

    assert said(tmp_path, "tokens: {read_from: [bearer]}\n", base=base) == []
    small = "tokens: {read_from: [bearer]}\nserver: {limits: {token: 2KiB}}\n"
    assert any(": clients.job: its tokens would have about " in line for line in said(tmp_path, small, base=base))
