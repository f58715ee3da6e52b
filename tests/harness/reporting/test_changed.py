"""Which videos change sides in a table: pairs, names and classes."""

from pathlib import Path
from typing import Any

import pytest

from harness.reporting.changed import changed
from harness.tables import load_table
from results.records import best_by_cell, read_records
from results.render.page.content import Agreement, Changed, ChangedVideo, ClassChange, Figure, Page
from tests.harness.made import answered, put_record, small_profile
from tests.harness.test_report import demo_cell

ANSWERS = {"r=0": "11111100", "r=48": "01111110", "r=64": "00111100"}
"""Of eight videos, two a class."""


def put(tmp_path: Path, **more: Any) -> None:
    lines = [f"val/{number}.mp4,{number // 2}" for number in range(8)]
    scores = tmp_path / "runs" / "jobs" / "job" / "videos.csv"
    scores.parent.mkdir(parents=True, exist_ok=True)
    scores.write_text("\n".join(["video,label", *lines]))
    for column, letters in ANSWERS.items():
        samples = answered(letters) | {"per_video": "jobs/job/videos.csv"} | more
        counts = {"evaluated": 8, "listed": 8}
        put_record(
            tmp_path / "runs", demo_cell(column, "2x3"), 12.5 * letters.count("1"), samples=samples, counts=counts
        )


def found(tmp_path: Path) -> list[Changed]:
    best = best_by_cell(read_records(tmp_path / "runs")[0])
    return changed(load_table("table2"), small_profile(tmp_path), best, tmp_path / "runs")


def test_pairs_videos_and_classes(tmp_path: Path) -> None:
    put(tmp_path)
    (sides,) = found(tmp_path)
    assert sides.agreements == [
        Agreement("2x3, r=0", "2x3, r=48", 8, 1, 1),
        Agreement("2x3, r=0", "2x3, r=64", 8, 2, 0),
        Agreement("2x3, r=48", "2x3, r=64", 8, 2, 0),
    ]
    assert (sides.changes, sides.more_agreements, sides.more_videos) == (2, 0, 0)
    assert sides.videos == [ChangedVideo("val/0.mp4", "0", 2, 0), ChangedVideo("val/1.mp4", "0", 1, 0)]
    assert sides.classes == [
        ClassChange("0", "2x3, r=64", 2, 100.0, 0.0),
        ClassChange("0", "2x3, r=48", 2, 100.0, 50.0),
        ClassChange("3", "2x3, r=48", 2, 0.0, 50.0),
    ]


def test_without_the_scores_there_are_pairs_only(tmp_path: Path) -> None:
    """As of imported records; and no file outside the runs folder is read, whatever a record names."""
    put(tmp_path, per_video="../../outside.csv")
    (tmp_path / "outside.csv").write_text("video,label\n")
    (sides,) = found(tmp_path)
    assert len(sides.agreements) == 3
    assert (sides.videos, sides.classes) == ([], [])


def test_one_accuracy_alone_has_no_sides(tmp_path: Path) -> None:
    put_record(tmp_path / "runs", demo_cell("r=0", "2x3"), 75.0, samples=answered(ANSWERS["r=0"]))
    assert found(tmp_path) == []


def test_videos_of_another_list_are_listed_by_themselves(tmp_path: Path) -> None:
    """The k-th video of one list is not that of the other: names must not be mixed up."""
    put(tmp_path)
    lines = [f"other/{number}.mp4,{number // 2}" for number in range(8)]
    scores = tmp_path / "runs" / "jobs" / "other" / "videos.csv"
    scores.parent.mkdir()
    scores.write_text("\n".join(["video,label", *lines]))
    for column, letters in (("r=0", "11111111"), ("r=48", "11111110")):
        samples = answered(letters, "another list") | {"per_video": "jobs/other/videos.csv"}
        counts = {"evaluated": 8, "listed": 8}
        put_record(tmp_path / "runs", demo_cell(column, "4x3"), 100.0, samples=samples, counts=counts)
    first, second = found(tmp_path)
    assert (first.table, second.table) == tuple(f"{load_table('table2').title}: motion" for _ in range(2))
    assert [one.video for one in first.videos] == ["val/0.mp4", "val/1.mp4"]
    assert [one.video for one in second.videos] == ["other/7.mp4"]
    assert (first.changes, second.changes) == (2, 1)


def test_many_accuracies_are_paired_with_where_they_begin_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path)
    monkeypatch.setattr("harness.reporting.changed.MANY", 2)
    (sides,) = found(tmp_path)
    assert not sides.all_pairs
    assert [(one.one, one.other) for one in sides.agreements] == [("2x3, r=0", "2x3, r=48"), ("2x3, r=0", "2x3, r=64")]


def test_a_figure_is_of_its_own_data_set() -> None:
    """Lists of two data sets may both have a `0.mp4`."""
    own, other = (Figure("r", "0.mp4", "f", (), (), dataset=name) for name in ("motion", "other"))
    given = Figure("r", "/videos/motion/0.mp4", "f", (), (), dataset="motion", given=True)
    alike = Figure("r", "more/0.mp4", "f", (), (), dataset="motion")
    page = Page("runs", "demo", (), (), figures=(other, own, given, alike))
    assert page.figures_of("0.mp4", "motion") == [(1, own), (2, given)]
    assert page.figures_of("more/0.mp4", "motion") == [(3, alike)]
