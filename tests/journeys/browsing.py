"""A real browser, without a window."""

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

from tests.programs import require

PATIENCE = 30_000
"""Milliseconds; a busy machine must not fail a test that is not about time."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run one; it is the machine's own."""
    program = require("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program,
            args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-lcd-text"],
            timeout=60_000,
        )
        yield browser
        browser.close()
