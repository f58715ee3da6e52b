"""Figures where nothing can be moved, on paper and without scripts: every stage of every slot is shown, and named."""

import io

import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Open, Shot
from tests.results.render.made_page import HOSTILE, figure_content

CONTENT = figure_content(HOSTILE)


def patches(picture: Locator) -> str:
    """Which patches of a shown frame are not white."""
    picture.scroll_into_view_if_needed()
    image = Image.open(io.BytesIO(picture.screenshot(animations="disabled"))).convert("L")
    rows, columns = CONTENT["rows"], CONTENT["columns"]
    middles = ((column + 0.5, row + 0.5) for row in range(rows) for column in range(columns))
    at = [(int(x * image.width / columns), int(y * image.height / rows)) for x, y in middles]
    return "".join("0" if image.getpixel(place) == 255 else "1" for place in at)


@pytest.fixture(params=["on paper", "without scripts"])
def still(request: pytest.FixtureRequest, open_page: Open, written: str) -> Page:
    page = open_page(written, java_script_enabled=request.param == "on paper")
    if request.param == "on paper":
        page.emulate_media(media="print")
    return page


def test_every_stage_of_every_slot_is_shown(still: Page, shot: Shot) -> None:
    strip = still.locator("figure.tokens .strip")
    expect(still.locator("figure.tokens canvas")).to_be_hidden()
    names = ["The frames"]
    for number, stage in enumerate(CONTENT["stages"], 1):
        left = "".join(stage["kept"]).count("1")
        names.append(f"Stage {number} after block {stage['block']}: {left} of 392 patches kept")
    assert strip.locator("p").all_inner_texts() == names
    whole = ["1" * 49] * 8
    for row, kept in enumerate([whole, *(stage["kept"] for stage in CONTENT["stages"])]):
        pictures = strip.locator(".frames").nth(row).locator("span")
        frames = [f"frame {slot['frame']}" for slot in CONTENT["slots"]]
        counts = [f": {one.count('1')}" if row else "" for one in kept]
        assert [text.strip() for text in pictures.all_inner_texts()] == list(map(str.__add__, frames, counts))
        for slot in (0, 7):
            assert patches(pictures.nth(slot).locator("svg")) == kept[slot], (row, slot)
    shot(still, "figure-still")


def test_where_the_canvas_can_be_moved_there_is_no_strip(report: Page) -> None:
    expect(report.locator("figure.tokens .strip")).to_be_hidden()
    expect(report.locator("figure.tokens canvas")).to_be_visible()


def test_a_map_that_is_shown_is_printed_beside_what_is_said_of_it(open_page: Open, written: str) -> None:
    page = open_page(written, color_scheme="light")
    page.locator("figure.tokens .mode").select_option("score")
    expect(page.locator("figure.tokens output")).to_contain_text("score from the lowest")
    page.emulate_media(media="print")
    for printed in ("canvas", "output", ".strip"):
        expect(page.locator(f"figure.tokens {printed}")).to_be_visible()
