"""The table of drops: what is subtracted from what, and what is carried over of the doubts about both."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.reporting.drops import change, drops
from harness.reporting.fill import view_table
from harness.tables import Table, load_table
from jobs.spec.cells import Cell
from results.answers import NAME
from results.paired import Paired, interval
from results.progress import read_progress
from results.records import best_by_cell, read_records
from results.render import render
from results.render.table_view import Entry, TableView
from tests.harness.made import answered, make_table, put_record, small_profile
from tests.harness.test_report import demo_cell

WHOLE = {"evaluated": 64, "listed": 64}


def derived(tmp_path: Path, table: str | Table = "table2", drop: float = 0) -> TableView | None:
    table, profile, runs = (
        load_table(table) if isinstance(table, str) else table,
        small_profile(tmp_path),
        tmp_path / "runs",
    )
    best = best_by_cell(read_records(runs)[0])
    return drops(table, view_table(table, profile, best, read_progress(runs), runs), profile, best, drop)


def test_changes_from_the_same_views_of_r_0(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for views, column, value in (("2x3", "r=0", 95.3125), ("2x3", "r=48", 93.75), ("4x3", "r=64", 90.0)):
        put_record(runs, demo_cell(column, views), value, counts=WHOLE)
    found = derived(tmp_path)
    assert found
    assert (found.name, found.columns) == ("table2-drops", ["r=48", "r=64", "r=80"])
    assert found.rows == ["2x3", "4x3", "6x3", "8x3", "16x3"]
    assert found.title.endswith("(STA supplement, Table 2): change from r = 0, in points")
    change = found.entries["2x3", "r=48"]
    assert (change.value, change.published, change.status, change.record) == (
        *(-1.5625, -0.15, "done"),
        "vit_demo-sta_r12-motion-2x3-top1",
    )
    assert (change.measured_text, change.published_text(), change.difference_text) == ("-1.56", "-0.15", "-1.41")
    assert (found.entries["2x3", "r=64"].value, found.entries["2x3", "r=64"].status) == (None, "pending")
    assert (found.entries["4x3", "r=64"].value, found.entries["4x3", "r=64"].status) == (None, "pending")
    assert found.derived == "table2"
    stand_in, videos, intervals = found.notes
    assert stand_in.startswith("vit_demo on motion stands in for vit_large on k400; r is scaled by 49/196")
    assert videos == "accuracies over 64 videos: one video is 1.56 points"
    assert intervals == "no interval for 2x3, r=48: a record does not keep which videos were right"


def test_signs_in_the_text_formats(tmp_path: Path) -> None:
    for column, value in (("r=0", 95.0), ("r=48", 93.4375), ("r=64", 95.0), ("r=80", 95.5)):
        put_record(tmp_path / "runs", demo_cell(column, "8x3"), value, counts=WHOLE)
    found = derived(tmp_path)
    assert found
    (line,) = (line for line in render([found], "github").splitlines() if line.startswith("| 8x3"))
    assert [part.strip() for part in line.strip("|").split("|")] == [
        *("8x3", "-1.56", "+0.02", "-1.58", "+0.00", "-0.11", "+0.11", "+0.50", "-0.48", "+0.98"),
    ]
    assert "$-$1.56 & +0.02 & $-$1.58" in " ".join(render([found], "latex").split())


def test_rows_of_r_0_alone_are_left_out(tmp_path: Path) -> None:
    for reduction, value in (("none", 85.9375), ("sta:r=12", 87.5)):
        put_record(tmp_path / "runs", Cell("vit_demo", reduction, "motion", "5x3", "top1_trained"), value, counts=WHOLE)
    found = derived(tmp_path, "table1")
    assert found
    assert (found.rows, found.columns) == (["STA48-ViT-B"], ["Top-1"])
    change = found.entries["STA48-ViT-B", "Top-1"]
    assert (change.measured_text, change.published_text(1), change.difference_text) == ("+1.56", "-0.6", "+2.16")


def test_a_table_without_r_0_or_without_accuracies_has_no_drops(tmp_path: Path) -> None:
    assert derived(tmp_path, "table3") is None
    assert derived(tmp_path, make_table([Cell("vit_base", r, "", "", "gflops") for r in ("none", "sta:r=48")])) is None


def test_only_the_same_model_data_views_and_metric_are_compared(tmp_path: Path) -> None:
    start = Cell("vit_base", "none", "k400", "5x3", "top1")
    others = [
        Cell("vit_large", "sta:r=48", "k400", "5x3", "top1"),
        Cell("vit_base", "sta:r=48", "motion", "5x3", "top1"),
        Cell("vit_base", "sta:r=48", "k400", "2x3", "top1"),
        Cell("vit_base", "sta:r=48", "k400", "5x3", "top5"),
    ]
    assert derived(tmp_path, make_table([start, *others])) is None
    found = derived(tmp_path, make_table([Cell("vit_base", "random:r=48", "k400", "5x3", "top1"), *others, start]))
    assert found
    assert found.rows == ["row 0"]
    spelled = derived(tmp_path, make_table([Cell("vit_base", "sta:r=0", "k400", "5x3", "top1"), *others]))
    assert spelled is None
    spelled = derived(tmp_path, make_table([Cell("vit_base", "sta:r=0", "k400", "2x3", "top1"), *others]))
    assert spelled
    assert spelled.rows == ["row 3"]


def test_what_a_stand_in_runs_as_r_0_has_no_drop(tmp_path: Path) -> None:
    cells = [Cell("vit_base", reduction, "k400", "5x3", "top1") for reduction in ("none", "sta:r=1", "sta:r=4")]
    put_record(tmp_path / "runs", Cell("vit_demo", "none", "motion", "5x3", "top1"), 90.0, counts=WHOLE)
    found = derived(tmp_path, make_table(cells))
    assert found
    assert found.rows == ["row 2"]
    assert "row 1, value has no change: r = 1 scales to 0.25, rounded to 0" in found.notes


def test_what_the_paper_leaves_out_of_either_row_is_marked_in_the_drops(tmp_path: Path) -> None:
    found = change(entry(inferred="r is a guess"), entry(inferred="views are a guess"))
    assert found.inferred == "r is a guess; r = 0: views are a guess"
    assert change(entry(inferred="the column is a guess"), entry(inferred="the column is a guess")).inferred == (
        "the column is a guess"
    )
    assert change(entry(), entry(inferred="views are a guess")).inferred == "r = 0: views are a guess"


def entry(value: float | None = 90.0, published: float | None = 85.0, status: str = "done", **content: Any) -> Entry:
    return Entry("row", "column", "top1", value, published, status, **content)


def test_doubts_about_either_are_doubts_about_the_change() -> None:
    found = change(entry(flags=["odd"], note="rounded"), entry(91.0, flags=["strange"], note="newer attempt"))
    assert list(found.flags) == ["odd", "r = 0: strange"]
    assert found.note == "rounded; r = 0: newer attempt"
    whole: dict[str, Any] = WHOLE
    part: dict[str, Any] = {"evaluated": 60, "listed": 64, "status": "partial"}
    for one, other in ((whole, part), (part, whole)):
        found = change(entry(**one), entry(91.0, **other))
        assert (found.status, found.coverage, found.value) == ("partial", "60 of 64 videos", -1.0)
        assert found.note == f"over {one['evaluated']} videos, r = 0 over {other['evaluated']}"
    assert change(entry(**part), entry(**part)).note == ""


@pytest.mark.parametrize(
    ("one", "other", "status"),
    [
        (entry(), entry(None, status="pending"), "pending"),
        (entry(), entry(None, status="failed"), "failed"),
        (entry(None, status="failed"), entry(), "failed"),
        (entry(None, status="running", progress=0.5), entry(None, status="pending"), "running"),
        (entry(None, status="pending"), entry(None, status="failed"), "failed"),
        (entry(status="partial"), entry(None, status="pending"), "pending"),
    ],
)
def test_without_both_values_there_is_no_change_and_the_reason_stands(one: Entry, other: Entry, status: str) -> None:
    found = change(one, other)
    assert (found.value, found.status, found.published, found.record) == (None, status, 0.0, None)
    assert found.percent == ("50 %" if status == "running" else "")


def test_why_r_0_has_no_value_is_said() -> None:
    found = change(entry(), entry(None, status="failed", note="cancelled", cancelled=True))
    assert (found.word, found.note) == ("cancelled", "r = 0: cancelled")


@given(st.integers(0, 10000), st.integers(0, 10000))
def test_printed_hundredths_subtract_to_hundredths(one: int, other: int) -> None:
    found = change(entry(published=one / 100), entry(published=other / 100))
    assert found.published == (one - other) / 100


def test_other_tables_show_no_signs() -> None:
    assert (entry(1.5).measured_text, entry(1.5, 1.0).published_text(), entry(-1.5).measured_text) == (
        *("1.50", "1.00", "-1.50"),
    )


def put_answers(runs: Path, column: str, views: str, letters: str, **content: Any) -> None:
    value, counts = 100 * letters.count("1") / len(letters), {"evaluated": len(letters), "listed": len(letters)}
    put_record(runs, demo_cell(column, views), value, counts=counts, samples=answered(letters, **content))


def test_changes_have_intervals_over_the_same_videos_and_those_of_chance_are_marked(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    start = "1" * 900 + "0" * 100
    put_answers(runs, "r=0", "2x3", start)
    put_answers(runs, "r=48", "2x3", "0" * 4 + start[4:-1] + "1")  # 4 lost, 1 won
    put_answers(runs, "r=64", "2x3", "0" * 12 + start[12:-1] + "1")  # 12 lost, 1 won: p = 0.0034
    put_answers(runs, "r=80", "2x3", "0" * 30 + start[30:])
    found = derived(tmp_path)
    assert found
    small, middle, large = (found.entries["2x3", column] for column in ("r=48", "r=64", "r=80"))
    assert small.interval == interval(Paired(1000, 4, 1))
    assert [entry.chance for entry in (small, middle, large)] == [True, False, False]
    assert small.measured_text == "-0.30"
    assert small.spread_text == "(-0.94, +0.20) n.s."
    assert large.spread_text == "(-4.25, -2.11)"
    assert found.notes[-2:] == [
        "in brackets: 95 % intervals, paired over the same 1,000 videos (Tango's score interval)",
        "n.s.: not distinguishable from no change at 5 %, by McNemar's exact test, corrected for the 3 changes of this "
        "table (Holm)",
    ]
    for text_format in ("github", "latex"):
        text = render([found], text_format)
        assert "(-0.94, +0.20) n.s." in text or "(-0.94, +0.20) n.s." in text.replace("$-$", "-")


def test_holms_correction_counts_the_changes_of_a_table(tmp_path: Path) -> None:
    """One of p = 0.03 alone is real, and beside two others it is not."""
    runs, start = tmp_path / "runs", "1" * 900 + "0" * 100
    put_answers(runs, "r=0", "2x3", start)
    put_answers(runs, "r=48", "2x3", "0" * 6 + start[6:])  # p = 0.031
    alone = derived(tmp_path)
    assert alone
    assert not alone.entries["2x3", "r=48"].chance
    for column in ("r=64", "r=80"):
        put_answers(runs, column, "2x3", "0" + start[1:])
    beside = derived(tmp_path)
    assert beside
    assert beside.entries["2x3", "r=48"].chance


def test_answers_of_other_videos_and_damaged_ones_give_no_interval(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    put_answers(runs, "r=0", "2x3", "1" * 20)
    put_answers(runs, "r=48", "2x3", "1" * 19 + "0", videos="another")
    put_record(runs, demo_cell("r=64", "2x3"), 95.0, counts={"evaluated": 20, "listed": 20}, samples={NAME: 1}, id="x")
    found = derived(tmp_path)
    assert found
    assert {entry.interval for entry in found.entries.values()} == {None}
    assert found.notes[-2:] == [
        "no interval for 2x3, r=48: its accuracies are over other videos",
        "no interval for 2x3, r=64: record x: its answers are damaged",
    ]


def test_changes_from_a_named_row(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    cells = [Cell("vit_demo", reduction, "motion", "2x3", "top1") for reduction in ("none", "sta:r=12", "tome:r=12")]
    table = replace(make_table(cells), baseline="row 1")
    for cell, value in zip(cells, (95.0, 94.0, 93.0), strict=True):
        put_record(runs, cell, value, counts=WHOLE)
    found = derived(tmp_path, table)
    assert found
    assert found.title == "grid: change from row 1, in points"
    assert {row: entry.value for (row, _), entry in found.entries.items()} == {"row 0": 1.0, "row 2": -1.0}


def test_how_many_videos_would_tell_a_drop(tmp_path: Path) -> None:
    runs, start = tmp_path / "runs", "1" * 900 + "0" * 100
    put_answers(runs, "r=0", "2x3", start)
    put_answers(runs, "r=48", "2x3", "0" * 12 + start[12:-8] + "1" * 8)  # 20 of 1,000 change: 2 %
    put_answers(runs, "r=64", "2x3", start)
    found = derived(tmp_path, drop=0.1)
    assert found
    # (1.96 · √0.02 + 0.84 · √(0.02 − 0.001²))² / 0.001² (Connor, 1987)
    assert found.notes[-1] == (
        "to tell a drop of 0.1 points in 80 of 100 cases, 2x3: r=48 156,975 videos (2 % of the answers change); "
        "r=64 no number of videos would do, as too few change (0 % of the answers change)"
    )
