"""The videos that change sides: which they are, and what of them is kept."""

from playwright.sync_api import Page, expect

from tests.browser.conftest import Shot
from tests.results.render.made_page import HOSTILE, sides

WHITE = "(path) => getComputedStyle(path).fill"


def test_pairs_videos_and_classes_are_named(report: Page, shot: Shot) -> None:
    section, made = report.locator("#changed"), sides()
    section.scroll_into_view_if_needed()
    pairs, videos, classes = (section.locator("table").nth(number) for number in range(3))
    expect(pairs.locator("caption")).to_contain_text("Pairs, those first of which the most answers differ")
    first = made.agreements[0]
    texts = [first.one, first.other, str(first.lost), str(first.won), "95.3 %"]
    assert pairs.locator("tbody tr").first.locator("th, td").all_inner_texts() == texts
    expect(section).to_contain_text("And 7 more pairs.")
    assert videos.locator("tbody th").all_inner_texts() == [HOSTILE, "val/a.mp4"]
    expect(section).to_contain_text("And 2 more videos.")
    assert classes.locator("tbody tr").nth(1).locator("td").all_inner_texts() == ["2x3, r=48", "4", "75.0 %", "100.0 %"]
    shot(report, "changed")


def test_a_video_with_a_figure_shows_what_is_kept_and_leads_to_it(report: Page) -> None:
    rows = report.locator("#changed table").nth(1).locator("tbody tr")
    link = rows.nth(0).locator("a.kept-of")
    box = link.locator("svg").bounding_box()
    assert box
    assert box["width"] > 20
    assert link.locator("svg path").first.evaluate(WHITE) == "rgb(255, 255, 255)"
    link.click()
    assert report.evaluate("() => location.hash") == "#figure-0"
    expect(report.locator("#figure-0")).to_be_in_viewport()
    assert rows.nth(1).locator("a.kept-of").count() == 0
