"""The dashboard in Debian's Chromium."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
_GO = """place => {
    if ((location.hash || '#/jobs') !== place) document.querySelector('main h1').dataset.former = ''
    location.hash = place
}"""

_MILLISECONDS = 180_000
"""How long anything may take: beside other tests, the browser gets a small part of a core."""


@dataclass
class Visit:
    """A page of the dashboard, and what its browser complained of."""

    page: Page
    url: str
    key: str
    complaints: list[str] = field(default_factory=list)

    def sign_in(self, key: str | None = None) -> None:
        self.page.goto(self.url)
        self.page.get_by_label("API key").fill(key or self.key)
        self.page.keyboard.press("Enter")
        self.page.get_by_role("heading", name="Jobs", level=1).wait_for()

    def open(self, place: str) -> None:
        """A screen, once it has read all that it shows at first."""
        self.page.evaluate(_GO, f"#/{place}")
        self.page.locator("main h1:not([data-former])").first.wait_for()
        expect(self.page.locator(".waiting")).to_have_count(0)


@contextmanager
def chromium() -> Iterator[Browser]:
    """While it is open, nothing else in this thread may run an event loop: Playwright has one."""
    path = os.environ.get("TEST_CHROMIUM") or next(filter(None, map(shutil.which, _CHROMIUM)), None)
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium: apt-get install chromium")
        pytest.skip("no Chromium: apt-get install chromium, or set TEST_CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def visiting(browser: Browser, url: str, key: str) -> Iterator[Visit]:
    """Fails the test that saw an error in the console, a violation of the content security policy, or a
    request to another server."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
    visit = Visit(context.new_page(), url, key)

    def heard(message: ConsoleMessage) -> None:
        # The browser reports every answer that is not 2xx; which of them are right, the test knows.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            visit.complaints.append(message.text)

    def asked(to: str) -> None:
        if not to.startswith((url, "blob:")):
            visit.complaints.append(f"a request to {to}")

    visit.page.on("console", heard)
    visit.page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    visit.page.on("request", lambda request: asked(request.url))
    visit.page.set_default_timeout(_MILLISECONDS)
    expect.set_options(timeout=_MILLISECONDS)
    yield visit
    context.close()
    assert visit.complaints == []
