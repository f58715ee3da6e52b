"""Maps of a figure: their names and colours, what is said of them, and frames that cannot be shown."""

import base64
from dataclasses import replace
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from results.render.page import render_page
from tests.browser.conftest import Open, Shot
from tests.browser.test_figures import WHITE as PATCHES
from tests.results.render.made_page import HOSTILE, figure_content, figures, make_page

CONTENT = figure_content(HOSTILE)
COLOURS = """([patch, columns]) => {
    const canvas = document.querySelector("figure.tokens canvas");
    const copy = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height });
    const pen = copy.getContext("2d", { willReadFrequently: true });
    pen.drawImage(canvas, 0, 0);
    const side = canvas.width / columns;
    const place = [(patch % columns + 0.5) * side, (Math.floor(patch / columns) + 0.5) * side];
    return [...pen.getImageData(...place, 1, 1).data].slice(0, 3);
}"""
"""The colour in the middle of a patch."""
LOWEST, HIGHEST = (0x00, 0x22, 0x4E), (0xFE, 0xE8, 0x38)
ABSENT, WHITE = (235, 235, 235), (255, 255, 255)


def open_figure(open_page: Open, folder: Path, content: dict[str, Any], **settings: Any) -> Page:
    file, shown = folder / "report.html", replace(figures()[0], content=content)
    file.write_text(render_page(make_page(figures=[shown])), encoding="utf-8")
    return open_page(file.as_uri(), **settings)


def wait_for_colour(page: Page, patch: int, wanted: tuple[int, ...]) -> None:
    page.wait_for_function(
        f"(given) => ({COLOURS})(given).join() === '{','.join(map(str, wanted))}'", arg=[patch, CONTENT["columns"]]
    )


def test_maps_have_the_colours_of_the_figures_for_print(report: Page, shot: Shot) -> None:
    figure = report.locator("figure.tokens").first
    wait_for_colour(report, 48, WHITE)
    expect(figure.locator(".key")).to_be_hidden()
    figure.locator(".stage").fill("2")
    wait_for_colour(report, 40, WHITE)
    figure.locator(".mode").select_option("score")
    wait_for_colour(report, 48, ABSENT)
    for patch, ends in ((0, LOWEST), (40, HIGHEST)):
        wait_for_colour(report, patch, ends)
    expect(figure.locator(".key")).to_be_visible()
    figure.scroll_into_view_if_needed()
    shot(report, "figure-score")
    figure.locator(".mode").select_option("kept")
    wait_for_colour(report, 40, WHITE)


def test_what_a_map_says_of_the_choice_is_said(report: Page) -> None:
    figure = report.locator("figure.tokens").first
    said, scale = figure.locator("output"), "from the lowest in dark blue to the highest in yellow, grey without"
    figure.locator(".mode").select_option("score")
    expect(said).to_have_text(
        "stage 1 after block 1, slot 1 of 8 (frame 5): 41 of 49 patches kept; "
        f"score {scale} a value; the higher ones are dropped"
    )
    figure.locator(".mode").select_option("importance")
    expect(said).to_contain_text(f"patches kept; importance {scale}")
    expect(said).not_to_contain_text("dropped")
    figure.locator(".slot").fill("8")
    figure.locator(".mode").select_option("score")
    expect(said).to_contain_text("score: no patch of this slot has a value")


def test_the_choices_are_the_maps_that_there_are(open_page: Open, tmp_path: Path) -> None:
    stages = [stage | {"maps": {}} for stage in CONTENT["stages"]]
    stages[1]["maps"] = {"kept": [[1] * 49] * 8, HOSTILE: [[99 - place for place in range(49)]] * 8}
    page = open_figure(open_page, tmp_path, CONTENT | {"stages": stages})
    figure = page.locator("figure.tokens")
    said, mode = figure.locator("output"), figure.locator(".mode")
    assert mode.locator("option").all_inner_texts() == ["kept", "kept", HOSTILE]
    mode.select_option(index=2)
    expect(said).to_contain_text(f"{HOSTILE}: no patch of this slot has a value")
    figure.locator(".stage").fill("2")
    expect(said).to_contain_text("patches kept; <script>")
    expect(said).to_contain_text("; the lower ones are dropped")
    mode.select_option(index=1)
    expect(said).to_contain_text("patches kept; kept from the lowest")
    mode.select_option(index=0)
    expect(said).to_have_text("stage 2 after block 5, slot 1 of 8 (frame 5): 32 of 49 patches kept")


def test_a_damaged_frame_is_named_and_the_rest_goes_on(open_page: Open, tmp_path: Path) -> None:
    slots = [dict(slot) for slot in CONTENT["slots"]]
    slots[0]["jpeg"] = base64.b64encode(b"\xff\xd8\xff no picture").decode()
    page = open_figure(open_page, tmp_path, CONTENT | {"slots": slots})
    said = page.locator("figure.tokens output")
    expect(said).to_contain_text("41 of 49 patches kept; the picture of this frame is damaged")
    wait_for_colour(page, 48, WHITE)
    page.locator("figure.tokens .slot").fill("2")
    expect(said).to_contain_text("slot 2 of 8 (frame 15): 41 of 49 patches kept")
    expect(said).not_to_contain_text("damaged")


def test_merged_tokens_have_one_colour_with_lines_around_them(open_page: Open, tmp_path: Path, shot: Shot) -> None:
    groups = [0] * 49
    for place, group in ((0, 1), (1, 1), (7, 1), (24, 2)):
        groups[place] = group
    merged = {"groups": [groups] * 8, "colours": ["a03020", "2040c0"], "left": 40, "number": 6, "where": "in block 6"}
    stage = {"block": 6, "kept": ["1" * 48 + "0"] * 8, "maps": {}} | merged
    # A window of its own, since it is printed below.
    page = open_figure(open_page, tmp_path, CONTENT | {"stages": [stage]}, viewport={"width": 1280, "height": 900})
    for patch, colour in ((0, (0xA0, 0x30, 0x20)), (7, (0xA0, 0x30, 0x20)), (24, (0x20, 0x40, 0xC0)), (48, WHITE)):
        wait_for_colour(page, patch, colour)
    said = "stage 6 in block 6, slot 1 of 8 (frame 5): 48 of 49 patches kept, those of the clip merged into 40 tokens"
    expect(page.locator("figure.tokens output")).to_have_text(said)
    shot(page, "figure-merged")
    page.emulate_media(media="print")
    expect(page.locator(".strip")).to_contain_text("Stage 6 in block 6: 384 of 392 patches kept, merged into 40 tokens")
    assert page.locator(".strip path.merged").count() == 16


def test_a_stage_on_a_grid_of_its_own_is_white_in_its_own_squares(open_page: Open, tmp_path: Path, shot: Shot) -> None:
    """Squares of 2 × 2 patches: of the 4 × 4 the last row and column end with the frame."""
    kept = "1" * 9 + "0" * 7
    stage = {"block": 3, "number": 1, "where": "before block 3", "span": 2, "left": 72, "kept": [kept] * 8, "maps": {}}
    page = open_figure(open_page, tmp_path, CONTENT | {"stages": [stage]}, viewport={"width": 1280, "height": 900})
    said = "stage 1 before block 3, slot 1 of 8 (frame 5): 9 of 16 tokens kept"
    expect(page.locator("figure.tokens output")).to_have_text(said)
    white = {row * 7 + column for row in range(7) for column in range(7) if kept[row // 2 * 4 + column // 2] == "0"}
    patches = "".join("0" if patch in white else "1" for patch in range(49))
    page.wait_for_function(PATCHES, arg=[7, 7, patches])
    shot(page, "figure-on-a-grid")
    page.emulate_media(media="print")
    expect(page.locator(".strip")).to_contain_text("Stage 1 before block 3: 72 of 128 tokens kept")
    assert page.locator(".strip g").first.get_attribute("transform") == "scale(2)"
