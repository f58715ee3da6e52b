"""The report: each cell's state, its number beside the printed one, and everything a reader has to know of it."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness import report
from harness.planning.text import command
from harness.reporting.fill import view_table
from harness.tables import load_table
from jobs.spec.cells import Cell
from jobs.spec.jobs import Count, Evaluate
from results.attempts import write_ended
from results.files import write_json
from results.progress import job_folder, read_progress
from results.records import best_by_cell, cell_key, read_records
from results.render.table_view import Entry, TableView
from tests.harness.made import make_planner, put_job, put_progress, put_record, small_profile

DEMO = {"r=0": "none", "r=48": "sta:r=12", "r=64": "sta:r=16", "r=80": "sta:r=20"}
"""What the stand-in runs for Table 2's columns."""


def demo_cell(column: str = "r=0", views: str = "2x3") -> Cell:
    return Cell("vit_demo", DEMO[column], "motion", views, "top1")


def view(tmp_path: Path, name: str = "table2", stand_in: bool = True) -> TableView:
    runs = tmp_path / "runs"
    best = best_by_cell(read_records(runs)[0])
    return view_table(load_table(name), small_profile(tmp_path, stand_in=stand_in), best, read_progress(runs), runs)


def entry(view: TableView, column: str = "r=0", row: str = "2x3") -> Entry:
    return view.entries[row, column]


def evaluation(tmp_path: Path, *cells: Cell) -> Evaluate:
    job = make_planner(tmp_path).job(cells)
    assert isinstance(job, Evaluate)
    return job


def main(tmp_path: Path, *arguments: str) -> int:
    common = ["--profile", str(tmp_path / "small.toml"), "--runs", str(tmp_path / "runs")]
    return report.main([*arguments, *common])


def test_done_partial_and_missing(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    whole, part = {"evaluated": 64, "listed": 64}, {"evaluated": 60, "listed": 64}
    skipped = [{"video": f"bad/{number}.mp4", "reason": "truncated"} for number in range(4)]
    put_record(runs, demo_cell("r=0"), 95.3125, counts=whole)
    put_record(runs, demo_cell("r=48"), 90.0, counts=part, status="partial", skipped=skipped)
    found = view(tmp_path)
    done = entry(found, "r=0")
    assert (done.status, done.value, done.published) == ("done", 95.3125, 83.36)
    assert done.difference == pytest.approx(11.9525)
    partial = entry(found, "r=48")
    assert (partial.status, partial.evaluated, partial.listed) == ("partial", 60, 64)
    assert (entry(found, "r=64").status, entry(found, "r=64").value) == ("pending", None)
    notes = "\n".join(found.notes)
    assert "4 videos could not be read and are not counted: bad/0.mp4 (truncated); bad/1.mp4 (truncated)" in notes
    assert "accuracies over 64 videos: one video is 1.56 points" in notes
    assert "accuracies over 60 videos: one video is 1.67 points" in notes


def test_many_skipped_videos_are_counted_and_some_named(tmp_path: Path) -> None:
    skipped = [{"video": f"bad/{number:02}.mp4", "reason": "empty"} for number in range(30)]
    for column in ("r=0", "r=48"):  # the same ones under each reduction: named once
        put_record(tmp_path / "runs", demo_cell(column), counts={"evaluated": 34, "listed": 64}, skipped=skipped)
    (note,) = (note for note in view(tmp_path).notes if "could not be read" in note)
    assert note.startswith("30 videos")
    assert note.count("(empty)") == 20
    assert note.endswith("; and 10 more")


def test_what_stands_in_for_what_is_said(tmp_path: Path) -> None:
    (note,) = (note for note in view(tmp_path).notes if "stands in" in note)
    assert note.startswith("vit_demo on motion stands in for vit_large on k400; r is scaled by 49/196")
    assert "compare the drops, not the levels" in note
    rounded = entry(view(tmp_path, "table3"), "Top-1", "2 stages")
    assert rounded.note == "r = 74 scales to 18.5, rounded to 18"
    assert rounded.inferred.startswith("r and locations are not in the paper")
    own = view(tmp_path, "table3", stand_in=False)
    assert not any("r is scaled" in note for note in own.notes)


FIGURE = {"video": "a.mp4", "folder": "jobs/j/figures/a", "files": ["tokens.png", "kept.npz"], "stages": []}


def test_where_a_figure_lies_is_said_once(tmp_path: Path) -> None:
    figure = Cell("vit_demo", "sta:r=16", "motion", "", "tokens_kept")
    put_record(tmp_path / "runs", figure, 50.0, samples={"figures": [FIGURE]})
    path = tmp_path / "mine.toml"
    path.write_text(
        'metric = "tokens_kept"\ndataset = "motion"\nmodel = "vit_demo"\n'
        '[[rows]]\nreduction = "sta:r=16"\n[[columns]]\nlabel = "one"\n[[columns]]\nlabel = "other"\n'
    )
    notes = [note for note in view(tmp_path, str(path)).notes if "a.mp4" in note]
    assert notes == [f"a.mp4, sta:r=16: {tmp_path / 'runs'}/jobs/j/figures/a/ has tokens.png, kept.npz"]


@pytest.mark.parametrize(
    "samples",
    [
        *({}, {"figures": None}, {"figures": {"video": "a.mp4"}}, {"figures": 3}, {"figures": [3, "a", None]}),
        *({"figures": [FIGURE | odd]} for odd in ({"files": 3}, {"stages": None}, {"stages": [{"block": 1e999}]})),
        {"figures": [{name: value for name, value in FIGURE.items() if name != "folder"}]},
    ],
)
def test_a_figure_of_odd_form_does_not_take_down_the_report(tmp_path: Path, samples: dict[str, Any]) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'metric = "tokens_kept"\ndataset = "motion"\n'
        '[rows]\nreduction = ["sta:r=16"]\n[columns]\nmodel = ["vit_demo"]\n'
    )
    cell = Cell("vit_demo", "sta:r=16", "motion", "", "tokens_kept")
    record = replace(put_record(tmp_path / "runs", cell, 50.0), samples=samples)
    found = view_table(load_table(str(path)), small_profile(tmp_path), {cell_key(cell): record}, [], tmp_path / "runs")
    assert [one.value for one in found.in_order()] == [50.0]
    assert not any("figures" in note for note in found.notes)


def test_gflops_are_the_papers_models_own(tmp_path: Path) -> None:
    put_record(tmp_path / "runs", Cell("vit_large", "sta:r=64", "", "", "gflops"), 308.2)
    found = view(tmp_path, "table3")
    for row in ("3 stages", "at 1,9,17"):  # two spellings, one record
        assert (entry(found, "GFLOPs", row).value, entry(found, "GFLOPs", row).published) == (308.2, 308.0)


def test_the_whole_evaluation_is_shown_rather_than_a_later_limited_one(tmp_path: Path) -> None:
    put_record(
        tmp_path / "runs", demo_cell(), 95.0, "whole", counts={"evaluated": 64, "listed": 64}, ended="2026-01-01"
    )
    limited = {"counts": {"evaluated": 8, "listed": 64}, "status": "partial", "ended": "2026-02-01"}
    put_record(tmp_path / "runs", demo_cell(), 50.0, "limited", **limited)
    assert entry(view(tmp_path)).value == 95.0


def alive(**changes: Any) -> dict[str, Any]:
    me = psutil.Process()
    return {"host": os.uname().nodename, "pid": me.pid, "pid_created": me.create_time()} | changes


@pytest.mark.parametrize(
    ("progress", "expected", "said"),
    [
        (alive(state="running", done=24, total=64), "running", 0.375),
        ({"state": "failed", "error": "17 of 64 videos could not be read"}, "failed", "17 of 64 videos"),
        ({"state": "running", "updated": "2020-01-01T00:00:00+00:00"}, "failed", "runs shows more"),
        ({"state": "done"}, "pending", ""),
        (
            alive(state="stopped", error="asked to stop (SIGINT)"),
            "pending",
            "stopped by Ctrl-C; run the same command to resume",
        ),
        (alive(state="stopped", error="asked to stop (SIGTERM)"), "failed", "asked to stop (SIGTERM)"),
    ],
    ids=["running", "failed", "killed", "its record was removed", "Ctrl-C", "asked to stop"],
)
def test_the_state_of_a_cell_without_a_record(
    tmp_path: Path, progress: dict[str, Any], expected: str, said: object
) -> None:
    job = evaluation(tmp_path, demo_cell())
    put_job(tmp_path / "runs", job)
    put_progress(tmp_path / "runs", job.id, **progress)
    found = entry(view(tmp_path))
    assert found.status == expected
    if expected == "running":
        assert found.progress == said
    else:
        assert str(said) in found.note
    assert entry(view(tmp_path), "r=48").status == "pending"


def test_why_a_driver_gave_a_job_up_is_shown_in_its_cells(tmp_path: Path) -> None:
    runs, job = tmp_path / "runs", evaluation(tmp_path, demo_cell())
    name = put_job(runs, job, executor="slurm", id="7")
    put_progress(runs, job.id, state="stopped", error="asked to stop (SIGTERM)", submission=name)
    write_ended(runs, job.id, 1, 0, {"how": "crash", "text": "it ran out of memory on gpu3", "node": "gpu3"})
    found = entry(view(tmp_path))
    assert (found.status, found.note) == ("failed", "it ran out of memory on gpu3")


def test_a_new_attempt_in_the_queue_is_pending_not_failed(tmp_path: Path) -> None:
    job = evaluation(tmp_path, demo_cell())
    put_progress(tmp_path / "runs", job.id, state="failed", error="it broke", updated="2020-01-01T00:00:00+00:00")
    process = alive()
    submitted = {"host": process["host"], "id": str(process["pid"]), "created": process["pid_created"]}
    put_job(tmp_path / "runs", job, executor="local", **submitted)
    assert entry(view(tmp_path)).status == "pending"


def test_of_two_jobs_for_a_cell_the_running_one_counts(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for cells, progress in (
        ([demo_cell()], {"state": "failed", "error": "it broke"}),
        ([demo_cell(), demo_cell("r=48")], alive(state="running")),
        ([demo_cell(), demo_cell("r=64")], {"state": "failed", "error": "it broke too"}),
    ):
        job = evaluation(tmp_path, *cells)
        put_job(runs, job)
        put_progress(runs, job.id, **progress)
    found = view(tmp_path)
    assert [entry(found, column).status for column in DEMO] == ["running", "running", "failed", "pending"]


def test_a_value_stands_though_a_later_job_failed(tmp_path: Path) -> None:
    put_record(tmp_path / "runs", demo_cell(), 95.0)
    job = evaluation(tmp_path, demo_cell(), demo_cell("r=48"))
    put_job(tmp_path / "runs", job)
    put_progress(tmp_path / "runs", job.id, state="failed", error="it broke")
    found = view(tmp_path)
    assert [entry(found, column).status for column in ("r=0", "r=48")] == ["done", "failed"]
    assert [entry(found, column).note for column in ("r=0", "r=48")] == ["a newer attempt failed: it broke", "it broke"]


LATER = "2999-01-01T00:00:00.000+00:00"


@pytest.mark.parametrize(
    ("progress", "ended", "said"),
    [
        (alive(state="running"), "2020", "a newer attempt is running"),
        ({"state": "failed", "error": "it broke"}, "2020", "a newer attempt failed: it broke"),
        ({"state": "failed", "error": "it broke"}, LATER, ""),
        ({"state": "running", "updated": "2020-01-01T00:00:00+00:00"}, "2019", "a newer attempt failed: it ended"),
        ({"state": "done"}, "2020", ""),
    ],
    ids=["running", "failed", "failed before", "killed", "done"],
)
def test_a_newer_attempt_is_mentioned(tmp_path: Path, progress: dict[str, Any], ended: str, said: str) -> None:
    runs = tmp_path / "runs"
    job = evaluation(tmp_path, demo_cell())
    put_record(runs, demo_cell(), 95.0, ended=ended)
    put_job(runs, job)
    put_progress(runs, job.id, **progress)
    found = entry(view(tmp_path))
    assert (found.status, found.value) == ("done", 95.0)
    assert found.note.startswith(said)
    assert bool(found.note) == bool(said)
    # The job that made the record may fail, or go on, with its other cells.
    put_record(runs, demo_cell(), 96.0, job.record_id(demo_cell()), ended=ended, counts={"evaluated": 1, "listed": 1})
    assert (entry(view(tmp_path)).value, entry(view(tmp_path)).note) == (96.0, "")


def test_what_failed_is_looked_into_with_the_runs_folder(tmp_path: Path) -> None:
    job = evaluation(tmp_path, demo_cell())
    put_job(tmp_path / "runs", job)
    put_progress(tmp_path / "runs", job.id, state="running", updated="2020-01-01T00:00:00+00:00")
    hint = f"python -m harness.status {job.id} --log --runs {tmp_path / 'runs'} shows more"
    assert entry(view(tmp_path)).note == f"it ended without an error message; {hint}"
    assert command("status", job.id, "--log", runs=Path("./runs")) == f"python -m harness.status {job.id} --log"


@pytest.mark.parametrize(
    ("kernels", "said"),
    [
        ({}, ""),
        ({"compile": False, "attention": "auto"}, ""),
        ({"compile": True, "attention": "math"}, "compiled, math attention, "),
    ],
)
def test_where_and_from_what_commit(tmp_path: Path, kernels: dict[str, object], said: str) -> None:
    provenance = {"machine": {"host": "node1", "gpu": "Tesla V100"}, "git": {"commit": "abcdef0123456", "dirty": True}}
    ended = {"ended": "2026-03-01T10:00:00.000+00:00", "settings": {"precision": "fp16"} | kernels}
    put_record(tmp_path / "runs", demo_cell(), provenance=provenance, **ended)
    assert f"measured 2026-03-01: fp16, {said}Tesla V100, node1, commit abcdef0123 with changes" in view(tmp_path).notes


def test_counting_jobs_are_read_as_well(tmp_path: Path) -> None:
    job = Count((Cell("vit_large", "sta:r=64", "", "", "gflops"),), "meta")
    put_job(tmp_path / "runs", job)
    put_progress(tmp_path / "runs", job.id, **alive(state="running"))
    assert entry(view(tmp_path, "table3"), "GFLOPs", "3 stages").status == "running"


def test_why_a_cell_has_no_value(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As the driver found out; a cell that was cancelled says just that, though as JSON it has failed."""
    runs = tmp_path / "runs"
    jobs = [evaluation(tmp_path, demo_cell(column)) for column in ("r=0", "r=48", "r=64")]
    for job in jobs:
        put_job(runs, job, executor="local", id="1", tries={0: {"crash": 2}})
    write_ended(runs, jobs[0].id, 1, 0, {"how": "crash", "text": "it ran out of the 40 GB of launch.mem_gb on node2"})
    write_json(job_folder(runs, jobs[1].id) / "cancelled", {})
    found = view(tmp_path)
    assert entry(found, "r=0").note == "it ran out of the 40 GB of launch.mem_gb on node2; 3 tries"
    assert (entry(found, "r=48").status, entry(found, "r=48").note) == ("failed", "cancelled")
    assert entry(found, "r=64").note.startswith(
        "its process ended without an error message (killed, or out of memory?); 3 tries"
    )
    assert entry(found, "r=64").note.endswith("shows more")
    assert main(tmp_path, "table2") == 0
    text = capsys.readouterr().out
    assert "| cancelled |" in text
    assert "- 2x3, r=0 failed: it ran out of the 40 GB of launch.mem" in text
    assert "- 2x3, r=48: cancelled\n" in text


def test_a_newer_attempt_that_was_cancelled(tmp_path: Path) -> None:
    job = evaluation(tmp_path, demo_cell())
    put_record(tmp_path / "runs", demo_cell(), 95.0, ended="2020")
    put_job(tmp_path / "runs", job)
    put_progress(tmp_path / "runs", job.id, state="cancelled", error="cancelled")
    assert entry(view(tmp_path)).note == "a newer attempt was cancelled"
