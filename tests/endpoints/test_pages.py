"""The pages as a browser without script uses them: links, forms and cookies, nothing else."""

import re
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest
from aiohttp import ClientResponse

from gateway.endpoints.account_page import ago, device_of
from gateway.endpoints.look import Look, static
from gateway.endpoints.rendering import POLICY
from gateway.errors import StoreUnavailable
from gateway.tokens import csrf
from tests.endpoints.house import House

NAVIGATION = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate", "Accept": "text/html"}


class Form:
    """One form of a page."""

    def __init__(self, action: str) -> None:
        self.action = action
        self.fields: dict[str, str] = {}


class Parsed(HTMLParser):
    """What of a page a person can use."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append((tag, values))
        if tag == "form":
            self.forms.append(Form(values.get("action") or ""))
        elif tag == "input" and self.forms and values.get("name"):
            self.forms[-1].fields[str(values["name"])] = values.get("value") or ""
        elif tag == "a":
            self.links.append(values.get("href") or "")


class Visit:
    """A browser: keeps cookies, sends forms, follows nothing by itself."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.cookies: dict[str, str] = {}
        self.text = ""
        self.status = 0
        self.answer: ClientResponse | None = None

    async def open(self, path: str, **headers: str) -> "Visit":
        return await self._ask("GET", path, None, headers)

    async def send(self, form: Form, to: str = "", headers: dict[str, str] | None = None, **typed: str) -> "Visit":
        return await self._ask("POST", to or form.action, {**form.fields, **typed}, headers or {})

    def form(self, action: str) -> Form:
        (found,) = [form for form in Parsed(self.text).forms if form.action.partition("?")[0] == action]
        return found

    @property
    def location(self) -> str:
        assert self.answer is not None
        return self.answer.headers.get("Location", "")

    async def log_in(self, return_to: str = "", password: str = "wonderland", username: str = "alice") -> "Visit":
        await self.open("/auth/login" + (f"?return_to={return_to}" if return_to else ""))
        return await self.send(self.form("/auth/login"), username=username, password=password)

    async def _ask(self, method: str, path: str, form: dict[str, str] | None, headers: dict[str, str]) -> "Visit":
        sent = {**NAVIGATION, **headers, "Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        sent = {name: value for name, value in sent.items() if value}
        answer = await self.house.client.request(method, path, data=form, headers=sent, allow_redirects=False)
        for line in answer.headers.getall("Set-Cookie", []):
            name, _, value = line.partition(";")[0].partition("=")
            if "Max-Age=0" in line:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
        self.answer, self.status, self.text = answer, answer.status, await answer.text()
        return self


@pytest.fixture
def visit(house: House) -> Visit:
    return Visit(house)


# --- signing in ---


async def test_a_person_signs_in_with_a_form_and_arrives_where_they_wanted(visit: Visit) -> None:
    await visit.log_in("/app%3Fa%3Db")
    assert (visit.status, visit.location) == (303, "/app?a=b")
    assert set(visit.cookies) == {
        "__Host-Http-gw-at",
        "__Host-Http-gw-rt",
        "__Host-gw-csrf",
        "__Host-Http-gw-dv",
    }
    assert visit.house.facts[-1].subject == "alice"
    assert visit.text == "", "137: no token in a body"


@pytest.mark.item(148)
@pytest.mark.parametrize(
    "asked",
    ["", "https://evil.example/", "//evil.example", "/\\evil.example", "/auth/login?return_to=/x", "javascript:x"],
)
async def test_a_way_back_that_leads_elsewhere_is_the_home_page(visit: Visit, asked: str) -> None:
    await visit.log_in(asked or "%20")
    assert (visit.status, visit.location) == (303, "/")


async def test_a_wrong_password_shows_the_form_again_with_the_name(visit: Visit) -> None:
    await visit.log_in("/app", password="wrong")
    assert (visit.status, "User name or password is wrong." in visit.text) == (401, True)
    again = visit.form("/auth/login")
    assert (again.fields["username"], again.action) == ("alice", "/auth/login?return_to=/app")
    assert visit.house.facts[-1].code == "invalid_credentials"
    await visit.send(again, password="wonderland")
    assert (visit.status, visit.location) == (303, "/app")


async def test_guessing_is_slowed_down_alike_for_names_that_exist_and_that_do_not(visit: Visit) -> None:
    for name in ("alice", "nobody"):
        for _ in range(8):
            await visit.log_in(username=name, password="wrong")
        assert visit.status == 429
        assert visit.answer is not None
        assert int(visit.answer.headers["Retry-After"]) >= 1


@pytest.mark.item(129)
async def test_the_form_counts_only_with_the_token_of_this_very_browser(visit: Visit) -> None:
    await visit.open("/auth/login")
    form = visit.form("/auth/login")
    typed: Any = {"username": "alice", "password": "wonderland"}
    foreign = csrf.mint(visit.house.secrets, "")
    await visit.send(form, csrf_token=foreign, **typed)
    assert (visit.status, "open too long" in visit.text) == (403, True)
    await visit.send(form, headers={"Sec-Fetch-Site": "cross-site"}, **typed)
    assert visit.status == 403
    await visit.send(form, headers={"Sec-Fetch-Site": "", "Origin": "https://evil.example"}, **typed)
    assert visit.status == 403
    visit.cookies.clear()
    await visit.send(form, **typed)
    assert visit.status == 403
    assert visit.house.sessions.logins == []


async def test_an_outage_is_a_page_with_503(visit: Visit) -> None:
    await visit.open("/auth/login")
    visit.house.sessions.fails = StoreUnavailable("down")
    await visit.send(visit.form("/auth/login"), username="alice", password="wonderland")
    assert visit.status == 503
    assert visit.answer is not None
    assert visit.answer.headers["Content-Type"].startswith("text/html")
    assert (visit.answer.headers["Retry-After"], "Traceback" in visit.text) == ("2", False)


async def test_the_json_endpoint_is_as_before(house: House) -> None:
    form = {"username": "alice", "password": "wonderland"}
    answer = await house.client.post("/auth/login", data=form)
    assert "access_token" in await answer.json()


@pytest.mark.item(86)
async def test_a_login_makes_a_new_session_in_place_of_the_one_that_was_there(visit: Visit, house: House) -> None:
    elsewhere = await house.login()
    await visit.log_in()
    before = dict(visit.cookies)
    await visit.open("/auth/login")
    assert "You are signed in as <strong>alice</strong>" in visit.text
    await visit.send(visit.form("/auth/login"), username="bob", password="demo")
    assert visit.status == 303
    assert visit.cookies["__Host-Http-gw-rt"] != before["__Host-Http-gw-rt"]
    left = {session: person.sub for session, (_, person, _) in house.sessions.live.items()}
    assert left.pop(elsewhere["session_id"]) == "alice"
    assert list(left.values()) == ["bob"]


# --- 150: no circles ---


@pytest.mark.item(150)
async def test_somebody_who_is_signed_in_is_led_on_by_their_own_click_alone(visit: Visit) -> None:
    await visit.log_in()
    await visit.open("/auth/login?return_to=/app")
    assert visit.status == 200
    await visit.send(visit.form("/auth/continue"))
    assert (visit.status, visit.location) == (303, "/app")


@pytest.mark.item(150)
async def test_with_the_refresh_cookie_alone_the_click_renews_the_session(visit: Visit) -> None:
    await visit.log_in()
    del visit.cookies["__Host-Http-gw-at"]
    await visit.open("/auth/login?return_to=/app")
    assert "You are signed in already." in visit.text
    await visit.send(visit.form("/auth/continue"))
    assert (visit.status, visit.location, "__Host-Http-gw-at" in visit.cookies) == (303, "/app", True)


@pytest.mark.item(150)
async def test_after_a_link_from_elsewhere_which_brings_no_cookies_there_is_a_link_on(visit: Visit) -> None:
    await visit.open("/auth/login?return_to=/app", **{"Sec-Fetch-Site": "cross-site"})
    assert "/app" in Parsed(visit.text).links
    await visit.open("/auth/login?return_to=/app")
    assert "/app" not in Parsed(visit.text).links


async def test_going_on_with_a_session_that_is_over_leads_to_the_form(visit: Visit) -> None:
    await visit.log_in()
    await visit.open("/auth/login?return_to=/app")
    visit.house.sessions.dead.sessions.update(visit.house.sessions.live)
    visit.house.sessions.live.clear()
    visit.house.sessions.dead.epoch += 1
    await visit.send(visit.form("/auth/continue"))
    assert (visit.status, visit.location) == (303, "/auth/login?return_to=/app")
    assert "__Host-Http-gw-rt" not in visit.cookies


# --- the second step ---


async def enrolled(visit: Visit) -> pyotp.TOTP:
    await visit.log_in()
    await visit.open("/auth/account")
    await visit.send(visit.form("/auth/account/enrol"))
    assert 'src="data:image/svg+xml;base64,' in visit.text
    secret = re.search(r'<code class="secret">(.+)</code>', visit.text)
    assert secret is not None
    totp = pyotp.TOTP(re.sub("<[^>]*>", "", secret[1]))
    await visit.send(visit.form("/auth/account/confirm"), code="000000")
    assert (visit.status, "This code is wrong" in visit.text) == (401, True)
    await visit.send(visit.form("/auth/account/confirm"), code=totp.at(int(visit.house.clock.wall())))
    assert visit.status == 200
    assert len(re.findall(r"<li><code>", visit.text)) == 10
    visit.house.clock.now += 60
    return totp


async def test_a_second_factor_is_set_up_asked_for_and_switched_off(visit: Visit) -> None:
    totp = await enrolled(visit)
    again = Visit(visit.house)
    await again.log_in("/app")
    assert (again.status, "__Host-Http-gw-at" in again.cookies) == (200, False)
    assert "authenticator app" in again.text
    await again.send(again.form("/auth/login/mfa"), code="123456")
    assert (again.status, "This code is wrong" in again.text) == (401, True)
    await again.send(again.form("/auth/login/mfa"), code=totp.at(int(visit.house.clock.wall())))
    assert (again.status, again.location, "__Host-Http-gw-at" in again.cookies) == (303, "/app", True)
    visit.house.clock.now += 60
    await again.open("/auth/account")
    assert "10 recovery codes left" in again.text
    form = again.form("")
    await again.send(form, to="/auth/account/disable-second-factor", code="000000")
    assert (again.status, "That is not right" in again.text) == (401, True)
    await again.send(form, to="/auth/account/disable-second-factor", code=totp.at(int(visit.house.clock.wall())))
    assert again.location == "/auth/account?done=off"


@pytest.mark.item(128)
async def test_the_second_step_is_for_the_browser_of_the_first_alone(visit: Visit) -> None:
    totp = await enrolled(visit)
    first, thief = Visit(visit.house), Visit(visit.house)
    await first.log_in("/app")
    form = first.form("/auth/login/mfa")
    await thief.open("/auth/login")
    form.fields["csrf_token"] = thief.cookies["__Host-gw-csrf"]
    await thief.send(form, code=totp.at(int(visit.house.clock.wall())))
    assert "__Host-Http-gw-at" not in thief.cookies
    assert "Begin again" in thief.text or "begin again" in thief.text


async def test_a_change_of_the_second_factor_needs_a_login_that_is_minutes_old(visit: Visit) -> None:
    await visit.log_in()
    await visit.open("/auth/account")
    form = visit.form("/auth/account/enrol")
    visit.house.clock.now += 599
    assert (await visit.send(form)).status == 200
    visit.house.clock.now += 4
    await visit.send(form)
    assert (visit.status, "Sign in again" in visit.text) == (401, True)
    assert Parsed(visit.text).links == ["/auth/login?return_to=/auth/account&prompt=login"]


# --- a login that is not enough for what somebody wants to open ---


async def test_who_has_to_sign_in_again_is_told_so_and_cannot_go_round_it(visit: Visit) -> None:
    await visit.log_in()
    await visit.open("/auth/login?return_to=/vault&prompt=login")
    assert "Please sign in again" in visit.text
    assert [form.action for form in Parsed(visit.text).forms] == ["/auth/login?return_to=/vault&prompt=login"]
    await visit.send(visit.form("/auth/login"), username="alice", password="wrong")
    assert (visit.status, "Please sign in again" in visit.text) == (401, True)
    visit.house.clock.now += 1000
    await visit.send(visit.form("/auth/login"), username="alice", password="wonderland")
    assert (visit.status, visit.location) == (303, "/vault")


async def test_who_has_to_use_a_second_factor_is_asked_for_it_and_comes_back(visit: Visit) -> None:
    totp = await enrolled(visit)
    await visit.open("/auth/login?return_to=/vault&acr_values=mfa")
    assert "takes a sign-in with a second factor.</p>" in visit.text
    await visit.send(visit.form("/auth/login"), username="alice", password="wonderland")
    assert visit.form("/auth/login/mfa").action == "/auth/login/mfa?return_to=/vault&acr_values=mfa"
    await visit.send(visit.form("/auth/login/mfa"), code=totp.at(int(visit.house.clock.wall())))
    assert (visit.status, visit.location) == (303, "/vault")


async def test_who_has_no_second_factor_is_told_how_to_get_one(visit: Visit) -> None:
    await visit.log_in("/vault")
    await visit.open("/auth/login?return_to=/vault&acr_values=mfa")
    assert (visit.status, "has none" in visit.text, "Set one up" in visit.text) == (200, True, True)
    assert "/auth/account" in Parsed(visit.text).links
    assert [form.action for form in Parsed(visit.text).forms] == ["/auth/login?return_to=/vault&acr_values=mfa"]


async def test_where_no_second_factor_can_be_kept_nobody_is_sent_to_set_one_up(visit: Visit) -> None:
    await visit.log_in("/vault")
    visit.house.services.second_factor._store = None  # as with a users file that nobody may write
    await visit.open("/auth/login?return_to=/vault&acr_values=mfa")
    assert ("Ask whoever runs" in visit.text, "Set one up" in visit.text) == (True, False)


@pytest.mark.parametrize("query", ["prompt=none", "acr_values=gold", 'prompt="><script>', "ask=mfa"])
async def test_what_else_a_link_asks_for_is_not_repeated(visit: Visit, query: str) -> None:
    await visit.log_in()
    await visit.open(f"/auth/login?return_to=/vault&{query}")
    assert visit.form("/auth/continue").action == "/auth/continue?return_to=/vault"
    assert (query in visit.text, "<script" in visit.text) == (False, False)


# --- the account ---


async def test_nobody_is_sent_to_the_login_and_back(visit: Visit) -> None:
    await visit.open("/auth/account")
    assert (visit.status, visit.location) == (303, "/auth/login?return_to=/auth/account")
    await visit.log_in("/auth/account")
    assert visit.location == "/auth/account"


async def test_the_account_shows_sessions_and_ends_another(visit: Visit) -> None:
    other = await visit.house.login()
    await visit.log_in()
    await visit.open("/auth/account")
    assert "Firefox on Linux" in visit.text
    assert "just now" in visit.text
    assert visit.text.count("(this one)") == 1
    assert other["refresh_token"] not in visit.text
    end = visit.form("/auth/account/end")
    assert end.fields["session"] == other["session_id"]
    await visit.send(end)
    assert visit.location == "/auth/account?done=ended"
    assert other["session_id"] not in visit.house.sessions.live
    await visit.open(visit.location)
    assert "That session was ended." in visit.text


@pytest.mark.item(88)
async def test_somebody_elses_session_is_as_unknown_as_none(visit: Visit) -> None:
    theirs = await visit.house.login("bob", "demo")
    await visit.house.login()
    await visit.log_in()
    await visit.open("/auth/account")
    await visit.send(visit.form("/auth/account/end"), session=theirs["session_id"])
    assert theirs["session_id"] in visit.house.sessions.live


@pytest.mark.item(88)
async def test_all_others_end_and_this_one_stays(visit: Visit) -> None:
    await visit.house.login()
    await visit.log_in()
    await visit.open("/auth/account")
    await visit.send(visit.form("/auth/account/end-others"))
    assert len(visit.house.sessions.live) == 1
    assert (await visit.open("/auth/account")).status == 200


@pytest.mark.item(154)
@pytest.mark.parametrize("everywhere", [False, True])
async def test_signing_out_ends_the_session_and_clears_the_cookies(visit: Visit, everywhere: bool) -> None:
    await visit.house.login()
    await visit.log_in()
    await visit.open("/auth/account")
    await visit.send(visit.form(f"/auth/account/sign-out{'-everywhere' if everywhere else ''}"))
    assert visit.location == "/auth/signed-out"
    assert set(visit.cookies) == {"__Host-Http-gw-dv"}, "the browser stays known"
    assert len(visit.house.sessions.live) == (0 if everywhere else 1)
    assert "You are signed out" in (await visit.open(visit.location)).text


async def test_a_password_is_changed(visit: Visit) -> None:
    other = await visit.house.login()
    await visit.log_in()
    await visit.open("/auth/account")
    form = visit.form("/auth/account/password")
    await visit.send(form, current_password="wonderland", new_password="looking-glass", again="looking-grass")
    assert (visit.status, "not the same" in visit.text) == (400, True)
    await visit.send(form, current_password="wrong", new_password="looking-glass", again="looking-glass")
    assert (visit.status, "Nothing was changed" in visit.text) == (401, True)
    await visit.send(form, current_password="wonderland", new_password="short", again="short")
    assert (visit.status, "at least 8 characters" in visit.text) == (400, True)
    await visit.send(form, current_password="wonderland", new_password="looking-glass", again="looking-glass")
    assert visit.location == "/auth/account?done=password"
    assert other["session_id"] not in visit.house.sessions.live


@pytest.mark.item(147)
@pytest.mark.parametrize(
    "action", ["sign-out", "sign-out-everywhere", "end", "end-others", "password", "enrol", "confirm"]
)
async def test_no_form_of_another_site_does_anything(visit: Visit, action: str) -> None:
    await visit.log_in()
    held = dict(visit.cookies)
    form = Form(f"/auth/account/{action}")
    form.fields = {"session": next(iter(visit.house.sessions.live)), "code": "1", "enrolment": "x"}
    for headers in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "https://evil.gw.example"},
        {"Sec-Fetch-Site": "", "Origin": "null"},
        {"Sec-Fetch-Site": ""},
    ):
        await visit.send(form, headers=headers)
        assert (visit.status, visit.house.facts[-1].code) == (403, "csrf_failed")
    form.fields["csrf_token"] = csrf.mint(visit.house.secrets, "another")
    await visit.send(form, headers={"Sec-Fetch-Site": ""})
    assert visit.status == 403
    assert visit.cookies == held
    assert len(visit.house.sessions.live) == 1
    assert (await visit.open(f"/auth/account/{action}")).status == 405, "144: GET changes nothing"


@pytest.mark.item(141)
async def test_a_browser_that_sends_neither_field_passes_with_the_forms_token(visit: Visit) -> None:
    await visit.log_in()
    await visit.open("/auth/account")
    await visit.send(visit.form("/auth/account/sign-out"), headers={"Sec-Fetch-Site": ""})
    assert visit.location == "/auth/signed-out"


async def test_the_account_renews_an_access_cookie_that_is_over(visit: Visit) -> None:
    await visit.log_in()
    del visit.cookies["__Host-Http-gw-at"]
    assert (await visit.open("/auth/account")).status == 200
    assert "__Host-Http-gw-at" in visit.cookies


@pytest.mark.item(93)
async def test_while_nobody_can_say_the_cookies_stay(visit: Visit) -> None:
    await visit.log_in()
    held = dict(visit.cookies)
    visit.house.sessions.fails = StoreUnavailable("down")
    assert (await visit.open("/auth/account")).status == 503
    visit.house.turned["cold"] = True
    assert (await visit.open("/auth/account")).status == 503
    assert visit.cookies == held


# --- what every page keeps to ---


async def test_no_page_has_a_script_a_style_or_anything_of_another_site(visit: Visit) -> None:
    await visit.house.login()
    seen = [(await visit.open(path)).text for path in ("/auth/login", "/auth/signed-out")]
    await visit.log_in()
    seen.append((await visit.open("/auth/account")).text)
    seen.append((await visit.send(visit.form("/auth/account/enrol"))).text)
    for text in seen:
        for tag, values in Parsed(text).tags:
            assert tag not in ("script", "style", "iframe", "object", "base")
            assert not any(name.startswith("on") or name == "style" for name in values)
            for name in ("src", "href", "action"):
                assert urlsplit(values.get(name) or "").scheme in ("", "data"), (tag, values)
        assert "<html lang=" in text


async def test_every_page_is_kept_from_frames_caches_and_other_sites(visit: Visit) -> None:
    for path in ("/auth/login", "/auth/signed-out", "/auth/account"):
        await visit.open(path)
        assert visit.answer is not None
        headers = visit.answer.headers
        if visit.status == 200:
            assert headers["Content-Security-Policy"] == POLICY
            assert (headers["X-Frame-Options"], headers["Referrer-Policy"]) == ("DENY", "same-origin")
        assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("no-store", "nosniff")


async def test_what_a_person_types_is_text_and_never_markup(visit: Visit) -> None:
    await visit.log_in(username='"><script>alert(1)</script>', password="x")
    assert "<script>" not in visit.text
    assert visit.form("/auth/login").fields["username"] == '"><script>alert(1)</script>'
    await visit.open("/auth/login?return_to=/%22%3E%3Cscript%3E")
    assert "<script>" not in visit.text


async def test_the_stylesheet_is_the_operators_too_and_may_be_cached(house: House) -> None:
    answer = await house.client.get("/auth/pages.css")
    assert answer.headers["Cache-Control"] == "public, max-age=3600"
    assert "prefers-color-scheme: dark" in await answer.text()
    again = await house.client.get("/auth/pages.css", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status == 304
    look = Look(accent="#112233", accent_dark="#aabbcc", css="h1 { color: red }")
    assert look.stylesheet.startswith(static("pages.css"))
    assert all(part in look.stylesheet for part in ("#112233", "#aabbcc", "h1 { color: red }"))


async def test_the_module_for_front_ends_is_small_and_for_every_page(house: House) -> None:
    answer = await house.client.get("/auth/client.js")
    content = await answer.read()
    assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert len(content) < 4000
    assert b"export function gateway(" in content


def test_the_way_back_stays_in_one_piece() -> None:
    assert parse_qs("return_to=/app?a=b")["return_to"] == ["/app?a=b"]


@pytest.mark.parametrize(
    ("agent", "device"),
    [
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36",
            "Chrome on Windows",
        ),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0", "Edge on Windows"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1", "Safari on iPhone"),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML) Version/18.5"
            " Mobile/15E148",
            "Safari on iPhone",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML) CriOS/142.0",
            "Chrome on iPhone",
        ),
        ("Mozilla/5.0 (Linux; Android 15) Gecko/140.0 Firefox/140.0", "Firefox on Android"),
        ("curl/8.5.0", "curl"),
        ("python-httpx/0.28", "python-httpx"),
        ("<script>", "Unknown device"),
        ("", "Unknown device"),
    ],
)
def test_a_device_is_called_what_a_person_would_call_it(agent: str, device: str) -> None:
    assert device_of(agent) == device


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "just now"), (59, "just now"), (60, "1 minute ago"), (7200, "2 hours ago"), (86400 * 3, "3 days ago")],
)
def test_times_are_said_in_words(seconds: int, words: str) -> None:
    assert ago(1_800_000_000_000, 1_800_000_000 + seconds) == words


def test_what_is_long_ago_has_its_day() -> None:
    assert ago(1_800_000_000_000, 1_800_000_000 + 86400 * 30) == "on 15 January 2027"
