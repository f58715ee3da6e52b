"""harness.status --cancel: what leaves the queue, what stops, and what is refused."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.following import stopping
from jobs.node.task import Cancelled, Task
from jobs.spec.cells import Cell
from jobs.spec.jobs import Count
from results.progress import job_folder
from results.progress_writer import ProgressWriter
from tests.harness.conftest import Slurm
from tests.harness.following.jobs import BOTH, FIRST, SECOND, alive, main, put_array, rows
from tests.harness.made import put_job, put_progress


def test_cancelled_jobs_leave_slurms_queue_and_running_tasks_stop(
    tmp_path: Path, slurm: Slurm, capsys: pytest.CaptureFixture[str]
) -> None:
    put_array(tmp_path, slurm, FIRST, "5", "PENDING")
    put_array(tmp_path, slurm, SECOND, "6", "PENDING")
    assert main("--runs", tmp_path, "--cancel", FIRST.id) == 0
    assert capsys.readouterr().out == f"job {FIRST.id} is asked to stop\n"
    assert (slurm.state("5"), slurm.state("6")) == ("CANCELLED by 0", "PENDING")
    slurm.set_state("5", slurm.state("5"))  # that is, time has passed
    assert main("--runs", tmp_path, FIRST.id) == 0
    assert "cancelled" in rows(capsys.readouterr().out)[FIRST.id]
    progress = ProgressWriter(tmp_path, FIRST.id)
    with pytest.raises(Cancelled):
        Task(tmp_path, FIRST.id, 0, 1, "demo", progress).check_stop()
    progress.finish()
    assert main("--runs", tmp_path, "--cancel", FIRST.id) == 0


def test_just_the_tasks_that_are_in_the_queue_are_taken_out(
    tmp_path: Path, slurm: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = put_array(tmp_path, slurm, FIRST, "5", "COMPLETED", "RUNNING", "PENDING", "FAILED", "PENDING")
    put_progress(tmp_path, FIRST.id, 0, state="done", submission=name)
    put_progress(tmp_path, FIRST.id, 1, submission=name)
    given: list[list[str]] = []

    def scancel(command: list[str], **options: Any) -> "subprocess.CompletedProcess[str]":
        assert (job_folder(tmp_path, FIRST.id) / "cancelled").exists(), "the tasks must see it when they are ended"
        given.append(command)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(stopping.subprocess, "run", _only("scancel", scancel))
    monkeypatch.setattr(stopping, "IDS", 2)
    assert main("--runs", tmp_path, "--cancel", FIRST.id) == 0
    assert given == [["scancel", "5_1", "5_2"], ["scancel", "5_4"]]


def _only(name: str, function: Any) -> Any:
    real = subprocess.run
    return lambda command, **options: (function if command[0] == name else real)(command, **options)


@pytest.mark.parametrize(
    ("script", "code", "error"),
    [
        (
            "echo 'scancel: error: Kill job error on job id 5: Access/permission denied' >&2; exit 1",
            2,
            "denied; running",
        ),
        ("exit 3", 2, "scancel: it ended with exit code 3; running tasks stop by themselves"),
        ("echo 'scancel: error: Kill job error on job id 5: Invalid job id specified' >&2; exit 1", 0, ""),
        ("echo 'scancel: error: 5: Job/step already completing or completed' >&2; exit 1", 0, ""),
    ],
    ids=["refused", "without a word", "forgotten", "ended meanwhile"],
)
def test_a_refusal_of_scancel_is_told(
    tmp_path: Path, slurm: Slurm, script: str, code: int, error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    put_array(tmp_path, slurm, FIRST, "5", "PENDING")
    (tmp_path / "bin" / "scancel").write_text(f"#!/bin/sh\n{script}\n")
    assert main("--runs", tmp_path, "--cancel", FIRST.id) == code
    printed = capsys.readouterr()
    assert printed.out == f"job {FIRST.id} is asked to stop\n"
    assert error in printed.err
    assert (job_folder(tmp_path, FIRST.id) / "cancelled").exists()


def test_a_machine_without_scancel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    put_job(tmp_path, FIRST, executor="slurm", id="5")
    assert main("--runs", tmp_path, "--cancel", FIRST.id) == 2
    assert capsys.readouterr().err == "error: scancel: No such file or directory\n"


def test_a_job_with_further_cells_is_not_cancelled_by_one_of_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for job in (FIRST, BOTH):
        put_job(tmp_path, job)
        put_progress(tmp_path, job.id, **alive())
    assert main("--runs", tmp_path, "--cancel", "none", "sta:r=48") == 2
    error = f"job {BOTH.id} also has another cell: use --cancel with the job's id to stop all of it"
    assert capsys.readouterr().err == f"error: {error}\n"
    files = [job_folder(tmp_path, job.id) / "cancelled" for job in (FIRST, BOTH)]
    assert [path.exists() for path in files] == [False, False]
    assert main("--runs", tmp_path, "--cancel", "none", "sta:r=48", "sta:r=64") == 0
    assert [path.exists() for path in files] == [True, True]


def test_an_id_that_is_too_short_cancels_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = [Count((Cell("vit_demo", f"random:r={r}", "", "", "gflops"),), "meta") for r in range(1, 18)]
    for job in jobs:  # more than there are hexadecimal digits
        put_job(tmp_path, job)
        put_progress(tmp_path, job.id, **alive())
    digits = [job.id[0] for job in jobs]
    twice = next(digit for digit in digits if digits.count(digit) > 1)
    assert main("--runs", tmp_path, "--cancel", twice) == 2
    assert "; give more characters of the id\n" in capsys.readouterr().err
    assert not list((tmp_path / "jobs").glob("*/cancelled"))


@pytest.mark.parametrize("state", ["failed", "done"])
def test_what_has_ended_is_not_marked_as_cancelled(
    tmp_path: Path, state: str, capsys: pytest.CaptureFixture[str]
) -> None:
    put_job(tmp_path, FIRST)
    put_progress(tmp_path, FIRST.id, state=state)
    assert main("--runs", tmp_path, "--cancel", FIRST.id) == 0
    assert capsys.readouterr().out == f"job {FIRST.id} is {state} already\n"
    assert not (job_folder(tmp_path, FIRST.id) / "cancelled").exists()
