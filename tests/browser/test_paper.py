"""The report on paper: however many columns a table has, none is cut off; what belongs together stays together."""

from pathlib import Path

import pytest
from playwright.sync_api import Page

from results.render.page import TALL, render_page
from results.render.table_view import Entry, TableView
from tests.browser.conftest import Open, Shot
from tests.results.render.made_page import HOSTILE, accuracies, make_page

A4 = {"upright": 688, "lying": 1017}
"""Pixels between the margins."""
BEYOND = """() => [...document.querySelectorAll("table")]
    .filter((table) => table.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5)
    .map((table) => table.dataset.table || table.closest("[aria-label]").getAttribute("aria-label"))"""
TABLES = "[...document.querySelectorAll('table.results')]"
SIZES = f"{TABLES}.map((table) => parseFloat(getComputedStyle(table).fontSize))"
PAGES = f"{TABLES}.map((table) => getComputedStyle(table.closest('article')).page)"


def wide(columns: int, published: float | None, status: str = "done") -> TableView:
    rows, names = ["2x3", "16x3", HOSTILE], [f"sta:r={16 * number},at=1-7" for number in range(columns)]
    entries = {
        (row, name): Entry(row, name, "top1", 84.91, published, status, evaluated=19_999, listed=20_000)
        for row in rows
        for name in names
    }
    return TableView(f"wide{columns}{published}", f"{columns} columns", "Views", rows, names, entries)


@pytest.fixture
def paper(open_page: Open, tmp_path: Path) -> Page:
    views = [accuracies(), wide(5, 84.8), wide(13, None), wide(13, 84.8, "partial")]
    file = tmp_path / "report.html"
    file.write_text(render_page(make_page(views=views)), encoding="utf-8")
    page = open_page(file.as_uri(), viewport={"width": A4["upright"], "height": 1000})
    page.emulate_media(media="print")
    return page


def test_no_table_is_cut_off(paper: Page, shot: Shot) -> None:
    for width in (A4["lying"], A4["upright"]):
        paper.set_viewport_size({"width": width, "height": 1000})
        assert paper.evaluate(BEYOND) == []
    usual, smaller, *_ = (round(size) for size in paper.evaluate(SIZES))
    assert (usual, smaller) == (9, 7)
    assert paper.evaluate(PAGES) == ["auto", "auto", "wide", "wide"]
    shot(paper, "print-wide", whole=True)


KEPT = "(one) => [getComputedStyle(one).breakInside, getComputedStyle(one).breakAfter]"


def test_what_belongs_together_stays_on_a_page(paper: Page) -> None:
    for whole in ("article.table", "#plots article", "figure.tokens"):
        assert paper.locator(whole).first.evaluate(KEPT)[0] == "avoid", whole
    for leads in ("h2", "h3", "article.table .copies", "#tables > .hint", "#figures > .hint"):
        assert {paper.locator(leads).nth(place).evaluate(KEPT)[1] for place in (0, -1)} == {"avoid"}, leads


def test_a_table_longer_than_a_page_begins_where_the_one_before_ends(open_page: Open, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(render_page(make_page(records=TALL + 1)), encoding="utf-8")
    page = open_page(file.as_uri(), color_scheme="light")
    page.emulate_media(media="print")
    assert page.locator("article.table").last.evaluate(KEPT) == ["auto", "auto"]
