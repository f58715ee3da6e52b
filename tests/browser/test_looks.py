"""The report on paper, on a telephone, in the dark, without scripts, and by keyboard alone."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open, Shot
from tests.results.render.made_page import accuracies

PHONE = {"viewport": {"width": 400, "height": 800}}
GROUND = "getComputedStyle(document.body).backgroundColor"


def brightness(page: Page, colour: str) -> float:
    return sum(map(int, re.findall(r"\d+", page.evaluate(colour))[:3])) / 765


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_paper_is_white_and_has_no_controls(scheme: str, open_page: Open, written: str, shot: Shot) -> None:
    page = open_page(written, color_scheme=scheme)
    assert (brightness(page, GROUND) > 0.5) == (scheme == "light")
    shot(page, f"report-{scheme}", whole=True)
    page.emulate_media(media="print")
    assert brightness(page, GROUND) == 1
    assert brightness(page, "getComputedStyle(document.body).color") < 0.3
    unprinted = "button.copy #record-close input select nav .skip summary #tip #live .screen"
    for controls in unprinted.split():
        assert not any(one.is_visible() for one in page.locator(controls).all()), controls
    cell = page.locator("table.results td button.record").first
    assert cell.inner_text() == "95.31"
    look = cell.evaluate("(one) => [getComputedStyle(one).borderTopWidth, getComputedStyle(one).textDecorationLine]")
    assert look == ["0px", "none"]
    expect(page.locator('table[data-table="table2"]')).to_be_visible()
    expect(page.locator("figure.tokens .strip")).to_be_visible()
    shot(page, f"print-{scheme}", whole=True)


def test_the_pdf_has_pages_with_the_headings_of_the_tables(report: Page) -> None:
    pdf = report.pdf(outline=True, tagged=True)
    assert len(re.findall(rb"/Type /Page\b", pdf)) > 0
    for title in ("Summary", accuracies().title, "Provenance"):
        assert title.encode() in pdf or title.encode("utf-16-be").hex().upper().encode() in pdf, title


def test_the_page_is_as_wide_as_a_telephone(open_page: Open, written: str, shot: Shot) -> None:
    page = open_page(written, **PHONE)
    fits = "document.documentElement.scrollWidth <= window.innerWidth"
    assert page.evaluate(fits)
    shot(page, "telephone", whole=True)
    page.locator("button.record").first.click()
    assert page.evaluate(fits)
    assert page.evaluate("(([body]) => body.scrollWidth <= body.clientWidth)([document.getElementById('record-body')])")
    box = page.locator("dialog#record").bounding_box()
    assert box
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 400
    shot(page, "telephone-record")
    page.keyboard.press("Escape")
    table = page.locator('table[data-table="table2"]')
    table.locator("button.record").last.scroll_into_view_if_needed()
    expect(table.locator("tbody th").last).to_be_in_viewport()  # which row it is stays in sight


def test_without_scripts_everything_measured_can_be_read(open_page: Open, written: str, shot: Shot) -> None:
    page = open_page(written, java_script_enabled=False)
    table = page.locator('table[data-table="table2"]')
    assert table.locator("td.measured").first.inner_text() == "95.31"
    for what in ("table.results", "figure.plot svg", "#failures table", "#skipped table"):
        expect(page.locator(what).first).to_be_visible()
    expect(page.locator("#failures")).to_contain_text("out of memory")
    expect(page.locator("#figures")).to_contain_text("328 after block 1")
    for controls in ("button.copy", "canvas", "input", "select", "output", "dialog"):
        assert not any(one.is_visible() for one in page.locator(controls).all()), controls
    shot(page, "without-scripts")


FOCUSED = """() => {
    const one = document.activeElement;
    const style = getComputedStyle(one);
    const mark = style.outlineStyle !== "none" || style.filter !== "none";
    return [one.className.baseVal ?? (one.className || one.tagName), mark && one.getClientRects().length > 0];
}"""


def test_the_keyboard_alone_reaches_everything(report: Page) -> None:
    keyboard, reached = report.keyboard, []
    keyboard.press("Tab")
    expect(report.locator("a.skip")).to_be_focused()
    expect(report.locator("a.skip")).to_be_in_viewport()
    for _ in range(150):
        name, seen = report.evaluate(FOCUSED)
        assert seen, f"{name} has the focus, and nothing shows it"
        reached.append(name)
        if "stage" in reached and "slot" in reached and "mode" in reached:
            break
        keyboard.press("Tab")
    wanted = ["skip", "A", "copy", "scroll", "sort", "record", "SUMMARY", "stage", "slot", "mode"]
    assert [reached.index(one) for one in wanted] == sorted(reached.index(one) for one in wanted)


def test_the_skip_link_leads_past_the_navigation(report: Page) -> None:
    report.keyboard.press("Tab")
    report.keyboard.press("Enter")
    report.keyboard.press("Tab")
    assert report.evaluate("!!document.activeElement.closest('#summary')")
