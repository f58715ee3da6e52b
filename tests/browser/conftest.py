"""A headless Chromium and the report in it. Whatever a test looks at, no page may write to the console, throw, or ask
for anything beside itself."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, sync_playwright

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


@pytest.fixture
def heard() -> list[str]:
    """What the pages of a test wrote to the console, threw, or asked for beside themselves; it must end empty."""
    return []


Open = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, heard: list[str]) -> Iterator[Open]:
    """Opens an address in a window of its own, with Playwright's settings for that; `script` runs before the page's
    own, and the time of a page with `clock` goes on as its test says."""
    contexts: list[BrowserContext] = []

    def opened(address: str, script: str = "", clock: bool = False, **settings: Any) -> Page:
        context = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | settings))
        contexts.append(context)
        context.set_default_timeout(TIMEOUT_MS)
        context.on("console", lambda message: heard.append(f"{message.type}: {message.text}"))
        context.on("weberror", lambda error: heard.append(f"error: {error.error}"))
        context.on("dialog", lambda dialog: (heard.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        context.route("**/*", lambda route: _let_pass(route, address, heard))
        page = context.new_page()
        if script:
            page.add_init_script(script)
        if clock:
            page.clock.install()
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert heard == []


def _let_pass(route: Route, address: str, heard: list[str]) -> None:
    if route.request.url.startswith(address):
        route.continue_()
    else:
        heard.append(f"asked for {route.request.url}")
        route.abort()


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
