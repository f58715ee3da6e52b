"""A headless Chromium and the report in it. Whatever a test looks at, no page may write to the console, throw, or ask
for anything beside itself."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Dialog, Page, Route, sync_playwright

from results.render.page import render_page
from tests.results.render.made_page import make_page

CHROMIUM = Path("/usr/bin/chromium")
REMEDY = f"{CHROMIUM} is not there; tests/browser/install.sh installs it"
OPTIONS = (
    "--no-sandbox",  # which root, as CI runs this, has to do without
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SCREENSHOTS = Path(__file__).parents[2] / "artifacts" / "screenshots"
TIMEOUT_MS = 20_000
Shot = Callable[..., None]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Where there is no Chromium the tests are skipped; in CI they fail."""
    if not CHROMIUM.exists():
        if os.environ.get("CI"):
            pytest.fail(REMEDY)
        pytest.skip(REMEDY)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS, timeout=60_000)
        yield started
        started.close()


class Window:
    """A window of the browser. What its page writes to the console, throws, or asks for beside itself is `heard`."""

    def __init__(self, browser: Browser, **settings: Any) -> None:
        self.heard: list[str] = []
        self._address = ""
        self.context = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | settings))
        self.context.set_default_timeout(TIMEOUT_MS)
        self.context.on("console", lambda message: self.heard.append(f"{message.type}: {message.text}"))
        self.context.on("weberror", lambda error: self.heard.append(f"error: {error.error}"))
        self.context.on("dialog", self._dialog)
        self.context.route("**/*", self._route)
        self.page = self.context.new_page()

    def open(self, address: str, heard: list[str]) -> Page:
        self.heard, self._address = heard, address
        self.page.goto(address)
        return self.page

    def _dialog(self, dialog: Dialog) -> None:
        self.heard.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _route(self, route: Route) -> None:
        if route.request.url.startswith(self._address):
            route.continue_()
        else:
            self.heard.append(f"asked for {route.request.url}")
            route.abort()


@pytest.fixture
def heard() -> list[str]:
    """What the pages of a test were heard with; it must end empty."""
    return []


@pytest.fixture(scope="session")
def usual(browser: Browser) -> Window:
    """The window for all that needs no settings of its own: to make one takes longer than most tests."""
    return Window(browser)


Open = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, usual: Window, heard: list[str]) -> Iterator[Open]:
    """Opens an address, in a window of its own where Playwright's settings for one are given. `script` runs before the
    page's own, and the time of a page with `clock` goes on as its test says."""
    own: list[Window] = []

    def opened(address: str, script: str = "", clock: bool = False, **settings: Any) -> Page:
        if not (script or clock or settings):
            return usual.open(address, heard)
        own.append(Window(browser, **settings))
        if script:
            own[-1].page.add_init_script(script)
        if clock:
            own[-1].page.clock.install()
        return own[-1].open(address, heard)

    yield opened
    for window in own:
        window.context.close()
    usual.page.mouse.move(0, 0)
    usual.page.goto("about:blank")
    assert heard == []


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The made page in a file; its address."""
    file = tmp_path_factory.mktemp("report") / "report.html"
    file.write_text(render_page(make_page()), encoding="utf-8")
    return file.as_uri()


@pytest.fixture
def report(open_page: Open, written: str) -> Page:
    """The made page, opened from the disk."""
    return open_page(written)


@pytest.fixture(scope="session")
def shot() -> Shot:
    """Keeps a picture of what the window shows, or of the whole page, for people to look at."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)

    def take(page: Page, name: str, whole: bool = False) -> None:
        page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=whole)

    return take
