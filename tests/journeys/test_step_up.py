"""Pages and calls that take more than a login: a recent one, or one with a second factor (RFC 9470)."""

from collections.abc import Iterator
from html import unescape
from pathlib import Path
from re import findall, search, sub

import httpx
import pyotp
import pytest

from tests.journeys.house import Gateway, running, until
from tests.journeys.people import users
from tests.journeys.site import site

CONFIG = """\
version: 1
login: {verify: {database: {}}}
roles: {user: {}}
upstreams: {app: "%s"}
routes:
  - {path: /young, to: app, fresh_login: 1s}
  - {path: /strong, to: app, mfa: true}
"""
NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "same-origin"}


class Person:
    """A person with a browser that follows nothing by itself."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self._cookies: dict[str, str] = {}

    def open(self, path: str) -> httpx.Response:
        return self._ask("GET", path)

    def sign_in(self, at: str) -> httpx.Response:
        """Fill in the form of the login page *at*, and return what follows."""
        return self.send(self.open(at), "/auth/login", username="ann", password="wonderland")

    def send(self, page: httpx.Response, to: str, **typed: str) -> httpx.Response:
        """Send the form of *page* that goes to the path *to*."""
        forms = findall(r'<form[^>]* action="([^"]*)"[^>]*>(.*?)</form>', page.text.replace("\n", " "))
        ((action, inside),) = [form for form in forms if form[0].partition("?")[0] == to]
        hidden = dict(findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', inside))
        return self._ask("POST", unescape(action), {**hidden, **typed})

    def _ask(self, method: str, path: str, form: dict[str, str] | None = None) -> httpx.Response:
        jar = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        headers = {**NAVIGATION, "Accept": "text/html", "Origin": str(self._client.base_url).rstrip("/")}
        answer = self._client.request(method, path, data=form, headers={**headers, **({"Cookie": jar} if jar else {})})
        for line in answer.headers.get_list("Set-Cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            self._cookies[name] = value
        return answer


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with site() as app:
        text = CONFIG % app.url()
        (tmp_path / "gateway.yaml").write_text(text)
        users(tmp_path, "add", "ann", "--role", "user", "--password-stdin", typed="wonderland\n", says="ann  added")
        with running(tmp_path, text, GATEWAY_DATA_DIR=str(tmp_path / "data")) as made:
            yield made
            assert made.faults() == []


def location(answer: httpx.Response) -> str:
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"]


def test_a_browser_is_led_to_the_login_that_a_page_needs_and_back(gateway: Gateway) -> None:
    with gateway.client() as client:
        ann = Person(client)
        again = "/auth/login?return_to=/young&prompt=login"
        assert location(ann.sign_in(location(ann.open("/young")))) == "/young"
        until(lambda: ann.open("/young").status_code == 303, what="the login grew no older")
        assert location(ann.open("/young")) == again
        # A second passes quickly on a busy machine: the login is fresh, so at last one is in time.
        until(lambda: location(ann.sign_in(again)) == "/young" and ann.open("/young").status_code == 200, 30.0)

        # Without a second factor: one click leads to a page that says so, and nowhere in circles.
        needed = "/auth/login?return_to=/strong&acr_values=mfa"
        assert location(ann.open("/strong")) == needed
        assert location(ann.sign_in(needed)) == "/strong"
        assert location(ann.open("/strong")) == needed
        assert "Set one up" in ann.open(needed).text

        shown = ann.send(ann.open("/auth/account"), "/auth/account/enrol")
        secret = search(r'<code class="secret">(.+)</code>', shown.text)
        assert secret is not None
        code = pyotp.TOTP(sub("<[^>]*>", "", secret[1])).now()
        codes = findall(r"<li><code>(.+?)</code>", ann.send(shown, "/auth/account/confirm", code=code).text)
        assert location(ann.open("/strong")) == needed, "this login had none"
        asked = ann.sign_in(needed)
        assert location(ann.send(asked, "/auth/login/mfa", code=codes[0])) == "/strong"
        assert ann.open("/strong").json()["user"] == "ann"


def test_a_program_is_told_what_a_login_has_to_be(gateway: Gateway) -> None:
    with gateway.client() as client:
        asked = {"username": "ann", "password": "wonderland"}
        bearer = {"Authorization": f"Bearer {client.post('/auth/login', json=asked).json()['access_token']}"}
        until(lambda: client.get("/young", headers=bearer).status_code == 401, what="the login grew no older")
        for path, code, step_up in (
            ("/young", "login_too_old", 'max_age="1"'),
            ("/strong", "mfa_required", 'acr_values="mfa"'),
        ):
            # Also when it says that it is a browser: a page cannot have set this header.
            for headers in (bearer, {**bearer, **NAVIGATION}):
                refused = client.get(path, headers=headers)
                challenge = refused.headers["WWW-Authenticate"]
                assert (refused.status_code, refused.json()["code"]) == (401, code)
                assert challenge.startswith('Bearer realm="gateway", error="insufficient_user_authentication"')
                assert challenge.endswith(f", {step_up}")
