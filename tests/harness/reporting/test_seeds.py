"""Tables of trainings with several seeds: means over the runs, what is missing, and changes between means."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness import report
from harness.planning.present import Present
from harness.profiles import load_profile
from harness.report import chosen, look
from harness.reporting.against import compare
from harness.reporting.changed import changed
from harness.reporting.drops import drops
from harness.reporting.fill import view_table
from harness.reporting.trends import plots
from harness.tables import load_table
from jobs.spec.cells import Cell
from jobs.spec.wire import to_dict
from results.files import read_json, write_json
from results.progress import job_folder
from results.records import read_records
from tests.harness.made import answered, make_planner, make_profile, put_job, put_progress, put_record

TABLE = """
model = "vit_demo"
dataset = "motion"
seeds = [0, 1, 2]
[rows]
reduction = ["none", "sta:r=12"]
[[columns]]
label = "hours"
metric = "train_hours"
[[columns]]
label = "top-1"
views = "5x3"
metric = "top1_trained"
[[columns]]
label = "GFLOPs"
metric = "gflops"
"""
VALUES = {"none": {0: 70.0, 1: 71.0, 2: 72.0}, "sta:r=12": {0: 60.0, 1: 60.5, 2: 61.0}}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(TABLE)
    make_profile(tmp_path)
    return path


def put_runs(folder: Path, reduction: str, seeds: dict[int, float], runs: str = "runs") -> None:
    planner = make_planner(folder)
    cell = Cell("vit_demo", reduction, "motion", "5x3", "top1_trained")
    for seed, value in seeds.items():
        settings = planner.job([cell], seed).settings(cell)
        counts = {"evaluated": 64, "listed": 64}
        put_record(folder / runs, cell, value, id=f"{reduction[:3]}-{seed}", settings=settings, counts=counts)
    cost = Cell("vit_demo", reduction, "", "", "gflops")
    put_record(folder / runs, cost, 2.0 if reduction == "none" else 1.0, id=f"{reduction[:3]}-gflops")


def put_failed(folder: Path, cell: Cell, seed: int, error: str) -> None:
    job = make_planner(folder).job([cell], seed)
    put_job(folder / "runs", job, tasks=2)
    file = job_folder(folder / "runs", job.id) / "job.json"
    write_json(file, read_json(file) | {"spec": to_dict(job)})
    put_progress(folder / "runs", job.id, state="failed", error=error)


def small(folder: Path) -> str:
    return str(folder / "small.toml")


def test_values_are_means_with_their_deviation_and_each_run_is_a_record(tmp_path: Path, table: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    for reduction, seeds in VALUES.items():
        put_runs(tmp_path, reduction, seeds)
    put_runs(tmp_path, "none", {7: 1.0})  # of a seed that is not asked for
    arguments = [str(table), "--runs", str(tmp_path / "runs"), "--profile", small(tmp_path)]
    assert report.main([*arguments, "--format", "github"]) == 0
    text = capsys.readouterr().out
    assert "71.00 ± 1.00" in text
    assert "60.50 ± 0.50" in text
    assert "±: the standard deviation over trainings with seeds 0, 1, 2" in text
    assert "under other settings" not in text
    assert "not all values were measured alike" not in text
    assert report.main([*arguments, "--json"]) == 0
    cells = {(cell["row"], cell["column"]): cell for cell in json.loads(capsys.readouterr().out)}
    mean = cells["none", "top-1"]
    assert (mean["value"], mean["deviation"], mean["record"]) == (71.0, 1.0, None)
    assert mean["runs"] == {"0": "non-0", "1": "non-1", "2": "non-2"}
    assert "runs" not in cells["none", "GFLOPs"]
    assert report.main([*arguments, "--format", "csv"]) == 0
    assert "0=sta-0 1=sta-1 2=sta-2" in capsys.readouterr().out


def test_a_change_of_means_has_welchs_interval_also_in_the_plot(tmp_path: Path, table: Path) -> None:
    for reduction, seeds in VALUES.items():
        put_runs(tmp_path, reduction, seeds)
    profile, loaded, runs = load_profile(small(tmp_path)), load_table(str(table)), tmp_path / "runs"
    found = look([loaded], profile, runs, all_of_them=True)
    changes = drops(loaded, found.views["mine"], profile, found.best)
    assert changes
    entry = changes.entries["sta:r=12", "top-1"]
    assert (entry.value, entry.deviation, entry.chance) == (-10.5, None, False)
    assert entry.interval == pytest.approx((-12.58, -8.42), abs=0.01)
    assert "in brackets: 95 % intervals over trainings with several seeds (Welch's)" in changes.notes
    (plot,) = [one for one in plots([loaded], profile, found.best, runs) if one.name.endswith("top1_trained-gflops")]
    (series,) = plot.series
    reduced, start = series.points
    assert (reduced.y, reduced.record) == (60.5, "")
    assert (reduced.y_low, reduced.y_high) == pytest.approx((71 - 12.58, 71 - 8.42), abs=0.01)
    assert start.y_low is not None
    assert "over trainings (Welch)" in plot.notes[0]


def test_a_run_that_is_missing_is_said(tmp_path: Path, table: Path) -> None:
    put_runs(tmp_path, "none", {0: 70.0, 2: 72.0})
    cell = Cell("vit_demo", "none", "motion", "5x3", "top1_trained")
    put_failed(tmp_path, cell, 1, "no space left")
    sta = Cell("vit_demo", "sta:r=12", "motion", "5x3", "top1_trained")
    put_failed(tmp_path, sta, 2, "out of memory")
    put_failed(tmp_path, sta, 5, "not of this table")
    profile, loaded, runs = load_profile(small(tmp_path)), load_table(str(table)), tmp_path / "runs"
    entries = look([loaded], profile, runs, all_of_them=True).views["mine"].entries
    entry = entries["none", "top-1"]
    assert (entry.value, entry.status, entry.flags) == (71.0, "done", ("2 of 3 seeds, without 1",))
    assert entry.note == "seed 1: failed: no space left"
    assert entry.failures == ["seed 1: no space left"], "the page lists it"
    entry = entries["sta:r=12", "top-1"]
    assert (entry.value, entry.status, entry.note) == (None, "failed", "seed 2: out of memory")


def test_two_folders_are_compared_run_by_run(tmp_path: Path, table: Path) -> None:
    put_runs(tmp_path, "none", VALUES["none"])
    put_runs(tmp_path, "none", VALUES["none"] | {1: 70.5}, runs="there")
    profile, loaded = load_profile(small(tmp_path)), load_table(str(table))
    here, there = (
        chosen(read_records(tmp_path / name)[0], Present(profile, tmp_path / name), loaded.seeds)
        for name in ("runs", "there")
    )
    verdicts = {one.row: one.verdict for one in compare(loaded, profile, here, there) if one.column == "top-1"}
    assert verdicts == {"none, seed 0": "equal", "none, seed 1": "not comparable", "none, seed 2": "equal"}


def test_the_profiles_seed_stands_where_none_are_asked_for(tmp_path: Path, table: Path) -> None:
    put_runs(tmp_path, "none", VALUES["none"])
    profile, runs = load_profile(small(tmp_path), ["train.seed=1"]), tmp_path / "runs"
    plain = replace(load_table(str(table)), seeds=())
    best = look([plain], profile, runs, all_of_them=True).best
    assert view_table(plain, profile, best, [], runs).entries["none", "top-1"].value == 71.0


def test_runs_of_different_recipes_are_no_mean_in_silence(tmp_path: Path, table: Path) -> None:
    put_runs(tmp_path, "sta:r=12", VALUES["sta:r=12"])
    put_runs(tmp_path, "none", {0: 70.0, 1: 71.0})
    cell = Cell("vit_demo", "none", "motion", "5x3", "top1_trained")
    settings = make_planner(tmp_path, overrides=["train.epochs=8"]).job([cell], 2).settings(cell)
    put_record(tmp_path / "runs", cell, 30.0, id="short", settings=settings, counts={"evaluated": 64, "listed": 64})
    profile, loaded, runs = load_profile(small(tmp_path)), load_table(str(table)), tmp_path / "runs"
    found = look([loaded], profile, runs, all_of_them=True)
    assert found.views["mine"].entries["none", "top-1"].flags == ("the runs differ in epochs",)
    changes = drops(loaded, found.views["mine"], profile, found.best)
    assert changes
    assert changes.entries["sta:r=12", "top-1"].interval is None
    assert "no interval for sta:r=12, top-1: its runs differ in epochs" in changes.notes


def test_one_run_is_its_record_with_all_that_a_plain_training_has(tmp_path: Path, table: Path) -> None:
    for reduction, answers in (("none", "1111110"), ("sta:r=12", "1011010")):
        cell = Cell("vit_demo", reduction, "motion", "5x3", "top1_trained")
        settings, samples = make_planner(tmp_path).job([cell], 0).settings(cell), answered(answers)
        about = {"settings": settings, "samples": samples, "counts": {"evaluated": 7, "listed": 7}}
        put_record(tmp_path / "runs", cell, 100 * samples["correct"] / 7, id=f"{reduction[:3]}-0", **about)
    profile, loaded, runs = load_profile(small(tmp_path)), load_table(str(table)), tmp_path / "runs"
    found = look([loaded], profile, runs, all_of_them=True)
    entry = found.views["mine"].entries["none", "top-1"]
    assert (entry.record, entry.runs, entry.flags) == ("non-0", (), ("1 of 3 seeds, without 1, 2",))
    changes = drops(loaded, found.views["mine"], profile, found.best)
    assert changes
    assert changes.entries["sta:r=12", "top-1"].interval
    assert len(changed(loaded, profile, found.best, runs)) == 1


def test_a_run_that_goes_on_does_not_hide_one_that_failed(tmp_path: Path, table: Path) -> None:
    cell = Cell("vit_demo", "none", "motion", "5x3", "top1_trained")
    put_failed(tmp_path, cell, 0, "out of memory")
    put_failed(tmp_path, cell, 1, "")
    job = make_planner(tmp_path).job([cell], 1)
    put_progress(tmp_path / "runs", job.id, state="running")
    profile, loaded, runs = load_profile(small(tmp_path)), load_table(str(table)), tmp_path / "runs"
    entry = look([loaded], profile, runs, all_of_them=True).views["mine"].entries["none", "top-1"]
    assert (entry.status, entry.note) == ("running", "seed 1: running; seed 0: failed: out of memory")
    assert entry.failures == ["seed 0: out of memory"]
