"""A served report: what changes in the runs folder appears, and what the reader is at stays."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from playwright.sync_api import Page, expect

from harness.reporting import serve
from harness.reporting.serve import HOST, Server
from results.render.page import render_page
from results.render.table_view import TableView
from tests.browser.conftest import Open, Shot
from tests.results.render.made_page import accuracies, make_page

LOOK_MS = 4000
"""Longer than the page waits before it looks again."""
ANSWER_MS = 31_000
"""Longer than it waits for an answer."""


class Runs:
    """A runs folder of which only the report is there."""

    def __init__(self) -> None:
        self.view: TableView = accuracies()
        self.error = ""
        self.rows = 0
        """Of one more table."""
        self.answers = threading.Event()
        self.answers.set()

    def put(self, row: str, column: str, value: float) -> None:
        entry = replace(self.view.entries[row, column], value=value)
        self.view = replace(self.view, entries=self.view.entries | {(row, column): entry})

    def page(self) -> str:
        self.answers.wait(20)
        if self.error:
            raise ValueError(self.error)
        page = make_page(self.rows, live=True)
        return render_page(replace(page, views=[self.view, *page.views[1:]]))


@pytest.fixture
def runs() -> Runs:
    return Runs()


@pytest.fixture
def server(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(serve, "REBUILD_S", 0.0)
    monkeypatch.setattr(serve, "COST", 0)
    with Server(runs.page, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join(10)


@pytest.fixture
def live(server: Server, open_page: Open) -> Page:
    return open_page(f"http://{HOST}:{server.server_port}/", clock=True)


def later(page: Page) -> None:
    """Let the page's clock go on to its next look."""
    page.clock.run_for(LOOK_MS)


def test_a_new_value_appears_and_the_reader_is_not_disturbed(live: Page, runs: Runs, shot: Shot) -> None:
    live.evaluate("window.same = true")
    table = live.locator('table[data-table="table2"]')
    heading = table.locator("th.measured").first
    heading.locator("button.sort").click()
    heading.locator("button.sort").click()
    expect(heading).to_have_attribute("aria-sort", "descending")
    assert table.locator("tbody th").first.inner_text() == "16x3"
    live.locator("figure.tokens .stage").focus()
    live.keyboard.press("ArrowRight")
    opened = table.locator('button.record[data-record="top1-0-0"]')
    opened.click()
    expect(live.locator("#record-body .value")).to_contain_text("95.31")
    later(live)
    expect(live.locator("#pulse")).to_have_text("Live: up to date.")

    runs.put("2x3", "r=0", 99.25)
    later(live)
    expect(opened).to_have_text("99.25")
    expect(live.locator("#pulse")).to_contain_text("Live: updated")
    expect(live.locator("#live")).to_contain_text("Updated")
    expect(live.locator("dialog#record")).to_be_visible()
    expect(live.locator("#record-body .value")).to_contain_text("99.25")
    expect(heading).to_have_attribute("aria-sort", "descending")
    assert table.locator("tbody th").first.inner_text() == "2x3", "99.25 is the largest now"
    expect(live.locator("figure.tokens output")).to_contain_text("stage 2 after block 5")
    assert live.evaluate("window.same"), "the page was not loaded again"
    shot(live, "live")
    live.keyboard.press("Escape")
    expect(opened).to_be_focused()


def test_who_reads_far_down_a_long_page_stays_there(runs: Runs, server: Server, open_page: Open) -> None:
    runs.rows = 300
    live = open_page(f"http://{HOST}:{server.server_port}/", clock=True)
    live.locator('button.record[data-record="many-250"]').scroll_into_view_if_needed()
    place = live.evaluate("window.scrollY")
    runs.put("2x3", "r=0", 99.25)
    later(live)
    expect(live.locator('button.record[data-record="top1-0-0"]')).to_have_text("99.25")
    assert live.evaluate("window.scrollY") == place
    expect(live.locator('button.record[data-record="many-250"]')).to_be_in_viewport()


def test_a_server_that_stalls_is_said_and_asked_again(live: Page, runs: Runs) -> None:
    runs.answers.clear()
    later(live)
    live.clock.run_for(ANSWER_MS)
    expect(live.locator("#pulse")).to_contain_text("The server does not answer")
    runs.answers.set()
    later(live)
    expect(live.locator("#pulse")).to_have_text("Live: up to date.")


def test_an_error_and_a_server_that_is_gone_are_said_and_borne(
    live: Page, runs: Runs, server: Server, heard: list[str]
) -> None:
    pulse: Callable[[], object] = live.locator("#pulse").inner_text
    runs.error = "runs is not a folder"
    later(live)
    expect(live.locator("#pulse")).to_contain_text("runs is not a folder")
    runs.error = ""
    later(live)
    expect(live.locator("#pulse")).to_contain_text("Live: ")
    assert pulse()
    server.shutdown()
    server.server_close()
    later(live)
    expect(live.locator("#pulse")).to_contain_text("The server does not answer")
    expect(live.locator('table[data-table="table2"]')).to_be_visible()
    assert all("Failed to load resource" in said for said in heard), heard
    heard.clear()
