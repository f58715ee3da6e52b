"""Verdicts on printed numbers: each by its rule, and none where there is nothing to compare."""

from pathlib import Path
from typing import Any

import pytest

from harness import report
from harness.profiles import load_profile
from harness.reporting.verdicts import AGREES, DIFFERS, NO_VERDICT, OPEN, judged, summary
from harness.tables import load_table
from jobs.spec.cells import Cell
from results.records import best_by_cell, read_records
from tests.harness.made import put_record, small_profile

GPU = {"machine": {"gpu": "Tesla V100-SXM2-32GB"}}


def found(folder: Path, table: str, profile: str = "v100") -> dict[tuple[str, str], tuple[str, str]]:
    best = best_by_cell(read_records(folder / "runs")[0])
    verdicts = judged(load_table(table), load_profile(profile), best)
    return {(one.row, one.column): (one.verdict, one.why) for one in verdicts}


def put(folder: Path, cell: Cell, value: float, **content: Any) -> None:
    put_record(folder / "runs", cell, value, **content)


def accuracy(folder: Path, reduction: str, correct: int, videos: int = 19796, **content: Any) -> None:
    about: dict[str, Any] = {"samples": {"correct": correct}, "counts": {"evaluated": videos, "listed": videos}}
    put(folder, Cell("vit_large", reduction, "k400", "5x3", "top1"), 100 * correct / videos, **(about | content))


def test_counts_agree_within_one_unit_of_the_last_printed_digit(tmp_path: Path) -> None:
    put(tmp_path, Cell("vit_large", "sta:r=64", "", "", "gflops"), 308.7)
    put(tmp_path, Cell("vit_large", "sta:r=64,at=3-11-19", "", "", "gflops"), 341.0)
    put(tmp_path, Cell("vit_large", "sta:r=74,at=1-13", "", "", "gflops"), 302.8)
    verdicts = found(tmp_path, "table3")
    rule = "within one unit of the last printed digit"
    assert verdicts["3 stages", "GFLOPs"] == (AGREES, rule)
    assert verdicts["at 3,11,19", "GFLOPs"] == (DIFFERS, rule)
    assert verdicts["2 stages", "GFLOPs"] == (AGREES, f"{rule}; settings inferred")
    assert verdicts["3 stages", "Top-1"] == (OPEN, "")


def test_accuracies_agree_by_their_interval_and_the_rounding_of_what_is_printed(tmp_path: Path) -> None:
    """On 19,796 videos the interval is about half a point on either side; 85.05, 84.78 and 84.85 are printed."""
    accuracy(tmp_path, "none", round(0.8460 * 19796))
    accuracy(tmp_path, "sta:r=64,first=random", round(0.8350 * 19796))
    verdicts = found(tmp_path, "main-table6a")
    assert verdicts["no reduction", "Top-1"][0] == AGREES
    assert verdicts["random", "Top-1"][0] == DIFFERS
    assert verdicts["grid", "Top-1"][0] == OPEN


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ({"status": "partial", "counts": {"evaluated": 19000, "listed": 19796}}, "19000 of 19796 videos"),
        ({"flags": ["measured with inputs that have changed since: weights"]}, "inputs that have changed"),
        ({"samples": {}}, "how far it varies is not known"),
    ],
)
def test_what_is_doubtful_has_no_verdict(tmp_path: Path, content: dict[str, Any], why: str) -> None:
    accuracy(tmp_path, "none", 16800, **content)
    verdict, said = found(tmp_path, "main-table6a")["no reduction", "Top-1"]
    assert verdict == NO_VERDICT
    assert why in said


def test_times_are_compared_on_the_papers_gpu_only(tmp_path: Path) -> None:
    cell = Cell("vit_large", "none", "", "", "clips_per_s")
    samples = {"clips_per_s": [19.0, 19.2, 19.4, 19.6, 19.8]}
    put(tmp_path, cell, 19.4, samples=samples, provenance=GPU)
    assert found(tmp_path, "main-table6d")["no reduction", "clips/s"][0] == AGREES
    other = Cell("vit_large", "sta:r=64", "", "", "clips_per_s")
    put(tmp_path, other, 47.0, samples={"clips_per_s": [47.0] * 5}, provenance={"machine": {"gpu": "H200"}})
    verdict = found(tmp_path, "main-table6d")["decreasing {64, 32, 16}", "clips/s"]
    assert verdict == (NO_VERDICT, "it was timed on H200, the paper's on a V100")


def test_a_mean_over_views_agrees_by_the_spread_between_videos(tmp_path: Path) -> None:
    cell = Cell("vit_large", "none", "k400", "5x3", "trajectory_sum")
    about = {"samples": {"std": 1.0, "views": 150}, "counts": {"evaluated": 100, "listed": 100}}
    put(tmp_path, cell, 5.07 + 0.19, **about)  # ± 0.196 for 100 videos
    assert found(tmp_path, "main-table1")["ViT", "ViT-L"][0] == AGREES
    put(tmp_path, Cell("vit_large", "sta:r=64", "k400", "5x3", "trajectory_sum"), 4.28 - 0.21, **about)
    assert found(tmp_path, "main-table1")["STA", "ViT-L"][0] == DIFFERS


def test_the_page_has_them_with_their_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_profile(tmp_path)
    put(tmp_path, Cell("vit_large", "sta:r=64", "", "", "gflops"), 308.7)
    put(tmp_path, Cell("vit_demo", "none", "motion", "5x3", "top1"), 95.0)
    options = ["--profile", str(tmp_path / "small.toml"), "--runs", str(tmp_path / "runs"), "--format", "html"]
    assert report.main(["main-table6a", "table3", *options]) == 0
    text = capsys.readouterr().out
    assert "20 numbers that papers print" in text
    assert text.count("not comparable: it is of vit_demo on motion for vit_large on k400") == 1
    assert "agrees: within one unit of the last printed digit" in text


def test_what_a_stand_in_has_measured_has_no_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_profile(tmp_path)
    put(tmp_path, Cell("vit_demo", "none", "motion", "5x3", "top1"), 95.0)
    put(tmp_path, Cell("vit_large", "sta:r=64", "", "", "gflops"), 308.7)
    options = ["--profile", str(tmp_path / "small.toml"), "--runs", str(tmp_path / "runs"), "--verdicts"]
    assert report.main(["main-table6a", "table3", *options]) == 0
    text = capsys.readouterr().out
    assert text.startswith("of 20 printed numbers: agrees 2, not comparable 1, not measured 17\n")
    assert "not comparable: it is of vit_demo on motion for vit_large on k400" in text
    assert "| 308 " in text


def test_none_has_nothing_to_sum_up() -> None:
    assert summary([]) == "of 0 printed numbers: none"
