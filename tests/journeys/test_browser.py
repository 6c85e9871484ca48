"""A real browser: people who log in by the pages, front ends that use the module, and sites that try to use both.

One walk through everything is in the normal run; the rest, one thing at a time, takes longer.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.journeys.browsing import PATIENCE, chromium
from tests.journeys.house import Gateway, configuration, running
from tests.journeys.site import ATTACKS, Site, site

ACCESS, REFRESH, CSRF = "__Host-Http-gw-at", "__Host-Http-gw-rt", "__Host-gw-csrf"
DEVICE = "__Host-Http-gw-dv"
ROUTES = """\
  - {path: /app/**, to: app}
  - {path: /quiet/**, to: app, silent_refresh: true}
  - {path: /api/**, to: app, roles: [user]}
  - {path: /open/**, to: app, auth: public}
"""


class Stage(NamedTuple):
    """The gateway, the application behind it, a site beside it, and a browser in front."""

    gateway: Gateway
    app: Site
    evil: Site
    browser: Browser

    def attacker(self, host: str) -> str:
        return self.evil.url(host)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def stage_with(folder: Path, browser: Browser, tokens: str = "", routes: str = ROUTES) -> Iterator[Stage]:
    with site() as app, site() as evil:
        text = configuration(folder, upstreams={"app": app.url()}, routes=routes)
        text += "pages: {title: Example shop, home: /app/}\n" + tokens
        with running(folder, text) as gateway:
            yield Stage(gateway, app, evil, browser)
            assert gateway.faults() == []


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Stage]:
    yield from stage_with(tmp_path_factory.mktemp("browser"), browser)


@pytest.fixture
def context(stage: Stage) -> Iterator[BrowserContext]:
    with stage.browser.new_context() as context:
        context.set_default_timeout(PATIENCE)
        yield context


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


def cookies(context: BrowserContext) -> dict[str, Any]:
    return {str(cookie.get("name")): cookie for cookie in context.cookies()}


def sign_in(page: Page, stage: Stage, path: str = "/app/") -> None:
    """Open a page that needs a login, and log in by the form."""
    page.goto(stage.gateway.url + path)
    assert "/auth/login" in page.url
    page.get_by_label("User name").fill("alice")
    page.get_by_label("Password").fill("demo")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(stage.gateway.url + path)
    page.wait_for_function("window.gw")


def state(page: Page, text: str) -> None:
    expect(page.locator("#state")).to_have_text(text, timeout=PATIENCE)


def call(page: Page, script: str, *arguments: object) -> Any:
    return page.evaluate(script, list(arguments))


API = "async ([path, init]) => { const a = await gw.fetch(path, init ?? {}); return [a.status, await a.json()]; }"


def attack(page: Page, stage: Stage, host: str, path: str, fields: dict[str, str], kind: str = "") -> int:
    """Send a form from the other site, as its visitor's browser would, and return the status of the answer."""
    inputs = "".join(f'<input name="{name}" value="{value}">' for name, value in fields.items())
    content = ATTACKS.format(
        target=stage.gateway.url, path=path, fields=inputs, kind=kind or "application/x-www-form-urlencoded"
    )
    page.goto(f"{stage.attacker(host)}/nothing")
    page.set_content(content)
    with page.expect_response(stage.gateway.url + path, timeout=PATIENCE) as answer:
        page.evaluate("document.getElementById('f').submit()")
    return answer.value.status


def test_a_person_logs_in_works_in_two_tabs_and_logs_out_of_both(
    stage: Stage, context: BrowserContext, page: Page
) -> None:
    sign_in(page, stage)
    state(page, "hello alice")

    # What a browser was promised (checklist 136): nothing that a script or another host could touch.
    held = cookies(context)
    assert set(held) == {ACCESS, REFRESH, CSRF, DEVICE}
    for name, cookie in held.items():
        assert (cookie["secure"], cookie["path"], cookie["domain"]) == (True, "/", "127.0.0.1")
        assert cookie["httpOnly"] is (name != CSRF)
    assert {name: cookie["sameSite"] for name, cookie in held.items()} == {
        ACCESS: "Lax",
        REFRESH: "Lax",
        CSRF: "Strict",
        DEVICE: "Strict",
    }
    assert page.evaluate("document.cookie").startswith(f"{CSRF}=")

    # The module: a call that changes something, and one after the access cookie is gone.
    assert call(page, API, "/api/orders", {"method": "POST", "body": "x"}) == [
        200,
        {"method": "POST", "user": "alice", "body": "x"},
    ]
    context.clear_cookies(name=ACCESS)
    assert call(page, API, "/api/orders", {"method": "POST", "body": "y"})[1]["body"] == "y"
    assert ACCESS in cookies(context)

    # Many calls at once in two tabs, with the access cookie gone: everybody stays logged in.
    other = context.new_page()
    other.goto(f"{stage.gateway.url}/app/")
    state(other, "hello alice")
    context.clear_cookies(name=ACCESS)
    many = "([path]) => { window.all = Promise.all([1, 2, 3, 4].map((n) => gw.fetch(path + n))); }"
    for tab in (page, other):
        call(tab, many, "/api/")
    for tab in (page, other):
        assert tab.evaluate("all.then((answers) => answers.map((a) => a.status))") == [200] * 4
    assert page.evaluate("changes.filter(([state]) => state === 'out').length") == 0

    # A page made on the server, without any script: renewed on the way.
    context.clear_cookies(name=ACCESS)
    other.goto(f"{stage.gateway.url}/quiet/page")
    assert ("alice" in other.content(), ACCESS in cookies(context)) == (True, True)

    # Another site, with the person logged in here.
    for host in ("localhost", "127.0.0.1"):
        assert attack(context.new_page(), stage, host, "/auth/account/sign-out", {}) == 403
    assert call(page, API, "/api/orders", None)[0] == 200

    # Out in one tab is out in all.
    other.goto(f"{stage.gateway.url}/app/")
    state(other, "hello alice")
    assert page.evaluate("gw.logout()") is True
    state(page, "out logout")
    state(other, "out logout")
    assert set(cookies(context)) == {DEVICE}, "the browser stays known"
    assert call(other, API, "/api/orders", None)[0] == 401


@pytest.mark.long
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
@pytest.mark.parametrize(
    ("path", "fields", "kind"),
    [
        ("/api/orders", {"amount": "1000"}, ""),
        ("/api/orders", {'{"amount": 1000, "x": "': '"}'}, "text/plain"),
        ("/auth/logout", {}, ""),
        ("/auth/refresh", {}, ""),
        ("/auth/continue?return_to=/app/", {}, ""),
        ("/auth/account/end-others", {}, ""),
        ("/auth/account/password", {"current_password": "demo", "new_password": "mallory00", "again": "mallory00"}, ""),
        ("/auth/login", {"username": "admin", "password": "demo", "mode": "cookie"}, ""),
        ("/auth/login?return_to=/app/", {"username": "admin", "password": "demo"}, ""),
    ],
)
def test_a_form_of_another_site_does_nothing(
    stage: Stage, context: BrowserContext, page: Page, host: str, path: str, fields: dict[str, str], kind: str
) -> None:
    """localhost is another site than 127.0.0.1; another port of 127.0.0.1 is the same site and another origin."""
    sign_in(page, stage)
    before = {name: cookie["value"] for name, cookie in cookies(context).items()}
    stage.app.seen.clear()
    attacker = context.new_page()
    status = attack(attacker, stage, host, path, fields, kind)
    # From another site the cookies do not even come along, so there is nobody to log out.
    assert status in ({401, 403, 204} if host == "localhost" else {403})
    assert {name: cookie["value"] for name, cookie in cookies(context).items()} == before
    assert [path for method, path, _ in stage.app.seen if method == "POST"] == []
    assert call(page, API, "/api/who", None)[1]["user"] == "alice"


@pytest.mark.long
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_script_of_another_site_reads_and_does_nothing(
    stage: Stage, context: BrowserContext, page: Page, host: str
) -> None:
    sign_in(page, stage)
    stage.app.seen.clear()
    attacker = context.new_page()
    attacker.goto(f"{stage.attacker(host)}/nothing")
    for init in (
        {"credentials": "include"},
        {"credentials": "include", "method": "POST", "mode": "no-cors", "body": "x"},
        {"credentials": "include", "method": "POST", "headers": {"X-CSRF-Token": "x"}},
        {"credentials": "include", "method": "DELETE"},
    ):
        for path in ("/api/orders", "/auth/session", "/auth/csrf", "/auth/logout", "/auth/refresh"):
            read = call(
                attacker,
                "([url, init]) => fetch(url, init).then((a) => a.text(), () => '')",
                stage.gateway.url + path,
                init,
            )
            assert read == ""
    assert [path for method, path, _ in stage.app.seen if method != "GET"] == []
    assert call(page, API, "/api/who", None)[1]["user"] == "alice"


SHARED = """\
  - {path: /shared/**, to: app, roles: [user], cors: {origins: [FRONT], credentials: true, expose: [X-App]}}
  - {path: /world/**, to: app, auth: public, cors: {origins: ["*"]}}
  - {path: /token/**, to: app, roles: [user], cors: {origins: [FRONT]}}
"""
FETCH = """async ([url, init]) => {
    try {
        const a = await fetch(url, init);
        return [a.status, a.headers.get("X-Gateway-Error"), await a.json()];
    } catch { return "refused"; }
}"""


@pytest.mark.long
def test_pages_of_another_origin_do_what_a_route_shares_and_nothing_else(browser: Browser, tmp_path: Path) -> None:
    """Another port of 127.0.0.1 is another origin of the same site, localhost is another site."""
    include = {"credentials": "include"}
    change = {**include, "method": "PUT", "headers": {"Content-Type": "application/json"}, "body": "{}"}
    with site() as front:
        for stage in stage_with(tmp_path, browser, routes=ROUTES + SHARED.replace("FRONT", front.url())):
            with browser.new_context() as context:
                context.set_default_timeout(PATIENCE)
                page, url = context.new_page(), stage.gateway.url
                page.goto(f"{front.url()}/nothing")
                # Nobody is logged in yet: the page can read why.
                status, code, problem = call(page, FETCH, f"{url}/shared/x", include)
                assert (status, code, problem["code"]) == (401, "token_missing", "token_missing")
                assert call(page, FETCH, f"{url}/api/x", include) == "refused"
                assert call(page, FETCH, f"{url}/world/x", {})[0] == 200
                assert call(page, FETCH, f"{url}/world/x", include) == "refused", "cookies, and a * for everybody"

                sign_in(context.new_page(), stage)
                stage.app.seen.clear()
                assert call(page, FETCH, f"{url}/shared/x", include)[2]["user"] == "alice"
                assert call(page, FETCH, f"{url}/shared/x", change)[2] == {
                    "method": "PUT",
                    "user": "alice",
                    "body": "{}",
                }
                assert [method for method, _, _ in stage.app.seen] == ["GET", "PUT"], "no preflight came through"
                assert call(page, FETCH, f"{url}/shared/x", {})[1] == "token_missing", "cookies only when asked for"
                for path in ("/api/x", "/token/x"):
                    assert call(page, FETCH, url + path, include) == "refused"
                    assert call(page, FETCH, url + path, change) == "refused"
                assert "PUT" not in [method for method, path, _ in stage.app.seen if path != "/shared/x"]

                bearer = {"headers": stage.gateway.login().bearer}
                assert call(page, FETCH, f"{url}/token/x", bearer)[2]["user"] == "alice"
                assert call(page, FETCH, f"{url}/api/x", bearer) == "refused"

                page.goto(f"{stage.attacker('127.0.0.1')}/nothing")
                for init in (include, change, bearer):
                    assert call(page, FETCH, f"{url}/shared/x", init) == "refused"
                page.goto(f"{front.url('localhost')}/nothing")
                assert call(page, FETCH, f"{url}/shared/x", include) == "refused"


@pytest.mark.long
def test_no_frame_of_another_site_shows_a_page(stage: Stage, context: BrowserContext, page: Page) -> None:
    sign_in(page, stage)
    attacker = context.new_page()
    attacker.goto(f"{stage.attacker('127.0.0.1')}/nothing")
    attacker.set_content(f'<iframe src="{stage.gateway.url}/auth/account"></iframe>')
    attacker.wait_for_timeout(500)
    assert "Where you are signed in" not in (attacker.frames[-1].content() if len(attacker.frames) > 1 else "")


@pytest.mark.long
def test_access_tokens_really_expire_and_nobody_notices(browser: Browser, tmp_path: Path) -> None:
    """The clock of the wall, for once: two tabs work on until their tokens have been renewed three times."""
    for stage in stage_with(tmp_path, browser, "tokens: {access_ttl: 5s, leeway: 0s}\n"):
        with stage.browser.new_context() as context:
            context.set_default_timeout(PATIENCE)
            page = context.new_page()
            sign_in(page, stage)
            other = context.new_page()
            other.goto(f"{stage.gateway.url}/app/")
            other.wait_for_function("window.gw")
            work = """([path]) => { window.all = (async () => {
                const seen = [];
                while (!window.enough) {
                    seen.push((await gw.fetch(path)).status);
                    await new Promise((done) => setTimeout(done, 200));
                }
                return seen;
            })(); }"""
            for tab in (page, other):
                call(tab, work, "/api/work")
            tokens = {cookies(context)[ACCESS]["value"]}
            end = time.monotonic() + 120
            while len(tokens) < 4:
                assert time.monotonic() < end, f"{len(tokens) - 1} renewals"
                page.wait_for_timeout(100)
                if (held := cookies(context).get(ACCESS)) is not None:  # a browser drops one that is over
                    tokens.add(held["value"])
            for tab in (page, other):
                tab.evaluate("window.enough = true")
                seen = tab.evaluate("all")
                assert len(seen) > 10
                assert set(seen) == {200}


@pytest.mark.long
def test_a_session_that_is_ended_elsewhere_is_told_apart_from_one_that_is_over(
    stage: Stage, context: BrowserContext, page: Page
) -> None:
    sign_in(page, stage)
    state(page, "hello alice")
    with stage.browser.new_context() as elsewhere:
        phone = elsewhere.new_page()
        sign_in(phone, stage, "/app/phone")
        phone.goto(f"{stage.gateway.url}/auth/account")
        phone.get_by_role("button", name="End all others").click()
        expect(phone.get_by_text("All other sessions were ended.")).to_be_visible(timeout=PATIENCE)
    assert call(page, API, "/api/x", None)[0] == 401
    assert page.evaluate("changes") == [["out", "revoked"]]
    assert set(cookies(context)) == {DEVICE}, "the browser stays known"


@pytest.mark.long
def test_the_module_logs_in_and_a_wrong_password_is_told(stage: Stage, page: Page) -> None:
    page.goto(f"{stage.gateway.url}/open/x")
    page.set_content(f'<p id="state"></p><base href="{stage.gateway.url}">')
    page.evaluate(
        "async () => { const m = await import('/auth/client.js'); window.changes = [];"
        " window.gw = m.gateway({ onchange: (...c) => changes.push(c) }); }"
    )
    wrong = page.evaluate("gw.login({ username: 'alice', password: 'wrong' })")
    assert (wrong["ok"], wrong["status"], wrong["body"]["code"]) == (False, 401, "invalid_credentials")
    right = page.evaluate("gw.login({ username: 'alice', password: 'demo' })")
    assert right["ok"]
    assert "access_token" not in json.dumps(right)
    assert page.evaluate("gw.session()")["sub"] == "alice"
    assert page.evaluate("changes") == [["in", "login"]]
