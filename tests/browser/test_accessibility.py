"""What axe-core finds wrong for readers with other means: nothing, in any state of the page."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.browser.conftest import Open


def violations(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{one['id']} ({one['impact']}): {node['html'][:200]}" for one in found for node in one["nodes"][:3]]


def test_axe_finds_nothing(open_page: Open, written: str) -> None:
    page = open_page(written, color_scheme="light")
    page.locator("details summary").first.click()
    page.locator("th button.sort").first.click()
    page.locator("figure.plot [tabindex]").first.focus()
    assert violations(page) == []
    page.emulate_media(color_scheme="dark")
    assert violations(page) == []
    opener = page.locator('button.record[data-record="clips-2"]').first
    opener.click()
    assert violations(page) == []
    page.emulate_media(color_scheme="light")
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.set_viewport_size({"width": 400, "height": 800})
    assert violations(page) == []
    opener.click()
    assert violations(page) == []
