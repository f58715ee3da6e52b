"""Figures of tokens: the canvas shows as white exactly the patches that are dropped, wherever the sliders stand."""

from playwright.sync_api import Page, expect

from tests.browser.conftest import Shot
from tests.results.render.made_page import HOSTILE, figure_content

CONTENT = figure_content(HOSTILE)
WHITE = """([rows, columns, expected]) => {
    const canvas = document.querySelector("figure.tokens canvas");
    const copy = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height });
    const pen = copy.getContext("2d", { willReadFrequently: true });
    pen.drawImage(canvas, 0, 0);
    const [width, height] = [canvas.width / columns, canvas.height / rows];
    let found = "";
    for (let patch = 0; patch < rows * columns; patch += 1) {
        const [left, top] = [(patch % columns) * width, Math.floor(patch / columns) * height];
        const pixels = pen.getImageData(left, top, width, height).data;
        const white = pixels.reduce((count, value) => count + (value === 255), 0);
        found += white === pixels.length ? "0" : white < pixels.length / 2 ? "1" : "?";
    }
    return found === expected;
}"""
"""Whether the patches whose every pixel is white, and of the others few, are the expected ones. A pixel has red, green,
blue and opacity, the last 255 for all."""


def expect_patches(page: Page, stage: int, slot: int) -> None:
    block, kept = CONTENT["stages"][stage]["block"], CONTENT["stages"][stage]["kept"][slot]
    page.wait_for_function(WHITE, arg=[CONTENT["rows"], CONTENT["columns"], kept])
    expect(page.locator("figure.tokens output")).to_have_text(
        f"stage {stage + 1} after block {block}, slot {slot + 1} of {len(CONTENT['slots'])} "
        f"(frame {CONTENT['slots'][slot]['frame']}): {kept.count('1')} of {len(kept)} patches kept"
    )


def test_the_sliders_by_keyboard(report: Page, shot: Shot) -> None:
    expect_patches(report, 0, 0)
    report.locator("figure.tokens .slot").focus()
    report.keyboard.press("ArrowRight")
    expect_patches(report, 0, 1)
    report.keyboard.press("End")
    expect_patches(report, 0, 7)
    report.locator("figure.tokens .stage").focus()
    for stage in (1, 2):
        report.keyboard.press("ArrowRight")
        expect_patches(report, stage, 7)
    report.keyboard.press("Home")
    expect_patches(report, 0, 7)
    report.keyboard.press("ArrowRight")
    expect_patches(report, 1, 7)
    report.locator("section#figures").scroll_into_view_if_needed()
    shot(report, "figure")


def test_the_sliders_by_mouse(report: Page) -> None:
    for name, share, (stage, slot) in (("stage", 0.97, (2, 0)), ("slot", 0.97, (2, 7)), ("stage", 0.5, (1, 7))):
        slider = report.locator(f"figure.tokens .{name}")
        box = slider.bounding_box()
        assert box
        slider.click(position={"x": share * box["width"], "y": box["height"] / 2})
        expect_patches(report, stage, slot)


def test_a_figure_that_the_page_does_not_hold_is_named_with_its_files(report: Page) -> None:
    left = report.locator("figure.tokens").nth(1)
    expect(left).to_contain_text("left.mp4")
    expect(left).to_contain_text("the page had no room for it")
    expect(left).to_contain_text("jobs/j/figures/b/")
    expect(left.locator("canvas")).to_have_count(0)
