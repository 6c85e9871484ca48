"""What somebody does in the first minute: start the demo, log in, try the doors, log out, press Ctrl-C."""

import io
import re
import shutil
import signal
import subprocess
import time
import urllib.response
from email.message import Message
from http.client import HTTPResponse
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any, cast
from urllib.request import Request

import httpx
import jwt
import pytest

from tests.journeys.house import ROOT, Family, Gateway, Tokens, free_port, running, until
from tests.journeys.wire import Wire
from tests.programs import require

COOKIES = ("__Host-Http-gw-at", "__Host-Http-gw-rt", "__Host-gw-csrf", "__Host-Http-gw-dv")


def refused(answer: httpx.Response, status: int, code: str) -> None:
    """Assert that the gateway itself refused, in the form of proxied routes (RFC 9457)."""
    assert (answer.status_code, answer.headers["X-Gateway-Error"]) == (status, code), answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["request_id"] == answer.headers["X-Request-Id"]


def refused_login(answer: httpx.Response, status: int, error: str) -> None:
    """Assert that one of the gateway's own endpoints refused, in the OAuth form (RFC 6749 section 5.2)."""
    assert (answer.status_code, answer.json()["error"]) == (status, error), answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json()["request_id"] == answer.headers["X-Request-Id"]


def test_a_public_route_needs_nothing_and_others_say_what_they_need(demo: Gateway) -> None:
    with demo.client() as client:
        public = client.get("/public/hello")
        assert (public.status_code, public.json()["path"]) == (200, "/public/hello")
        nobody = client.get("/api/hello")
        refused(nobody, 401, "token_missing")
        assert nobody.headers["WWW-Authenticate"] == 'Bearer realm="gateway"'
        refused(client.get("/nowhere"), 404, "no_route")


@pytest.mark.item(69)
@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
def test_what_is_for_operators_is_not_on_the_public_listener(demo: Gateway, path: str) -> None:
    with demo.client() as client:
        refused(client.get(path, headers={"User-Agent": "kube-probe/1.30"}), 404, "no_route")


def test_alice_logs_in_works_refreshes_and_logs_out(demo: Gateway) -> None:
    with demo.client() as client:
        login = client.post("/auth/login", json={"username": "alice", "password": "demo"})
        assert (login.status_code, login.headers["Cache-Control"]) == (200, "no-store")
        members = login.json()
        assert members["token_type"] == "Bearer"
        assert (members["expires_in"], members["refresh_expires_in"]) == (600, 3 * 86400)
        first = Tokens(members)
        assert re.fullmatch(r"gwr_[A-Za-z0-9_-]{88}", first.refresh)

        inside = client.get("/api/hello", headers=first.bearer)
        assert inside.status_code == 200
        reached: dict[str, str] = inside.json()["headers"]
        assert (reached["X-User-Id"], reached["X-User-Roles"]) == ("alice", "user")
        assert reached["X-Session-Id"] == first.session
        assert reached["X-Request-ID"] == inside.headers["X-Request-Id"]
        assert "Authorization" not in reached
        line = demo.logged(inside)
        assert (line["status"], line["sub"], line["upstream"]) == (200, "alice", "demo")

        door = client.get("/admin/stats", headers=first.bearer)
        refused(door, 403, "role_missing")
        assert 'error="insufficient_scope"' in door.headers["WWW-Authenticate"]

        me = client.get("/auth/session", headers=first.bearer).json()
        assert (me["sub"], me["roles"], me["session_id"]) == ("alice", ["user"], first.session)

        refresh = client.post("/auth/refresh", json={"refresh_token": first.refresh})
        assert (refresh.status_code, refresh.headers["Gateway-Refresh"]) == (200, "rotated")
        second = Tokens(refresh.json())
        assert second.session == first.session
        assert {second.access, second.refresh}.isdisjoint({first.access, first.refresh})
        for tokens in (first, second):
            assert client.get("/api/hello", headers=tokens.bearer).status_code == 200

        assert client.post("/auth/logout", headers=second.bearer).status_code == 204
        for tokens in (first, second):
            out = client.get("/api/hello", headers=tokens.bearer)
            refused(out, 401, "token_revoked")
            assert 'error="invalid_token"' in out.headers["WWW-Authenticate"]
            refused_login(client.post("/auth/refresh", json={"refresh_token": tokens.refresh}), 401, "invalid_grant")
        assert client.post("/auth/logout", headers=second.bearer).status_code == 204


def test_the_admin_passes_every_door_and_logging_alice_out_does_not_touch_them(demo: Gateway) -> None:
    admin, alice = demo.login("admin"), demo.login("alice")
    with demo.client() as client:
        assert client.post("/auth/logout", json={"refresh_token": alice.refresh}).status_code == 204
        refused(client.get("/api/hello", headers=alice.bearer), 401, "token_revoked")
        for path in ("/api/hello", "/admin/stats", "/public/hello"):
            assert client.get(path, headers=admin.bearer).status_code == 200


def test_a_wrong_password_and_an_unknown_user_get_the_same_answer(demo: Gateway) -> None:
    with demo.client() as client:
        answers: list[dict[str, Any]] = []
        for username in ("bob", "nobody-of-this-name"):
            answer = client.post("/auth/login", json={"username": username, "password": "wrong"})
            refused_login(answer, 401, "invalid_credentials")
            answers.append({**answer.json(), "request_id": ""})
        assert answers[0] == answers[1]


def test_an_access_token_can_be_checked_by_anybody_with_the_published_keys(demo: Gateway) -> None:
    """By another library's own reading of the key set, so that services behind the gateway may check tokens too."""
    token = demo.login().access
    with demo.client() as client:
        keys = jwt.PyJWKSet.from_dict(client.get("/.well-known/jwks.json").json())
    header = jwt.get_unverified_header(token)
    assert (header["alg"], header["typ"]) == ("RS256", "at+jwt")
    claims = jwt.decode(token, keys[header["kid"]], algorithms=["RS256"], audience=demo.url, issuer=demo.url)
    assert (claims["sub"], claims["roles"], claims["exp"] - claims["iat"]) == ("alice", ["user"], 600)


def test_a_client_cannot_claim_to_be_somebody(demo: Gateway) -> None:
    claims = {"X-User-Id": "admin", "x_user_id": "admin", "X-User-Roles": "admin", "X-Request-Id": "mine"}
    with demo.client() as client:
        public = client.get("/public/hello", headers={**claims, "X-Plain": "kept"}).json()["headers"]
        inside = client.get("/api/hello", headers={**demo.login().bearer, **claims}).json()["headers"]
    assert (public["X-Plain"], inside["X-User-Id"], inside["X-User-Roles"]) == ("kept", "alice", "user")
    assert not {"X-User-Id", "x_user_id", "X-User-Roles"} & public.keys()
    assert "x_user_id" not in inside
    assert "mine" not in (public["X-Request-ID"], inside["X-Request-ID"])


class Browser:
    """A client that decides by itself which cookies to keep and to send; like browsers, it trusts the loopback."""

    def __init__(self, gateway: Gateway) -> None:
        self._jar = CookieJar(DefaultCookiePolicy(secure_protocols=("http", "https")))
        self._gateway = gateway

    def ask(self, method: str, path: str, body: str | None = None, cookie: str = "", **fields: str) -> httpx.Response:
        """Send a request and return its answer; *fields* are header fields, with `_` for `-`; *cookie* is one more."""
        request = Request(f"{self._gateway.url}{path}")
        self._jar.add_cookie_header(request)
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        if sent := "; ".join(filter(None, (request.get_header("Cookie"), cookie))):
            headers["Cookie"] = sent
        if body is not None:
            headers["Content-Type"] = "application/json"
        with self._gateway.client() as client:
            answer = client.request(method, path, headers=headers, content=body)
        message = Message()
        for line in answer.headers.get_list("Set-Cookie"):
            message["Set-Cookie"] = line
        said = urllib.response.addinfourl(io.BytesIO(), message, request.full_url)
        self._jar.extract_cookies(cast("HTTPResponse", said), request)
        return answer

    def cookies(self) -> dict[str, str]:
        """Return what it holds: name to value."""
        return {cookie.name: cookie.value or "" for cookie in self._jar}


@pytest.fixture
def browser(demo: Gateway) -> Browser:
    """A browser that has just logged alice in."""
    browser = Browser(demo)
    login = browser.ask("POST", "/auth/login", '{"username": "alice", "password": "demo", "mode": "cookie"}')
    assert login.status_code == 200, login.text
    assert "access_token" not in login.text
    assert "gwr_" not in login.text
    assert browser.cookies().keys() == set(COOKIES)
    assert browser.cookies()["__Host-gw-csrf"] == login.json()["csrf_token"]
    lines = login.headers.get_list("Set-Cookie")
    attributes = {line.split("=")[0]: {part.strip() for part in line.split(";")[1:]} for line in lines}
    for name in COOKIES:
        assert {"Path=/", "Secure"} <= attributes[name]
        assert ("HttpOnly" in attributes[name]) == (name != "__Host-gw-csrf")
    return browser


def test_a_browser_with_cookies_is_let_in_and_services_never_see_them(browser: Browser) -> None:
    inside = browser.ask("GET", "/api/hello", cookie="theme=dark")
    assert inside.status_code == 200, inside.text
    reached = inside.json()["headers"]
    assert (reached["X-User-Id"], reached["Cookie"]) == ("alice", "theme=dark")
    refused(browser.ask("GET", "/admin/stats"), 403, "role_missing")
    me = browser.ask("GET", "/auth/session").json()
    assert (me["sub"], me["csrf_token"]) == ("alice", browser.cookies()["__Host-gw-csrf"])


def test_a_foreign_page_cannot_act_with_the_browsers_cookies(browser: Browser, demo: Gateway) -> None:
    token = browser.cookies()["__Host-gw-csrf"]
    refused(browser.ask("POST", "/api/hello", "{}"), 403, "csrf_failed")
    refused(browser.ask("POST", "/api/hello", "{}", X_CSRF_Token="x" * 64), 403, "csrf_failed")
    foreign = {"Sec_Fetch_Site": "cross-site", "Origin": "https://evil.example", "X_CSRF_Token": token}
    refused(browser.ask("POST", "/api/hello", "{}", **foreign), 403, "csrf_failed")
    refused(browser.ask("POST", "/api/hello", "{}", Origin="https://evil.example"), 403, "csrf_failed")
    assert browser.ask("POST", "/auth/logout", **foreign).status_code == 403
    assert browser.ask("POST", "/auth/refresh", **foreign).status_code == 403
    for own in ({"X_CSRF_Token": token}, {"Sec_Fetch_Site": "same-origin"}, {"Origin": demo.url}):
        answer = browser.ask("POST", "/api/hello", "{}", **own)
        assert answer.status_code == 200, (own, answer.text)
        assert answer.json()["body"] == "{}"


def test_a_browser_refreshes_and_logs_out_by_its_cookies(browser: Browser) -> None:
    before = browser.cookies()
    own = {"X_CSRF_Token": before["__Host-gw-csrf"]}
    refresh = browser.ask("POST", "/auth/refresh", **own)
    assert (refresh.status_code, refresh.headers["Gateway-Refresh"]) == (200, "rotated")
    after = browser.cookies()
    assert after[COOKIES[0]] != before[COOKIES[0]]
    assert after[COOKIES[1]] != before[COOKIES[1]]
    assert browser.ask("GET", "/api/hello").status_code == 200
    assert browser.ask("POST", "/auth/logout", **own).status_code == 204
    assert browser.cookies().keys() == {"__Host-Http-gw-dv"}, "it stays known"
    refused(browser.ask("GET", "/api/hello"), 401, "token_missing")
    stolen = "; ".join(f"{name}={value}" for name, value in after.items() if name not in browser.cookies())
    refused(browser.ask("GET", "/api/hello", cookie=stolen), 401, "token_revoked")


@pytest.mark.item("SIGKILL")
def test_killing_the_gateway_ends_its_processes_and_the_next_start_remembers_everything(tmp_path: Path) -> None:
    """Logins and logouts outlive the process: after SIGKILL too, keys, sessions and revocations are as they were."""
    port = free_port()
    with running(tmp_path, demo=True, port=port) as gateway:
        stays, leaves = gateway.login(), gateway.login()
        with gateway.client() as client:
            assert client.post("/auth/logout", headers=leaves.bearer).status_code == 204
        family = Family.of(gateway.pid)
        assert any("valkey-server" in command or "redis-server" in command for command in family.commands.values())
        assert any("gateway.endpoints.demo" in command for command in family.commands.values())
        assert len(family.members) == 3, family.commands
        gateway.process.send_signal(signal.SIGKILL)
        until(lambda: family.alive() == [], 5, what=f"not all of {family.commands} ended")

    began = time.monotonic()
    with running(tmp_path, demo=True, port=port) as gateway:
        print(f"second start, until ready: {time.monotonic() - began:.2f} s")
        with gateway.client() as client:
            assert client.get("/api/hello", headers=stays.bearer).status_code == 200
            refused(client.get("/api/hello", headers=leaves.bearer), 401, "token_revoked")
            again = client.post("/auth/refresh", json={"refresh_token": stays.refresh})
            assert again.status_code == 200, again.text
        assert gateway.faults() == []


def test_ctrl_c_ends_every_process_it_started(tmp_path: Path) -> None:
    with running(tmp_path, demo=True) as gateway:
        family = Family.of(gateway.pid)
        with gateway.client() as client:
            assert client.get("/public/hello").status_code == 200
            gateway.press_ctrl_c()
            assert gateway.await_end() == 0, gateway.errors
        assert family.alive() == []
        assert gateway.faults() == []
        assert [line["path"] for line in gateway.log()] == ["/public/hello"]
        assert "Traceback" not in gateway.errors


def test_the_demo_says_what_it_is_and_what_to_try(demo: Gateway, tmp_path: Path) -> None:
    """Every line that it suggests is tried, in one shell, as a reader would paste them."""
    require("curl")
    shell = shutil.which("bash") or "sh"
    said = demo.errors
    for words in ("alice (user)", "bob (user, auditor)", "admin (admin)", "password: demo", "RS256", "/admin/**"):
        assert words in said
    lines = [line.strip() for line in said.splitlines() if line.startswith("  ")]
    tries = [line for line in lines if line.startswith(("curl ", "TOKEN="))]
    assert len(tries) == 5, said
    done = subprocess.run([shell, "-c", "\n".join(tries)], capture_output=True, text=True, timeout=30, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.findall(r"HTTP/1\.1 (\d+) ", done.stdout) == ["200", "401", "200", "403"]


def test_the_demo_is_silent_about_a_client_that_leaves(demo: Gateway) -> None:
    """A traceback in somebody's first minute looks as if something had broken."""
    before = demo.errors.count("Traceback")
    for _ in range(5):
        with Wire(demo.port) as wire:
            wire.send(b"GET /public/x HTTP/1.1\r\nHost: h\r\n\r\n")
            assert wire.answer().status == 200
            # There is a connection to the service now, so that it sees the beginning of this one at once.
            wire.send(b"POST /public/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
            wire.send(b"no chunk\r\n")
            assert wire.answer().status == 400
    with demo.client() as client:
        assert client.get("/public/after").status_code == 200
    assert demo.errors.count("Traceback") == before


def make_run(folder: Path, clone: Path, home: Path) -> float:
    """Type `make run` in *clone*, spend the first minute, press Ctrl-C; return the seconds until it was ready."""
    began = time.monotonic()
    gateway = Gateway(
        folder,
        checkout=clone,
        command=["make", "run"],
        environ={"HOME": str(home), "PYTHONPATH": "", "VIRTUAL_ENV": "", "GATEWAY_DATA_DIR": str(clone / ".data")},
    )
    try:
        gateway.await_ready(lambda: gateway.readiness() == 200, within=600)
        took = time.monotonic() - began
        family = Family.of(gateway.pid)
        alice = gateway.login()
        with gateway.client() as client:
            assert client.get("/api/hello", headers=alice.bearer).status_code == 200
            refused(client.get("/api/hello"), 401, "token_missing")
            refused(client.get("/admin/hello", headers=alice.bearer), 403, "role_missing")
            fresh = Tokens(client.post("/auth/refresh", json={"refresh_token": alice.refresh}).json())
            assert client.post("/auth/logout", headers=fresh.bearer).status_code == 204
            refused(client.get("/api/hello", headers=fresh.bearer), 401, "token_revoked")
        gateway.press_ctrl_c()
        gateway.await_end()
        until(lambda: family.alive() == [], what=f"not all of {family.commands} ended")
        return took
    finally:
        gateway.stop()


@pytest.mark.long
def test_make_run_in_a_fresh_clone_with_an_empty_home(tmp_path: Path) -> None:
    """Everything is installed anew, so this takes as long as the network does."""
    clone, home = tmp_path / "clone", tmp_path / "home"
    home.mkdir()
    left_out = shutil.ignore_patterns(".git", ".venv", ".data", ".*_cache", ".hypothesis", "__pycache__")
    shutil.copytree(ROOT, clone, ignore=left_out)
    for start in ("first", "second"):
        print(f"{start} `make run`, until ready: {make_run(tmp_path / 'run', clone, home):.1f} s")
