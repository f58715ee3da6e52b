"""The record behind a value, in a dialog."""

from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from results.render.page import render_page
from results.render.table_view import Entry, TableView
from tests.browser.conftest import Open, Shot
from tests.results.render.made_page import HOSTILE, make_page, record, timing


def test_a_value_shows_its_samples_and_where_they_are_from(report: Page, shot: Shot) -> None:
    button = report.locator('button.record[data-record="clips-2"]').first
    button.click()
    expect(report.locator("dialog#record")).to_be_visible()
    body = report.locator("#record-body").inner_text()
    record = timing("clips-2", "sta:r=12", 5)
    for rate in record.samples["clips_per_s"]:
        assert str(rate) in body
    assert f"{record.value} clips/s" in body
    for text in ("30 samples", "AMD EPYC", "abcdef0123456789", "runs/records/clips-2.json", "IQR is 14 %"):
        assert text in body, text
    shot(report, "record")
    report.keyboard.press("Escape")
    expect(report.locator("dialog#record")).to_be_hidden()
    expect(button).to_be_focused()


def test_what_a_remark_says_is_not_said_again(report: Page) -> None:
    report.locator('button.record[data-record="clips-2"]').first.click()
    said = report.locator("#record-body").inner_text()
    assert said.count("IQR is 14 %") == 1
    assert said.count("the clock was slow") == 1, "the table does not say this one"


def test_skipped_videos_and_notes_are_in_the_dialog(report: Page) -> None:
    report.locator('button.record[data-record="top1-0-0"]').first.click()
    expect(report.locator("#record-body")).to_contain_text(f"{HOSTILE}: truncated")
    expect(report.locator("#record-body")).to_contain_text("bad/2.mp4: no frames")


@pytest.mark.parametrize(
    ("row", "column", "texts"),
    [
        (1, "clips/s", ("out of memory", "MemoryError", "runs/logs/one/7_0_log.err", "and 3 more", "2 times")),
        (1, "Top-1", ("24 of 64 videos", "node1, node2")),
        (2, "clips/s", ("cancelled", "once")),
    ],
)
def test_a_cell_without_a_value_shows_how_its_job_does(
    row: int, column: str, texts: tuple[str, ...], report: Page
) -> None:
    place = ["GFLOPs", "Top-1", "clips/s"].index(column)
    button = report.locator(f'button.record[data-cell="mixed/{row}/{place}"]').first
    button.focus()
    report.keyboard.press("Enter")
    for text in texts:
        expect(report.locator("#record-body")).to_contain_text(text)
    report.keyboard.press("Escape")
    expect(button).to_be_focused()


def test_the_dialog_is_closed_by_its_button_and_by_a_click_beside_it(report: Page) -> None:
    button = report.locator('button.record[data-record="gflops-2"]').first
    for close in (lambda: report.locator("#record-close").click(), lambda: report.mouse.click(5, 5)):
        button.click()
        expect(report.locator("dialog#record")).to_be_visible()
        close()
        expect(report.locator("dialog#record")).to_be_hidden()
        expect(button).to_be_focused()


def test_who_opens_a_record_from_elsewhere_than_its_table_is_back_there(report: Page) -> None:
    for place in ("#failures", "figure.tokens"):
        button = report.locator(f"{place} button.record").first
        button.click()
        expect(report.locator("dialog#record")).to_be_visible()
        report.keyboard.press("Escape")
        expect(button).to_be_focused()


def test_the_keyboard_stays_in_the_dialog(report: Page) -> None:
    report.locator('button.record[data-record="gflops-2"]').first.click()
    for _ in range(6):
        report.keyboard.press("Tab")
        assert report.evaluate("document.activeElement === document.body || !!document.activeElement.closest('dialog')")


def test_a_mean_opens_its_runs_and_who_closes_one_is_back_at_the_mean(open_page: Open, tmp_path: Path) -> None:
    runs = ((0, "run-0"), (1, "run-1"))
    entry = Entry("ViT-B", "Top-1", "top1_trained", 71.0, None, "done", deviation=1.0, runs=runs)
    view = TableView("means", "Means", "", ["ViT-B"], ["Top-1"], {("ViT-B", "Top-1"): entry})
    records = [record(f"run-{seed}", "top1_trained", 70.0 + 2 * seed) for seed in (0, 1)]
    file = tmp_path / "report.html"
    page_of_means = replace(make_page(views=[view]), records=records)
    file.write_text(render_page(page_of_means), encoding="utf-8")
    page = open_page(file.as_uri())
    button = page.locator('button.record[data-cell="means/0/0"]')
    expect(button).to_have_text("71.00 ± 1.00")
    button.click()
    body = page.locator("#record-body")
    expect(body.locator(".value")).to_have_text("71.00 ± 1.00 %")
    assert body.locator("li").all_inner_texts() == ["seed 0: 70 %", "seed 1: 72 %"]
    body.locator("button.record").nth(1).click()
    expect(body).to_contain_text("runs/records/run-1.json")
    expect(page.locator("#record-title")).to_contain_text("seed 1")
    page.keyboard.press("Escape")
    expect(page.locator("dialog#record")).to_be_hidden()
    expect(button).to_be_focused()
