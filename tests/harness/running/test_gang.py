"""Gangs: a training is one submission of all its processes, under way or not as a whole."""

import contextlib
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from harness import status
from harness.running import launch, local
from harness.running.launch import submit
from jobs.spec.cells import Cell
from results.attempts import Submission
from results.files import read_json, write_json
from results.progress import job_folder, read_job
from tests.harness.conftest import Slurm
from tests.harness.made import put_progress
from tests.harness.running.test_launch import COUNT, SLURM, TIMING, TRAINING, entries, plain, planned

OTHER = Cell("vit_demo", "sta:r=12", "motion", "", "train_hours")
SCRIPT = """\
#!/bin/bash

# Parameters
#SBATCH --account=lab
#SBATCH --comment='records RECORD'
#SBATCH --constraint=v100
#SBATCH --cpus-per-task=5
#SBATCH --error=LOGS/%j_0_log.err
#SBATCH --exclude='node[3-4]'
#SBATCH --exclusive
#SBATCH --gpus-per-node=4
#SBATCH --job-name=NAME
#SBATCH --mem=160GB
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --open-mode=append
#SBATCH --output=LOGS/%j_0_log.out
#SBATCH --partition=gpu
#SBATCH --qos=low
#SBATCH --requeue
#SBATCH --signal=USR2@180
#SBATCH --time=720

# setup
module load cuda

# command
export SUBMITIT_EXECUTOR=slurm
srun --unbuffered --output LOGS/%j_%t_log.out --error LOGS/%j_%t_log.err --cpus-per-task=5 \
--kill-on-bad-exit=1 PYTHON -u -m submitit.core._submit LOGS
"""
EIGHT = ["train.nodes=2", "train.tasks_per_node=4", "train.micro_batch=1"]


def test_the_script_is_the_golden_one_and_a_dry_run_shows_it(tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("hold")
    plan, profile, runs = planned(tmp_path, TRAINING, overrides=EIGHT, **SLURM)
    (shown,) = launch.scripts(plan, profile, runs)
    assert submit(plan, profile, runs).tasks == 8
    (script,) = slurm.scripts
    assert plain(script) == plain(shown) == SCRIPT.replace("RECORD", plan.jobs[0].record_id(TRAINING))


def test_the_warning_comes_at_half_of_a_short_time(tmp_path: Path, slurm: Slurm) -> None:
    plan, profile, runs = planned(tmp_path, TRAINING, executor="slurm", tasks=1, time_min=2)
    (script,) = launch.scripts(plan, profile, runs)
    assert "--signal=USR2@60\n" in script


def test_every_rank_is_noted_with_the_one_id(tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("hold")
    plan, profile, runs = planned(tmp_path, TRAINING, OTHER, COUNT, executor="slurm", tasks=1)
    assert submit(plan, profile, runs).tasks == 5
    assert [job.kind for job in plan.jobs] == ["count", "train", "train"]
    ids = [[(one.id, one.rank) for one in entries(runs, job.id)] for job in plan.jobs]
    assert ids == [[("100", 0)], [("101", 0), ("101", 1)], [("102", 0), ("102", 1)]]
    content = read_json(job_folder(runs, plan.jobs[1].id) / "job.json")
    assert (content["kind"], content["tasks"]) == ("train", 2)


def test_a_gang_is_submitted_again_only_when_none_of_it_is_under_way(tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("hold")
    plan, profile, runs = planned(tmp_path, TRAINING, executor="slurm", tasks=1)
    (job,) = plan.jobs
    assert submit(plan, profile, runs).tasks == 2
    write_json(job_folder(runs, job.id) / "cancelled", {})
    assert submit(plan, profile, runs).tasks == 0
    assert not (job_folder(runs, job.id) / "cancelled").exists()
    name = entries(runs, job.id)[0].name
    slurm.set_state("100", "RUNNING")
    put_progress(runs, job.id, 0, state="failed", submission=name)
    put_progress(runs, job.id, 1, state="running", submission=name)
    slurm.set_state("100", "FAILED")
    assert submit(plan, profile, runs).tasks == 0, "one of its processes is still there"
    put_progress(runs, job.id, 1, state="failed", submission=name)
    assert submit(plan, profile, runs).tasks == 2
    assert [one.id for one in entries(runs, job.id)] == ["101", "101"]


def test_a_gang_leaves_the_queue_as_one(tmp_path: Path, slurm: Slurm, monkeypatch: pytest.MonkeyPatch) -> None:
    slurm.put("hold")
    plan, profile, runs = planned(tmp_path, TRAINING, executor="slurm", tasks=1)
    submit(plan, profile, runs)
    asked: list[list[str]] = []
    run = subprocess.run
    monkeypatch.setattr("subprocess.run", lambda command, **how: asked.append(command) or run(command, **how))
    assert status.main(["--runs", str(runs), "--cancel", plan.jobs[0].id]) == 0
    assert ["scancel", "100"] in asked
    assert slurm.state("100") == "CANCELLED by 0"


def test_local_gangs_run_one_after_the_other_when_everything_else_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[str, list[str], list[int]]] = []

    def start(submission: Submission, *_: Any) -> int:
        ids = list(dict.fromkeys(job_id for job_id, _ in submission.units))
        given.append((submission.kind, ids, [process for process, _ in submission.after]))
        return others[len(given) - 1]

    with contextlib.ExitStack() as stack:
        children = [stack.enter_context(subprocess.Popen(["sleep", "60"])) for _ in range(4)]
        for child in children:
            stack.callback(child.kill)
        others = [child.pid for child in children]
        monkeypatch.setattr("os.sched_getaffinity", lambda _: range(2))
        monkeypatch.setattr(local, "_submitit", start)
        plan, profile, runs = planned(tmp_path, TRAINING, OTHER, COUNT, TIMING)
        count, timing, first, second = (job.id for job in plan.jobs)
        assert submit(plan, profile, runs).tasks == 6
    assert given == [
        ("sequence", [count], []),
        ("sequence", [timing], others[:1]),
        ("gang", [first], others[:2]),
        ("gang", [second], others[:3]),
    ]
    commands = launch.commands(plan, profile, runs)
    assert [command.partition("  # ")[2] for command in commands] == ["", "2 of them at the same time"]


def test_all_ranks_of_a_local_gang_see_all_of_its_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, Any]] = []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,6")
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(16))
    monkeypatch.setattr("submitit.LocalExecutor.update_parameters", lambda _, **one: given.append(one))
    monkeypatch.setattr("submitit.LocalExecutor.submit", lambda *_: type("Job", (), {"job_id": str(os.getpid())}))
    plan, profile, runs = planned(tmp_path, TRAINING, gpus_per_task=1)
    monkeypatch.setattr(launch, "check_gpu_code", lambda _: "")
    submit(plan, profile, runs)
    (one,) = given
    assert (one["tasks_per_node"], one["gpus_per_node"], one["visible_gpus"]) == (2, 2, (3, 5))
    with pytest.raises(ValueError, match=r"train\.tasks_per_node is 4, and 3 with a GPU each run here"):
        planned(tmp_path, TRAINING, gpus_per_task=1, overrides=["train.tasks_per_node=4"])


@pytest.mark.parametrize("executor", ["local", "slurm"])
def test_every_process_of_a_gang_is_called_with_its_rank(
    tmp_path: Path, slurm: Slurm, executor: str, capsys: pytest.CaptureFixture[str]
) -> None:
    setup = ["until [ -e go ]; do sleep 0.1; done"]
    plan, profile, runs = planned(tmp_path, TRAINING, executor=executor, tasks=1, setup=setup)
    (job,) = plan.jobs
    submit(plan, profile, runs)
    for rank in (0, 1):  # where its task runs already, a process says so and ends
        put_progress(runs, job.id, rank)
    (tmp_path / "go").touch()
    wanted = [f"_{rank}_log.out (job {job.id}, task {rank})" for rank in (0, 1)]
    wanted += [f"task {rank} of job {job.id} is running already" for rank in (0, 1)]
    deadline, printed = time.monotonic() + 60, ""
    while not all(text in printed for text in wanted):
        assert time.monotonic() < deadline, printed
        time.sleep(0.2)
        assert status.main(["--runs", str(runs), "--log", job.id]) == 0
        printed = capsys.readouterr().out


def test_the_reason_of_a_gangs_failure_is_that_of_the_process_that_failed_first(tmp_path: Path) -> None:
    for rank, (second, error) in enumerate([(2, "connection closed by peer"), (1, "the loss is nan"), (3, "no peer")]):
        updated = f"2026-01-01T00:00:0{second}.000+00:00"
        put_progress(tmp_path, "gang", rank, state="failed", error=error, updated=updated)
    assert read_job(tmp_path, "gang").error == "the loss is nan"
