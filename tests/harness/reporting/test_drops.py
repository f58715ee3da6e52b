"""The table of drops: what is subtracted from what, and what is carried over of the doubts about both."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.reporting.drops import change, drops
from harness.reporting.fill import view_table
from harness.tables import Table, load_table
from jobs.spec.cells import Cell
from results.progress import read_progress
from results.records import best_by_cell, read_records
from results.render import render
from results.render.table_view import Entry, TableView
from tests.harness.made import make_table, put_record, small_profile
from tests.harness.test_report import demo_cell

WHOLE = {"evaluated": 64, "listed": 64}


def derived(tmp_path: Path, table: str | Table = "table2") -> TableView | None:
    table, profile, runs = (
        load_table(table) if isinstance(table, str) else table,
        small_profile(tmp_path),
        tmp_path / "runs",
    )
    best = best_by_cell(read_records(runs)[0])
    return drops(table, view_table(table, profile, best, read_progress(runs), runs), profile)


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
    stand_in, videos = found.notes
    assert stand_in.startswith("vit_demo on motion stands in for vit_large on k400; r is scaled by 49/196")
    assert videos == "accuracies over 64 videos: one video is 1.56 points"


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
