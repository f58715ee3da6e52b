"""What axe-core finds wrong for readers with other means: nothing, in any state of the page."""

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.browser.conftest import Open

STATES: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "a telephone": {"color_scheme": "light", "viewport": {"width": 400, "height": 800}},
}


def violations(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{one['id']} ({one['impact']}): {node['html'][:200]}" for one in found for node in one["nodes"][:3]]


@pytest.mark.parametrize("state", STATES)
def test_axe_finds_nothing(state: str, open_page: Open, written: str) -> None:
    page = open_page(written, **STATES[state])
    page.locator("details summary").first.click()
    assert violations(page) == []
    page.locator("th button.sort").first.click()
    page.locator('button.record[data-record="clips-2"]').first.click()
    assert violations(page) == []
