"""Figures as jobs: which videos they are of, and what makes two of them the same."""

import json
import os
from pathlib import Path

import pytest

from harness import report
from harness.planning.plan import make_plan
from harness.planning.present import Present
from harness.profiles import load_profile
from harness.reporting.departures import departures
from harness.reporting.fill import view_table
from harness.tables import load_table
from jobs.spec.cells import Cell
from jobs.spec.jobs import Visualize
from jobs.spec.wire import from_dict, to_dict
from results.files import read_json, write_json
from results.progress import job_folder, read_progress
from results.records import Record
from tests.harness.made import make_planner, make_table, put_job, put_progress, put_record

CELL = Cell("vit_demo", "sta:r=16", "motion", "", "tokens_kept")


def planned(folder: Path, *overrides: str) -> Visualize:
    job = make_planner(folder, overrides=overrides).job([CELL])
    assert isinstance(job, Visualize)
    assert from_dict(to_dict(job)) == job
    return job


def test_reductions_of_a_model_share_what_is_read(tmp_path: Path) -> None:
    cells = [Cell("vit_demo", reduction, "motion", "", "tokens_kept") for reduction in ("sta:r=16", "random:r=16")]
    plan = make_plan([make_table(cells)], make_planner(tmp_path), ())
    assert [(job.kind, len(job.cells)) for job in plan.jobs] == [("visualize", 2)]
    assert plan.tasks == {plan.jobs[0].id: 1}


def test_a_given_video_takes_the_place_of_the_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    (tmp_path / "bikes.mp4").write_bytes(b"one")
    job = planned(tmp_path / "here", "video=bikes.mp4")  # beside the caller, not beside the profile
    assert (job.video, job.dataset.labels, job.dataset.num_classes) == (str(tmp_path / "bikes.mp4"), "", 16)
    (tmp_path / "here" / "val.txt").write_text("other.mp4 0\n")
    assert planned(tmp_path / "here", "video=bikes.mp4").record_id(CELL) == job.record_id(CELL)
    (tmp_path / "bikes.mp4").write_bytes(b"two")
    assert planned(tmp_path / "here", "video=bikes.mp4").record_id(CELL) != job.record_id(CELL)


def test_other_videos_are_another_figure(tmp_path: Path) -> None:
    ids = {planned(tmp_path, *overrides).record_id(CELL) for overrides in ((), ("figures.videos=5",))}
    (tmp_path / "val.txt").write_text("0.mp4 0\n")
    ids.add(make_planner(tmp_path / "more", videos=5).job([CELL]).record_id(CELL))
    assert len(ids) == 3


def test_a_video_that_is_not_there_is_said_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^cannot read the video /nowhere/bikes\.mp4: No such file or directory$"):
        planned(tmp_path, "video=/nowhere/bikes.mp4")
    os.mkfifo(tmp_path / "pipe")  # reading it would never end
    for other in ("pipe", "."):
        with pytest.raises(ValueError, match=r"^cannot read the video \S+: not a file$"):
            planned(tmp_path, f"video={tmp_path / other}")
    with pytest.raises(ValueError, match=r"figures\.videos must be at least 1, not 0"):
        planned(tmp_path, "figures.videos=0")


def test_a_figure_answers_only_for_the_video_that_was_asked_for(tmp_path: Path) -> None:
    runs, video = tmp_path / "runs", tmp_path / "bikes.mp4"
    video.write_bytes(b"one")
    given, other = f"video={video}", f"video={tmp_path / 'cars.mp4'}"
    records = {}
    for overrides in ((), ("figures.videos=5",), (given,)):
        settings = planned(tmp_path, *overrides).settings(CELL)
        records[overrides] = put_record(runs, CELL, id=f"r{len(records)}", settings=settings)

    def able(*overrides: str) -> list[Record]:
        profile = load_profile(str(tmp_path / "small.toml"), list(overrides))
        return [record for record in records.values() if Present(profile, runs).answers(record)]

    assert able() == [records[()], records[("figures.videos=5",)]]
    assert able(given) == [records[(given,)]]
    assert able(other) == []
    video.write_bytes(b"another")
    assert able(given) == []
    video.unlink()
    assert able(given) == [records[(given,)]]
    accuracy = put_record(runs, Cell("vit_demo", "none", "motion", "5x3", "top1"))
    assert Present(load_profile(str(tmp_path / "small.toml"), [given]), runs).answers(accuracy)


def test_the_report_shows_no_figure_of_another_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.mp4").write_bytes(name.encode())
    table = tmp_path / "mine.toml"
    table.write_text(
        'metric = "tokens_kept"\ndataset = "motion"\n'
        '[rows]\nreduction = ["sta:r=16"]\n[columns]\nmodel = ["vit_demo"]\n'
    )
    put_record(tmp_path / "runs", CELL, 25.0, settings=planned(tmp_path, f"video={tmp_path}/a.mp4").settings(CELL))
    values = []
    for name in ("a", "b"):
        common = ["--profile", str(tmp_path / "small.toml"), "--runs", str(tmp_path / "runs"), "--json"]
        assert report.main([str(table), *common, "--set", f"video={tmp_path}/{name}.mp4"]) == 0
        values += [cell["value"] for cell in json.loads(capsys.readouterr().out)]
    assert values == [25.0, None]


def test_the_report_says_of_how_many_videos_a_figure_is_where_fewer_are_asked_for(tmp_path: Path) -> None:
    planner = make_planner(tmp_path)
    record = put_record(planner.runs, CELL, settings=planned(tmp_path, "figures.videos=5").settings(CELL))
    present = Present(planner.profile, planner.runs)
    assert present.settings(record.cell)["videos"] == "3 of its label file"
    (said,) = departures([record], present)
    assert "videos 5 of its label file, not 3 of its label file" in said


def test_the_papers_figures_are_planned_on_the_papers_data(tmp_path: Path) -> None:
    planner = make_planner(tmp_path)
    (job,) = make_plan([load_table("figure1")], planner, ()).jobs
    assert [cell.reduction for cell in job.cells] == ["sta:r=16"]  # in the demo's stand-in


def test_a_failure_on_another_video_or_with_other_weights_is_none_of_this_cells(tmp_path: Path) -> None:
    (tmp_path / "bikes.mp4").write_bytes(b"one")
    (tmp_path / "cars.mp4").write_bytes(b"two")
    table, runs = make_table([CELL]), tmp_path / "runs"
    for name, error in (("bikes", "truncated"), ("cars", "an empty file")):
        job = planned(tmp_path, f"video={tmp_path / name}.mp4")
        put_job(runs, job, executor="local")
        content = read_json(job_folder(runs, job.id) / "job.json")
        write_json(job_folder(runs, job.id) / "job.json", content | {"spec": to_dict(job)})
        put_progress(runs, job.id, state="failed", error=error)

    def said(*overrides: str) -> tuple[str, str]:
        profile = load_profile(str(tmp_path / "small.toml"), list(overrides))
        entry = view_table(table, profile, {}, read_progress(runs), runs).entries["row 0", "value"]
        return entry.status, entry.note

    assert said(f"video={tmp_path / 'bikes.mp4'}") == ("failed", "truncated")
    assert said(f"video={tmp_path / 'cars.mp4'}") == ("failed", "an empty file")
    assert said() == ("pending", "")
    (tmp_path / "other.pth").write_bytes(b"other")
    assert said(f"video={tmp_path / 'cars.mp4'}", 'checkpoints."vit_demo/motion"="other.pth"') == ("pending", "")
