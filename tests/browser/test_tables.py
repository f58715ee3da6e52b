"""Tables as a reader works with them: sorted, copied, a thousand rows long."""

import itertools
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from results.render import Entry, TableView, render
from results.render.page import render_page
from results.render.page.data import COPIED
from tests.browser.conftest import Open, Shot
from tests.results.render.made_page import accuracies, make_page, mixed

VALUES = {"nine": 9.0, "ten": 10.0, "minus": -5.5, "none": None, "hundred": 100.0, "tiny": 1e-7, "failed": None}
IN_ORDER = ["minus", "tiny", "nine", "ten", "hundred"]
WITHOUT = ["none", "failed"]


@pytest.fixture
def numbers(open_page: Open, tmp_path: Path) -> Locator:
    """A table whose numbers would be sorted otherwise as text, and rows that would be."""
    entries = {
        (row, "GFLOPs"): Entry(row, "GFLOPs", "gflops", value, None, "done" if value is not None else "pending")
        for row, value in VALUES.items()
    }
    entries["failed", "GFLOPs"] = Entry("failed", "GFLOPs", "gflops", None, None, "failed", note="out of memory")
    view = TableView("numbers", "Numbers", "Row", list(VALUES), ["GFLOPs"], entries)
    (tmp_path / "numbers.html").write_text(render_page(make_page(views=[view], attempts={})))
    return open_page((tmp_path / "numbers.html").as_uri()).locator("table.results")


def rows(table: Locator) -> list[str]:
    return table.locator("tbody th[scope=row]").all_inner_texts()


def test_numbers_are_sorted_as_numbers_empty_ones_last_and_a_third_click_restores(numbers: Locator) -> None:
    heading = numbers.locator("thead th").nth(1)
    button = heading.locator("button.sort")
    expect(heading).to_have_attribute("aria-sort", "none")
    for order, expected in (
        ("ascending", IN_ORDER + WITHOUT),
        ("descending", IN_ORDER[::-1] + WITHOUT),
        ("none", list(VALUES)),
    ):
        button.click()
        expect(heading).to_have_attribute("aria-sort", order)
        assert rows(numbers) == expected


def test_labels_are_sorted_by_the_keyboard_and_one_column_at_a_time(numbers: Locator) -> None:
    label, value = numbers.locator("thead th").all()
    value.locator("button.sort").click()
    label.locator("button.sort").focus()
    numbers.page.keyboard.press("Enter")
    assert rows(numbers) == sorted(VALUES)
    expect(value).to_have_attribute("aria-sort", "none")
    numbers.page.keyboard.press("Space")
    assert rows(numbers) == sorted(VALUES, reverse=True)


def test_the_printed_numbers_of_a_table_sort_it_too(report: Page, shot: Shot) -> None:
    table = report.locator('table[data-table="mixed"]')
    before = rows(table)
    table.locator('th.paper[data-column="5"] button.sort').click()
    assert rows(table) == [before[0], before[2], before[1]]  # 84.5, 84.8, 85.0
    table.scroll_into_view_if_needed()
    shot(report, "sorted")


def test_rows_are_sorted_by_the_number_in_their_label(open_page: Open, tmp_path: Path) -> None:
    entries = {(f"r={r}", "GFLOPs"): Entry(f"r={r}", "GFLOPs", "gflops", 1.0, None, "done") for r in (8, 16, 128, 4)}
    view = TableView("labels", "Labels", "", [row for row, _ in entries], ["GFLOPs"], entries)
    (tmp_path / "labels.html").write_text(render_page(make_page(views=[view], attempts={})))
    table = open_page((tmp_path / "labels.html").as_uri()).locator("table.results")
    table.locator("button.sort").first.click()
    assert rows(table) == ["r=4", "r=8", "r=16", "r=128"]


def test_tables_are_copied_as_the_command_line_prints_them(open_page: Open, written: str) -> None:
    page = open_page(written, permissions=["clipboard-read", "clipboard-write"])
    for format, view in itertools.product(COPIED, (accuracies(), mixed())):
        page.locator(f'button.copy[data-table="{view.name}"][data-format="{format}"]').click()
        expect(page.locator("#live")).to_contain_text(f"Copied {view.title}")
        assert page.evaluate("navigator.clipboard.readText()") == render([view], format)


def test_where_scripts_may_not_use_the_clipboard_the_text_is_copied_as_a_selection(
    open_page: Open, written: str
) -> None:
    shut = """
        const real = navigator.clipboard;
        window.read = () => real.readText();
        Object.defineProperty(navigator, "clipboard", { value: { writeText: () => Promise.reject(new Error("no")) } });
    """
    page = open_page(written, shut, permissions=["clipboard-read", "clipboard-write"])
    button = page.locator('button.copy[data-table="mixed"][data-format="github"]')
    button.click()
    expect(page.locator("#live")).to_contain_text("Copied")
    assert page.evaluate("read()") == render([mixed()], "github")
    expect(button).to_be_focused()
    page.evaluate("document.execCommand = () => false")
    button.click()
    expect(page.locator("#live")).to_contain_text("does not let the page copy")


def test_a_thousand_records_make_a_page_that_opens_and_sorts(open_page: Open, tmp_path: Path) -> None:
    text = render_page(make_page(1000))
    assert len(text.encode()) < 3 * 2**20
    (tmp_path / "many.html").write_text(text)
    page = open_page((tmp_path / "many.html").as_uri())
    table = page.locator('table[data-table="many"]')
    table.locator("button.sort").nth(1).click()
    values = [float(text) for text in table.locator("td.measured").all_inner_texts()]
    assert len(values) == 1000
    assert values == sorted(values)
    table.locator("button.record").last.click()
    expect(page.locator("#record-body")).to_contain_text("clips_per_s: 30 samples")
