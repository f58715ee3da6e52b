"""Plots: what a point says to the pointer and to the keyboard, and the record behind it."""

from playwright.sync_api import Page, expect

from results.render.plot import tips
from tests.browser.conftest import Open, Shot
from tests.results.render.made_page import plots

TIPS = [tips(plot) for plot in plots()]


def test_a_point_says_what_it_is_while_the_pointer_is_on_it(report: Page, shot: Shot) -> None:
    tip = report.locator("#tip")
    expect(tip).to_be_hidden()
    for said in TIPS:
        for name, content in said.items():
            report.locator(f"[id='{name}']").hover()
            expect(tip).to_have_text(content["text"])
            box = tip.bounding_box()
            assert box
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 1280
            assert box["y"] >= 0
        shot(report, "plot")
    report.mouse.move(5, 5)
    expect(tip).to_be_hidden()


def test_the_keyboard_reaches_each_point(report: Page) -> None:
    tip, names = report.locator("#tip"), list(TIPS[0])
    report.locator(f"[id='{names[0]}']").focus()
    for name in [*names[1:], names[0]]:
        report.keyboard.press("ArrowRight")
        expect(report.locator(f"[id='{name}']")).to_be_focused()
        expect(tip).to_have_text(TIPS[0][name]["text"])
        expect(tip).to_be_in_viewport()
    report.keyboard.press("ArrowLeft")
    expect(tip).to_have_text(TIPS[0][names[-1]]["text"])
    report.keyboard.press("Escape")
    expect(tip).to_be_hidden()
    report.keyboard.press("ArrowRight")
    expect(tip).to_be_visible()
    report.keyboard.press("Tab")
    expect(report.locator("#plots summary").first).to_be_focused()
    expect(tip).to_be_hidden()


def test_a_point_opens_its_record_by_mouse_and_keyboard(report: Page) -> None:
    name, content = next((name, one) for name, one in TIPS[0].items() if one["record"])
    marker = report.locator(f"[id='{name}']")
    for open_it in (marker.click, lambda: report.keyboard.press("Enter")):
        open_it()
        expect(report.locator("#record-body")).to_contain_text(f"runs/records/{content['record']}.json")
        report.keyboard.press("Escape")
        expect(report.locator("dialog#record")).to_be_hidden()
        expect(marker).to_be_focused()


def test_a_published_point_has_none_to_open(report: Page) -> None:
    name = next(name for name, one in TIPS[0].items() if not one["record"])
    report.locator(f"[id='{name}']").click()
    expect(report.locator("dialog#record")).to_be_hidden()


SMALLEST = """() => Math.min(...[...document.querySelectorAll("figure.plot svg text")]
    .map((text) => text.getBoundingClientRect().height))"""


def test_on_a_telephone_a_plot_is_scrolled_rather_than_small(open_page: Open, written: str) -> None:
    page = open_page(written, viewport={"width": 400, "height": 800})
    box = page.get_by_role("region", name=f"Plot: {plots()[0].title}", exact=True)
    assert box.evaluate("(box) => box.scrollWidth > box.clientWidth")
    assert page.evaluate(SMALLEST) >= 9
    box.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("(box) => box.scrollLeft > 0", arg=box.element_handle())
    page.emulate_media(media="print")
    assert box.evaluate("(box) => box.scrollWidth === box.clientWidth")
