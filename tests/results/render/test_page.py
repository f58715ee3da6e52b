"""The HTML page: whatever names hold it is text, nothing is loaded, and it says what there is to say."""

import base64
import hashlib
import html
import itertools
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from results.render import render
from results.render.page import STATE, Figure, Page, policy, render_page
from results.render.page.strip import cover
from results.render.table_view import Entry, TableView
from tests.results.render.made_page import HOSTILE, figure_content, make_page, record


class Reader(HTMLParser):
    """The elements of a page, each with its attributes, in order, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self._tag = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._tag = tag

    def handle_data(self, data: str) -> None:
        self.texts[self._tag] = self.texts.get(self._tag, "") + data

    def having(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        named = {name.replace("_", "-").removesuffix("-"): value for name, value in attributes.items()}
        return [found for one, found in self.elements if one == tag and named.items() <= found.items()]


@pytest.fixture(scope="module")
def text() -> str:
    return render_page(make_page())


@pytest.fixture(scope="module")
def page(text: str) -> Reader:
    return Reader(text)


def data_of(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    content: dict[str, Any] = json.loads(found[1])
    return content


def test_it_is_one_whole_file_that_loads_nothing(text: str, page: Reader) -> None:
    assert text.startswith("<!doctype html>")
    assert page.having("html", lang="en")
    loading = [(tag, name) for tag, found in page.elements for name in found if name in ("src", "srcset", "action")]
    assert not loading
    links = [str(found["href"]) for tag, found in page.elements if tag == "a"]
    assert links
    assert all(link.startswith("#") for link in links)
    assert not [found for tag, found in page.elements if tag in ("link", "iframe", "object", "embed", "base", "form")]
    assert not re.search(r"url\((?!['\"]?#)|@import", text)


def test_every_link_within_the_page_leads_somewhere(page: Reader) -> None:
    ids = [found["id"] for _, found in page.elements if "id" in found]
    assert len(ids) == len(set(ids))
    assert {str(found["href"])[1:] for found in page.having("a")} <= set(ids)


def test_only_its_own_script_may_run(text: str, page: Reader) -> None:
    (rules,) = (found["content"] for found in page.having("meta", http_equiv="Content-Security-Policy"))
    assert rules == policy(live=False)
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert len(scripts) == 1
    assert rules is not None
    assert rules.startswith(
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    )
    assert "connect-src" not in rules
    assert "connect-src 'self'" in policy(live=True)
    assert not [name for _, found in page.elements for name in found if name.startswith("on")]


def test_a_hostile_name_is_text_everywhere(text: str, page: Reader) -> None:
    assert len(page.having("script")) == 2
    assert not page.having("img")
    assert HOSTILE in html.unescape(re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL))
    assert "<" not in re.findall(r'id="data">(.*?)</script>', text, re.DOTALL)[0]


def test_the_sections_and_landmarks_are_there(page: Reader) -> None:
    sections = [found["id"] for found in page.having("section")]
    rest = ["plots", "figures", "failures", "changed", "skipped", "provenance"]
    assert sections == ["summary", "tables", "verdicts", *rest]
    without = Reader(render_page(make_page(judged=[])))  # where nothing is printed
    assert [found["id"] for found in without.having("section")] == ["summary", "tables", *rest]
    assert [len(page.having(tag)) for tag in ("main", "header", "nav", "h1", "dialog")] == [1, 1, 1, 1, 1]
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h\d", tag)]
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_each_cell_opens_its_record_or_what_became_of_it(text: str, page: Reader) -> None:
    tables = [found["data-table"] for found in page.having("table", class_="results")]
    assert tables == ["table2", "table2-drops", "mixed", "table1"]
    (first,) = page.having("button", data_cell="table2/1/2")
    assert first["data-record"] == "top1-1-2"
    content = data_of(text)
    assert first["data-record"] in content["records"]
    (failed, _) = page.having("button", data_cell="mixed/1/2")  # in the table, and among the failures
    assert "data-record" not in failed
    assert content["cells"]["mixed/1/2"]["job"] == "job-failed"
    assert "out of memory" in content["cells"]["mixed/1/2"]["remark"]
    logs = [content["parts"][number] for number in content["jobs"]["job-failed"]["logs"]]
    assert logs[0]["text"].endswith(f"MemoryError: {HOSTILE}")
    (change,) = page.having("button", data_cell="table2-drops/0/0")
    assert change["data-record"] == "top1-0-1"
    assert content["cells"]["table2-drops/0/0"]["change"] == "-1.56"


def test_a_declared_table_is_one_whatever_its_name() -> None:
    waiting = Entry("a", "Top-1", "top1")
    view = TableView("my-drops", "Mine", "", ["a"], ["Top-1"], {("a", "Top-1"): waiting})
    text = render_page(Page(runs="runs", profile="demo", views=[view], records=[]))
    assert "<b>0 of 1</b> cells have a value, 1 not begun." in text
    assert Reader(text).having("button", data_cell="my-drops/0/0")
    derived = render_page(Page(runs="runs", profile="demo", views=[replace(view, derived="my")], records=[]))
    assert "<b>0 of 0</b>" in derived
    assert not Reader(derived).having("button", data_cell="my-drops/0/0")


def test_numbers_to_sort_by_are_unrounded(text: str) -> None:
    assert '<td class="measured done" data-value="302.84">' in text
    assert '<td class="paper" data-value="302.0">302</td>' in text
    assert '<td class="measured running"><button' in text


def test_a_record_is_whole_behind_its_numbers(text: str) -> None:
    content = data_of(text)
    numbers = content["records"]["clips-2"]
    found = {name: content["parts"][number] for name, number in numbers.items()}
    for name in ("settings", "samples", "provenance"):
        found[name] = {key: content["parts"][number] for key, number in found[name].items()}
    (wanted,) = (one for one in make_page().records if one.id == "clips-2")
    assert found | {"id": "clips-2"} == vars(wanted)


def test_tables_are_copied_as_the_report_prints_them(text: str, page: Reader) -> None:
    copies = data_of(text)["copies"]
    for view in make_page().views:
        assert copies[view.name] == {name: render([view], name) for name in ("github", "latex", "csv")}
        buttons = page.having("button", class_="copy", data_table=view.name)
        assert [found["data-format"] for found in buttons] == ["github", "latex", "csv"]


def test_the_summary_says_what_is_there_and_on_what(text: str) -> None:
    shown = " ".join(re.sub(r"<[^>]+>", " ", text[text.index("<main") : text.index('id="tables"')]).split())
    assert "26 of 31 cells have a value, 1 running, 1 failed, 1 cancelled, 2 not begun." in shown
    assert "no GPU, AMD EPYC, 2 cores, 16 GiB (node1)" in shown
    assert "abcdef0123 with changes" in shown
    assert "torch 2.14.1" in shown
    assert "records/half.json is ignored: not whole JSON" in shown
    assert "27 shown of 30 in the folder" in shown


def test_what_differs_between_records_is_counted() -> None:
    gpu = {
        "host": "gpu1",
        "gpu": "Tesla V100",
        "gpus": 4,
        "driver": "550.1",
        "cpu": "Xeon",
        "cores": 8,
        "memory": 2**36,
    }
    other = record(
        "other", "top1", 1.0, provenance={"machine": gpu, "git": {"commit": None}, "versions": {"torch": "2.6"}}
    )
    text = render_page(replace(make_page(), records=[record("one", "top1", 1.0), other]))
    assert "4 × Tesla V100, driver 550.1, Xeon, 8 cores, 64 GiB (gpu1): 1 value<" in text
    assert "unknown (not a checkout) (1 value)" in text
    assert "torch 2.14.1 (1 value), 2.6 (1 value)" in text


def test_how_submitit_starts_a_process_is_no_command_of_the_user() -> None:
    commands = ["python -u -m submitit.core._submit runs/logs/a", "python -m harness.sweep table2"]
    records = [
        record(f"r{number}", "top1", 1.0, provenance={"command": command}) for number, command in enumerate(commands)
    ]
    text = render_page(replace(make_page(), records=records))
    assert "<dt>Commands</dt>\n<dd><code>python -m harness.sweep table2</code></dd>" in text
    assert "<dt>Commands</dt>" not in render_page(replace(make_page(), records=records[:1]))


def test_plots_keep_their_ids_and_say_what_their_points_are(text: str, page: Reader) -> None:
    assert [found["data-plot"] for found in page.having("figure", class_="plot")] == ["tradeoff", "speed"]
    tips = data_of(text)["tips"]
    assert tips["tradeoff-point-1"]["record"] == "top1-0-1"
    ids = {found.get("id") for _, found in page.elements}
    assert set(tips) <= ids


def test_figures_have_sliders_and_those_left_out_a_reason(text: str, page: Reader) -> None:
    first, second = page.having("figure", class_="tokens")
    assert (first["data-record"], second["data-record"]) == ("figure", "figure")
    assert [found["max"] for found in page.having("input", type="range")] == ["3", "8"]
    assert "The page holds 1 of 2 figures" in text
    assert "the page had no room for it" in text
    assert "jobs/j/figures/b/</code> tokens.png" in text


def test_the_frames_are_in_the_page_once_and_what_each_stage_drops_lies_over_them(text: str, page: Reader) -> None:
    content = figure_content(HOSTILE)
    for slot in content["slots"]:
        assert text.count(slot["jpeg"]) == 1
    images = page.having("image")
    assert [found["href"] for found in images] == [f"data:image/jpeg;base64,{one['jpeg']}" for one in content["slots"]]
    *uses, thumbnail = [found["href"] for found in page.having("use") if "href" in found]
    assert uses == [f"#{found['id']}" for found in images] * 3
    *paths, kept = [found["d"] for found in page.having("path") if "d" in found]
    assert paths[-24::8] == [cover(stage["kept"][0], content["columns"]) for stage in content["stages"]]
    assert thumbnail == "#figure-0-slot-4", "of a video that changes sides: its middle, as the last stage keeps it"
    assert kept == cover(content["stages"][-1]["kept"][4], content["columns"])
    assert "Stage 2 after block 5: 256 of 392 patches kept" in text
    assert "frame 15: 32<" in text
    assert data_of(text)["figures"] == [
        content | {"slots": [{"frame": one["frame"]} for one in content["slots"]]},
        None,
    ]


@pytest.mark.parametrize(
    ("kept", "path"),
    [
        ("111111", ""),
        ("000000", "M0 0h3v2h-3z"),
        ("101010", "M1 0h1v1h-1zM0 1h1v1h-1zM2 1h1v1h-1z"),
        ("100100", "M1 0h2v2h-2z"),
    ],
)
def test_dropped_patches_are_covered_in_few_rectangles(kept: str, path: str) -> None:
    assert cover(kept, columns=3) == path


def test_a_figure_without_stages_has_all_tokens() -> None:
    figure = make_page().figures[0]
    assert figure.content
    plain = replace(figure, stages=(), content=dict(figure.content) | {"stages": []})
    text = render_page(replace(make_page(), figures=[plain]))
    assert "Tokens kept: all." in text
    assert 'class="stage" min="1" max="1" value="1" step="1" disabled' in text


def test_failures_and_skipped_videos_are_listed_with_reasons(text: str) -> None:
    failures = text[text.index('<section id="failures"') : text.index('<section id="skipped"')]
    assert "mixed: 3 stages, clips/s" in failures
    assert "logs/one/7_0_log.err" in failures
    skipped = text[text.index('<section id="skipped"') : text.index('<section id="provenance"')]
    assert '<td class="long">bad/2.mp4</td><td class="long">no frames</td><td class="number">20</td>' in skipped


def test_only_a_live_page_asks_its_server_and_says_no_time() -> None:
    live = render_page(make_page(live=True))
    assert STATE in live
    assert "connect-src" in live
    assert ", made " not in live
    assert STATE not in render_page(make_page())
    assert live == render_page(make_page(live=True))


def test_a_page_of_nothing() -> None:
    text = render_page(Page(runs="runs", profile="demo", views=[], records=[]))
    assert "No table has results yet." in text
    assert "<b>0 of 0</b>" in text


def test_other_text_than_letters_in_every_place() -> None:
    """Line breaks, NUL and lone surrogates come from file names; none of them breaks the page."""
    odd = "a\nb\x00c\ud800"
    entry = Entry(odd, odd, "top1", None, None, "failed", note=odd)
    view = TableView("odd", odd, odd, [odd], [odd], {(odd, odd): entry}, [odd])
    text = render_page(Page(runs=odd, profile=odd, views=[view], records=[], figures=[Figure("r", odd, odd, [], [])]))
    text.encode()
    assert "\x00" not in text


def test_a_thousand_records_fit() -> None:
    text = render_page(make_page(records=1000))
    assert len(text.encode()) < 3_000_000
    assert len(data_of(text)["records"]) == 1027
