"""A page of ten thousand cells: every one is there, opens its record, is sorted and copied."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from results.render.page import render_page
from tests.browser.conftest import Open
from tests.browser.test_accessibility import violations
from tests.results.render.made_page import make_page

CELLS = 10_000


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("many") / "report.html"
    file.write_text(render_page(make_page(CELLS)), encoding="utf-8")
    return file.as_uri()


@pytest.fixture
def page(open_page: Open, address: str) -> Page:
    return open_page(address)


def test_every_cell_is_there_and_the_last_opens_its_record(page: Page) -> None:
    table = page.locator('table.results[data-table="many"]')
    assert table.locator("tbody tr").count() == CELLS
    button = page.locator(f'button.record[data-record="many-{CELLS - 1}"]')
    button.scroll_into_view_if_needed()
    expect(button).to_be_in_viewport()
    button.click()
    expect(page.locator("#record-body")).to_contain_text(f"runs/records/many-{CELLS - 1}.json")
    page.keyboard.press("Escape")
    expect(button).to_be_focused()


def test_it_is_sorted_and_restored(page: Page) -> None:
    table = page.locator('table.results[data-table="many"]')
    heading = table.locator("th button.sort", has_text="clips/s")
    heading.click()
    values = table.evaluate("(table) => [...table.tBodies[0].rows].map((row) => Number(row.cells[1].dataset.value))")
    assert values == sorted(values)
    assert len(values) == CELLS
    heading.click()
    heading.click()
    assert table.locator("tbody tr").first.get_attribute("data-row") == "0"


def test_a_link_leads_to_what_lies_below_the_long_table(page: Page) -> None:
    """What is out of view has no size until it is drawn: the place that a link leads to must be right all the same."""
    page.locator("nav a", has_text="Provenance").click()
    expect(page.locator("#provenance-title")).to_be_in_viewport()
    page.locator("nav a", has_text="Tables").click()
    expect(page.locator("#tables-title")).to_be_in_viewport()


def test_axe_finds_nothing_in_two_thousand(open_page: Open, tmp_path: Path) -> None:
    """Of the same rows, as it looks at each of ten thousand for a minute."""
    file = tmp_path / "report.html"
    file.write_text(render_page(make_page(2000)), encoding="utf-8")
    assert violations(open_page(file.as_uri())) == []
