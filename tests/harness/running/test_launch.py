"""Submitting: the script that SLURM gets, what is noted for the next driver, and that nothing is started twice."""

import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from harness.planning.plan import Plan, make_plan
from harness.profiles import Profile
from harness.running import launch
from harness.running.queue import state_of
from harness.running.slurm import cluster, sbatches
from harness.running.submission import Start
from jobs.spec.cells import Cell
from results.attempts import Entry, Started, submission_folder
from results.files import read_json, write_json
from results.progress import job_folder, read_job
from results.records import read_records
from tests.harness.conftest import Slurm
from tests.harness.made import make_planner, make_table

COUNT = Cell("vit_demo", "none", "", "", "gflops")
EVALUATE = Cell("vit_demo", "none", "motion", "2x3", "top1")
TIMING = Cell("vit_demo", "none", "", "", "clips_per_s")
TRAINING = Cell("vit_demo", "none", "motion", "", "train_hours")

SCRIPT = """\
#!/bin/bash

# Parameters
#SBATCH --account=lab
#SBATCH --array=0-3%2
#SBATCH --comment='records RECORD'
#SBATCH --constraint=v100
#SBATCH --cpus-per-task=5
#SBATCH --error=LOGS/%A_%a_0_log.err
#SBATCH --exclude='node[3-4]'
#SBATCH --gpus-per-node=1
#SBATCH --job-name=NAME
#SBATCH --mem=40GB
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --open-mode=append
#SBATCH --output=LOGS/%A_%a_0_log.out
#SBATCH --partition=gpu
#SBATCH --qos=low
#SBATCH --requeue
#SBATCH --signal=USR2@180
#SBATCH --time=720

# setup
module load cuda

# command
export SUBMITIT_EXECUTOR=slurm
srun --unbuffered --output LOGS/%A_%a_%t_log.out --error LOGS/%A_%a_%t_log.err --cpus-per-task=5 \
--kill-on-bad-exit=1 PYTHON -u -m submitit.core._submit LOGS
"""
SLURM: dict[str, Any] = {
    "executor": "slurm",
    "tasks": 4,
    "parallel": 2,
    "cpus_per_task": 5,
    "gpus_per_task": 1,
    "mem_gb": 40,
    "time_min": 720,
    "partition": "gpu",
    "account": "lab",
    "qos": "low",
    "constraint": "v100",
    "exclude": "node[3-4]",
    "setup": ["module load cuda"],
}


def planned(folder: Path, *cells: Cell, fuse: bool = True, **options: Any) -> tuple[Plan, Profile, Path]:
    planner = make_planner(folder, **options)
    return make_plan([make_table(cells)], planner, (), fuse=fuse), planner.profile, folder / "runs"


def plain(script: str) -> str:
    """A script without what differs from machine to machine, and from one submission to the next."""
    logs = re.search(r"submitit\.core\._submit (\S+)", script)
    assert logs
    script = re.sub("(?<=--job-name=).*", "NAME", script)
    return script.replace(logs[1], "LOGS").replace(sys.executable, "PYTHON")


def entries(runs: Path, job_id: str) -> list[Entry]:
    """The last submission of each task of a job, in order."""
    found = read_job(runs, job_id).entries
    assert sorted(found) == list(range(len(found)))
    return [found[task] for task in sorted(found)]


def test_the_script_is_the_golden_one_and_a_dry_run_shows_it(tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("hold")
    plan, profile, runs = planned(tmp_path, EVALUATE, **SLURM)
    (shown,) = launch.scripts(plan, profile, runs)
    assert not runs.exists()
    assert launch.submit(plan, profile, runs).tasks == 4
    (script,) = slurm.scripts
    record = plan.jobs[0].record_id(EVALUATE)
    assert plain(script).replace(record, "RECORD") == SCRIPT
    assert plain(shown).replace(record, "RECORD") == SCRIPT


def test_a_job_is_named_after_its_tables_and_cells(tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("hold")
    other = Cell("vit_demo", "sta:r=12", "motion", "2x3", "top1")
    plan, profile, runs = planned(tmp_path, EVALUATE, other, TIMING, executor="slurm", tasks=1)
    launch.submit(plan, profile, runs)
    names = [re.findall("--job-name='(.*)~[0-9a-f]{8}'\n", script) for script in slurm.scripts]
    assert names == [["grid.vit_demo.motion.2x3.top1.2-cells"], ["grid.vit_demo.none.clips_per_s"]]


def test_many_records_are_named_as_far_as_they_fit(tmp_path: Path, slurm: Slurm) -> None:
    cells = [Cell("vit_demo", f"random:r={r}", "", "", "gflops") for r in range(1, 6)]
    plan, profile, runs = planned(tmp_path, *cells, executor="slurm", tasks=1)
    (script,) = launch.scripts(plan, profile, runs)
    assert re.findall("--comment='records \\S+ \\S+ \\S+ and 2 more'\n", script)


def test_further_options_reach_the_script_of_every_kind(tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("hold")
    extra = ['launch.extra.reservation="deadline"', 'launch.extra.mail-type="FAIL,END"']
    plan, profile, runs = planned(tmp_path, EVALUATE, TIMING, TRAINING, overrides=extra, executor="slurm", tasks=2)
    launch.submit(plan, profile, runs)
    assert len(slurm.scripts) == 3
    for script in slurm.scripts:
        assert "#SBATCH --reservation=deadline\n" in script
        assert "#SBATCH --mail-type=FAIL,END\n" in script
        assert "#SBATCH --requeue\n" in script


def test_every_task_is_noted_with_its_slurm_id(tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("hold")
    plan, profile, runs = planned(tmp_path, EVALUATE, COUNT, executor="slurm", tasks=3)
    launch.submit(plan, profile, runs)
    ids = [(job.kind, [one.id for one in entries(runs, job.id)]) for job in plan.jobs]
    assert ids == [("count", ["100_0"]), ("evaluate", ["100_1", "100_2", "100_3"])]
    for job in plan.jobs:
        content = read_json(job_folder(runs, job.id) / "job.json")
        assert content["record_ids"] == [job.record_id(cell) for cell in job.cells]
        assert content["tasks"] == plan.tasks[job.id]
    logs = submission_folder(runs, entries(runs, plan.jobs[0].id)[0].name)
    for task in range(4):
        assert (logs / f"100_{task}_submitted.pkl").is_file()


def test_what_is_queued_is_not_submitted_again_but_what_is_dead_is(tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("hold")
    plan, profile, runs = planned(tmp_path, EVALUATE, executor="slurm", tasks=3)
    assert launch.submit(plan, profile, runs).tasks == 3
    assert launch.submit(plan, profile, runs).tasks == 0
    slurm.set_state("100_1", "CANCELLED by 0")
    assert launch.submit(plan, profile, runs).tasks == 1
    assert [one.id for one in entries(runs, plan.jobs[0].id)] == ["100_0", "101", "100_2"]
    assert "--array" not in slurm.scripts[1]


def test_tasks_that_run_keep_their_number(tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("hold")
    plan, profile, runs = planned(tmp_path, EVALUATE, executor="slurm", tasks=3)
    launch.submit(plan, profile, runs)
    (job,) = plan.jobs
    before = (job_folder(runs, job.id) / "job.json").read_text()
    plan.tasks[job.id] = 8
    slurm.set_state("100_2", "FAILED")
    assert launch.submit(plan, profile, runs).tasks == 1
    assert (job_folder(runs, job.id) / "job.json").read_text() == before


def test_timings_have_a_node_to_themselves(tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("hold")
    plan, profile, runs = planned(tmp_path, EVALUATE, TIMING, executor="slurm", tasks=1)
    shown = launch.scripts(plan, profile, runs)
    launch.submit(plan, profile, runs)
    assert ["#SBATCH --exclusive\n" in script for script in slurm.scripts] == [False, True]
    assert [plain(script) for script in shown] == [plain(script) for script in slurm.scripts]


def test_arrays_are_cut_at_the_clusters_limit_and_run_as_wide_as_it_grants(tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("hold")
    slurm.put("array_size", "3")
    plan, profile, runs = planned(tmp_path, EVALUATE, executor="slurm", tasks=7)
    assert launch.submit(plan, profile, runs).tasks == 7
    arrays = [re.findall(r"--array=(\S+)", script) for script in slurm.scripts]
    assert arrays == [["0-2%3"], ["0-2%3"], []]
    assert [one.id for one in entries(runs, plan.jobs[0].id)] == [
        *("100_0", "100_1", "100_2", "101_0", "101_1", "101_2", "102")
    ]


@pytest.mark.parametrize(
    ("parallel", "widths", "after"),
    [
        (10, [2, 2, 3, 3], [None, None, None, None]),
        (4, [1, 1, 1, 1], [None, None, None, None]),
        (2, [1, 1, 1, 1], [None, None, 0, 1]),
        (1, [1, 1, 1, 1], [None, 0, 1, 2]),
    ],
)
def test_all_arrays_together_keep_to_the_throttle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parallel: int, widths: list[int], after: list[int | None]
) -> None:
    monkeypatch.setattr(sbatches, "array_limit", lambda: 3)
    plan, profile, _ = planned(tmp_path, EVALUATE, executor="slurm", tasks=12, parallel=parallel)
    start = Start(plan.jobs[0], ["grid"], 0, {task: {} for task in range(12)})
    found = sbatches.plan_sbatches([start], profile.launch)
    assert [one.parameters["array_parallelism"] for one in found] == widths
    assert [one.after for one in found] == after


def test_an_array_beyond_the_throttle_waits_for_an_earlier_one(tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("hold")
    slurm.put("array_size", "2")
    plan, profile, runs = planned(tmp_path, EVALUATE, executor="slurm", tasks=3, parallel=1)
    launch.submit(plan, profile, runs)
    waits = [re.findall(r"--dependency=(\S+)\n", script) for script in slurm.scripts]
    assert waits == [[], ["afterany:100"]]


def test_gflops_are_counted_here_unless_the_cluster_is_to(
    tmp_path: Path, slurm: Slurm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slurm.put("hold")
    monkeypatch.setattr(launch, "check_gpu_code", lambda _: "")
    options: dict[str, Any] = {"executor": "slurm", "tasks": 2, "gpus_per_task": 1, "setup": ["false"]}
    plan, profile, runs = planned(tmp_path, COUNT, EVALUATE, count_here=True, **options)
    assert len(launch.scripts(plan, profile, runs)) == 1
    (command,) = launch.commands(plan, profile, runs)
    assert command.startswith(sys.executable), "launch.setup is for nodes"
    assert launch.submit(plan, profile, runs).tasks == 3
    (script,) = slurm.scripts
    assert "--array=0-1%2\n" in script
    assert "--gpus-per-node=1\n" in script
    count = next(job for job in plan.jobs if job.kind == "count")
    assert entries(runs, count.id)[0].executor == "local"
    deadline = time.monotonic() + 60
    while not read_records(runs)[0]:
        assert time.monotonic() < deadline
        time.sleep(0.1)

    plan, profile, runs = planned(tmp_path / "there", COUNT, EVALUATE, count_here=False, **options)
    assert launch.commands(plan, profile, runs) == []
    (script,) = launch.scripts(plan, profile, runs)
    assert "--array=0-2%3\n" in script
    assert "--gpus-per-node=1\n" in script, "a partition may take nothing else"


def test_partitions_may_be_written_with_spaces(tmp_path: Path, slurm: Slurm) -> None:
    plan, profile, runs = planned(tmp_path, EVALUATE, overrides=["launch.partition=gpu, spare"], **SLURM)
    (script,) = launch.scripts(plan, profile, runs)
    assert "#SBATCH --partition=gpu,spare\n" in script


@pytest.mark.parametrize(
    ("flag", "typed", "extra", "array", "gang"),
    [
        ("gpus-per-node", "", [], "--gpus-per-node=1", "--gpus-per-node=2"),
        ("gpus-per-node", "v100", [], "--gpus-per-node=v100:1", "--gpus-per-node=v100:2"),
        ("gres", "", [], "--gres=gpu:1", "--gres=gpu:2"),
        ("gres", "v100", [], "--gres=gpu:v100:1", "--gres=gpu:v100:2"),
        ("gres", "v100", ["launch.extra.gres=tmp:9"], "--gres=gpu:v100:1,tmp:9", "--gres=gpu:v100:2,tmp:9"),
    ],
)
def test_gpus_are_asked_for_as_the_cluster_knows_them(
    tmp_path: Path, slurm: Slurm, flag: str, typed: str, extra: list[str], array: str, gang: str
) -> None:
    asked: dict[str, Any] = {"gpus_per_task": 1, "gpu_type": typed, "gpu_flag": flag}
    more = [*extra, "train.nodes=2", "train.tasks_per_node=2"]
    plan, profile, runs = planned(tmp_path, EVALUATE, TRAINING, overrides=more, executor="slurm", tasks=1, **asked)
    found = [re.findall("--(?:gpus|gres).*", script) for script in launch.scripts(plan, profile, runs)]
    assert found == [[array], [gang]]


def test_no_wckey_but_the_users_own(tmp_path: Path, slurm: Slurm) -> None:
    for extra, expected in (([], []), (["launch.extra.wckey=mine"], ["mine"])):
        plan, profile, runs = planned(tmp_path, EVALUATE, overrides=extra, executor="slurm", tasks=1)
        (script,) = launch.scripts(plan, profile, runs)
        assert re.findall(r"--wckey=(\S+)", script) == expected


def test_a_percent_sign_in_the_runs_folder_is_none_of_slurms_patterns(tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("hold")
    plan, profile, _ = planned(tmp_path, EVALUATE, executor="slurm", tasks=1)
    runs = tmp_path / "50%run" / "runs"
    launch.submit(plan, profile, runs)
    for script in (*slurm.scripts, *launch.scripts(plan, profile, runs)):
        places = re.findall(r"--(?:output|error)[= ](\S+)", script)
        assert len(places) == 4
        assert all("/50%%run/runs/" in place for place in places)
        assert "submitit.core._submit " + str(tmp_path / "50%run") in script
    with pytest.raises(ValueError, match=r"%j in its path, which submitit reads as a job's number; choose another"):
        launch.check_runs(tmp_path / "a%job")
    assert not (tmp_path / "a%job").exists()


def test_variables_of_a_job_around_it_are_not_passed_on(
    tmp_path: Path, slurm: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    slurm.put("hold")
    monkeypatch.setenv("SLURM_CPU_BIND", "quiet,mask_cpu:0x1")
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.setenv("SLURM_CONF", "/etc/own/slurm.conf")
    plan, profile, runs = planned(tmp_path, COUNT, executor="slurm", tasks=1)
    launch.submit(plan, profile, runs)
    assert json.loads((slurm.folder / "100.env").read_text()) == {"SLURM_CONF": "/etc/own/slurm.conf"}
    assert os.environ["SLURM_JOB_ID"] == "77"


def test_sbatch_refuses(tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("refuse", "sbatch: error: invalid partition specified: gpu")
    plan, profile, runs = planned(tmp_path, COUNT, executor="slurm", tasks=1)
    message = "SLURM would refuse grid.vit_demo.none.gflops: invalid partition specified: gpu (see launch.partition in"
    with pytest.raises(ValueError, match=f"profile small: {re.escape(message)}"):
        launch.submit(plan, profile, runs)
    assert not list(runs.glob("jobs/*/attempt-*")), "nothing is noted of what could not be"


def test_sbatch_refuses_only_in_earnest(
    tmp_path: Path, slurm: Slurm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slurm.put("refuse", "sbatch: error: invalid partition specified: gpu")
    monkeypatch.setattr(cluster, "check_sbatch", lambda *_: [])
    plan, profile, runs = planned(tmp_path, COUNT, executor="slurm", tasks=1)
    with pytest.raises(ValueError, match="profile small cannot submit to SLURM: invalid partition"):
        launch.submit(plan, profile, runs)
    assert capsys.readouterr() == ("", ""), "the reason is in the one line"
    (entry,) = entries(runs, plan.jobs[0].id)
    assert entry.started == Started("")
    assert state_of(read_job(runs, plan.jobs[0].id)) == "lost"


def test_a_machine_without_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    plan, profile, runs = planned(tmp_path, COUNT, executor="slurm", tasks=1)
    with pytest.raises(ValueError, match=r"there is no sinfo on this machine: submit from a login node, or set "):
        launch.submit(plan, profile, runs)


def test_a_new_sweep_takes_a_cancellation_back(tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("hold")
    plan, profile, runs = planned(tmp_path, EVALUATE, executor="slurm", tasks=2)
    cancelled = job_folder(runs, plan.jobs[0].id) / "cancelled"
    for task in (None, "100_1"):
        write_json(cancelled, {})
        if task:
            slurm.set_state(task, "CANCELLED by 0")
        launch.submit(plan, profile, runs)
        assert not cancelled.exists()
