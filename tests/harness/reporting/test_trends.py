"""Plots from records: which points there are, what their bars are, and what is left out and said."""

import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.profiles import load_profile
from harness.reporting.trends import course, plots, wilson
from harness.tables import Table, load_table
from jobs.cost import multiply_adds
from jobs.spec.cells import Cell
from results.progress import job_folder
from results.records import Record, best_by_cell, read_records
from results.render.plot import Plot, Series, tips
from results.steps import Step, StepLog
from tests.harness.made import make_profile, make_table, put_record, small_profile
from tests.harness.reporting.test_training_notes import SAMPLES

WHOLE = {"evaluated": 64, "listed": 64}
DROPPED = {"none": "none", "sta:r=48": "sta:r=12", "sta:r=64": "sta:r=16", "random:r=48": "random:r=12"}
"""What the stand-in runs for a reduction of the paper's."""


def put_accuracy(runs: Path, reduction: str, correct: int, metric: str = "top1", **content: Any) -> Record:
    cell = Cell("vit_demo", DROPPED[reduction], "motion", "5x3", metric)
    base: dict[str, Any] = {"counts": WHOLE, "samples": {"correct": correct}}
    return put_record(runs, cell, 100 * correct / 64, **(base | content))


def put_timing(runs: Path, reduction: str, rates: list[float], **content: Any) -> Record:
    cell = Cell("vit_demo", DROPPED[reduction], "", "", "clips_per_s")
    return put_record(runs, cell, statistics.median(rates), **({"samples": {"clips_per_s": rates}} | content))


def put_gflops(runs: Path, reduction: str, value: float) -> Record:
    return put_record(runs, Cell("vit_base", reduction, "", "", "gflops"), value)


def put_training(runs: Path, reduction: str, seconds: float, gflops: float, **content: Any) -> Record:
    cell = Cell("vit_demo", DROPPED[reduction], "motion", "", "train_hours")
    samples = SAMPLES | {"step_s": {"median": seconds, "iqr": 0.01, "steps": 400}, "gflops": gflops}
    return put_record(runs, cell, 0.03, **({"samples": samples, "job": f"job-{DROPPED[reduction][:3]}"} | content))


def put_steps(runs: Path, job: str, seconds: list[float]) -> Path:
    job_folder(runs, job).mkdir(parents=True)
    log = StepLog(job_folder(runs, job) / "steps.csv")
    for number, one in enumerate(seconds, start=1):
        log.add(Step(number, 1, 16, 3 / number, 1e-3, one, 0.0))
    log.close()
    return job_folder(runs, job) / "steps.csv"


def drawn(tmp_path: Path, *tables: Table, stand_in: bool = True) -> dict[str, Plot]:
    best = best_by_cell(read_records(tmp_path / "runs")[0])
    return {
        plot.name: plot for plot in plots(tables, small_profile(tmp_path, stand_in=stand_in), best, tmp_path / "runs")
    }


def grid(*reductions: str, metrics: tuple[str, ...] = ("top1", "gflops", "clips_per_s")) -> Table:
    cells = []
    for metric in metrics:
        dataset = "k400" if metric.startswith(("top", "train")) else ""
        views = "5x3" if metric.startswith("top") else ""
        cells += [Cell("vit_base", reduction, dataset, views, metric) for reduction in reductions]
    return make_table(cells)


def places(series: Series) -> list[tuple[float, float]]:
    return [(point.x, point.y) for point in series.points]


def test_without_records_there_is_nothing_to_draw(tmp_path: Path) -> None:
    assert drawn(tmp_path, *map(load_table, ("table1", "table2", "table3"))) == {}


def test_accuracy_stands_against_the_gflops_of_the_same_reduction(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for number, reduction in enumerate(("sta:r=48", "none", "random:r=48", "sta:r=64")):
        put_accuracy(runs, reduction, 60 - number)
        put_gflops(runs, reduction, 100 + number)
    plot = drawn(tmp_path, grid(*DROPPED))["grid-top1-gflops"]
    assert [one.name for one in plot.series] == [
        "vit_demo on motion for vit_base on k400, sta, 5x3",
        "vit_demo on motion for vit_base on k400, random, 5x3",
    ]
    assert places(plot.series[0]) == [(100, 93.75), (101, 92.1875), (103, 89.0625)]
    assert places(plot.series[1]) == [(101, 92.1875), (102, 90.625)]
    assert plot.series[0].line
    assert plot.series[0].points[0].record == "vit_demo-sta_r12-motion-5x3-top1"
    assert plot.series[0].points[0].label == (
        "vit_demo on motion for vit_base on k400, sta:r=48 (run as sta:r=12), 5x3"
    )
    assert [point.tag for point in plot.series[0].points] == ["r=48", "none", "r=64"]
    assert (plot.x_label, plot.y_label, plot.diagonal) == ("GFLOPs a clip", "top-1 (%)", False)
    notes = "\n".join(plot.notes)
    assert (
        "vit_demo on motion stands in for vit_base on k400: compare the shapes of the lines, not their level" in notes
    )
    assert "GFLOPs are those of the paper's models" in notes
    assert "hollow" not in notes


def test_values_of_rows_and_of_columns_are_paired_alike(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for reduction, correct in (("none", 60), ("sta:r=48", 59)):
        put_accuracy(runs, reduction, correct)
        put_gflops(runs, reduction, 180.0 - 60 * (reduction != "none"))
    head = 'model = "vit_base"\ndataset = "k400"\nviews = "5x3"\n'
    one, other = 'metric = ["top1", "gflops"]\n', 'reduction = ["none", "sta:r=48"]\n'
    found = []
    for name, rows, columns in (("a", one, other), ("b", other, one)):
        path = tmp_path / f"{name}.toml"
        path.write_text(f"{head}[rows]\n{rows}[columns]\n{columns}")
        found.append(drawn(tmp_path, load_table(str(path)))[f"{name}-top1-gflops"])
    assert found[0].series == found[1].series
    assert places(found[0].series[0]) == [(120.0, 92.1875), (180.0, 93.75)]


def test_printed_pairs_stand_beside_measured_ones(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    put_accuracy(runs, "none", 55, "top1_trained")
    put_timing(runs, "none", [35.0, 36.0, 37.0])
    plot = drawn(tmp_path, load_table("table1"))["table1-top1_trained-clips_per_s"]
    measured, printed = plot.series
    assert (measured.name, places(measured)) == (
        "vit_demo on motion for vit_base on k400, none, 5x3",
        [(36.0, 85.9375)],
    )
    assert (printed.name, places(printed)) == ("paper: vit_base on k400, sta, 5x3", [(53, 81.2), (96, 80.6)])
    assert all(point.published and not point.record and point.y_low is None for point in printed.points)
    assert any(note.startswith("hollow: the paper's numbers") for note in plot.notes)
    put_accuracy(runs, "sta:r=48", 56, "top1_trained")
    put_timing(runs, "sta:r=48", [60.0, 61.0, 62.0])
    measured, printed = drawn(tmp_path, load_table("table1"))["table1-top1_trained-clips_per_s"].series
    assert places(measured) == [(36.0, 85.9375), (61.0, 87.5)]
    assert printed.beside == measured.name


def test_two_rows_with_the_same_cell_are_one_point(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    put_record(runs, Cell("vit_large", "sta:r=64", "", "", "gflops"), 308.7)
    put_accuracy(runs, "sta:r=64", 60)
    measured, printed, *_ = drawn(tmp_path, load_table("table3"))["table3-top1-gflops"].series
    assert places(measured) == [(308.7, 93.75)]
    assert places(printed) == [(308, 85.0)]


def test_no_line_joins_what_drops_at_other_blocks(tmp_path: Path) -> None:
    put_record(tmp_path / "runs", Cell("vit_large", "sta:r=64", "", "", "gflops"), 308.7)
    put_accuracy(tmp_path / "runs", "sta:r=64", 60)
    printed = [one for one in drawn(tmp_path, load_table("table3"))["table3-top1-gflops"].series if "paper" in one.name]
    assert {one.name: places(one) for one in printed} == {
        "paper: vit_large on k400, sta at=1-13, 5x3": [(302, 84.5)],
        "paper: vit_large on k400, sta, 5x3": [(308, 85.0)],
        "paper: vit_large on k400, sta at=1-7-13-19, 5x3": [(305, 84.8)],
        "paper: vit_large on k400, sta at=3-11-19, 5x3": [(339, 85.0)],
        "paper: vit_large on k400, sta at=5-13-21, 5x3": [(370, 85.1)],
    }


def test_settings_that_the_paper_leaves_out_are_marked(tmp_path: Path) -> None:
    put_record(tmp_path / "runs", Cell("vit_large", "sta:r=64", "", "", "gflops"), 308.7)
    put_accuracy(tmp_path / "runs", "sta:r=64", 60)
    plot = drawn(tmp_path, load_table("table3"))["table3-top1-gflops"]
    points = [point for one in plot.series for point in one.points]
    inferred = {point.tag for point in points if point.marks == "†"}
    assert inferred == {"r=74,at=1-13", "r=60,at=1-7-13-19"}
    said = "r and locations are not in the paper; r = 74 after blocks 1 and 13 is inferred from the printed GFLOPs"
    assert f"† paper: vit_large on k400, sta:r=74,at=1-13, 5x3: inferred, {said}" in plot.notes
    assert any(f"sta:r=74,at=1-13, 5x3 († inferred: {said})" in tip["text"] for tip in tips(plot).values())
    assert any(note == "hollow: the paper's numbers, of its own model and data" for note in plot.notes)


def test_names_of_series_tell_the_datasets_apart_that_one_stands_in_for(tmp_path: Path) -> None:
    with open(make_profile(tmp_path), "a") as file:
        file.write('ssv2 = "motion"\n')
    cells = [Cell("vit_base", "none", dataset, "5x3", "top1") for dataset in ("k400", "ssv2")]
    put_accuracy(tmp_path / "runs", "none", 60)
    put_gflops(tmp_path / "runs", "none", 180.5)
    best = best_by_cell(read_records(tmp_path / "runs")[0])
    table = make_table([*cells, Cell("vit_base", "none", "", "", "gflops")])
    (plot,) = plots([table], load_profile(str(tmp_path / "small.toml")), best, tmp_path / "runs")
    assert [one.name for one in plot.series] == [
        "vit_demo on motion for vit_base on k400, none, 5x3",
        "vit_demo on motion for vit_base on ssv2, none, 5x3",
    ]


def test_bars_are_intervals_of_accuracies_and_quartiles_of_timings(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    put_accuracy(runs, "none", 60)
    put_timing(runs, "none", [30.0, 36.0, 36.5, 37.0, 50.0])
    (point,) = drawn(tmp_path, grid("none"))["grid-top1-clips_per_s"].series[0].points
    assert (point.x_low, point.x_high) == (36.0, 37.0)
    assert (point.y_low, point.y_high) == wilson(60, 64)


@pytest.mark.parametrize("samples", [{}, {"correct": "x"}, {"correct": 65}, {"correct": -1}, {"correct": 1}])
def test_a_record_whose_samples_say_something_else_has_no_bar(tmp_path: Path, samples: dict[str, Any]) -> None:
    runs = tmp_path / "runs"
    put_accuracy(runs, "none", 60, samples=samples)
    put_timing(runs, "none", [1.0, 2.0, 3.0], samples={"clips_per_s": samples.get("correct")})
    (point,) = drawn(tmp_path, grid("none"))["grid-top1-clips_per_s"].series[0].points
    assert (point.x_low, point.y_low) == (None, None)


def test_doubts_about_either_value_of_a_point_are_told_and_marked(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    part: dict[str, Any] = {"counts": {"evaluated": 60, "listed": 64}, "status": "partial", "flags": ["odd"]}
    put_accuracy(runs, "none", 58, **part)
    put_timing(runs, "none", [30.0, 40.0, 50.0], flags=["IQR is 30 % of the median"])
    plot = drawn(tmp_path, grid("none"))["grid-top1-clips_per_s"]
    (point,) = plot.series[0].points
    assert point.caption.endswith("none, 5x3 (60 of 64 videos; odd; clips/s: IQR is 30 % of the median)")
    assert point.marks == "!"
    where = "! vit_demo on motion for vit_base on k400, none, 5x3: "
    assert [note for note in plot.notes if note.startswith("!")] == [
        f"{where}60 of 64 videos",
        f"{where}odd",
        f"{where}clips/s: IQR is 30 % of the median",
    ]


def test_doubts_about_r_0_are_doubts_about_every_speed_up(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    put_timing(runs, "none", [30.0, 40.0, 50.0], flags=["IQR is 30 % of the median"])
    put_timing(runs, "sta:r=48", [58.0, 60.0, 61.0])
    put_training(runs, "none", 0.5, 0.2, flags=["slow start"])
    put_training(runs, "sta:r=48", 0.25, 0.1)
    table = grid("none", "sta:r=48", metrics=("clips_per_s", "train_hours"))
    timing, training = drawn(tmp_path, table)["grid-speed-up"].series
    assert timing.points[0].doubts == ("r = 0: IQR is 30 % of the median",)
    assert training.points[0].doubts == ("r = 0: slow start",)


@given(st.integers(1, 10**5).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_a_wilson_interval_holds_the_shares_that_do_not_rule_out_what_was_seen(pair: tuple[int, int]) -> None:
    correct, total = pair
    low, high = wilson(correct, total)
    assert 0 <= low <= 100 * correct / total + 1e-9
    assert 100 * correct / total - 1e-9 <= high <= 100
    for end in (low / 100, high / 100):
        # At each end the share seen is 1.96 standard deviations away, as that share has it.
        off = abs(correct / total - end)
        if off > 1e-6:
            assert off == pytest.approx(1.959964 * (end * (1 - end) / total) ** 0.5, rel=1e-6, abs=1e-9)


def test_a_known_wilson_interval() -> None:
    # Newcombe (1998), table I: 81 of 263.
    assert wilson(81, 263) == pytest.approx((25.53, 36.62), abs=0.01)


def test_the_speed_up_of_a_clip_stands_against_the_flops_of_the_model_that_ran(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    put_timing(runs, "none", [38.0, 40.0, 42.0])
    put_timing(runs, "sta:r=48", [58.0, 60.0, 61.0])
    plot = drawn(tmp_path, load_table("table1"))["table1-speed-up"]
    assert plot.diagonal
    measured, printed = plot.series
    whole, reduced = multiply_adds("vit_demo", "none"), multiply_adds("vit_demo", "sta:r=12")
    assert whole
    assert reduced
    (point,) = measured.points
    assert (point.x, point.y, point.y_low, point.y_high) == (whole / reduced, 1.5, 59 / 40, 60.5 / 40)
    whole, reduced = multiply_adds("vit_base", "none"), multiply_adds("vit_base", "sta:r=48")
    assert whole
    assert reduced
    assert places(printed) == [(whole / reduced, 96 / 53)]
    assert printed.beside == measured.name


def test_the_speed_up_of_a_training_step_is_that_of_the_report(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    put_training(runs, "none", 0.5, 0.2)
    put_training(runs, "sta:r=48", 0.25, 0.1)
    (series,) = drawn(tmp_path, grid("none", "sta:r=48", metrics=("train_hours",)))["grid-speed-up"].series
    assert series.name == "training step, vit_demo on motion for vit_base on k400, sta"
    assert places(series) == [(2.0, 2.0)]


def test_times_taken_unlike_are_not_compared(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    put_timing(runs, "none", [1.0, 1.0], settings={"precision": "fp32"})
    put_timing(runs, "sta:r=48", [2.0, 2.0], settings={"precision": "fp16"})
    put_timing(runs, "sta:r=64", [3.0, 3.0], settings={"precision": "fp32"})
    plot = drawn(tmp_path, grid(*DROPPED))["grid-speed-up"]
    assert [point.y for point in plot.series[0].points] == [3.0]
    (note,) = (note for note in plot.notes if note.startswith("left out"))
    assert note == "left out: vit_demo for vit_base, sta:r=48 (run as sta:r=12), as its precision is fp16, r = 0's fp32"
    machine = {"machine": {"gpu": "Tesla V100"}}
    put_timing(runs, "sta:r=64", [3.0, 3.0], id="b", ended="3", settings={"precision": "fp32"}, provenance=machine)
    assert "grid-speed-up" not in drawn(tmp_path, grid(*DROPPED))


def test_a_reduction_whose_flops_are_not_known_beforehand_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.reporting.trends.speed.multiply_adds", lambda model, reduction: None)
    put_timing(tmp_path / "runs", "none", [1.0, 1.0])
    put_timing(tmp_path / "runs", "sta:r=48", [2.0, 2.0])
    assert "table1-speed-up" not in drawn(tmp_path, load_table("table1"))


def test_curves_of_the_trainings_behind_a_table(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for reduction, seconds in (("none", 0.5), ("sta:r=48", 0.25)):
        record = put_training(runs, reduction, seconds, 0.2)
        put_accuracy(runs, reduction, 60, "top1_trained", job=record.job)
        put_steps(runs, record.job, [seconds] * 3)
    found = drawn(tmp_path, load_table("table1"))
    for name, values in (("seconds", [0.25] * 3), ("loss", [3, 1.5, 1])):
        plot = found[f"table1-{name}"]
        assert [one.name.rpartition(", ")[2] for one in plot.series] == ["none", "sta:r=12"]
        assert places(plot.series[1]) == list(zip([1, 2, 3], values, strict=True))
        assert all(one.line and not one.markers for one in plot.series)
        assert plot.notes == ()


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60), st.integers(1, 20))
def test_thinning_takes_the_medians_of_blocks(values: list[float], block: int) -> None:
    found, rest = course.thinned(values, block), list(values)
    for one in found:
        head, rest = sorted(rest[:block]), rest[block:]
        middle = len(head) // 2
        assert one == (head[middle] if len(head) % 2 else (head[middle - 1] + head[middle]) / 2)
    assert not rest


@pytest.mark.parametrize("count", [1, 400, 401, 1999])
def test_a_curve_has_400_points_at_most(tmp_path: Path, count: int) -> None:
    runs = tmp_path / "runs"
    put_steps(runs, put_training(runs, "none", 0.5, 0.2).job, [float(number) for number in range(count)])
    plot = drawn(tmp_path, load_table("table1"))["table1-seconds"]
    points = plot.series[0].points
    block = -(-count // 400)
    assert len(points) == -(-count // block) <= 400
    assert (points[0].x, points[0].y) == (1 + (block - 1) / 2, (block - 1) / 2)
    assert [f"each point is the median of {block} steps" in note for note in plot.notes] == [True] * (block > 1)


def test_a_training_without_its_steps_is_said_and_left_out(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    put_steps(runs, put_training(runs, "none", 0.5, 0.2).job, [1.0, 2.0])
    job = put_training(runs, "sta:r=48", 0.25, 0.1).job
    path = job_folder(runs, job) / "steps.csv"

    def note() -> str:
        plot = drawn(tmp_path, load_table("table1"))["table1-loss"]
        assert len(plot.series) == 1
        (said,) = plot.notes
        assert said.startswith("vit_demo on motion for vit_base on k400, sta:r=12 is not drawn: ")
        return said.partition("drawn: ")[2]

    assert note() == f"{path}: No such file or directory"
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    assert note() == f"{path} is not a file"
    path.unlink()
    path.write_bytes(b"\xff\x00")
    assert note() == f"{path} is not text"
    path.write_bytes(b"step,segment\n1,2\n")
    assert note() == f"{path} has no steps"
    put_steps(runs, "whole", [1.0, 2.0])
    cut = (job_folder(runs, "whole") / "steps.csv").read_bytes()[:-8]
    path.write_bytes(cut)
    assert [len(one.points) for one in drawn(tmp_path, load_table("table1"))["table1-loss"].series] == [2, 1]


def test_names_are_good_for_files_and_each_its_own(tmp_path: Path) -> None:
    put_accuracy(tmp_path / "runs", "none", 60)
    put_gflops(tmp_path / "runs", "none", 180.5)
    cells = [entry.cell for entry in grid("none").entries]
    tables = [make_table(cells, name) for name in ("my grid", "my/grid", "1 <b>")]
    assert list(drawn(tmp_path, *tables)) == ["my-grid-top1-gflops", "my-grid-top1-gflops-2", "table-1-b--top1-gflops"]


def test_without_a_stand_in_nothing_is_said_of_one(tmp_path: Path) -> None:
    cell = Cell("vit_large", "sta:r=64", "motion", "5x3", "top1")
    put_record(tmp_path / "runs", cell, 85.0, counts=WHOLE)
    put_record(tmp_path / "runs", Cell("vit_large", "sta:r=64", "", "", "gflops"), 308.7)
    table = make_table([cell, Cell("vit_large", "sta:r=64", "", "", "gflops")])
    (plot,) = drawn(tmp_path, table, stand_in=False).values()
    assert plot.notes == ()
    assert plot.series[0].name == "vit_large on motion, sta, 5x3"


def test_nothing_heavy_is_loaded() -> None:
    code = "import sys, harness.reporting.trends; print({'torch', 'matplotlib', 'numpy', 'pandas'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert found.stdout == "set()\n"
