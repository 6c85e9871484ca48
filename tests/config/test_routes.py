"""From the file to the table: what is inherited, what roles mean, and that our own endpoints cannot be taken."""

from pathlib import Path

import pytest

from gateway.config.faults import Wrong
from gateway.config.load import load
from gateway.config.names import passed_header
from gateway.config.roles import bringing, circle, granting, holders
from gateway.config.routes import route_table
from gateway.config.sections import RoleConfig
from gateway.proxy.names import FORWARDED, HOP_BY_HOP, PASS, FieldKinds
from gateway.routing.cors import Cors
from gateway.routing.headers import wanted
from gateway.routing.table import Access, Fork, Match, Route, RouteTable, Rule, Timeouts
from tests.config.files import EXAMPLES, FULL_ENVIRON, ROOT, loaded
from tests.routing.callers import caller, some, verdict

NONE = frozenset[str]()


def table(directory: Path, routes: str, more: str = "") -> RouteTable:
    """Return the table of *routes*, lines of the section, with the usual roles and upstream."""
    roles = "roles: {user: {}, editor: {includes: [user], permissions: [write]}, admin: {includes: [editor]}}"
    lines = "".join(f"  {line}\n" for line in routes.strip().split("\n"))
    return route_table(loaded(directory, f"{roles}\nupstreams: {{app: http://app}}\n{more}\nroutes:\n{lines}"))


def met(routes: RouteTable, target: str, method: str = "GET", host: str = "gw") -> Match:
    found = routes.match(method.encode(), host.encode(), target.encode())
    assert isinstance(found, Match)
    return found


def rule(routes: RouteTable, target: str, method: str = "GET") -> Rule:
    return met(routes, target, method).rule


def only(directory: Path, route: str, more: str = "") -> Route:
    return met(table(directory, f"- {{path: /a, to: app, {route}}}", more), "/a").route


def test_the_gateway_file_of_the_repository_protects_what_it_says() -> None:
    routes = route_table(load(ROOT / "gateway.yaml", {}))
    assert rule(routes, "/public/x").access is Access.PUBLIC
    assert rule(routes, "/api").roles == {"user", "admin"}
    assert rule(routes, "/admin/x").roles == {"admin"}
    assert rule(routes, "/admin/x").wanted == "role admin"
    assert met(routes, "/auth/login", "POST").route.upstream == "builtin"
    assert met(routes, "/api/x").route.place == "gateway.yaml:64"


def test_a_route_is_protected_unless_it_says_otherwise(tmp_path: Path) -> None:
    assert rule(table(tmp_path, "- {path: /a, to: app}"), "/a").access is Access.REQUIRED


def test_a_role_is_met_by_all_that_include_it(tmp_path: Path) -> None:
    routes = table(
        tmp_path,
        "- {path: /any, to: app, roles: [user]}\n"
        "- {path: /all, to: app, roles_all: [user, admin]}\n"
        "- {path: /not, to: app, not_roles: [editor]}",
    )
    assert rule(routes, "/any").roles == {"user", "editor", "admin"}
    assert rule(routes, "/all").roles_all == (some("user", "editor", "admin"), some("admin"))
    assert rule(routes, "/not").not_roles == {"editor", "admin"}


def test_a_permission_is_the_callers_own(tmp_path: Path) -> None:
    asked = rule(table(tmp_path, "- {path: /a, to: app, permissions: [write]}"), "/a")
    assert verdict(asked, caller(some("user"), some("write"))) is None
    assert verdict(asked, caller(some("admin"))) == "permission_missing"


def test_inheritance_may_have_any_shape() -> None:
    roles = {
        "a": RoleConfig(includes=("b", "c")),
        "b": RoleConfig(includes=("d",)),
        "c": RoleConfig(includes=("d",), permissions=("p",)),
        "d": RoleConfig(permissions=("p", "q")),
    }
    assert holders(roles)["d"] == {"a", "b", "c", "d"}
    assert holders(roles)["a"] == {"a"}
    assert granting(roles) == {"p": {"a", "b", "c", "d"}, "q": {"a", "b", "c", "d"}}
    assert bringing(roles) == {name: {"p", "q"} for name in "abcd"}
    assert circle(roles, "a") is None
    assert circle({"x": RoleConfig(includes=("x",))}, "x") == ("x", "x")


def test_a_method_inherits_from_its_route_and_a_route_from_the_defaults(tmp_path: Path) -> None:
    routes = table(
        tmp_path,
        "- path: /a\n"
        "  to: app\n"
        "  scopes: [read]\n"
        "  methods:\n"
        "    GET: {}\n"
        "    POST: {roles: [editor]}\n"
        "    PUT: {scopes: [write], body: 2KiB}\n"
        "    PURGE: {auth: public}",
        "defaults: {roles: [user]}",
    )
    get, post, put, purge = (rule(routes, "/a", method) for method in ("GET", "POST", "PUT", "PURGE"))
    assert (get.roles, get.scopes) == (some("user", "editor", "admin"), some("read"))
    assert (post.roles, post.scopes) == (some("editor", "admin"), some("read"))
    assert (put.roles, put.scopes, put.body_limit) == (some("user", "editor", "admin"), some("write"), 2048)
    assert (purge.access, purge.roles, purge.scopes) == (Access.PUBLIC, NONE, NONE)
    assert met(routes, "/a", "HEAD").rule is get
    assert met(routes, "/a").route.allow == "GET, HEAD, POST, PUT, PURGE"


@pytest.mark.parametrize("auth", ["public", "optional"])
def test_a_route_that_is_opened_leaves_the_default_rules_behind(tmp_path: Path, auth: str) -> None:
    opened = rule(table(tmp_path, f"- {{path: /a, to: app, auth: {auth}}}", "defaults: {roles: [user]}"), "/a")
    assert (opened.access, opened.roles) == (Access(auth), NONE)


def test_a_list_replaces_what_would_be_inherited(tmp_path: Path) -> None:
    routes = table(tmp_path, "- {path: /a, to: app, roles: [admin]}", "defaults: {roles: [user]}")
    assert rule(routes, "/a").roles == {"admin"}


def test_methods_that_are_not_written_are_the_usual_ones(tmp_path: Path) -> None:
    assert only(tmp_path, "name: x").allow == "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
    assert only(tmp_path, "methods: [GET, REPORT]").allow == "GET, HEAD, REPORT"


def test_a_body_limit_comes_from_the_nearest_place(tmp_path: Path) -> None:
    assert only(tmp_path, "name: x").options.body_limit == 1 << 20
    assert only(tmp_path, "name: x", "server: {limits: {body: 2KiB}}").options.body_limit == 2048
    assert only(tmp_path, "name: x", "defaults: {body: 3KiB}").options.body_limit == 3072
    assert only(tmp_path, "body: 4KiB", "defaults: {body: 3KiB}").options.body_limit == 4096


def test_strict_revocation_comes_from_the_nearest_place(tmp_path: Path) -> None:
    more = "defaults: {revocation: strict}"
    assert not rule(table(tmp_path, "- {path: /a, to: app}"), "/a").strict
    assert rule(table(tmp_path, "- {path: /a, to: app}", more), "/a").strict
    routes = table(
        tmp_path, "- {path: /a, to: app, revocation: normal, methods: {GET: {}, PUT: {revocation: strict}}}", more
    )
    assert (rule(routes, "/a").strict, rule(routes, "/a", "PUT").strict) == (False, True)


def test_each_timeout_comes_from_the_nearest_place() -> None:
    routes = route_table(load(EXAMPLES / "full.yaml", FULL_ENVIRON))
    orders = met(routes, "/api/orders/7").route.options
    assert orders.timeouts == Timeouts(connect=1.0, first_byte=10.0, idle=20.0, total=None)
    web = met(routes, "/").route.options
    assert web.timeouts == Timeouts(connect=5.0, first_byte=60.0, idle=40.0, total=50.0)


def test_a_stream_has_no_end_and_may_be_silent() -> None:
    export = met(route_table(load(EXAMPLES / "full.yaml", FULL_ENVIRON)), "/api/export/7").route
    assert export.name == "export"
    assert export.options.stream
    assert export.options.timeouts == Timeouts(connect=1.0, first_byte=10.0, idle=None, total=None)


def test_the_limits_of_a_stream_can_still_be_written(tmp_path: Path) -> None:
    assert only(tmp_path, "stream: true, timeouts: {idle: 5m}").options.timeouts.idle == 300.0


def test_whose_host_an_upstream_sees() -> None:
    routes = route_table(load(EXAMPLES / "full.yaml", FULL_ENVIRON))
    assert met(routes, "/api/orders/7").route.options.host == "keep"
    assert met(routes, "/").route.options.host == "keep"
    assert met(routes, "/files/x", host="a.example.com").route.options.host == "target"


def test_other_options_arrive(tmp_path: Path) -> None:
    options = only(tmp_path, "forward_token: keep, allow_encoded_slash: true, rewrite: /b").options
    assert (options.forward_token, options.allow_encoded_slash, options.rewrite) == (True, True, "/b")
    plain = only(tmp_path, "name: x").options
    assert (plain.forward_token, plain.allow_encoded_slash, plain.websocket, plain.host) == (
        False,
        False,
        None,
        "target",
    )
    retry = met(route_table(load(EXAMPLES / "full.yaml", FULL_ENVIRON)), "/api/orders/7").route.options.retry
    assert (retry.attempts, retry.when, retry.per_try) == (2, some("connect_error", "reset", "502", "503"), 5.0)


def test_websockets_can_be_allowed_shaped_and_forbidden_again(tmp_path: Path) -> None:
    assert only(tmp_path, "websocket: true").options.websocket is not None
    shaped = only(tmp_path, "websocket: {origins: ['https://App.example.com:443'], idle: none}").options.websocket
    assert shaped is not None
    assert (shaped.origins, shaped.idle) == (("https://app.example.com",), None)
    assert only(tmp_path, "name: x", "defaults: {websocket: true}").options.websocket is not None
    assert only(tmp_path, "websocket: false", "defaults: {websocket: true}").options.websocket is None


def test_pages_of_other_origins_are_inherited_replaced_and_taken_away(tmp_path: Path) -> None:
    defaults = "defaults: {cors: {origins: ['https://App.example.com:443'], credentials: true, headers: [X-Tenant]}}"
    inherited = only(tmp_path, "name: x", defaults)
    assert inherited.options.cors == Cors(
        frozenset({"https://app.example.com"}),
        headers="Authorization, Content-Type, X-CSRF-Token, X-Tenant",
        max_age=600,
        credentials=True,
    )
    assert inherited.sharing is not None
    assert inherited.sharing.allows(b"https://app.example.com")
    own = only(tmp_path, "cors: {origins: ['*'], expose: [ETag], max_age: 1m}", defaults).options.cors
    assert own is not None
    assert (own.origins, own.credentials, own.max_age) == (frozenset({"*"}), False, 60)
    assert own.exposed.endswith("Gateway-Refresh, ETag")
    assert only(tmp_path, "cors: false", defaults).sharing is None
    assert only(tmp_path, "name: x").sharing is None


LOGIN = "login: {verify: {file: users.yaml}}"


def own(directory: Path, routes: str, host: str, target: str) -> str:
    (directory / "users.yaml").write_text("users: {}")
    return met(table(directory, routes, LOGIN), target, "POST", host).route.upstream


@pytest.mark.parametrize(
    "routes",
    [
        "- {path: /**, to: app}",
        "- {path: '/{any}/login', to: app}\n- {path: '/{a}/{b}', to: app}\n- {path: '/{a}/**', to: app}",
        "- {host: gw.example, path: /**, to: app}",
        "- {host: '*.example', path: '/{a}/{b}', to: app}",
    ],
)
@pytest.mark.parametrize("target", ["/auth/login", "/auth/refresh", "/auth", "/.well-known/jwks.json"])
def test_no_route_takes_the_endpoints_of_the_gateway(tmp_path: Path, routes: str, target: str) -> None:
    assert own(tmp_path, routes, "gw.example", target) == "builtin"
    assert own(tmp_path, routes, "other", target) == "builtin"


def test_other_well_known_paths_stay_routable(tmp_path: Path) -> None:
    assert own(tmp_path, "- {path: /.well-known/**, to: app}", "gw", "/.well-known/security.txt") == "app"


def test_without_logins_the_base_path_is_free(tmp_path: Path) -> None:
    assert met(table(tmp_path, "- {path: /auth/**, to: app}"), "/auth/login").route.upstream == "app"


def test_the_base_path_can_be_moved(tmp_path: Path) -> None:
    (tmp_path / "users.yaml").write_text("users: {}")
    more = "login: {base_path: /id, verify: {file: users.yaml}}"
    routes = table(tmp_path, "- {path: /auth/**, to: app}", more)
    assert met(routes, "/id/login").route.upstream == "builtin"
    assert met(routes, "/auth/login").route.upstream == "app"


def test_a_route_can_ask_for_exactly_the_headers_that_pass() -> None:
    kinds = FieldKinds()
    for name in (*FORWARDED, *HOP_BY_HOP, b"Host", b"authorization", b"Cookie", b"content-length", b"expect"):
        assert kinds[name] != PASS
        with pytest.raises(Wrong):
            passed_header(name.decode())
    for passing in ("X-Version", "Accept", "Content-Type", "User-Agent", "X-Api-Key", "Origin", "Sec-Fetch-Site"):
        assert kinds[passing.encode()] == PASS
        assert passed_header(passing) == passing


def test_headers_of_a_route_are_part_of_its_name_and_of_its_match(tmp_path: Path) -> None:
    routes = table(tmp_path, '- {path: /a, to: app}\n- {path: /a, to: app, headers: {X-Version: "2", X-Canary: true}}')
    found = routes.match(b"GET", b"gw", b"/a")
    assert isinstance(found, Fork)
    (branch,) = found.branches
    assert branch.route.name == branch.route.matches == "/a (x-canary, x-version: 2)"
    assert branch.route.headers == wanted({"x-canary": None, "X-VERSION": "2"})
