"""What runs on a node: one task after the other, whatever becomes of each."""

from pathlib import Path

import pytest

from jobs.run import run_tasks
from results.files import write_json
from results.progress import ProgressWriter, job_folder, read_job
from tests.harness.made import put_progress


def test_one_broken_job_does_not_stop_the_others_of_its_process(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "blocked").write_text("not a folder")
    write_json(job_folder(tmp_path, "empty") / "job.json", {"tasks": 1})
    write_json(job_folder(tmp_path, "stopped") / "job.json", {"tasks": 1, "spec": {}})
    with pytest.raises(RuntimeError, match="3 of 3 tasks failed: blocked, empty, stopped"):
        run_tasks(str(tmp_path), [("blocked", 0), ("empty", 4), ("stopped", 0)])
    assert "job.json" in read_job(tmp_path, "stopped").error
    assert (job_folder(tmp_path, "empty") / "progress-4.json").exists()


def test_a_task_that_runs_elsewhere_is_left_alone_but_not_its_own_earlier_self(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_json(job_folder(tmp_path, "job") / "job.json", {"tasks": 1, "spec": {}})
    put_progress(tmp_path, "job", slurm={"job_id": "9"})
    run_tasks(str(tmp_path), [("job", 0)])
    assert "running already" in capsys.readouterr().out
    monkeypatch.setenv("SLURM_JOB_ID", "9")  # requeued on another node before its heartbeat had gone stale
    with pytest.raises(RuntimeError, match="1 of 1 tasks failed"):
        run_tasks(str(tmp_path), [("job", 0)])
    assert read_job(tmp_path, "job").tasks[0].restarts == 1


def test_a_cancelled_task_does_not_begin(tmp_path: Path) -> None:
    cell = {"model": "vit_demo", "reduction": "none", "dataset": "", "views": "", "metric": "gflops"}
    content = {"tasks": 1, "profile": "demo", "spec": {"kind": "count", "cells": [cell], "counter": "meta"}}
    write_json(job_folder(tmp_path, "job") / "job.json", content)
    write_json(job_folder(tmp_path, "job") / "cancelled", {})
    with pytest.raises(RuntimeError, match="1 of 1 tasks failed"):
        run_tasks(str(tmp_path), [("job", 0)])
    assert read_job(tmp_path, "job").error == "cancelled"


def test_a_task_that_the_scheduler_takes_off_the_node_has_not_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def preempted(*_: object) -> None:
        raise SystemExit(-1)  # what submitit does after it has asked SLURM to requeue the job

    monkeypatch.setattr("jobs.run.load_job", preempted)
    write_json(job_folder(tmp_path, "job") / "job.json", {"tasks": 1})
    with pytest.raises(SystemExit):
        run_tasks(str(tmp_path), [("job", 0)])
    assert read_job(tmp_path, "job").tasks[0].error == ""
    ProgressWriter(tmp_path, "job")
    assert read_job(tmp_path, "job").tasks[0].restarts == 1
