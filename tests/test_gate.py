"""The gate by itself: one head in, one verdict out. No sockets, no loop, no clock."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from ipaddress import ip_network

import pytest

from gateway.errors import Refusal, extra_headers
from gateway.gate import Answered, Gate, Pending, Permit
from gateway.head import Peer, RequestHead
from gateway.proxy.names import FieldKinds, HostForms
from gateway.proxy.request import read_fields
from gateway.routing.conditions import Addresses, Bound
from gateway.routing.host import normal_host
from gateway.routing.table import Access, Route, RouteOptions, RouteTable, Rule, WebSocketOptions
from gateway.tokens import csrf
from gateway.tokens.cache import Verified
from gateway.tokens.verify import Invalid
from tests.proxy.harness import OPTIONAL, OWN_ORIGIN, PUBLIC, SECRETS, Failures, Feed, Tokens, identity, route, verified

KINDS = FieldKinds((b"X-User-Id",))
HOSTS = HostForms(normal_host)
AT = "__Host-Http-gw-at"


def routes() -> list[Route]:
    user = Rule(roles=frozenset({"user"}))
    return [
        route(0, "/public/**", PUBLIC),
        route(1, "/optional/**", OPTIONAL),
        route(2, "/api/**", user),
        route(3, "/admin/**", Rule(roles=frozenset({"admin"}))),
        route(4, "/scoped/**", Rule(scopes=frozenset({"a", "b"}))),
        route(5, "/permitted/**", Rule(permissions=frozenset({"orders:write"}))),
        route(6, "/slashes/**", user, RouteOptions(allow_encoded_slash=True)),
        route(7, "/stripped/**", user, RouteOptions(strip_prefix="/stripped")),
        route(8, "/ws/**", user, RouteOptions(websocket=WebSocketOptions(origins=("https://friend.test",)))),
        route(9, "/wsbearer/**", user, RouteOptions(websocket=WebSocketOptions(token_from=("bearer",)))),
        route(12, "/strict/**", replace(user, strict=True)),
        route(13, "/unsubscribe/**", user, RouteOptions(csrf_always=True)),
        Route("post", 10, "gateway.yaml:20", None, "/post", "app", {b"POST": user}),
        Route("get", 11, "gateway.yaml:21", None, "/get", "app", {b"GET": user}),
    ]


class Door:
    """A gate, and everything it asks."""

    def __init__(self, *, more: Sequence[Route] = (), **settings: object) -> None:
        self.tokens = Tokens()
        self.feed = Feed()
        self.failures = Failures()
        self.table = RouteTable([*routes(), *more])
        self.gate = Gate(
            routes=self.table,
            tokens=self.tokens,
            feed=self.feed,
            wall=lambda: 1e9,
            secrets=SECRETS,
            own_origins=frozenset({OWN_ORIGIN}),
            failures=self.failures,
            **settings,  # type: ignore[arg-type]
        )

    def admit(
        self, target: str, *lines: str, method: str = "GET", host: str = "gw.test", waited: bool = False, **how: bool
    ) -> Permit | Refusal | Pending | Answered:
        return self.gate.admit(head(target, *lines, method=method, host=host), waited=waited, **how)

    def permit(self, target: str, *lines: str, method: str = "GET") -> Permit:
        verdict = self.admit(target, *lines, method=method)
        assert isinstance(verdict, Permit), verdict
        return verdict

    def refusal(self, target: str, *lines: str, method: str = "GET") -> Refusal:
        verdict = self.admit(target, *lines, method=method)
        assert isinstance(verdict, Refusal), verdict
        return verdict

    def code(self, target: str, *lines: str, method: str = "GET") -> str:
        return self.refusal(target, *lines, method=method).code.name


def head(target: str, *lines: str, method: str = "GET", host: str = "gw.test") -> RequestHead:
    pairs = [(b"Host", host.encode())]
    for line in lines:
        name, _, value = line.partition(": ")
        pairs.append((name.encode(), value.encode("latin-1")))
    fields = read_fields(pairs, 1, KINDS, HOSTS)
    assert not isinstance(fields, Refusal), fields
    return RequestHead(method.encode(), target.encode("latin-1"), 1, fields, Peer("192.0.2.1", secure=False))


def bearer(token: str) -> str:
    return f"Authorization: Bearer {token}"


def cookie(token: str) -> str:
    return f"Cookie: {AT}={token}"


@pytest.fixture
def door() -> Door:
    return Door()


def test_tokens_are_judged_by_the_clock_that_stamped_them(door: Door) -> None:
    door.feed.offset = -600.0
    door.permit("/api/x", bearer("good"))
    assert door.tokens.judged_at == 1e9 - 600


# --- the order of the steps ---


@pytest.mark.parametrize(
    ("target", "lines", "how", "code", "reason"),
    [
        pytest.param(
            "/nowhere/../x", ["Authorization: Bearer a b"], "BREW", "path_ambiguous", "dot_segment", id="target"
        ),
        pytest.param("*", [bearer("bad")], "GET", "bad_request", "asterisk_form", id="asterisk"),
        pytest.param(
            "http://other.test/nowhere",
            ["Authorization: Bearer a b"],
            "GET",
            "bad_request",
            "authority",
            id="authority",
        ),
        pytest.param("/nowhere", ["Authorization: Bearer a b"], "GET", "no_route", "", id="route"),
        pytest.param("/post", ["Authorization: Bearer a b"], "GET", "method_not_allowed", "", id="method"),
        pytest.param("/api/x", ["Authorization: Bearer a b"], "TRACE", "method_not_allowed", "never", id="never"),
        pytest.param("/api/a%2fb", ["Authorization: Bearer a b"], "GET", "path_ambiguous", "encoded_slash", id="slash"),
        pytest.param(
            "/api/x", ["Authorization: Bearer a b", cookie("good")], "GET", "bad_request", "bearer_syntax", id="syntax"
        ),
        pytest.param("/admin/x", [bearer("expired")], "POST", "token_expired", "expired", id="token"),
        pytest.param("/admin/x", [bearer("good"), cookie("elsewhere")], "POST", "bad_request", "two_tokens", id="two"),
        pytest.param(
            "/admin/x", [cookie("good"), "Origin: https://evil.test"], "POST", "role_missing", "role admin", id="rule"
        ),
        pytest.param("/api/x", [cookie("good"), "Origin: https://evil.test"], "POST", "csrf_failed", "", id="forgery"),
    ],
)
def test_the_first_thing_wrong_is_what_is_said(
    door: Door, target: str, lines: list[str], how: str, code: str, reason: str
) -> None:
    """Every case has something wrong with its later steps too, where a request can."""
    refusal = door.refusal(target, *lines, method=how)
    assert (refusal.code.name, refusal.reason) == (code, reason)


def test_nothing_is_verified_for_a_request_that_is_refused_before(door: Door) -> None:
    for target in ("/nowhere", "/api//x", "/api/a%2fb", "http://other.test/api/x", "*"):
        door.refusal(target, bearer("good"))
    door.refusal("/post", bearer("good"))
    door.refusal("/api/x", "Authorization: Bearer a, Bearer b", cookie("good"))
    assert door.tokens.asked == []


def test_a_refusal_says_for_the_log_which_route_and_who(door: Door) -> None:
    assert door.refusal("/api/x").route == "api"
    assert door.refusal("/api/x", bearer("bad")).route == "api"
    assert door.refusal("/slashes/x", "Authorization: Bearer a b").route == "slashes"
    assert door.refusal("/api/a%2fb").route == "api"
    missing = door.refusal("/admin/x", bearer("good"))
    assert (missing.route, missing.subject) == ("admin", "alice")
    forged = door.refusal("/api/x", cookie("good"), method="POST")
    assert (forged.route, forged.subject) == ("api", "alice")
    assert door.refusal("/api/x", bearer("expired")).subject == ""


# --- what a permit holds ---


def test_a_permit_holds_what_forwarding_needs(door: Door) -> None:
    permit = door.permit("/stripped/%61?q=%61", bearer("good"), "Cookie: a=1; b=2")
    assert permit.route.name == "stripped"
    assert permit.rule is permit.route.rules[b"GET"]
    assert (permit.path, permit.log_path) == (b"/a?q=%61", b"/stripped/a")
    assert permit.verified is door.tokens.known[b"good"]
    assert (permit.cookie, permit.handshake) == (b"a=1; b=2", None)


def test_the_query_is_logged_where_it_is_wanted_and_without_its_secrets() -> None:
    door = Door(log_query=True)
    permit = door.permit("/public/x?a=1&token=hunter2")
    assert permit.log_path.startswith(b"/public/x?a=1&token=")
    assert b"hunter2" not in permit.log_path
    assert permit.path == b"/public/x?a=1&token=hunter2"


def test_options_asterisk_is_answered_here(door: Door) -> None:
    assert door.admit("*", method="OPTIONS") == Answered(204)


@pytest.mark.item(71)
def test_head_follows_get_and_nothing_follows_post(door: Door) -> None:
    assert door.permit("/get", bearer("good"), method="HEAD")
    assert door.refusal("/post", bearer("good"), method="HEAD").allow == "POST"
    assert door.refusal("/get", bearer("good"), method="POST").allow == "GET, HEAD"


# --- 56 to 62: credentials ---


@pytest.mark.item(56)
def test_without_credentials_there_is_a_challenge_and_no_error_code(door: Door) -> None:
    refusal = door.refusal("/api/x")
    assert (refusal.status, refusal.code.name) == (401, "token_missing")
    assert ("WWW-Authenticate", 'Bearer realm="gateway"') in extra_headers(refusal)


@pytest.mark.item(56)
@pytest.mark.parametrize("value", ["Basic YTpi", "Digest x", "Bearerx good", "", "Token good", "DPoP good"])
def test_another_scheme_is_no_credential(door: Door, value: str) -> None:
    assert door.code("/api/x", f"Authorization: {value}") == "token_missing"
    assert door.permit("/optional/x", f"Authorization: {value}").verified is None


@pytest.mark.item(57)
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_the_scheme_may_be_of_any_case(door: Door, scheme: str) -> None:
    assert door.permit("/api/x", f"Authorization: {scheme} good").verified is not None


@pytest.mark.item(57)
@pytest.mark.parametrize(
    "value",
    [
        "Bearer",
        "Bearer ",
        "Bearer  good",
        "Bearer\tgood",
        "Bearer \tgood",
        "Bearer good ",
        "Bearer good x",
        "Bearer good,x",
        'Bearer "good"',
        "Bearer, good",
        "bearer  good",
    ],
)
def test_a_bearer_value_that_is_not_one_token_is_malformed(door: Door, value: str) -> None:
    for target in ("/api/x", "/optional/x", "/public/x"):
        refusal = door.refusal(target, f"Authorization: {value}")
        assert (refusal.status, refusal.code.name, refusal.reason) == (400, "bad_request", "bearer_syntax")
    assert door.tokens.asked == []


@pytest.mark.item(58)
@pytest.mark.parametrize("value", ["Bearer good, Bearer admin", "Bearer good,Bearer admin", "Bearer good, Basic eA=="])
def test_two_tokens_in_one_field_are_malformed(door: Door, value: str) -> None:
    assert door.refusal("/api/x", f"Authorization: {value}").status == 400


@pytest.mark.item(58)
def test_two_fields_are_malformed() -> None:
    pairs = [(b"Host", b"gw.test"), (b"Authorization", b"Bearer good"), (b"authorization", b"Bearer good")]
    refusal = read_fields(pairs, 1, KINDS, HOSTS)
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.reason) == (400, "authorization_repeated")


@pytest.mark.item(59)
def test_header_and_cookie_of_two_sessions_are_refused(door: Door) -> None:
    refusal = door.refusal("/api/x", bearer("good"), cookie("elsewhere"))
    assert (refusal.status, refusal.reason) == (400, "two_tokens")


@pytest.mark.item(59)
@pytest.mark.parametrize("other", ["good", "again", "expired", "revoked", "garbage", ""])
def test_header_and_cookie_of_one_session_or_a_dead_cookie_are_the_header(door: Door, other: str) -> None:
    permit = door.permit("/api/x", bearer("good"), cookie(other), method="POST")
    assert permit.verified is door.tokens.known[b"good"]


@pytest.mark.item(60)
@pytest.mark.parametrize("token", ["bad", "expired", "revoked"])
@pytest.mark.parametrize("target", ["/api/x", "/optional/x"])
def test_an_invalid_header_never_falls_back_to_a_valid_cookie(door: Door, token: str, target: str) -> None:
    refusal = door.refusal(target, bearer(token), cookie("good"))
    assert refusal.status == 401
    assert door.tokens.asked == [token.encode()]


@pytest.mark.item(62)
@pytest.mark.parametrize(
    "value",
    [
        f"{AT}=good; {AT}=good",
        f"{AT}=good; {AT}=admin",
        f"{AT}=good; a=1; {AT}=",
        f"{AT}; {AT}=good",
        "__Host-gw-csrf=a; __Host-gw-csrf=b",
        "__Host-Http-gw-rt=a; x=1; __Host-Http-gw-rt=b",
    ],
)
@pytest.mark.parametrize("target", ["/api/x", "/public/x"])
def test_one_of_our_cookies_sent_twice_is_never_the_first(door: Door, value: str, target: str) -> None:
    refusal = door.refusal(target, f"Cookie: {value}")
    assert (refusal.status, refusal.reason) == (400, "cookie_repeated")
    assert door.tokens.asked == []


@pytest.mark.item(62)
def test_twice_over_two_fields_is_twice(door: Door) -> None:
    assert door.refusal("/api/x", cookie("good"), cookie("good")).reason == "cookie_repeated"


@pytest.mark.item(62)
@pytest.mark.parametrize("name", [AT.lower(), AT.upper(), "__host-Http-gw-at"])
def test_a_name_that_resembles_ours_is_neither_ours_nor_the_upstreams(door: Door, name: str) -> None:
    assert door.code("/api/x", f"Cookie: {name}=good") == "token_missing"
    assert door.permit("/public/x", f"Cookie: a=1; {name}=good").cookie == b"a=1"


def test_a_cookie_is_a_credential_when_there_is_no_header(door: Door) -> None:
    permit = door.permit("/api/x", f"Cookie: a=1; {AT}=good; __Host-Http-gw-rt=r; __Host-gw-csrf=c; b=2")
    assert permit.verified is door.tokens.known[b"good"]
    assert permit.cookie == b"a=1; b=2"


def test_an_empty_cookie_of_ours_is_an_invalid_token(door: Door) -> None:
    assert door.code("/api/x", cookie("")) == "token_invalid"


def test_where_tokens_are_read_from_is_settled_by_the_configuration() -> None:
    only_bearer, only_cookie = Door(read_from=frozenset({"bearer"})), Door(read_from=frozenset({"cookie"}))
    assert only_bearer.code("/api/x", cookie("good")) == "token_missing"
    assert only_bearer.permit("/public/x", cookie("good")).cookie == b""
    assert only_bearer.permit("/api/x", bearer("good"), cookie("elsewhere"))
    assert only_cookie.code("/api/x", bearer("good")) == "token_missing"
    assert only_cookie.permit("/api/x", bearer("bad"), cookie("good"))


# --- access ---


def test_a_public_route_asks_nobody_who_they_are(door: Door) -> None:
    for lines in ([], [bearer("good")], [bearer("bad")], [cookie("good")], [cookie("expired")]):
        assert door.permit("/public/x", *lines, method="POST").verified is None
    assert door.tokens.asked == []


def test_an_optional_route_takes_nobody_but_no_forgery(door: Door) -> None:
    assert door.permit("/optional/x").verified is None
    assert door.permit("/optional/x", bearer("good")).verified is not None
    assert door.code("/optional/x", bearer("bad")) == "token_invalid"
    assert door.code("/optional/x", bearer("expired")) == "token_expired"
    assert door.code("/optional/x", cookie("good"), method="POST") == "csrf_failed"


@pytest.mark.parametrize(
    ("token", "code"), [("bad", "token_invalid"), ("expired", "token_expired"), ("revoked", "token_revoked")]
)
def test_a_required_route_says_what_is_wrong_with_a_token(door: Door, token: str, code: str) -> None:
    refusal = door.refusal("/api/x", bearer(token))
    assert (refusal.status, refusal.code.name) == (401, code)
    challenge = dict(extra_headers(refusal))["WWW-Authenticate"]
    assert 'error="invalid_token"' in challenge
    assert token not in challenge.replace("expired", "").replace("revoked", "") or token in ("expired", "revoked")


def test_rules_are_asked_of_the_tokens_owner(door: Door) -> None:
    door.tokens.known[b"scoped"] = verified(identity("a", "user", scopes="a b c"))
    door.tokens.known[b"half"] = verified(identity("a", "user", scopes="a"))
    door.tokens.known[b"writer"] = verified(identity("a", permissions="orders:write"))
    assert door.permit("/scoped/x", bearer("scoped"))
    assert door.permit("/permitted/x", bearer("writer"))
    assert door.code("/api/x", bearer("nobody")) == "role_missing"
    assert door.code("/permitted/x", bearer("scoped")) == "permission_missing"
    refusal = door.refusal("/scoped/x", bearer("half"))
    assert (refusal.status, refusal.code.name, refusal.scope) == (403, "scope_missing", "a b")
    assert 'scope="a b"' in dict(extra_headers(refusal))["WWW-Authenticate"]
    assert door.refusal("/admin/x", bearer("good")).scope == ""


# --- revocations that are not known yet ---


def test_while_revocations_are_unknown_a_token_has_to_wait(door: Door) -> None:
    door.feed.cold = True
    verdict = door.admit("/api/x", bearer("good"))
    assert isinstance(verdict, Pending)
    assert verdict.wait == door.feed.synced
    assert isinstance(door.admit("/optional/x", bearer("good")), Pending)
    assert door.tokens.asked == []


def test_who_needs_no_token_does_not_wait(door: Door) -> None:
    door.feed.cold = True
    assert door.permit("/public/x", bearer("good"))
    assert door.permit("/optional/x")
    assert door.code("/api/x") == "token_missing"
    assert door.code("/nowhere", bearer("good")) == "no_route"


def test_who_has_waited_in_vain_is_told_to_come_back(door: Door) -> None:
    door.feed.cold = True
    refusal = door.admit("/api/x", bearer("good"), waited=True)
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.code.name, refusal.retry_after) == (503, "store_unavailable", 2)
    assert door.tokens.asked == []


def test_who_has_waited_for_good_is_judged(door: Door) -> None:
    door.feed.cold = True
    pending = door.admit("/api/x", bearer("good"))
    assert isinstance(pending, Pending)
    door.feed.cold = False
    door.feed.warm.set()
    asyncio.run(_awaited(pending))
    assert isinstance(door.admit("/api/x", bearer("good"), waited=True), Permit)


def test_a_strict_route_asks_the_store_while_revocations_may_be_missing(door: Door) -> None:
    assert door.permit("/strict/x", bearer("good"))
    door.feed.fresh = False
    assert door.permit("/api/x", bearer("good"))
    verdict = door.admit("/strict/x", bearer("good"))
    assert isinstance(verdict, Pending)
    assert (verdict.confirms, verdict.route) == (True, "strict")
    assert isinstance(door.admit("/strict/x", bearer("good"), waited=True, confirmed=True), Permit)


def test_to_have_waited_for_something_else_is_no_confirmation(door: Door) -> None:
    door.feed.fresh = False
    assert isinstance(door.admit("/strict/x", bearer("good"), waited=True), Pending)


def test_the_store_is_not_asked_about_what_is_refused_anyway(door: Door) -> None:
    door.feed.fresh = False
    assert door.code("/strict/x", bearer("nobody")) == "role_missing"
    assert door.code("/strict/x", bearer("expired")) == "token_expired"
    assert door.code("/strict/x") == "token_missing"


async def _awaited(pending: Pending) -> None:
    await pending.wait()


# --- forged requests ---

MINTED = csrf.mint(SECRETS, "s-1")


@pytest.mark.item(139, 140, 141, 142)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "BREW"])
@pytest.mark.parametrize(
    ("lines", "passes"),
    [
        ([], False),
        (["Sec-Fetch-Site: same-origin"], True),
        (["Sec-Fetch-Site: cross-site"], False),
        (["Sec-Fetch-Site: none"], False),
        (["Sec-Fetch-Site: same-site"], False),
        (["Sec-Fetch-Site: same-site", f"Origin: {OWN_ORIGIN.decode()}"], True),
        (["Sec-Fetch-Site: cross-site", f"Origin: {OWN_ORIGIN.decode()}"], False),
        (["Sec-Fetch-Site: cross-site", f"X-CSRF-Token: {MINTED}"], False),
        (["Sec-Fetch-Site: Same-Origin"], False),
        (["Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: same-origin"], False),
        (["Sec-Fetch-Site: same-origin", "sec-fetch-site: cross-site"], False),
        ([f"Origin: {OWN_ORIGIN.decode()}"], True),
        (["Origin: https://gw.test.evil.test"], False),
        (["Origin: http://gw.test"], False),
        (["Origin: null"], False),
        (["Origin: "], False),
        ([f"Origin: {OWN_ORIGIN.decode()}", "Origin: https://evil.test"], False),
        (["Host-Is: gw.test"], False),
        ([f"X-CSRF-Token: {MINTED}"], True),
        ([f"X-CSRF-Token: {MINTED}", f"X-CSRF-Token: {MINTED}"], False),
        ([f"X-CSRF-Token: {csrf.mint(SECRETS, 's-2')}"], False),
        (["X-CSRF-Token: "], False),
        ([f"X-CSRF-Token: {MINTED}", "Origin: https://evil.test"], False),
    ],
)
def test_a_cookie_changes_something_only_from_our_own_pages(
    door: Door, method: str, lines: list[str], passes: bool
) -> None:
    verdict = door.admit("/api/x", cookie("good"), *lines, method=method)
    if method == "BREW":
        assert isinstance(verdict, Refusal)
        assert verdict.code.name == "method_not_allowed"
    elif passes:
        assert isinstance(verdict, Permit)
    else:
        assert isinstance(verdict, Refusal)
        assert (verdict.status, verdict.code.name) == (403, "csrf_failed")


@pytest.mark.item(70)
@pytest.mark.parametrize("line", ["Origin: https://evil.test", "Access-Control-Request-Method: PUT", "X-Nothing: 1"])
def test_options_that_are_no_preflight_pass_like_any_other_method(door: Door, line: str) -> None:
    assert door.code("/api/x", line, method="OPTIONS") == "token_missing"
    assert door.code("/admin/x", line, bearer("good"), method="OPTIONS") == "role_missing"
    assert door.permit("/api/x", line, bearer("good"), method="OPTIONS").verified is not None


@pytest.mark.item(144)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_what_changes_nothing_needs_no_such_proof(door: Door, method: str) -> None:
    assert door.permit("/api/x", cookie("good"), "Sec-Fetch-Site: cross-site", method=method)


@pytest.mark.item(139, 144)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize(
    ("lines", "passes"),
    [
        ([], ()),
        (["Sec-Fetch-Site: same-origin"], ("GET", "HEAD", "POST")),
        (["Sec-Fetch-Site: cross-site"], ()),
        (["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"], ()),
        (["Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"], ("GET", "HEAD")),
        (["Sec-Fetch-Site: none", "Sec-Fetch-Mode: cors"], ()),
        (["Origin: https://evil.test"], ()),
        ([f"X-CSRF-Token: {MINTED}"], ("GET", "HEAD", "POST")),
    ],
)
def test_where_a_get_changes_something_it_needs_the_proof_too(
    door: Door, method: str, lines: list[str], passes: tuple[str, ...]
) -> None:
    verdict = door.admit("/unsubscribe/x", cookie("good"), *lines, method=method)
    if method in passes:
        assert isinstance(verdict, Permit)
    else:
        assert isinstance(verdict, Refusal)
        assert verdict.code.name == "csrf_failed"
    assert door.permit("/unsubscribe/x", bearer("good"), *lines, method=method)


def test_a_header_needs_no_such_proof_when_it_was_the_credential(door: Door) -> None:
    foreign = "Origin: https://evil.test"
    assert door.permit("/api/x", bearer("good"), foreign, method="POST")
    assert door.permit("/api/x", bearer("good"), cookie("good"), foreign, method="POST")
    assert door.code("/api/x", "Authorization: Basic eA==", cookie("good"), foreign, method="POST") == "csrf_failed"
    assert door.code("/api/x", bearer("expired"), cookie("good"), foreign, method="POST") == "token_expired"


# --- addresses that send junk ---


def test_an_address_that_has_sent_too_much_junk_waits_before_any_cryptography(door: Door) -> None:
    door.failures.left = 2
    for token in ("forged1", "forged2"):
        assert door.code("/api/x", bearer(token)) == "token_invalid"
    refusal = door.refusal("/api/x", bearer("forged3"))
    assert (refusal.status, refusal.code.name, refusal.retry_after) == (429, "rate_limited", 7)
    assert door.tokens.asked == [b"forged1", b"forged2"]


def test_who_is_known_passes_behind_such_an_address(door: Door) -> None:
    door.failures.left = 0
    assert door.permit("/api/x", bearer("good"))
    assert door.permit("/public/x")
    assert door.permit("/optional/x")


def test_only_a_wrong_signature_costs_an_address_something(door: Door) -> None:
    door.failures.left = 1
    for token in ("expired", "revoked", "garbage"):
        door.refusal("/api/x", bearer(token))
    assert door.failures.left == 1
    door.refusal("/admin/x", bearer("good"))
    door.refusal("/api/x", "Authorization: Bearer a b")
    assert door.failures.left == 1


def test_junk_beside_a_good_token_is_junk_all_the_same(door: Door) -> None:
    door.failures.left = 5
    for number in range(8):
        door.admit("/api/x", bearer("good"), cookie(f"forged{number}"))
    assert len([token for token in door.tokens.asked if token.startswith(b"forged")]) == 5


# --- what the gate remembers ---


def test_a_way_once_found_is_found_by_method_host_and_target(door: Door) -> None:
    asked: list[tuple[bytes, bytes, bytes]] = []
    match = door.gate._match

    def counting(method: bytes, host: bytes, path: bytes) -> object:
        asked.append((method, host, path))
        return match(method, host, path)

    door.gate._match = counting  # type: ignore[assignment]
    for _ in range(3):
        door.permit("/api/x?a", bearer("good"))
        door.permit("/api/x?b", bearer("good"))
        door.permit("/api/x?a", bearer("good"), method="DELETE")
        door.admit("/api/x?a", bearer("good"), host="other.test")
    assert len(asked) == 4


def test_what_leads_nowhere_takes_no_room(door: Door) -> None:
    for number in range(50):
        door.refusal(f"/nowhere/{number}")
        door.refusal(f"/api//{number}")
        door.refusal("/public/x", method=f"BREW{number}")
        door.permit("/public/" + "x" * 300 + str(number))
    assert len(door.gate._ways) == 0


def test_the_room_for_ways_is_bounded(door: Door) -> None:
    for number in range(5000):
        door.permit(f"/public/{number}")
    assert len(door.gate._ways) <= 4096
    assert door.permit("/public/0").path == b"/public/0"


def test_a_way_that_is_known_opens_nothing(door: Door) -> None:
    door.permit("/api/x", bearer("good"))
    assert door.code("/api/x") == "token_missing"
    assert door.code("/api/x", bearer("bad")) == "token_invalid"
    assert door.code("/api/x", bearer("nobody")) == "role_missing"


def test_what_was_read_of_a_block_is_read_once_and_judged_each_time(door: Door) -> None:
    """The fields of a block are shared by the requests of a connection; the verdict is not."""
    first = head("/api/x", bearer("good"), cookie("good"))
    assert isinstance(door.gate.admit(first), Permit)
    again = first._replace(target=b"/admin/x")
    refused = door.gate.admit(again)
    assert isinstance(refused, Refusal)
    assert again.fields.credentials is not None
    door.tokens.known[b"good"] = Invalid("token_revoked", "revoked")
    revoked = door.gate.admit(first)
    assert isinstance(revoked, Refusal)
    assert revoked.code.name == "token_revoked"


# --- WebSocket handshakes ---

WISH = (
    "Upgrade: websocket",
    "Connection: upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
)
OWN = f"Origin: {OWN_ORIGIN.decode()}"


def test_a_handshake_is_granted_where_a_route_offers_it(door: Door) -> None:
    permit = door.permit("/ws/x", bearer("good"), *WISH)
    assert permit.handshake is not None
    assert permit.handshake.accept == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert door.permit("/api/x", bearer("good"), *WISH).handshake is None


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ([bearer("good"), "Origin: https://evil.test"], "origin_denied"),
        ([bearer("good"), "Origin: null"], "origin_denied"),
        ([cookie("good")], "origin_denied"),
        ([cookie("good"), "Origin: https://evil.test"], "origin_denied"),
        ([OWN], "token_missing"),
        ([bearer("bad"), OWN], "token_invalid"),
        ([bearer("nobody")], "role_missing"),
        ([bearer("good"), "Sec-WebSocket-Protocol: bearer, good"], "bad_request"),
        (["Sec-WebSocket-Protocol: bearer"], "bad_request"),
        (["Sec-WebSocket-Protocol: bearer, good, bearer, admin"], "bad_request"),
        (["Sec-WebSocket-Protocol: bearer, bad"], "token_invalid"),
    ],
)
def test_a_handshake_from_elsewhere_or_without_a_right_is_refused(door: Door, lines: list[str], code: str) -> None:
    assert door.code("/ws/x", *lines, *WISH) == code


@pytest.mark.parametrize(
    "lines",
    [
        [bearer("good")],
        [bearer("good"), OWN],
        [bearer("good"), "Origin: https://FRIEND.test"],
        [cookie("good"), OWN],
        [cookie("good"), "Origin: https://friend.test"],
        ["Sec-WebSocket-Protocol: bearer, good, chat", OWN],
    ],
)
def test_a_handshake_from_our_pages_or_from_no_page_is_granted(door: Door, lines: list[str]) -> None:
    permit = door.permit("/ws/x", *lines, *WISH)
    assert permit.handshake is not None
    assert permit.verified is door.tokens.known[b"good"]


def test_the_token_among_the_subprotocols_is_taken_out(door: Door) -> None:
    shake = door.permit("/ws/x", "Sec-WebSocket-Protocol: chat, bearer, good, x", *WISH).handshake
    assert shake is not None
    assert (shake.token, shake.protocols) == (b"good", b"chat, x")


def test_a_route_may_say_where_a_handshakes_token_comes_from(door: Door) -> None:
    assert door.permit("/wsbearer/x", bearer("good"), *WISH).handshake is not None
    assert door.code("/wsbearer/x", cookie("good"), OWN, *WISH) == "token_missing"
    assert door.code("/wsbearer/x", "Sec-WebSocket-Protocol: bearer, good", *WISH) == "bad_request"


def test_every_access_is_one_of_three() -> None:
    """The gate treats what is not public as asking for a valid token wherever one was sent."""
    assert [access.value for access in Access] == ["required", "optional", "public"]


def test_the_fakes_answer_as_the_real_ones_do(door: Door) -> None:
    check: Callable[[bytes, float], Verified | Invalid] = door.tokens.check
    assert isinstance(check(b"good", 0.0), Verified)
    assert isinstance(check(b"none", 0.0), Invalid)


# --- rules beyond names ---


def test_addresses_are_asked_before_tokens_and_of_public_routes_too() -> None:
    office = Addresses((ip_network("198.51.100.0/24"),))
    door = Door(
        more=[
            route(20, "/office/**", Rule(addresses=office)),
            route(21, "/lobby/**", replace(PUBLIC, addresses=office)),
        ]
    )

    assert door.code("/office/x") == "address_denied"
    assert door.code("/lobby/x") == "address_denied"


def test_a_part_of_the_path_is_compared_with_the_token_on_every_request() -> None:
    bound = Bound("path", "user", ("sub",))
    door = Door(more=[route(20, "/of/{user}", Rule(further=(bound,)))])

    door.permit("/of/alice", bearer("good"))
    assert door.code("/of/bob", bearer("good")) == "rule_failed"
    door.permit("/of/%61lice", bearer("good"))


def test_a_candidate_refuses_nobody_and_is_told_of() -> None:
    told: list[tuple[str, str, str]] = []

    def shadowed(refusal: Refusal, asked: RequestHead) -> None:
        told.append((refusal.route, refusal.code.name, refusal.subject))

    candidate = Rule(roles=frozenset({"user"}), shadow=Rule(roles=frozenset({"admin"})))
    door = Door(more=[route(20, "/tried/**", candidate)], shadowed=shadowed)

    door.permit("/tried/x", bearer("good"))
    door.permit("/tried/x", bearer("admin"))

    assert [(code, subject) for _, code, subject in told] == [("role_missing", "alice")]


async def test_a_candidate_is_told_of_once_however_often_the_gate_is_asked_and_never_of_what_is_refused() -> None:
    told: list[str] = []
    user = Rule(roles=frozenset({"user"}), shadow=Rule(roles=frozenset({"admin"})))
    door = Door(
        more=[
            route(20, "/tried/**", user),
            route(21, "/doubted/**", replace(user, strict=True)),
            route(22, "/socket/**", user, RouteOptions(websocket=WebSocketOptions())),
        ],
        shadowed=lambda refusal, _asked: told.append(refusal.route),
    )
    assert door.code("/tried/x", cookie("good"), "Origin: https://evil.test", method="POST") == "csrf_failed"
    assert told == []

    door.feed.fresh = False
    assert isinstance(door.admit("/doubted/x", bearer("good")), Pending)
    assert told == []
    assert isinstance(door.admit("/doubted/x", bearer("good"), waited=True, confirmed=True), Permit)
    assert told == ["doubted"]

    door.permit("/socket/x", bearer("good"))
    again = door.admit("/socket/x", bearer("good"), waited=True, confirmed=True, counted=True)  # as at the 101
    assert isinstance(again, Permit)
    assert told == ["doubted", "socket"]


# --- why ---


def told(door: Door, target: str, *lines: str, method: str = "GET") -> dict[str, object]:
    """Return what the explanation of a refusal says."""
    why = door.refusal(target, *lines, method=method).why
    assert why is not None
    return dict(why.members())


def test_every_refusal_by_a_rule_says_why() -> None:
    office = Addresses((ip_network("198.51.100.0/24"),))
    door = Door(more=[route(20, "/office/**", Rule(addresses=office))])

    for target, lines, method, code, key in (
        ("/office/x", [], "GET", "address_denied", "allow_ips"),
        ("/api/x", [], "GET", "token_missing", "auth"),
        ("/api/x", [bearer("expired")], "GET", "token_expired", "auth"),
        ("/admin/x", [bearer("good")], "GET", "role_missing", "roles"),
        ("/api/x", [cookie("good"), "Origin: https://evil.test"], "POST", "csrf_failed", "request"),
    ):
        said = told(door, target, *lines, method=method)
        rules = said["rules"]
        assert isinstance(rules, list)
        assert (said["code"], rules[-1]["key"], rules[-1]["met"]) == (code, key, False)


def test_what_no_rule_has_refused_has_no_explanation() -> None:
    door = Door()

    for target in ("/nowhere", "/api/../x", "/post"):
        assert door.refusal(target).why is None
