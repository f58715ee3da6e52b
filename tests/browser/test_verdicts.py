"""The verdicts on printed numbers, counted at the top and listed below."""

from playwright.sync_api import Page, expect

from tests.browser.conftest import Shot
from tests.results.render.made_page import HOSTILE, verdicts


def test_they_are_counted_at_the_top_and_say_why(report: Page, shot: Shot) -> None:
    counted = report.locator("#summary .verdicts")
    expect(counted).to_contain_text("4 numbers that papers print: 1 agrees 1 differs 1 not comparable 1 not measured")
    counted.locator("a").click()
    section = report.locator("#verdicts")
    expect(section.locator("h2")).to_be_in_viewport()
    rows = section.locator("tbody tr")
    assert rows.count() == 4
    assert rows.nth(1).locator("th, td").all_inner_texts() == list(verdicts().rows[1][1])
    assert HOSTILE in rows.nth(1).inner_text()
    shot(report, "verdicts")


def test_they_are_on_paper(report: Page) -> None:
    report.emulate_media(media="print")
    expect(report.locator("#verdicts tbody tr").nth(3)).to_be_visible()
    expect(report.locator("#summary .verdicts")).to_be_visible()
