"""Every page as a person sees it, in light and in dark: the pictures of docs/pages.

`SCREENSHOTS=1 pytest -m long tests/journeys/test_pictures.py` takes them anew.
"""

import base64
import os
from pathlib import Path
from typing import Literal

import pyotp
import pytest
from playwright.sync_api import Page, expect

from tests.journeys.browsing import PATIENCE, chromium
from tests.journeys.house import ROOT, Gateway, running
from tests.journeys.people import users

SHOWN = ROOT / "docs" / "pages"
CONFIG = """\
version: 1
login: {verify: {database: {}}}
roles: {user: {}}
pages: {title: Example shop, home: /app/}
"""
PASSWORD = "down the rabbit hole"
ELSEWHERE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5"
    " Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0",
)
PAGES = ("login", "login-wrong", "account", "enrol", "codes", "signed-out", "second-step", "error")


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_can_be_looked_at(tmp_path: Path, scheme: Literal["light", "dark"]) -> None:
    folder = SHOWN if os.environ.get("SCREENSHOTS") == "1" else tmp_path
    folder.mkdir(exist_ok=True)
    (tmp_path / "gateway.yaml").write_text(CONFIG)
    users(tmp_path, "add", "alice", "--role", "user", "--password-stdin", typed=f"{PASSWORD}\n")
    with running(tmp_path, CONFIG) as gateway, chromium() as browser:
        for agent in ELSEWHERE:
            with gateway.client(headers={"User-Agent": agent}) as client:
                body = {"username": "alice", "password": PASSWORD}
                assert client.post("/auth/login", json=body).status_code == 200
        with browser.new_context(color_scheme=scheme, viewport={"width": 560, "height": 520}) as context:
            context.set_default_timeout(PATIENCE)
            pictures = walk(context.new_page(), gateway)
        blank = browser.new_page()
        for name, png in pictures.items():
            (folder / f"{name}-{scheme}.webp").write_bytes(smaller(blank, png))
    assert tuple(pictures) == PAGES


def smaller(page: Page, png: bytes) -> bytes:
    """Return the picture as WebP, which takes less than half the room."""
    webp = page.evaluate(
        """async (png) => {
            const image = new Image();
            image.src = `data:image/png;base64,${png}`;
            await image.decode();
            const canvas = new OffscreenCanvas(image.width, image.height);
            canvas.getContext("2d").drawImage(image, 0, 0);
            const blob = await canvas.convertToBlob({ type: "image/webp", quality: 0.8 });
            return btoa(String.fromCharCode(...new Uint8Array(await blob.arrayBuffer())));
        }""",
        base64.b64encode(png).decode(),
    )
    return base64.b64decode(webp)


def walk(page: Page, gateway: Gateway) -> dict[str, bytes]:
    """Go through all pages as alice, and take a picture of each."""
    taken: dict[str, bytes] = {}

    def picture(name: str, heading: str) -> None:
        expect(page.get_by_role("heading", level=1)).to_have_text(heading, timeout=PATIENCE)
        # Where the page is wider than the window somebody would have to scroll sideways.
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        taken[name] = page.screenshot(full_page=True)

    def sign_in(password: str) -> None:
        page.get_by_label("User name").fill("alice")
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Sign in").click()

    page.goto(f"{gateway.url}/auth/account")
    picture("login", "Sign in")
    sign_in("wrong")
    expect(page.get_by_text("User name or password is wrong.")).to_be_visible()
    picture("login-wrong", "Sign in")
    sign_in(PASSWORD)
    picture("account", "alice")
    page.get_by_role("button", name="Set up").click()
    picture("enrol", "Set up a second factor")
    page.get_by_label("The code that it shows").fill(pyotp.TOTP(page.locator("code").inner_text()).now())
    page.get_by_role("button", name="Switch on").click()
    picture("codes", "Recovery codes")
    page.get_by_role("link", name="Done").click()
    page.get_by_role("button", name="Sign out", exact=True).click()
    picture("signed-out", "You are signed out")
    page.get_by_role("link", name="Sign in again").click()
    sign_in(PASSWORD)
    picture("second-step", "Second step")
    page.get_by_role("link", name="Begin again").click()
    page.evaluate("document.querySelector('[name=csrf_token]').value = 'x'")
    sign_in(PASSWORD)
    picture("error", "Please try again")
    return taken
